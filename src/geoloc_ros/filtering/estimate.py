# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Estimate: mean and covariance of weighted particles on SE(2)."""

from __future__ import annotations

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.geo.se2 import circular_mean, wrap_angle


def mean_and_covariance(poses: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and covariance of poses, circular in yaw.

    Args:
        poses: (N, 3).
        weights: (N,) non-negative, not all zero.

    Returns:
        Mean (3,) and covariance (3, 3) in m and rad; the yaw mean is the mean direction (Mardia
        and Jupp, Directional Statistics, 2000, section 2.2), deviations are wrapped.
    """
    share = weights / weights.sum()
    yaw = circular_mean(poses[:, 2], share)
    mean = np.array([*(share @ poses[:, :2]), yaw])
    delta = poses - mean
    delta[:, 2] = wrap_angle(delta[:, 2])
    return mean, about(delta, share)


def about(delta: FloatArray, share: FloatArray) -> FloatArray:
    """Second moment (3, 3) of deviations (N, 3) with weights (N,) that sum to one."""
    cov: FloatArray = (delta * share[:, None]).T @ delta
    return np.asarray(0.5 * (cov + cov.T))


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
    return float(np.sqrt(np.linalg.eigvalsh(cov[:2, :2])[-1]))
