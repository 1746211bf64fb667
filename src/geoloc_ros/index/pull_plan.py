# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a pull will do: which shards, which files are there already, how much is to come."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.errors import IndexBuildError, IndexError_, IndexPullError
from geoloc_ros.index.assembly import beginning, fetched
from geoloc_ros.index.diff import PLANE, SEARCH_NUMBERS, header_difference
from geoloc_ros.index.manifest import NAME, Manifest, load_manifest
from geoloc_ros.index.merge import check_same_build
from geoloc_ros.index.records import FileRecord, ShardRecord
from geoloc_ros.index.region import Region, area_text, overlap
from geoloc_ros.index.source import Source, files_of
from geoloc_ros.index.workplace import check_out, current

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull will do.

    Attributes:
        source: where files come from.
        whole: the source's manifest.
        manifest: of the index to be.
        out: where it will be.
        old: manifest of the index that is there; None if there is none, or a damaged one.
        rests_on_old: whether it was chosen by what is there.
        dropped: shards that are there and will not be.
        to_come: files that are not there, by their sizes.
        bytes: that are still to come.
    """

    source: Source
    whole: Manifest
    manifest: Manifest
    out: Path
    old: Manifest | None
    rests_on_old: bool
    dropped: tuple[ShardRecord, ...]
    to_come: tuple[FileRecord, ...]
    bytes: int


def make_plan(source: Source, out: Path, region: Region | None, add: bool = False) -> Plan:
    """Read the source's manifest, choose shards, see what is there; nothing is written.

    Args:
        source: where the index is.
        out: where the part of it shall be.
        region: what to take; None: the ground that the index at `out` covers.
        add: keep what the index at `out` has beside the region.

    Raises:
        IndexPullError: the region touches no shard, there is nothing to update, or the source
            does not answer.
        IndexCorruptError: no index, or a damaged one, at the source.
        IndexMismatchError: to be added to an index that was built otherwise.
        IndexBuildError: `out` is something else.
    """
    try:
        out = check_out(out, "DST")
    except OSError as error:
        raise IndexBuildError(f"cannot read {out}: {error}; choose another DST") from error
    whole = source.manifest()
    files_of(whole)
    rests_on_old = region is None or add
    old = old_manifest(out, rests_on_old)
    if region is None and old is None:
        raise IndexPullError(
            f"there is no index at {out} to update; say what to pull: --region W,S,E,N, --near "
            f"LAT,LON --radius M, or --all ({source.shown} covers {area_text(whole)})"
        )
    chosen, dropped = _chosen(source, whole, old, region, add)
    manifest = dataclasses.replace(whole, shards=chosen)
    stock = Stock(out, old)
    to_come = {
        file: name
        for name, file in files_of(manifest).items()
        if next(stock.candidates(name, file), None) is None
    }
    size = bytes_to_come(out, to_come)
    return Plan(
        source, whole, manifest, out, old, rests_on_old and old is not None, dropped,
        tuple(to_come), size,
    )  # fmt: skip


class Stock:
    """Files that are there already: of the index, and of an earlier pull.

    Args:
        out: where the index is.
        old: its manifest, if it can be read.
    """

    def __init__(self, out: Path, old: Manifest | None) -> None:
        self._out, self._root, self._old = out, current(out), old
        names = files_of(old).items() if old is not None else ()
        self._known = {file: self._root / name for name, file in names}

    def candidates(self, name: str, file: FileRecord) -> Iterator[Path]:
        """Where a file of this size may lie; its hash is still to be compared."""
        there = self._root / name if self._old is None else self._known.get(file)
        for path in (fetched(self._out, file), there):
            if path is not None and path.is_file() and path.stat().st_size == file.bytes:
                yield path


def check_space(out: Path, size_bytes: int) -> None:
    """Refuse to begin what cannot fit.

    Raises:
        IndexPullError: too little space on the disk.
    """
    folder = next(path for path in out.parents if path.is_dir())
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise IndexPullError(
            f"disk full: {size_bytes / 1e6:,.1f} MB are to come, {folder} has "
            f"{free / 1e6:,.1f} MB free; free some space or choose a smaller region"
        )


def old_manifest(out: Path, needed: bool) -> Manifest | None:
    """What is there; None if nothing is, or something damaged that is not needed."""
    root = current(out)
    if not (root / NAME).exists():
        return None
    try:
        manifest = load_manifest(root)
        files_of(manifest)
    except IndexError_ as error:
        if needed:
            raise
        _LOG.warning("%s is replaced, it cannot be read: %s", root, error)
        return None
    return manifest


def bytes_to_come(out: Path, files: Iterable[FileRecord]) -> int:
    """Bytes of files, less those of their beginnings that an earlier pull left."""
    return sum(file.bytes - held_bytes(beginning(out, file), file.bytes) for file in files)


def held_bytes(path: Path, most: int) -> int:
    """Bytes of a file, 0 if it is not there."""
    try:
        return min(path.stat().st_size, most)
    except OSError:
        return 0


def _chosen(
    source: Source, whole: Manifest, old: Manifest | None, region: Region | None, add: bool
) -> tuple[tuple[ShardRecord, ...], tuple[ShardRecord, ...]]:
    """Shards of the index to be, and shards that are there and will not be."""
    taken = np.zeros(len(whole.shards), dtype=np.bool_)
    if region is not None:
        taken |= region.touches(whole)
        if not taken.any():
            raise IndexPullError(
                f"the region {region} touches none of the {len(whole.shards)} shards of "
                f"{source.shown}, which covers {area_text(whole)}; choose a region there, or --all"
            )
    kept: list[ShardRecord] = []
    if old is not None and (add or region is None):
        _check_plane(source, whole, old, add)
        taken |= overlap(whole.shards, old.shards)
        gone = [
            shard
            for shard, still in zip(old.shards, overlap(old.shards, whole.shards), strict=True)
            if not still
        ]
        kept = _keepable(source, whole, old, gone) if add else []
    chosen = [shard for shard, take in zip(whole.shards, taken, strict=True) if take]
    if not chosen:
        raise IndexPullError(
            f"{source.shown} has nothing any more where the index at DST lies; it covers "
            f"{area_text(whole)}: choose a --region there"
        )
    chosen = sorted([*chosen, *kept], key=lambda record: record.cell) if kept else chosen
    return tuple(chosen), _dropped(whole, old, chosen) if old is not None else ()


def _dropped(whole: Manifest, old: Manifest, chosen: list[ShardRecord]) -> tuple[ShardRecord, ...]:
    """Shards that are there whose ground the index to be does not hold, or not all of it."""
    cells = {record.cell for record in chosen}
    left_out = [record for record in whole.shards if record.cell not in cells]
    held = overlap(old.shards, chosen) & ~overlap(old.shards, left_out)
    return tuple(
        shard
        for shard, still in zip(old.shards, held, strict=True)
        if shard.cell not in cells and not still
    )


def _check_plane(source: Source, whole: Manifest, old: Manifest, add: bool) -> None:
    if add:
        check_same_build(old, whole, "DST", source.shown)
        return
    differs = header_difference(old, whole)
    if any(field.name.split(".")[0] in PLANE for field in differs):
        raise IndexPullError(
            f"{source.shown} was built around another place than the index at DST, so that its "
            "cells are other ones; say what to pull: --region, --near or --all"
        )


def _keepable(
    source: Source, whole: Manifest, old: Manifest, gone: list[ShardRecord]
) -> list[ShardRecord]:
    """Shards that only the old index has, if they may stay beside those of the source."""
    differs = header_difference(old, whole, leave_out=("updates", *SEARCH_NUMBERS))
    if gone and differs:
        cells = ", ".join(str(shard.cell) for shard in gone[:5])
        names = ", ".join(field.name for field in differs)
        raise IndexPullError(
            f"{source.shown} has nothing for {len(gone)} shards of DST ({cells}"
            f"{', ...' if len(gone) > 5 else ''}), and is another build ({names}); pull without "
            "--add, or join both with 'geoloc index merge'"
        )
    return gone
