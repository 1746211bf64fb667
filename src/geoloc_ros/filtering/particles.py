# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Particles in modes: every hypothesis of place keeps its own particles and its own mass.

Resampling happens inside a mode, never across, so a young hypothesis is not wiped out by an old
one before it could prove itself; masses compete through the evidence of whole modes. Source:
mixture tracking, Vermaak, Doucet, Perez, Maintaining multi-modality through mixture tracking,
ICCV 2003, equations 10-17.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Motion
from geoloc_ros.filtering import kernels, motion_model, resampling

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: least, m, m, rad; share of the spread; spread that counts at most
JITTER = np.array([0.1, 0.1, np.deg2rad(0.2)]), 0.1, np.array([3.0, 3.0, 0.15])
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
        weights: (N,) the same, not as logarithms.
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
        self.weights = np.zeros(0)
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

    def __len__(self) -> int:
        """How many modes."""
        return len(self.counts)

    @property
    def owner(self) -> IntArray:
        """Which mode each particle belongs to, (N,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

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
        self.weights = np.concatenate([self.weights, np.full(born * each, 1.0 / each)])
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

    def keep(self, wanted: BoolArray) -> None:
        """Drop the modes that are not wanted, (M,) bool."""
        mine = np.repeat(wanted, self.counts)
        self.poses, self.log_weights = self.poses[mine], self.log_weights[mine]
        self.weights = self.weights[mine]
        for name in PER_MODE:
            setattr(self, name, getattr(self, name)[wanted])

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        """Move every particle by a motion, each with its own draw of the noise."""
        self.poses = motion_model.move(self.poses, motion, rng)

    def weigh(self, log_likelihood: FloatArray) -> FloatArray:
        """Multiply weights by likelihoods and normalise within each mode.

        Args:
            log_likelihood: (N,).

        Returns:
            (M,) log of each mode's mean likelihood, its evidence from this image.
        """
        self.log_weights, self.weights, evidence = kernels.weigh(
            self.log_weights, self.counts, log_likelihood
        )
        return evidence

    def means(self) -> FloatArray:
        """Mean pose of each mode, (M, 3), circular in yaw."""
        return kernels.mean_poses(self.poses, self.weights, self.counts)

    def tidy(
        self,
        limits: tuple[float, float, float, float],
        sizes: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        """Drop modes without a chance, merge those that met, resample inside modes.

        Args:
            limits: least log mass; how near in m and rad modes are one; log mass of a leading
                mode.
            sizes: particles of a leading mode and of any other.
            rng: source of the draws.
        """
        left, drawn = kernels.tidy(
            self.poses,
            self.weights,
            self.counts,
            self.log_mass,
            self.confirmed,
            limits,
            sizes,
        )
        if not left.all():
            self.keep(left)
            drawn = drawn[left]
        if drawn.any():
            self.resample(drawn, rng)

    def resample(self, wanted: IntArray, rng: np.random.Generator) -> None:
        """Systematic resampling of modes whose weights degenerated or whose size should change.

        Args:
            wanted: (M,) particles each mode shall have; its own stay as they are where it is 0.
            rng: source of the draws.

        Source: systematic resampling, Kitagawa 1996; effective sample size below half, Liu and
        Chen 1998; roughening by a share of the spread, Gordon, Salmond, Smith 1993.
        """
        offset = rng.random(len(wanted))
        noise = rng.standard_normal((int(wanted.sum()), 3))
        self.poses, self.log_weights, self.weights, self.counts = resampling.resample(
            self.poses, self.log_weights, self.weights, self.counts, wanted, offset, noise, JITTER
        )
