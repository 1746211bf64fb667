# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Odometry buffer: interpolation against closed forms, and everything a bad source can do."""

from __future__ import annotations

import numpy as np
import pytest

from geoloc_ros.config import FilterConfig, InputConfig
from geoloc_ros.datatypes import Odometry, Reason
from geoloc_ros.filtering.odometry import WINDOW_NS, OdometryBuffer, interpolate_increment
from geoloc_ros.geo import se2

MS = 1_000_000


def buffer(samples=()):
    made = OdometryBuffer(InputConfig(), FilterConfig())
    for stamp_ms, *pose in samples:
        made.add(Odometry(stamp_ms * MS, np.array(pose, dtype=float)))
    return made


def straight(until_ms=5000, step_ms=20, speed=10.0, start_ms=0):
    return [(t, speed * t * 1e-3, 0.0, 0.0) for t in range(start_ms, until_ms + 1, step_ms)]


def assert_usable(motion):
    assert np.all(np.isfinite(motion.increment))
    assert np.all(np.linalg.eigvalsh(motion.cov_xy_yaw) > 0.0)


def test_arc_is_interpolated_on_the_circle():
    radius, angle = 20.0, 0.9
    whole = np.array([radius * np.sin(angle), radius * (1 - np.cos(angle)), angle])
    for share in (0.25, 0.5, 1.0, 1.3):
        part = share * angle
        expected = [radius * np.sin(part), radius * (1 - np.cos(part)), part]
        np.testing.assert_allclose(interpolate_increment(whole, share), expected, atol=1e-9)


def test_motion_between_samples_and_its_parts_compose():
    rng = np.random.default_rng(1)
    pose, samples = np.zeros(3), []
    for index in range(100):
        samples.append((20 * index, *pose))
        pose = se2.compose(pose, [0.3, 0.0, 0.02 * rng.standard_normal()])
    made = buffer(samples)
    whole = made.motion(113 * MS, 1507 * MS)
    parts = [made.motion(a * MS, b * MS).increment for a, b in ((113, 690), (690, 1507))]
    np.testing.assert_allclose(se2.compose(*parts), whole.increment, atol=1e-9)
    assert whole.reasons == ()


def test_covariance_grows_with_distance_and_is_never_zero():
    made = buffer(straight())
    short, long = made.motion(0, 100 * MS), made.motion(0, 5000 * MS)
    assert np.all(np.diag(long.cov_xy_yaw) > np.diag(short.cov_xy_yaw))
    assert long.cov_xy_yaw[0, 0] >= (0.02 * 50.0) ** 2
    still = buffer([(t, 1.0, 2.0, 0.3) for t in range(0, 1000, 20)]).motion(0, 500 * MS)
    assert_usable(still)
    assert_usable(made.motion(100 * MS, 100 * MS))


def test_stopped_odometry_coasts_then_admits_ignorance():
    made = buffer(straight(until_ms=1000))
    moment = made.motion(1000 * MS, 1300 * MS)
    assert moment.reasons == ()
    np.testing.assert_allclose(moment.increment, [3.0, 0.0, 0.0], atol=1e-9)
    second = made.motion(1000 * MS, 2000 * MS)
    third = made.motion(1000 * MS, 4000 * MS)
    for motion in (second, third, made.motion(3000 * MS, 4000 * MS)):
        assert motion.reasons == (Reason.NO_ODOMETRY,)
        assert_usable(motion)
    assert third.cov_xy_yaw[0, 0] > 4.0 * second.cov_xy_yaw[0, 0]
    assert second.cov_xy_yaw[0, 0] > 50.0 * moment.cov_xy_yaw[0, 0]


def test_gap_is_bridged_with_its_reason():
    samples = [s for s in straight(until_ms=4000) if not 1000 < s[0] < 2500]
    motion = buffer(samples).motion(900 * MS, 2600 * MS)
    assert motion.reasons == (Reason.NO_ODOMETRY,)
    np.testing.assert_allclose(motion.increment, [17.0, 0.0, 0.0], atol=1e-6)


def test_no_odometry_at_all():
    motion = buffer().motion(5_000 * MS, 5_100 * MS)
    assert motion.reasons == (Reason.NO_ODOMETRY,)
    assert_usable(motion)
    early = buffer(straight(start_ms=1000)).motion(0, 500 * MS)
    assert early.reasons == (Reason.NO_ODOMETRY,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_unusable_samples_are_dropped_and_named(value):
    made = buffer(straight(until_ms=1000))
    made.add(Odometry(1010 * MS, np.array([10.1, value, 0.0])))
    for sample in straight(until_ms=2000, start_ms=1020):
        made.add(Odometry(sample[0] * MS, np.array(sample[1:])))
    motion = made.motion(900 * MS, 1100 * MS)
    assert motion.reasons == (Reason.BAD_ODOMETRY,)
    np.testing.assert_allclose(motion.increment, [2.0, 0.0, 0.0], atol=1e-6)
    assert made.motion(1200 * MS, 1300 * MS).reasons == ()


def test_restart_at_the_origin_costs_one_segment():
    before = straight(until_ms=2000)
    after = [(t, 10.0 * (t - 2020) * 1e-3, 0.0, 0.0) for t in range(2020, 4000, 20)]
    made = buffer([(t, x + 500.0, y, yaw) for t, x, y, yaw in before] + after)
    across = made.motion(1900 * MS, 2100 * MS)
    assert across.reasons == (Reason.BAD_ODOMETRY,)
    np.testing.assert_allclose(across.increment, [2.0, 0.0, 0.0], atol=1e-6)
    clean = made.motion(2100 * MS, 2200 * MS)
    assert clean.reasons == ()
    assert across.cov_xy_yaw[0, 0] > clean.cov_xy_yaw[0, 0]


@pytest.mark.parametrize("stamp_ms", [-3_000, 86_400_000])
def test_clock_jump_clears_and_is_told_once(stamp_ms):
    made = buffer(straight(until_ms=1000))
    made.add(Odometry(stamp_ms * MS, np.zeros(3)))
    assert len(made) == 1
    motion = made.motion(900 * MS, 1000 * MS)
    assert motion.reasons == (Reason.CLOCK_JUMP,)
    assert_usable(motion)
    assert Reason.CLOCK_JUMP not in made.motion(stamp_ms * MS, stamp_ms * MS + 10).reasons


def test_frame_stamps_that_go_back():
    motion = buffer(straight()).motion(2000 * MS, 1000 * MS)
    assert motion.reasons == (Reason.CLOCK_JUMP,)
    np.testing.assert_array_equal(motion.increment, 0.0)


def test_order_of_arrival_and_duplicates_do_not_matter():
    samples = straight(until_ms=800)
    shuffled = [samples[i] for i in np.random.default_rng(3).permutation(len(samples))]
    one, two = buffer(samples), buffer([*shuffled, *shuffled[:5]])
    assert len(one) == len(two)
    first, second = one.motion(33 * MS, 712 * MS), two.motion(33 * MS, 712 * MS)
    np.testing.assert_allclose(first.increment, second.increment, atol=1e-9)
    assert first.reasons == second.reasons == ()


def test_memory_is_bounded():
    made = buffer((t, 0.01 * t, 0.0, 0.0) for t in range(0, 200_000, 100))
    assert len(made) <= WINDOW_NS / (100 * MS) + 2
    assert made.latest_ns == 199_900 * MS
