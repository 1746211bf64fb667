# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Dead reckoning: exact without noise, drifting as measured with it."""

import numpy as np
import pytest

from geoloc_ros.geo.se2 import between, compose, inverse
from geoloc_ros.synthetic.odometry_noise import OdometryNoise, dead_reckon, true_increments
from geoloc_ros.synthetic.trajectory import RATE_HZ, Trajectory, smooth_noise

SILENT = OdometryNoise(
    speed_scale_sigma=0.0,
    scale_wander=0.0,
    speed_noise_mps=0.0,
    delay_s=0.0,
    gyro_bias_radps=0.0,
    gyro_bias_walk=0.0,
    gyro_scale_sigma=0.0,
    heading_walk_rad_per_sqrt_s=0.0,
    sideslip_rad_per_mps2=0.0,
)


def winding(seconds=120.0, speed=9.0, jump=False):
    time = np.arange(0.0, seconds, 1.0 / RATE_HZ)
    yaw = 1.5 * np.sin(time / 7.0) + 0.3
    velocity = speed * np.column_stack([np.cos(yaw), np.sin(yaw)])
    xy = np.cumsum(velocity, axis=0) / RATE_HZ + [50.0, -20.0]
    segment = np.zeros(len(time), dtype=np.int64)
    if jump:
        segment[len(time) // 2 :] = 1
        xy[len(time) // 2 :] += [400.0, 300.0]
    zeros = np.zeros(len(time))
    return Trajectory(
        time,
        np.column_stack([xy, zeros]),
        np.column_stack([zeros, zeros, yaw]),
        np.full(len(time), speed),
        segment,
    )


def test_without_noise_it_is_the_truth():
    truth = winding()
    track = dead_reckon(truth, np.random.default_rng(0), SILENT)
    expected = np.asarray(compose(inverse(truth.planar[0]), truth.planar))
    np.testing.assert_allclose(track.pose[:, :2], expected[:, :2], atol=0.05)
    assert track.speed_mps[500] == pytest.approx(9.0, rel=1e-3)
    assert track.yaw_rate_radps[500] == pytest.approx(
        (truth.rpy_rad[500, 2] - truth.rpy_rad[499, 2]) * RATE_HZ, rel=1e-6
    )


def test_a_kidnapping_leaves_no_trace():
    smooth = dead_reckon(winding(), np.random.default_rng(0), SILENT)
    carried = dead_reckon(winding(jump=True), np.random.default_rng(0), SILENT)
    np.testing.assert_allclose(carried.pose[:, :2], smooth.pose[:, :2], atol=0.1)
    steps = true_increments(winding(jump=True))
    assert np.abs(steps[:, 0]).max() < 0.1


def test_drift_has_the_measured_size():
    truth = winding(60.0)
    driven = truth.distance_m()[-1]
    distance, heading = [], []
    for seed in range(200):
        track = dead_reckon(truth, np.random.default_rng(seed))
        moved = np.linalg.norm(np.diff(track.pose[:, :2], axis=0), axis=1).sum()
        distance.append(moved / driven - 1.0)
        heading.append(track.pose[-1, 2] - (truth.rpy_rad[-1, 2] - truth.rpy_rad[0, 2]))
    assert 0.008 < np.std(distance) < 0.013
    # bias 0.0006 rad/s and walk 0.0008 rad/sqrt(s) over 60 s, and 0.3 % of the turns
    expected = np.hypot(0.0006 * 60.0, 0.0008 * np.sqrt(60.0))
    assert 0.75 * expected < np.std(heading) < 1.4 * expected


def test_standing_still_stays_still():
    time = np.arange(0.0, 30.0, 1.0 / RATE_HZ)
    zeros = np.zeros((len(time), 3))
    truth = Trajectory(time, zeros, zeros, zeros[:, 0], np.zeros(len(time), dtype=np.int64))
    track = dead_reckon(truth, np.random.default_rng(0))
    assert np.abs(track.pose).max() == 0.0


def test_interpolation():
    track = dead_reckon(winding(), np.random.default_rng(3))
    pose, speed, _ = track.at(3.005)
    middle = between(track.pose[300], pose)
    assert middle[0] == pytest.approx(0.045, abs=0.01)
    assert speed == pytest.approx(9.0, abs=0.6)


def test_smooth_noise_has_unit_variance_and_the_right_memory():
    noise = smooth_noise(np.random.default_rng(0), 200_000, 50.0)
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(noise[:-50], noise[50:])[0, 1] == pytest.approx(np.exp(-1), abs=0.05)
