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
BoolArray = npt.NDArray[np.bool_]

_LARGEST = 514.0  # of a code with its fine bits
_MOST = 2.0**31 - 1.0
_BINS = 2048


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
def _dot(numbers: Int16Array, codes: Int8Array, row: int) -> int:
    """Product of a query with a row of codes."""
    total = np.int32(0)
    for i in range(codes.shape[1]):
        total = np.int32(total + np.int32(numbers[i]) * np.int32(codes[row, i]))
    found: int = np.int32(total)
    return found


@released
def _fine_dot(numbers: Int16Array, fine: ByteArray, row: int) -> int:
    """Product of a query (4 * F,) with the fine bits of a row, four to a byte."""
    quarter = fine.shape[1]
    total, three = np.int32(0), np.int32(3)
    for i in range(quarter):
        bits = np.int32(fine[row, i])
        first = np.int32(numbers[i]) * (bits & three)
        second = np.int32(numbers[quarter + i]) * ((bits >> np.int32(2)) & three)
        third = np.int32(numbers[2 * quarter + i]) * ((bits >> np.int32(4)) & three)
        fourth = np.int32(numbers[3 * quarter + i]) * ((bits >> np.int32(6)) & three)
        total = np.int32(total + first + second + third + fourth)
    found: int = np.int32(total)
    return found


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
def _insert(
    row: int, value: float, count: int, rows: IntArray, values: Float32Array, new: BoolArray
) -> int:
    """Sort a row in among the best (M,), if it is one; answers at which place, M if it is not."""
    most = len(rows)
    if count == most and value <= values[most - 1]:
        return most
    at = min(count, most - 1)
    while at > 0 and values[at - 1] < value:
        values[at], rows[at], new[at] = values[at - 1], rows[at - 1], new[at - 1]
        at -= 1
    values[at], rows[at], new[at] = value, row, True
    return at


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
    new = np.empty(most, dtype=np.bool_)
    seen = 0
    for cluster in chosen:
        for row in range(edges[cluster], edges[cluster + 1]):
            value = np.float32(_dot(numbers, codes, row)) * inverse[row]
            _insert(row, value, min(seen, most), rows, values, new)
            seen += 1
    return rows[: min(seen, most)], seen


@released
def follow(
    query: Float32Array,
    scale: Float32Array,
    links: npt.NDArray[np.uint16],
    edges: npt.NDArray[np.uint32],
    codes: Int8Array,
    inverse: Float32Array,
    begin: IntArray,
    most: int,
) -> IntArray:
    """Rows (n,) most similar to a query by their codes alone, among those that links lead to.

    The best that have not been followed yet are, until none is left among the best `most`.

    Args:
        query: (D,).
        scale: (D,) what a step of each dimension is worth.
        links: (L,) rows that each row leads to, one row after the other.
        edges: (N + 1,) where those of each row begin.
        codes: (N, D).
        inverse: (N,) one over the length of each.
        begin: (B,) rows to begin with.
        most: how many are kept in view.

    Returns:
        The rows, best first.
    """
    numbers, _ = _quantised(query, scale)
    rows = np.empty(most, dtype=np.int64)
    values = np.empty(most, dtype=np.float32)
    new = np.empty(most, dtype=np.bool_)
    seen = np.zeros(len(codes), dtype=np.bool_)
    count = at = 0
    for row in begin:
        seen[row] = True
        value = np.float32(_dot(numbers, codes, row)) * inverse[row]
        _insert(row, value, count, rows, values, new)
        count = min(count + 1, most)
    while at < count:
        if not new[at]:
            at += 1
            continue
        new[at] = False
        row = rows[at]
        for link in range(edges[row], edges[row + 1]):
            other = np.int64(links[link])
            if not seen[other]:
                seen[other] = True
                value = np.float32(_dot(numbers, codes, other)) * inverse[other]
                at = min(at, _insert(other, value, count, rows, values, new))
                count = min(count + 1, most)
    return rows[:count]


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
    # a histogram is enough: where its bin is cut matters little
    low, high = values.min(), values.max()
    bins = (values - low) * (np.float32(_BINS - 1) / max(high - low, np.float32(1e-9)))
    counts = np.zeros(_BINS, dtype=np.int64)
    for value in bins:
        counts[int(value)] += 1
    least, taken = _BINS, 0
    while taken < probes and least > 0:
        least -= 1
        taken += counts[least]
    return np.flatnonzero(bins >= np.float32(least))
