# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops over particles and modes.

Poses are (N, 3): x_m, y_m, yaw_rad. Particles are sorted by mode; `counts` (M,) says how many each
mode has, at least one. Weights sum to one within each mode.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import FloatArray, Mask

IntArray = npt.NDArray[np.int64]


@compiled
def wrapped(angle_rad: float) -> float:
    """The angle in [-pi, pi)."""
    if -math.pi <= angle_rad < math.pi:
        return angle_rad
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


@compiled
def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -np.inf else high + math.log1p(math.exp(low - high))


@compiled
def weigh(
    log_weights: FloatArray, counts: IntArray, log_likelihood: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bayes' rule within each mode.

    Args:
        log_weights: (N,).
        counts: (M,).
        log_likelihood: (N,).

    Returns:
        Log weights (N,), weights (N,), and the log of each mode's mean likelihood (M,).
    """
    after, weights = np.empty_like(log_weights), np.empty_like(log_weights)
    evidence = np.empty(len(counts))
    first = 0
    for mode in range(len(counts)):
        last = first + counts[mode]
        top = -np.inf
        for i in range(first, last):
            after[i] = log_weights[i] + log_likelihood[i]
            top = max(top, after[i])
        total = 0.0
        for i in range(first, last):
            weights[i] = math.exp(after[i] - top)
            total += weights[i]
        evidence[mode] = top + math.log(total)
        for i in range(first, last):
            after[i] -= evidence[mode]
            weights[i] /= total
        first = last
    return after, weights, evidence


@compiled
def weigh_image(
    log_weights: FloatArray,
    counts: IntArray,
    ratio: FloatArray,
    similarity: FloatArray,
    supported: Mask,
    tempered: float,
    born: Mask,
    confirmed: Mask,
    background: float,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Bayes' rule for one image within each mode.

    A place once confirmed that has left the index explains any image as well as the null.

    Args:
        log_weights: (N,).
        counts: (M,).
        ratio: (N,) log-likelihood ratio of the image.
        similarity: (N,); where not finite or not supported the background stands for it.
        supported: (N,) whether the index says anything at the particle.
        tempered: by which ratios count, except for modes ...
        born: ... (M,) that this image gave birth to.
        confirmed: (M,).
        background: similarity of wrong places.

    Returns:
        Log weights (N,), weights (N,), and of each mode (M,) its evidence, its mean similarity
        and its supported share.
    """
    counted = np.empty(len(ratio))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            usable = supported[i] or not confirmed[mode]
            counted[i] = (1.0 if born[mode] else tempered) * ratio[i] if usable else 0.0
        first += counts[mode]
    after, weights, evidence = weigh(log_weights, counts, counted)
    level, inside = np.zeros(len(counts)), np.zeros(len(counts))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            usable = supported[i] and math.isfinite(similarity[i])
            level[mode] += weights[i] * (similarity[i] if usable else background)
            inside[mode] += weights[i] * (1.0 if supported[i] else 0.0)
        first += counts[mode]
    return after, weights, evidence, level, inside


@compiled
def moments(poses: FloatArray, weights: FloatArray, counts: IntArray) -> FloatArray:
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
def mean_poses(moments: FloatArray) -> FloatArray:
    """Mean poses (M, 3), circular in yaw, of `moments` (M, 4)."""
    means = np.empty((len(moments), 3))
    for mode in range(len(moments)):
        means[mode, 0], means[mode, 1] = moments[mode, 0], moments[mode, 1]
        means[mode, 2] = math.atan2(moments[mode, 3], moments[mode, 2])
    return means


@compiled
def roughness(
    poses: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    moments: FloatArray,
    jitter: tuple[FloatArray, float, FloatArray],
) -> FloatArray:
    """How far drawn poses of each mode are moved at random, standard deviations (M, 3).

    Args:
        poses: (N, 3).
        weights: (N,).
        counts: (M,).
        moments: (M, 4) of the modes.
        jitter: least (3,), share of the mode's own spread, and that spread at most (3,).
    """
    least, share, most = jitter
    means = mean_poses(moments)
    sigma = np.zeros((len(counts), 3))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            dx, dy = poses[i, 0] - means[mode, 0], poses[i, 1] - means[mode, 1]
            turn = wrapped(poses[i, 2] - means[mode, 2])
            sigma[mode, 0] += weights[i] * dx * dx
            sigma[mode, 1] += weights[i] * dy * dy
            sigma[mode, 2] += weights[i] * turn * turn
        first += counts[mode]
    for mode in range(len(counts)):
        for axis in range(3):
            own = min(math.sqrt(sigma[mode, axis]), most[axis])
            sigma[mode, axis] = least[axis] + share * own
    return sigma


@compiled
def absorb(
    means: FloatArray,
    log_mass: FloatArray,
    confirmed: Mask,
    radius_m: float,
    yaw_rad: float,
) -> Mask:
    """Let modes near a heavier one give it their mass; answers which are left, (M,).

    Args:
        means: (M, 3) poses.
        log_mass: (M,) brought up to date.
        confirmed: (M,) brought up to date.
        radius_m: how near two means are that are the same place.
        yaw_rad: the same for heading.
    """
    left = np.ones(len(means), dtype=np.bool_)
    order = np.argsort(-log_mass, kind="mergesort")
    for heavy in order:
        if not left[heavy]:
            continue
        for other in range(len(means)):
            if other == heavy or not left[other]:
                continue
            dx, dy = means[heavy, 0] - means[other, 0], means[heavy, 1] - means[other, 1]
            turn = wrapped(means[heavy, 2] - means[other, 2])
            if dx * dx + dy * dy <= radius_m * radius_m and abs(turn) <= yaw_rad:
                left[other] = False
                log_mass[heavy] = log_add(log_mass[heavy], log_mass[other])
                confirmed[heavy] |= confirmed[other]
    return left


@compiled
def near(a: FloatArray, b: FloatArray, radius_m: float, yaw_rad: float) -> Mask:
    """Whether poses (A, 3) and (B, 3) lie close to each other, (A, B)."""
    close = np.zeros((len(a), len(b)), dtype=np.bool_)
    for i in range(len(a)):
        for j in range(len(b)):
            dx, dy = a[i, 0] - b[j, 0], a[i, 1] - b[j, 1]
            if dx * dx + dy * dy <= radius_m * radius_m:
                close[i, j] = abs(wrapped(a[i, 2] - b[j, 2])) <= yaw_rad
    return close


@compiled
def dominant_and_whole(
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
            delta[2] = wrapped(poses[i, 2] - pose[2])
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
def survey(
    poses: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    moments: FloatArray,
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
        moments: (M, 4) of the modes.
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
    means = mean_poses(moments)
    same = near(means[lead : lead + 1], means, radius_m, yaw_rad)[0]
    mass = np.exp(log_mass)
    pose, cov, whole = dominant_and_whole(poses, weights, counts, mass, same, moments)
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
def log_sum(log_mass: FloatArray, log_null: float) -> float:
    """Log of the sum of all masses (M,) and the null's."""
    total = log_null
    for value in log_mass:
        total = log_add(total, value)
    return total


@compiled
def normalise(log_mass: FloatArray, log_null: float) -> float:
    """Let masses (M,), in place, and the null's sum to one; answers the null's."""
    total = log_sum(log_mass, log_null)
    log_mass -= total
    return log_null - total
