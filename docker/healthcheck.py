#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the localizer does its work: one line why, and exit status 0 or 1.

It does while it is active and none of its components is in ERROR on /diagnostics. To be LOST is
an answer, not a fault.

usage: healthcheck.py [NODE]    (geoloc_localizer, or with a namespace /robot/geoloc_localizer)
"""

from __future__ import annotations

import sys
import time
from typing import Any

DEADLINE_S = 8.0
OK, WARN = 0, 1
STATES = ("UNINITIALISED", "SEARCHING", "AMBIGUOUS", "LOCALISED", "DEGRADED", "LOST")


class Heard:
    """What a localizer has said.

    Attributes:
        reports: level and message of each component; empty until diagnostics arrive.
        state: of localization, None until a status arrives.
        reasons: why it is not simply LOCALISED.
    """

    def __init__(self, node: str) -> None:
        self._prefix = f"{node.strip('/')}: "
        self.reports: dict[str, tuple[int, str]] = {}
        self.state: str | None = None
        self.reasons: list[str] = []

    def diagnostics(self, message: Any) -> None:  # noqa: ANN401
        """A diagnostic_msgs/DiagnosticArray, of whatever node."""
        for item in message.status:
            if item.name.startswith(self._prefix):
                component = item.name.removeprefix(self._prefix)
                self.reports[component] = (int.from_bytes(item.level, "little"), item.message)

    def status(self, message: Any) -> None:  # noqa: ANN401
        """A geoloc_msgs/LocalizationStatus."""
        self.state = STATES[message.state]
        self.reasons = list(message.reasons)

    def verdict(self) -> tuple[bool, str]:
        """Whether the localizer does its work, and why."""
        if not self.reports:
            return False, f"nothing on /diagnostics from {self._prefix[:-2]}"
        errors = [
            f"{component}: {text}"
            for component, (level, text) in self.reports.items()
            if level > WARN and not (component == "localizer" and self.state == "LOST")
        ]
        if errors:
            return False, "; ".join(errors)
        if "frames" not in self.reports:  # it is reported while the node is active only
            return False, f"not active: {self.reports.get('localizer', (OK, ''))[1]}"
        if self.state is None:
            return False, "nothing on ~/status"
        return True, " ".join([self.state, *self.reasons])


def listen(node_name: str) -> Heard:
    """Hear a localizer until both topics have spoken, or time is up."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from geoloc_msgs.msg import LocalizationStatus
    from rclpy.parameter import Parameter
    from rclpy.qos import DurabilityPolicy, QoSProfile

    heard = Heard(node_name)
    # no log file for every call; the enclave counts only where SROS2 is enabled
    rclpy.init(
        args=["--ros-args", "--disable-external-lib-logs", "--enclave", "/geoloc_healthcheck"]
    )
    node = rclpy.create_node(
        "geoloc_healthcheck",
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter("start_type_description_service", value=False)],
    )
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    topic = f"/{node_name.strip('/')}/status"
    node.create_subscription(LocalizationStatus, topic, heard.status, latched)
    node.create_subscription(DiagnosticArray, "/diagnostics", heard.diagnostics, 10)
    deadline = time.monotonic() + DEADLINE_S
    while not (heard.reports and heard.state) and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.2)
    rclpy.shutdown()
    return heard


def main() -> int:
    """The exit status."""
    try:
        healthy, why = listen(sys.argv[1] if len(sys.argv) > 1 else "geoloc_localizer").verdict()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is one line
        healthy, why = False, f"cannot listen: {error}".splitlines()[0]
    print(why)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
