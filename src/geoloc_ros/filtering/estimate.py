# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Estimate: mean and covariance of weighted particles on SE(2)."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.filtering import kernels
from geoloc_ros.filtering.particles import Modes


def dominant_and_whole(modes: Modes, same: Mask) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The dominant place in one pose, and how far the belief spreads about it.

    Args:
        modes: the hypotheses.
        same: (M,) which of them are the dominant place.

    Returns:
        Its mean (3,) and covariance (3, 3), and the second moment (3, 3) of the whole belief
        about that mean, in m and rad; the yaw mean is the mean direction (Mardia and Jupp,
        Directional Statistics, 2000, section 2.2), deviations are wrapped.
    """
    mass = np.exp(modes.log_mass)
    return kernels.dominant_and_whole(
        modes.poses, modes.weights, modes.counts, mass, same, modes.moments()
    )


def published(cov: FloatArray, scale: float, sigma_m: float, sigma_yaw_rad: float) -> FloatArray:
    """Covariance that means what it says.

    The spread of the particles knows nothing of what all images share: the registration of the
    imagery, the mount, the pitch of the index. That error is added as a floor; what is left of
    overconfidence is a factor fitted on held-out drives.

    Args:
        cov: (3, 3) of the particles.
        scale: fitted factor.
        sigma_m: position error that no number of images averages out, m.
        sigma_yaw_rad: the same for heading, rad.

    Returns:
        (3, 3), positive definite.
    """
    floor = np.diag([sigma_m**2, sigma_m**2, sigma_yaw_rad**2])
    return scale * (cov + floor)


def largest_sigma_m(cov: FloatArray) -> float:
    """Largest standard deviation of position in any direction, m."""
    a, b, c = float(cov[0, 0]), float(cov[0, 1]), float(cov[1, 1])
    return math.sqrt(0.5 * (a + c) + math.hypot(0.5 * (a - c), b))
