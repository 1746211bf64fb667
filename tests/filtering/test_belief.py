# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The belief on simulated drives: it finds itself, knows how well, admits when not."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Candidates, GeoPrior, Motion, Reason, Status
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering import evidence
from geoloc_ros.filtering.belief import Belief
from geoloc_ros.filtering.late_knowledge import TIGHT_M
from geoloc_ros.filtering.outlook import Shift, shift
from geoloc_ros.rerank import scenes
from geoloc_ros.vlm.guesses import LEAST_SIGMA_M

sys.path.insert(0, str(Path(__file__).parent))
import simulated

# As `simulated.levels(1.2)` fits it on a town that no test drives in.
CARD = Calibration(
    temperature=0.033, background=0.023, background_sigma=0.134, matched=0.618, matched_sigma=0.125
)
NOISE = 1.2


def drive(seed, **case):
    made = simulated.Case(noise=NOISE, occlusions=False, **case)
    truth, estimates, _ = simulated.run(seed, made, FilterConfig(), CARD)
    return simulated.score(truth, estimates, made), estimates


def everywhere(similarity):
    return lambda poses: (np.full(len(poses), similarity), np.ones(len(poses), dtype=bool))


def peaked(place):
    """A field that rises from the background to the matched level at one pose."""

    def similarity_at(poses):
        square = np.sum((poses[:, :2] - place[:2]) ** 2, axis=1) / 32.0
        square += (poses[:, 2] - place[2]) ** 2 / 0.06
        return 0.65 * np.exp(-square), np.ones(len(poses), dtype=bool)

    return similarity_at


def step(index, metres=1.0, reasons=()):
    cov = np.diag([0.01, 0.01, 1e-5])
    return Motion(index * 10**8, (index + 1) * 10**8, np.array([metres, 0, 0]), cov, reasons)


def one_candidate(similarity=0.6):
    return Candidates(
        np.array([7]), np.array([[10.0, 20.0, 0.5]]), np.array([similarity], dtype=np.float32)
    )


def test_cold_start_finds_itself_and_means_its_covariance():
    for seed in (11, 12):
        score, _ = drive(seed, length_m=220)
        assert score["fix_m"] < 100
        assert score["median"] < 2.0
        assert score["wrong"] == 0.0
        assert score["cover"] > 0.85
        assert score["avail"] > 0.9


def test_kidnapped_vehicle_recovers_and_does_not_insist():
    score, _ = drive(13, length_m=240, kidnap_at_m=100)
    assert score["recover_m"] < 100
    assert score["false_m"] < 20


def test_covered_camera_withdraws_localised():
    score, estimates = drive(14, length_m=180, covered_at_m=80)
    assert score["fix_m"] < 80
    assert score["withdrawn_m"] < 60
    assert Reason.LOW_SIMILARITY in {r for e in estimates[80:] for r in e.reasons}


def test_driven_outside_withdraws_localised():
    score, _ = drive(15, length_m=180, outside_at_m=80)
    assert score["fix_m"] < 80
    assert score["withdrawn_m"] < 60


def test_same_seed_same_bytes():
    runs = [drive(16, length_m=40)[1] for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert (a.status, a.reasons) == (b.status, b.reasons)
        assert a.pose.tobytes() == b.pose.tobytes()
        assert a.cov_xy_yaw.tobytes() == b.cov_xy_yaw.tobytes()


def test_before_any_image():
    estimate = Belief(FilterConfig(), CARD, 0).estimate(5)
    assert estimate.status is Status.UNINITIALISED
    assert estimate.reasons == (Reason.NO_FRAME_YET,)
    assert np.all(np.isnan(estimate.pose))


def test_one_image_is_never_enough():
    belief = Belief(FilterConfig(), CARD, 0)
    assert belief.wants_candidates()
    assert belief.update(everywhere(0.9), one_candidate(0.9))
    for index in range(50):
        belief.predict(step(index, metres=0.0))
        belief.update(everywhere(0.9), one_candidate(0.9))
        assert belief.estimate(index).status is not Status.LOCALISED


def test_every_covariance_is_positive_definite_whatever_comes():
    rng = np.random.default_rng(0)
    belief = Belief(FilterConfig(), CARD, 0, entries=3)
    for index in range(120):
        reasons = (Reason.NO_ODOMETRY,) if index % 7 == 0 else ()
        belief.predict(step(index, metres=float(rng.uniform(0, 5)), reasons=reasons))
        level = [np.nan, -1.0, 1.0, 0.3, np.inf][index % 5]
        some = one_candidate([np.nan, 0.5, 1.0][index % 3]) if belief.wants_candidates() else None
        if index % 11 == 0:
            belief.miss()
        else:
            belief.update(everywhere(level), some)
        estimate = belief.estimate(index)
        if np.all(np.isfinite(estimate.pose)):
            assert np.all(np.linalg.eigvalsh(estimate.cov_xy_yaw) > 0.0)
            assert np.isfinite(estimate.spread_m)


def test_clock_jump_resets():
    belief = Belief(FilterConfig(), CARD, 0)
    belief.update(everywhere(0.7), one_candidate())
    assert np.all(np.isfinite(belief.estimate(0).pose))
    belief.predict(step(0, reasons=(Reason.CLOCK_JUMP,)))
    estimate = belief.estimate(1)
    assert estimate.status is Status.UNINITIALISED
    assert Reason.CLOCK_JUMP in estimate.reasons


def test_initial_pose_is_taken_but_must_be_confirmed():
    belief = Belief(FilterConfig(), CARD, 0)
    belief.predict(step(0))
    mean = np.array([100.0, 50.0, 0.0])
    belief.apply_prior(
        GeoPrior.gaussian(10**8, mean, np.diag([4.0, 4.0, 0.01]), 0.9, "initialpose")
    )
    belief.update(everywhere(0.3))
    first = belief.estimate(10**8)
    assert np.hypot(*(first.pose - mean)[:2]) < 1.5
    assert first.status is not Status.LOCALISED
    for index in range(1, 60):
        belief.predict(step(index))
        belief.update(peaked(mean + np.array([index, 0.0, 0.0])))
    assert belief.estimate(60 * 10**8).status is Status.LOCALISED


def test_late_prior_is_applied_as_of_its_stamp():
    belief = Belief(FilterConfig(), CARD, 0)
    for index in range(20):
        belief.predict(step(index))
    mean = np.array([0.0, 0.0, 0.0])
    belief.apply_prior(
        GeoPrior.gaussian(5 * 10**8, mean, np.diag([1.0, 1.0, 1e-4]), 0.9, "initialpose")
    )
    belief.update(everywhere(0.5))
    assert belief.estimate(20 * 10**8).pose[0] == pytest.approx(15.0, abs=1.5)


def test_a_prior_from_before_the_way_is_known_is_passed_over():
    belief = Belief(FilterConfig(), CARD, 0)
    for index in range(700):
        belief.predict(step(index))
    mean, cov = np.zeros(3), np.diag([1.0, 1.0, 1e-4])
    belief.apply_prior(GeoPrior.gaussian(5 * 10**8, mean, cov, 0.9, "vlm"))
    assert not len(belief.outlook.means)
    belief.apply_prior(GeoPrior.gaussian(600 * 10**8, mean, cov, 0.9, "vlm"))
    assert len(belief.outlook.means)


def test_a_repeated_wrong_prior_cannot_move_a_tracked_vehicle():
    belief = Belief(FilterConfig(), CARD, 0)
    start, ahead = one_candidate().poses[0], np.array([np.cos(0.5), np.sin(0.5), 0.0])
    belief.update(peaked(start), one_candidate())
    wrong = np.array([5000.0, 5000.0, 0.0])
    for index in range(80):
        belief.predict(step(index))
        stamp = (index + 1) * 10**8
        belief.apply_prior(GeoPrior.gaussian(stamp, wrong, np.diag([1e4, 1e4, 4.0]), 0.95, "vlm"))
        belief.update(peaked(start + (index + 1) * ahead))
    estimate = belief.estimate(80 * 10**8)
    assert estimate.status is Status.LOCALISED
    assert np.hypot(*estimate.pose[:2]) < 200.0


def located() -> tuple[Belief, np.ndarray, np.ndarray]:
    """A belief that is sure of its place after 60 m, the place, and a metre ahead."""
    belief = Belief(FilterConfig(), CARD, 0)
    place, ahead = one_candidate().poses[0].copy(), np.array([np.cos(0.5), np.sin(0.5), 0.0])
    belief.update(peaked(place), one_candidate())
    for index in range(60):
        belief.predict(step(index))
        place += ahead
        belief.update(peaked(place))
    assert belief.estimate(60 * 10**8).status is Status.LOCALISED
    return belief, place, ahead


@pytest.mark.parametrize("sigma_m", [5.0, 20.0, 1e3, 1e5])
@pytest.mark.parametrize("off_m", [30.0, 400.0, 1e6])
def test_a_prior_that_is_sure_and_wrong_cannot_move_a_located_vehicle(sigma_m, off_m):
    belief, place, ahead = located()
    wrong = place + np.array([-0.6 * off_m, 0.8 * off_m, 0.0])
    cov = np.diag([sigma_m**2, sigma_m**2, 9.0])
    belief.apply_prior(GeoPrior.gaussian(60 * 10**8, wrong, cov, 1.0, "vlm"))
    for index in range(60, 100):
        estimate = belief.estimate(index * 10**8)
        assert estimate.status is Status.LOCALISED
        assert np.hypot(*(estimate.pose - place)[:2]) < 2.0
        belief.predict(step(index))
        place += ahead
        belief.update(peaked(place))


def test_the_word_of_an_operator_stands_above_the_images():
    belief, place, _ = located()
    there = place + np.array([300.0, 0.0, 0.0])
    cov = np.diag([4.0, 4.0, 0.01])
    said = GeoPrior.gaussian(60 * 10**8, there, cov, 0.9, "operator", supersedes=True)
    belief.apply_prior(said)
    assert np.hypot(*(belief.estimate(60 * 10**8).pose - there)[:2]) < 2.0


def test_who_repeats_himself_says_no_more_and_the_last_word_counts():
    def mass(*said):
        belief, place, _ = located()
        for number, off_m in enumerate(said):
            belief.predict(step(60 + number, metres=0.0))
            mean = place + np.array([off_m, 0.0, 0.0])
            stamp = (61 + number) * 10**8
            cov = np.diag([1e4, 1e4, 9.0])
            belief.apply_prior(GeoPrior.gaussian(stamp, mean, cov, 0.95, "vlm"))
        return belief._log_null

    once = mass(5e3)
    assert once > mass()
    assert mass(*[5e3] * 50) == pytest.approx(once, abs=0.05)
    assert mass(5e3, -5e3, 7e3) == pytest.approx(once, abs=0.05)
    assert mass(5e3, 0.0) == pytest.approx(mass(0.0), abs=0.05)


def test_what_was_said_of_an_earlier_time_is_passed_over():
    belief, place, _ = located()
    cov = np.diag([1e4, 1e4, 9.0])
    belief.apply_prior(GeoPrior.gaussian(60 * 10**8, place, cov, 0.95, "vlm"))
    after = belief._log_null
    belief.apply_prior(GeoPrior.gaussian(59 * 10**8, place + 5e3, cov, 0.95, "vlm"))
    assert belief._log_null == after


@pytest.mark.parametrize("bad", [np.nan, -1.0])
def test_unusable_priors_are_ignored(bad):
    belief = Belief(FilterConfig(), CARD, 0)
    belief.apply_prior(GeoPrior.gaussian(0, np.zeros(3), np.diag([bad, 1.0, 1.0]), 0.9, "vlm"))
    belief.update(everywhere(0.5), one_candidate())
    assert np.all(np.isfinite(belief.estimate(0).pose))


def test_outside_the_index_it_dead_reckons_and_knows_itself_again_on_return():
    belief = Belief(FilterConfig(), CARD, 0, entries=2000)
    heard, sigma = {}, {}
    for x in range(260):
        place = np.array([10.0 + x, 20.0, 0.0])
        outside = 80 <= x < 180
        found = peaked(place)

        def similarity_at(poses, found=found, outside=outside):
            similarity, _ = found(poses)
            return similarity, np.full(len(poses), not outside)

        if x:
            belief.predict(step(x))
        here = Candidates(np.array([7]), place[None], np.array([0.62], dtype=np.float32))
        wanted = belief.wants_candidates() and not outside
        belief.update(similarity_at, here if wanted else None)
        estimate = belief.estimate(x)
        heard[x], sigma[x] = estimate, np.sqrt(np.linalg.eigvalsh(estimate.cov_xy_yaw)[-1])
    assert heard[79].status is Status.LOCALISED
    for x in range(82, 180):
        assert heard[x].status is Status.DEGRADED
        assert Reason.OUTSIDE_INDEX in heard[x].reasons
    assert sigma[179] > 2.0 * sigma[79]
    assert np.hypot(*(heard[179].pose[:2] - (189.0, 20.0))) < 3.0 * sigma[179]
    assert heard[190].status is Status.LOCALISED


def test_a_slip_beside_a_known_place_needs_less_evidence():
    belief = Belief(FilterConfig(), CARD, 0, entries=2000)
    for x in range(60):
        place = np.array([10.0 + x, 20.0, 0.0])
        if x:
            belief.predict(step(x))
        here = Candidates(np.array([7]), place[None], np.array([0.62], dtype=np.float32))
        belief.update(peaked(place), here if belief.wants_candidates() else None)
        estimate = belief.estimate(x)
    assert estimate.status is Status.LOCALISED
    while not belief.wants_candidates():
        place[0] += 1.0
        belief.predict(step(60))
        if not belief.wants_candidates():
            belief.update(peaked(place))
    beside = place + np.array([20.0, 0.0, 0.0])
    belief.update(peaked(place), Candidates(np.array([8]), beside[None], np.array([0.6], "f4")))
    where = np.round(belief._modes.means()[:, 0] - place[0], -1)
    need = dict(zip(where.tolist(), belief._modes.required.tolist(), strict=True))
    assert need == {0.0: CARD.confirm_evidence, 20.0: 0.2 * CARD.confirm_evidence}


def test_more_entries_ask_for_more_evidence() -> None:
    card = dataclasses.replace(CARD, confirm_evidence=40.0, confirm_scale=5.0)
    assert evidence.needed(card, 10_000) == pytest.approx(40.0)
    assert evidence.needed(card, 100_000) == pytest.approx(40.0 + 5.0 * np.log(10.0))
    assert evidence.needed(card, 1) == pytest.approx(40.0 - 5.0 * np.log(10.0))
    assert evidence.needed(CARD, 10**9) == CARD.confirm_evidence


def test_the_outlook_says_what_a_prior_moved() -> None:
    belief = Belief(FilterConfig(), CARD, seed=0)
    assert belief.outlook.best() is None
    assert np.isnan(shift(belief.outlook, belief.outlook).best_before)
    belief.predict(step(0))
    two = np.array([[10.0, 20.0, 0.5], [400.0, 20.0, 0.5]])
    found = Candidates(np.array([7, 8]), two, np.array([0.6, 0.59], dtype=np.float32))
    belief.update(everywhere(0.6), found)
    before = belief.outlook
    belief.apply_prior(GeoPrior.gaussian(10**8, two[1], np.diag([1e4, 1e4, 4.0]), 0.9, "vlm"))
    found, after = shift(before, belief.outlook), belief.outlook
    assert found.best_before == before.at(two[0])
    assert found.best_after == after.at(two[0]) < found.best_before
    assert after.at(two[1]) > before.at(two[1])
    assert found.moved >= after.at(two[1]) - before.at(two[1]) - 1e-12
    assert not found.best_stays
    assert shift(after, after) == Shift(0.0, after.at(two[1]), after.at(two[1]), True)


def test_what_a_model_says_opens_no_hypotheses() -> None:
    assert min(LEAST_SIGMA_M, scenes.SIGMA_M) > TIGHT_M


def test_without_a_calibration_no_place_is_believed():
    """The same images that locate `located()`, and an operator who says where it is."""
    nothing = Calibration.none(CARD.temperature)
    belief = Belief(FilterConfig(), nothing, 0)
    place, ahead = one_candidate().poses[0].copy(), np.array([np.cos(0.5), np.sin(0.5), 0.0])
    cov = np.diag([1.0, 1.0, 1e-2])
    belief.apply_prior(GeoPrior.gaussian(0, place, cov, 0.99, "initialpose"))
    belief.update(peaked(place), one_candidate())
    for index in range(300):
        belief.predict(step(index))
        place += ahead
        belief.update(peaked(place))
        estimate = belief.estimate((index + 1) * 10**8)
        assert estimate.status in (Status.SEARCHING, Status.AMBIGUOUS)
    assert Reason.UNCONFIRMED in estimate.reasons
    assert np.hypot(*(estimate.pose - place)[:2]) < 5.0  # it follows all the same
