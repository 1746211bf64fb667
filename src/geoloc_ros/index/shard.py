# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One geographic cell on disk and in memory: poses, coded descriptors and their clusters.

Every file is one plain array. It is read once, and the bytes that were verified are the ones that
are used; no parser sees them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros import durable
from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.errors import IndexCorruptError
from geoloc_ros.index import arrays
from geoloc_ros.index.codes import Codes, Found, Rows
from geoloc_ros.index.descriptions import (
    ANSWERS,
    DESCRIBED_PARTS,
    ROWS,
    ByteArray,
    Descriptions,
    RowArray,
    sound,
)
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.quadtree import Cell, corner_m, side_m
from geoloc_ros.index.records import (
    CODES,
    FINE,
    POSES,
    SCALE,
    FileRecord,
    ShardRecord,
    part_path,
    read_file,
    stem_of,
)
from geoloc_ros.index.search import DEFAULT_SEARCH, SEARCHES, Search

_UNIT = 0.05  # a stored descriptor's length is no farther from 1
MOST_YAW_RAD = 100.0
_MOST_LINKS = 255  # of an entry


@dataclass(frozen=True, slots=True)
class Shard:
    """A loaded cell.

    Attributes:
        record: what the manifest says about it.
        offsets: (N, 3) float32 anchors: x and y from the cell's south-west corner, m; yaw_rad.
        codes: (N, D) the descriptors.
        finder: finds the most similar of them.
        said: what a vision-language model said of the tiles; None if it was not asked.
    """

    record: ShardRecord
    offsets: Float32Array
    codes: Codes
    finder: Search
    said: Descriptions | None = None

    @property
    def poses(self) -> FloatArray:
        """Anchors (N, 3) x_m, y_m, yaw_rad in the local plane; made anew at each call."""
        return self.anchors(slice(None))

    def anchors(self, rows: Rows | slice) -> FloatArray:
        """Anchors (n, 3) x_m, y_m, yaw_rad of some rows."""
        found = self.offsets[rows].astype(np.float64)
        found[:, :2] += corner_m(self.record.cell)
        return found

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        said = sum(self.record.files[part].bytes for part in DESCRIBED_PARTS if self.said)
        return self.offsets.nbytes + self.codes.nbytes + self.finder.nbytes + said

    def search(self, query: Float32Array, k: int) -> tuple[Rows, Float32Array]:
        """The entries most similar to a query, but for few: most are not looked at.

        Args:
            query: (D,) unit vector.
            k: how many; fewer come back if the cell holds fewer.

        Returns:
            Rows (K,) and similarities (K,), best first.
        """
        _, rows, similarity = search_together([self], query, k)
        return rows, similarity

    def decode(self, rows: Rows | None = None) -> Float32Array:
        """Descriptors (n, D) of rows, of all if none are named."""
        return self.codes.decode(rows)


def search_together(shards: Sequence[Shard], query: Float32Array, k: int) -> Found:
    """Like `Shard.search` in several shards of one index, for less than one after the other.

    Args:
        shards: any.
        query: (D,) unit vector.
        k: how many; fewer come back if they hold fewer.

    Returns:
        Places (K,) in `shards`, rows (K,) and similarities (K,), best first.
    """
    if not shards:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros(0, dtype=np.float32)
    parts = [(shard.codes, shard.finder) for shard in shards]
    return shards[0].finder.find(parts, query, k)


def write_shard(
    root: Path,
    cell: Cell,
    poses: FloatArray,
    descriptors: Float32Array,
    storage: str,
    search: str = DEFAULT_SEARCH,
    said: tuple[ByteArray, RowArray] | None = None,
) -> ShardRecord:
    """Write a cell's files below `root/shards`.

    Args:
        root: directory of the index being built.
        cell: level, column and row.
        poses: (N, 3) anchors, N >= 1.
        descriptors: (N, D) unit vectors.
        storage: how they are stored, one of `codes.STORAGES`.
        search: how they are found, one of `search.SEARCHES`.
        said: descriptions (V, T) and for each entry its row among them (N,), if there are any.

    Returns:
        The record for the manifest.

    Raises:
        OSError: the disk refuses.
    """
    order, found = SEARCHES[search].build(descriptors)
    offsets = (poses[order] - np.append(corner_m(cell), 0.0)).astype(np.float32)
    # rounding leads no entry into the next cell
    end_m = np.nextafter(np.float32(side_m(cell)), np.float32(0.0))
    offsets[:, :2] = np.clip(offsets[:, :2], 0.0, end_m)
    codes = Codes.encode(descriptors[order], storage)
    parts: dict[str, npt.NDArray[Any]] = {
        POSES: offsets,
        CODES: codes.coarse,
        SCALE: codes.scale,
    }
    if codes.fine is not None:
        parts[FINE] = codes.fine
    parts |= found
    if said is not None:
        parts[ANSWERS], parts[ROWS] = said[0], said[1][order]
    files = {part: write_part(root, cell, part, array) for part, array in parts.items()}
    xy_m = offsets[:, :2].astype(np.float64) + corner_m(cell)
    low, high = xy_m.min(axis=0), xy_m.max(axis=0)
    bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return ShardRecord(cell=cell, count=len(poses), bounds_m=bounds, files=files)


def write_part(root: Path, cell: Cell, part: str, array: npt.NDArray[Any]) -> FileRecord:
    """Write an array of a cell, under a name that tells its content, and wait for the disk.

    Raises:
        OSError: the disk refuses.
    """
    content = arrays.to_bytes(array)
    file = FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    path = part_path(root, stem_of(cell), part, file)
    if not path.is_file() or path.read_bytes() != content:  # somebody may be reading it
        durable.write_bytes(path, content)
    return file


def open_shard(root: Path, record: ShardRecord, manifest: Manifest) -> Shard:
    """Load a cell after verifying every byte.

    Raises:
        IndexCorruptError: a file is missing, altered or not what its record says.
    """
    return _Reader(root, record, manifest).shard()


class _Reader:
    """Reads and checks the files of one cell."""

    def __init__(self, root: Path, record: ShardRecord, manifest: Manifest) -> None:
        self._root, self._record, self._manifest = root, record, manifest

    def shard(self) -> Shard:
        record = self._record
        offsets = self._array(POSES, "float32", (record.count, 3))
        self._check_poses(offsets)
        codes = self._codes()
        return Shard(record, offsets, codes, self._finder(codes), self._said())

    def _check_poses(self, offsets: Float32Array) -> None:
        side = side_m(self._record.cell)
        inside = (offsets[:, :2] >= 0.0) & (offsets[:, :2] < side)
        if not inside.all() or not (np.abs(offsets[:, 2]) < MOST_YAW_RAD).all():
            raise self._wrong(POSES, f"poses that are not finite or not in its cell of {side:g} m")

    def _codes(self) -> Codes:
        count, dim, storage = self._record.count, self._manifest.dim, self._manifest.storage
        coarse = self._array(CODES, "int8", (count, dim))
        scale = self._array(SCALE, "float32", (dim,))
        if not ((scale > 0.0) & (scale <= 1.0)).all():
            raise self._wrong(SCALE, "steps out of bounds")
        fine = None
        if storage != "int8":
            dtype, width = ("uint8", -(-dim // 2)) if storage == "int12" else (storage, dim)
            fine = self._array(FINE, dtype, (count, width))
        codes = Codes(coarse, scale, fine)
        lengths = codes.lengths()
        if not (np.abs(lengths - 1.0) < _UNIT).all():
            raise self._wrong(CODES, "descriptors that are not of unit length")
        return codes

    def _finder(self, codes: Codes) -> Search:
        kind = SEARCHES[str(self._manifest.search["kind"])]
        shapes = kind.shapes(len(codes), codes.dim)
        parts = {part: self._array(part, *shapes[part]) for part in kind.PARTS}
        try:
            return kind.load(parts, codes)
        except ValueError as error:
            raise self._wrong(kind.PARTS[0], str(error)) from error

    def _said(self) -> Descriptions | None:
        said = self._manifest.descriptions
        if said is None:
            return None
        answers = self._array(ANSWERS, "uint8", (None, said.options))
        rows = self._array(ROWS, "int32", (self._record.count,))
        if not sound(answers, rows, self._record.count, said.options):
            raise self._wrong(ROWS, "rows out of bounds")
        return Descriptions(answers, rows)

    def _array(self, part: str, dtype: str, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        """The array of a file, whose bytes are verified; a first length of None may be any.

        How long it can be follows from the number of entries: no more is ever read.
        """
        file, (first, *others) = self._record.files[part], shape
        if first is None:
            first = self._record.count * (1 if others else _MOST_LINKS) + 1
        if file.bytes > arrays.most_bytes(dtype, (first, *others)):
            raise self._wrong(part, arrays.no_array(dtype, shape))
        content = read_file(self._record.path(self._root, part), file)
        try:
            return arrays.from_bytes(content, dtype, shape)
        except ValueError as error:
            raise self._wrong(part, str(error)) from error

    def _wrong(self, part: str, what: str) -> IndexCorruptError:
        path = self._record.path(self._root, part)
        return IndexCorruptError(f"{path} holds {what}; build the index again")
