# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A small made place: random blobs as imagery, two crossing roads, a fake encoder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index
from geoloc_ros.index.policy import Road, SamplingPolicy

GSD_M = 1.0
HALF_M = 560.0
DIM = 64


def make_picture(hole=None) -> OrthoImage:
    """A smooth random picture around the origin; `hole` is west, south, east, north, m."""
    rng = np.random.default_rng(7)
    side = int(2 * HALF_M / GSD_M)
    smooth = cv2.GaussianBlur(rng.normal(size=(side, side, 3)).astype(np.float32), (0, 0), 6.0)
    smooth = (smooth - smooth.mean()) / smooth.std()
    valid = np.ones((side, side), dtype=np.bool_)
    if hole is not None:
        west, south, east, north = (int(value) for value in hole)
        half = int(HALF_M)
        valid[half - north : half - south, half + west : half + east] = False
    return OrthoImage(
        np.clip(128 + 50 * smooth, 0, 255).astype(np.uint8),
        valid,
        LocalFrame(LatLon(46.5, 6.6)),
        -HALF_M,
        HALF_M,
        GSD_M,
        {"source": "/somewhere/made.tif", "attribution": "nobody"},
    )


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


def build(
    out: Path, *, picture=None, encoder=None, package=None, roads=None, policy=None, **options
):
    return build_index(
        picture or make_picture(),
        package or make_package(Path(out).parent),
        encoder or FakeEncoder(DIM),
        out,
        policy or SamplingPolicy(),
        roads=make_roads() if roads is None else roads,
        progress=False,
        **options,
    )
