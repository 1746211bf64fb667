# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package logs, on the node's own logger; and the start of a node."""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

PACKAGE = "geoloc_ros"
#: signals this close together are one request: a launch without a terminal passes on the Ctrl-C
#: that its whole group has already had
ONE_REQUEST_S = 1.0


class Interrupted(BaseException):
    """The process was told to end while something long was going on."""


class _ToRos(logging.Handler):
    def __init__(self, node: Node) -> None:
        super().__init__(logging.INFO)
        self._log = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._log.error(text)
        elif record.levelno >= logging.WARNING:
            self._log.warning(text)
        else:
            self._log.info(text)


def forward_logs(node: Node) -> None:
    """Let a node's logger say what the package logs; replaces that of a node before."""
    package = logging.getLogger(PACKAGE)
    package.handlers = [h for h in package.handlers if not isinstance(h, _ToRos)]
    package.addHandler(_ToRos(node))
    package.propagate = False


def _spin(executor: MultiThreadedExecutor, node: Node) -> None:
    """Spin once; what a callback raises is logged, and the node lives on."""
    try:
        executor.spin_once(timeout_sec=0.2)
    except Exception:  # noqa: BLE001 - rclpy raises here what callbacks and their answers raise
        node.get_logger().error(traceback.format_exc(), throttle_duration_sec=1.0)
        time.sleep(0.01)


def run(make: Callable[[threading.Event], Node], arguments: list[str] | None = None) -> int:
    """Spin a node until Ctrl-C or SIGTERM; then its `close` is called, while it can still speak.

    Args:
        make: answers the node, given the event that will tell it to end.
        arguments: of the command line, without the program's name; None: those of the process.
    """
    ended = threading.Event()
    asked_at: list[float] = []

    def end(number: int, frame: object) -> None:
        del frame
        ended.set()
        asked_at.append(time.monotonic())
        if asked_at[-1] - asked_at[0] > ONE_REQUEST_S:  # who asks twice means it
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    node = make(ended)
    executor = MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    try:
        while not ended.is_set():
            _spin(executor, node)
    finally:
        executor.shutdown(10.0)
        node.close()
        rclpy.try_shutdown()
    return 0
