# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How descriptors are stored: unit vectors in few bytes, compared with a whole query.

A vector is a byte per dimension, in steps of that dimension's own size, and what the storage adds:
`int12` four fine bits per dimension, `float16` and `float32` the vector itself. A search looks
through the bytes and ranks what it finds by all there is. A vector counts as one of unit length,
whatever rounding did to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.index import scan

STORAGES = ("int8", "int12", "float16", "float32")
_LONG = 512  # dimensions from which bytes alone find as many (docs/index.md)

Rows = npt.NDArray[np.int64]

_LEVELS = 127
_FINER = 16  # fine steps in a step
_CONTENDERS, _FEWEST = 4, 32  # for each entry wanted, and at least
_BLOCK = 8192  # vectors that are made float32 at a time
_UNIT = 0.01  # the length of a vector to store is no farther from 1


def not_of_unit_length(descriptors: Float32Array) -> Rows:
    """Which vectors (N, D) are none to be stored (n,): rounding apart, their length is not 1."""
    lengths = np.linalg.norm(descriptors, axis=1)
    return np.flatnonzero(~(np.abs(lengths - 1.0) < _UNIT))


class Codes:
    """Unit vectors as they are stored.

    Args:
        coarse: (N, D) int8.
        scale: (D,) float32 what a step of each dimension is worth.
        fine: what the storage adds: (N, ceil(D / 2)) uint8, the bits of dimension i at place
            i mod F; (N, D) float16 or float32; None for `int8`.
    """

    def __init__(
        self,
        coarse: npt.NDArray[np.int8],
        scale: Float32Array,
        fine: npt.NDArray[Any] | None = None,
    ) -> None:
        self.coarse, self.scale, self.fine = coarse, scale, fine
        self._float = fine is not None and fine.dtype != np.uint8
        self._bits: scan.ByteArray = np.zeros((len(coarse), 0), dtype=np.uint8)
        if fine is not None and not self._float:
            self._bits = fine
        length = scan.lengths(scale, coarse, self._bits)
        self.inverse = np.asarray(1.0 / np.maximum(length, 1e-6), dtype=np.float32)
        self.tables: scan.Tables = (scale, coarse, self._bits, self.inverse)

    @classmethod
    def encode(cls, descriptors: Float32Array, storage: str) -> Codes:
        """Store unit vectors (N, D)."""
        scale = np.maximum(np.abs(descriptors).max(axis=0), 1e-6).astype(np.float32) / _LEVELS
        if storage == "int12":
            most = _LEVELS * _FINER
            numbers = np.clip(np.rint(descriptors / scale * _FINER), -most, most).astype(np.int16)
            coarse = (numbers + _FINER // 2) >> 4
            return cls(coarse.astype(np.int8), scale, _packed(numbers - _FINER * coarse))
        coarse = np.clip(np.rint(descriptors / scale), -_LEVELS, _LEVELS).astype(np.int8)
        if storage == "int8":
            return cls(coarse, scale)
        return cls(coarse, scale, np.ascontiguousarray(descriptors, dtype=storage))

    def coarsely(self, vectors: Float32Array) -> Codes:
        """Other vectors (M, D) in the same steps, a byte per dimension."""
        numbers = np.clip(np.rint(vectors / self.scale), -_LEVELS, _LEVELS)
        return Codes(numbers.astype(np.int8), self.scale)

    def __len__(self) -> int:
        """How many vectors."""
        return len(self.coarse)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.coarse.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        fine = 0 if self.fine is None else self.fine.nbytes
        return self.coarse.nbytes + self.scale.nbytes + self.inverse.nbytes + fine

    def lengths(self) -> Float32Array:
        """Lengths (2, N) as stored: by the bytes and the bits, and by what is ranked by."""
        coarse = 1.0 / self.inverse
        if self.fine is None or not self._float:
            return np.stack([coarse, coarse])
        with np.errstate(invalid="ignore", over="ignore"):  # of files that are no vectors
            return np.stack([coarse, np.linalg.norm(self.fine.astype(np.float32), axis=1)])

    def decode(self, rows: Rows | None = None) -> Float32Array:
        """Unit vectors (n, D) of rows (n,), of all if none are named."""
        chosen: Any = slice(None) if rows is None else rows
        if self.fine is not None and self._float:
            found = self.fine[chosen].astype(np.float32)
            return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))
        found = self.coarse[chosen].astype(np.float32)
        if self.fine is not None:
            found += (_unpacked(self._bits[chosen], self.dim) - np.float32(8.0)) / _FINER
        return np.asarray(found * self.scale * self.inverse[chosen, None])

    def similarity(self, query: Float32Array, rows: Rows | None = None) -> Float32Array:
        """Cosine similarity (n,) of a unit vector (D,) with rows (n,), with all if none are named.

        Of `float16` and `float32`, the plain product.
        """
        if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()}..{rows.max()} of {len(self)}")
        return self._similarity(query, rows)

    def _similarity(self, query: Float32Array, rows: Rows | None) -> Float32Array:
        """See `similarity`; of rows that are there."""
        if self.fine is not None and self._float:
            fine = self.fine if rows is None else self.fine[rows]
            blocks = [fine[i : i + _BLOCK] for i in range(0, len(fine), _BLOCK)]
            found = [block.astype(np.float32, copy=False) @ query for block in blocks]
            return np.concatenate([np.zeros(0, dtype=np.float32), *found])
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64)
        return scan.products(query, self.tables, chosen)


def default_storage(dim: int) -> str:
    """What stores descriptors of so many dimensions in the fewest bytes and still finds 99 %."""
    return "int8" if dim >= _LONG else "int12"


Found = tuple[Rows, Rows, Float32Array]


def contenders(k: int) -> int:
    """How many entries that are best by their bytes alone hold the k best by all there is."""
    return max(_CONTENDERS * k, _FEWEST)


def ranked(parts: Sequence[Codes], query: Float32Array, found: Sequence[Found], k: int) -> Found:
    """The best of what scans of several parts found, ranked by all the bits there are.

    Args:
        parts: the descriptors.
        query: (D,) unit vector.
        found: numbers of parts (n,), rows in them (n,) and products by bytes alone (n,).
        k: how many are wanted.

    Returns:
        Numbers (K,), rows (K,) and similarities (K,), best first; of equals the first.
    """
    numbers, rows, values = (np.concatenate(column) for column in zip(*found, strict=True))
    most = contenders(k)
    if len(values) > most:
        best = np.argpartition(-values, most)[:most]
        numbers, rows = numbers[best], rows[best]
    similarity = np.empty(len(rows), dtype=np.float32)
    by_part = np.argsort(numbers, kind="stable")
    numbers, rows = numbers[by_part], rows[by_part]
    edges = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(rows)]
    for first, end in itertools.pairwise(edges):
        similarity[first:end] = parts[numbers[first]]._similarity(query, rows[first:end])
    order = np.lexsort((rows, numbers, -similarity))[: max(k, 0)]
    return numbers[order], rows[order], similarity[order]


def _packed(bits: npt.NDArray[np.integer]) -> scan.ByteArray:
    """Fine bits (N, D), -8..7, two to a byte (N, F)."""
    count, dim = bits.shape
    padded = np.zeros((count, 2, -(-dim // 2)), dtype=np.uint8)
    padded.reshape(count, -1)[:, :dim] = bits + 8
    return np.asarray(padded[:, 0] | (padded[:, 1] << np.uint8(4)), dtype=np.uint8)


def _unpacked(packed: scan.ByteArray, dim: int) -> npt.NDArray[np.uint8]:
    """Fine bits (n, D), 0..15."""
    both = np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=1)
    return np.asarray(both[:, :dim])
