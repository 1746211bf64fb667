# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a vehicle was when it took a picture, from fixes and odometry."""

import dataclasses

import numpy as np
import pytest
from made_drives import into_odometry, round_trip

from geoloc_ros.datatypes import Odometry
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.training.drive_poses import DeadReckoning, FramePoses, lay, turned
from geoloc_ros.training.fixes import Fixes, Gate

STEP_NS = 100_000_000


def drive(
    poses: np.ndarray, fixes_m: np.ndarray, sigma_m: float = 0.5, antenna_m=(0.0, 0.0)
) -> FramePoses:
    stamps = np.arange(len(poses)) * STEP_NS
    samples = [
        Odometry(int(s), np.array(into_odometry(p))) for s, p in zip(stamps, poses, strict=True)
    ]
    fixes = Fixes(
        stamps, fixes_m, np.full(len(poses), sigma_m), np.full(len(poses), np.nan),
        np.array(antenna_m), len(poses), {},
    )  # fmt: skip
    return FramePoses(fixes, DeadReckoning(samples), Gate())


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


def test_one_fix_a_second_will_do() -> None:
    poses = round_trip(300.0)
    frames = drive(poses, poses[:, :2])
    fixes = frames._fixes
    rows = np.arange(0, len(poses), 10)
    sparse = dataclasses.replace(
        fixes, stamp_ns=fixes.stamp_ns[rows], xy_m=fixes.xy_m[rows],
        sigma_m=np.full(len(rows), 0.05), yaw_rad=fixes.yaw_rad[rows],
    )  # fmt: skip
    wide = dataclasses.replace(Gate(), window_m=40.0)
    found = FramePoses(sparse, frames._odometry, wide)
    for i in range(400, 420):
        assert error(found.at(i * STEP_NS), poses[i]) == pytest.approx((0.0, 0.0), abs=0.05)


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
