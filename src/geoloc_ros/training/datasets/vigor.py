# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""VIGOR: street panoramas of four cities, and satellite tiles that cover the cities seamlessly.

Zhu, Yang and Chen, "VIGOR: Cross-View Image Geo-localization beyond One-to-one Retrieval", CVPR
2021. Layout and labels: data/DATASET.md and dataloader.py of github.com/Jeff-Zilence/VIGOR. Labels
corrected for the true resolution of the tiles: github.com/tudelft-iv/SliceMatch (Lentsch et al.,
CVPR 2023), folder `splits__corrected`. The tiles are 640 px squares; their resolution by city is
the one that the users of those labels work with.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split
from geoloc_ros.training.datasets.findings import Findings, bad_line, read_lines

LAYOUT = """\
Chicago/panorama/PREFIX,LAT,LON,.jpg          also NewYork, SanFrancisco, Seattle
Chicago/satellite/satellite_LAT_LON.png       (or ground/Chicago/..., satellite/Chicago/...)
splits/Chicago/satellite_list.txt             one satellite picture a line
splits/Chicago/same_area_balanced_train.txt   PANORAMA, then four times SATELLITE DX DY
splits/Chicago/same_area_balanced_test.txt    (or splits__corrected/ with NAME__corrected.txt)
splits/Chicago/pano_label_balanced.txt"""

#: metres a pixel of the tiles
GSD_M = {"NewYork": 0.113248, "Seattle": 0.100817, "SanFrancisco": 0.118141, "Chicago": 0.111262}
#: split -> its cities
_ALL = ("NewYork", "Seattle", "SanFrancisco", "Chicago")
_CITIES: dict[str, tuple[str, ...]] = {
    "same-test": _ALL,
    "cross-test": ("SanFrancisco", "Chicago"),
    "same-train": _ALL,
    "cross-train": ("NewYork", "Seattle"),
}
SPLITS = tuple(_CITIES)
_PANORAMA = re.compile(r".*,(-?[\d.]+),(-?[\d.]+),\.jpg")
_SATELLITE = re.compile(r"satellite_(-?[\d.]+)_(-?[\d.]+)\.png")
_LABEL = "PANORAMA, four times SATELLITE DX DY"


def read(root: Path, split: str, found: Findings) -> Split:
    """Read one split; the first satellite tile of a label is right, the other three cover it too.

    In the tests of both settings all tiles of the cities are searched, as the authors do.

    Raises:
        DatasetError: lists are missing or make no sense.
    """
    area, part = split.split("-")
    cities = _CITIES[split]
    folder, suffix = _labels(root)
    tiles = [
        (city, name)
        for city in cities
        for _, name in read_lines(folder / city / "satellite_list.txt", found)
    ]
    row_of = {name: row for row, (_, name) in enumerate(tiles)}
    stem = f"same_area_balanced_{part}" if area == "same" else "pano_label_balanced"
    panoramas: list[tuple[str, str]] = []
    labels: list[list[int]] = []
    for city in cities:
        path = folder / city / f"{stem}{suffix}.txt"
        for number, line in read_lines(path, found):
            words = line.split()
            if len(words) != 13:
                bad_line(path, number, line, found, _LABEL)
            elif unknown := [name for name in words[1:11:3] if name not in row_of]:
                found.add(f"labels of {found.relative(path)} name no listed tile", unknown[0])
            else:
                panoramas.append((city, words[0]))
                labels.append([row_of[name] for name in words[1:11:3]])
    found.stop_if_any()
    return Split(
        dataset="vigor",
        name=split,
        root=root,
        queries=_panoramas(root, panoramas, found),
        references=_tiles(root, tiles, found),
        positives=Related(label[:1] for label in labels),
        semi_positives=Related(label[1:] for label in labels),
    )


def _labels(root: Path) -> tuple[Path, str]:
    """Folder of the lists and what their names end with; corrected ones are preferred."""
    corrected = root / "splits__corrected"
    return (corrected, "__corrected") if corrected.is_dir() else (root / "splits", "")


def _picture(root: Path, city: str, kind: str, name: str) -> Path:
    """Where a picture lies, as published or as the Sample4Geo programs want it."""
    published = root / city
    if published.is_dir():
        return published / kind / name
    return root / {"panorama": "ground"}.get(kind, kind) / city / name


def _panoramas(root: Path, names: list[tuple[str, str]], found: Findings) -> Pictures:
    return Pictures(
        paths=tuple(_picture(root, city, "panorama", name) for city, name in names),
        ids=tuple(f"{city}/{name}" for city, name in names),
        view="panorama",
        places=_places([name for _, name in names], _PANORAMA, found),
        heading_deg=np.zeros(len(names)),
        hfov_deg=360.0,
        vfov_deg=180.0,
    )


def _tiles(root: Path, names: list[tuple[str, str]], found: Findings) -> Pictures:
    return Pictures(
        paths=tuple(_picture(root, city, "satellite", name) for city, name in names),
        ids=tuple(f"{city}/{name}" for city, name in names),
        view="overhead",
        places=_places([name for _, name in names], _SATELLITE, found),
        heading_deg=np.zeros(len(names)),
        gsd_m=np.array([GSD_M[city] for city, _ in names]),
    )


def _places(names: list[str], pattern: re.Pattern[str], found: Findings) -> Places:
    values = np.full((len(names), 2), np.nan)
    for row, name in enumerate(names):
        match = pattern.fullmatch(name)
        try:
            values[row] = [float(text) for text in match.groups()] if match else np.nan
        except ValueError:
            match = None
        if match is None:
            found.add("names of pictures hold no latitude and longitude", name)
    found.stop_if_any()
    return Places(values, "deg", "WGS84")
