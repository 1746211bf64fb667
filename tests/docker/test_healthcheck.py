# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""When a container is called healthy."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "healthcheck.py"
OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _diagnostics(node: str = "geoloc_localizer", **components: tuple[bytes, str]) -> object:
    return SimpleNamespace(
        status=[
            SimpleNamespace(name=f"{node}: {name}", level=level, message=text)
            for name, (level, text) in components.items()
        ]
    )


def _verdict(*messages: object, state: int | None, node: str = "geoloc_localizer") -> tuple:
    heard = _load().Heard(node)
    for message in messages:
        heard.diagnostics(message)
    if state is not None:
        heard.status(SimpleNamespace(state=state, reasons=["two_modes"]))
    return heard.verdict()


ACTIVE = _diagnostics(localizer=(OK, "ok"), frames=(OK, "ok"))


@pytest.mark.parametrize(
    ("messages", "state", "healthy", "why"),
    [
        ([], None, False, "nothing on /diagnostics from geoloc_localizer"),
        ([_diagnostics("other", localizer=(OK, ""))], 3, False, "nothing on /diagnostics"),
        ([_diagnostics(localizer=(OK, "reading"))], None, False, "not active: reading"),
        ([ACTIVE], None, False, "nothing on ~/status"),
        ([ACTIVE], 3, True, "LOCALISED two_modes"),
        ([_diagnostics(localizer=(WARN, "?"), frames=(WARN, "slow"))], 2, True, "AMBIGUOUS"),
        (
            [_diagnostics(localizer=(ERROR, "cannot configure: x"))],
            None,
            False,
            "cannot configure",
        ),
        ([_diagnostics(localizer=(ERROR, "LOST"), frames=(OK, ""))], 5, True, "LOST"),
        ([_diagnostics(localizer=(ERROR, "?"), frames=(OK, ""))], 3, False, "localizer: ?"),
        ([_diagnostics(frames=(ERROR, "no image"))], 4, False, "frames: no image"),
        ([_diagnostics(frames=(ERROR, "no image")), ACTIVE], 3, True, "LOCALISED"),
    ],
)
def test_verdict(messages: list, state: int | None, healthy: bool, why: str) -> None:
    found, text = _verdict(*messages, state=state)
    assert found is healthy
    assert why in text
    assert "\n" not in text


def test_of_a_node_in_a_namespace() -> None:
    message = _diagnostics("robot/geoloc_localizer", frames=(OK, "ok"))
    assert _verdict(message, state=3, node="/robot/geoloc_localizer")[0]


def test_without_ros_it_says_so() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 1
    assert done.stdout == "cannot listen: No module named 'rclpy'\n"


_LOCALIZER = """
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geoloc_msgs.msg import LocalizationStatus
from rclpy.qos import DurabilityPolicy, QoSProfile

rclpy.init()
node = rclpy.create_node("geoloc_localizer")
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
status = node.create_publisher(LocalizationStatus, "~/status", latched)
health = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
status.publish(LocalizationStatus(state=LocalizationStatus.DEGRADED, reasons=["no_odometry"]))
levels = {levels}
said = [
    DiagnosticStatus(name="geoloc_localizer: " + name, level=level, message="so it is")
    for name, level in levels.items()
]
node.create_timer(0.2, lambda: health.publish(DiagnosticArray(status=said)))
print("up", flush=True)
rclpy.spin(node)
"""


@pytest.mark.ros
@pytest.mark.parametrize(
    ("levels", "code", "line"),
    [
        ({"localizer": WARN, "frames": OK}, 0, "DEGRADED no_odometry\n"),
        ({"localizer": WARN, "frames": ERROR}, 1, "frames: so it is\n"),
    ],
)
def test_on_ros(levels: dict[str, bytes], code: int, line: str, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("geoloc_msgs")
    environment = os.environ | {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(tmp_path),
    }
    localizer = subprocess.Popen(
        [sys.executable, "-c", _LOCALIZER.format(levels=levels)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert localizer.stdout is not None
        assert localizer.stdout.readline() == "up\n"
        before = set(tmp_path.iterdir())
        done = subprocess.run(
            [sys.executable, str(SCRIPT)],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        assert (done.returncode, done.stdout) == (code, line), done.stderr
        assert set(tmp_path.iterdir()) == before, "each call leaves a log file"
    finally:
        localizer.kill()
        localizer.wait()
        localizer.stdout.close()
