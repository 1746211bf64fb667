# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Local fields of square blocks of the map, made when a pose first lies in one.

The field of a whole city would take more memory than its shards. A block also holds the entries
within a margin beyond its border, so that its field goes on across it as if there were none. A
map small enough is one block.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray, Mask
from geoloc_ros.index.local_field import MOST_PREPARED, Kernel, LocalField, sane_rows

#: west, south, east, north, m
Bounds = tuple[float, float, float, float]
#: entries of a rectangle: poses (N, 3) and descriptors (N, D)
Gather = Callable[[Bounds], tuple[FloatArray, Float32Array]]

SIDE_M = 250.0
_COVERAGE_M = 10.0  # a place is covered if an entry lies within this
_MOST_PREPARED = 1 << 12  # neighbourhoods kept of a block that is not the whole map
_ENTRY_BYTES = 64  # of an entry in a field, besides its descriptor
_PREPARED_BYTES = 1400
_WHOLE = (0, 0)
_EVERYWHERE = (-math.inf, -math.inf, math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the map.

    Attributes:
        field: None where no entry is.
        covered: sorted keys of the cells within reach of an entry.
        bytes: about what it takes in memory.
    """

    field: LocalField | None
    covered: npt.NDArray[np.int64]
    bytes: int


class Blocks:
    """Similarity and coverage at any place, from the entries around it.

    Args:
        gather: finds the entries of a rectangle.
        kernel: of the fields.
        side_m: of a block; infinite: the map is one.
        budget: bytes that blocks may take; one is held even if it is larger.
    """

    def __init__(self, gather: Gather, kernel: Kernel, side_m: float, budget: int) -> None:
        self._gather, self._kernel, self._side_m, self._budget = gather, kernel, side_m, budget
        self._margin_m = kernel.reach_m + 4.0 * kernel.sigma_m
        self._cell_m = max(_COVERAGE_M, kernel.reach_m) / 2.0
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._bytes = 0

    def prepare(self) -> None:
        """Make the block of a map that is only one before the first pose asks for it."""
        if math.isinf(self._side_m):
            self._block(_WHOLE)

    def similarity(self, descriptor: Float32Array, poses: FloatArray) -> tuple[Float32Array, Mask]:
        """Similarity (N,) of an image to the map at poses (N, 3), and where there is support."""
        rows = np.ascontiguousarray(poses, dtype=np.float64).reshape(-1, 3)
        if math.isinf(self._side_m):
            field = self._block(_WHOLE).field
            return field(descriptor, rows) if field else _nothing(len(rows))
        similarity, supported = _nothing(len(rows))
        for key, members in self._by_block(rows):
            field = self._block(key).field
            if field is not None:
                similarity[members], supported[members] = field(descriptor, rows[members])
        return similarity, supported

    def coverage(self, xy_m: FloatArray) -> Mask:
        """Whether an entry is within about 10 m of positions (N, 2), (N,)."""
        xy = np.asarray(xy_m, dtype=np.float64).reshape(-1, 2)
        covered = np.zeros(len(xy), dtype=np.bool_)
        for key, members in self._by_block(xy):
            cells = self._block(key).covered
            if len(cells):
                keys = _cell_keys(xy[members], self._cell_m)
                place = np.minimum(np.searchsorted(cells, keys), len(cells) - 1)
                covered[members] = cells[place] == keys
        return covered

    def _by_block(
        self, rows: FloatArray
    ) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.int64]]]:
        """Key of each block that a row lies in, and which rows do; those not sane in none."""
        sane = np.flatnonzero(sane_rows(rows))
        if math.isinf(self._side_m):
            yield _WHOLE, sane
            return
        if not len(sane):
            return
        keys = np.floor(rows[sane, :2] / self._side_m).astype(np.int64)
        unique, which = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        edges = np.cumsum(np.bincount(which.ravel(), minlength=len(unique)))[:-1]
        for (column, row), members in zip(unique, np.split(order, edges), strict=True):
            yield (int(column), int(row)), sane[members]

    def _block(self, key: tuple[int, int]) -> Block:
        found = self._blocks.pop(key, None)
        if found is None:
            found = self._made(key)
            while self._blocks and self._bytes + found.bytes > self._budget:
                self._bytes -= self._blocks.popitem(last=False)[1].bytes
            self._bytes += found.bytes
        self._blocks[key] = found
        return found

    def _around(self, key: tuple[int, int]) -> Bounds:
        """A block with its margin."""
        (west, south), margin = (self._side_m * number for number in key), self._margin_m
        east, north = west + self._side_m, south + self._side_m
        return west - margin, south - margin, east + margin, north + margin

    def _made(self, key: tuple[int, int]) -> Block:
        whole = math.isinf(self._side_m)
        poses, descriptors = self._gather(_EVERYWHERE if whole else self._around(key))
        if not len(poses):
            return Block(None, np.zeros(0, dtype=np.int64), 0)
        prepared = MOST_PREPARED if whole else _MOST_PREPARED
        size = descriptors.nbytes + len(poses) * _ENTRY_BYTES
        size += min(prepared, len(poses)) * _PREPARED_BYTES
        field = LocalField(poses, descriptors, self._kernel, prepared)
        return Block(field, _occupied(poses, self._cell_m), size)


def _nothing(count: int) -> tuple[Float32Array, Mask]:
    return np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.bool_)


def _cell_keys(xy_m: FloatArray, side_m: float) -> npt.NDArray[np.int64]:
    cells = np.floor(xy_m / side_m).astype(np.int64) + (1 << 24)
    return np.asarray((cells[:, 0] << 32) | cells[:, 1])


def _occupied(poses: FloatArray, side_m: float) -> npt.NDArray[np.int64]:
    """Sorted keys of all cells within two sides of an entry."""
    own = np.unique(np.floor(poses[:, :2] / side_m), axis=0)
    spread = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(-1, 2)
    spread = spread[(np.maximum(np.abs(spread) - 0.5, 0.0) ** 2).sum(axis=1) <= 4.0]
    cells = (own[:, None, :] + spread[None]).reshape(-1, 2)
    return np.unique(_cell_keys((cells + 0.5) * side_m, side_m))
