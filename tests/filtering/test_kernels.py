# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled kernels against the same in a line of numpy or two."""

from __future__ import annotations

import numpy as np
import pytest

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Motion
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering import estimate, evidence, kernels, motion_model, resampling
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


def test_weigh(cloud):
    _, weights, log_weights = cloud
    log_likelihood = np.random.default_rng(2).normal(size=len(OWNER))
    after, got, gained = kernels.weigh(log_weights, COUNTS, log_likelihood)
    likelihood = per_mode(weights, np.exp(log_likelihood))
    expected = weights * np.exp(log_likelihood) / likelihood[OWNER]
    np.testing.assert_allclose(got, expected, atol=1e-12)
    np.testing.assert_allclose(np.exp(after), expected, atol=1e-12)
    np.testing.assert_allclose(gained, np.log(likelihood), atol=1e-12)


def test_mean_poses(cloud):
    poses, weights, _ = cloud
    x, y = per_mode(weights, poses[:, 0]), per_mode(weights, poses[:, 1])
    sin, cos = per_mode(weights, np.sin(poses[:, 2])), per_mode(weights, np.cos(poses[:, 2]))
    expected = np.column_stack([x, y, np.arctan2(sin, cos)])
    np.testing.assert_allclose(kernels.mean_poses(poses, weights, COUNTS), expected, atol=1e-9)


def test_resample_is_systematic(cloud):
    poses, weights, log_weights = cloud
    wanted, offset = np.array([60, 0, 10]), np.array([0.3, 0.9, 0.6])
    still = np.zeros(3), 0.0, np.zeros(3)
    found, found_log, found_weights, counts = resampling.resample(
        poses, log_weights, weights, COUNTS, wanted, offset, np.zeros((70, 3)), still
    )
    np.testing.assert_array_equal(counts, [60, 1, 10])
    expected = []
    for mode, count in enumerate(wanted):
        own = np.flatnonzero(mode == OWNER)
        at = (np.arange(count) + offset[mode]) / max(count, 1)
        chosen = np.searchsorted(np.cumsum(weights[own]), at) if count else range(len(own))
        expected.append(poses[own[chosen]])
    np.testing.assert_array_equal(found, np.concatenate(expected))
    np.testing.assert_allclose(np.exp(found_log), found_weights)
    np.testing.assert_allclose(found_weights[[0, 60, 61]], [1 / 60, 1.0, 0.1])


def test_drawn_poses_are_roughened_by_a_share_of_the_spread(cloud):
    poses, weights, log_weights = cloud
    least, most, noise = np.array([0.1, 0.2, 0.01]), np.array([1.0, 9.0, 9.0]), np.ones((40, 3))
    wanted, offset = np.array([40, 0, 0]), np.full(3, 0.5)
    own = poses[:40] - kernels.mean_poses(poses, weights, COUNTS)[0]
    own[:, 2] = se2.wrap_angle(own[:, 2])
    sigma = np.sqrt(weights[:40] @ own**2)

    def drawn(jitter):
        arrays = poses, log_weights, weights, COUNTS, wanted, offset
        return resampling.resample(*arrays, noise, jitter)[0]

    moved = drawn((least, 0.3, most)) - drawn((np.zeros(3), 0.0, most))
    np.testing.assert_allclose(moved[:40], np.tile(least + 0.3 * np.minimum(sigma, most), (40, 1)))
    np.testing.assert_array_equal(moved[40:], 0.0)


def test_tidy_prunes_merges_and_sees_degeneration(cloud):
    weights = cloud[1].copy()
    weights[:40] = 1e-6
    weights[7] = 1.0
    poses = np.zeros((len(OWNER), 3)) + np.array([0.0, 1.0, 50.0])[OWNER][:, None]
    poses[:, 2] = 0.0

    def tidied(mass, sizes):
        log_mass, confirmed = np.log(mass), np.array([False, True, False])
        limits = -10.0, 2.0, 0.2, np.log(0.5)
        found = kernels.tidy(poses, weights, COUNTS, log_mass, confirmed, limits, sizes)
        return (*found, np.exp(log_mass), confirmed)

    left, drawn, mass, confirmed = tidied([0.4, 0.2, 0.3], (40, 25))
    np.testing.assert_array_equal(left, [True, False, True])
    np.testing.assert_array_equal(drawn[left], [40, 0])
    assert mass[0] == pytest.approx(0.6)
    assert confirmed[0]
    left, drawn, mass, confirmed = tidied([0.9, 1e-6, 0.05], (40, 30))
    np.testing.assert_array_equal(left, [True, False, True])
    np.testing.assert_array_equal(drawn[left], [40, 30])
    assert mass[0] == pytest.approx(0.9)
    assert not confirmed[0]


def test_near():
    means = np.array([[0.0, 0.0, 3.1], [1.0, 0.0, -3.1], [1.0, 0.0, 0.0], [9.0, 0.0, 3.1]])
    expected = np.eye(4, dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    np.testing.assert_array_equal(kernels.near(means, means, 2.0, 0.2), expected)


def test_survey(cloud):
    poses, weights, _ = cloud
    poses = poses + np.array([0.0, 0.5, 50.0])[OWNER][:, None] * [1.0, 1.0, 0.0]
    mass = np.array([0.5, 0.2, 0.25])
    lead, pose, cov, whole, share, second, most, support, known = estimate.survey(
        poses,
        weights,
        COUNTS,
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


def test_normalise():
    log_mass = np.log([1.0, 2.0])
    assert np.exp(kernels.normalise(log_mass, np.log(2.0))) == pytest.approx(0.4)
    np.testing.assert_allclose(np.exp(log_mass), [0.2, 0.4])


def modes_of(poses):
    """Two modes of five particles each, the first of them known for a while."""
    modes = Modes()
    modes.append(poses, np.log([0.5, 0.4]), np.full(2, 10.0))
    modes.born[0] = False
    modes.blocked[0], modes.evidence[0], modes.low_m[0], modes.level[0] = 0.2, 3.0, 1.0, 0.9
    return modes


def test_an_image_is_booked_as_in_the_textbooks():
    """Forward algorithm, mixture and cumulative sum."""
    config, model = FilterConfig(), MeasurementModel(Calibration(), 0.05)
    modes = modes_of(np.zeros((2, 5, 3)))
    similarity = np.repeat(model.background + model.gap * np.array([0.8, 0.1]), 5)
    similarity[7] = np.nan  # stands for the background
    ratio = model.log_ratio(similarity, np.ones(10, dtype=bool))
    log_null, lead, level, inside = evidence.weigh_image(
        modes, similarity, np.ones(10, dtype=bool), model, (1.0, 1.0), np.log(0.1), config
    )
    share = config.outlier_share
    hidden = share + (0.2 - share) * np.exp(-1.0 / evidence.BLOCKED_OVER_M)
    tempered = 1.0 / config.decorrelation_m
    most = min(model.best, evidence.MAX_IMAGE_EVIDENCE)
    first = np.log((1.0 - hidden) * np.exp(tempered * ratio[0]) + hidden)
    first = min(first, most * tempered)
    second = np.log((1.0 - share) * np.exp(ratio[5:]).mean() + share)
    mass = np.array([0.5 * np.exp(first), 0.4 * np.exp(second), 0.1])
    mass /= mass.sum()
    np.testing.assert_allclose(np.exp([*modes.log_mass, log_null]), mass)
    assert (lead, inside) == (0, pytest.approx(1.0))
    assert level == pytest.approx(similarity[0])
    assert modes.evidence[0] == pytest.approx(3.0 + first)
    assert modes.low_m[0] == 0.0
    assert modes.support_m[0] == pytest.approx(1.0)
    assert modes.level[0] == pytest.approx(0.9 + 0.1 * np.expm1(-1.0 / evidence.LEVEL_OVER_M))
    assert (modes.evidence[1], modes.support_m[1]) == (0.0, 0.0)
    assert not modes.born.any()


def test_contradicted_modes_have_to_prove_themselves_again():
    config, model = FilterConfig(), MeasurementModel(Calibration(), 0.05)
    modes = modes_of(np.zeros((2, 5, 3)))
    modes.born[:], modes.confirmed[:], modes.support_m[:] = False, True, 30.0
    similarity = np.full(10, model.background)
    far = 2.0 * config.lost_after_m
    for inside, known in ((False, True), (True, False)):
        supported = np.full(10, inside)
        arguments = similarity, supported, model, (1.0, far), np.log(0.1), config
        evidence.weigh_image(modes, *arguments)
        assert modes.confirmed.all() == modes.confirmed.any() == known
    assert not modes.support_m.any()
    assert not modes.evidence.any()
