# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pure figures of merit over columns: errors, consistency, availability, recall, latency.

Errors are estimate minus truth. Consistency follows Bar-Shalom, Li and Kirubarajan, Estimation
with Applications to Tracking and Navigation (2001), section 5.4: the normalised estimation error
squared (NEES) e' P^-1 e of a consistent estimator is chi-square with as many degrees of freedom
as e has components.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.columns import BoolArray, IntArray, Latency
from geoloc_ros.geo.se2 import wrap_angle

NEES_CEILING = 1e6
"""NEES given to an error whose covariance is not positive definite or not finite."""

CONFIDENT_SIGMA = 3.0
"""Mahalanobis distance beyond which a LOCALISED position counts as confidently wrong."""


def position_error_m(estimate: FloatArray, truth: FloatArray) -> FloatArray:
    """Horizontal distance, (N,), of (N, 2+) poses."""
    return np.asarray(np.hypot(estimate[:, 0] - truth[:, 0], estimate[:, 1] - truth[:, 1]))


def yaw_error_deg(estimate: FloatArray, truth: FloatArray) -> FloatArray:
    """Absolute heading difference in 0..180 degrees, (N,); NaN where either is unknown."""
    return np.asarray(np.abs(np.degrees(wrap_angle(estimate[:, 2] - truth[:, 2]))))


def mahalanobis_squared(error: FloatArray, cov: FloatArray) -> FloatArray:
    """E' P^-1 e, (N,), of (N, D) errors and (N, D, D) covariances.

    A covariance that is not finite or not positive definite claims what nobody can know; it gives
    `NEES_CEILING`, as does anything above it, so that a broken covariance shows.
    """
    result = np.full(len(error), NEES_CEILING)
    finite = np.isfinite(cov).all(axis=(1, 2)) & np.isfinite(error).all(axis=1)
    sound = np.flatnonzero(finite)
    if len(sound):
        eigenvalues = np.linalg.eigvalsh(cov[sound])
        positive = eigenvalues[:, 0] > 1e-12 * np.abs(eigenvalues[:, -1])
        sound = sound[positive]
    if len(sound):
        solved = np.linalg.solve(cov[sound], error[sound][..., None])[..., 0]
        result[sound] = np.minimum(np.einsum("nd,nd->n", error[sound], solved), NEES_CEILING)
    return result


def nees(
    estimate: FloatArray, truth: FloatArray, cov_xy_yaw: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Normalised estimation error squared of (x, y, yaw), or of (x, y) where truth has no yaw.

    Args:
        estimate: (N, 3).
        truth: (N, 3), yaw NaN where unknown.
        cov_xy_yaw: (N, 3, 3).

    Returns:
        (N,) NEES and (N,) degrees of freedom, 3 or 2.
    """
    error = estimate - truth
    error[:, 2] = wrap_angle(error[:, 2])
    with_yaw = np.isfinite(truth[:, 2])
    values = mahalanobis_squared(error[:, :2], cov_xy_yaw[:, :2, :2])
    values[with_yaw] = mahalanobis_squared(error[with_yaw], cov_xy_yaw[with_yaw])
    return values, np.where(with_yaw, 3, 2).astype(np.int64)


def chi2_quantile(level: npt.ArrayLike, dof: npt.ArrayLike) -> FloatArray:
    """Quantile of the chi-square distribution, broadcasting.

    `scipy.special` alone: importing `scipy.stats` costs more than the whole evaluation.
    """
    from scipy.special import gammaincinv

    half = np.asarray(dof, dtype=np.float64) / 2.0
    return np.asarray(2.0 * gammaincinv(half, np.asarray(level, dtype=np.float64)))


def chi2_density(values: npt.ArrayLike, dof: float) -> FloatArray:
    """Density of the chi-square distribution at positive values."""
    from math import gamma

    x, half = np.asarray(values, dtype=np.float64), dof / 2.0
    return np.asarray(x ** (half - 1.0) * np.exp(-x / 2.0) / (2.0**half * gamma(half)))


def coverage(nees_values: FloatArray, dof: IntArray, level: float = 0.95) -> float | None:
    """Share of errors inside the published confidence region of the given level; None if empty."""
    if len(nees_values) == 0:
        return None
    return float(np.mean(nees_values <= chi2_quantile(level, dof)))


def position_mahalanobis(
    estimate: FloatArray, truth: FloatArray, cov_xy_yaw: FloatArray
) -> FloatArray:
    """Position error in sigmas of the published covariance along its own direction, (N,)."""
    error = estimate[:, :2] - truth[:, :2]
    return np.asarray(np.sqrt(mahalanobis_squared(error, cov_xy_yaw[:, :2, :2])))


def confidently_wrong(distance_sigma: FloatArray) -> float | None:
    """Share of positions more than 3 sigma off, by Mahalanobis distance of (x, y); None if empty.

    This is the stricter of the usual readings: a perfect two-dimensional Gaussian itself leaves
    3 sigma with probability exp(-9/2) = 1.1 %.
    """
    if len(distance_sigma) == 0:
        return None
    return float(np.mean(distance_sigma > CONFIDENT_SIGMA))


def sigma_major_m(cov_xy_yaw: FloatArray) -> FloatArray:
    """Standard deviation along the position ellipse's longest axis, (N,); NaN if not finite."""
    sigma = np.full(len(cov_xy_yaw), np.nan)
    sound = np.isfinite(cov_xy_yaw[:, :2, :2]).all(axis=(1, 2))
    if sound.any():
        largest = np.linalg.eigvalsh(cov_xy_yaw[sound, :2, :2])[:, -1]
        sigma[sound] = np.sqrt(np.maximum(largest, 0.0))
    return sigma


def availability(localised: BoolArray) -> float | None:
    """Share of frames LOCALISED from the first LOCALISED frame on; None if there is none."""
    if not localised.any():
        return None
    return float(np.mean(localised[int(np.argmax(localised)) :]))


def time_to_first_fix_s(stamp_ns: IntArray, localised: BoolArray) -> float | None:
    """Seconds from the first frame to the first LOCALISED frame; None if never."""
    if not localised.any():
        return None
    return float(stamp_ns[int(np.argmax(localised))] - stamp_ns[0]) * 1e-9


def percentile(values: npt.ArrayLike, q: float) -> float | None:
    """Percentile q (0..100) of the finite values; None if there is none."""
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    return float(np.percentile(array, q)) if len(array) else None


def latency_percentiles(
    latency: Latency | None, stages: tuple[str, ...]
) -> dict[str, dict[str, float | None]]:
    """p50 and p95 in milliseconds of each stage, None for a stage that never ran."""
    times = latency.stages_ms if latency is not None else {}
    return {
        stage: {
            "p50": percentile(times.get(stage, []), 50),
            "p95": percentile(times.get(stage, []), 95),
        }
        for stage in stages
    }
