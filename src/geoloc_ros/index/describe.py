# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Describing the tiles of an index that is already built.

A copy of the index that shares the files of the old one (hard links) grows beside it, cell by
cell, and takes its place in one rename: an interrupted run leaves the index as it was and goes on
where it stopped.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from geoloc_ros import durable
from geoloc_ros.datatypes import Float32Array, FloatArray, Image
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexBuildError, IndexMismatchError
from geoloc_ros.imagery.windows import Cutter, Imagery, cutter_of
from geoloc_ros.index import shard as shards
from geoloc_ros.index.build import imagery_record
from geoloc_ros.index.cell_line import fill_rgb
from geoloc_ros.index.descriptions import (
    ANSWERS,
    ROWS,
    ByteArray,
    DescriptionRecord,
    RowArray,
    quantise,
    representatives,
)
from geoloc_ros.index.manifest import Manifest, check_model, load_manifest
from geoloc_ros.index.records import ShardRecord
from geoloc_ros.index.workplace import Workplace, check_out

_LOG = logging.getLogger(__name__)
_TRY_IT = "'geoloc vlm describe CROP --view satellite' shows what the model answers"

#: tiles that one process is given at a time; small, so that progress shows and all stay busy
BATCH = 8

#: tiles after which it is told that a model has said nothing of any
MOST_SILENT = 256

#: batches of crops (n, S, S, 3) -> batches of descriptions (n, T), in the same order
Describe = Callable[[Iterable[Image]], Iterator[Float32Array]]


@dataclasses.dataclass(frozen=True)
class _Job:
    """What stays the same from cell to cell."""

    old: Path
    place: Workplace
    cutter: Cutter
    describe: Describe
    record: DescriptionRecord
    parts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Cell:
    """A cell of the old index: its record, its entries, and whether all are described alike."""

    record: ShardRecord
    poses: FloatArray
    described: bool


def describe_index(
    root: Path,
    ortho: Imagery,
    package: ModelPackage,
    record: DescriptionRecord,
    describe: Describe,
    progress: bool = True,
) -> Manifest:
    """Let a vision-language model describe an index's tiles; other descriptions are replaced.

    Cells that are described like this already are kept, unless nothing was said of an entry there,
    as after `geoloc index update`.

    Args:
        root: the index directory; it stays as it is until all its tiles are described.
        ortho: the imagery the index was built from.
        package: the model the index was built with, which says how tiles are cut.
        record: who describes, what is asked, how far a description may be shared.
        describe: looks at crops. A row of zeros means that nothing could be said.
        progress: show a progress bar on stderr.

    Returns:
        The manifest of the described index.

    Raises:
        IndexCorruptError: the index is damaged.
        IndexMismatchError: another model, or other imagery.
        IndexBuildError: disk full, another command is writing there, or nothing was said of any
            tile.
    """
    root = check_out(root)
    old = load_manifest(root)
    _check(old, ortho, package, root)
    bare = dataclasses.replace(old, shards=(), descriptions=record)
    cells = _cells(root, old, record)
    try:
        with Workplace(root, bare, np.concatenate([cell.poses for cell in cells])) as place:
            asked = sum(len(cell.poses) for cell in cells if not cell.described)
            place.need_space(asked * (record.options + 4))
            job = _Job(
                root,
                place,
                cutter_of(ortho, package.reference, fill_rgb(package)),
                _outspoken(describe),
                record,
                dataclasses.replace(old, descriptions=None).parts,
            )
            records = _shards(job, cells, progress)
            _check_heard(any(_is_heard(place, record) for record in records))
            return place.finish(records)
    except OSError as error:
        raise IndexBuildError(
            f"cannot describe {root}: {error}; mend that and run the same command again: finished "
            "cells are kept. The index is as it was"
        ) from error


def _check(old: Manifest, ortho: Imagery, package: ModelPackage, root: Path) -> None:
    check_model(old, package, root)
    found = imagery_record(ortho)
    if found.sha256 != old.imagery.sha256:
        raise IndexMismatchError(
            f"{root} was built from other imagery ({old.imagery.source}, "
            f"{old.imagery.sha256[:12]}) than {found.source} ({found.sha256[:12]}); name the "
            "file it was built from"
        )


def _cells(root: Path, manifest: Manifest, wanted: DescriptionRecord) -> list[_Cell]:
    """All cells, every byte of theirs verified."""
    cells, alike = [], manifest.descriptions == wanted
    for record in manifest.shards:
        shard = shards.open_shard(root, record, manifest)
        spoken_of = shard.said is not None and bool((shard.said.rows >= 0).all())
        cells.append(_Cell(record, shard.poses, described=alike and spoken_of))
    return cells


def _shards(job: _Job, cells: list[_Cell], progress: bool) -> list[ShardRecord]:
    """Records of all cells, each described or found described."""
    limits = job.record.within_m, job.record.within_deg
    speakers = [representatives(cell.poses, *limits) for cell in cells]
    total = sum(len(np.unique(part)) for part in speakers)
    records = []
    with tqdm(total=total, desc="describe", unit="tile", disable=not progress) as bar:
        for cell, speaker in zip(cells, speakers, strict=True):
            done = _finished(job, cell) or _kept(job, cell)
            if done is None:
                done = _one(job, cell, speaker, bar)
            else:
                bar.update(len(np.unique(speaker)))
            records.append(done)
    return records


def _finished(job: _Job, cell: _Cell) -> ShardRecord | None:
    """The record of a cell that an earlier run finished; silence is asked about again."""
    done = job.place.finished(cell.record.cell)
    return done if done is not None and _is_heard(job.place, done) else None


def _kept(job: _Job, cell: _Cell) -> ShardRecord | None:
    """The record of a cell that needs no new descriptions, its files shared."""
    if not cell.described:
        return None
    for part in cell.record.files:
        _share(cell.record.path(job.old, part), cell.record.path(job.place.root, part))
    job.place.keep(cell.record)
    return cell.record


def _one(job: _Job, cell: _Cell, speaker: RowArray, bar: tqdm) -> ShardRecord:
    """Describe one cell and write its files."""
    known = cell.record
    chosen, rows = np.unique(speaker, return_inverse=True)
    found = [np.zeros((0, job.record.options), np.uint8)]
    for said in job.describe(_crops(job.cutter, cell.poses[chosen])):
        found.append(_checked(said, job.record.options))
        bar.update(len(said))
    answers = np.concatenate(found)
    if len(answers) != len(chosen):
        raise IndexBuildError(f"{len(answers)} descriptions came back for {len(chosen)} tiles")
    silent = answers.max(axis=1) == 0
    rows = np.where(silent[rows], -1, rows).astype(np.int32)
    files = {part: known.files[part] for part in job.parts}
    for part in files:
        _share(known.path(job.old, part), known.path(job.place.root, part))
    for part, array in ((ANSWERS, answers), (ROWS, rows.reshape(-1))):
        files[part] = shards.write_part(job.place.root, known.cell, part, array)
    record = dataclasses.replace(known, files=files)
    job.place.keep(record)
    return record


def _outspoken(describe: Describe) -> Describe:
    """The same; it is told when a model says nothing of the first tiles."""
    asked, heard = 0, False

    def outspoken(crops: Iterable[Image]) -> Iterator[Float32Array]:
        nonlocal asked, heard
        for said in describe(crops):
            before, asked, heard = asked, asked + len(said), heard or bool(np.any(said))
            if before < MOST_SILENT <= asked and not heard:
                _LOG.warning("nothing usable was said of the first %d tiles; %s", asked, _TRY_IT)
            yield said

    return outspoken


def _is_heard(place: Workplace, record: ShardRecord) -> bool:
    rows = np.load(record.path(place.root, ROWS), allow_pickle=False)
    return bool((rows >= 0).any())


def _check_heard(heard: bool) -> None:
    if not heard:
        raise IndexBuildError(
            f"the model said nothing usable of any tile; the index is left as it was. {_TRY_IT}"
        )


def _crops(cutter: Cutter, poses: FloatArray) -> Iterator[Image]:
    for start in range(0, len(poses), BATCH):
        yield cutter.cut(poses[start : start + BATCH])[0]


def _checked(said: Float32Array, options: int) -> ByteArray:
    if said.ndim != 2 or said.shape[1] != options or not np.isfinite(said).all():
        raise IndexBuildError(
            f"a description has shape {said.shape}; {options} finite probabilities are expected"
        )
    return quantise(said)


def _share(old: Path, new: Path) -> None:
    """The same file at another place: a hard link where the disk can, else a copy."""
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
        durable.sync(new)
