# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which entries are near a pose: a hash of square cells, searched ring by ring.

Places are poses where the kernel of the local field is round, (4,): x and y in correlation
lengths, cosine and sine of the heading over its correlation angle.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import FloatArray

IntArray = npt.NDArray[np.int64]

_SANE_M = 1e6  # poses further away, or not finite, are no poses
_SIDE = 2.0  # of a cell, in correlation lengths
_MIX = 0x9E3779B97F4A7C15 - (1 << 64)
_OFFSET = 1 << 30
_MOST_RINGS = 12  # of cells, before all entries are looked through


class Cells:
    """Entries hashed by square cells, for the search of neighbours.

    Args:
        places: (E, 4) entries where the kernel is round.

    Attributes:
        order: (E,) rows of the entries, cell by cell.
        places: (E, 4) in that order.
        edges: (C + 1,) where each cell begins.
        keys: (T,) hash table, -1 where free.
        cells: (T,) which cell the key stands for.
    """

    def __init__(self, places: FloatArray) -> None:
        key = _cell_keys(places)
        self.order = np.argsort(key, kind="stable")
        self.places = np.ascontiguousarray(places[self.order])
        unique, first = np.unique(key[self.order], return_index=True)
        self.edges = np.append(first, len(places)).astype(np.int64)
        size = 1 << max(2 * len(unique), 2).bit_length()
        self.keys = np.full(size, -1, dtype=np.int64)
        self.cells = np.zeros(size, dtype=np.int64)
        _fill_table(unique, self.keys, self.cells)

    def locate(
        self,
        poses: FloatArray,
        scale: tuple[float, float],
        limit: float,
        slot: IntArray,
        free: int,
    ) -> tuple[FloatArray, IntArray, IntArray]:
        """Places of poses, the entries nearest to them, and which of those have no slot yet.

        Args:
            poses: (N, 3).
            scale: correlation length, m, and correlation angle, rad.
            limit: how near an entry must be, in correlation lengths.
            slot: (E,) of each entry, -1: none; those found get the ones from `free` on.
            free: first free slot.

        Returns:
            Places (N, 4), NaN where a pose is not sane; entries (N,), counted cell by cell, -1
            where there is none; entries that got a slot.
        """
        places = self.places, self.edges, self.keys, self.cells
        return _locate(poses, scale, limit, slot, free, places)

    def neighbours(self, entries: IntArray, ids: IntArray) -> None:
        """Write the K entries nearest to each of `entries` (R,) into `ids` (R, K)."""
        _neighbourhoods(entries, ids, self.places, self.edges, self.keys, self.cells)


@compiled
def _cell_key(column: int, row: int) -> int:
    """One number for a cell."""
    return ((column + _OFFSET) << 32) | (row + _OFFSET)


@compiled
def _fill_table(unique_keys: IntArray, keys: IntArray, cells: IntArray) -> None:
    """Hash the cells of `unique_keys` (C,) into an empty table."""
    last = len(keys) - 1
    for cell in range(len(unique_keys)):
        at = ((unique_keys[cell] * _MIX) >> 20) & last
        while keys[at] >= 0:
            at = (at + 1) & last
        keys[at] = unique_keys[cell]
        cells[at] = cell


@compiled
def _find(key: int, keys: IntArray, cells: IntArray) -> int:
    """Number of a cell, -1 if it is empty."""
    last = len(keys) - 1
    at = ((key * _MIX) >> 20) & last
    while keys[at] >= 0:
        if keys[at] == key:
            return cells[at]  # type: ignore[no-any-return]
        at = (at + 1) & last
    return -1


@compiled
def _cell_keys(places: FloatArray) -> IntArray:
    """Numbers (E,) of the cells that places (E, 4) lie in."""
    found = np.empty(len(places), dtype=np.int64)
    for i in range(len(places)):
        found[i] = _cell_key(math.floor(places[i, 0] / _SIDE), math.floor(places[i, 1] / _SIDE))
    return found


@compiled
def _gap(position: float, cell: int) -> float:
    """Distance of a coordinate from a cell's interval."""
    return max(cell * _SIDE - position, position - (cell + 1) * _SIDE, 0.0)


@compiled
def _to(places: FloatArray, entry: int, x: float, y: float, c: float, s: float) -> float:
    """Squared distance of an entry from a place."""
    dx, dy = places[entry, 0] - x, places[entry, 1] - y
    dc, ds = places[entry, 2] - c, places[entry, 3] - s
    squared: float = dx * dx + dy * dy + dc * dc + ds * ds
    return squared


@compiled
def _nearest(
    wanted: FloatArray,
    limit: float,
    places: FloatArray,
    edges: IntArray,
    keys: IntArray,
    cells: IntArray,
) -> IntArray:
    """The entry (N,) nearest to each wanted place (N, 4), -1 if none is nearer than `limit`.

    Args:
        wanted: NaN where there is nothing to be found.
        limit: in correlation lengths.
        places: (E, 4) of the entries, cell by cell.
        edges: of the cells.
        keys: of the table.
        cells: of the table.
    """
    found = np.full(len(wanted), -1, dtype=np.int64)
    rings = math.ceil(limit / _SIDE)
    for i in range(len(wanted)):
        x, y, c, s = wanted[i, 0], wanted[i, 1], wanted[i, 2], wanted[i, 3]
        if not math.isfinite(x):
            continue
        column, row = math.floor(x / _SIDE), math.floor(y / _SIDE)
        best = limit * limit
        # the neighbour of the place before is a good guess: it spares looking into most cells
        guess = found[i - 1] if i > 0 else -1
        if guess >= 0:
            squared = _to(places, guess, x, y, c, s)
            if squared < best:
                best, found[i] = squared, guess
        for ring in range(rings + 1):
            # cells of this ring are at least ring - 1 sides away
            if ring > 0 and ((ring - 1) * _SIDE) ** 2 >= best:
                break
            for across in range(column - ring, column + ring + 1):
                step = 1 if abs(across - column) == ring else 2 * ring
                for up in range(row - ring, row + ring + 1, max(step, 1)):
                    if _gap(x, across) ** 2 + _gap(y, up) ** 2 >= best:
                        continue
                    cell = _find(_cell_key(across, up), keys, cells)
                    if cell < 0:
                        continue
                    for entry in range(edges[cell], edges[cell + 1]):
                        squared = _to(places, entry, x, y, c, s)
                        if squared < best:
                            best = squared
                            found[i] = entry
    return found


@compiled
def _insert(entry: int, squared: float, count: int, ids: IntArray, distances: FloatArray) -> int:
    """Sort an entry in among the nearest (K,); answers how many there are now."""
    most = len(ids)
    if count == most:
        if squared >= distances[most - 1]:
            return count
        count -= 1
    at = count
    while at > 0 and distances[at - 1] > squared:
        ids[at], distances[at] = ids[at - 1], distances[at - 1]
        at -= 1
    ids[at], distances[at] = entry, squared
    return count + 1


@compiled
def _squared(places: FloatArray, a: int, b: int) -> float:
    """Squared distance of two entries."""
    total = 0.0
    for axis in range(4):
        total += (places[a, axis] - places[b, axis]) ** 2
    return total


@compiled
def _neighbours(
    entry: int,
    ids: IntArray,
    distances: FloatArray,
    places: FloatArray,
    edges: IntArray,
    keys: IntArray,
    cells: IntArray,
) -> None:
    """The K entries nearest to an entry into `ids` (K,), squared into `distances` (K,)."""
    column, row = math.floor(places[entry, 0] / _SIDE), math.floor(places[entry, 1] / _SIDE)
    count = 0
    for ring in range(_MOST_RINGS + 1):
        for across in range(column - ring, column + ring + 1):
            step = 1 if abs(across - column) == ring else 2 * ring
            for up in range(row - ring, row + ring + 1, max(step, 1)):
                cell = _find(_cell_key(across, up), keys, cells)
                if cell >= 0:
                    for other in range(edges[cell], edges[cell + 1]):
                        squared = _squared(places, entry, other)
                        count = _insert(other, squared, count, ids, distances)
        # everything nearer than `ring` sides has been seen
        if count == len(ids) and distances[count - 1] <= (ring * _SIDE) ** 2:
            return
    count = 0
    for other in range(len(places)):
        count = _insert(other, _squared(places, entry, other), count, ids, distances)


@compiled
def _neighbourhoods(
    entries: IntArray,
    ids: IntArray,
    places: FloatArray,
    edges: IntArray,
    keys: IntArray,
    cells: IntArray,
) -> None:
    """The K entries nearest to each of `entries` (R,) into `ids` (R, K)."""
    distances = np.empty(ids.shape[1])
    for row in range(len(entries)):
        _neighbours(entries[row], ids[row], distances, places, edges, keys, cells)


@compiled
def embed(poses: FloatArray, scale: tuple[float, float]) -> FloatArray:
    """Places (N, 4) of poses (N, 3) by correlation length and angle; NaN if not sane."""
    sigma_m, sigma_rad = scale
    places = np.empty((len(poses), 4))
    for i in range(len(poses)):
        x, y, yaw = poses[i, 0], poses[i, 1], poses[i, 2]
        if abs(x) < _SANE_M and abs(y) < _SANE_M and abs(yaw) < _SANE_M:
            places[i, 0] = x / sigma_m
            places[i, 1] = y / sigma_m
            places[i, 2] = math.cos(yaw) / sigma_rad
            places[i, 3] = math.sin(yaw) / sigma_rad
        else:
            places[i] = np.nan
    return places


@compiled
def _reserve(entries: IntArray, slot: IntArray, first: int) -> IntArray:
    """Give the entries (N,) that have no slot yet the slots from `first` on, and list them.

    Args:
        entries: -1 is no entry.
        slot: (E,) brought up to date, -1: none.
        first: free slot.
    """
    found = np.empty(len(entries), dtype=np.int64)
    count = 0
    for entry in entries:
        if entry >= 0 and slot[entry] < 0:
            slot[entry] = first + count
            found[count] = entry
            count += 1
    return found[:count]


@compiled
def _locate(
    poses: FloatArray,
    scale: tuple[float, float],
    limit: float,
    slot: IntArray,
    free: int,
    entries: tuple[FloatArray, IntArray, IntArray, IntArray],
) -> tuple[FloatArray, IntArray, IntArray]:
    """`Cells.locate` on the arrays of the cells."""
    places, edges, keys, cells = entries
    wanted = embed(poses, scale)
    found = _nearest(wanted, limit, places, edges, keys, cells)
    return wanted, found, _reserve(found, slot, free)
