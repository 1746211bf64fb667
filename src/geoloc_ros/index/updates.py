# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Changing some cells of an index without building it again.

New files are written beside the old ones under names that tell their content; then the manifest is
replaced in one rename. Whoever opened the index before still finds the files that his manifest
names, until `collect` removes them; a stop at any moment leaves the old index or the new one.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros import durable
from geoloc_ros.datatypes import Float32Array, FloatArray, Mask
from geoloc_ros.errors import IndexBuildError, IndexMismatchError
from geoloc_ros.geo.wgs84 import MAX_RANGE_M
from geoloc_ros.index import quadtree
from geoloc_ros.index import shard as shards
from geoloc_ros.index.codes import not_of_unit_length
from geoloc_ros.index.descriptions import ByteArray, RowArray
from geoloc_ros.index.manifest import NAME, NEW, Manifest, load_manifest, parse, search_record
from geoloc_ros.index.quadtree import Cell
from geoloc_ros.index.records import ShardRecord, is_part


@dataclasses.dataclass(frozen=True, slots=True)
class _Entries:
    """Entries that are to be in a cell, and what was said of them."""

    poses: FloatArray
    descriptors: Float32Array
    answers: ByteArray
    rows: RowArray

    def taken(self, rows: npt.NDArray[Any]) -> _Entries:
        """Some of them."""
        return dataclasses.replace(
            self,
            poses=self.poses[rows],
            descriptors=self.descriptors[rows],
            rows=self.rows[rows],
        )

    def with_new(self, poses: FloatArray, descriptors: Float32Array) -> _Entries:
        """And others, of which nothing was said."""
        return dataclasses.replace(
            self,
            poses=np.concatenate([self.poses, poses]),
            descriptors=np.concatenate([self.descriptors, descriptors]),
            rows=np.append(self.rows, np.full(len(poses), -1, dtype=np.int32)),
        )


def replace_shard(
    root: Path, cell: Cell, poses: FloatArray, descriptors: Float32Array
) -> Manifest:
    """Let a cell hold these entries and no others; it is split if they are too many.

    Args:
        root: the index directory.
        cell: one of the index, or one that overlaps none of them.
        poses: (N, 3) anchors in the cell; none: the cell is removed.
        descriptors: (N, D) unit vectors.

    Returns:
        The manifest of the changed index.

    Raises:
        IndexBuildError: another update is running, the cell overlaps others, poses lie outside,
            too many in too small a place, or nothing is left.
        IndexCorruptError: the index is damaged.
        IndexMismatchError: the descriptors are none of this index.
    """
    with changing(root) as old:
        _check(poses, descriptors, old)
        known = [record.cell for record in old.shards]
        if not quadtree.sound(cell) or (cell not in known and quadtree.overlap([*known, cell])):
            raise IndexBuildError(f"cell {cell} overlaps those of {root}; name one of them")
        if not _in_cell(cell, poses).all():
            raise IndexBuildError(f"poses lie outside cell {cell}; leave them out")
        return _rewritten(root, old, {cell: _nothing(old).with_new(poses, descriptors)})


def add_entries(root: Path, poses: FloatArray, descriptors: Float32Array) -> Manifest:
    """Add entries; cells that become too full are split, and new ones made where there is none.

    Entries that were there are decoded and coded once more, which costs a little precision.

    Args:
        root: the index directory.
        poses: (N, 3) anchors.
        descriptors: (N, D) unit vectors.

    Returns:
        The manifest of the changed index.

    Raises:
        IndexBuildError: another update is running, or too many entries in too small a place.
        IndexCorruptError: the index is damaged.
        IndexMismatchError: the descriptors are none of this index.
    """
    with changing(root) as old:
        _check(poses, descriptors, old)
        records = {record.cell: record for record in old.shards}
        changed = {}
        for cell, rows in quadtree.assigned(list(records), poses):
            there = _entries(root, records[cell], old) if cell in records else _nothing(old)
            changed[cell] = there.with_new(poses[rows], descriptors[rows])
        return _rewritten(root, old, changed)


def remove_entries(root: Path, unwanted: Callable[[FloatArray], Mask]) -> Manifest:
    """Remove entries.

    Args:
        root: the index directory.
        unwanted: says of poses (N, 3) which are to go (N,); is asked cell by cell.

    Returns:
        The manifest of the changed index.

    Raises:
        IndexBuildError: another update is running, or nothing would be left.
        IndexCorruptError: the index is damaged.
    """
    with changing(root) as old:
        changed = {}
        for record in old.shards:
            there = _entries(root, record, old)
            gone = np.asarray(unwanted(there.poses), dtype=np.bool_)
            if gone.any():
                changed[record.cell] = there.taken(~gone)
        return _rewritten(root, old, changed)


def collect(root: Path) -> int:
    """Remove files that the manifest does not name any more.

    Call it when nobody has the index open that was opened before an update.

    Returns:
        How many bytes were freed.

    Raises:
        IndexBuildError: an update is running.
        IndexCorruptError: there is no usable index.
    """
    freed = 0
    with changing(root) as manifest:
        for path in superseded(root, manifest):
            freed += path.stat().st_size
            path.unlink()
    return freed


def superseded(root: Path, manifest: Manifest) -> list[Path]:
    """Files of earlier states of an index."""
    known = {record.path(root, part) for record in manifest.shards for part in record.files}
    found = [path for path in sorted((root / "shards").glob("*")) if is_part(path.name)]
    return [path for path in found if path not in known] + list(root.glob(NEW))


@contextmanager
def changing(root: Path) -> Iterator[Manifest]:
    """Holds an index while it is changed; gives its manifest.

    Raises:
        IndexBuildError: another command holds it, or it cannot be written.
        IndexCorruptError: there is no usable index.
    """
    load_manifest(root)
    try:
        handle = os.open(root / "shards", os.O_RDONLY)
        try:
            _lock(handle, root)
            yield load_manifest(root)
        finally:
            os.close(handle)
    except OSError as error:
        raise IndexBuildError(
            f"cannot change {root}: {error}; mend that and try again. The index is as it was"
        ) from error


def _lock(handle: int, root: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise IndexBuildError(f"another command is changing {root}; wait for it") from error


def _check(poses: FloatArray, descriptors: Float32Array, manifest: Manifest) -> None:
    """See that entries fit an index.

    Raises:
        IndexMismatchError: they do not.
    """
    if poses.shape != (len(poses), 3) or descriptors.shape != (len(poses), manifest.dim):
        raise IndexMismatchError(
            f"poses {poses.shape} and descriptors {descriptors.shape} are no entries of this "
            f"index; (N, 3) and (N, {manifest.dim}) are needed"
        )
    off = not_of_unit_length(descriptors)
    if len(off):
        length = np.linalg.norm(descriptors[off[0]])
        raise IndexMismatchError(
            f"descriptor {off[0]} is not of unit length but {length:g} long; normalise them"
        )
    off = np.flatnonzero(
        ~(np.abs(poses) < (MAX_RANGE_M, MAX_RANGE_M, shards.MOST_YAW_RAD)).all(axis=1)
    )
    if len(off):
        raise IndexMismatchError(
            f"pose {poses[off[0]].tolist()} of entry {off[0]} is none: x and y lie within "
            f"{MAX_RANGE_M:g} m of the origin, yaw within {shards.MOST_YAW_RAD:g} rad; "
            "leave it out"
        )


def _entries(root: Path, record: ShardRecord, manifest: Manifest) -> _Entries:
    """What a cell holds.

    Raises:
        IndexCorruptError: a file is missing, altered or damaged.
    """
    shard = shards.open_shard(root, record, manifest)
    bare = _nothing(manifest).with_new(shard.poses, shard.decode())
    if shard.said is None:
        return bare
    return dataclasses.replace(bare, answers=shard.said.answers, rows=shard.said.rows)


def _nothing(manifest: Manifest) -> _Entries:
    options = 0 if manifest.descriptions is None else manifest.descriptions.options
    return _Entries(
        np.zeros((0, 3)),
        np.zeros((0, manifest.dim), dtype=np.float32),
        np.zeros((0, options), dtype=np.uint8),
        np.zeros(0, dtype=np.int32),
    )


def _rewritten(root: Path, old: Manifest, changed: dict[Cell, _Entries]) -> Manifest:
    """Write cells anew and put a new manifest in the place of the old one.

    Raises:
        IndexBuildError: nothing would be left, or too many entries are in too small a place.
        OSError: the disk refuses.
    """
    if not changed:
        return old
    records = [record for record in old.shards if record.cell not in changed]
    for cell, entries in changed.items():
        for part, rows in quadtree.divided(cell, entries.poses):
            records.append(_write(root, part, entries.taken(rows), old))
    if not records:
        raise IndexBuildError(f"nothing would be left of {root}; remove the folder instead")
    records.sort(key=lambda record: record.cell)
    new = dataclasses.replace(
        old,
        shards=tuple(records),
        updates=old.updates + 1,
        search=search_record(str(old.search["kind"])),  # as cells are written now
    )
    text = new.render()
    parse(text, root / NEW)  # before it takes the place of one that can be read
    durable.sync(root / "shards")
    durable.write_bytes(root / NEW, text.encode())
    (root / NEW).replace(root / NAME)
    durable.sync(root)
    return new


def _write(root: Path, cell: Cell, entries: _Entries, manifest: Manifest) -> ShardRecord:
    said = None
    if manifest.descriptions is not None:
        used, rows = np.unique(entries.rows, return_inverse=True)
        silent = np.count_nonzero(used < 0)  # 1 if there is any, which comes first
        said = entries.answers[used[silent:]], (rows.ravel() - silent).astype(np.int32)
    kind = str(manifest.search["kind"])
    arguments = entries.poses, entries.descriptors, manifest.storage, kind
    return shards.write_shard(root, cell, *arguments, said=said)


def _in_cell(cell: Cell, poses: FloatArray) -> Mask:
    places = np.floor(poses[:, :2] / quadtree.side_m(cell))
    return np.asarray((places == np.array(cell[1:])).all(axis=1))
