# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the search: products of a query with coded descriptors.

A query is brought to 16 bits (an error of about 1e-5), so that products are sums of whole numbers:
fast, and the same on every machine, in whatever order they are added. See `codes` for the codes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import released
from geoloc_ros.datatypes import Float32Array

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]

_LARGEST = 514.0  # of a code with its fine bits
_MOST = 2.0**31 - 1.0


@released
def _quantised(query: Float32Array, scale: Float32Array) -> tuple[Int16Array, float]:
    """A query (D,) per step of the codes in whole numbers, and what one of those is worth."""
    dim = len(query)
    peak = squared = 0.0
    for i in range(dim):
        value = abs(float(query[i]) * float(scale[i]))
        peak = max(peak, value)
        squared += value * value
    numbers = np.zeros(dim, dtype=np.int16)
    if not 0.0 < peak < np.inf:
        return numbers, 0.0
    # no sum may leave 32 bits, whatever the codes (Cauchy and Schwarz)
    most = _MOST / (_LARGEST * math.sqrt(dim))
    per_unit = min(32767.0 / peak, most / math.sqrt(squared))
    for i in range(dim):
        numbers[i] = round(float(query[i]) * float(scale[i]) * per_unit)
    return numbers, 1.0 / per_unit


@released
def _dot(numbers: Int16Array, codes: Int8Array, row: int) -> np.int32:
    """Product of a query with a row of codes."""
    total = np.int32(0)
    for i in range(codes.shape[1]):
        total = np.int32(total + np.int32(numbers[i]) * np.int32(codes[row, i]))
    return total


@released
def _fine_dot(numbers: Int16Array, fine: ByteArray, row: int) -> np.int32:
    """Product of a query (4 * F,) with the fine bits of a row, four to a byte."""
    quarter = fine.shape[1]
    total = np.int32(0)
    for i in range(quarter):
        bits = np.int32(fine[row, i])
        total = np.int32(total + np.int32(numbers[i]) * (bits & np.int32(3)))
    for i in range(quarter):
        bits = np.int32(fine[row, i]) >> np.int32(2)
        total = np.int32(total + np.int32(numbers[quarter + i]) * (bits & np.int32(3)))
    for i in range(quarter):
        bits = np.int32(fine[row, i]) >> np.int32(4)
        total = np.int32(total + np.int32(numbers[2 * quarter + i]) * (bits & np.int32(3)))
    for i in range(quarter):
        bits = np.int32(fine[row, i]) >> np.int32(6)
        total = np.int32(total + np.int32(numbers[3 * quarter + i]) * bits)
    return total


@released
def products(
    query: Float32Array,
    scale: Float32Array,
    codes: Int8Array,
    fine: ByteArray,
    inverse: Float32Array,
    rows: IntArray,
) -> Float32Array:
    """Cosine similarity (n,) of a query of unit length with coded descriptors.

    Args:
        query: (D,).
        scale: (D,) what a step of each dimension is worth.
        codes: (N, D).
        fine: (N, F) their fine bits; F is 0 if there are none.
        inverse: (N,) one over the length of each.
        rows: (n,) which.
    """
    numbers, unit = _quantised(query, scale)
    padded = np.zeros(4 * fine.shape[1], dtype=np.int16)
    found = np.empty(len(rows), dtype=np.float32)
    below = np.int32(0)
    if len(padded):
        padded[: len(numbers)] = numbers
        for i in range(len(numbers)):
            below = np.int32(below + np.int32(2) * np.int32(numbers[i]))
    for place in range(len(rows)):
        row = rows[place]
        total = _dot(numbers, codes, row)
        if len(padded):
            total = np.int32(np.int32(4) * total + _fine_dot(padded, fine, row) - below)
        found[place] = float(total) * unit * float(inverse[row])
    return found * np.float32(0.25) if len(padded) else found


@released
def lengths(scale: Float32Array, codes: Int8Array, fine: ByteArray) -> Float32Array:
    """Lengths (N,) of coded descriptors, see `products`."""
    found = np.empty(len(codes), dtype=np.float32)
    quarter = fine.shape[1]
    for row in range(len(codes)):
        total = 0.0
        for i in range(codes.shape[1]):
            value = float(codes[row, i])
            if quarter:
                bits = (fine[row, i % quarter] >> (2 * (i // quarter))) & 3
                value += 0.25 * (float(bits) - 2.0)
            total += (value * float(scale[i])) ** 2
        found[row] = math.sqrt(total)
    return found


@released
def nearest(
    query: Float32Array,
    scale: Float32Array,
    centres: tuple[Int8Array, Float32Array],
    edges: IntArray,
    codes: Int8Array,
    inverse: Float32Array,
    probes: int,
    most: int,
) -> tuple[IntArray, int]:
    """Rows (n,) most similar to a query by their codes alone, in the clusters most similar to it.

    Args:
        query: (D,).
        scale: (D,) what a step of each dimension is worth.
        centres: (K, D) codes of the clusters' centres, and (K,) one over their lengths.
        edges: (K + 1,) row at which each cluster begins.
        codes: (N, D).
        inverse: (N,) one over the length of each.
        probes: how many clusters are looked into.
        most: how many rows are found at most.

    Returns:
        The rows, best first, and how many were looked at.
    """
    numbers, _ = _quantised(query, scale)
    chosen = _best_clusters(numbers, centres[0], centres[1], probes)
    rows = np.empty(most, dtype=np.int64)
    values = np.empty(most, dtype=np.float32)
    count = seen = 0
    for cluster in chosen:
        seen += edges[cluster + 1] - edges[cluster]
        for row in range(edges[cluster], edges[cluster + 1]):
            value = np.float32(_dot(numbers, codes, row)) * inverse[row]
            if count == most and value <= values[most - 1]:
                continue
            at = min(count, most - 1)
            while at > 0 and values[at - 1] < value:
                values[at], rows[at] = values[at - 1], rows[at - 1]
                at -= 1
            values[at], rows[at] = value, row
            count = min(count + 1, most)
    return rows[:count], seen


@released
def _best_clusters(
    numbers: Int16Array, centres: Int8Array, inverse: Float32Array, probes: int
) -> IntArray:
    """Numbers of at least so many clusters whose centres are the most similar, in their order."""
    values = np.empty(len(centres), dtype=np.float32)
    for cluster in range(len(centres)):
        values[cluster] = np.float32(_dot(numbers, centres, cluster)) * inverse[cluster]
    if probes >= len(centres):
        return np.arange(len(centres))
    limit = np.partition(values, len(values) - probes)[len(values) - probes]
    return np.flatnonzero(values >= limit)
