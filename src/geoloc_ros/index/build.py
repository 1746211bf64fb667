# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Building an index: anchors -> crops -> descriptors -> shards -> one rename.

Everything is written to `<out>.partial` first. Each finished cell leaves a record there, so that
an interrupted build continues where it stopped if, and only if, it is asked for the very same
index; the result has the same bytes either way.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.encoders.base import ReferenceEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexBuildError, IndexError_
from geoloc_ros.imagery.windows import Imagery, reading_order
from geoloc_ros.index.cell_line import CellJob, CellWork
from geoloc_ros.index.codes import default_storage
from geoloc_ros.index.engines import Engine, LocalEngine
from geoloc_ros.index.manifest import ImageryRecord, Manifest, load_manifest, search_record
from geoloc_ros.index.object_place import ObjectPlace
from geoloc_ros.index.policy import Road, SamplingPolicy, roads_sha256
from geoloc_ros.index.quadtree import Cell, cells
from geoloc_ros.index.records import ShardRecord, entry_bytes
from geoloc_ros.index.sampling import sample
from geoloc_ros.index.search import DEFAULT_SEARCH
from geoloc_ros.index.shelf import is_url
from geoloc_ros.index.workplace import Workplace, check_out

_LOG = logging.getLogger(__name__)


_Place = Workplace | ObjectPlace


def build_index(
    ortho: Imagery,
    package: ModelPackage,
    encoder: ReferenceEncoder,
    out: Path | str,
    policy: SamplingPolicy,
    *,
    roads: Sequence[Road] | None = None,
    storage: str | None = None,
    search: str = DEFAULT_SEARCH,
    progress: bool = True,
    workers: int = 1,
    engine: Engine | None = None,
) -> Manifest:
    """Build an index directory, or replace one.

    Args:
        ortho: satellite imagery.
        package: the model; its hashes go into the manifest.
        encoder: encodes crops, for several threads at once.
        out: the index directory, replaced only when the new one is complete; or a URL of object
            storage, e.g. `s3://bucket/town.index`, where no index is.
        policy: which poses to index.
        roads: centrelines, needed by the policy `roads`.
        storage: how descriptors are stored, one of `codes.STORAGES`; None: what
            `codes.default_storage` says.
        search: how they are found, one of `search.SEARCHES`.
        progress: show a progress bar on stderr.
        workers: threads that encode; 0: all cores. On a cluster, of each worker.
        engine: where cells are built; None: in this process. The index is the same.

    Returns:
        The manifest of the new index.

    Raises:
        IndexBuildError: nothing to index, disk full, `out` is something else, or another build
            is writing there. The index at `out`, if any, is as it was.
    """
    _check_north_up(package, policy)
    out, storage = _checked(out), storage or default_storage(package.descriptor_dim)
    anchors = _anchors(ortho, policy, roads)
    place = _place(out, _draft(ortho, package, policy, roads, storage, search), anchors)
    engine = engine or LocalEngine()
    job = CellJob(
        ground=ortho, package=package, encoder=encoder, shelf=place.shelf(engine.remote),
        storage=storage, search=search, threads=workers,
    )  # fmt: skip
    try:
        with place:
            return place.finish(_shards(place, engine, job, anchors, progress))
    except OSError as error:
        raise IndexBuildError(_stopped(error, place)) from error


def _place(out: Path | str, draft: Manifest, anchors: FloatArray) -> _Place:
    """Where an index is built, by where it shall be.

    Raises:
        IndexBuildError: see `check_out` and `open_storage`.
    """
    if is_url(str(out)):
        return ObjectPlace(str(out), draft, anchors)
    return Workplace(Path(out), draft, anchors)


def _checked(out: Path | str) -> Path | str:
    if is_url(str(out)):
        return out
    try:
        return check_out(Path(out))
    except OSError as error:
        raise IndexBuildError(f"cannot read {out}: {error}; choose another --out") from error


def _anchors(ortho: Imagery, policy: SamplingPolicy, roads: Sequence[Road] | None) -> FloatArray:
    """Poses (N, 3) to index.

    Raises:
        IndexBuildError: there is none.
    """
    bounds = west, south, east, north = ortho.bounds_m
    anchors = sample(policy, roads, bounds, ortho.shown)
    if not len(anchors):
        raise IndexBuildError(
            f"nothing to index: no {policy.kind} anchor lies on the imagery (x {west:.0f}.."
            f"{east:.0f} m, y {south:.0f}..{north:.0f} m around "
            f"{ortho.frame.origin.lat_deg:.5f} N {ortho.frame.origin.lon_deg:.5f} E); "
            "check that imagery and road layer show the same place"
        )
    return anchors


def _check_north_up(package: ModelPackage, policy: SamplingPolicy) -> None:
    """Refuse tiles that a view cannot be turned to.

    Raises:
        IndexBuildError: north is up, and the view does not look all round.
    """
    if policy.north_up and package.query.view != "panorama":
        raise IndexBuildError(
            f"crops with north up need a view that can be turned all round, a panorama; model "
            f"{package.name} has a {package.query.view} view: leave out --north-up"
        )


def is_current(
    root: Path,
    ortho: Imagery,
    package: ModelPackage,
    policy: SamplingPolicy,
    roads: Sequence[Road] | None = None,
    storage: str | None = None,
    search: str = DEFAULT_SEARCH,
) -> bool:
    """Whether there is an index of this imagery, for this model, sampled and stored like this."""
    try:
        found = load_manifest(root)
    except IndexError_:
        return False
    storage = storage or default_storage(package.descriptor_dim)
    wanted = _draft(ortho, package, policy, roads, storage, search)
    return dataclasses.replace(found, shards=(), descriptions=None) == wanted


def _stopped(error: OSError, place: _Place) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    again = "choose another --out"
    if place.kept_in:
        again = f"run the same command again: finished shards are kept in {place.kept_in}"
    return (
        f"{'disk full' if full else 'cannot write'} while building {place.out}: {error}; "
        f"{'free some space and ' if full else ''}{again}. The old index, if any, is untouched"
    )


def imagery_record(ortho: Imagery) -> ImageryRecord:
    """What a manifest says about imagery."""
    known = {key: str(ortho.provenance.get(key) or "") for key in ("licence", "attribution")}
    source = Path(str(ortho.provenance.get("source") or "")).name
    return ImageryRecord(source=source, sha256=ortho.pixels_sha256, gsd_m=ortho.gsd_m, **known)


def _draft(
    ortho: Imagery,
    package: ModelPackage,
    policy: SamplingPolicy,
    roads: Sequence[Road] | None,
    storage: str,
    search: str,
) -> Manifest:
    return Manifest(
        encoder_sha256=package.encoder_sha256,
        preprocessing_sha256=package.preprocessing_sha256,
        model=f"{package.name} {package.version}",
        dim=package.descriptor_dim,
        metric=package.metric,
        storage=storage,
        query=package.query,
        reference=package.reference,
        policy=policy,
        roads_sha256=roads_sha256(roads or ()) if policy.kind == "roads" else "",
        origin=ortho.frame.origin,
        search=search_record(search),
        imagery=imagery_record(ortho),
        shards=(),
    )


def _shards(
    place: _Place, engine: Engine, job: CellJob, anchors: FloatArray, progress: bool
) -> list[ShardRecord]:
    """All shards in the order of their cells; empty cells are left out."""
    place.need_space(len(anchors) * entry_bytes(job.storage, job.package.descriptor_dim))
    records: list[ShardRecord] = []
    lock = Lock()

    def tick(count: int) -> None:
        with lock:
            bar.update(count)

    def todo() -> Iterator[CellWork]:
        for cell, members in _in_order(job.ground, anchors):
            known = place.finished(cell)
            if known is None:
                yield CellWork(cell, anchors[members])
                continue
            tick(len(members))
            if known.count:
                records.append(known)

    def finished(cell: CellWork, record: ShardRecord | None) -> None:
        if record is None:
            place.keep_empty(cell.place)
        else:
            place.keep(record)
            records.append(record)

    with tqdm(total=len(anchors), desc="index", unit="entry", disable=not progress) as bar:
        engine.run(job, todo(), finished, tick)
    return sorted(records, key=lambda record: record.cell)


def _in_order(
    ground: Imagery, anchors: FloatArray
) -> Iterator[tuple[Cell, npt.NDArray[np.int64]]]:
    """Cells as the quadtree gives them, in the order in which their imagery is read once."""
    found = list(cells(anchors))
    firsts = np.array([anchors[members[0]] for _, members in found])
    for number in reading_order(ground, firsts):
        yield found[number]
