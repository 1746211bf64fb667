# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a vehicle was when it took a picture, from fixes and odometry."""

import numpy as np
import pytest
from made_drives import into_odometry, round_trip

from geoloc_ros.datatypes import Odometry
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.training import drive_poses
from geoloc_ros.training.drive_poses import DeadReckoning, FramePoses, lay, turned
from geoloc_ros.training.fixes import Fixes, Gate

STEP_NS = 100_000_000


def drive(
    poses: np.ndarray, fixes_m: np.ndarray, sigma_m: float = 0.5, antenna_m=(0.0, 0.0),
    every: int = 1, yaw_rad: float = np.nan,
) -> FramePoses:  # fmt: skip
    stamps = np.arange(len(poses)) * STEP_NS
    samples = [
        Odometry(int(s), np.array(into_odometry(p))) for s, p in zip(stamps, poses, strict=True)
    ]
    rows = np.arange(0, len(poses), every)
    fixes = Fixes(
        stamps[rows], fixes_m[rows], np.full(len(rows), sigma_m), np.full(len(rows), yaw_rad),
        np.array(antenna_m), len(rows), {},
    )  # fmt: skip
    return FramePoses(fixes, DeadReckoning(samples), Gate())


def straight(count: int, speed_mps: float) -> np.ndarray:
    """Poses (count, 3) a tenth of a second apart."""
    away, yaw = np.arange(count) * speed_mps * 0.1, 0.4
    return np.column_stack([away * np.cos(yaw), away * np.sin(yaw), np.full(count, yaw)])


def error(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    away = float(np.hypot(*(found[:2] - true[:2])))
    return away, float(np.degrees(abs(wrap_angle(found[2] - true[2]))))


def test_laying_a_way_on_fixes_is_the_textbook_rigid_motion() -> None:
    rng = np.random.default_rng(0)
    way = rng.uniform(-10, 10, (40, 2))
    fixes = turned(way, 0.7) + np.array([3.0, -8.0])
    laid = lay(way, fixes, np.ones(40), np.zeros(40))
    assert laid.turn_rad == pytest.approx(0.7, abs=1e-9)
    assert laid.shift_m == pytest.approx([3.0, -8.0], abs=1e-9)
    assert laid.strays == 0.0
    # A line of n points has sum (x - mean)^2; the turn's deviation is sigma over its root.
    spread = ((way - way.mean(axis=0)) ** 2).sum()
    assert laid.sigma_rad == pytest.approx(1.0 / np.sqrt(spread), rel=1e-6)


def test_a_stray_fix_does_not_bend_the_way() -> None:
    way = np.column_stack([np.arange(30.0), np.zeros(30)])
    fixes = way.copy()
    fixes[10] += [0.0, 25.0]
    laid = lay(way, fixes, np.full(30, 0.3), np.full(30, 0.5))
    assert laid.turn_rad == pytest.approx(0.0, abs=1e-9)
    assert laid.strays == pytest.approx(1 / 30)


def test_poses_are_better_than_the_fixes_they_come_from() -> None:
    poses = round_trip()
    noise = np.random.default_rng(1).normal(0, 0.8, (len(poses), 2))
    frames = drive(poses, poses[:, :2] + noise, 0.8)
    found = [error(frames.at(i * STEP_NS), poses[i]) for i in range(50, 800, 25)]
    away, turn = np.median(found, axis=0)
    assert away < 0.3
    assert turn < 1.5


def test_the_antenna_is_not_the_base() -> None:
    poses, antenna = round_trip(), np.array([-1.2, 0.6])
    place = poses[:, :2] + np.stack([turned(antenna, p[2]) for p in poses])
    frames = drive(poses, place, antenna_m=antenna)
    assert error(frames.at(300 * STEP_NS), poses[300]) == pytest.approx((0.0, 0.0), abs=0.02)


def test_a_frame_between_two_samples_is_interpolated() -> None:
    poses = round_trip()
    frames = drive(poses, poses[:, :2])
    middle = 0.5 * (poses[300] + poses[301])
    found = frames.at(300 * STEP_NS + STEP_NS // 2)
    assert error(found, middle) == pytest.approx((0.0, 0.0), abs=0.02)


@pytest.mark.parametrize("speed_mps", [1.5, 5.0, 8.0, 15.0, 30.0])
@pytest.mark.parametrize("sigma_m", [0.05, 1.5])
def test_one_fix_a_second_will_do(speed_mps: float, sigma_m: float) -> None:
    poses = straight(600, speed_mps)
    frames = drive(poses, poses[:, :2], sigma_m, every=10)
    for i in range(300, 310):
        assert error(frames.at(i * STEP_NS), poses[i]) == pytest.approx((0.0, 0.0), abs=0.05)


def test_the_window_is_not_widened_for_ever() -> None:
    poses = straight(600, 40.0)
    assert drive(poses, poses[:, :2], every=10).at(300 * STEP_NS) == "too_few_fixes"


def test_a_jump_beyond_a_window_that_tells_the_heading_does_not_matter() -> None:
    poses = straight(600, 10.0)
    fixes = poses[:, :2] + np.where(np.arange(600) < 320, 0.0, 12.0)[:, None]
    assert isinstance(drive(poses, fixes).at(300 * STEP_NS), np.ndarray)
    assert drive(poses, fixes, every=10).at(300 * STEP_NS) == "contradicted"


@pytest.mark.parametrize(("turned_deg", "right"), [(0.0, True), (8.0, True), (90.0, False)])
def test_a_heading_that_fixes_and_odometry_contradict_is_refused(
    turned_deg: float, right: bool
) -> None:
    poses = straight(200, 10.0)
    frames = drive(poses, poses[:, :2], yaw_rad=poses[0, 2] + np.radians(turned_deg))
    found = frames.at(100 * STEP_NS)
    assert isinstance(found, np.ndarray) if right else found == "heading_contradicted"


def test_a_long_stop_costs_little_and_counts_little() -> None:
    moving = straight(200, 10.0)
    poses = np.concatenate([moving[:100], np.repeat(moving[100:101], 6000, axis=0), moving[100:]])
    fixes = poses[:, :2].copy()
    fixes[2000:] += [30.0, 0.0]  # the receiver jumps while the vehicle stands
    frames = drive(poses, fixes)
    assert len(frames._along_m) < 250
    assert frames.at(3000 * STEP_NS) == "contradicted"


def test_as_many_strays_as_are_too_many_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[float] = []  # two of each round
    monkeypatch.setattr(
        drive_poses, "turned", lambda xy, angle: rounds.append(angle) or turned(xy, angle)
    )
    way = np.column_stack([np.arange(200.0), np.zeros(200)])
    fixes = way + np.random.default_rng(0).uniform(-500, 500, (200, 2))
    assert lay(way, fixes, np.full(200, 0.3), np.full(200, 0.5)).strays > 0.1
    assert len(rounds) < 50


def test_nothing_near_a_jump_is_used() -> None:
    poses = round_trip()
    fixes = poses[:, :2].copy()
    fixes[400:] += [12.0, 0.0]  # from here on the receiver is off, and says so nowhere
    frames = drive(poses, fixes)
    assert frames.at(400 * STEP_NS) == "contradicted"
    assert frames.at(410 * STEP_NS) == "contradicted"
    assert isinstance(frames.at(300 * STEP_NS), np.ndarray)


def test_who_has_not_moved_does_not_know_where_it_looks() -> None:
    poses = np.repeat(np.array([[5.0, 5.0, 0.3]]), 300, axis=0)
    noise = np.random.default_rng(1).normal(0, 0.5, (300, 2))
    assert drive(poses, poses[:, :2] + noise).at(150 * STEP_NS) == "heading_unsure"


def test_outside_of_the_fixes_there_is_no_pose() -> None:
    poses = round_trip()
    frames = drive(poses, poses[:, :2])
    assert frames.at(-STEP_NS) == "no_trusted_fix"
    assert frames.at(len(poses) * STEP_NS) == "no_trusted_fix"


def test_odometry_that_starts_again_at_its_origin_is_two_stretches() -> None:
    poses = round_trip()
    samples = [Odometry(i * STEP_NS, np.array(into_odometry(p))) for i, p in enumerate(poses)]
    again = [Odometry(s.stamp_ns, s.pose - samples[400].pose) for s in samples[400:]]
    track = DeadReckoning([*samples[:400], *again])
    assert sorted(set(track.stretch.tolist())) == [0, 1]
    _, _, stretch = track.at(np.array([399 * STEP_NS + 1, 200 * STEP_NS]))
    assert stretch.tolist() == [-1, 0]


@pytest.mark.parametrize(("gap_s", "stretches"), [(1.3, 1), (2.0, 2)])
def test_odometry_once_a_second_may_be_late_but_not_missing(gap_s: float, stretches: int) -> None:
    seconds = np.arange(20.0)
    seconds[10:] += gap_s - 1.0
    samples = [Odometry(round(s * 1e9), np.array([5.0 * s, 0.0, 0.0])) for s in seconds]
    assert len(set(DeadReckoning(samples).stretch.tolist())) == stretches
