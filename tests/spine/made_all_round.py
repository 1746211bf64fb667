# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A place seen all round, without networks: the ground by azimuth and distance is the panorama.

The encoder describes a tile by the very strip that a vehicle in its middle, which looks to the
upper edge, would see; so a strip fits a tile only if it is turned the right way.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from made_ground import make_place

from geoloc_ros.config import Config
from geoloc_ros.datatypes import CameraFrame, FloatArray, Image, View
from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.encoders.package import Calibration, ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.imagery.crops import crops
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.pipeline import GeoLocalizer

TILE = ReferenceSpec(size_px=64, extent_m=60.0, offset_forward_m=0.0)
STRIP = QuerySpec(
    view="panorama", height_px=16, width_px=96, hfov_deg=360.0, vfov_deg=60.0, alignment="north"
)


def strips(tiles: Image) -> Image:
    """Tiles (N, S, S, 3) as strips (N, H, W, 3): column 0 looks down, the middle looks up."""
    height, width, side = STRIP.height_px, STRIP.width_px, tiles.shape[1]
    azimuth = (np.arange(width) - 0.5 * (width - 1)) * 2.0 * np.pi / width
    radius = (height - np.arange(height))[:, None] / height * 0.48 * side
    middle = 0.5 * (side - 1)
    x = (middle + radius * np.sin(azimuth)).astype(np.float32)
    y = (middle - radius * np.cos(azimuth)).astype(np.float32)
    return np.array([cv2.remap(tile, x, y, cv2.INTER_LINEAR) for tile in tiles])


class AllRoundEncoder(FakeEncoder):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(64)
        self.asked: list[int] = []

    def encode_query(self, views):
        self.asked.append(len(views))
        return super().encode_query(views)

    def encode_reference(self, crops):
        return self._encode(strips(crops))


class Ready:
    """A view builder whose frames already are strips."""

    needs_height = False
    reduction = 1

    def build(self, rgb, height_m=None, attitude=None, reduction=1):
        return View(rgb, np.full(rgb.shape[:2], True))


@dataclass
class AllRound:
    ortho: OrthoImage
    package: ModelPackage
    encoder: AllRoundEncoder
    index: ShardedIndex

    def localizer(self, config: Config) -> GeoLocalizer:
        return GeoLocalizer(config, self.package, self.encoder, self.index, {"": Ready()})

    def strip(self, pose: FloatArray, rng: np.random.Generator | None = None) -> Image:
        """What is seen from a pose (3,)."""
        image = strips(crops(self.ortho, pose[None], TILE)[0])[0].astype(float)
        if rng is not None:
            image += rng.normal(0.0, 12.0, image.shape)
        return np.asarray(np.clip(np.rint(image), 0, 255), dtype=np.uint8)

    def frame(self, stamp_ns: int, pose: FloatArray, rng: np.random.Generator) -> CameraFrame:
        return CameraFrame(stamp_ns, lambda: self.strip(pose, rng))


def make_all_round(root: Path, policy: SamplingPolicy) -> AllRound:
    ortho = make_place(root).ortho
    package = ModelPackage(
        root=root,
        name="all_round",
        version="1",
        query=STRIP,
        reference=TILE,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        descriptor_dim=64,
        files={},
        calibration=Calibration(
            temperature=0.08,
            background=0.0,
            background_sigma=0.2,
            matched=0.85,
            matched_sigma=0.08,
        ),
    )
    encoder = AllRoundEncoder()
    build_index(ortho, package, encoder, root / "north", policy, progress=False)
    return AllRound(ortho, package, encoder, ShardedIndex.open(root / "north", package))
