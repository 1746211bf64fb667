# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The localizer as a process of its own: launched, killed, respawned, interrupted."""

import os
import signal
import time

import pytest
from processes import Command, launch_command, node_command

LOCALISED = 3


@pytest.fixture
def vehicle(made, tmp_path):
    """A vehicle without a localizer in its process."""
    import rclpy
    from harness import Spinning, Vehicle, ticks_of

    context = rclpy.Context()
    rclpy.init(context=context)
    node = Vehicle(made, ticks_of(made, tmp_path / "recorded"), context, "/geoloc_localizer")
    spinning = Spinning(node, 1)
    yield node
    spinning.close()
    rclpy.try_shutdown(context=context)


def listeners(vehicle) -> set[bytes]:
    """Who listens to the camera; a process that was killed is known for some seconds more."""
    found = vehicle.get_subscriptions_info_by_topic("image/compressed")
    return {bytes(info.endpoint_gid) for info in found}


def test_node_killed_and_respawned_by_its_launch_file(made, tmp_path, vehicle) -> None:
    from harness import wait_until

    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        "geoloc_localizer:\n  ros__parameters:\n"
        f"    saved_pose_file: {tmp_path / 'saved.json'}\n    save_pose_every_s: 0.5\n"
    )
    command = Command(
        launch_command(
            "geoloc.launch.py",
            index=made.index,
            model=made.model,
            image_transport="compressed",
            use_sim_time="true",
            use_respawn="true",
            height="/height",
            params_file=parameters,
        )
    )
    try:
        assert vehicle.is_heard(60.0), command.text()
        vehicle.tick_clock(vehicle.now_ns)
        vehicle.send_mount()
        statuses = vehicle.drive(range(60))
        cold = next(i for i, s in enumerate(statuses) if s.state == LOCALISED)
        assert wait_until((tmp_path / "saved.json").exists)
        time.sleep(1.0)
        before = listeners(vehicle)
        os.kill(command.child("geoloc_localizer.*--log-level"), signal.SIGKILL)
        assert wait_until(lambda: listeners(vehicle) - before, 60.0), command.text()
        vehicle.send_mount()
        vehicle.let_time_pass(0.5)
        shift = vehicle.now_ns - vehicle.ticks[59].stamp_ns
        warm = vehicle.drive(range(60, 130), shift_ns=shift)
        assert next(i for i, s in enumerate(warm) if s.state == LOCALISED) < cold
    finally:
        command.end()
    assert not any("Traceback" in line for line in command.lines), command.text()


def test_interrupted_while_it_configures(made, tmp_path) -> None:
    command = Command(node_command(made, tmp_path, "localizer", "-p", "autostart:=true"))
    try:
        assert command.says("reading the manifest"), command.text()
    finally:
        begun = time.monotonic()
        status = command.end(15.0)
    assert status == 0, command.text()
    assert time.monotonic() - begun < 15.0
    assert not any("Traceback" in line for line in command.lines), command.text()


@pytest.mark.parametrize("name", ["localizer", "vlm_node"])
def test_interrupted_at_rest(made, tmp_path, name) -> None:
    command = Command(node_command(made, tmp_path, name))
    time.sleep(5.0)
    assert command.process.poll() is None, command.text()
    assert command.end(15.0) == 0, command.text()
    assert not any("Traceback" in line for line in command.lines), command.text()
