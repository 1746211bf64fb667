# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a vehicle does to a localizer. For each fault: no crash, no wrong LOCALISED, a reason
within two seconds, and recovery when the cause ends."""

import itertools
import shutil
import time

import cv2
import numpy as np
import pytest

WITHIN_S = 2.0
LOCALISED, DEGRADED, LOST = 3, 4, 5
NS = 10**9


def stamp_ns(message) -> int:
    return message.header.stamp.sec * NS + message.header.stamp.nanosec


@pytest.fixture
def driving(stage):
    """A stage whose vehicle has been found."""
    stage.up()
    statuses = stage.vehicle.drive(range(60))
    assert statuses[-1].state == LOCALISED
    return stage


def told(stage, reason: str, act, within_s: float = WITHIN_S) -> None:
    """A reason is published within two seconds of wall time while something goes on."""
    vehicle, since = stage.vehicle, len(stage.vehicle.statuses)
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        act()
        if any(reason in s.reasons for s in vehicle.statuses[since:]):
            return
    raise AssertionError(f"no {reason} within {within_s:g} s; last: {vehicle.last()}")


def told_on_the_way(stage, reason: str) -> int:
    """A reason is published within two seconds of driving from the start; the frame after it."""
    frames = itertools.count()

    def drive_on() -> None:
        stage.vehicle.drive([next(frames)], answered=False)
        time.sleep(0.1)

    told(stage, reason, drive_on)
    return next(frames)


def never_wrong(stage) -> None:
    """No LOCALISED pose so far is further from the truth than a street is wide."""
    vehicle = stage.vehicle
    good = {stamp_ns(s) for s in vehicle.statuses if s.state == LOCALISED}
    for message in vehicle.poses:
        at = vehicle.truth.get(stamp_ns(message))
        if at is not None and stamp_ns(message) in good:
            place = message.pose.pose.position
            assert np.hypot(place.x - at[0], place.y - at[1]) < 8.0


def found_again(stage, numbers, shift_ns: int = 0) -> None:
    """The vehicle is found again, at the right place, at the latest at the end of a drive."""
    statuses = stage.vehicle.drive(numbers, shift_ns)
    assert statuses[-1].state == LOCALISED, stage.vehicle.last()
    never_wrong(stage)


def test_camera_stops(driving) -> None:
    vehicle = driving.vehicle

    def silence() -> None:
        vehicle.let_time_pass(0.1)

    told(driving, "stale_frame", silence)
    assert vehicle.statuses[-1].state == DEGRADED
    assert vehicle.fixes[-1].status.status < 0
    shift = vehicle.now_ns - vehicle.ticks[59].stamp_ns
    found_again(driving, range(60, 130), shift)


def test_camera_stops_while_the_vehicle_drives_on(driving) -> None:
    vehicle = driving.vehicle
    for tick in vehicle.ticks[60:100]:  # 60 m: further than a place is held without images
        vehicle.tick_clock(tick.stamp_ns)
        vehicle.send_odom(tick.stamp_ns, tick.odometry)
        vehicle.send_height(tick.stamp_ns)
        time.sleep(0.03)
    vehicle.let_time_pass(0.5)
    assert vehicle.statuses[-1].state == LOST, vehicle.last()
    shift = vehicle.now_ns - vehicle.ticks[99].stamp_ns
    found_again(driving, range(100, 130), shift)


def test_camera_restarts_with_another_size(driving) -> None:
    from made_flight import CAMERA

    vehicle = driving.vehicle
    half = CAMERA.scaled(64, 64)
    for tick in vehicle.ticks[60:130]:
        rgb = cv2.imdecode(np.frombuffer(tick.jpeg, np.uint8), cv2.IMREAD_COLOR)
        small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
        tick.jpeg = cv2.imencode(".jpg", small)[1].tobytes()
    projection = np.hstack([half.K, np.zeros((3, 1))])
    vehicle.info_changes = {"width": 64, "height": 64, "K": half.K, "P": projection}
    found_again(driving, range(60, 130))


def test_frames_of_a_size_that_is_not_the_cameras(driving) -> None:
    vehicle = driving.vehicle
    whole = [tick.jpeg for tick in vehicle.ticks]
    for tick in vehicle.ticks[60:64]:
        rgb = cv2.imdecode(np.frombuffer(tick.jpeg, np.uint8), cv2.IMREAD_COLOR)
        tick.jpeg = cv2.imencode(".jpg", rgb[:50])[1].tobytes()
    statuses = vehicle.drive(range(60, 64))
    assert "frame_size_changed" in statuses[-1].reasons
    for tick, jpeg in zip(vehicle.ticks, whole, strict=True):
        tick.jpeg = jpeg
    found_again(driving, range(64, 130))


def test_camera_info_late(stage) -> None:
    stage.up()
    vehicle = stage.vehicle
    vehicle.info_silent = True
    first = told_on_the_way(stage, "no_camera_info")
    vehicle.info_silent = False
    found_again(stage, range(first, first + 86))


def test_camera_info_that_describes_no_camera(stage) -> None:
    stage.up()
    vehicle = stage.vehicle
    vehicle.info_changes = {"K": np.zeros((3, 3))}
    first = told_on_the_way(stage, "bad_camera_info")
    vehicle.info_changes = {}
    found_again(stage, range(first, first + 86))


def test_mount_missing_from_the_transform_tree(stage) -> None:
    assert stage.change("configure")
    assert stage.change("activate")
    stage.wait_for_subscribers()
    vehicle = stage.vehicle
    first = told_on_the_way(stage, "no_mount")
    vehicle.send_mount()
    found_again(stage, range(first, first + 86))


def test_images_with_stamp_zero_and_from_the_future(driving) -> None:
    vehicle, refused = driving.vehicle, driving.vehicle.statuses[-1].frames_refused

    def nonsense() -> None:
        vehicle.send_image(0, vehicle.ticks[60].jpeg)
        vehicle.send_image(vehicle.now_ns + 100 * NS, vehicle.ticks[60].jpeg)
        vehicle.let_time_pass(0.1)

    told(driving, "stale_frame", nonsense)
    shift = vehicle.now_ns - vehicle.ticks[59].stamp_ns
    found_again(driving, range(60, 130), shift)
    assert vehicle.statuses[-1].frames_refused >= refused + 2


def test_images_older_than_the_limit(driving) -> None:
    vehicle = driving.vehicle

    def old() -> None:
        vehicle.send_image(vehicle.now_ns - 30 * NS, vehicle.ticks[60].jpeg)
        vehicle.let_time_pass(0.1)

    told(driving, "stale_frame", old)
    shift = vehicle.now_ns - vehicle.ticks[59].stamp_ns
    found_again(driving, range(60, 130), shift)


def test_odometry_stops(driving) -> None:
    vehicle = driving.vehicle
    kept = [tick.odometry for tick in vehicle.ticks]
    for tick in vehicle.ticks[60:75]:
        tick.odometry = None
    vehicle.drive(range(60, 75), answered=False, pause_s=0.02)
    told(driving, "no_odometry", lambda: vehicle.let_time_pass(0.1))
    for tick, odometry in zip(vehicle.ticks, kept, strict=True):
        tick.odometry = odometry
    shift = max(vehicle.now_ns - vehicle.ticks[74].stamp_ns, 0)
    found_again(driving, range(75, 130), shift)


def test_odometry_of_nan(driving) -> None:
    vehicle = driving.vehicle
    kept = [tick.odometry for tick in vehicle.ticks]
    for tick in vehicle.ticks[60:64]:
        tick.odometry = np.full(3, np.nan)
    vehicle.drive(range(60, 64), answered=False, pause_s=0.02)
    for tick, odometry in zip(vehicle.ticks, kept, strict=True):
        tick.odometry = odometry
    statuses = vehicle.drive(range(64, 66))
    assert "bad_odometry" in statuses[0].reasons
    found_again(driving, range(66, 130))


def test_a_recording_loops_and_the_clock_goes_back(driving) -> None:
    vehicle = driving.vehicle
    vehicle.tick_clock(vehicle.ticks[0].stamp_ns)
    (first,) = vehicle.drive(range(0, 1))
    assert first.state != LOCALISED
    found_again(driving, range(1, 100))


def test_index_deleted_and_corrupted_while_running(driving, made) -> None:
    from geoloc_msgs.srv import LoadIndex

    copy = driving.folder / "copy"
    shutil.copytree(made.index, copy)
    victim = next((copy / "shards").glob("*.codes.npy"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    answer = driving.call(LoadIndex, "load_index", LoadIndex.Request(path=str(copy)))
    assert not answer.success
    assert victim.name in answer.message
    gone = driving.call(LoadIndex, "load_index", LoadIndex.Request(path=str(copy / "gone")))
    assert not gone.success
    assert gone.entries == answer.entries > 0
    nobody = driving.call(LoadIndex, "load_index", LoadIndex.Request(path="~nosuchuser/index"))
    assert "nosuchuser" in nobody.message
    assert driving.vehicle.drive(range(60, 61))[0].state == LOCALISED
    shutil.rmtree(copy)
    shutil.copytree(made.index, copy)
    good = driving.call(LoadIndex, "load_index", LoadIndex.Request(path=str(copy)))
    assert good.success, good.message
    shutil.rmtree(copy)  # what is loaded is in memory
    assert driving.vehicle.drive(range(61, 62))[0].state == LOCALISED
    found_again(driving, range(62, 130))


def test_an_index_that_is_gone_when_configuring(made, tmp_path) -> None:
    from harness import Stage

    stage = Stage(made, tmp_path, index=str(tmp_path / "gone"))
    try:
        assert not stage.change("configure")
        assert "gone" in stage.localizer.progress
        assert stage.set_parameter("index", str(made.index))
        stage.up()
        found_again(stage, range(90))
    finally:
        stage.close()


def test_camera_names_that_are_none_are_refused_when_configuring(made, tmp_path) -> None:
    from harness import Stage

    for names, words in (("front, rear cam", "rear cam"), ("front, front", "twice")):
        stage = Stage(made, tmp_path / words, cameras=names)
        try:
            assert not stage.change("configure")
            assert words in stage.localizer.progress
        finally:
            stage.close()


def test_two_localizers_claim_the_transform(made, tmp_path) -> None:
    from harness import NS, Stage, wait_until
    from tf2_msgs.msg import TFMessage

    from geoloc_ros.ros import conversions

    stage = Stage(made, tmp_path, publish_tf=True)
    try:
        stage.up()
        stage.vehicle.drive(range(60))
        assert wait_until(lambda: stage.vehicle.transforms)
        assert {t.child_frame_id for t in stage.vehicle.transforms} == {"odom"}
        found = []
        from diagnostic_msgs.msg import DiagnosticArray

        stage.vehicle.listen(DiagnosticArray, "/diagnostics", found)
        assert not wait_until(lambda: _says(found, "another node"), 1.0)
        other = stage.vehicle.create_publisher(TFMessage, "/tf", 10)
        assert wait_until(lambda: other.get_subscription_count() >= 2)
        foreign = conversions.map_to_odom(
            np.array([7.0, 0.0, 0.0]), stage.vehicle.now_ns + NS, stage.localizer.node_config
        )
        other.publish(TFMessage(transforms=[foreign]))
        assert wait_until(lambda: _says(found, "another node"), WITHIN_S)
        stage.vehicle.let_time_pass(6.0)
        found.clear()
        assert not wait_until(lambda: _says(found, "another node"), 1.0)
    finally:
        stage.close()


def _says(arrays: list, words: str) -> bool:
    return any(words in status.message for array in arrays for status in array.status)
