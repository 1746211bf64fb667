# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A small made place: random blobs as imagery, two crossing roads, a fake encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index.build import build_index
from geoloc_ros.index.manifest import ImageryRecord
from geoloc_ros.index.place_index import ShardedIndex
from geoloc_ros.index.policy import Road, SamplingPolicy

GSD_M = 1.0
HALF_M = 560.0
IMAGERY = ImageryRecord(source="made", sha256="0" * 64, gsd_m=GSD_M, licence="CC0-1.0")
DIM = 64


@dataclass
class Picture:
    """Stand-in for satellite imagery: a smooth random picture around the origin."""

    frame: LocalFrame = field(default_factory=lambda: LocalFrame(LatLon(46.5, 6.6)))
    hole: tuple[float, float, float, float] | None = None

    def __post_init__(self):
        rng = np.random.default_rng(7)
        side = int(2 * HALF_M / GSD_M)
        noise = rng.normal(size=(side, side, 3)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), 6.0)
        smooth = (smooth - smooth.mean()) / smooth.std()
        self.rgb = np.clip(128 + 50 * smooth, 0, 255).astype(np.uint8)

    @property
    def bounds_m(self):
        return (-HALF_M, -HALF_M, HALF_M, HALF_M)

    def valid_at(self, xy_m):
        inside = (np.abs(xy_m) < HALF_M).all(axis=1)
        if self.hole is not None:
            west, south, east, north = self.hole
            x, y = xy_m.T
            inside &= ~((x > west) & (x < east) & (y > south) & (y < north))
        return inside


def cut(picture, anchors, spec):
    """Heading-up crops by nearest sampling, and the share of each inside the picture."""
    n = spec.size_px
    step = spec.extent_m / n
    right, ahead = np.meshgrid((np.arange(n) + 0.5) * step, (np.arange(n) + 0.5) * step)
    right = right - spec.extent_m / 2
    ahead = spec.extent_m / 2 - ahead + spec.offset_forward_m
    x, y, yaw = (anchors[:, i, None, None] for i in range(3))
    px = x + ahead * np.cos(yaw) + right * np.sin(yaw)
    py = y + ahead * np.sin(yaw) - right * np.cos(yaw)
    col = np.floor((px + HALF_M) / GSD_M).astype(int)
    row = np.floor((HALF_M - py) / GSD_M).astype(int)
    side = picture.rgb.shape[0]
    valid = (col >= 0) & (col < side) & (row >= 0) & (row < side)
    images = picture.rgb[np.clip(row, 0, side - 1), np.clip(col, 0, side - 1)]
    images[~valid] = 0
    return images, valid.mean(axis=(1, 2))


def make_package(root: Path, **changes) -> ModelPackage:
    values = {
        "root": root,
        "name": "fake",
        "version": "1",
        "query": QuerySpec(view="ground_plane", height_px=32, width_px=32, extent_m=40.0),
        "reference": ReferenceSpec(size_px=32, extent_m=40.0, offset_forward_m=0.0),
        "mean": (0.4, 0.4, 0.4),
        "std": (0.2, 0.2, 0.2),
        "descriptor_dim": DIM,
        "files": {"query.onnx": "a" * 64, "reference.onnx": "b" * 64},
    }
    return ModelPackage(**{**values, **changes})


def make_roads():
    along = np.linspace(-500.0, 500.0, 21)
    zero = np.zeros_like(along)
    return [
        Road(np.stack([along[:11], zero[:11]], axis=1)),
        Road(np.stack([along[10:], zero[10:]], axis=1)),
        Road(np.stack([zero[:11], along[:11]], axis=1)),
        Road(np.stack([zero[10:], along[10:]], axis=1), oneway=True),
    ]


def build(out: Path, *, picture=None, encoder=None, package=None, roads=None, policy=None, **more):
    return build_index(
        picture or Picture(),
        package or make_package(out.parent),
        encoder or FakeEncoder(DIM),
        out,
        policy or SamplingPolicy(),
        imagery=IMAGERY,
        crop=more.pop("crop", cut),
        roads=make_roads() if roads is None else roads,
        progress=False,
        **more,
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """An index directory; never written to by a test."""
    out = tmp_path_factory.mktemp("built") / "index"
    build(out)
    return out


@pytest.fixture(scope="session")
def opened(built) -> ShardedIndex:
    return ShardedIndex.open(built)
