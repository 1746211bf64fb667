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
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoloc_ros.datatypes import Float32Array, FloatArray, Image
from geoloc_ros.encoders.base import ReferenceEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexBuildError, IndexError_
from geoloc_ros.imagery.windows import Imagery, cutter_of
from geoloc_ros.index.codes import DEFAULT_STORAGE
from geoloc_ros.index.manifest import ImageryRecord, Manifest, load_manifest, search_record
from geoloc_ros.index.policy import Road, SamplingPolicy, roads_sha256
from geoloc_ros.index.quadtree import cells
from geoloc_ros.index.records import ShardRecord, entry_bytes
from geoloc_ros.index.sampling import sample
from geoloc_ros.index.search import DEFAULT_SEARCH
from geoloc_ros.index.workplace import Workplace, check_out

_LOG = logging.getLogger(__name__)

BATCH = 64
MIN_VALID_SHARE = 0.6  # crops that show less imagery than this are not indexed


Cropper = Callable[[FloatArray], tuple[Image, FloatArray]]


@dataclass(frozen=True, slots=True)
class _Job:
    """What stays the same from cell to cell."""

    crop: Cropper
    encoder: ReferenceEncoder
    dim: int
    bar: Any

    def images(self, anchors: FloatArray) -> tuple[Image, npt.NDArray[np.bool_]]:
        images, valid_share = self.crop(anchors)
        return images, np.asarray(valid_share) >= MIN_VALID_SHARE


def build_index(
    ortho: Imagery,
    package: ModelPackage,
    encoder: ReferenceEncoder,
    out: Path,
    policy: SamplingPolicy,
    *,
    roads: Sequence[Road] | None = None,
    storage: str = DEFAULT_STORAGE,
    search: str = DEFAULT_SEARCH,
    progress: bool = True,
    workers: int = 1,
) -> Manifest:
    """Build an index directory, or replace one.

    Args:
        ortho: satellite imagery.
        package: the model; its hashes go into the manifest.
        encoder: encodes crops.
        out: the index directory; replaced only when the new one is complete.
        policy: which poses to index.
        roads: centrelines, needed by the policy `roads`.
        storage: how descriptors are stored, one of `codes.STORAGES`.
        search: how they are found, one of `search.SEARCHES`.
        progress: show a progress bar on stderr.
        workers: threads that cut crops ahead of the encoder.

    Returns:
        The manifest of the new index.

    Raises:
        IndexBuildError: nothing to index, disk full, `out` is something else, or another build
            is writing there. The index at `out`, if any, is as it was.
    """
    try:
        out = check_out(out)
    except OSError as error:
        raise IndexBuildError(f"cannot read {out}: {error}; choose another --out") from error
    anchors = _anchors(ortho, policy, roads)
    cutter = cutter_of(ortho, package.reference, fill_rgb(package))
    place = Workplace(out, _draft(ortho, package, policy, roads, storage, search), anchors)
    try:
        with place:
            place.need_space(len(anchors) * entry_bytes(storage, package.descriptor_dim))
            bar = tqdm(total=len(anchors), desc="index", unit="entry", disable=not progress)
            job = _Job(cutter.cut, encoder, package.descriptor_dim, bar)
            return place.finish(_shards(place, job, anchors, workers))
    except OSError as error:
        raise IndexBuildError(_stopped(error, place)) from error


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


def is_current(
    root: Path,
    ortho: Imagery,
    package: ModelPackage,
    policy: SamplingPolicy,
    roads: Sequence[Road] | None = None,
    storage: str = DEFAULT_STORAGE,
    search: str = DEFAULT_SEARCH,
) -> bool:
    """Whether there is an index of this imagery, for this model, sampled and stored like this."""
    try:
        found = load_manifest(root)
    except IndexError_:
        return False
    wanted = _draft(ortho, package, policy, roads, storage, search)
    return dataclasses.replace(found, shards=(), descriptions=None) == wanted


def _stopped(error: OSError, place: Workplace) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    again = "choose another --out"
    if os.access(place.root, os.W_OK):
        again = f"run the same command again: finished shards are kept in {place.root}"
    return (
        f"{'disk full' if full else 'cannot write'} while building {place.out}: {error}; "
        f"{'free some space and ' if full else ''}{again}. The old index, if any, is untouched"
    )


def fill_rgb(package: ModelPackage) -> tuple[float, float, float]:
    """Colour of missing ground in crops for a model, 0..255."""
    red, green, blue = package.mean
    return 255.0 * red, 255.0 * green, 255.0 * blue


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


def _shards(place: Workplace, job: _Job, anchors: FloatArray, workers: int) -> list[ShardRecord]:
    """All shards in the order of their cells; empty cells are left out."""
    records: list[ShardRecord | None] = []
    # one thread writes the last shard while the encoder works on the next
    with job.bar, ThreadPoolExecutor(max(1, workers)) as cutters, ThreadPoolExecutor(1) as writer:
        pending: Future[ShardRecord | None] | None = None
        for cell, members in cells(anchors):
            known = place.finished(cell)
            if known is not None:
                job.bar.update(len(members))
                records.append(known if known.count else None)
                continue
            poses, descriptors = _describe(job, cutters, anchors[members])
            if pending is not None:
                records.append(pending.result())
            pending = writer.submit(place.store, cell, poses, descriptors)
        if pending is not None:
            records.append(pending.result())
    return sorted((r for r in records if r is not None), key=lambda record: record.cell)


def _describe(
    job: _Job, cutters: ThreadPoolExecutor, anchors: FloatArray
) -> tuple[FloatArray, Float32Array]:
    """Descriptors of one cell's anchors, those without enough imagery left out."""
    batches = [anchors[i : i + BATCH] for i in range(0, len(anchors), BATCH)]
    ahead: deque[Future[tuple[Image, npt.NDArray[np.bool_]]]] = deque()
    waiting = iter(batches)
    poses, descriptors = [np.zeros((0, 3))], [np.zeros((0, job.dim), np.float32)]
    for batch in batches:
        while len(ahead) < 3 and (following := next(waiting, None)) is not None:
            ahead.append(cutters.submit(job.images, following))
        images, shown = ahead.popleft().result()
        if shown.any():
            found = job.encoder.encode_reference(images[shown])
            if found.shape[1] != job.dim:
                raise IndexBuildError(
                    f"the encoder makes descriptors of length {found.shape[1]}, its model card "
                    f"says {job.dim}; export the model again"
                )
            poses.append(batch[shown])
            descriptors.append(found)
        job.bar.update(len(batch))
    return np.concatenate(poses), np.concatenate(descriptors)
