# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package logs, on the node's own logger; and the start of a node."""

from __future__ import annotations

import logging
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node

PACKAGE = "geoloc_ros"


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


def run(make: Callable[[], Node], arguments: list[str] | None = None) -> int:
    """Spin a node until the process is told to end; its `close` is called in every case."""
    rclpy.init(args=arguments)
    node = make()
    executor = MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        executor.shutdown(timeout_sec=2.0)
        rclpy.try_shutdown()
    return 0
