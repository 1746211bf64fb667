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
def move(
    poses: FloatArray, increment: FloatArray, root: FloatArray, noise: FloatArray
) -> FloatArray:
    """Poses (N, 3) moved by an increment with its own noise each.

    Args:
        poses: (N, 3).
        increment: (3,) in the base frame.
        root: (3, 3) lower Cholesky root of the increment's covariance.
        noise: (N, 3) standard normal draws.
    """
    moved = np.empty_like(poses)
    for i in range(len(poses)):
        a, b, c = noise[i, 0], noise[i, 1], noise[i, 2]
        dx = increment[0] + root[0, 0] * a
        dy = increment[1] + root[1, 0] * a + root[1, 1] * b
        turn = increment[2] + root[2, 0] * a + root[2, 1] * b + root[2, 2] * c
        cos, sin = math.cos(poses[i, 2]), math.sin(poses[i, 2])
        moved[i, 0] = poses[i, 0] + cos * dx - sin * dy
        moved[i, 1] = poses[i, 1] + sin * dx + cos * dy
        moved[i, 2] = wrapped(poses[i, 2] + turn)
    return moved


@compiled
def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -np.inf else high + math.log1p(math.exp(low - high))


@compiled
def log_ratio(
    similarity: FloatArray, supported: Mask, pivot: float, temperature: float, outlier: float
) -> FloatArray:
    """Log-likelihood ratio (N,) of an image, see `measurement_model`.

    Args:
        similarity: (N,); what is not finite counts as not supported.
        supported: (N,).
        pivot: similarity at which an image says nothing.
        temperature: of the likelihood.
        outlier: share of images that look like no place.
    """
    ratio = np.empty(len(similarity))
    free, least = math.log1p(-outlier), math.log(outlier)
    for i in range(len(similarity)):
        ratio[i] = least
        if supported[i] and math.isfinite(similarity[i]):
            ratio[i] = log_add((similarity[i] - pivot) / temperature + free, least)
    return ratio


@compiled
def temper(
    ratio: FloatArray, supported: Mask, counts: IntArray, factor: FloatArray, confirmed: Mask
) -> None:
    """Scale the log-likelihood ratios (N,) of each mode by its factor (M,), in place.

    A place once confirmed (M,) that has left the index, `supported` (N,), explains any image as
    well as the null.
    """
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            ratio[i] = factor[mode] * ratio[i] if supported[i] or not confirmed[mode] else 0.0
        first += counts[mode]


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
def seen(
    weights: FloatArray,
    counts: IntArray,
    similarity: FloatArray,
    supported: Mask,
    background: float,
) -> tuple[FloatArray, FloatArray]:
    """Mean similarity (M,) and supported share (M,) of each mode.

    Args:
        weights: (N,).
        counts: (M,).
        similarity: (N,); where not finite or not supported the background stands for it.
        supported: (N,).
        background: similarity of wrong places.
    """
    level, inside = np.zeros(len(counts)), np.zeros(len(counts))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            usable = supported[i] and math.isfinite(similarity[i])
            level[mode] += weights[i] * (similarity[i] if usable else background)
            inside[mode] += weights[i] * (1.0 if supported[i] else 0.0)
        first += counts[mode]
    return level, inside


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
def spreads(
    poses: FloatArray, weights: FloatArray, counts: IntArray, means: FloatArray
) -> FloatArray:
    """Standard deviations (M, 3) of each mode about its mean pose (M, 3)."""
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
    return np.sqrt(sigma)


@compiled
def degenerate(weights: FloatArray, counts: IntArray) -> Mask:
    """Whether the effective sample size of each mode is below half its particles, (M,)."""
    found = np.empty(len(counts), dtype=np.bool_)
    first = 0
    for mode in range(len(counts)):
        total = 0.0
        for i in range(first, first + counts[mode]):
            total += weights[i] * weights[i]
        found[mode] = 1.0 / total < 0.5 * counts[mode]
        first += counts[mode]
    return found


@compiled
def resample(
    poses: FloatArray,
    log_weights: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    wanted: IntArray,
    offset: FloatArray,
    roughness: FloatArray,
    noise: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Systematic resampling within modes, with roughening.

    Args:
        poses: (N, 3).
        log_weights: (N,).
        weights: (N,).
        counts: (M,).
        wanted: (M,) particles each mode shall have; its own stay as they are where it is 0.
        offset: (M,) draws in [0, 1).
        roughness: (M, 3) standard deviation of what is added to a drawn pose.
        noise: (sum of wanted, 3) standard normal draws.

    Returns:
        Poses, log weights and weights of all particles, mode by mode.
    """
    total = np.sum(np.where(wanted > 0, wanted, counts))
    out, out_log, out_weights = np.empty((total, 3)), np.empty(total), np.empty(total)
    first = at = drawn = 0
    for mode in range(len(counts)):
        last = first + counts[mode]
        if wanted[mode] == 0:
            out[at : at + counts[mode]] = poses[first:last]
            out_log[at : at + counts[mode]] = log_weights[first:last]
            out_weights[at : at + counts[mode]] = weights[first:last]
            at += counts[mode]
        else:
            mass = np.sum(weights[first:last])
            chosen, reached = first, weights[first]
            for rank in range(wanted[mode]):
                target = mass * (rank + offset[mode]) / wanted[mode]
                while reached < target and chosen < last - 1:
                    chosen += 1
                    reached += weights[chosen]
                for axis in range(3):
                    shift = roughness[mode, axis] * noise[drawn, axis]
                    out[at, axis] = poses[chosen, axis] + shift
                out_log[at] = -math.log(wanted[mode])
                out_weights[at] = 1.0 / wanted[mode]
                at += 1
                drawn += 1
        first = last
    return out, out_log, out_weights


@compiled
def absorb(
    means: FloatArray,
    heaviest_first: IntArray,
    log_mass: FloatArray,
    confirmed: Mask,
    radius_m: float,
    yaw_rad: float,
) -> Mask:
    """Let modes near a heavier one give it their mass; answers which are left, (M,).

    Args:
        means: (M, 3) poses.
        heaviest_first: (M,) order of the modes.
        log_mass: (M,) brought up to date.
        confirmed: (M,) brought up to date.
        radius_m: how near two means are that are the same place.
        yaw_rad: the same for heading.
    """
    left = np.ones(len(means), dtype=np.bool_)
    for heavy in heaviest_first:
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
def log_sum(log_mass: FloatArray, log_null: float) -> float:
    """Log of the sum of all masses (M,) and the null's."""
    total = log_null
    for value in log_mass:
        total = log_add(total, value)
    return total
