# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from fake_run import START_NS, covariance, drive, fake_latency, fake_retrieval, gaussian_estimates
from scipy.stats import chi2

from geoloc_ros.datatypes import Status
from geoloc_ros.evaluation import metrics, trajectory
from geoloc_ros.evaluation.columns import Retrieval, truth_from
from geoloc_ros.evaluation.score import recall_at, score


def _many_truths():
    """A drive with 10,000 estimates, so that shares are known to half a percent."""
    return drive(seconds=200.0, rate_hz=50.0)


def test_perfect_gaussian_is_consistent():
    truth = _many_truths()
    scores = score(gaussian_estimates(truth, np.random.default_rng(1), every=1), truth)
    nees = scores.nees[scores.scored]
    assert len(nees) == len(truth)
    # Bar-Shalom 5.4: the mean of n chi-square(3) lies in chi2(3n)/n.
    low, high = chi2.ppf([0.001, 0.999], 3 * len(nees)) / len(nees)
    assert low < nees.mean() < high
    assert metrics.coverage(nees, scores.dof[scores.scored]) == pytest.approx(0.95, abs=0.008)
    wrong = metrics.confidently_wrong(scores.distance_sigma[scores.scored])
    assert wrong == pytest.approx(np.exp(-4.5), abs=0.004)


@pytest.mark.parametrize(("claimed", "coverage"), [(0.5, 0.67), (2.0, 1.0)])
def test_wrong_covariance_shows(claimed, coverage):
    truth = _many_truths()
    estimates = gaussian_estimates(truth, np.random.default_rng(2), every=1, claimed=claimed)
    scores = score(estimates, truth)
    # The true error over a covariance c^2 P covers chi2_3(0.95) c^2 of chi2_3.
    expected = chi2.cdf(chi2.ppf(0.95, 3) * claimed**2, 3)
    found = metrics.coverage(scores.nees, scores.dof)
    assert found == pytest.approx(expected, abs=0.02)
    assert scores.nees.mean() == pytest.approx(3.0 / claimed**2, rel=0.05)
    assert (found < 0.9) == (coverage < 0.9)


def test_chi_square_conforms_with_scipy():
    level, dof = np.array([0.025, 0.5, 0.95, 0.999]), np.array([2, 3, 3, 2])
    assert metrics.chi2_quantile(level, dof) == pytest.approx(chi2.ppf(level, dof))
    x = np.linspace(0.1, 20.0, 9)
    assert metrics.chi2_density(x, 3) == pytest.approx(chi2.pdf(x, 3))
    assert metrics.chi2_density(x, 2) == pytest.approx(chi2.pdf(x, 2))


def test_nees_by_hand():
    cov = np.diag([4.0, 1.0, 0.01])[None]
    estimate, truth = np.array([[2.0, 1.0, 0.2]]), np.zeros((1, 3))
    values, dof = metrics.nees(estimate.copy(), truth, cov)
    assert values[0] == pytest.approx(1.0 + 1.0 + 4.0)
    assert dof[0] == 3
    values, dof = metrics.nees(estimate, np.array([[0.0, 0.0, np.nan]]), cov)
    assert values[0] == pytest.approx(2.0)
    assert dof[0] == 2


def test_nees_wraps_yaw():
    estimate, truth = np.array([[0.0, 0.0, np.pi - 0.05]]), np.array([[0.0, 0.0, -np.pi + 0.05]])
    values, _ = metrics.nees(estimate, truth, np.diag([1.0, 1.0, 0.01])[None])
    assert values[0] == pytest.approx(1.0)
    assert metrics.yaw_error_deg(estimate, truth)[0] == pytest.approx(np.degrees(0.1))


@pytest.mark.parametrize(
    "cov",
    [np.zeros((3, 3)), np.full((3, 3), np.nan), np.diag([1.0, -1.0, 1.0]), np.ones((3, 3))],
    ids=["zero", "nan", "negative", "singular"],
)
def test_broken_covariance_counts_against_the_estimate(cov):
    values, _ = metrics.nees(np.ones((1, 3)), np.zeros((1, 3)), cov[None])
    assert values[0] == metrics.NEES_CEILING
    distance = metrics.position_mahalanobis(np.ones((1, 3)), np.zeros((1, 3)), cov[None])
    assert metrics.confidently_wrong(distance) == 1.0


def test_sigma_major_is_the_long_axis():
    cov = covariance(np.array([0.0, 0.7, 2.0]))
    assert metrics.sigma_major_m(cov) == pytest.approx([1.2, 1.2, 1.2])


def test_truth_interpolation():
    second = 1_000_000_000
    truth = truth_from(
        np.array([0, 1, 3]) * second, [[0, 0, 3.1], [10, 0, -3.1], [30.0, 0.0, 0.0]]
    )
    stamps = np.array([-1, second // 2, second, 2 * second, 3 * second, 4 * second])
    poses, known = trajectory.interpolate_truth(truth, stamps)
    assert known.tolist() == [False, True, True, False, True, False]
    assert poses[1, 0] == pytest.approx(5.0)
    assert abs(poses[1, 2]) == pytest.approx(np.pi)  # the short way round, not through 0
    assert np.isnan(poses[~known]).all()


def test_truth_is_not_interpolated_across_a_kidnapping():
    truth = drive()
    jumps = trajectory.truth_jumps(truth)
    assert len(jumps) == 1
    _, known = trajectory.interpolate_truth(truth, [jumps[0] - 10_000_000, jumps[0]])
    assert known.tolist() == [False, True]
    driven = trajectory.distance_between_m(truth, START_NS, int(truth.stamp_ns[-1]))
    assert driven == pytest.approx(10.0 * 200.0, rel=0.001)  # without the 700 m of the jump


def test_truth_is_cleaned():
    truth = truth_from([5, 1, 5, 3], [[5, 5], [1, 1], [9, 9], [np.nan, 0]])
    assert truth.stamp_ns.tolist() == [1, 5]
    assert truth.poses[:, 0].tolist() == [1, 5]
    assert np.isnan(truth.poses[:, 2]).all()


def test_recovery_and_withdrawal_distances():
    truth = drive()
    estimates = gaussian_estimates(truth, np.random.default_rng(3))
    jump = int(trajectory.truth_jumps(truth)[0])
    late = (estimates.stamp_ns >= jump) & (estimates.stamp_ns < jump + 4_000_000_000)
    status, poses = estimates.status.copy(), estimates.poses.copy()
    status[late] = Status.LOST.value
    wrong = late & (estimates.stamp_ns > jump + 2_000_000_000)
    status[wrong] = Status.LOCALISED.value
    poses[wrong] += 200.0  # claims a fix, at a wrong place: no recovery
    changed = dataclasses.replace(estimates, status=status, poses=poses)
    assert trajectory.recovery_distance_m(changed, truth, [jump]) == [pytest.approx(40.0, abs=2.0)]
    assert trajectory.withdrawn_distance_m(changed, truth, [jump - 3_000_000_000]) == [
        pytest.approx(30.0, abs=2.0)
    ]
    never = dataclasses.replace(changed, status=np.full(len(status), "LOCALISED"))
    assert trajectory.withdrawn_distance_m(never, truth, [jump]) == [None]
    assert trajectory.recovery_distance_m(
        dataclasses.replace(changed, status=np.full(len(status), "LOST")), truth, [jump]
    ) == [None]


def test_first_fix_and_availability():
    truth = drive()
    estimates = gaussian_estimates(truth, np.random.default_rng(3))
    status = estimates.status.copy()
    status[:10] = Status.SEARCHING.value
    status[-99:] = Status.LOST.value
    changed = dataclasses.replace(estimates, status=status)
    fixed = changed.localised
    assert metrics.time_to_first_fix_s(changed.stamp_ns, fixed) == pytest.approx(1.0)
    assert trajectory.distance_to_first_fix_m(changed, truth) == pytest.approx(10.0, abs=0.5)
    assert metrics.availability(fixed) == pytest.approx(1 - 99 / 1990)
    none = np.zeros(5, dtype=bool)
    assert metrics.availability(none) is None
    assert metrics.time_to_first_fix_s(np.arange(5), none) is None


def test_recall_by_hand():
    truth = truth_from(np.arange(4), np.zeros((4, 3)))
    far, turned, near = [50.0, 0, 0], [0, 0, 0.5], [7.9, 0, 0.3]
    empty = [np.nan] * 3
    rows = [(0, 1, near), (1, 1, far), (1, 2, turned), (1, 3, near), (2, 1, turned), (3, 0, empty)]
    stamps, ranks, poses = zip(*rows, strict=True)
    retrieval = Retrieval(
        np.array(stamps), np.array(ranks), np.array(ranks), np.array(poses), np.ones(len(rows))
    )
    recall, scored = recall_at(retrieval, truth, 8.0, 22.5, (1, 2, 5))
    assert scored == 4
    assert recall == {"1": 0.25, "2": 0.25, "5": 0.5}
    blind = truth_from(np.arange(4), np.zeros((4, 2)))  # no true heading: place alone counts
    assert recall_at(retrieval, blind, 8.0, 22.5, (1,))[0] == {"1": 0.5}


def test_recall_of_the_made_up_run():
    truth = drive()
    retrieval = fake_retrieval(truth, np.random.default_rng(5))
    recall, _ = recall_at(retrieval, truth, 8.0, 22.5)
    assert recall["1"] == pytest.approx(0.7, abs=0.08)
    assert recall["10"] == pytest.approx(0.9, abs=0.06)
    assert recall["1"] <= recall["5"] <= recall["10"]


def test_latency_percentiles_conform_with_numpy():
    latency = fake_latency(np.arange(1000), np.random.default_rng(0))
    found = metrics.latency_percentiles(latency, ("encode", "rerank"))
    assert found["encode"]["p95"] == pytest.approx(np.percentile(latency.stages_ms["encode"], 95))
    assert found["rerank"] == {"p50": None, "p95": None}


def test_localised_without_truth_is_excluded_and_counted():
    truth = drive()
    estimates = gaussian_estimates(truth, np.random.default_rng(3))
    half = truth_from(truth.stamp_ns[:5000], truth.poses[:5000])
    scores = score(estimates, half)
    assert scores.without_truth == len(estimates) - scores.scored.sum() > 900
    assert np.isnan(scores.error_m[~scores.scored]).all()
