# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One geographic cell on disk and in memory: poses, coded descriptors and a graph over them.

Every file is one plain array. It is read once, and the bytes that were verified are the ones that
are used; no parser sees them, only the header of the array is read and compared.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.errors import IndexCorruptError
from geoloc_ros.index.codes import Codes, Rows
from geoloc_ros.index.descriptions import ANSWERS, DESCRIBED_PARTS, ROWS, Descriptions, sound
from geoloc_ros.index.graph import NONE, Graph, M, build_links
from geoloc_ros.index.manifest import (
    CODES,
    LINKS,
    POSES,
    SCALE,
    FileRecord,
    Manifest,
    ShardRecord,
    part_path,
    read_file,
    stem_of,
)
from geoloc_ros.index.quadtree import Cell, corner_m, side_m

_ROUNDED_M = 1e-3  # more than float32 moves a pose in a cell


@dataclass(frozen=True, slots=True)
class Shard:
    """A loaded cell.

    Attributes:
        record: what the manifest says about it.
        offsets: (N, 3) float32 anchors: x and y from the cell's south-west corner, m; yaw_rad.
        codes: (N, D) the descriptors.
        graph: over them, labels 0..N-1.
        said: what a vision-language model said of the tiles; None if it was not asked.
    """

    record: ShardRecord
    offsets: Float32Array
    codes: Codes
    graph: Graph
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
        return self.offsets.nbytes + self.codes.nbytes + self.graph.nbytes + said

    def search(self, query: Float32Array, k: int) -> tuple[Rows, Float32Array]:
        """Entries near a query by the graph.

        Args:
            query: (D,) unit vector.
            k: how many; fewer come back if the cell holds fewer.

        Returns:
            Labels (K,) and similarities (K,), best first.
        """
        return self.graph.search(self.codes, query, k)

    def decode(self, rows: Rows | None = None) -> Float32Array:
        """Descriptors (n, D) of rows, of all if none are named."""
        return self.codes.decode(rows)


def write_shard(
    root: Path, cell: Cell, poses: FloatArray, descriptors: Float32Array, storage: str
) -> ShardRecord:
    """Write a cell's files below `root/shards`.

    Args:
        root: directory of the index being built.
        cell: level, column and row.
        poses: (N, 3) anchors, N >= 1.
        descriptors: (N, D) unit vectors.
        storage: how they are stored.

    Returns:
        The record for the manifest.

    Raises:
        OSError: the disk refuses.
    """
    offsets = (poses - np.append(corner_m(cell), 0.0)).astype(np.float32)
    codes = Codes.encode(descriptors, storage)
    parts = {POSES: offsets, CODES: codes.array, LINKS: build_links(descriptors)}
    if codes.scale is not None:
        parts[SCALE] = codes.scale
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
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    content = buffer.getbuffer()
    file = FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    write_bytes(part_path(root, stem_of(cell), part, file), content)
    return file


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes or a directory's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        links = self._array(LINKS, "uint16", (record.count, 2 * M))
        if not ((links < record.count) | (links == NONE)).all():
            raise self._wrong(LINKS, "links out of bounds")
        self._check_poses(offsets)
        return Shard(record, offsets, self._codes(), Graph(links), self._said())

    def _check_poses(self, offsets: Float32Array) -> None:
        side = side_m(self._record.cell)
        inside = (offsets[:, :2] >= -_ROUNDED_M) & (offsets[:, :2] <= side + _ROUNDED_M)
        if not inside.all() or not (np.abs(offsets[:, 2]) < 100.0).all():
            raise self._wrong(POSES, f"poses that are not finite or not in its cell of {side:g} m")

    def _codes(self) -> Codes:
        storage, dim = self._manifest.storage, self._manifest.dim
        codes = Codes(self._array(CODES, storage, (self._record.count, dim)))
        if storage == "int8":
            scale = self._array(SCALE, "float32", (dim,))
            if not ((scale > 0.0) & (scale <= 1.0)).all():
                raise self._wrong(SCALE, "steps out of bounds")
            codes = Codes(codes.array, scale)
        norms = codes.norms()
        if not (np.abs(norms - 1.0) < 0.1).all():
            raise self._wrong(CODES, "descriptors that are not of unit length")
        return codes

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
        """The array of a file, whose bytes are verified; a length of None is not compared."""
        path = self._record.path(self._root, part)
        content = read_file(path, self._record.files[part])
        file = io.BytesIO(memoryview(content)[:4096])
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"its format is {version}")
            found, fortran, kind = np.lib.format.read_array_header_1_0(file)
        except (ValueError, EOFError) as error:
            raise self._wrong(part, f"no array: {error}") from error
        wanted = tuple(f if w is None else w for f, w in zip(found, shape, strict=False))
        bytes_wanted = int(np.prod(wanted, dtype=object)) * np.dtype(dtype).itemsize
        if (
            kind != np.dtype(dtype)
            or found != wanted
            or len(found) != len(shape)
            or fortran
            or len(content) - file.tell() != bytes_wanted
        ):
            raise self._wrong(part, f"{kind} {found}; {dtype} {shape} is expected")
        return np.frombuffer(content, dtype=dtype, offset=file.tell()).reshape(found)

    def _wrong(self, part: str, what: str) -> IndexCorruptError:
        path = self._record.path(self._root, part)
        return IndexCorruptError(f"{path} holds {what}; build the index again")
