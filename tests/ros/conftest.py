# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests on a real ROS 2. Without one they are skipped, every one of them counted.

Test modules import nothing of ROS at their top, so that they can be collected anywhere.
"""

import importlib.util
import os
from pathlib import Path

import pytest
from made_flight import Made, make

HERE = Path(__file__).parent


def _why_not() -> str:
    if importlib.util.find_spec("rclpy") is None:
        return "no ROS 2: rclpy cannot be imported; source /opt/ros/*/setup.bash"
    if importlib.util.find_spec("geoloc_msgs") is None:
        return "geoloc_msgs is not built; 'make test-ros' builds it"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = _why_not()
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.ros)
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session", autouse=True)
def _apart_from_the_network() -> None:
    """Nothing leaves this machine, and two test runs do not hear each other."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_LOG_DIR", "/tmp/geoloc_ros_test_logs")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("flight"))


@pytest.fixture
def stage(made: Made, tmp_path: Path):
    """An in-process localizer and a vehicle that plays the made flight to it."""
    from harness import Stage

    stage = Stage(made, tmp_path)
    yield stage
    stage.close()
