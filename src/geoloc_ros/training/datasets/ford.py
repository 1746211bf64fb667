# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ford AV: front-left pictures with poses and the satellite picture nearest to each.

Shi and Li, CVPR 2022 (see `kitti`): folders, lists, logs, ranges of training frames and resolution
as in `dataLoader/Ford_dataset.py` of github.com/shiyujiao/HighlyAccurate. A line of a list is
FRAME.txt QW QX QY QZ LAT LON SATLAT SATLON, in test lists followed by a starting point for pose
refinement. The quaternion turns the body into north, east, down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split
from geoloc_ros.training.datasets.findings import Findings, bad_line, number, read_lines

LAYOUT = """\
2017-08-04/V2/Log1/2017-08-04-V2-Log1-FL/FRAME.png
2017-08-04/V2/Log1/SatelliteMaps_18/SATLAT_SATLON.png
2017-08-04/V2/Log1/grd_sat_quaternion_latlon.txt        FRAME.txt QW QX QY QZ LAT LON SATLAT SATLON
2017-08-04/V2/Log1/grd_sat_quaternion_latlon_test.txt   the same and three numbers"""

#: metres a pixel of the satellite pictures
GSD_M = 0.22
_TRAIN, _TEST = "grd_sat_quaternion_latlon.txt", "grd_sat_quaternion_latlon_test.txt"
_SUMMER, _AUTUMN = "2017-08-04", "2017-10-26"
#: log -> day it is tested on, day it is trained on, frames of training (None: to the last)
_LOGS: dict[int, tuple[str, str, list[tuple[int, int]]]] = {
    1: (_SUMMER, _AUTUMN, [(4500, 8500)]),
    2: (_SUMMER, _AUTUMN, [(0, 3150), (6000, 9200), (11000, 15000)]),
    3: (_SUMMER, _SUMMER, [(0, 1500)]),
    4: (_SUMMER, _AUTUMN, [(0, 7466)]),
    5: (_AUTUMN, _SUMMER, [(0, 3200), (5300, 9900), (10500, 11130)]),
    6: (_AUTUMN, _SUMMER, [(1000, 3500), (4500, 5000), (7000, 7857)]),
}
SPLITS = tuple(f"log{log}-{part}" for part in ("test", "train") for log in _LOGS)
_LINE = "FRAME.txt QW QX QY QZ LAT LON SATLAT SATLON ..."


def read(root: Path, split: str, found: Findings) -> Split:
    """Read one log; the satellite picture its list names beside a frame is right.

    Raises:
        DatasetError: the list is missing or makes no sense.
    """
    text, part = split.removeprefix("log").split("-")
    test_day, train_day, ranges = _LOGS[int(text)]
    folder = root / (test_day if part == "test" else train_day) / "V2" / f"Log{text}"
    lines = list(read_lines(folder / (_TEST if part == "test" else _TRAIN), found))
    if part == "train":
        lines = [line for first, last in ranges for line in lines[first:last]]
    frames, values, maps = [], [], []
    for at, line in lines:
        words = line.split()
        numbers = [number(word) for word in words[1:9]]
        if len(numbers) < 8 or None in numbers or not words[0].endswith(".txt"):
            bad_line(folder, at, line, found, _LINE)
        else:
            frames.append(words[0].removesuffix(".txt"))
            values.append(numbers)
            maps.append(f"{words[7]}_{words[8]}")
    if not frames and not lines:
        found.add("lists name no frame of this split", found.relative(folder))
    found.stop_if_any()
    return _split(root, folder, split, frames, np.array(values, dtype=np.float64), maps)


def _split(
    root: Path,
    folder: Path,
    split: str,
    frames: list[str],
    values: FloatArray,
    maps: list[str],
) -> Split:
    """The split of frames with numbers QW QX QY QZ LAT LON SATLAT SATLON (N, 8)."""
    log = "-".join(folder.relative_to(root).parts)
    line_of = {name: line for line, name in reversed(list(enumerate(maps)))}
    row_of = {name: row for row, name in enumerate(dict.fromkeys(maps))}
    first = [line_of[name] for name in row_of]
    return Split(
        dataset="ford",
        name=split,
        root=root,
        queries=Pictures(
            paths=tuple(folder / f"{log}-FL" / f"{name}.png" for name in frames),
            ids=tuple(frames),
            view="perspective",
            places=Places(values[:, 4:6], "deg", "WGS84"),
            heading_deg=heading_deg(values[:, :4]),
        ),
        references=Pictures(
            paths=tuple(folder / "SatelliteMaps_18" / f"{name}.png" for name in row_of),
            ids=tuple(row_of),
            view="overhead",
            places=Places(values[first, 6:8], "deg", "WGS84"),
            heading_deg=np.zeros(len(row_of)),
            gsd_m=np.full(len(row_of), GSD_M),
        ),
        positives=Related([row_of[name]] for name in maps),
        semi_positives=Related([] for _ in maps),
    )


def heading_deg(
    quat_wxyz: FloatArray,
) -> FloatArray:
    """Compass heading (N,) of quaternions (N, 4) of a body in north, east, down; clockwise."""
    w, x, y, z = quat_wxyz.T
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return np.asarray(np.mod(np.degrees(yaw), 360.0))
