#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A real drone flight over real satellite tiles, located from its pictures alone.

FOLDER holds frames.csv (frame, t_s, rel_alt_m; lat and lon, if there, are for scoring only),
frames/*.jpg and tiles/{z}_{x}_{y}.jpg (web mercator). In turn: the tiles become a GeoTIFF; lens
and tilt of the camera are estimated from the pictures; the imagery is indexed on a grid; the
pictures become a recording; the recording is replayed with no odometry, no course and no start
position; the result is scored. Calibration and index are kept in OUT and not made again.

Example:
  python bench/real_flight.py flight_0019 --out out/flight
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from tqdm import tqdm

from geoloc_ros import config as configuration
from geoloc_ros.bags.frames import FramesCamera, FramesTable, bag_from_frames
from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.cameras.self_calibration import SelfCalibration, self_calibrate
from geoloc_ros.config import Config
from geoloc_ros.datatypes import Image
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import CameraError, GeolocError
from geoloc_ros.evaluation.result import format_table, write_result
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.tiles import mosaic_tiles
from geoloc_ros.index.build import build_index
from geoloc_ros.index.policy import SamplingPolicy

FLIGHT_CONFIG = Path(__file__).resolve().parents[1] / "config/flight.yaml"
TRUTH_TOPIC = "/ground_truth/fix"
ATTRIBUTION = "imagery of the tile server; measured with, not redistributed"
#: pictures are looked at in this width for the calibration
CALIBRATION_WIDTH_PX = 960
#: what --json keeps of each run
REPORTED = (
    *("seed", "frames", "availability", "time_to_first_fix_s", "position_error_m"),
    *("confidently_wrong", "nees_mean", "coverage_95", "recall"),
)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="frames.csv, frames/ and tiles/")
    parser.add_argument("--out", type=Path, required=True, help="directory for everything made")
    parser.add_argument("--index", type=Path, help="use or make the index here (OUT/index)")
    parser.add_argument("--model", default="ground_structure", help="overhead model (%(default)s)")
    parser.add_argument("--pitch-m", type=float, default=10.0, help="grid, m (%(default)s)")
    parser.add_argument("--headings", type=int, default=12, help="per place (%(default)s)")
    parser.add_argument("--hfov", type=float, default=73.7, help="maker's figure, deg")
    parser.add_argument("--tilt", type=float, default=45.0, help="nominal, deg below horizon")
    parser.add_argument("--no-calibration", action="store_true", help="trust those two figures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the filter (0)")
    parser.add_argument("--json", type=Path, help="write the results of all seeds here")
    parser.add_argument("--report", action="store_true", help="write report.html as well")
    return parser.parse_args()


def main() -> int:
    """Make what is missing, replay, print the table."""
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    index = arguments.index or out / "index"
    imagery = out / "imagery.tif"
    if not imagery.exists():
        mosaic_tiles(arguments.folder / "tiles", imagery, attribution=ATTRIBUTION)
    camera = nominal(arguments) if arguments.no_calibration else calibrated(arguments)
    make_index(arguments, imagery, index)
    bag = out / "bag"
    shutil.rmtree(bag, ignore_errors=True)
    table = arguments.folder / "frames.csv"
    bag_from_frames(table, bag, camera, columns(table))
    results = []
    for seed in arguments.seeds:
        replayed = out / "replay"
        inputs = ReplayInputs(
            bag=bag,
            index=index,
            out=replayed,
            model=arguments.model,
            truth_topic=TRUTH_TOPIC if columns(table).truth else None,
            force=True,
        )
        Replay(inputs, flight_config(seed)).run()
        results.append(write_result(replayed))
        print(format_table(results[-1]))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        kept = [{key: run[key] for key in REPORTED} for run in results]
        arguments.json.write_text(json.dumps({"runs": kept}, indent=2) + "\n", encoding="utf-8")
    if arguments.report:
        from geoloc_ros.report.page import write_report

        print(f"report: {write_report(replayed, imagery=imagery, index=index)}")
    return 0


def flight_config(seed: int) -> Config:
    """The settings of flights, with one seed.

    Heights are those above take-off, which know the ground below to some metres at best: to lay
    the views out on roofs and trees would be false precision.
    """
    return configuration.load(FLIGHT_CONFIG, (f"random_seed={seed}", "view.relief_m=0"))


def columns(table: Path) -> FramesTable:
    """Columns of the table; positions are passed on as truth for scoring if there are any."""
    with table.open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    truth = ("lat", "lon") if {"lat", "lon"} <= set(header) else ()
    return FramesTable(height="rel_alt_m", truth=truth)


def nominal(arguments: argparse.Namespace) -> FramesCamera:
    """The camera as its maker describes it."""
    return FramesCamera(hfov_deg=arguments.hfov, pitch_deg=arguments.tilt)


def calibrated(arguments: argparse.Namespace) -> FramesCamera:
    """The camera as the pictures show it; kept in OUT/camera.json and OUT/camera.yaml."""
    kept, lens = arguments.out / "camera.json", arguments.out / "camera.yaml"
    if not kept.exists():
        found = calibrate(arguments)
        lens.write_text(yaml.safe_dump(lens_yaml(found.camera)), encoding="utf-8")
        figures = {
            "pitch_deg": float(np.degrees(found.pitch_rad)),
            "roll_deg": float(np.degrees(found.roll_rad)),
            "focal_scale": found.focal_scale,
            "k1": found.k1,
            "pairs": found.pairs,
            "residual_px": found.residual_px,
        }
        kept.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    figures = json.loads(kept.read_text(encoding="utf-8"))
    print("camera from the pictures:", json.dumps(figures))
    return FramesCamera(
        calibration=lens, pitch_deg=figures["pitch_deg"], roll_deg=figures["roll_deg"]
    )


def calibrate(arguments: argparse.Namespace) -> SelfCalibration:
    """Lens and tilt from all pictures and barometric heights of the flight."""
    with (arguments.folder / "frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pictures, size = [], (0, 0)
    for row in tqdm(rows, unit="frame", desc="reading"):
        picture, size = read(arguments.folder / "frames" / row["frame"])
        pictures.append(picture)
    height, width = pictures[0].shape[:2]
    small = CameraModel.from_hfov(width, height, arguments.hfov)
    mount = mount_from_pitch(0.0, arguments.tilt)
    found = self_calibrate(pictures, small, mount, [float(row["rel_alt_m"]) for row in rows])
    return dataclasses.replace(found, camera=found.camera.scaled(*size))


def read(path: Path) -> tuple[Image, tuple[int, int]]:
    """A picture, reduced, and its own width and height."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise CameraError(f"{path} is no picture; lay the flight out anew")
    height, width = picture.shape[:2]
    rows = round(height * CALIBRATION_WIDTH_PX / width)
    small = cv2.resize(picture, (CALIBRATION_WIDTH_PX, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8), (width, height)


def lens_yaml(camera: CameraModel) -> dict[str, Any]:
    """A ROS camera calibration file's content."""
    return {
        "image_width": camera.width,
        "image_height": camera.height,
        "distortion_model": camera.distortion_model,
        "camera_matrix": {"rows": 3, "cols": 3, "data": camera.K.ravel().tolist()},
        "distortion_coefficients": {
            "rows": 1,
            "cols": 5,
            "data": [*camera.D.tolist(), *[0.0] * (5 - len(camera.D))],
        },
    }


def make_index(arguments: argparse.Namespace, imagery: Path, index: Path) -> None:
    """Index the imagery on a grid, unless that is done."""
    if (index / "manifest.json").exists():
        return
    package = find_model(arguments.model)
    encoder = OnnxEncoder(package, threads=os.cpu_count() or 1)
    policy = SamplingPolicy(kind="grid", pitch_m=arguments.pitch_m, headings=arguments.headings)
    build_index(OrthoImage.open(imagery), package, encoder, index, policy)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GeolocError as error:
        sys.exit(f"real_flight: {error}")
