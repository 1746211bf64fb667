# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A place without roads or networks: smooth random imagery, a camera that looks straight down."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from geoloc_ros.config import Config
from geoloc_ros.datatypes import CameraFrame, FloatArray, Image, Motion, View
from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.encoders.package import Calibration, ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import CameraError
from geoloc_ros.geo import se2
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.crops import crops
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.pipeline import GeoLocalizer

SPEC = ReferenceSpec(size_px=32, extent_m=40.0, offset_forward_m=0.0)
HALF_M = 110.0
STEP_NS = 100_000_000


class StraightDown:
    """A view builder whose frames already are overhead patches of the right size."""

    needs_height = False
    reduction = 1

    def build(self, rgb, height_m=None, attitude=None, reduction=1):
        if rgb.shape != (32, 32, 3):
            raise CameraError(f"frame is {rgb.shape}, the camera says (32, 32, 3)")
        return View(rgb, np.full((32, 32), rgb.any()))


@dataclass
class Place:
    ortho: OrthoImage
    package: ModelPackage
    encoder: FakeEncoder
    index: ShardedIndex

    def localizer(self, config: Config | None = None) -> GeoLocalizer:
        return GeoLocalizer(
            config or Config(), self.package, self.encoder, self.index, {"": StraightDown()}
        )

    def frame(self, stamp_ns: int, pose: FloatArray, rng: np.random.Generator) -> CameraFrame:
        image = crops(self.ortho, pose[None], SPEC)[0][0].astype(float)
        image += rng.normal(0.0, 12.0, image.shape)
        return seen(stamp_ns, np.clip(image, 0, 255).astype(np.uint8))


def seen(stamp_ns: int, rgb: Image) -> CameraFrame:
    return CameraFrame(stamp_ns, lambda: rgb)


def circle(count: int, radius_m: float = 80.0, step_m: float = 1.5) -> FloatArray:
    angle = np.arange(count) * step_m / radius_m
    xy = radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.column_stack([xy, se2.wrap_angle(angle + np.pi / 2)])


def motion(a: FloatArray, b: FloatArray, stamp_ns: int, rng: np.random.Generator) -> Motion:
    increment = se2.between(a, b) * (1.0 + rng.normal(0.0, 0.01))
    cov = np.diag([0.03, 0.02, 0.004]) ** 2
    return Motion(stamp_ns - STEP_NS, stamp_ns, increment, cov)


def make_place(root: Path) -> Place:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(300, 300, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 7.0)
    rgb = np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    plane = LocalFrame(LatLon(46.5, 6.6))
    ortho = OrthoImage(rgb, np.ones((300, 300), bool), plane, -HALF_M - 40, HALF_M + 40, 1.0)
    package = ModelPackage(
        root=root,
        name="fake",
        version="1",
        query=QuerySpec(view="ground_plane", height_px=32, width_px=32, extent_m=40.0),
        reference=SPEC,
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
    encoder = FakeEncoder(64)
    build_index(
        ortho,
        package,
        encoder,
        root / "index",
        SamplingPolicy(kind="grid", pitch_m=6.0, headings=16),
        progress=False,
    )
    return Place(ortho, package, encoder, ShardedIndex.open(root / "index", package))
