# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""KITTI with a satellite picture around every frame's GNSS/INS position.

Shi and Li, "Beyond Cross-view Image Retrieval: Highly Accurate Vehicle Localization Using
Satellite Image", CVPR 2022: lists, folders and resolution as in
github.com/shiyujiao/HighlyAccurate. Drives of `test1` were trained on, those of `test2` were not.
The shifts and turns in the test lists are starting points for pose refinement and mean nothing to
retrieval. An oxts file begins with latitude, longitude, altitude, roll, pitch and yaw (0 is east,
counter-clockwise, rad).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split, duplicates
from geoloc_ros.training.datasets.findings import Findings, bad_line, number, read_lines

LAYOUT = """\
raw_data/2011_09_26/calib_cam_to_cam.txt
raw_data/2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000048.png
raw_data/2011_09_26/2011_09_26_drive_0002_sync/oxts/data/0000000048.txt
satmap/2011_09_26/2011_09_26_drive_0002_sync/0000000048.png
train_files.txt, test1_files.txt, test2_files.txt   (or in dataLoader/, as published)"""

SPLITS = ("test2", "test1", "train")
_FRAME = re.compile(r"(\d{4}_\d\d_\d\d)/(\d{4}_\d\d_\d\d_drive_\d{4}_sync)/(\d{10})\.png")
#: metres a pixel of the satellite pictures: Web Mercator of zoom 18, twice the pixels, at 49.015 N
GSD_M = 156543.03392 * math.cos(math.radians(49.015)) / 2**18 / 2.0


def read(root: Path, split: str, found: Findings) -> Split:
    """Read one split; the satellite picture around a frame's own position is right.

    Raises:
        DatasetError: lists, positions or the calibration are missing or make no sense.
    """
    frames = _frames(root, split, found)
    found.stop_if_any()
    raw, names = root / "raw_data", tuple(f"{d}/{s}/{n}" for d, s, n in frames)
    oxts = [_oxts(raw / d / s / "oxts" / "data" / f"{n}.txt", found) for d, s, n in frames]
    found.stop_if_any()
    table = np.array(oxts, dtype=np.float64).reshape(-1, 3)
    places = Places(table[:, :2], "deg", "WGS84")
    return Split(
        dataset="kitti",
        name=split,
        root=root,
        queries=Pictures(
            paths=tuple(raw / d / s / "image_02" / "data" / f"{n}.png" for d, s, n in frames),
            ids=names,
            view="perspective",
            places=places,
            heading_deg=np.mod(90.0 - np.degrees(table[:, 2]), 360.0),
            hfov_deg=_hfov_deg(raw, sorted({day for day, _, _ in frames}), found),
        ),
        references=Pictures(
            paths=tuple(root / "satmap" / d / s / f"{n}.png" for d, s, n in frames),
            ids=names,
            view="overhead",
            places=places,
            heading_deg=np.zeros(len(frames)),
            gsd_m=np.full(len(frames), GSD_M),
        ),
        positives=Related([row] for row in range(len(frames))),
        semi_positives=Related([] for _ in frames),
    )


def _frames(root: Path, split: str, found: Findings) -> list[tuple[str, ...]]:
    """Day, drive and number of each frame of a list."""
    name = f"{split}_files.txt"
    path = root / name
    if not found.has(path) and found.has(root / "dataLoader" / name):
        path = root / "dataLoader" / name
    frames = []
    for at, line in read_lines(path, found):
        match = _FRAME.fullmatch(line.split(" ")[0])
        if match is None:
            bad_line(path, at, line, found, "DAY/DRIVE/NUMBER.png")
        else:
            frames.append(match.groups())
    for again in duplicates("/".join(frame) for frame in frames):
        found.add(f"frames stand more than once in {found.relative(path)}", again)
    return frames


def _oxts(path: Path, found: Findings) -> tuple[float, float, float]:
    """Latitude and longitude in degrees and yaw in rad."""
    for at, line in read_lines(path, found):
        values = [number(word) for word in line.split(" ")[:6]]
        if len(values) == 6 and None not in values:
            lat_deg, lon_deg, _, _, _, yaw_rad = values
            return lat_deg, lon_deg, yaw_rad  # type: ignore[return-value]
        bad_line(path, at, line, found, "LAT LON ALT ROLL PITCH YAW ...")
        break
    else:
        if found.has(path):
            found.add("oxts files are empty", found.relative(path))
    return math.nan, math.nan, math.nan


def _hfov_deg(raw: Path, days: list[str], found: Findings) -> float:
    """Horizontal field of view of the left colour camera, the median over the days."""
    angles: list[float] = []
    for day in days:
        path = raw / day / "calib_cam_to_cam.txt"
        entries = dict(line.split(":", 1) for _, line in read_lines(path, found) if ":" in line)
        size, projection = entries.get("S_rect_02", "").split(), entries.get("P_rect_02", "")
        width, focal = number(size[0] if size else ""), number((projection.split() or [""])[0])
        if width and focal and focal > 0.0:
            angles.append(math.degrees(2.0 * math.atan(width / (2.0 * focal))))
        elif found.has(path):
            found.add("calibrations lack S_rect_02 or P_rect_02", found.relative(path))
    found.stop_if_any()
    values: FloatArray = np.array(angles)
    return float(np.median(values))
