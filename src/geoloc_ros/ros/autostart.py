# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that takes itself to active, where no manager does.

The node does it, not its launch file: a request of launch's to a process that has just been
respawned may go to the dead one, which is still known to discovery, and is lost.
"""

from __future__ import annotations

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


def start_by_itself(node: LifecycleNode) -> None:
    """Configure and activate a node as soon as it spins."""

    def start() -> None:
        timer.cancel()
        if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            node.trigger_activate()

    timer = node.create_timer(0.05, start, clock=Clock(clock_type=ClockType.STEADY_TIME))
