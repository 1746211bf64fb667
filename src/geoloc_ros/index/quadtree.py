# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Cells that adapt to density: squares, split into four where they hold too many entries.

A cell is (level, column, row); its side is 4 km halved `level` times, its south-west corner
(column, row) sides from the origin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.geo.wgs84 import MAX_RANGE_M

Cell = tuple[int, int, int]

ROOT_M = 4000.0
FINEST = 6  # level of cells of 62.5 m, which are not split
MOST = 49_152  # entries of a cell


def side_m(cell: Cell) -> float:
    """Length of a cell's side."""
    return ROOT_M / float(2 ** cell[0])


def corner_m(cell: Cell) -> FloatArray:
    """South-west corner (2,) of a cell in the local plane."""
    return np.array(cell[1:], dtype=np.float64) * side_m(cell)


def sound(cell: Cell) -> bool:
    """Whether a cell is of a level that exists and lies where the local plane is valid."""
    level, column, row = cell
    reach = int(MAX_RANGE_M / ROOT_M * 2**level) + 1 if 0 <= level <= FINEST else 0
    return -reach <= column < reach and -reach <= row < reach


def holds(cell: Cell, bounds_m: tuple[float, float, float, float]) -> bool:
    """Whether west, south, east, north lie in a cell, whose own north and east edges do not."""
    low = corner_m(cell)
    west, south, east, north = np.array(bounds_m) - np.append(low, low)
    return bool(0.0 <= west <= east < side_m(cell) and 0.0 <= south <= north < side_m(cell))


def overlap(cells: list[Cell]) -> bool:
    """Whether a cell occurs twice or lies in another one."""
    known = set(cells)
    return len(known) < len(cells) or any(
        above in known for cell in cells for above in upwards(cell)[1:]
    )


def upwards(cell: Cell) -> list[Cell]:
    """A cell and all that it lies in, the smallest first."""
    level, column, row = cell
    return [(level - up, column >> up, row >> up) for up in range(level + 1)]


def assigned(known: list[Cell], poses: FloatArray) -> Iterator[tuple[Cell, npt.NDArray[np.int64]]]:
    """Which cells poses lie in.

    Args:
        known: cells that do not overlap.
        poses: (N, 3).

    Yields:
        A known cell, or where there is none the largest that overlaps none of them, and the rows
        of the poses in it.
    """
    split = {above for cell in known for above in upwards(cell)[1:]}
    rows = np.arange(len(poses))
    for level in range(FINEST + 1):
        deeper = [np.zeros(0, dtype=np.int64)]
        for cell, members in _at_level(poses[:, :2], rows, level):
            if cell in split:
                deeper.append(members)
            else:
                yield cell, members
        rows = np.sort(np.concatenate(deeper))


def cells(anchors: FloatArray, most: int = MOST) -> Iterator[tuple[Cell, npt.NDArray[np.int64]]]:
    """Cells that hold at most so many anchors each, as large as possible.

    Args:
        anchors: (N, 3) x_m, y_m, yaw_rad.
        most: how many.

    Yields:
        A cell and the rows of its anchors in their order; no cell is empty. The order depends on
        the anchors only.

    Raises:
        IndexBuildError: a cell of the finest level holds more.
    """
    yield from _split(np.asarray(anchors[:, :2]), np.arange(len(anchors)), 0, most)


def divided(
    cell: Cell, anchors: FloatArray, most: int = MOST
) -> Iterator[tuple[Cell, npt.NDArray[np.int64]]]:
    """Like `cells`, of anchors that all lie in one cell."""
    yield from _split(np.asarray(anchors[:, :2]), np.arange(len(anchors)), cell[0], most)


def _split(
    xy_m: FloatArray, rows: npt.NDArray[np.int64], level: int, most: int
) -> Iterator[tuple[Cell, npt.NDArray[np.int64]]]:
    """The cells of `rows`, of a level or finer where that is needed."""
    for cell, members in _at_level(xy_m, rows, level):
        if len(members) <= most:
            yield cell, members
        elif level < FINEST:
            yield from _split(xy_m, members, level + 1, most)
        else:
            x_m, y_m = corner_m(cell)
            raise IndexBuildError(
                f"{len(members)} entries lie in a square of {side_m(cell):g} m at x {x_m:g} m, "
                f"y {y_m:g} m; at most {most} may; sample less densely (--spacing, --pitch, "
                "--headings)"
            )


def _at_level(
    xy_m: FloatArray, rows: npt.NDArray[np.int64], level: int
) -> Iterator[tuple[Cell, npt.NDArray[np.int64]]]:
    """The cells of a level that `rows` lie in, sorted, and the rows in each."""
    places = np.floor(xy_m[rows] / side_m((level, 0, 0))).astype(np.int64)
    unique, inverse = np.unique(places, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    edges = np.searchsorted(inverse[order], np.arange(len(unique) + 1))
    for number, (column, row) in enumerate(unique.tolist()):
        yield (level, column, row), rows[order[edges[number] : edges[number + 1]]]
