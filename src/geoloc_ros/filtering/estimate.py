# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Estimate: the covariance that is published."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.datatypes import FloatArray


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
