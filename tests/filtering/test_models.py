# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Motion and measurement models, resampling, estimate and calibration against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import GeoPrior, Motion
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.errors import TrainingError
from geoloc_ros.filtering import calibration, estimate, motion_model
from geoloc_ros.filtering.late_knowledge import MAX_GAIN, MovedPrior, usable
from geoloc_ros.filtering.measurement_model import MeasurementModel
from geoloc_ros.filtering.particles import Modes
from geoloc_ros.geo import se2


def test_particles_move_by_the_increment_with_its_covariance():
    rng = np.random.default_rng(0)
    cov = np.array([[0.04, 0.01, 0.0], [0.01, 0.03, 0.002], [0.0, 0.002, 0.001]])
    increment = np.array([2.0, -0.5, 0.3])
    start = np.tile([10.0, 20.0, 2.9], (40_000, 1))
    moved = motion_model.move(start, Motion(0, 1, increment, cov), rng)
    steps = se2.between(start, moved)
    np.testing.assert_allclose(steps.mean(axis=0), increment, atol=5e-3)
    np.testing.assert_allclose(np.cov(steps.T), cov, atol=1.5e-3)
    assert np.all(np.abs(moved[:, 2]) <= np.pi)


def test_log_ratio_is_fair_to_wrong_places():
    """Under the background distribution a ratio must average one: no free growth."""
    card = Calibration(
        temperature=0.06, background=0.1, background_sigma=0.15, matched=0.6, matched_sigma=0.1
    )
    model = MeasurementModel(card, 0.05)
    similarity = np.random.default_rng(2).normal(0.1, 0.15, 400_000)
    ratio = np.exp(model.log_ratio(similarity, np.ones(len(similarity), dtype=bool)))
    assert ratio.mean() == pytest.approx(1.0, abs=0.15)


def test_log_ratio_bounds_and_unsupported():
    model = MeasurementModel(Calibration(), 0.05)
    ratio = model.log_ratio(
        np.array([-1.0, 0.6, 0.6, np.nan]), np.array([True, True, False, True])
    )
    assert ratio[0] == pytest.approx(np.log(0.05), abs=1e-6)
    assert ratio[1] > 4.0
    assert ratio[2] == pytest.approx(np.log(0.05))
    assert ratio[3] == pytest.approx(np.log(0.05))
    np.testing.assert_allclose(model.normalised(np.array([0.0, 0.6])), [0.0, 1.0])


def test_weigh_is_bayes_within_each_mode():
    rng = np.random.default_rng(4)
    modes = Modes()
    modes.append(rng.standard_normal((2, 50, 3)), np.log([0.3, 0.2]), np.zeros(2))
    likelihood = rng.uniform(0.1, 2.0, 100)
    evidence = modes.weigh(np.log(likelihood))
    np.testing.assert_allclose(
        np.exp(evidence), [likelihood[:50].mean(), likelihood[50:].mean()], rtol=1e-12
    )
    expected = likelihood[:50] / likelihood[:50].sum()
    np.testing.assert_allclose(np.exp(modes.log_weights[:50]), expected, rtol=1e-12)


def test_resampling_keeps_each_mode_in_its_place():
    rng = np.random.default_rng(5)
    modes = Modes()
    modes.append(
        rng.standard_normal((3, 60, 3)) * 0.5 + [[[0, 0, 0]], [[99, 0, 1]], [[0, 99, 2]]],
        np.log([0.5, 0.3, 0.1]),
        np.zeros(3),
    )
    modes.weigh(-3.0 * modes.poses[:, 0] ** 2 * (modes.owner == 0))
    before, mass = modes.means(), modes.log_mass.copy()
    modes.resample(np.array([300, 30, 0]), rng)
    assert list(modes.counts) == [300, 30, 60]
    np.testing.assert_allclose(modes.means(), before, atol=0.35)
    np.testing.assert_array_equal(modes.log_mass, mass)
    np.testing.assert_allclose(np.bincount(modes.owner, modes.weights), 1.0, rtol=1e-9)
    np.testing.assert_allclose(np.exp(modes.log_weights), modes.weights, rtol=1e-9)


def test_systematic_resampling_is_unbiased():
    rng = np.random.default_rng(6)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    hits = np.zeros(4)
    for _ in range(400):
        modes = Modes()
        modes.append(np.arange(4.0)[None, :, None] * [100.0, 0.0, 0.0], np.zeros(1), np.zeros(1))
        modes.weigh(np.log(weights))
        modes.resample(np.array([50]), rng)
        hits += np.bincount(np.round(modes.poses[:, 0] / 100.0).astype(int), minlength=4)
    np.testing.assert_allclose(hits / hits.sum(), weights, atol=0.005)


def test_mean_and_covariance_across_the_yaw_seam():
    rng = np.random.default_rng(7)
    yaw = se2.wrap_angle(np.pi + rng.normal(0.0, 0.1, 20_000))
    poses = np.column_stack([rng.normal(5.0, 2.0, 20_000), rng.normal(-3.0, 1.0, 20_000), yaw])
    modes = Modes()
    modes.append(poses[None], np.zeros(1), np.zeros(1))
    _, mean, cov, whole, *_ = estimate.survey(
        modes.poses,
        modes.weights,
        modes.counts,
        modes.log_mass,
        modes.evidence,
        modes.support_m,
        modes.confirmed,
        1.0,
        1.0,
    )
    np.testing.assert_allclose(whole, cov)
    assert abs(se2.wrap_angle(mean[2] - np.pi)) < 0.005
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), [2.0, 1.0, 0.1], rtol=0.03)
    assert estimate.largest_sigma_m(cov) == pytest.approx(2.0, rel=0.03)


def test_published_covariance_has_a_floor():
    cov = estimate.published(np.zeros((3, 3)), 1.5, 1.0, 0.01)
    np.testing.assert_allclose(np.diag(cov), [1.5, 1.5, 1.5e-4])


def test_temperature_is_recovered_from_softmax_data():
    """Images whose true pose is drawn by softmax(s / T) must give T back."""
    rng = np.random.default_rng(8)
    similarity = rng.uniform(-0.3, 0.8, (4000, 30))
    logits = similarity / 0.12
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    true = np.array([rng.choice(30, p=row) for row in chance])
    right = similarity[np.arange(4000), true]
    keep = np.ones_like(similarity, dtype=bool)
    keep[np.arange(4000), true] = False
    fitted = calibration.fit_similarity(right, similarity[keep].reshape(4000, 29), fitted_on="t")
    assert fitted.temperature == pytest.approx(0.12, rel=0.05)
    assert fitted.matched == pytest.approx(right.mean())
    assert fitted.fitted_on == "t"


def test_temperature_keeps_off_zero_where_the_right_pose_always_wins():
    rng = np.random.default_rng(5)
    right, wrong = rng.normal(0.8, 0.05, 200), rng.normal(0.2, 0.1, (200, 40))
    assert (right > wrong.max(axis=1)).all()
    fitted = calibration.fit_similarity(right, wrong)

    def log_ratio(s: float) -> float:
        return 0.5 * ((s - 0.2) / 0.1) ** 2 - 0.5 * ((s - 0.8) / 0.05) ** 2

    # 0.6 is four deviations from both levels.
    slope = (log_ratio(0.6 + 1e-4) - log_ratio(0.6 - 1e-4)) / 2e-4
    assert fitted.temperature == pytest.approx(1.0 / slope, rel=0.1)


def test_covariance_scale_gives_the_wanted_coverage():
    rng = np.random.default_rng(9)
    cov = np.diag([1.0, 2.0, 0.01])
    errors = rng.multivariate_normal(np.zeros(3), 2.5 * cov, size=20_000)
    covs = np.tile(cov, (20_000, 1, 1))
    scale = calibration.fit_covariance(errors, covs, beyond_3_sigma=0.02)
    assert scale == pytest.approx(2.5, rel=0.05)
    assert stats.chi2.ppf(0.95, 3) == pytest.approx(calibration.CHI2_95_3DOF)
    inside = calibration.nees(errors, scale * covs) < calibration.CHI2_95_3DOF
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_covariance_scale_keeps_positions_within_three_sigma():
    rng = np.random.default_rng(9)
    errors = rng.standard_normal((20_000, 3)) * (1.0 + 2.0 * (rng.random((20_000, 1)) < 0.03))
    covs = np.tile(np.eye(3), (20_000, 1, 1))
    scale = calibration.fit_covariance(errors, covs)
    beyond = calibration.nees(errors[:, :2], scale * covs[:, :2, :2]) > 9.0
    assert beyond.mean() == pytest.approx(0.007, abs=1e-3)
    assert (calibration.nees(errors, scale * covs) < calibration.CHI2_95_3DOF).mean() > 0.95


@pytest.mark.parametrize(
    ("matched", "background"),
    [
        (np.ones(5), np.ones((5, 4))),
        (np.ones(50), np.ones((49, 4))),
        (np.ones(50), np.ones(50)),
        (np.full(50, np.nan), np.ones((50, 4))),
    ],
)
def test_calibration_refuses_bad_samples(matched, background):
    with pytest.raises(TrainingError):
        calibration.fit_similarity(matched, background)


def test_covariance_fit_refuses_bad_samples():
    with pytest.raises(TrainingError):
        calibration.fit_covariance(np.zeros((40, 2)), np.zeros((40, 3, 3)))
    with pytest.raises(TrainingError):
        calibration.fit_covariance(np.full((40, 3), np.nan), np.tile(np.eye(3), (40, 1, 1)))


def test_prior_moves_with_odometry_and_stays_soft():
    prior = GeoPrior.gaussian(
        0, np.array([100.0, 50.0, np.pi / 2]), np.diag([25.0, 25.0, 0.01]), 0.9, "t"
    )
    moved = MovedPrior(prior, np.zeros(3), 0.0)
    (mean,), (cov,) = moved.now(np.array([30.0, 0.0, 0.2]), 30.0)
    np.testing.assert_allclose(mean, [100.0, 80.0, np.pi / 2 + 0.2])
    assert cov[0, 0] > 25.0
    poses = mean + np.array([[0.0, 0.0, 0.0], [5000.0, 0.0, 0.0]])
    factor = moved.log_factor(poses, np.array([30.0, 0.0, 0.2]), 30.0, 1e5)
    assert factor[1] == pytest.approx(np.log(0.1))
    assert 0.0 < factor[0] <= np.log(MAX_GAIN)


def test_a_mixture_prior_says_what_its_parts_say():
    means = np.array([[0.0, 0.0, 0.0], [500.0, 0.0, 1.0]])
    covs = np.stack([np.diag([100.0, 100.0, 0.01]), np.diag([100.0, 100.0, 9.0])])
    prior = GeoPrior(0, means, covs, np.array([0.6, 0.3]), "t")
    mixture = MovedPrior(prior, np.zeros(3), 0.0)
    poses = np.array([[0.0, 0.0, 0.0], [500.0, 0.0, -2.0], [-900.0, 0.0, 0.0]])
    factor = mixture.log_factor(poses, np.zeros(3), 0.0, 1e6)
    assert factor[0] == pytest.approx(np.log(0.6 * MAX_GAIN + 0.1))
    assert factor[1] == pytest.approx(np.log(0.3 * MAX_GAIN + 0.1))  # its heading is unknown
    assert factor[2] == pytest.approx(np.log(0.1))
    prior = GeoPrior(0, means, covs, np.array([0.7, 0.3]), "t")
    certain = MovedPrior(prior, np.zeros(3), 0.0)
    assert certain.shares.sum() == pytest.approx(0.95)


def test_a_late_prior_of_unknown_heading_is_as_sharp_as_it_was():
    cov = np.diag([2500.0, 2500.0, 9.0])
    moved = MovedPrior(GeoPrior.gaussian(0, np.zeros(3), cov, 0.9, "t"), np.zeros(3), 0.0)
    driven = np.array([400.0, 0.0, 0.7])
    came_along = np.array([[0.0, 400.0, np.pi / 2 + 0.7]])  # it set out from the origin, northward
    never_there = np.array([[0.0, 400.0, -np.pi / 2 + 0.7]])  # it set out 800 m north of it
    start = moved.log_factor(np.array([[0.0, 0.0, np.pi / 2]]), np.zeros(3), 0.0, 1e6)
    assert moved.log_factor(came_along, driven, 400.0, 1e6) == pytest.approx(start, abs=0.06)
    assert moved.log_factor(never_there, driven, 400.0, 1e6)[0] == pytest.approx(np.log(0.1))


def test_a_region_says_nothing_about_where_in_it_a_town_lies():
    here, beyond = np.zeros((1, 3)), np.array([[9e5, 0.0, 0.0]])
    prior = GeoPrior.gaussian(0, np.array([3e4, 0.0, 0.0]), np.diag([1e10, 1e10, 9.0]), 0.9, "t")
    moved = MovedPrior(prior, np.zeros(3), 0.0)
    assert moved.log_factor(here, np.zeros(3), 0.0, 1e6)[0] == pytest.approx(0.0, abs=0.05)
    assert moved.log_factor(beyond, np.zeros(3), 0.0, 1e6)[0] == pytest.approx(np.log(0.1))


@pytest.mark.parametrize("shares", [[], [0.0, 0.0], [0.9, 0.9], [-0.1, 0.5], [np.nan, 0.5]])
def test_shares_that_are_no_probabilities_are_not_usable(shares):
    count = len(shares)
    covs = np.tile(np.eye(3), (count, 1, 1))
    prior = GeoPrior(0, np.zeros((count, 3)), covs, np.array(shares), "t")
    assert not usable(prior)


def test_config_documents_the_floor():
    assert FilterConfig().floor_sigma_m >= 0.5


def test_needed_evidence_follows_the_exponential_tail() -> None:
    rng = np.random.default_rng(4)
    most = 12.0 + rng.exponential(6.0, 400)
    needed, scale = calibration.fit_evidence(most, 800.0)
    # above u the rate is 0.5 per km exp(-(e - 12) / 6): one in 1000 km at 12 + 6 ln 500
    assert scale == pytest.approx(6.0, rel=0.25)
    assert needed == pytest.approx(12.0 + 6.0 * np.log(500.0), rel=0.12)


def test_needed_evidence_is_never_below_what_was_seen() -> None:
    most = np.array([0.0, 0.0, 0.0, 24.0, 41.0])
    assert calibration.fit_evidence(most, 1e6)[0] == 41.0
    assert calibration.fit_evidence(np.zeros(6), 10.0) == (calibration.LEAST_EVIDENCE, 1.0)
