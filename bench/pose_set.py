#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lay drives of made towns out as KITTI cross-view, and evaluate a model on them.

No published data set comes with this repository. This shows the whole way of `geoloc eval
retrieval` on pictures a shipped model understands, and what its figures look like: every few
metres a frame of a drive becomes a query, and the satellite picture around its true position a
reference. Towns are made with `geoloc synth make --seed ...`, seeds from 900000 up.

    python bench/pose_set.py WORLD... --root out/pose_set --json docs/results/pose_set.json
    geoloc eval retrieval --dataset kitti --root out/pose_set --model perspective
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scoring import write_json

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.config import InputConfig
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.evaluation.columns import truth_from
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.imagery.crops import crops
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.report.retrieval_gallery import write_gallery
from geoloc_ros.training.datasets.comparison import details
from geoloc_ros.training.datasets.descriptors import DescriptorCache
from geoloc_ros.training.datasets.evaluate import evaluate
from geoloc_ros.training.datasets.gallery import example_groups, headline
from geoloc_ros.training.datasets.kitti import GSD_M
from geoloc_ros.training.datasets.registry import DATASETS, open_split

TRUTH = "/ground_truth/pose"
MAP_PX = 800
DAY = "2011_09_26"


def main() -> int:
    """Write the data set, evaluate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("worlds", type=Path, nargs="+", metavar="WORLD")
    parser.add_argument("--root", type=Path, required=True, help="the data set; filled if empty")
    parser.add_argument("--every", type=float, default=3.0, help="metres between frames (3)")
    parser.add_argument("--model", default="perspective")
    parser.add_argument(
        "--gallery", type=Path, help="picture of the best and worst, .png or .html"
    )
    parser.add_argument("--json", type=Path, help="write the figures")
    args = parser.parse_args()
    if not (args.root / "test2_files.txt").is_file():
        lay_out(args.worlds, args.root, args.every)
    opened = open_split("kitti", args.root)
    package = find_model(args.model)
    cache = DescriptorCache(args.root / "descriptors")
    radii_m = DATASETS["kitti"].radii_m
    found = evaluate(opened, package, OnnxEncoder(package, threads=2), cache, radii_m, area=True)
    print(details(found.result))
    if args.gallery:
        title = "Drives through made towns, as KITTI cross-view"
        write_gallery(example_groups(found), args.gallery, title, headline(found))
    if args.json:
        write_json(args.json, found.result)
    return 0


def lay_out(worlds: list[Path], root: Path, every_m: float) -> None:
    """Write pictures, positions and lists; the list comes last."""
    names = []
    for number, world in enumerate(worlds, start=1):
        drive = f"{DAY}_drive_{number:04d}_sync"
        for i, (rgb, above, oxts) in enumerate(_frames(world, every_m)):
            raw = root / "raw_data" / DAY / drive
            _write(raw / "image_02" / "data" / f"{i:010d}.png", rgb)
            _write(root / "satmap" / DAY / drive / f"{i:010d}.png", above)
            (raw / "oxts" / "data").mkdir(parents=True, exist_ok=True)
            text = " ".join(f"{value:.12f}" for value in (*oxts, *[0.0] * 24))
            (raw / "oxts" / "data" / f"{i:010d}.txt").write_text(text + "\n")
            names.append(f"{DAY}/{drive}/{i:010d}.png")
    _write_calibration(worlds[0], root / "raw_data" / DAY / "calib_cam_to_cam.txt")
    (root / "test2_files.txt").write_text("".join(f"{name} 0 0 0\n" for name in names))


def _frames(world: Path, every_m: float) -> Iterator[tuple[Image, Image, tuple[float, ...]]]:
    """Camera picture, satellite picture, and latitude, longitude, altitude, roll, pitch, yaw."""
    ortho = OrthoImage.open(world / "imagery.tif")
    spec = ReferenceSpec(size_px=MAP_PX, extent_m=MAP_PX * GSD_M, offset_forward_m=0.0)
    last: FloatArray | None = None
    with BagReader(sorted(world.glob("drive_*"))[0]) as reader:
        recording = Recording(reader, InputConfig())
        truth = truth_from(*recording.truth(TRUTH, ortho.frame))
        for stamp_ns, topic, message in recording.records():
            if topic != recording.topics.image:
                continue
            poses, known = interpolate_truth(truth, [stamp_ns])
            pose = poses[0]
            if not known[0] or (last is not None and math.dist(pose[:2], last[:2]) < every_m):
                continue
            last = pose
            north_up = np.array([[pose[0], pose[1], math.pi / 2.0]])
            place = ortho.frame.position(pose[0], pose[1])
            oxts = (place.lat_deg, place.lon_deg, 0.0, 0.0, 0.0, float(pose[2]))
            yield messages.image_rgb(message), crops(ortho, north_up, spec)[0][0], oxts


def _write_calibration(world: Path, path: Path) -> None:
    with BagReader(sorted(world.glob("drive_*"))[0]) as reader:
        camera = Recording(reader, InputConfig()).camera
    path.write_text(
        f"S_rect_02: {camera.width} {camera.height}\n"
        f"P_rect_02: {camera.K[0, 0]} 0 {camera.K[0, 2]} 0 0 {camera.K[1, 1]} {camera.K[1, 2]} 0\n"
    )


def _write(path: Path, rgb: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {path}")


if __name__ == "__main__":
    sys.exit(main())
