# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled kernels against the same in a line of numpy or two."""

from __future__ import annotations

import numpy as np
import pytest

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Motion
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering import evidence, kernels, motion_model, resampling
from geoloc_ros.filtering.measurement_model import MeasurementModel
from geoloc_ros.filtering.particles import Modes
from geoloc_ros.geo import se2

COUNTS = np.array([40, 1, 25])
OWNER = np.repeat(np.arange(3), COUNTS)


@pytest.fixture
def cloud():
    """Poses, weights and log weights of three modes, one of them across the seam of yaw."""
    rng = np.random.default_rng(1)
    poses = rng.normal([0.0, 5.0, 3.1], [2.0, 1.0, 0.2], (len(OWNER), 3))
    poses[:, 2] = se2.wrap_angle(poses[:, 2])
    weights = rng.uniform(0.1, 1.0, len(OWNER))
    weights /= np.bincount(OWNER, weights)[OWNER]
    return poses, weights, np.log(weights)


def per_mode(weights, values):
    return np.array([np.sum((weights * values)[m == OWNER]) for m in range(3)])


def test_move_is_composition(cloud):
    poses = cloud[0]
    cov = np.array([[0.04, 0.01, 0.002], [0.01, 0.03, 0.002], [0.002, 0.002, 0.001]])
    motion = Motion(0, 1, np.array([1.0, -0.2, 0.1]), cov)
    noise = np.random.default_rng(4).standard_normal(poses.shape)
    steps = motion.increment + noise @ np.linalg.cholesky(cov).T
    moved = motion_model.move(poses, motion, np.random.default_rng(4))
    np.testing.assert_allclose(moved, se2.compose(poses, steps), atol=1e-9)
    both = motion_model.compose(poses[0], motion.increment)
    np.testing.assert_allclose(both, se2.compose(poses[0], motion.increment), atol=1e-12)


def test_log_ratio_is_a_mixture():
    card = Calibration()
    model = MeasurementModel(card, 0.05)
    similarity = np.linspace(-1.0, 1.0, 21)
    got = model.log_ratio(similarity, np.ones(21, dtype=bool))
    raw = (similarity - model._pivot) / card.temperature
    np.testing.assert_allclose(got, np.log(0.95 * np.exp(raw) + 0.05), atol=1e-9)


def test_weigh_image(cloud):
    _, weights, log_weights = cloud
    rng = np.random.default_rng(2)
    ratio, similarity = rng.normal(size=(2, len(OWNER)))
    similarity[3] = np.nan
    supported = rng.uniform(size=len(OWNER)) < 0.7
    born, confirmed = np.array([True, False, False]), np.array([False, True, True])
    factor = np.where(born, 1.0, 0.2)
    after, got, gained, level, inside = kernels.weigh_image(
        log_weights, COUNTS, ratio, similarity, supported, 0.2, born, confirmed, 0.1
    )
    counted = np.where(supported | ~confirmed[OWNER], factor[OWNER] * ratio, 0.0)
    likelihood = per_mode(weights, np.exp(counted))
    expected = weights * np.exp(counted) / likelihood[OWNER]
    usable = np.where(supported & np.isfinite(similarity), similarity, 0.1)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    np.testing.assert_allclose(np.exp(after), expected, atol=1e-12)
    np.testing.assert_allclose(gained, np.log(likelihood), atol=1e-12)
    np.testing.assert_allclose(level, per_mode(expected, usable), atol=1e-12)
    np.testing.assert_allclose(inside, per_mode(expected, supported), atol=1e-12)


def test_moments_and_roughness(cloud):
    poses, weights, _ = cloud
    moments = kernels.moments(poses, weights, COUNTS)
    parts = [poses[:, 0], poses[:, 1], np.cos(poses[:, 2]), np.sin(poses[:, 2])]
    np.testing.assert_allclose(moments.T, [per_mode(weights, part) for part in parts])
    means = kernels.mean_poses(moments)
    np.testing.assert_allclose(means[:, 2], np.arctan2(moments[:, 3], moments[:, 2]))
    delta = poses - means[OWNER]
    delta[:, 2] = se2.wrap_angle(delta[:, 2])
    sigma = np.sqrt([per_mode(weights, delta[:, axis] ** 2) for axis in range(3)]).T
    least, most = np.array([0.1, 0.2, 0.01]), np.array([1.0, 9.0, 9.0])
    rough = kernels.roughness(poses, weights, COUNTS, moments, (least, 0.3, most))
    np.testing.assert_allclose(rough, least + 0.3 * np.minimum(sigma, most), atol=1e-9)


def test_resample_is_systematic(cloud):
    poses, weights, log_weights = cloud
    wanted, offset = np.array([60, 0, 10]), np.array([0.3, 0.9, 0.6])
    found, found_log, found_weights = resampling.resample(
        poses, log_weights, weights, COUNTS, wanted, offset, np.zeros((3, 3)), np.zeros((70, 3))
    )
    expected = []
    for mode, count in enumerate(wanted):
        own = np.flatnonzero(mode == OWNER)
        at = (np.arange(count) + offset[mode]) / max(count, 1)
        chosen = np.searchsorted(np.cumsum(weights[own]), at) if count else range(len(own))
        expected.append(poses[own[chosen]])
    np.testing.assert_array_equal(found, np.concatenate(expected))
    np.testing.assert_allclose(np.exp(found_log), found_weights)
    np.testing.assert_allclose(found_weights[[0, 60, 61]], [1 / 60, 1.0, 0.1])


def test_to_draw(cloud):
    weights = cloud[1].copy()
    weights[:40] = 1e-6
    weights[7] = 1.0
    np.testing.assert_array_equal(resampling.to_draw(weights, COUNTS, COUNTS), [40, 0, 0])
    np.testing.assert_array_equal(resampling.to_draw(cloud[1], COUNTS, COUNTS + 1), COUNTS + 1)


def test_near_and_absorb():
    means = np.array([[0.0, 0.0, 3.1], [1.0, 0.0, -3.1], [1.0, 0.0, 0.0], [9.0, 0.0, 3.1]])
    close = kernels.near(means, means, 2.0, 0.2)
    expected = np.eye(4, dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    np.testing.assert_array_equal(close, expected)
    log_mass, confirmed = np.log([0.1, 0.4, 0.3, 0.2]), np.array([True, False, False, False])
    left = kernels.absorb(means, log_mass, confirmed, 2.0, 0.2)
    np.testing.assert_array_equal(left, [False, True, True, True])
    assert log_mass[1] == pytest.approx(np.log(0.5))
    assert confirmed[1]


def test_survey(cloud):
    poses, weights, _ = cloud
    poses = poses + np.array([0.0, 0.5, 50.0])[OWNER][:, None] * [1.0, 1.0, 0.0]
    mass = np.array([0.5, 0.2, 0.25])
    moments = kernels.moments(poses, weights, COUNTS)
    lead, pose, cov, whole, share, second, most, support, known = kernels.survey(
        poses,
        weights,
        COUNTS,
        moments,
        np.log(mass),
        np.array([3.0, 4.0, 9.0]),
        np.array([20.0, 10.0, 50.0]),
        np.array([False, True, False]),
        6.0,
        1.0,
    )
    assert lead == 0
    assert (share, second) == (pytest.approx(0.7), pytest.approx(0.25))
    assert (most, support, known) == (4.0, 20.0, True)
    each = weights * mass[OWNER]
    inside = OWNER < 2
    own = np.where(inside, each, 0.0) / each[inside].sum()
    yaw = se2.circular_mean(poses[:, 2], own)
    np.testing.assert_allclose(pose, [own @ poses[:, 0], own @ poses[:, 1], yaw], atol=1e-9)
    delta = poses - pose
    delta[:, 2] = se2.wrap_angle(delta[:, 2])
    np.testing.assert_allclose(cov, (delta * own[:, None]).T @ delta, atol=1e-9)
    np.testing.assert_allclose(whole, (delta * each[:, None]).T @ delta / each.sum(), atol=1e-9)


def test_log_sum():
    assert kernels.log_sum(np.log([0.2, 0.3]), np.log(0.5)) == pytest.approx(0.0)
    assert kernels.log_sum(np.zeros(0), -np.inf) == -np.inf
    log_mass = np.log([1.0, 2.0])
    assert np.exp(kernels.normalise(log_mass, np.log(2.0))) == pytest.approx(0.4)
    np.testing.assert_allclose(np.exp(log_mass), [0.2, 0.4])


def test_record_is_forward_algorithm_and_cumulative_sum():
    config = FilterConfig()
    modes = Modes()
    modes.append(np.zeros((2, 5, 3)), np.log([0.5, 0.4]), np.full(2, 10.0))
    modes.born[0] = False
    modes.blocked[0], modes.evidence[0], modes.low_m[0], modes.level[0] = 0.2, 3.0, 1.0, 0.9
    ratio, level = np.array([1.5, 2.0]), np.array([0.8, 0.1])
    before = modes.log_mass.copy()
    evidence.record(modes, ratio, level, np.ones(2), (1.0, 1.0), 8.0, config)
    share = config.outlier_share
    hidden = share + (0.2 - share) * np.exp(-1.0 / evidence.BLOCKED_OVER_M)
    gained = np.log((1.0 - hidden) * np.exp(1.5) + hidden)
    gained = min(gained, 8.0 / config.decorrelation_m)
    assert modes.log_mass[0] - before[0] == pytest.approx(gained)
    assert modes.evidence[0] == pytest.approx(3.0 + gained)
    assert modes.low_m[0] == 0.0
    assert modes.support_m[0] == pytest.approx(1.0)
    assert modes.level[0] == pytest.approx(0.9 - 0.1 * -np.expm1(-1.0 / evidence.LEVEL_OVER_M))
    assert modes.log_mass[1] - before[1] == pytest.approx(np.log(0.95 * np.exp(2.0) + 0.05))
    assert (modes.evidence[1], modes.support_m[1], modes.level[1]) == (0.0, 0.0, 0.1)
    assert not modes.born.any()


def test_contradicted_modes_have_to_prove_themselves_again():
    config = FilterConfig()
    modes = Modes()
    modes.append(np.zeros((1, 5, 3)), np.zeros(1), np.full(1, 10.0))
    modes.born[:], modes.confirmed[:], modes.support_m[:] = False, True, 30.0
    far = config.lost_after_m + 1.0
    evidence.record(modes, np.zeros(1), np.zeros(1), np.zeros(1), (far, far), 8.0, config)
    assert modes.confirmed[0], "outside the index images say nothing against a known place"
    evidence.record(modes, np.zeros(1), np.zeros(1), np.ones(1), (far, far), 8.0, config)
    assert not modes.confirmed[0]
    assert modes.support_m[0] == modes.evidence[0] == 0.0
