# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""nav2.launch.py beside a vehicle, and what may be asked of it; its end is bounded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from harness import Spinning, ticks_of, wait_until
from live_drive import SPEED, LiveVehicle, planar, stamp_ns
from made_flight import Made
from processes import Command, launch_command


def need(*packages: str) -> None:
    """Skip where a package is not installed."""
    for package in packages:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed")


class Nav2Stack:
    """The launch file, and a vehicle that waits for it.

    Attributes:
        vehicle: drives.
        command: the launch file.

    Args:
        made: the flight.
        folder: for files.
        arguments: of the launch file.
    """

    def __init__(self, made: Made, folder: Path, **arguments: object) -> None:
        need("nav2_lifecycle_manager", "bondpy", "bondcpp", "nav2_msgs")
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        ticks = ticks_of(made, folder / "recorded")
        self.vehicle = LiveVehicle(made, ticks, self.context, "/geoloc_localizer")
        self._spinning = Spinning(self.vehicle, 1)
        self._clients: dict[str, object] = {}
        parameters = folder / "parameters.yaml"
        parameters.write_text(
            "geoloc_localizer:\n  ros__parameters:\n"
            f"    saved_pose_file: {folder / 'saved.json'}\n    save_pose_every_s: 0.5\n"
        )
        files = {"index": made.index, "model": made.model, "params_file": parameters}
        fixed = {"image_transport": "compressed", "use_sim_time": "true", "height": "/height"}
        self.command = Command(launch_command("nav2.launch.py", **files, **fixed, **arguments))

    def wait_until_active(self) -> None:
        """Wait until the localizer listens and knows the camera's mount."""
        assert self.vehicle.is_heard(60.0), self.command.text()
        self.vehicle.tick_clock(self.vehicle.now_ns)
        self.vehicle.send_mount()

    def drive(self, numbers: range, until_heard_on: tuple[str, ...], **arguments: object) -> None:
        """Drive; where the place is found time stands still until others listen, too.

        How long a machine takes to start processes then changes nothing.

        Args:
            numbers: of the frames.
            until_heard_on: topics that somebody beside the vehicle comes to listen to, one after
                the other.
            arguments: of `LiveVehicle.go`.
        """
        vehicle = self.vehicle
        left = vehicle.go(numbers, until=lambda: vehicle.found, **arguments)
        assert vehicle.found, f"no place was found: {vehicle.last()}\n{self.command.text()}"
        for topic in until_heard_on:
            there = wait_until(lambda t=topic: self._others_listen(t), 60.0)
            assert there, f"nobody listens to {topic}\n{self.command.text()}"
            left = vehicle.go(left, until=lambda: vehicle.fused, **arguments)
        vehicle.go(left, **arguments)

    def _others_listen(self, topic: str) -> bool:
        """Whether somebody beside the vehicle does; the clock tells a standing time meanwhile."""
        self.vehicle.tick_clock(self.vehicle.now_ns)
        time.sleep(0.05)
        return self.vehicle.count_subscribers(topic) > 1

    def call(self, kind: type, name: str, request: object, timeout_s: float = 30.0):
        """Call a service, whoever offers it."""
        if name not in self._clients:
            self._clients[name] = self.vehicle.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(10.0), f"no service {name}\n{self.command.text()}"
        future = client.call_async(request)
        assert wait_until(future.done, timeout_s), f"{name} did not answer\n{self.command.text()}"
        return future.result()

    def heard(self, words: str) -> int:
        """How often somebody has said something."""
        return sum(words in line for line in self.command.lines)

    def close(self) -> None:
        """Ctrl-C; who does not end is killed (a lifecycle manager that lost a node may not)."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.command.end(8.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.command.process.pid, signal.SIGKILL)
        self._spinning.close()
        rclpy.try_shutdown(context=self.context)


def check_transforms(transforms: list) -> dict[tuple[str, str], int]:
    """REP-105 as far as it can be seen on /tf: one parent, time forwards, odometry smooth.

    Returns:
        How many there are of each pair of parent and child.
    """
    found = defaultdict(list)
    for item in list(transforms):
        found[item.header.frame_id, item.child_frame_id].append(item)
    parents = dict((child, parent) for parent, child in found)
    assert len(parents) == len(found), f"a frame has two parents: {sorted(found)}"
    assert ("map", "base_link") not in found
    for pair, items in found.items():
        stamps = np.array([stamp_ns(item) for item in items])
        assert (np.diff(stamps) > 0).all(), f"{pair}: stamps repeat or go back"
        if pair == ("odom", "base_link"):
            steps = np.diff([planar(item)[:2] for item in items], axis=0)
            speeds = np.hypot(*steps.T) / (np.diff(stamps) / 1e9)
            assert speeds.max() < 1.5 * SPEED, f"{pair} jumps at {speeds.max():.1f} m/s"
    return {pair: len(items) for pair, items in found.items()}
