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

from geoloc_ros.compiled import fetch_ahead, released
from geoloc_ros.datatypes import Float32Array

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
#: scale (D,): what a step of each dimension is worth; codes (N, D); their fine bits (N, F), F is 0
#: where there are none; one over the length of each (N,)
Tables = tuple[Float32Array, Int8Array, ByteArray, Float32Array]

#: numbers of parts, rows in them and products (M,), best first
Best = tuple[IntArray, IntArray, Float32Array]

_LARGEST = 2056.0  # of a code with its fine bits
_LINE = 64  # bytes that the memory fetches together
_AHEAD = 32  # rows between the one that is fetched and the one that is read
_MOST = 2.0**31 - 1.0


@released
def _quantised(query: Float32Array, scale: Float32Array) -> tuple[Int16Array, float]:
    """A query (D,) per step of the codes in whole numbers, and what one of those is worth."""
    dim = len(query)
    peak = squared = 0.0
    for i in range(dim):
        value = abs(np.float64(query[i]) * np.float64(scale[i]))
        peak = max(peak, value)
        squared += value * value
    numbers = np.zeros(dim, dtype=np.int16)
    if not 0.0 < peak < np.inf:
        return numbers, 0.0
    # no sum may leave 32 bits, whatever the codes (Cauchy and Schwarz); numbers are rounded
    most = _MOST / (_LARGEST * math.sqrt(dim)) - 0.5 * math.sqrt(dim)
    per_unit = min(32767.0 / peak, most / math.sqrt(squared))
    for i in range(dim):
        numbers[i] = round(np.float64(query[i]) * np.float64(scale[i]) * per_unit)
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
    """Product of a query (2 * F,) with the fine bits of a row, two to a byte."""
    half = fine.shape[1]
    low = high = np.int32(0)
    # in one loop the compiler finds no vectors, and it takes four times as long
    for i in range(half):
        low = np.int32(low + np.int32(numbers[i]) * np.int32(fine[row, i] & np.uint8(15)))
    for i in range(half):
        bits = np.int32(fine[row, i] >> np.uint8(4))
        high = np.int32(high + np.int32(numbers[half + i]) * bits)
    found: int = np.int32(low + high)
    return found


@released
def _padded(numbers: Int16Array, fine: ByteArray) -> tuple[Int16Array, int]:
    """A query brought to the length of the fine bits, and what their lowest value adds to it."""
    padded = np.zeros(2 * fine.shape[1], dtype=np.int16)
    below = np.int64(0)
    if len(padded):
        padded[: len(numbers)] = numbers
        for i in range(len(numbers)):
            below += 8 * np.int64(numbers[i])
    return padded, below


@released
def _value(
    numbers: Int16Array,
    padded: Int16Array,
    below: int,
    unit: float,
    tables: Tables,
    row: int,
) -> float:
    """Cosine similarity of a query with a row by all the bits there are."""
    _, codes, fine, inverse = tables
    total = np.int32(_dot(numbers, codes, row))
    if len(padded):
        # what leaves 32 bits on the way comes back into them
        total = np.int32(np.int32(16) * total + _fine_dot(padded, fine, row) - np.int32(below))
        unit *= 0.0625
    return float(total) * unit * float(inverse[row])


@released
def products(query: Float32Array, tables: Tables, rows: IntArray) -> Float32Array:
    """Cosine similarity (n,) of a query (D,) of unit length with rows (n,) of codes."""
    scale, _, fine, _ = tables
    numbers, unit = _quantised(query, scale)
    padded, below = _padded(numbers, fine)
    found = np.empty(len(rows), dtype=np.float32)
    for place in range(len(rows)):
        found[place] = _value(numbers, padded, below, unit, tables, rows[place])
    return found


@released
def lengths(scale: Float32Array, codes: Int8Array, fine: ByteArray) -> Float32Array:
    """Lengths (N,) of coded descriptors, see `Tables`."""
    found = np.empty(len(codes), dtype=np.float32)
    half = fine.shape[1]
    for row in range(len(codes)):
        total = 0.0
        for i in range(codes.shape[1]):
            value = float(codes[row, i])
            if half:
                bits = (fine[row, i % half] >> (4 * (i // half))) & 15
                value += 0.0625 * (float(bits) - 8.0)
            total += (value * float(scale[i])) ** 2
        found[row] = math.sqrt(total)
    return found


@released
def _insert(
    row: int,
    mark: int,
    value: float,
    count: int,
    marks: IntArray,
    rows: IntArray,
    values: Float32Array,
) -> int:
    """Sort a row in among the best (M,), if it is one; answers at which place, M if it is not."""
    most = len(rows)
    if count == most and value <= values[most - 1]:
        return most
    at = min(count, most - 1)
    while at > 0 and values[at - 1] < value:
        values[at], rows[at], marks[at] = values[at - 1], rows[at - 1], marks[at - 1]
        at -= 1
    values[at], rows[at], marks[at] = value, row, mark
    return at


@released
def similarities(query: Float32Array, tables: Tables) -> Float32Array:
    """Cosine similarity (N,) of a query (D,) of unit length with all rows, by bytes alone."""
    scale, codes, _, inverse = tables
    numbers, unit = _quantised(query, scale)
    found = np.empty(len(codes), dtype=np.float32)
    for row in range(len(codes)):
        found[row] = float(_dot(numbers, codes, row)) * unit * float(inverse[row])
    return found


def nothing_found(most: int) -> Best:
    """Room for the best of a search."""
    marks, rows = np.zeros((2, most), dtype=np.int64)
    return marks, rows, np.zeros(most, dtype=np.float32)


@released
def nearest(
    query: Float32Array,
    tables: Tables,
    edges: IntArray,
    ranks: Float32Array,
    limit: np.float32,
    number: int,
    best: Best,
    count: int,
) -> int:
    """Sort the rows of those clusters that rank high in among the best there are.

    Args:
        query: (D,).
        tables: of the entries, which are compared by their bytes alone, as if of unit length.
        edges: (K + 1,) row at which each cluster begins.
        ranks: (K,) of the clusters.
        limit: rank from which a cluster is looked into.
        number: of the part they belong to.
        best: so far; changed.
        count: how many rows have been looked at so far.

    Returns:
        How many rows have been looked at.
    """
    scale, codes, _, _ = tables
    numbers, unit = _quantised(query, scale)
    marks, rows, values = best
    most = len(rows)
    chosen, clusters = np.empty(len(ranks), dtype=np.int64), 0
    for cluster in range(len(ranks)):
        chosen[clusters] = cluster
        clusters += ranks[cluster] >= limit
    # a cursor runs ahead of the row that is read; written out, for calls are what costs here
    other, ahead, stop, lead = -1, np.int64(0), np.int64(0), 0
    for place in range(clusters):
        for row in range(edges[chosen[place]], edges[chosen[place] + 1]):
            lead -= 1
            while lead < _AHEAD:
                lead += 1
                if ahead == stop and other + 1 < clusters:
                    other += 1
                    ahead, stop = edges[chosen[other]], edges[chosen[other] + 1]
                if ahead < stop:
                    for column in range(0, codes.shape[1], _LINE):
                        fetch_ahead(codes, ahead, column)
                    ahead += 1
            value = np.float32(float(_dot(numbers, codes, row)) * unit)
            if count < most or value > values[most - 1]:
                _insert(row, number, value, min(count, most), marks, rows, values)
            count += 1
    return count


@released
def follow(
    query: Float32Array,
    tables: Tables,
    links: npt.NDArray[np.uint16],
    edges: npt.NDArray[np.uint32],
    begin: IntArray,
    view: int,
) -> tuple[IntArray, Float32Array]:
    """Rows (n,) most similar to a query, among those that links lead to.

    The best that have not been followed yet are, until none is left among the best in view.

    Args:
        query: (D,).
        tables: of the entries, which are compared by their bytes alone, as if of unit length.
        links: (L,) rows that each row leads to, one row after the other.
        edges: (N + 1,) where those of each row begin.
        begin: (B,) rows to begin with.
        view: how many are kept in view.

    Returns:
        The rows and their products, best first.
    """
    scale, codes, _, _ = tables
    numbers, unit = _quantised(query, scale)
    rows = np.empty(view, dtype=np.int64)
    values = np.empty(view, dtype=np.float32)
    new = np.empty(view, dtype=np.int64)
    seen = np.zeros(len(codes), dtype=np.bool_)
    count = at = 0
    for row in begin:
        seen[row] = True
        value = np.float32(float(_dot(numbers, codes, row)) * unit)
        _insert(row, 1, value, count, new, rows, values)
        count = min(count + 1, view)
    while at < count:
        if not new[at]:
            at += 1
            continue
        new[at] = 0
        row = rows[at]
        for link in range(edges[row], edges[row + 1]):
            other = np.int64(links[link])
            if not seen[other]:
                seen[other] = True
                value = np.float32(float(_dot(numbers, codes, other)) * unit)
                at = min(at, _insert(other, 1, value, count, new, rows, values))
                count = min(count + 1, view)
    return rows[:count], values[:count]
