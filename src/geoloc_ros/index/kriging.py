# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the local field: kriging from the neighbourhood of an entry.

Places are poses where the kernel is round, see `cells`; symbols are those of `local_field`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import Float32Array, FloatArray, Mask

IntArray = npt.NDArray[np.int64]


@compiled
def _squared(places: FloatArray, a: int, b: int) -> float:
    """Squared distance of two entries."""
    total = 0.0
    for axis in range(4):
        total += (places[a, axis] - places[b, axis]) ** 2
    return total


@compiled
def _dot(a: Float32Array, b: Float32Array) -> float:
    """Product of two vectors, in eight running sums that the compiler can make one register."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0.0)
    whole = len(a) // 8 * 8
    for i in range(0, whole, 8):
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
        s4 += a[i + 4] * b[i + 4]
        s5 += a[i + 5] * b[i + 5]
        s6 += a[i + 6] * b[i + 6]
        s7 += a[i + 7] * b[i + 7]
    for i in range(whole, len(a)):
        s0 += a[i] * b[i]
    total: float = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    return total


@compiled
def _invert(matrix: FloatArray, root: FloatArray, inverse: FloatArray) -> None:
    """Inverse (K, K) of a positive definite matrix by its Cholesky root, which is overwritten."""
    size = len(matrix)
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for m in range(j):
                total -= root[i, m] * root[j, m]
            root[i, j] = math.sqrt(total) if i == j else total / root[j, j]
    # the root's own inverse, below the diagonal, in place
    for j in range(size):
        root[j, j] = 1.0 / root[j, j]
        for i in range(j + 1, size):
            total = 0.0
            for m in range(j, i):
                total -= root[i, m] * root[m, j]
            root[i, j] = total / root[i, i]
    for i in range(size):
        for j in range(i + 1):
            total = 0.0
            for m in range(i, size):
                total += root[m, i] * root[m, j]
            inverse[i, j] = inverse[j, i] = total


@compiled
def _multiply(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """The product of two (K, K)."""
    out[:] = 0.0
    for i in range(len(a)):
        for m in range(len(a)):
            for j in range(len(a)):
                out[i, j] += a[i, m] * b[m, j]


@compiled
def prepare(
    entries: IntArray,
    noise: float,
    places: FloatArray,
    order: IntArray,
    descriptors: Float32Array,
    ids: IntArray,
    offset: Float32Array,
    inverse: Float32Array,
    length: Float32Array,
) -> None:
    """What kriging from the neighbourhoods of entries (R,) needs, see `local_field`.

    Args:
        entries: whose neighbourhoods.
        noise: variance of an entry's own noise.
        places: (E, 4) of the entries, cell by cell.
        order: (E,) row of each entry in `descriptors`.
        descriptors: (E, D) unit vectors.
        ids: (R, K) the entries of each neighbourhood, nearest first.
        offset: (R, K, 4) made: where they lie from its own entry.
        inverse: (R, K, K) made: P.
        length: (R, K, K) made: P D D^T P.
    """
    size = ids.shape[1]
    covariance, root = np.empty((size, size)), np.empty((size, size))
    own, gram = np.empty((size, size)), np.empty((size, size))
    for row in range(len(entries)):
        near = ids[row]
        for i in range(size):
            for axis in range(4):
                offset[row, i, axis] = places[near[i], axis] - places[entries[row], axis]
            for j in range(i + 1):
                alike = math.exp(-0.5 * _squared(places, near[i], near[j]))
                covariance[i, j] = covariance[j, i] = alike
                other = descriptors[order[near[j]]]
                gram[i, j] = gram[j, i] = _dot(descriptors[order[near[i]]], other)
            covariance[i, i] += noise
        _invert(covariance, root, own)
        inverse[row] = own
        _multiply(own, gram, root)
        _multiply(root, own, covariance)
        length[row] = covariance


@compiled
def _quadratic(matrix: Float32Array, vector: Float32Array) -> float:
    """C . M c of a symmetric M (K, K), four columns at a time."""
    size = len(vector)
    whole = size // 4 * 4
    total = np.float32(0.0)
    for j in range(0, whole, 4):
        s0 = s1 = s2 = s3 = np.float32(0.0)
        for k in range(size):
            s0 += matrix[k, j] * vector[k]
            s1 += matrix[k, j + 1] * vector[k]
            s2 += matrix[k, j + 2] * vector[k]
            s3 += matrix[k, j + 3] * vector[k]
        total += (s0 * vector[j] + s1 * vector[j + 1]) + (s2 * vector[j + 2] + s3 * vector[j + 3])
    for j in range(whole, size):
        for k in range(size):
            total += matrix[k, j] * vector[k] * vector[j]
    return float(total)


@compiled
def predict(
    query: Float32Array,
    wanted: FloatArray,
    entries: IntArray,
    reach: tuple[float, float],
    call: int,
    places: FloatArray,
    order: IntArray,
    descriptors: Float32Array,
    slot: IntArray,
    ids: IntArray,
    offset: Float32Array,
    inverse: Float32Array,
    length: Float32Array,
    value: Float32Array,
    valued: IntArray,
    weight: Float32Array,
    weighted: IntArray,
) -> tuple[Float32Array, Mask]:
    """Similarity (N,) of an image at places and support (N,), see `local_field`.

    Args:
        query: (D,) unit vector of the image.
        wanted: (N, 4) places.
        entries: (N,) nearest to them, -1 where there is none.
        reach: largest squared distance of support in position, and in heading.
        call: number of this call, never used before with these working arrays.
        places: (E, 4) of the entries, cell by cell.
        order: (E,) row of each entry in `descriptors`.
        descriptors: (E, D) unit vectors.
        slot: (E,) where the neighbourhood of each entry was prepared.
        ids: (S, K) from `prepare`, as the next three.
        offset: (S, K, 4).
        inverse: (S, K, K).
        length: (S, K, K).
        value: (E,) working array: the entry's own similarity ...
        valued: (E,) ... and the call it was computed in.
        weight: (S, K) working array: P D q of the neighbourhood ...
        weighted: (S,) ... and the call.
    """
    size = ids.shape[1]
    similarity = np.zeros(len(wanted), dtype=np.float32)
    supported = np.zeros(len(wanted), dtype=np.bool_)
    squared = np.empty(size, dtype=np.float32)
    cross = np.empty(size, dtype=np.float32)
    for i in range(len(wanted)):
        entry = entries[i]
        if entry < 0:
            continue
        at = slot[entry]
        x = np.float32(wanted[i, 0] - places[entry, 0])
        y = np.float32(wanted[i, 1] - places[entry, 1])
        c = np.float32(wanted[i, 2] - places[entry, 2])
        s = np.float32(wanted[i, 3] - places[entry, 3])
        least, inside = np.float32(np.inf), False
        for k in range(size):
            dx, dy = offset[at, k, 0] - x, offset[at, k, 1] - y
            dc, ds = offset[at, k, 2] - c, offset[at, k, 3] - s
            across, turned = dx * dx + dy * dy, dc * dc + ds * ds
            inside |= across < reach[0] and turned < reach[1]
            squared[k] = across + turned
            least = min(least, across + turned)
        supported[i] = inside
        if not supported[i]:
            continue
        if weighted[at] != call:
            _weigh(query, call, at, order, descriptors, ids, inverse, value, valued, weight)
            weighted[at] = call
        total = np.float32(0.0)
        for k in range(size):
            # Relative to the nearest one, lest all of them vanish: a factor changes nothing.
            cross[k] = math.exp(np.float32(0.5) * (least - squared[k]))
            total += cross[k] * weight[at, k]
        square = _quadratic(length[at], cross)
        found = total / math.sqrt(max(square, np.float32(1e-6)))
        similarity[i] = min(max(found, np.float32(-1.0)), np.float32(1.0))
    return similarity, supported


@compiled
def _weigh(
    query: Float32Array,
    call: int,
    at: int,
    order: IntArray,
    descriptors: Float32Array,
    ids: IntArray,
    inverse: Float32Array,
    value: Float32Array,
    valued: IntArray,
    weight: Float32Array,
) -> None:
    """Row `at` of `weight`: P D q of a neighbourhood."""
    size = ids.shape[1]
    for k in range(size):
        weight[at, k] = 0.0
    for j in range(size):
        entry = ids[at, j]
        if valued[entry] != call:
            value[entry] = _dot(descriptors[order[entry]], query)
            valued[entry] = call
        for k in range(size):
            weight[at, k] += inverse[at, j, k] * value[entry]
