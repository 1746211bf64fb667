# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a node says about its health on /diagnostics (REP-107), as rules that can be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(slots=True)
class Report:
    """One component's health.

    Attributes:
        name: of the component.
        level: OK, WARN or ERROR.
        message: one line.
        values: figures.
    """

    name: str
    level: bytes = OK
    message: str = "ok"
    values: dict[str, object] = field(default_factory=dict)

    def worsen(self, level: bytes, message: str) -> None:
        """Raise the level; the message of the worst rule stands, of equals the first."""
        if level > self.level:
            self.level, self.message = level, message


class Diagnostics:
    """Publishes reports at a steady rate, whatever else the node is doing.

    Args:
        node: that publishes.
        every_s: period.
        reports: answers what to say.
    """

    def __init__(self, node: Node, every_s: float, reports: Callable[[], list[Report]]) -> None:
        self._node, self._reports = node, reports
        group = MutuallyExclusiveCallbackGroup()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(every_s, self.publish, callback_group=group, clock=steady)

    def publish(self) -> None:
        """Publish now."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        name = self._node.get_fully_qualified_name().strip("/")
        message.status = [_status(report, name) for report in self._reports()]
        self._publisher.publish(message)


class Pace:
    """Rate and duration of something that recurs, over the last so many times."""

    def __init__(self, most: int = 50) -> None:
        self._at_ns: deque[int] = deque(maxlen=most)
        self._took_ms: deque[float] = deque(maxlen=most)

    def add(self, at_ns: int, took_ms: float) -> None:
        """It happened."""
        self._at_ns.append(at_ns)
        self._took_ms.append(took_ms)

    @property
    def rate_hz(self) -> float:
        """How often, 0 before the second time."""
        if len(self._at_ns) < 2 or self._at_ns[-1] <= self._at_ns[0]:
            return 0.0
        return (len(self._at_ns) - 1) * 1e9 / (self._at_ns[-1] - self._at_ns[0])

    def took_ms(self, percentile: float) -> float:
        """How long, NaN before the first time."""
        return float(np.percentile(self._took_ms, percentile)) if self._took_ms else float("nan")


def _status(report: Report, node: str) -> DiagnosticStatus:
    values = [KeyValue(key=key, value=_text(value)) for key, value in report.values.items()]
    return DiagnosticStatus(
        level=report.level,
        name=f"{node}: {report.name}",
        message=report.message,
        hardware_id="geoloc_ros",
        values=values,
    )


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
