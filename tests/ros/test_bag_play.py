# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings played by ros2 bag play into the localizer."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_flight import record
from processes import Command, launch_command

from geoloc_ros.cli.main import main
from geoloc_ros.evaluation import tables

STATES = ["UNINITIALISED", "SEARCHING", "AMBIGUOUS", "LOCALISED", "DEGRADED", "LOST"]
LOCALISED = 3
TOPICS = {
    "/camera/image/compressed": "/image/compressed",
    "/camera/camera_info": "/camera_info",
    "/height_above_ground": "/height",
}
#: what a loaded machine of two cores may add to the age of a pose; a queue would add seconds
MARGIN_S = 0.15


@pytest.fixture(scope="module")
def bag(made, tmp_path_factory) -> Path:
    return record(made, tmp_path_factory.mktemp("played") / "bag")


def play(stage, bag: Path, rate: float) -> None:
    """Play a recording from beginning to end, once everybody is known to everybody."""
    from harness import wait_until
    from rosbag2_interfaces.srv import Resume

    words = ["ros2", "bag", "play", str(bag), "--clock", "100", "--rate", str(rate)]
    remapped = [f"{name}:={wanted}" for name, wanted in TOPICS.items()]
    others = {name: len(publishers(stage, name)) for name in [*TOPICS.values(), "/odom"]}
    player = Command([*words, "--start-paused", "--remap", *remapped])
    try:
        known = wait_until(
            lambda: all(len(publishers(stage, name)) > n for name, n in others.items()), 20.0
        )
        assert known, player.text()
        client = stage.vehicle.create_client(Resume, "/rosbag2_player/resume")
        assert client.wait_for_service(10.0), player.text()
        time.sleep(0.5)
        answer = client.call_async(Resume.Request())
        assert wait_until(answer.done, 10.0), player.text()
        assert player.process.wait(60.0) == 0, player.text()
        time.sleep(0.5)
    finally:
        player.end()


def publishers(stage, topic: str) -> list:
    return stage.localizer.get_publishers_info_by_topic(topic)


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def start(stage) -> None:
    """Activate, and make the camera known before the first frame comes."""
    stage.meet()
    stage.vehicle.send_info(stage.vehicle.now_ns)


def test_a_played_bag_gives_the_estimates_of_replay(stage, made, bag, tmp_path) -> None:
    words = ["replay", bag, "--index", made.index, "--model", made.model, "--out"]
    assert main([str(w) for w in (*words, tmp_path / "replay", "--no-report")]) == 0
    replayed = tables.read_estimates(tmp_path / "replay")
    for rate in (2.0, 0.7):
        assert stage.change("configure")
        assert stage.change("activate")
        start(stage)
        play(stage, bag, rate)
        last = stage.vehicle.statuses[-1]
        if last.frames_used == len(replayed.stamp_ns):
            break
        print(f"at rate {rate}, {last.frames_used} frames were used: slower")
        assert stage.change("deactivate")
        assert stage.change("cleanup")
        stage.vehicle.poses.clear()
        stage.vehicle.statuses.clear()
        (tmp_path / "saved.json").unlink(missing_ok=True)
    assert last.frames_dropped == last.frames_refused == 0
    states = {stamp_ns(s): STATES[s.state] for s in stage.vehicle.statuses}
    poses = {stamp_ns(m): m.pose.pose.position for m in stage.vehicle.poses}
    held = 0
    for stamp, status, pose in zip(
        replayed.stamp_ns, replayed.status, replayed.poses, strict=True
    ):
        assert states[int(stamp)] == status
        if status in ("LOCALISED", "DEGRADED"):
            held += 1
            place = poses[int(stamp)]
            assert np.hypot(place.x - pose[0], place.y - pose[1]) < 1e-3
    assert held > 70


class SlowEncoder:
    """An encoder that takes its time, as one on a small machine does."""

    def __init__(self, encoder, pause_s: float) -> None:
        self._encoder, self._pause_s = encoder, pause_s

    def __getattr__(self, name: str):
        return getattr(self._encoder, name)

    def encode_query(self, views):
        time.sleep(self._pause_s)
        return self._encoder.encode_query(views)


def arrivals(node, kind: type, topic: str) -> dict[int, float]:
    """When the message of each stamp arrives, s of a steady clock."""
    found: dict[int, float] = {}
    node.create_subscription(
        kind, topic, lambda m: found.setdefault(stamp_ns(m), time.monotonic()), 100
    )
    return found


def test_at_full_rate_frames_are_dropped_and_never_queued(stage, bag) -> None:
    from geoloc_msgs.msg import LocalizationStatus
    from geometry_msgs.msg import PoseWithCovarianceStamped
    from sensor_msgs.msg import CompressedImage

    rate, pause_s = 5.0, 0.06
    vehicle = stage.vehicle
    came = arrivals(vehicle, CompressedImage, "image/compressed")
    said = arrivals(vehicle, LocalizationStatus, f"/{stage.name}/status")
    posed = arrivals(vehicle, PoseWithCovarianceStamped, f"/{stage.name}/pose")
    assert stage.change("configure")
    loaded = stage.localizer.loaded
    stage.localizer.loaded = replace(loaded, encoder=SlowEncoder(loaded.encoder, pause_s))
    assert stage.change("activate")
    start(stage)
    play(stage, bag, rate)
    last = vehicle.statuses[-1]
    assert last.frames_used + last.frames_dropped == last.frames_received
    assert last.frames_dropped > last.frames_used > 10
    used = sorted(said[stamp] for stamp in said if stamp in came)
    processing_s = float(np.median(np.diff(used)))
    ages = np.array([posed[stamp] - came[stamp] for stamp in posed if stamp in came])
    bound_s = 0.1 / rate + processing_s + MARGIN_S
    print(
        f"{last.frames_used} of {last.frames_received} frames used, one takes "
        f"{processing_s * 1e3:.0f} ms; poses are {np.median(ages) * 1e3:.0f} ms old when they "
        f"arrive, the oldest {ages.max() * 1e3:.0f} ms; bound {bound_s * 1e3:.0f} ms"
    )
    assert len(ages) > 5
    assert ages.max() <= bound_s


@pytest.fixture
def listener(made, tmp_path):
    """A node that only listens."""
    import rclpy
    from harness import Spinning, Vehicle, ticks_of

    context = rclpy.Context()
    rclpy.init(context=context)
    node = Vehicle(made, ticks_of(made, tmp_path / "recorded"), context, "/geoloc_localizer")
    spinning = Spinning(node, 1)
    yield node
    spinning.close()
    rclpy.try_shutdown(context=context)


def test_the_launch_file_replays_it(made, bag, tmp_path, listener) -> None:
    from harness import wait_until

    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("geoloc_localizer:\n  ros__parameters:\n    saved_pose_file: none\n")
    files = {"bag": bag, "index": made.index, "model": made.model, "params_file": parameters}
    settings = {"height": "/height_above_ground", "rate": 2.0, "delay": 4.0}
    command = Command(launch_command("replay.launch.py", **files, **settings))
    try:
        assert command.says("process has finished cleanly", 60.0), command.text()  # the player
        assert wait_until(lambda: listener.statuses, 5.0), command.text()
        time.sleep(1.0)  # launch, told to end just as a process ends, waits 15 s for that process
    finally:
        try:
            command.end(15.0)
        except subprocess.TimeoutExpired:
            pytest.fail(command.text())
    last = listener.statuses[-1]
    truth = {tick.stamp_ns: made.poses[tick.number] for tick in listener.ticks}
    errors = [
        np.hypot(*(truth[stamp_ns(m)][:2] - (m.pose.pose.position.x, m.pose.pose.position.y)))
        for m in listener.poses
    ]
    assert last.frames_used > 100
    assert len(errors) > 50
    assert np.median(errors) < 2.0
    assert not any("Traceback" in line for line in command.lines), command.text()
