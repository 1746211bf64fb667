# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Knowledge that arrives late: a prior about a past stamp, moved to now by odometry.

Whoever is wrong once is likely to be wrong the same way again, so the priors of one source are no
independent evidence: what a source says replaces what it said before, and however often it speaks
it never weighs more than one prior does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geoloc_ros.datatypes import FloatArray, GeoPrior
from geoloc_ros.geo import se2
from geoloc_ros.geo.far import far_poses
from geoloc_ros.geo.planes import PlaneChange

WINDOW_NS = 60_000_000_000
YAW_UNKNOWN_RAD2 = 3.0
DRIFT_SHARE = 0.03
MAX_GAIN = 20.0
MAX_SHARE = 0.95
MAX_COMPONENTS = 64
MOST_PRIORS = 20
FORGOTTEN_M = 500.0
TIGHT_M = 30.0


class Trail:
    """Dead-reckoned track of the last minute: where the vehicle was at which stamp."""

    def __init__(self) -> None:
        self._points: list[tuple[int, FloatArray, float]] = []
        self._forgot = False

    def add(self, stamp_ns: int, pose: FloatArray, distance_m: float) -> None:
        """Append a point; pose (3,) in the frame the trail started in."""
        self._points.append((stamp_ns, pose, distance_m))
        if self._points[0][0] < stamp_ns - WINDOW_NS and len(self._points) > 2:
            del self._points[0]
            self._forgot = True

    def reaches(self, stamp_ns: int) -> bool:
        """Whether it is known where the vehicle was; before the first point it stood there."""
        return not self._forgot or stamp_ns >= self._points[0][0]

    def at(self, stamp_ns: int) -> tuple[FloatArray, float]:
        """Pose and distance driven at the point closest to a stamp."""
        if not self._points:
            return np.zeros(3), 0.0
        _, pose, distance = min(self._points, key=lambda point: abs(point[0] - stamp_ns))
        return pose, distance


@dataclass(frozen=True, slots=True)
class MovedPrior:
    """A prior with the dead-reckoned pose and distance of the moment it speaks about."""

    prior: GeoPrior
    pose_then: FloatArray
    distance_then_m: float

    def now(self, pose_now: FloatArray, distance_m: float) -> tuple[FloatArray, FloatArray]:
        """Means (K, 3) and covariances (K, 3, 3) as of now, widened by the drift since.

        Args:
            pose_now: (3,) dead-reckoned pose.
            distance_m: distance driven so far.
        """
        driven = distance_m - self.distance_then_m
        step = se2.between(self.pose_then, pose_now)
        means, covs = [], []
        for mean, prior_cov in zip(self.prior.means, self.prior.covs_xy_yaw, strict=True):
            known = prior_cov[2, 2] <= YAW_UNKNOWN_RAD2
            reach = driven**2 * (prior_cov[2, 2] + DRIFT_SHARE**2 if known else 1.0)
            means.append(se2.compose(mean, step) if known else mean)
            covs.append(prior_cov + np.diag([reach, reach, 0.0]))
        return np.array(means), np.array(covs)

    def places(
        self, pose_now: FloatArray, distance_m: float
    ) -> Iterator[tuple[FloatArray, FloatArray, float]]:
        """Mean (3,), covariance (3, 3) and share of the parts that name a place, as of now."""
        means, covs = self.now(pose_now, distance_m)
        for mean, cov, share in zip(means, covs, self.shares, strict=True):
            if share > 0.0 and max(cov[0, 0], cov[1, 1]) <= TIGHT_M**2:
                yield mean, cov, float(share)

    def rebased(self, change: PlaneChange) -> MovedPrior:
        """The same knowledge in another plane."""
        return replace(self, prior=replace(self.prior, means=far_poses(change, self.prior.means)))

    def log_factor(
        self, poses: FloatArray, pose_now: FloatArray, distance_m: float, area_m2: float
    ) -> FloatArray:
        """Log of how much more likely the prior makes poses than nowhere in particular.

        Poses are led back to where they were when the prior was made: whatever is not known of
        its heading, each of them knows its own.

        A part wider than the area says nothing about where in it: it is even there, not thin, or
        a region that is right would speak against every place of a town in it.

        Args:
            poses: (N, 3).
            pose_now: (3,) dead-reckoned pose.
            distance_m: distance driven so far.
            area_m2: area the vehicle may be in at all.

        Returns:
            (N,) in [log(1 - total share), log(MAX_GAIN)].
        """
        shares = self.shares
        total = np.full(len(poses), 1.0 - shares.sum())
        then = se2.compose(poses, se2.between(pose_now, self.pose_then))
        drift_m2 = (DRIFT_SHARE * (distance_m - self.distance_then_m)) ** 2
        drift = np.diag([drift_m2, drift_m2, 0.0])
        parts = zip(self.prior.means, self.prior.covs_xy_yaw, shares, strict=True)
        for mean, cov, share in parts:
            total += share * _gain(then - mean, cov + drift, area_m2)
        factor: FloatArray = np.log(total)
        return factor

    @property
    def shares(self) -> FloatArray:
        """Shares (K,), of which some of the belief is always kept back."""
        shares = np.asarray(self.prior.shares, dtype=np.float64)
        return shares * min(1.0, MAX_SHARE / float(shares.sum()))


def _gain(delta: FloatArray, cov: FloatArray, area_m2: float) -> FloatArray:
    """Density (N,) of a Gaussian at offsets (N, 3), as a multiple of the even one, bounded."""
    delta[:, 2] = se2.wrap_angle(delta[:, 2])
    size = 2 if cov[2, 2] > YAW_UNKNOWN_RAD2 else 3
    block = cov[:size, :size]
    exponent = np.einsum("ni,ij,nj->n", delta[:, :size], np.linalg.inv(block), delta[:, :size])
    volume = area_m2 * (2.0 * np.pi if size == 3 else 1.0)
    peak = volume / np.sqrt(np.linalg.det(2.0 * np.pi * block))
    gain: FloatArray = min(max(peak, 1.0), MAX_GAIN) * np.exp(-0.5 * exponent)
    return gain


def remembered(
    priors: Sequence[MovedPrior], newest: MovedPrior, distance_m: float
) -> list[MovedPrior]:
    """What is kept of earlier priors beside the newest, at most `MOST_PRIORS`.

    Args:
        priors: what was kept so far.
        newest: takes the place of what its source said.
        distance_m: driven so far; what was said `FORGOTTEN_M` ago is forgotten.
    """
    others = [old for old in priors if old.prior.source != newest.prior.source]
    recent = [old for old in others if distance_m - old.distance_then_m < FORGOTTEN_M]
    return [*recent[-MOST_PRIORS:], newest]


def usable(prior: GeoPrior) -> bool:
    """Whether a prior is a mixture of Gaussians at all."""
    covs = np.asarray(prior.covs_xy_yaw, dtype=np.float64)
    shares = np.asarray(prior.shares, dtype=np.float64)
    if not 0 < len(shares) <= MAX_COMPONENTS or not all(
        np.isfinite(v).all() for v in (prior.means, covs, shares)
    ):
        return False
    if (shares < 0.0).any() or not 0.0 < shares.sum() <= 1.0:
        return False
    if not np.allclose(covs, np.swapaxes(covs, 1, 2), rtol=1e-6):
        return False  # what is asked next looks at one half only
    return bool(np.all(np.linalg.eigvalsh(covs) > 0.0))
