# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rendered towns on disk (shards) and the perspective batches made from them.

A shard is a directory per town: `meta.json`, `ortho_{i}.npy` (the town from above, several
seasons), `perspective.npy` + `perspective_poses.npy`, `oblique.npy` + `oblique_poses.npy`,
`anchors.npy` (poses sampled along the roads as an index would), `layout.npy` (what stands where).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.se2 import compose
from geoloc_ros.training import augment
from geoloc_ros.training.layout import QUERY_COLUMNS, REFERENCE_COLUMNS, LayoutLesson, Raster
from geoloc_ros.training.nets import MEAN, QUERY_SPECS, REFERENCE_SPECS
from geoloc_ros.training.raster import Ortho, cut, prepare
from geoloc_ros.training.sampling import offset_poses, too_near

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
SHARD_SCHEMA = 2
# How far a positive crop may lie from the true pose: forward m, left m, yaw rad. An index scatters
# anchors every 1.5 m along a road, +-4 m across it and +-12 degrees; the nearest then lies within
# 2.2 m, 2.0 m and 9 degrees in nine cases of ten (measured on validation town 2000).
NARROW = (1.0, 1.0, float(np.radians(5.0)))
WIDE = (2.2, 2.0, float(np.radians(9.0)))


@dataclass(frozen=True)
class Shard:
    """One rendered town.

    Attributes:
        seed: the town's seed.
        style: its regional style.
        orthos: the town from above, one per season.
        images: (N, H, W, 3) camera views or overhead patches.
        masks: (N, H, W) seen pixels of overhead patches; empty for camera views.
        poses: (N, 3) anchor of each image.
        anchors: (M, 3) index anchors along the roads.
        layout: (S, S) what stands where, see `layout_raster`.
    """

    seed: int
    style: str
    orthos: tuple[Ortho, ...]
    images: Image
    masks: Mask
    poses: FloatArray
    anchors: FloatArray
    layout: Raster


def write_shard(
    folder: Path,
    meta: dict[str, object],
    orthos: Sequence[Ortho],
    arrays: dict[str, npt.NDArray[np.generic]],
) -> None:
    """Write one town; the directory appears only when it is complete."""
    building = folder.with_name(folder.name + ".part")
    building.mkdir(parents=True, exist_ok=True)
    places = [{"left_m": o.left_m, "top_m": o.top_m, "gsd_m": o.gsd_m} for o in orthos]
    for i, ortho in enumerate(orthos):
        np.save(building / f"ortho_{i}.npy", ortho.image)
    for name, array in arrays.items():
        np.save(building / f"{name}.npy", array)
    content = {"schema": SHARD_SCHEMA, **meta, "orthos": places}
    (building / "meta.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    building.rename(folder)


def read_shard(folder: Path, view: str) -> Shard:
    """Read one town with the images of one view (`perspective` or `oblique`).

    Raises:
        TrainingError: the shard is missing, incomplete or of another schema.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.get("schema") != SHARD_SCHEMA:
            raise TrainingError(f"{folder} is not of shard schema {SHARD_SCHEMA}; delete it")
        spec = REFERENCE_SPECS["perspective" if view == "perspective" else "ground_plane"]
        orthos = tuple(
            prepare(Ortho(np.load(folder / f"ortho_{i}.npy"), **place), spec)
            for i, place in enumerate(meta["orthos"])
        )
        images, poses = np.load(folder / f"{view}.npy"), np.load(folder / f"{view}_poses.npy")
        masks = np.load(folder / "oblique_masks.npy") if view == "oblique" else np.zeros(0, bool)
        anchors, layout = np.load(folder / "anchors.npy"), np.load(folder / "layout.npy")
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"shard {folder} is unusable ({error}); delete it and render anew"
        ) from error
    return Shard(meta["seed"], meta["style"], orthos, images, masks, poses, anchors, layout)


@dataclass(frozen=True)
class Batch:
    """What one step of training needs.

    Attributes:
        query: (N, H, W, 3).
        reference: (M, h, w, 3), M >= N, the first N belong to the queries.
        ignore: (N, M) pairs too near to call.
        query_layout: (N, BINS, columns, classes) what stands where ahead of each query, if known.
        reference_layout: the same of the M references, at columns of their own.
    """

    query: Image
    reference: Image
    ignore: Mask
    query_layout: Float32Array | None = None
    reference_layout: Float32Array | None = None


class PerspectiveData:
    """Camera views of many towns with the orthophotos they were taken over.

    Attributes:
        shards: the towns.
        poses: (N, 3) of all samples.
        towns: (N,) shard number of each sample.
    """

    def __init__(self, shards: Sequence[Shard], spec: ReferenceSpec) -> None:
        """Join shards.

        Raises:
            TrainingError: there is nothing to train on.
        """
        if not shards:
            raise TrainingError("no shards; render towns first (--towns must be at least 1)")
        self.shards, self.spec = list(shards), spec
        self.poses = np.concatenate([s.poses for s in shards])
        counts = [len(s.poses) for s in shards]
        self.towns = np.repeat(np.arange(len(shards)), counts).astype(np.int64)
        self._first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._layout = LayoutLesson([s.layout for s in shards], QUERY_SPECS["perspective"], spec)

    def __len__(self) -> int:
        """How many samples."""
        return len(self.poses)

    def queries(self, rows: IntArray) -> Image:
        """Camera views (N, H, W, 3) of samples."""
        town = self.towns[rows]
        local = rows - self._first[town]
        return np.stack([self.shards[t].images[i] for t, i in zip(town, local, strict=True)])

    def references(
        self, poses: FloatArray, towns: IntArray, rng: np.random.Generator | None, flip: bool
    ) -> Image:
        """Crops at poses; a random season each if a generator is given, else the first."""
        size = self.spec.size_px
        out = np.empty((len(poses), size, size, 3), np.uint8)
        for i, (pose, town) in enumerate(zip(poses, towns, strict=True)):
            orthos = self.shards[town].orthos
            ortho = orthos[int(rng.integers(len(orthos)))] if rng is not None else orthos[0]
            mirrored = np.array([flip])
            out[i] = cut(ortho, pose[None], self.spec, mirrored)[0]
        return out

    def batch(
        self, rows: IntArray, rng: np.random.Generator, extra: int, wide: bool = False
    ) -> Batch:
        """Make a training batch: jittered positives, augmented pixels, offset negatives.

        Args:
            rows: sample numbers (N,).
            rng: source of randomness.
            extra: crops at wrong poses close to the first `extra` samples.
            wide: let positives lie as far off as the nearest index anchor does (`WIDE`), and wrong
                poses beyond; else both lie closer (`NARROW`).
        """
        flip = bool(rng.random() < 0.5)
        spec, fill = QUERY_SPECS["perspective"], augment.fill_colour(MEAN)
        query, turn = augment.look_around(self.queries(rows), spec, fill, rng)
        true, towns = self.poses[rows], self.towns[rows]
        true[:, 2] += turn
        reach = WIDE if wide else NARROW
        near = compose(true, rng.uniform(-1.0, 1.0, (len(rows), 3)) * reach)
        wrong = offset_poses(true[:extra], rng, 6.0 if wide else 4.0)
        all_poses, all_towns = (
            np.concatenate([near, wrong]),
            np.concatenate([towns, towns[:extra]]),
        )
        crops = self.references(all_poses, all_towns, rng, flip)
        if flip:
            query = np.ascontiguousarray(query[:, :, ::-1])
        ignore = too_near(true, near, towns, towns)
        np.fill_diagonal(ignore, False)
        loose = too_near(true, wrong, towns, towns[:extra], 3.5, 14.0)
        return Batch(
            np.stack([augment.mild(image, rng) for image in query]),
            np.stack([augment.mild(image, rng) for image in crops]),
            np.concatenate([ignore, loose], axis=1),
            self._layout(true, towns, flip, QUERY_COLUMNS),
            self._layout(all_poses, all_towns, flip, REFERENCE_COLUMNS),
        )
