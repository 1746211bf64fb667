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
import numpy.typing as npt
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
    Descriptions,
    quantise,
    representatives,
)
from geoloc_ros.index.manifest import Manifest, check_model
from geoloc_ros.index.records import ShardRecord
from geoloc_ros.index.updates import changing
from geoloc_ros.index.workplace import Workplace, check_out

_LOG = logging.getLogger(__name__)
_TRY_IT = "'geoloc vlm describe CROP --view satellite' shows what the model answers"

IntArray = npt.NDArray[np.int64]

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
    """A cell of the old index.

    Attributes:
        record: of its files.
        poses: (N, 3) of its entries.
        said: by the same model to the same questions.
        asked: (A,) numbers of the entries of which that is nothing.
        tiles: (T,) numbers of those of them that speak for all.
        spoken: (A,) which of these tiles speaks for each.
    """

    record: ShardRecord
    poses: FloatArray
    said: Descriptions
    asked: IntArray
    tiles: IntArray
    spoken: IntArray


class _Listener:
    """A describer whose silence is noticed."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self.asked, self.heard = 0, False

    def __call__(self, crops: Iterable[Image]) -> Iterator[Float32Array]:
        """The same; it is told when a model says nothing of the first tiles."""
        for said in self._describe(crops):
            before, self.asked = self.asked, self.asked + len(said)
            self.heard = self.heard or bool(np.any(said))
            if before < MOST_SILENT <= self.asked and not self.heard:
                _LOG.warning(
                    "nothing usable was said of the first %d tiles; %s", self.asked, _TRY_IT
                )
            yield said


def describe_index(
    root: Path,
    ortho: Imagery,
    package: ModelPackage,
    record: DescriptionRecord,
    describe: Describe,
    progress: bool = True,
) -> Manifest:
    """Let a vision-language model describe an index's tiles; other descriptions are replaced.

    Asked is about the entries of which the same model has said nothing yet, such as those that
    `updates.add_entries` added; what it said of others is kept.

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
        IndexBuildError: disk full, another command is writing or changing the index, or nothing
            was said of any tile.
    """
    root = check_out(root)
    with changing(root) as old:
        _check(old, ortho, package, root)
        cutter = cutter_of(ortho, package.reference, fill_rgb(package))
        try:
            return _described(root, old, cutter, record, _Listener(describe), progress)
        except OSError as error:
            raise IndexBuildError(
                f"cannot describe {root}: {error}; mend that and run the same command again: "
                "finished cells are kept. The index is as it was"
            ) from error


def _described(
    root: Path,
    old: Manifest,
    cutter: Cutter,
    record: DescriptionRecord,
    listener: _Listener,
    progress: bool,
) -> Manifest:
    """The manifest of the index that has taken the place of the old one."""
    bare = dataclasses.replace(old, shards=(), descriptions=record)
    parts = dataclasses.replace(old, descriptions=None).parts
    cells = _cells(root, old, record)
    with Workplace(root, bare, np.concatenate([cell.poses for cell in cells])) as place:
        place.need_space(sum(len(cell.asked) for cell in cells) * (record.options + 4))
        records = _shards(_Job(root, place, cutter, listener, record, parts), cells, progress)
        _check_heard(any(_is_heard(place, record) for record in records))
        if listener.asked and not listener.heard:
            _LOG.warning(
                "nothing usable was said of the %d tiles asked about; what was said of others is "
                "kept. %s", listener.asked, _TRY_IT,
            )  # fmt: skip
        return place.finish(records)


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
    alike = wanted.is_alike(manifest.descriptions)
    cells = []
    for record in manifest.shards:
        shard = shards.open_shard(root, record, manifest)
        said = shard.said
        if said is None or not alike:
            nothing = np.zeros((0, wanted.options), np.uint8)
            said = Descriptions(nothing, np.full(record.count, -1, np.int32))
        asked = np.flatnonzero(said.rows < 0)
        speaker = representatives(shard.poses[asked], wanted.within_m, wanted.within_deg)
        chosen, spoken = np.unique(speaker, return_inverse=True)
        cells.append(_Cell(record, shard.poses, said, asked, asked[chosen], spoken.reshape(-1)))
    return cells


def _shards(job: _Job, cells: list[_Cell], progress: bool) -> list[ShardRecord]:
    """Records of all cells, each described or found described."""
    records = []
    total = sum(len(cell.tiles) for cell in cells)
    with tqdm(total=total, desc="describe", unit="tile", disable=not progress) as bar:
        for cell in cells:
            done = _finished(job, cell)
            if done is not None:
                bar.update(len(cell.tiles))
            elif not len(cell.asked):
                done = _kept(job, cell)
            else:
                done = _one(job, cell, bar)
            records.append(done)
    return records


def _finished(job: _Job, cell: _Cell) -> ShardRecord | None:
    """The record of a cell that an earlier run finished; silence is asked about again."""
    done = job.place.finished(cell.record.cell)
    if done is None or any(done.files[part] != cell.record.files[part] for part in job.parts):
        return None  # or the cell has been changed since
    return done if _is_heard(job.place, done) else None


def _kept(job: _Job, cell: _Cell) -> ShardRecord:
    """The record of a cell that needs no new descriptions, its files shared."""
    for part in cell.record.files:
        _share(cell.record.path(job.old, part), cell.record.path(job.place.root, part))
    job.place.keep(cell.record)
    return cell.record


def _one(job: _Job, cell: _Cell, bar: tqdm) -> ShardRecord:
    """Describe what is not yet described of one cell and write its files."""
    known = cell.record
    found = [np.zeros((0, job.record.options), np.uint8)]
    for said in job.describe(_crops(job.cutter, cell.poses[cell.tiles])):
        found.append(_checked(said, job.record.options))
        bar.update(len(said))
    answers = np.concatenate(found)
    if len(answers) != len(cell.tiles):
        raise IndexBuildError(f"{len(answers)} descriptions came back for {len(cell.tiles)} tiles")
    files = {part: known.files[part] for part in job.parts}
    for part in files:
        _share(known.path(job.old, part), known.path(job.place.root, part))
    both = cell.said.with_new(cell.asked, answers, cell.spoken)
    for part, array in ((ANSWERS, both.answers), (ROWS, both.rows)):
        files[part] = shards.write_part(job.place.root, known.cell, part, array)
    record = dataclasses.replace(known, files=files)
    job.place.keep(record)
    return record


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
