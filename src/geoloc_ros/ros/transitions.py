# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a lifecycle node needs beside its transitions: a start of its own, patience, a clock."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from geoloc_ros.errors import GeolocError


def attempted(node: LifecycleNode, what: str, act: Callable[[], None]) -> str:
    """Do what a transition needs; an error is logged with its reason, the process lives on.

    Args:
        node: that logs.
        what: the transition, as a verb.
        act: does it.

    Returns:
        Why it failed, empty if it did not.
    """
    try:
        act()
    except GeolocError as error:
        fault = f"cannot {what}: {error}"
        node.get_logger().error(fault)
        return fault
    except Exception:  # noqa: BLE001 - a fault of ours must not end the process either
        node.get_logger().error(f"cannot {what}:\n{traceback.format_exc()}")
        return f"cannot {what}: an error of the program, see the log"
    return ""


def on_clock_back(node: LifecycleNode, act: Callable[[object], None]) -> object:
    """Do something whenever a node's clock has gone back or was changed.

    Returns:
        To be kept for as long as that is wanted.
    """
    back = JumpThreshold(
        min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
    )
    return node.get_clock().create_jump_callback(back, post_callback=act)


def start_by_itself(node: LifecycleNode) -> None:
    """Configure and activate a node as soon as it spins.

    The node does it, not its launch file: a request of launch's to a process that has just been
    respawned may go to the dead one, which is still known to discovery, and is lost.
    """

    def start() -> None:
        timer.cancel()
        try:
            if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
                node.trigger_activate()
        except Exception as error:  # noqa: BLE001 - RCLError: somebody else was quicker
            node.get_logger().warning(f"not started by itself: {error}")

    timer = node.create_timer(0.05, start, clock=Clock(clock_type=ClockType.STEADY_TIME))


def refuse_impossible(node: LifecycleNode) -> None:
    """Answer a transition that is not possible now with failure.

    rclpy raises from the service's callback, which ends whoever spins the node.
    """
    service = node._service_change_state
    change = service.callback

    def callback(request: Any, response: Any) -> Any:  # noqa: ANN401
        try:
            return change(request, response)
        except Exception as error:  # noqa: BLE001 - RCLError has no public name
            node.get_logger().error(f"no transition: {error}")
            response.success = False
            return response

    service.callback = callback
