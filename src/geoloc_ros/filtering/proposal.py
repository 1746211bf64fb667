# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Proposal: which retrieved candidates become new hypotheses of place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.filtering import kernels
from geoloc_ros.geo.se2 import wrap_angle

COVER_SIGMA = 2.0
COVER_RAD = np.deg2rad(25.0)


def near(a: FloatArray, b: FloatArray, radius_m: float, yaw_rad: float) -> npt.NDArray[np.bool_]:
    """Whether poses lie close to each other.

    Args:
        a: (A, 3).
        b: (B, 3).
        radius_m: largest distance.
        yaw_rad: largest difference of heading.

    Returns:
        (A, B).
    """
    return kernels.near(a, b, radius_m, yaw_rad)


def pick(
    poses: FloatArray, similarity: FloatArray, occupied: FloatArray, miss_m: float
) -> npt.NDArray[np.int64]:
    """Best candidate of each place that no mode covers yet.

    Args:
        poses: (K, 3) candidate vehicle poses.
        similarity: (K,).
        occupied: (M, 3) means of the modes there are.
        miss_m: how far a retrieved entry may miss the vehicle, one sigma.

    Returns:
        Indices into the candidates, best first.
    """
    cover_m = COVER_SIGMA * miss_m
    taken = ~(np.all(np.isfinite(poses), axis=1) & np.isfinite(similarity))
    if len(occupied):
        taken |= np.any(near(poses, occupied, cover_m, COVER_RAD), axis=1)
    neighbours = near(poses, poses, cover_m, COVER_RAD)
    chosen = []
    for index in np.argsort(-similarity, kind="stable"):
        if not taken[index]:
            chosen.append(int(index))
            taken |= neighbours[index]
    return np.array(chosen, dtype=np.int64)


def scatter(
    seeds: FloatArray, each: int, rng: np.random.Generator, miss: tuple[float, float]
) -> FloatArray:
    """Particles around seeds, as wide as a retrieved entry may miss the vehicle.

    Args:
        seeds: (B, 3).
        each: particles per seed.
        rng: source of the draws.
        miss: how far an entry may miss the vehicle, one sigma: m, rad.

    Returns:
        (B, each, 3).
    """
    sigma = np.array([miss[0], miss[0], miss[1]])
    particles = seeds[:, None, :] + sigma * rng.standard_normal((len(seeds), each, 3))
    particles[..., 2] = wrap_angle(particles[..., 2])
    return particles
