# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Messages and silences that once led the live localizer astray."""

from types import SimpleNamespace as Message

import numpy as np
import pytest
from live_vehicle import NS, Drive, header, quaternion

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import GeoPrior, Odometry, Reason, Status
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.errors import ConfigError, GeodesyError
from geoloc_ros.filtering.belief import MOST_OF_PRIORS, Belief
from geoloc_ros.filtering.late_knowledge import MOST_PRIORS, usable
from geoloc_ros.ros.node_config import LocalizerConfig, user_path
from geoloc_ros.ros.odometry_trail import OdometryTrail
from geoloc_ros.ros.saved_pose import SavedPose


def test_a_lens_whose_mount_is_unknown_ends_the_use_of_the_old_one(drive) -> None:
    assert drive.go(range(60))[-1] is Status.LOCALISED
    drive.info(header=header(drive.now_ns, "elsewhere"))
    drive.work()
    assert drive.live.cameras.missing() == (Reason.NO_MOUNT,)
    assert drive.go(range(60, 70)) == []
    blind = drive.live.status_now(drive.now_ns + 2 * NS)
    assert blind.status in (Status.DEGRADED, Status.LOST)
    assert Reason.NO_MOUNT in blind.reasons


def test_when_images_and_odometry_are_silent_the_place_is_given_up_in_time(drive) -> None:
    drive.go(range(60))
    soon = drive.live.status_now(drive.now_ns + 2 * NS)
    assert soon.status is Status.DEGRADED
    assert {Reason.STALE_FRAME, Reason.NO_ODOMETRY} <= set(soon.reasons)
    late = drive.now_ns + 60 * NS
    assert drive.live.status_now(late).status is Status.LOST
    assert drive.live.held_transform(late) is None
    assert not drive.live.said.held  # whoever fuses the pose is told when it is found anew


@pytest.mark.parametrize("act", ["relocalize", "clock_jumped"])
def test_what_was_said_does_not_outlive_being_told_to_search(drive, act) -> None:
    drive.go(range(60))
    getattr(drive.live, act)()
    drive.work()
    assert drive.live.held_transform(drive.now_ns) is None
    assert drive.live.status_now(drive.now_ns + 2 * NS).status is Status.UNINITIALISED


@pytest.mark.parametrize("shift_s", [10_000.0, -10_000.0, -1.7e9])
def test_odometry_and_heights_of_another_time_change_nothing(drive, shift_s) -> None:
    drive.go(range(60))
    stamp = drive.now_ns + int(shift_s * NS)
    drive.live.odometry(odometry_message(stamp), drive.now_ns)
    ranging = Message(header=header(stamp, "base_link"), range=40.0)
    drive.live.height(ranging, drive.now_ns)
    statuses = drive.go(range(60, 90))
    assert len(statuses) == 30
    assert set(statuses) == {Status.LOCALISED}


def odometry_message(stamp_ns: int) -> Message:
    place = Message(x=1.0, y=1.0, z=0.0)
    turn = quaternion(0.0, 0.0, 0.0, 1.0)
    twist = Message(twist=Message(linear=Message(x=0.0), angular=Message(z=0.0)))
    pose = Message(pose=Message(position=place, orientation=turn))
    return Message(header=header(stamp_ns, "odom"), pose=pose, twist=twist)


def test_one_broken_transform_does_not_take_the_mount_with_it(loaded, ticks) -> None:
    drive = Drive(loaded, ticks)
    drive.info()
    drive.mount(beside=quaternion(0.0, 0.0, 0.0, 0.0))
    assert len(drive.go(range(3))) == 3


def test_an_initial_pose_where_nobody_can_be_is_refused(drive) -> None:
    for x_m in (1e6, np.nan):
        with pytest.raises(GeodesyError):
            drive.live.initial_pose(drive.now_ns, np.array([x_m, 0.0, 0.0]), np.eye(3))


def test_a_covariance_that_is_none_is_not_usable() -> None:
    cov = np.array([[1.0, 10.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert not usable(GeoPrior.gaussian(0, np.zeros(3), cov, 0.5, "x"))
    many = GeoPrior(
        0, np.zeros((900, 3)), np.tile(np.eye(3), (900, 1, 1)), np.full(900, 1e-3), "x"
    )
    assert not usable(many)


def test_talkative_sources_of_priors_do_not_pile_up() -> None:
    belief = Belief(FilterConfig(), Calibration(), 0)
    for number in range(200):
        mean = np.array([3.0 * number, 0.0, 0.0])
        belief.apply_prior(GeoPrior.gaussian(0, mean, np.eye(3), 0.9, f"hint {number}"))
    assert len(belief._modes) <= MOST_OF_PRIORS
    assert len(belief._priors) <= MOST_PRIORS + 1


def test_a_prior_of_an_hour_ago_changes_nothing_and_is_named(drive, caplog) -> None:
    drive.go(range(60))
    astray = np.array([200.0, 0.0, 0.0])
    stamp_ns = drive.now_ns - 3600 * NS
    drive.live.prior(GeoPrior.gaussian(stamp_ns, astray, np.diag([4.0, 4.0, 0.01]), 0.9, "slow"))
    assert set(drive.go(range(60, 90))) == {Status.LOCALISED}
    assert "a prior is not heard: slow speaks 36" in caplog.text


def test_the_trail_reaches_back_at_any_rate_and_a_little_ahead() -> None:
    trail = OdometryTrail()
    for ms in range(0, 4000):
        trail.add(Odometry(ms * 1_000_000, np.array([0.015 * ms, 0.0, 0.0])))
    assert trail.at(1_300_000_000)[0] == pytest.approx(19.5)
    assert trail.at(4_399_000_000)[0] == pytest.approx(65.985, abs=0.01)
    assert trail.at(4_600_000_000) is None
    assert trail.speed_mps() == pytest.approx(15.0)


@pytest.mark.parametrize("content", ['{"lat_deg": 1' + "0" * 400 + "}", "[" * 100_000])
def test_a_saved_pose_that_python_cannot_read_is_of_no_use(tmp_path, content) -> None:
    from made_flight import PLANE

    path = tmp_path / "pose.json"
    path.write_text(content)
    assert SavedPose(LocalizerConfig(saved_pose_file=str(path)), "n").prior(PLANE) is None
    long = SavedPose(LocalizerConfig(saved_pose_file=str(tmp_path / ("x" * 300))), "n")
    assert long.prior(PLANE) is None


def test_a_home_of_nobody_is_named() -> None:
    with pytest.raises(ConfigError, match="nosuchuser"):
        user_path("~nosuchuser/index")
