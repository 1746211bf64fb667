# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of an area whose places are known, and what an engine costs when it describes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.config import ScoreConfig
from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray, Image
from geoloc_ros.encoders.backends.base import Network
from geoloc_ros.encoders.backends.parity import drifts
from geoloc_ros.encoders.backends.verdict import Verdict
from geoloc_ros.encoders.onnx_backend import QUERY
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import IndexMismatchError, ModelError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.imagery.windows import Imagery, cutter_of
from geoloc_ros.index.build import imagery_record
from geoloc_ros.index.cell_line import fill_rgb
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex

#: pictures (n, H, W, 3) -> unit descriptors (n, D)
Describe = Callable[[Image], Float32Array]

_LEAST_GROUND = 0.6  # of a tile, as an index asks
_BATCH = 32
_FIRST = 10


@dataclass(frozen=True, slots=True)
class AreaPictures:
    """Pictures as a network takes them.

    Attributes:
        kind: `tiles` of the imagery, or `views` of a recording.
        images: (N, H, W, 3) uint8 RGB.
        anchors: (N, 3) x_m, y_m, yaw_rad on the index's plane; NaN where nobody knows.
    """

    kind: str
    images: Image
    anchors: FloatArray

    def __len__(self) -> int:
        """How many."""
        return len(self.images)

    def part(self, rows: slice) -> AreaPictures:
        """Some of them."""
        return AreaPictures(self.kind, self.images[rows], self.anchors[rows])


def area_tiles(
    index: ShardedIndex,
    imagery: Imagery,
    network: Network,
    count: int,
    seed: int = 0,
) -> AreaPictures:
    """Tiles at poses between those of an index, in an order that says nothing.

    Args:
        index: of the area.
        imagery: it was built from.
        network: that will see them.
        count: how many at most.
        seed: of where they are.

    Raises:
        IndexMismatchError: other imagery than the index's.
        ModelError: the network does not look at tiles.
    """
    if imagery_record(imagery).sha256 != index.manifest.imagery.sha256:
        raise IndexMismatchError(
            f"the index was built from other imagery ({index.manifest.imagery.source}); name that"
        )
    spec = _tile_spec(network)
    rng = np.random.default_rng(seed)
    _, entries = index.entries()
    chosen = rng.permutation(len(entries))[:count]
    anchors = entries[chosen] + rng.normal(size=(len(chosen), 3)) * _apart(index.manifest.policy)
    anchors[:, 2] = wrap_angle(anchors[:, 2])
    cutter = cutter_of(imagery, spec, fill_rgb(network.package))
    images = np.empty((len(anchors), spec.size_px, spec.size_px, 3), dtype=np.uint8)
    shown = np.zeros(len(anchors), dtype=np.bool_)
    for leg in cutter.legs(anchors):
        ready = cutter.prepare(anchors[leg])
        images[leg], ground = ready.cut(anchors[leg])
        shown[leg] = ground >= _LEAST_GROUND
    return AreaPictures("tiles", images[shown], anchors[shown])


def _tile_spec(network: Network) -> ReferenceSpec:
    """How a tile is cut for a network: as a crop, or as a camera that looks straight down sees."""
    view, crop = network.package.query, network.package.reference
    if network.side != QUERY:
        return crop
    if view.view != "ground_plane" or view.height_px != view.width_px:
        raise ModelError(
            f"{network.name} of model {network.package.name} looks at {view.view} views, not at "
            "tiles; name a recording of the area with --drive"
        )
    return ReferenceSpec(
        size_px=view.height_px, extent_m=view.extent_m, offset_forward_m=crop.offset_forward_m
    )


def _apart(policy: SamplingPolicy) -> npt.NDArray[np.float64]:
    """How far a vehicle is from the nearest entry, one sigma each, (3,) m, m, rad."""
    away_m, turn_rad = policy.miss_sigma
    return np.array([away_m, away_m, 0.0 if policy.north_up else turn_rad])


def measure(
    index: ShardedIndex,
    pictures: AreaPictures,
    exact: Describe,
    engine: Describe,
    score: ScoreConfig,
) -> Verdict:
    """What an engine costs: how far its descriptors drift, and how many places it no longer finds.

    Args:
        index: of the area, described in fp32.
        pictures: none of which it was calibrated on.
        exact: the network in fp32.
        engine: the network as the engine runs it.
        score: what counts as found.

    Raises:
        ModelError: there is no picture, or one of the two fails.
    """
    if not len(pictures):
        raise ModelError("there are no pictures of the area to measure on")
    wanted, found = _described(exact, pictures.images), _described(engine, pictures.images)
    drift = drifts(found, wanted)
    ranks = np.array(
        [
            _ranks(index, pair, anchor, score)
            for pair, anchor in zip(zip(wanted, found, strict=True), pictures.anchors, strict=True)
        ]
    )
    first, ten = (ranks < 1).mean(axis=0).tolist(), (ranks < _FIRST).mean(axis=0).tolist()
    return Verdict(
        pictures=len(pictures),
        kind=pictures.kind,
        index_sha256=index.manifest.sha256,
        drift_mean=float(drift.mean()),
        drift_p99=float(np.percentile(drift, 99)),
        drift_max=float(drift.max()),
        recall_1=(first[0], first[1]),
        recall_10=(ten[0], ten[1]),
    )


def _described(describe: Describe, images: Image) -> Float32Array:
    firsts = range(0, len(images), _BATCH)
    return np.concatenate([describe(images[first : first + _BATCH]) for first in firsts])


def _ranks(
    index: ShardedIndex,
    descriptors: tuple[Float32Array, Float32Array],
    anchor: FloatArray,
    score: ScoreConfig,
) -> list[int]:
    """Rank of the picture's place among what each descriptor finds, 0 is first.

    Where nobody knows the place, it is the one that fp32 finds first.
    """
    found = [index.search(descriptor, _FIRST) for descriptor in descriptors]
    place = anchor if np.isfinite(anchor).all() else found[0].poses[0]
    return [_rank(candidates, place, score) for candidates in found]


def _rank(found: Candidates, place: FloatArray, score: ScoreConfig) -> int:
    away = np.hypot(*(found.poses[:, :2] - place[:2]).T)
    turn = np.abs(wrap_angle(found.poses[:, 2] - place[2]))
    hit = (away <= score.recall_radius_m) & (turn <= math.radians(score.recall_yaw_deg))
    return int(np.argmax(hit)) if hit.any() else _FIRST
