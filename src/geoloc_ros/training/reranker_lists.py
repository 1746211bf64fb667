# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists to order: camera views of made towns with the places the encoder retrieves for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.index.places import one_per_place
from geoloc_ros.training.augment import fill_colour
from geoloc_ros.training.data import Shard, read_shard
from geoloc_ros.training.evaluate import hits
from geoloc_ros.training.nets import MEAN
from geoloc_ros.training.raster import cut

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: what counts as found, as in the model cards of the encoders
RADIUS_M, YAW_DEG = 8.0, 22.5
#: entries looked at for the first places; more than a vehicle looks at, so that lists are full
SEARCHED = 200
BATCH = 64


@dataclass(frozen=True)
class Lists:
    """Queries of one or more towns, each with the places retrieved for it.

    Attributes:
        town: (N,) seed of the town.
        poses: (N, 3) where each view was taken.
        rows: (N,) number of the view in its town.
        query: (N, D) its descriptor.
        places: (N, K, 3) anchors of the places, best first.
        entries: (N, K) their numbers among the town's anchors.
        similarity: (N, K).
        descriptors: (N, K, D).
        correct: (N, K) whether the view was taken there.
    """

    town: IntArray
    poses: FloatArray
    rows: IntArray
    query: Float32Array
    places: FloatArray
    entries: IntArray
    similarity: Float32Array
    descriptors: Float32Array
    correct: BoolArray

    def __len__(self) -> int:
        """How many lists."""
        return len(self.town)

    def pick(self, chosen: IntArray | BoolArray) -> Lists:
        """Some of the lists."""
        return Lists(*(getattr(self, item.name)[chosen] for item in fields(self)))


def joined(parts: Sequence[Lists]) -> Lists:
    """Lists of several towns as one."""
    names = [item.name for item in fields(Lists)]
    return Lists(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def make_lists(shard: Shard, package: ModelPackage, top: int, threads: int = 1) -> Lists:
    """Retrieve the first places for every view of a town, among the town's anchors.

    Args:
        shard: a town with perspective views.
        package: the encoder.
        top: places per view, one entry each (`one_per_place`).
        threads: of the encoder.
    """
    encoder = OnnxEncoder(package, threads)
    starts = range(0, len(shard.images), BATCH)
    query = np.concatenate([encoder.encode_query(shard.images[i : i + BATCH]) for i in starts])
    reference = _described(encoder, shard, package)
    similarity = query @ reference.T
    entries = np.full((len(query), top), -1, dtype=np.int64)
    for i, row in enumerate(similarity):
        first = np.argsort(-row, kind="stable")[:SEARCHED]
        found = Candidates(first, shard.anchors[first], row[first])
        chosen = one_per_place(found, top).entry_ids
        entries[i, : len(chosen)] = chosen
    full = (entries >= 0).all(axis=1)
    if not full.any():
        raise TrainingError(
            f"town {shard.seed} has no view with {top} places; it is too small for the reranker"
        )
    rows = np.flatnonzero(full)
    entries, places = entries[rows], shard.anchors[entries[rows]]
    near = hits(shard.poses[rows], shard.anchors, RADIUS_M, YAW_DEG)
    return Lists(
        town=np.full(len(rows), shard.seed, dtype=np.int64),
        poses=shard.poses[rows],
        rows=rows,
        query=query[rows],
        places=places,
        entries=entries,
        similarity=np.take_along_axis(similarity[rows], entries, axis=1),
        descriptors=reference[entries],
        correct=np.take_along_axis(near, entries, axis=1),
    )


def _described(encoder: OnnxEncoder, shard: Shard, package: ModelPackage) -> Float32Array:
    out = []
    starts = range(0, len(shard.anchors), BATCH)
    for i in tqdm(starts, desc=f"town {shard.seed}", unit="batch", leave=False):
        crops = cut(
            shard.orthos[0], shard.anchors[i : i + BATCH], package.reference,
            fill=fill_colour(MEAN),
        )  # fmt: skip
        out.append(encoder.encode_reference(crops))
    return np.concatenate(out)


def town_lists(
    folder: Path, package: ModelPackage, top: int, cache: Path, threads: int = 1
) -> Lists:
    """Lists of a rendered town, kept on disk between runs.

    Args:
        folder: the town's shard.
        package: the encoder.
        top: places per view.
        cache: folder where lists are kept.
        threads: of the encoder.

    Raises:
        TrainingError: the shard is unusable, or its views have fewer places.
    """
    kept = cache / f"{folder.name}_{package.encoder_sha256[:12]}_{top}.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as content:
            return Lists(*(content[item.name] for item in fields(Lists)))
    lists = make_lists(read_shard(folder, "perspective"), package, top, threads)
    cache.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part.npz")
    np.savez(part, **{item.name: getattr(lists, item.name) for item in fields(Lists)})
    part.replace(kept)
    return lists
