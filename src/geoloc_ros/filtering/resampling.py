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
def resample(
    poses: FloatArray,
    log_weights: FloatArray,
    weights: FloatArray,
    counts: IntArray,
    wanted: IntArray,
    offset: FloatArray,
    noise: FloatArray,
    jitter: tuple[FloatArray, float, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Systematic resampling within modes, with roughening.

    Args:
        poses: (N, 3).
        log_weights: (N,).
        weights: (N,).
        counts: (M,).
        wanted: (M,) particles each mode shall have; its own stay as they are where it is 0.
        offset: (M,) draws in [0, 1).
        noise: (sum of wanted, 3) standard normal draws, scaled and added to the poses.
        jitter: their least standard deviations (3,), share of the mode's own spread, and that
            spread at most (3,).

    Returns:
        Poses, log weights and weights of all particles, mode by mode, and counts (M,).
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
            sigma = _spread(poses[first:last], weights[first:last])
            for axis in range(3):
                sigma[axis] = jitter[0][axis] + jitter[1] * min(sigma[axis], jitter[2][axis])
            chosen, reached = first, weights[first]
            for rank in range(wanted[mode]):
                target = mass * (rank + offset[mode]) / wanted[mode]
                while reached < target and chosen < last - 1:
                    chosen += 1
                    reached += weights[chosen]
                for axis in range(3):
                    out[at, axis] = poses[chosen, axis] + sigma[axis] * noise[drawn, axis]
                out_log[at] = -math.log(wanted[mode])
                out_weights[at] = 1.0 / wanted[mode]
                at += 1
                drawn += 1
        first = last
    return out, out_log, out_weights, np.where(wanted > 0, wanted, counts)


@compiled
def _spread(poses: FloatArray, weights: FloatArray) -> FloatArray:
    """Standard deviations (3,) of poses (N, 3) with weights (N,) that sum to one."""
    x = y = cos = sin = 0.0
    for i in range(len(poses)):
        x += weights[i] * poses[i, 0]
        y += weights[i] * poses[i, 1]
        cos += weights[i] * math.cos(poses[i, 2])
        sin += weights[i] * math.sin(poses[i, 2])
    yaw = math.atan2(sin, cos)
    square = np.zeros(3)
    for i in range(len(poses)):
        turn = (poses[i, 2] - yaw + math.pi) % (2.0 * math.pi) - math.pi
        square[0] += weights[i] * (poses[i, 0] - x) ** 2
        square[1] += weights[i] * (poses[i, 1] - y) ** 2
        square[2] += weights[i] * turn * turn
    return np.sqrt(square)
