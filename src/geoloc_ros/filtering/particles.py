# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Particles in modes: every hypothesis of place keeps its own particles and its own mass.

Resampling happens inside a mode, never across, so a young hypothesis is not wiped out by an old
one before it could prove itself; masses compete through the evidence of whole modes. Source:
mixture tracking, Vermaak, Doucet, Perez, Maintaining multi-modality through mixture tracking,
ICCV 2003, equations 10-17.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

JITTER_M = 0.1
JITTER_RAD = np.deg2rad(0.2)
JITTER_SHARE = 0.1
PER_MODE = (
    "counts",
    "log_mass",
    "evidence",
    "required",
    "support_m",
    "low_m",
    "level",
    "blocked",
    "confirmed",
    "born",
)


class Modes:
    """M hypotheses over N particles, stored flat and sorted by owner.

    Attributes:
        poses: (N, 3).
        log_weights: (N,) normalised within each mode.
        counts: (M,) particles per mode.
        log_mass: (M,) log posterior of each mode; together with the null they sum to one.
        evidence: (M,) log-likelihood ratio collected after birth, bounded.
        required: (M,) evidence each mode needs before it is believed.
        support_m: (M,) driving during which the mode was supported by images.
        low_m: (M,) driving for which images have contradicted the mode, a bounded cumulative sum.
        level: (M,) running mean of the normalised similarity (wrong places 0, right ones 1).
        blocked: (M,) probability that the view is blocked, given that the mode is right.
        confirmed: (M,) whether the mode has passed every test of a place.
        born: (M,) True until the mode has been weighed once.
    """

    def __init__(self) -> None:
        self.poses = np.zeros((0, 3))
        self.log_weights = np.zeros(0)
        self.counts: IntArray = np.zeros(0, dtype=np.int64)
        self.log_mass = np.zeros(0)
        self.evidence = np.zeros(0)
        self.required = np.zeros(0)
        self.support_m = np.zeros(0)
        self.low_m = np.zeros(0)
        self.level = np.zeros(0)
        self.blocked = np.zeros(0)
        self.confirmed: BoolArray = np.zeros(0, dtype=bool)
        self.born: BoolArray = np.zeros(0, dtype=bool)
        self._index()

    def __len__(self) -> int:
        """How many modes."""
        return len(self.counts)

    def _index(self) -> None:
        self.owner: IntArray = np.repeat(np.arange(len(self.counts)), self.counts)
        self.starts: IntArray = np.cumsum(self.counts) - self.counts

    def append(self, poses: FloatArray, log_mass: FloatArray, required: FloatArray) -> None:
        """Add modes.

        Args:
            poses: (B, P, 3) P particles for each of B modes.
            log_mass: (B,).
            required: (B,) evidence each needs.
        """
        born, each = poses.shape[:2]
        self.poses = np.concatenate([self.poses, poses.reshape(-1, 3)])
        self.log_weights = np.concatenate([self.log_weights, np.full(born * each, -np.log(each))])
        self.counts = np.concatenate([self.counts, np.full(born, each, dtype=np.int64)])
        self.log_mass = np.concatenate([self.log_mass, log_mass])
        self.evidence = np.concatenate([self.evidence, np.zeros(born)])
        self.required = np.concatenate([self.required, required])
        self.support_m = np.concatenate([self.support_m, np.zeros(born)])
        self.low_m = np.concatenate([self.low_m, np.zeros(born)])
        self.level = np.concatenate([self.level, np.zeros(born)])
        self.blocked = np.concatenate([self.blocked, np.zeros(born)])
        self.confirmed = np.concatenate([self.confirmed, np.zeros(born, dtype=bool)])
        self.born = np.concatenate([self.born, np.ones(born, dtype=bool)])
        self._index()

    def keep(self, wanted: BoolArray) -> None:
        """Drop the modes that are not wanted, (M,) bool."""
        if bool(np.all(wanted)):
            return
        mine = wanted[self.owner]
        self.poses, self.log_weights = self.poses[mine], self.log_weights[mine]
        for name in PER_MODE:
            setattr(self, name, getattr(self, name)[wanted])
        self._index()

    def weigh(self, log_likelihood: FloatArray) -> FloatArray:
        """Multiply weights by likelihoods and normalise within each mode.

        Args:
            log_likelihood: (N,).

        Returns:
            (M,) log of each mode's mean likelihood, its evidence from this image.
        """
        log_weights = self.log_weights + log_likelihood
        top = np.maximum.reduceat(log_weights, self.starts)
        total = np.add.reduceat(np.exp(log_weights - top[self.owner]), self.starts)
        evidence = top + np.log(total)
        self.log_weights = log_weights - evidence[self.owner]
        return evidence

    def mean_of(self, values: FloatArray) -> FloatArray:
        """Weighted mean per mode, (N,) or (N, C) -> (M,) or (M, C)."""
        weights = np.exp(self.log_weights)
        shaped = weights if values.ndim == 1 else weights[:, None]
        mean: FloatArray = np.add.reduceat(shaped * values, self.starts, axis=0)
        return mean

    def means(self) -> FloatArray:
        """Mean pose of each mode, (M, 3), circular in yaw."""
        parts = self.mean_of(
            np.column_stack(
                [self.poses[:, :2], np.cos(self.poses[:, 2]), np.sin(self.poses[:, 2])]
            )
        )
        return np.column_stack([parts[:, :2], np.arctan2(parts[:, 3], parts[:, 2])])

    def resample(self, wanted: IntArray, rng: np.random.Generator) -> None:
        """Systematic resampling of modes whose weights degenerated or whose size should change.

        Args:
            wanted: (M,) particles each mode should have.
            rng: source of the draws.

        Source: systematic resampling, Kitagawa 1996; effective sample size below half, Liu and
        Chen 1998; roughening by a share of the spread, Gordon, Salmond, Smith 1993.
        """
        weights = np.exp(self.log_weights)
        size = 1.0 / np.add.reduceat(weights * weights, self.starts)
        todo = (size < 0.5 * self.counts) | (wanted != self.counts)
        if not np.any(todo):
            return
        counts = np.where(todo, wanted, self.counts)
        owner = np.repeat(np.arange(len(counts)), counts)
        rank = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
        offset = rng.random(len(counts))
        cumulative = np.cumsum(weights)
        base = cumulative[self.starts] - weights[self.starts]
        total = cumulative[self.starts + self.counts - 1] - base
        target = base[owner] + total[owner] * (rank + offset[owner]) / counts[owner]
        chosen = np.searchsorted(cumulative, target, side="left")
        first, last = self.starts[owner], self.starts[owner] + self.counts[owner] - 1
        chosen = np.clip(chosen, first, last)
        same = ~todo[owner]
        chosen[same] = first[same] + rank[same]
        spread = self._spread()
        poses = self.poses[chosen]
        drawn = np.flatnonzero(~same)
        poses[drawn] += rng.standard_normal((len(drawn), 3)) * spread[owner[drawn]]
        self.log_weights = np.where(same, self.log_weights[chosen], -np.log(counts)[owner])
        self.poses, self.counts = poses, counts
        self._index()

    def _spread(self) -> FloatArray:
        """Size of the roughening per mode, (M, 3)."""
        mean = self.means()[self.owner]
        delta = self.poses - mean
        delta[:, 2] = (delta[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
        sigma = np.sqrt(self.mean_of(delta * delta))
        floor = np.array([JITTER_M, JITTER_M, JITTER_RAD])
        return np.asarray(floor + JITTER_SHARE * np.minimum(sigma, [3.0, 3.0, 0.15]))

    def merge(self, near: Callable[[FloatArray, FloatArray], BoolArray]) -> None:
        """Let modes that came to lie on a heavier one give it their mass.

        Args:
            near: (A, 3), (B, 3) -> (A, B), whether two poses are the same place.
        """
        if len(self) < 2:
            return
        means = self.means()
        close = near(means, means)
        wanted = np.ones(len(self), dtype=bool)
        for heavy in np.argsort(-self.log_mass, kind="stable"):
            if not wanted[heavy]:
                continue
            absorbed = close[heavy] & wanted
            absorbed[heavy] = False
            if np.any(absorbed):
                wanted &= ~absorbed
                both = np.append(self.log_mass[absorbed], self.log_mass[heavy])
                self.log_mass[heavy] = np.logaddexp.reduce(both)
                self.confirmed[heavy] |= np.any(self.confirmed[absorbed])
        self.keep(wanted)
