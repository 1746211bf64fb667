# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""nav2's lifecycle manager and the tools of ros2 on a running localizer.

The tests of this file share one launch and go through its life in order.
"""

import os
import re
import signal
import subprocess
import time

import pytest

LOCALISED = 3
NODE, VLM = "/geoloc_localizer", "/geoloc_vlm"
MANAGER = "/manager_of_geoloc_localizer"
ACTIVE, INACTIVE, UNCONFIGURED, FINALIZED = "active", "inactive", "unconfigured", "finalized"
#: longer than a killed node takes to come back: the manager of nav2 1.3.12 waits for ever for an
#: answer of a dead one. It looks at bonds every 0.2 s; the rest is for a loaded machine.
BOND_TIMEOUT_S = 8.0
NOTICED_WITHIN_S = BOND_TIMEOUT_S + 4.0


@pytest.fixture(scope="module")
def stack(made, tmp_path_factory):
    from nav2_stack import Nav2Stack

    folder = tmp_path_factory.mktemp("interop")
    settings = {"use_respawn": "true", "bond_timeout": BOND_TIMEOUT_S, "use_vlm": "true"}
    stack = Nav2Stack(made, folder, mode="tf", **settings)
    yield stack
    stack.close()
    subprocess.run(["ros2", "daemon", "stop"], capture_output=True, timeout=20.0)


def manage(stack, command: str) -> bool:
    """Ask the manager for something."""
    from nav2_msgs.srv import ManageLifecycleNodes

    request = ManageLifecycleNodes.Request(command=getattr(ManageLifecycleNodes.Request, command))
    return stack.call(ManageLifecycleNodes, f"{MANAGER}/manage_nodes", request).success


def state_of(stack, node: str = NODE) -> str:
    from lifecycle_msgs.srv import GetState

    return stack.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label


def is_active(stack) -> bool:
    from std_srvs.srv import Trigger

    return stack.call(Trigger, f"{MANAGER}/is_active", Trigger.Request()).success


def ros2(*words: str, timeout_s: float = 30.0) -> str:
    """What a command of ros2 prints; it succeeds."""
    done = subprocess.run(["ros2", *words], capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"ros2 {' '.join(words)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_manager_brings_the_localizer_up_with_a_bond(stack) -> None:
    from harness import wait_until

    stack.wait_until_active()
    assert wait_until(lambda: is_active(stack), 20.0), stack.command.text()
    said = "Server geoloc_localizer connected with bond"
    assert wait_until(lambda: stack.heard(said) == 1), stack.command.text()
    assert state_of(stack) == ACTIVE


def test_a_vision_language_node_without_a_model_takes_nothing_down(stack) -> None:
    from harness import wait_until

    assert wait_until(lambda: stack.heard("cannot configure"), 20.0), stack.command.text()
    assert state_of(stack, VLM) == UNCONFIGURED
    assert is_active(stack)


def test_the_manager_pauses_resumes_resets_and_starts_up(stack) -> None:
    from harness import wait_until

    assert manage(stack, "PAUSE")
    assert state_of(stack) == INACTIVE
    assert manage(stack, "RESUME")
    assert state_of(stack) == ACTIVE
    assert manage(stack, "RESET")
    assert state_of(stack) == UNCONFIGURED
    assert manage(stack, "STARTUP")
    assert state_of(stack) == ACTIVE
    assert is_active(stack)
    assert wait_until(lambda: stack.heard("connected with bond") == 3), stack.command.text()
    assert not stack.heard("More than two locations"), stack.command.text()


def test_topic_hz_while_it_drives(stack) -> None:
    words = ["ros2", "topic", "hz", f"{NODE}/pose"]
    meter = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        stack.vehicle.go(range(130))
    finally:
        meter.send_signal(signal.SIGINT)
        text = meter.communicate(timeout=10.0)[0]
    assert stack.vehicle.statuses[-1].state == LOCALISED, stack.vehicle.last()
    rates = [float(rate) for rate in re.findall(r"average rate: ([\d.]+)", text)]
    assert rates, text
    assert 10.0 < rates[-1] < 25.0  # 20 frames a second, of a machine that may be loaded


def test_lifecycle_commands(stack) -> None:
    assert {NODE, VLM} <= set(ros2("lifecycle", "nodes").split())
    assert ros2("lifecycle", "get", NODE).split() == ["active", "[3]"]
    assert "- deactivate [4]" in ros2("lifecycle", "list", NODE)


def test_param_commands(stack) -> None:
    import yaml

    from geoloc_ros.config import Config

    dumped = yaml.safe_load(ros2("param", "dump", NODE))[NODE]["ros__parameters"]
    assert dumped["publish_tf"] is True
    assert dumped["filter"]["particles"] == Config().filter.particles
    described = ros2("param", "describe", NODE, "filter.particles")
    assert "largest number of particles" in described
    assert "Min value: 50" in described
    refused = subprocess.run(
        ["ros2", "param", "set", NODE, "map_frame", "world"], capture_output=True, text=True
    )
    assert "cannot change while the node is configured" in refused.stdout + refused.stderr


def test_topic_node_and_service_commands(stack) -> None:
    said = ros2("topic", "echo", "--once", f"{NODE}/status")
    assert "frame_id: map" in said
    assert "frames_used:" in said
    info = ros2("node", "info", NODE)
    for name in ("/odom: nav_msgs/msg/Odometry", "/bond: bond/msg/Status", f"{NODE}/fix"):
        assert name in info
    answer = ros2("service", "call", f"{NODE}/relocalize", "std_srvs/srv/Trigger")
    assert "success=True" in answer


def test_doctor(stack) -> None:
    assert re.search(r"All \d+ checks passed", ros2("doctor", timeout_s=60.0))


def test_the_bond_has_held(stack) -> None:
    """The tests before have taken longer than the manager would have waited for a heartbeat."""
    assert is_active(stack), stack.command.text()
    assert not stack.heard("CRITICAL FAILURE")


def test_the_manager_notices_a_killed_node_and_takes_it_back(stack) -> None:
    from harness import wait_until

    begun = time.monotonic()
    os.kill(stack.command.child("lib/geoloc_ros/geoloc_localizer"), signal.SIGKILL)
    assert wait_until(lambda: stack.heard("CRITICAL FAILURE"), NOTICED_WITHIN_S)
    noticed_s = time.monotonic() - begun
    bonds = stack.heard("connected with bond")
    assert wait_until(lambda: stack.heard("connected with bond") > bonds, 60.0)
    back_s = time.monotonic() - begun
    assert wait_until(lambda: is_active(stack), 10.0), stack.command.text()
    print(f"noticed after {noticed_s:.1f} s, active again after {back_s:.1f} s")
    vehicle = stack.vehicle
    vehicle.send_mount()
    vehicle.carry_back()
    vehicle.go(range(80))
    assert vehicle.statuses[-1].state == LOCALISED, vehicle.last()


def test_the_manager_shuts_the_localizer_down(stack) -> None:
    assert manage(stack, "SHUTDOWN")
    assert state_of(stack) == FINALIZED
    assert not any("Traceback" in line for line in stack.command.lines), stack.command.text()
