# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Estimate: mean and covariance of weighted particles on SE(2), and what is published of them.

The yaw mean is the mean direction (Mardia and Jupp, Directional Statistics, 2000, section 2.2),
deviations are wrapped.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import FloatArray, Mask, PoseEstimate, Reason, Status

IntArray = npt.NDArray[np.int64]


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
    wide: FloatArray = cov.copy()
    wide[0, 0] += sigma_m**2
    wide[1, 1] += sigma_m**2
    wide[2, 2] += sigma_yaw_rad**2
    wide *= scale
    return wide


def largest_sigma_m(cov: FloatArray) -> float:
    """Largest standard deviation of position in any direction, m."""
    a, b, c = float(cov[0, 0]), float(cov[0, 1]), float(cov[1, 1])
    return math.sqrt(0.5 * (a + c) + math.hypot(0.5 * (a - c), b))


@compiled
def survey(
    poses: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    log_mass: FloatArray,
    evidence: FloatArray,
    support_m: FloatArray,
    confirmed: Mask,
    radius_m: float,
    yaw_rad: float,
) -> tuple[int, FloatArray, FloatArray, FloatArray, float, float, float, float, bool]:
    """The dominant place, made of the heaviest mode and those near it.

    Args:
        poses: (N, 3).
        weights: (N,).
        counts: (M,), M at least 1.
        log_mass: (M,).
        evidence: (M,).
        support_m: (M,).
        confirmed: (M,).
        radius_m: how near two means are that are the same place.
        yaw_rad: the same for heading.

    Returns:
        The heaviest mode; mean (3,), covariance (3, 3), spread of the whole belief about that
        mean (3, 3); mass of the place and of the heaviest other mode; the place's most evidence
        and support, and whether one of its modes is confirmed.
    """
    lead = int(np.argmax(log_mass))
    moments = _moments(poses, weights, counts)
    same = np.zeros(len(counts), dtype=np.bool_)
    yaw = math.atan2(moments[lead, 3], moments[lead, 2])
    for mode in range(len(counts)):
        dx, dy = moments[mode, 0] - moments[lead, 0], moments[mode, 1] - moments[lead, 1]
        if dx * dx + dy * dy <= radius_m * radius_m:
            turn = math.atan2(moments[mode, 3], moments[mode, 2]) - yaw
            same[mode] = abs(_wrapped(turn)) <= yaw_rad
    mass = np.exp(log_mass)
    pose, cov, whole = _dominant_and_whole(poses, weights, counts, mass, same, moments)
    share = second = 0.0
    most, support, known = evidence[lead], support_m[lead], False
    for mode in range(len(counts)):
        if same[mode]:
            share += mass[mode]
            most, support = max(most, evidence[mode]), max(support, support_m[mode])
            known = known or confirmed[mode]
        else:
            second = max(second, mass[mode])
    return lead, pose, cov, whole, share, second, most, support, known


@compiled
def _dominant_and_whole(
    poses: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    mass: FloatArray,
    same: Mask,
    moments: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and covariance of some modes, and the spread of all about that mean.

    Args:
        poses: (N, 3).
        weights: (N,).
        counts: (M,).
        mass: (M,) of the modes, of any sum.
        same: (M,) the modes the mean is of, at least one.
        moments: (M, 4) of the modes.

    Returns:
        Mean (3,), covariance (3, 3), second moment (3, 3) of all particles about the mean.
    """
    means = np.zeros(4)
    for mode in range(len(counts)):
        if same[mode]:
            means += mass[mode] * moments[mode]
    inside = np.sum(mass[same])
    pose = np.array([means[0] / inside, means[1] / inside, math.atan2(means[3], means[2])])
    cov, whole = np.zeros((3, 3)), np.zeros((3, 3))
    moment, delta = np.empty((3, 3)), np.empty(3)
    first = 0
    for mode in range(len(counts)):
        moment[:] = 0.0
        for i in range(first, first + counts[mode]):
            delta[0], delta[1] = poses[i, 0] - pose[0], poses[i, 1] - pose[1]
            delta[2] = _wrapped(poses[i, 2] - pose[2])
            for row in range(3):
                for column in range(row + 1):
                    moment[row, column] += weights[i] * delta[row] * delta[column]
        first += counts[mode]
        for row in range(3):
            for column in range(row):
                moment[column, row] = moment[row, column]
        whole += mass[mode] / np.sum(mass) * moment
        if same[mode]:
            cov += mass[mode] / inside * moment
    return pose, cov, whole


@compiled
def _moments(poses: FloatArray, weights: FloatArray, counts: IntArray) -> FloatArray:
    """Weighted means (M, 4) of x, y, cos yaw and sin yaw of each mode.

    Args:
        poses: (N, 3).
        weights: (N,).
        counts: (M,).
    """
    means = np.zeros((len(counts), 4))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            means[mode, 0] += weights[i] * poses[i, 0]
            means[mode, 1] += weights[i] * poses[i, 1]
            means[mode, 2] += weights[i] * math.cos(poses[i, 2])
            means[mode, 3] += weights[i] * math.sin(poses[i, 2])
        first += counts[mode]
    return means


@compiled
def _wrapped(angle_rad: float) -> float:
    """The angle in [-pi, pi)."""
    if -math.pi <= angle_rad < math.pi:
        return angle_rad
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


def nowhere(
    stamp_ns: int, status: Status, reasons: set[Reason], similarity: float
) -> PoseEstimate:
    """The estimate of a belief without any hypothesis of place."""
    return PoseEstimate(
        stamp_ns=stamp_ns,
        status=status,
        reasons=tuple(sorted(reasons)),
        pose=np.full(3, np.nan),
        cov_xy_yaw=np.full((3, 3), np.nan),
        position=None,
        similarity=similarity,
        spread_m=float("nan"),
    )
