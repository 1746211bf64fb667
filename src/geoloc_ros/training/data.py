# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rendered towns on disk (shards), and what a batch of training is made of.

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
from geoloc_ros.training.layout import Raster
from geoloc_ros.training.nets import REFERENCE_SPECS
from geoloc_ros.training.raster import Ortho, cut, prepare

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
SHARD_SCHEMA = 2


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
class TownGround:
    """A town from above, as training cuts crops from it.

    Attributes:
        orthos: one per season.
        spec: of the crops.
    """

    orthos: tuple[Ortho, ...]
    spec: ReferenceSpec

    @property
    def seasons(self) -> int:
        """How many pictures of the same ground there are."""
        return len(self.orthos)

    def crops(self, poses: FloatArray, season: int = 0) -> Image:
        """Crops (N, S, S, 3) at poses (N, 3)."""
        return cut(self.orthos[season], poses, self.spec)


@dataclass(frozen=True)
class Batch:
    """What one step of training needs: one process's part of the pictures, all of the mask.

    Attributes:
        query: (n, H, W, 3), a part of the N queries.
        reference: (m, h, w, 3), the crops of these queries, then a part of the M - N others.
        ignore: (N, M) pairs too near to call.
        query_layout: (n, BINS, columns, classes) what stands where ahead of each query, if known.
        reference_layout: the same of the m references, at columns of their own.
    """

    query: Image
    reference: Image
    ignore: Mask
    query_layout: Float32Array | None = None
    reference_layout: Float32Array | None = None
