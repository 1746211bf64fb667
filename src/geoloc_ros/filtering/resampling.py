# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled systematic resampling within modes; arrays as in `kernels`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import FloatArray

IntArray = npt.NDArray[np.int64]


@compiled
def to_draw(weights: FloatArray, counts: IntArray, wanted: IntArray) -> IntArray:
    """How many particles to draw for each mode, (M,); 0 for those that stay as they are.

    Args:
        weights: (N,).
        counts: (M,).
        wanted: (M,) particles each mode should have; those that have them are drawn anew only
            where the effective sample size is below half.
    """
    found = np.zeros_like(wanted)
    first = 0
    for mode in range(len(counts)):
        total = 0.0
        for i in range(first, first + counts[mode]):
            total += weights[i] * weights[i]
        if 1.0 / total < 0.5 * counts[mode] or counts[mode] != wanted[mode]:
            found[mode] = wanted[mode]
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
