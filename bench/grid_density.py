#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How dense a grid index must be for flights: similarity at the right pose, by pitch and headings.

For some pictures of a made flight: the similarity to the crop at the very pose, to crops at random
poses, and, for each grid, what the index would say there: interpolated between its entries, and of
the best single entry nearby, which is all that retrieval sees.

Example:
  geoloc synth make --seed 3101 --vehicle aerial --width 480 --height-px 270 --rate 2 --out 3101
  python bench/grid_density.py 3101
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scoring import TRUTH

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.evaluation import columns
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.geo import se2
from geoloc_ros.imagery.crops import CropCutter
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.local_field import Kernel, LocalField
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sampling import sample_grid

GRIDS = ((10.0, 12), (12.5, 12), (15.0, 12), (15.0, 16), (20.0, 12), (20.0, 16))
WRONG_POSES = 24


class Probe:
    """Compares pictures with crops of one world.

    Args:
        package: the overhead model.
        ortho: the imagery.
    """

    def __init__(self, package: ModelPackage, ortho: OrthoImage) -> None:
        fill = tuple(255.0 * mean for mean in package.mean)
        self.encoder = OnnxEncoder(package, threads=1)
        self._cutter = CropCutter(ortho, package.reference, fill)
        self._bounds = ortho.bounds_m
        self._margin_m = 0.6 * package.reference.extent_m

    def describe(self, anchors: FloatArray) -> Float32Array:
        """Descriptors (N, D) of crops at anchors (N, 3)."""
        return self.encoder.encode_reference(self._cutter.cut(anchors)[0])

    def inside(self, anchor: FloatArray) -> bool:
        """Whether the crop at an anchor (3,) lies inside the imagery."""
        west, south, east, north = self._bounds
        gap = min(anchor[0] - west, east - anchor[0], anchor[1] - south, north - anchor[1])
        return bool(gap > self._margin_m)

    def wrong(self, query: Float32Array, rng: np.random.Generator) -> FloatArray:
        """Similarities (K,) at random poses."""
        west, south, east, north = self._bounds
        low = np.array([west + self._margin_m, south + self._margin_m, -np.pi])
        high = np.array([east - self._margin_m, north - self._margin_m, np.pi])
        return np.asarray(self.describe(rng.uniform(low, high, (WRONG_POSES, 3))) @ query)

    def indexed(
        self, query: Float32Array, anchor: FloatArray, pitch_m: float, headings: int
    ) -> tuple[float, float]:
        """Similarity that a grid says at an anchor (3,), and of its best entry nearby."""
        entries = sample_grid(self._bounds, pitch_m, headings)
        away = np.hypot(*(entries[:, :2] - anchor[:2]).T)
        turned = np.abs(se2.wrap_angle(entries[:, 2] - anchor[2]))
        near = (away < 2.6 * pitch_m) & (turned < 3.2 * np.pi / headings)
        described = self.describe(entries[near])
        policy = SamplingPolicy(kind="grid", pitch_m=pitch_m, headings=headings)
        field = LocalField(entries[near], described, Kernel.of(policy))
        return float(field(query, anchor[None])[0][0]), float((described @ query).max())


def pictures(
    world: Path, package: ModelPackage, probe: Probe, ortho: OrthoImage, count: int
) -> Iterator[tuple[Float32Array, FloatArray]]:
    """Descriptors (D,) and true anchors (3,) of pictures spread over a flight."""
    with BagReader(world / "drive_00") as reader:
        recording = Recording(reader, Config().input)
        views = make_views(recording.camera, recording.T_base_camera, package)
        truth = columns.truth_from(*recording.truth(TRUTH, ortho.frame))
        every, seen, height_m = max(1, recording.frame_count // count), 0, None
        for stamp_ns, topic, message in recording.records():
            if topic == recording.topics.height:
                height_m = messages.height_m(message)
            if topic != recording.topics.image:
                continue
            seen += 1
            pose, known = interpolate_truth(truth, [stamp_ns])
            if seen % every or height_m is None or not known[0]:
                continue
            view = views.build(messages.image_rgb(message), height_m)
            anchor = np.asarray(se2.compose(pose[0], view.anchor))
            if probe.inside(anchor):
                yield probe.encoder.encode_query(view.image[None])[0], anchor


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", type=Path, help="made world with a flight, drive_00")
    parser.add_argument("--model", default="ground_plane", help="overhead model (%(default)s)")
    parser.add_argument("--pictures", type=int, default=24, help="to look at (%(default)s)")
    arguments = parser.parse_args()
    package = find_model(arguments.model)
    ortho = OrthoImage.open(arguments.world / "imagery.tif", gsd_m=0.5)
    probe, rng = Probe(package, ortho), np.random.default_rng(0)
    right, wrong, said = [], [], []
    for query, anchor in pictures(arguments.world, package, probe, ortho, arguments.pictures):
        right.append(float(probe.describe(anchor[None])[0] @ query))
        wrong.append(probe.wrong(query, rng))
        said.append([probe.indexed(query, anchor, *grid) for grid in GRIDS])
    lost = np.array(right)[:, None] - np.array(said)[..., 0]
    best = np.array(said)[..., 1].mean(axis=0)
    print(f"{len(right)} pictures: similarity {np.mean(right):.3f} at the very pose, ", end="")
    print(f"{np.mean(wrong):.3f} +- {np.std(wrong):.3f} at random ones")
    print(f"{'pitch, m':>9}{'headings':>10}{'lost':>8}{'+-':>8}{'best entry':>12}")
    for k, (pitch_m, headings) in enumerate(GRIDS):
        cells = f"{lost[:, k].mean():8.3f}{lost[:, k].std():8.3f}{best[k]:12.3f}"
        print(f"{pitch_m:9g}{headings:10d}{cells}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
