# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the localizer node is made of, where there is no ROS: messages are plain objects."""

import json
from pathlib import Path

import numpy as np
import pytest
from live_vehicle import Drive
from made_flight import PLANE, STEP_NS

from geoloc_ros.datatypes import GeoPrior, Odometry, PoseEstimate, Reason, Status
from geoloc_ros.errors import ConfigError
from geoloc_ros.geo import se2
from geoloc_ros.ros.frame_recorder import FrameRecorder
from geoloc_ros.ros.loading import Loaded
from geoloc_ros.ros.node_config import LocalizerConfig
from geoloc_ros.ros.odometry_trail import OdometryTrail
from geoloc_ros.ros.saved_pose import SavedPose

NS = 10**9


def test_a_vehicle_is_found_and_map_to_odom_answers_to_raw_odometry(drive, made) -> None:
    statuses = drive.go(range(60))
    assert statuses[-1] is Status.LOCALISED
    last = drive.concluded[-1]
    at = se2.compose(last.T_map_odom, drive.ticks[59].odometry)
    assert np.allclose(at, last.estimate.pose, atol=1e-6)
    assert np.hypot(*(at - made.poses[59])[:2]) < 5.0
    assert drive.live.counts()["frames_used"] == 60


def test_only_the_newest_image_waits(drive) -> None:
    drive.go(range(10))
    for tick in drive.ticks[10:15]:
        drive.frame(tick)
    drive.work()
    assert [c.estimate.stamp_ns for c in drive.concluded[10:]] == [drive.ticks[14].stamp_ns]
    assert drive.live.counts()["frames_dropped"] == 4


def test_images_wait_for_lens_and_mount_and_the_reason_is_told(loaded, ticks) -> None:
    drive = Drive(loaded, ticks)
    assert drive.go(range(3)) == []
    assert drive.live.reasons_now(drive.now_ns) == (Reason.NO_CAMERA_INFO,)
    assert drive.live.status_now(drive.now_ns).status is Status.UNINITIALISED
    drive.info()
    drive.work()
    assert drive.live.reasons_now(drive.now_ns) == (Reason.NO_MOUNT,)
    assert "base_link to camera" in drive.live.cameras.faults[""]
    drive.mount()
    drive.work()
    assert len(drive.concluded) == 1  # the newest that waited
    assert drive.live.reasons_now(drive.now_ns) == ()
    drive.info(k=np.zeros(9))
    drive.work()
    assert drive.live.cameras.missing() == (Reason.BAD_CAMERA_INFO,)


@pytest.mark.parametrize(
    ("shift_s", "reason"),
    [(-3.0, Reason.STALE_FRAME), (1.0, Reason.BAD_STAMP), (None, Reason.BAD_STAMP)],
)
def test_images_of_another_time_are_refused(drive, shift_s, reason) -> None:
    drive.go(range(2))
    stamp = 0 if shift_s is None else drive.now_ns + int(shift_s * NS)
    drive.image(stamp, drive.ticks[2].jpeg)
    drive.work()
    assert len(drive.concluded) == 2
    assert drive.live.refused == {reason: 1}


def test_silence_degrades_and_driving_on_in_silence_loses(drive) -> None:
    drive.go(range(60))
    live = drive.live
    assert live.status_now(drive.now_ns) is None
    assert live.held_transform(drive.now_ns) is not None
    late = drive.now_ns + 2 * NS
    degraded = live.status_now(late)
    assert degraded.status is Status.DEGRADED
    assert Reason.STALE_FRAME in degraded.reasons
    for tick in drive.ticks[60:100]:
        drive.now_ns = tick.stamp_ns
        drive.odometry(tick.stamp_ns, tick.odometry)
    drive.work()
    assert live.status_now(late + 4 * NS).status is Status.LOST
    assert live.held_transform(late + 4 * NS) is None


def test_a_clock_that_goes_back_starts_over(drive) -> None:
    drive.go(range(60))
    drive.live.clock_jumped()
    statuses = drive.go(range(0, 90))
    assert statuses[0] is not Status.LOCALISED
    assert statuses[-1] is Status.LOCALISED


def test_a_hint_shortens_the_search(loaded, ticks, made) -> None:
    firsts = []
    for hint in (False, True):
        drive = Drive(loaded, ticks)
        drive.info()
        drive.mount()
        drive.go(range(2))
        if hint:
            drive.live.initial_pose(drive.now_ns, made.poses[1], np.zeros((3, 3)))
        firsts.append(drive.go(range(2, 60)).index(Status.LOCALISED))
    assert firsts[1] < firsts[0]


def test_an_index_that_cannot_carry_the_belief_is_refused_and_the_old_one_stays(
    drive, loaded
) -> None:
    from dataclasses import replace

    from geoloc_ros.geo.wgs84 import LatLon

    drive.go(range(60))
    far = replace(loaded.index.manifest, origin=LatLon(48.0, 2.0))
    other = type(loaded.index).__new__(type(loaded.index))
    other.__dict__ = {**loaded.index.__dict__, "manifest": far}
    swapped = drive.live.load_index(Loaded(loaded.package, loaded.encoder, other))
    drive.work()
    assert "50000 m" in str(swapped.exception())
    assert drive.go(range(60, 70))[-1] is Status.LOCALISED


def test_the_saved_pose_comes_back_as_a_soft_prior(tmp_path) -> None:
    config = LocalizerConfig(saved_pose_file=str(tmp_path / "deep" / "pose.json"))
    saved = SavedPose(config, "/geoloc_localizer")
    pose, cov = np.array([10.0, -20.0, 0.4]), np.diag([4.0, 1.0, 0.01])
    here = PLANE.position(10.0, -20.0)
    estimate = PoseEstimate(5, Status.DEGRADED, (), pose, cov, here, 0.7, 2.0)
    saved.keep(estimate)
    assert saved.prior(PLANE) is None
    saved.keep(PoseEstimate(5, Status.LOCALISED, (), pose, cov, here, 0.7, 2.0))
    prior = saved.prior(PLANE)
    assert isinstance(prior, GeoPrior)
    assert np.allclose(prior.means[0], pose, atol=1e-3)
    assert prior.covs_xy_yaw[0, 0, 0] == pytest.approx(104.0)
    assert prior.shares.tolist() == [0.5]
    assert SavedPose(LocalizerConfig(saved_pose_file="none"), "n").path is None


@pytest.mark.parametrize("content", ["", "{}", '{"lat_deg": 1e9}', "[1]", '{"lat_deg": "x"}'])
def test_a_saved_pose_that_is_damaged_is_of_no_use(tmp_path, content, caplog) -> None:
    path = tmp_path / "pose.json"
    path.write_text(content)
    assert SavedPose(LocalizerConfig(saved_pose_file=str(path)), "n").prior(PLANE) is None
    assert "of no use" in caplog.text


def test_a_pose_that_cannot_be_kept_is_told_and_nothing_more(tmp_path, caplog) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    saved = SavedPose(LocalizerConfig(saved_pose_file=str(blocked / "pose.json")), "n")
    here = PLANE.position(0.0, 0.0)
    saved.keep(PoseEstimate(1, Status.LOCALISED, (), np.zeros(3), np.eye(3), here, 0.7, 2.0))
    assert "cannot be kept" in caplog.text


def test_the_odometry_trail_interpolates_and_forgets_what_restarts() -> None:
    trail = OdometryTrail()
    assert trail.at(0) is None
    assert trail.add(Odometry(0, np.zeros(3))) == 0.0
    assert trail.add(Odometry(STEP_NS, np.array([3.0, 4.0, 0.0]))) == pytest.approx(5.0)
    assert trail.add(Odometry(2 * STEP_NS, np.full(3, np.nan))) == 0.0
    assert trail.at(STEP_NS // 2)[0] == pytest.approx(1.5)
    assert trail.at(STEP_NS + NS) is None
    trail.add(Odometry(-10 * NS, np.array([100.0, 0.0, 0.0])))
    assert trail.at(0) is None
    assert trail.at(-10 * NS)[0] == 100.0


def test_frames_are_recorded_only_when_asked_for(drive, tmp_path) -> None:
    drive.go(range(2))
    frame = drive.concluded[0].tracked.frame
    FrameRecorder(LocalizerConfig()).keep(frame)
    with pytest.raises(ConfigError, match="record_dir"):
        FrameRecorder(LocalizerConfig(record_frames=True))
    folder = tmp_path / "frames"
    recorder = FrameRecorder(LocalizerConfig(record_frames=True, record_dir=str(folder)))
    recorder.keep(frame)
    assert [p.name for p in folder.iterdir()] == [f"camera_{frame.stamp_ns}.jpg"]


def test_the_parameter_file_is_what_the_code_declares() -> None:
    text = (Path(__file__).parents[2] / "config/localizer.yaml").read_text()
    assert f"stale_after_s: {json.dumps(LocalizerConfig().stale_after_s)}" in text
