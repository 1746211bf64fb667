# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Belief over the vehicle's pose: a few hypotheses of place, each a particle cloud, and a null.

The null is the hypothesis "somewhere else, or outside the index". It explains every image at ratio
one, so a hypothesis grows only by explaining images better than a random place would, and masses
are posterior probabilities. A retrieved candidate starts as one place among all indexed ones and
needs several independent images to outgrow the null: a sequential probability ratio test (Wald,
1945) run for every place at once. Driving leaks mass back to the null (kidnapping), which plays
the part of the short-term/long-term averages of augmented Monte-Carlo localization (Thrun,
Burgard, Fox, Probabilistic Robotics, 2005, table 8.3): new places are born in proportion to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import (
    Candidates,
    FloatArray,
    GeoPrior,
    Motion,
    PoseEstimate,
    Reason,
    Status,
)
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering import estimate, evidence, kernels, motion_model, proposal, status
from geoloc_ros.filtering.late_knowledge import MovedPrior, Trail, remembered, usable
from geoloc_ros.filtering.measurement_model import MeasurementModel
from geoloc_ros.filtering.outlook import Outlook
from geoloc_ros.filtering.particles import Modes
from geoloc_ros.geo import se2
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.index.policy import SamplingPolicy

SimilarityAt = Callable[[FloatArray], tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]]

ENTRIES_PER_PLACE = 5.0
AREA_PER_ENTRY_M2 = 6.0
PRUNE_LOG_MASS = -14.0
LEADING_LOG_MASS = math.log(0.5)
LOCAL_REACH_M = 30.0
LOCAL_LOG_MASS = float(np.log(0.01 / 50.0))
LOCAL_EVIDENCE = 0.2
SAME_PLACE_SIGMA = 4.8
SAME_PLACE_RAD = math.radians(30.0)
MERGE_M = 3.0
MERGE_RAD = math.radians(12.0)
BIRTHS = 20
MOST_OF_PRIORS = 48


class Belief:
    """The filter.

    Attributes:
        distance_m: driven so far.
        facts: what the last status was decided from; None while there is no hypothesis.

    Args:
        config: sizes, noise and thresholds.
        calibration: how similarity becomes likelihood, and the covariance factor.
        seed: of every draw.
        entries: how many poses the index holds; more places need more evidence.
        miss: how far a vehicle lies from the entry that stands for its place, sigma in m and rad.
    """

    def __init__(
        self,
        config: FilterConfig,
        calibration: Calibration,
        seed: int,
        entries: int = 10_000,
        miss: tuple[float, float] = SamplingPolicy().miss_sigma,
    ) -> None:
        self._config = config
        self._calibration = calibration
        self._model = MeasurementModel(calibration, config.outlier_share)
        self._seed = seed
        self._priors: list[MovedPrior] = []
        self._know_index(entries, miss)
        self.distance_m = 0.0
        self.reset()

    def _know_index(self, entries: int, miss: tuple[float, float]) -> None:
        self._confirm_evidence = evidence.needed(self._calibration, entries)
        self._miss = miss
        self._log_places = float(np.log(max(entries / ENTRIES_PER_PLACE, 10.0)))
        self._area_m2 = max(entries, 1) * AREA_PER_ENTRY_M2

    def rebase(self, change: PlaneChange, entries: int, miss: tuple[float, float]) -> None:
        """Go on in the plane of another index.

        Raises:
            GeodesyError: the belief lies beyond that plane; it is left as it was.
        """
        moved = [old.rebased(change) for old in self._priors]
        self._modes.poses, self._priors = change.poses(self._modes.poses), moved
        self._know_index(entries, miss)

    def reconfigure(self, config: FilterConfig) -> None:
        """Go on with other sizes, noise and thresholds."""
        self._config = config
        self._model = MeasurementModel(self._calibration, config.outlier_share)

    def reset(self, reason: Reason | None = None) -> None:
        """Forget everything; the reason is named until the next image has been weighed."""
        self._rng = np.random.default_rng(self._seed)
        self._modes, self._log_null = Modes(), 0.0
        self._pose = np.zeros(3)
        self._trail = Trail()
        self._priors = []
        self._frames = 0
        self._weighed_at_m = self.distance_m
        self._seen_at_m = self.distance_m
        self._searched_at_m = -np.inf
        self._similarity = float("nan")
        self._supported = 1.0
        self._contradicted = False
        self._status = Status.UNINITIALISED
        self.facts: status.Facts | None = None
        self._odometry: tuple[Reason, ...] = ()
        self._reset_reason = reason

    def predict(self, motion: Motion) -> None:
        """Move the belief; a clock jump resets it.

        Args:
            motion: since the last frame.
        """
        if Reason.CLOCK_JUMP in motion.reasons:
            self.reset(Reason.CLOCK_JUMP)
            return
        moved = math.hypot(motion.increment[0], motion.increment[1])
        self._odometry = motion.reasons
        if motion.reasons:
            moved = max(moved, estimate.largest_sigma_m(motion.cov_xy_yaw))
        self.distance_m += moved
        self._pose = motion_model.compose(self._pose, motion.increment)
        self._trail.add(motion.to_ns, self._pose, self.distance_m)
        self._leak(moved)
        if len(self._modes):
            self._modes.move(motion, self._rng)

    def wants_image(self) -> bool:
        """Whether the vehicle has moved far enough for the coming image to be weighed."""
        if self._frames == 0:
            return True
        return self.distance_m - self._weighed_at_m >= self._config.update_every_m - 1e-6

    def wants_candidates(self) -> bool:
        """Whether a global search for the coming image would be used."""
        every = self._config.decorrelation_m
        if self._status is not Status.LOCALISED or self._contradicted:
            every *= 0.5
        return self.wants_image() and self.distance_m - self._searched_at_m >= every

    @property
    def headings(self) -> FloatArray | None:
        """Yaw (N,) of every particle; None while places of any heading are searched for."""
        sure = self._status is Status.LOCALISED and not self._contradicted
        return None if self.wants_candidates() and not sure else self._modes.poses[:, 2]

    def update(self, similarity_at: SimilarityAt, candidates: Candidates | None = None) -> bool:
        """Weigh the belief by one image.

        Args:
            similarity_at: (N, 3) vehicle poses -> similarity (N,), supported (N,).
            candidates: result of a global search with vehicle poses, if one was made.

        Returns:
            Whether the image was weighed (it is not when the vehicle hardly moved).
        """
        if not self.wants_image():
            return False
        moved = self.distance_m - self._weighed_at_m
        if candidates is not None and len(candidates):
            self._propose(candidates)
        self._weighed_at_m = self.distance_m
        self._frames += 1
        self._reset_reason = None
        if len(self._modes):
            self._weigh(similarity_at, moved)
            self._tidy()
        self._seen_at_m = self.distance_m
        return True

    def apply_prior(self, prior: GeoPrior) -> None:
        """Take soft knowledge about now or the past, as of its own stamp.

        Args:
            prior: replaces what its source said about an earlier time; one about an earlier time
                than that, or longer ago than `late_knowledge.WINDOW_NS`, is passed over.
        """
        if not (usable(prior) and self._trail.reaches(prior.stamp_ns)):
            return
        same = [old for old in self._priors if old.prior.source == prior.source]
        if any(old.prior.stamp_ns > prior.stamp_ns for old in same):
            return
        moved = MovedPrior(prior, *self._trail.at(prior.stamp_ns))
        if len(self._modes):
            where = self._modes.poses, self._pose, self.distance_m, self._area_m2
            factor = moved.log_factor(*where)
            for old in same:
                factor -= old.log_factor(*where)
            self._modes.log_mass += self._modes.weigh(factor)
        self._born_of_prior(moved)
        self._priors = remembered(self._priors, moved, self.distance_m)
        self._log_null = kernels.normalise(self._modes.log_mass, self._log_null)

    @property
    def outlook(self) -> Outlook:
        """How it is spread over places now."""
        mass, radius_m = np.exp(self._modes.log_mass), SAME_PLACE_SIGMA * self._miss[0]
        return Outlook(self._modes.means(), mass, radius_m, SAME_PLACE_RAD)

    def estimate(self, stamp_ns: int) -> PoseEstimate:
        """The belief in one pose, and what may be said about it.

        Args:
            stamp_ns: capture time of the frame.

        Returns:
            Estimate without latitude and longitude; the covariance covers the whole belief unless
            the status is LOCALISED or DEGRADED.
        """
        self.facts = None
        if not len(self._modes):
            return self._nothing(stamp_ns)
        modes = self._modes
        lead, pose, cov, whole, share, second, most, support, confirmed = estimate.survey(
            modes.poses,
            modes.weights,
            modes.counts,
            modes.log_mass,
            modes.evidence,
            modes.support_m,
            modes.confirmed,
            SAME_PLACE_SIGMA * self._miss[0],
            SAME_PLACE_RAD,
        )
        facts = status.Facts(
            frames=self._frames,
            share=share,
            second_share=second,
            sigma_m=estimate.largest_sigma_m(cov),
            evidence=most,
            required=float(modes.required[lead]),
            support_m=support,
            low_m=float(modes.low_m[lead]),
            level=float(modes.level[lead]),
            usual_level=self._model.usual_level,
            supported=self._supported,
            odometry=self._odometry,
            confirmed=confirmed,
        )
        if not facts.confirmed and status.passes(facts, self._config):
            modes.confirmed[lead] = True
            facts = replace(facts, confirmed=True)
        self.facts = facts
        self._status, reasons = status.decide(facts, self._status, self._config)
        return PoseEstimate(
            stamp_ns=stamp_ns,
            status=self._status,
            reasons=reasons,
            pose=pose,
            cov_xy_yaw=self._publish(cov if self._status in status.TRACKING else whole),
            position=None,
            similarity=self._similarity,
            spread_m=math.sqrt(whole[0, 0] + whole[1, 1]),
        )

    def _publish(self, cov: FloatArray) -> FloatArray:
        return estimate.published(
            cov,
            self._calibration.covariance_scale,
            self._config.floor_sigma_m,
            math.radians(self._config.floor_sigma_yaw_deg),
        )

    def _nothing(self, stamp_ns: int) -> PoseEstimate:
        reasons: set[Reason] = set(self._odometry)
        if self._reset_reason is not None:
            reasons.add(self._reset_reason)
        if self._frames == 0:
            self._status = Status.UNINITIALISED
            reasons.add(Reason.NO_FRAME_YET)
        else:
            lost = self._status in (*status.TRACKING, Status.LOST)
            self._status = Status.LOST if lost else Status.SEARCHING
            reasons.add(Reason.UNCONFIRMED)
        return estimate.nowhere(stamp_ns, self._status, reasons, self._similarity)

    def _leak(self, moved_m: float) -> None:
        """Let the vehicle be carried away now and then."""
        share = -math.expm1(-self._config.kidnap_per_km * 1e-3 * moved_m)
        if len(self._modes) and share > 0.0:
            null = math.exp(self._log_null)
            self._log_null = math.log(null + (1.0 - null) * share)
            self._modes.log_mass += math.log1p(-share)

    def miss(self) -> None:
        """Driving blind contradicts every mode a little."""
        blind = self.distance_m - self._seen_at_m
        self._seen_at_m = self.distance_m
        self._similarity = float("nan")
        evidence.unseen(self._modes, blind, self._config)

    def _propose(self, candidates: Candidates) -> None:
        """Open new hypotheses where retrieval points and nobody is."""
        self._searched_at_m = self.distance_m
        modes, config = self._modes, self._config
        means = modes.means()
        similarity = np.asarray(candidates.similarity, dtype=np.float64)
        chosen = proposal.pick(candidates.poses, similarity, means, self._miss[0])
        poses = np.asarray(candidates.poses, dtype=np.float64)[chosen]
        slips = self._slips(poses, means)
        log_mass = self._birth_log_mass(poses, slips)
        seen = self._model.log_ratio(similarity[chosen], np.ones(len(chosen), dtype=bool))
        likely = np.flatnonzero(log_mass + seen > PRUNE_LOG_MASS)
        if not len(likely):
            return
        known = len(modes) > 0 and bool(modes.confirmed[np.argmax(modes.log_mass)])
        share = np.where(slips & known, LOCAL_EVIDENCE, 1.0)
        required = self._confirm_evidence * share
        slots = (config.particles - config.lead_particles) // config.mode_particles
        self._keep_best(max(slots - min(len(likely), BIRTHS), 1))
        born = likely[: max(slots - len(modes), 1)]
        particles = proposal.scatter(poses[born], config.mode_particles, self._rng, self._miss)
        modes.append(particles, log_mass[born], required[born])

    def _slips(self, poses: FloatArray, means: FloatArray) -> npt.NDArray[np.bool_]:
        """Which poses (N, 3) lie so near the leading mode that it may have slipped there."""
        if not len(means):
            return np.zeros(len(poses), dtype=bool)
        lead = means[np.argmax(self._modes.log_mass)]
        return proposal.near(poses, lead[None], LOCAL_REACH_M, 2.0 * SAME_PLACE_RAD)[:, 0]

    def _birth_log_mass(self, poses: FloatArray, slips: npt.NDArray[np.bool_]) -> FloatArray:
        """Prior mass of a place: its share of the null, or a small slip of the leading mode."""
        log_mass = np.full(len(poses), self._log_null - self._log_places)
        for prior in self._priors:
            log_mass += prior.log_factor(poses, self._pose, self.distance_m, self._area_m2)
        slip = np.max(self._modes.log_mass, initial=-np.inf) + LOCAL_LOG_MASS
        return np.where(slips, np.maximum(log_mass, slip), log_mass)

    def _born_of_prior(self, moved: MovedPrior) -> None:
        """A prior that names a place opens a hypothesis there (an initial pose does).

        It takes its share of what nobody knows; one that supersedes, of what images said, too.
        """
        required = np.array([LOCAL_EVIDENCE * self._confirm_evidence])
        for mean, cov, share in moved.places(self._pose, self.distance_m):
            each = self._config.lead_particles
            poses = self._rng.multivariate_normal(mean, cov, size=each, method="cholesky")
            poses[:, 2] = se2.wrap_angle(poses[:, 2])
            over = moved.prior.supersedes
            log_mass = np.log(share) + (0.0 if over else self._log_null)
            self._modes.log_mass += np.log1p(-share) if over else 0.0
            self._log_null += float(np.log1p(-share))
            self._keep_best(MOST_OF_PRIORS - 1)
            self._modes.append(poses[None], np.array([log_mass]), required)

    def _weigh(self, similarity_at: SimilarityAt, moved_m: float) -> None:
        modes, config = self._modes, self._config
        found, supported = similarity_at(modes.poses)
        self._log_null, lead, self._similarity, self._supported = evidence.weigh_image(
            modes,
            np.asarray(found, dtype=np.float64),
            supported,
            self._model,
            (moved_m, self.distance_m - self._seen_at_m),
            self._log_null,
            config,
        )
        self._contradicted = bool(modes.low_m[lead] > 1.0)

    def _tidy(self) -> None:
        """Resample inside modes, merge those that met, drop those without a chance."""
        config = self._config
        self._modes.tidy(
            (PRUNE_LOG_MASS, MERGE_M, MERGE_RAD, LEADING_LOG_MASS),
            (config.lead_particles, config.mode_particles),
            self._rng,
        )
        if not len(self._modes):
            self._log_null = 0.0

    def _keep_best(self, most: int) -> None:
        modes = self._modes
        if len(modes) > most:
            rank = np.argsort(np.argsort(-modes.log_mass, kind="stable"), kind="stable")
            modes.keep(rank < most)
