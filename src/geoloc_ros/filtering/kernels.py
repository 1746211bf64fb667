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
def normalise(log_mass: FloatArray, log_null: float) -> float:
    """Let masses (M,), in place, and the null's sum to one; answers the null's."""
    total = log_null
    for value in log_mass:
        total = log_add(total, value)
    log_mass -= total
    return log_null - total


@compiled
def weigh_image(
    log_weights: FloatArray,
    counts: IntArray,
    ratio: FloatArray,
    similarity: FloatArray,
    supported: Mask,
    image: tuple[float, float, float, float, float],
    settings: tuple[float, float, float, float, float, float, float, float],
    log_null: float,
    required: FloatArray,
    sums: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
    born: Mask,
    confirmed: Mask,
) -> tuple[FloatArray, FloatArray, float, int, float, float]:
    """Bayes' rule for one image within each mode and among them, see `evidence`.

    Args:
        log_weights: (N,).
        counts: (M,).
        ratio: (N,) log-likelihood ratio of the image.
        similarity: (N,); where not finite or not supported the background stands for it.
        supported: (N,) whether the index says anything at the particle.
        image: similarity of wrong places and how far right ones lie above; share by which the
            image counts as independent of the last; evidence an independent one may give; driving
            since the last.
        settings: how likely a view stays blocked, share of blocked views, and thresholds.
        log_null: log mass of the null.
        required: (M,).
        sums: log mass, evidence, support_m, low_m, level and blocked, (M,) each, in place.
        born: (M,) modes this image gave birth to; none afterwards.
        confirmed: (M,) in place.

    Returns:
        Log weights (N,), weights (N,), log mass of the null; the heaviest mode, its mean
        similarity and its supported share.
    """
    background, gap, tempered, most, driven_m = image
    log_mass = sums[0]
    counted = np.empty(len(ratio))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            # a known place that has left the index explains any image as well as the null
            usable = supported[i] or not confirmed[mode]
            counted[i] = (1.0 if born[mode] else tempered) * ratio[i] if usable else 0.0
        first += counts[mode]
    after, weights, gained = weigh(log_weights, counts, counted)
    level, inside = np.zeros(len(counts)), np.zeros(len(counts))
    first = 0
    for mode in range(len(counts)):
        for i in range(first, first + counts[mode]):
            seen = supported[i] and math.isfinite(similarity[i])
            level[mode] += weights[i] * (similarity[i] if seen else background)
            inside[mode] += weights[i] * (1.0 if supported[i] else 0.0)
        first += counts[mode]
        limit = most * (1.0 if born[mode] else tempered)
        driven = driven_m if inside[mode] >= 0.5 or not confirmed[mode] else 0.0
        scaled = (level[mode] - background) / gap
        _book(mode, gained[mode], limit, scaled, driven, settings, required, sums, born, confirmed)
    lead = int(np.argmax(log_mass))
    return after, weights, normalise(log_mass, log_null), lead, level[lead], inside[lead]


@compiled
def _book(
    mode: int,
    log_ratio: float,
    most: float,
    level: float,
    driven: float,
    settings: tuple[float, float, float, float, float, float, float, float],
    required: FloatArray,
    sums: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
    born: Mask,
    confirmed: Mask,
) -> None:
    """Book one image for a mode: its ratio, what it may give, its level, driving since."""
    stays, outlier, along_m, lost_after_m, low_level, good_level, recovery, over_m = settings
    log_mass, evidence, support_m, low_m, usual, blocked = sums
    before = outlier
    if not born[mode]:
        before += (blocked[mode] - outlier) * stays
    free, hidden = math.log1p(-before) + log_ratio, math.log(before)
    total = log_add(free, hidden)
    blocked[mode] = min(max(math.exp(hidden - total), 1e-9), 1.0 - 1e-9)
    gained = min(total, most)
    log_mass[mode] += gained
    clipped = min(max(level, -0.5), 1.5)
    if born[mode]:
        born[mode] = False
        evidence[mode] = low_m[mode] = support_m[mode] = 0.0
        usual[mode] = clipped
        return
    evidence[mode] = min(max(evidence[mode] + gained, 0.0), 2.0 * required[mode])
    against = (low_level - level) / low_level
    against *= 1.0 if against > 0.0 else recovery
    low_m[mode] = min(max(low_m[mode] + driven * against, 0.0), lost_after_m)
    if level >= good_level:
        support_m[mode] += min(driven, along_m)
    usual[mode] -= math.expm1(-driven / over_m) * (clipped - usual[mode])
    if low_m[mode] >= lost_after_m:
        support_m[mode] = evidence[mode] = 0.0
        confirmed[mode] = False


@compiled
def mean_poses(poses: FloatArray, weights: FloatArray, counts: IntArray) -> FloatArray:
    """Mean pose of each mode (M, 3), circular in yaw.

    Args:
        poses: (N, 3).
        weights: (N,).
        counts: (M,).
    """
    means = np.zeros((len(counts), 3))
    first = 0
    for mode in range(len(counts)):
        cos = sin = 0.0
        for i in range(first, first + counts[mode]):
            means[mode, 0] += weights[i] * poses[i, 0]
            means[mode, 1] += weights[i] * poses[i, 1]
            cos += weights[i] * math.cos(poses[i, 2])
            sin += weights[i] * math.sin(poses[i, 2])
        means[mode, 2] = math.atan2(sin, cos)
        first += counts[mode]
    return means


@compiled
def absorb(
    means: FloatArray,
    left: Mask,
    log_mass: FloatArray,
    confirmed: Mask,
    radius_m: float,
    yaw_rad: float,
) -> None:
    """Let modes near a heavier one give it their mass.

    Args:
        means: (M, 3) poses.
        left: (M,) modes there are, in place.
        log_mass: (M,) in place.
        confirmed: (M,) in place.
        radius_m: how near two means are that are the same place.
        yaw_rad: the same for heading.
    """
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


@compiled
def tidy(
    poses: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    log_mass: FloatArray,
    confirmed: Mask,
    limits: tuple[float, float, float, float],
    sizes: tuple[int, int],
) -> tuple[Mask, IntArray]:
    """Which modes are left after pruning and merging, and which of those need new particles.

    Args:
        poses: (N, 3).
        weights: (N,).
        counts: (M,).
        log_mass: (M,) in place.
        confirmed: (M,) in place.
        limits: least log mass; how near in m and rad modes are one; log mass of a leading mode.
        sizes: particles of a leading mode and of any other.

    Returns:
        Modes left (M,), and how many particles to draw for each, (M,): 0 where there are as many
        as there should be and their effective sample size is at least half.
    """
    least, radius_m, yaw_rad, leading = limits
    left = log_mass > least
    absorb(mean_poses(poses, weights, counts), left, log_mass, confirmed, radius_m, yaw_rad)
    drawn = np.zeros(len(counts), dtype=np.int64)
    first = 0
    for mode in range(len(counts)):
        wanted = sizes[0] if log_mass[mode] > leading else sizes[1]
        total = 0.0
        for i in range(first, first + counts[mode]):
            total += weights[i] * weights[i]
        if 1.0 / total < 0.5 * counts[mode] or counts[mode] != wanted:
            drawn[mode] = wanted
        first += counts[mode]
    return left, drawn


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
