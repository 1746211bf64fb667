# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""CVUSA (the subset of Zhai et al.): a street panorama and a satellite picture of each place.

Workman, Souvenir and Jacobs, "Wide-Area Image Geolocalization with Aerial Reference Imagery", ICCV
2015; the pairs everybody reports on are from Zhai et al., "Predicting Ground-Level Scene Layout
from Aerial Imagery", CVPR 2017. Lists as github.com/Liumouliu/OriCNN and
github.com/Skyy93/Sample4Geo read them; rows of `split_locations/all.csv` as the latter does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split, duplicates
from geoloc_ros.training.datasets.findings import Findings, bad_line, number, read_lines

LAYOUT = """\
bingmap/19/0000001.jpg                 satellite
streetview/panos/0000001.jpg           panorama, a strip around the horizon, north in the middle
splits/train-19zl.csv                  SATELLITE,PANORAMA,ANNOTATION
splits/val-19zl.csv
split_locations/all.csv                optional: SATLAT,SATLON,LAT,LON,...; row 1 is 0000001"""

SPLITS = ("val", "train")
_ROW = "SATELLITE,PANORAMA,..."


def read(root: Path, split: str, found: Findings) -> Split:
    """Read one split; each panorama has one right satellite picture.

    Raises:
        DatasetError: lists are missing or make no sense.
    """
    path = root / "splits" / f"{split}-19zl.csv"
    rows = []
    for at, line in read_lines(path, found):
        words = [word.strip() for word in line.split(",")]
        if len(words) < 2 or not words[0] or not words[1]:
            bad_line(path, at, line, found, _ROW)
        else:
            rows.append((words[0], words[1]))
    ids = tuple(Path(satellite).stem for satellite, _ in rows)
    for name in duplicates(ids):
        found.add(f"names stand more than once in {found.relative(path)}", name)
    found.stop_if_any()
    ground, above = _locations(root, ids, found)
    north = np.zeros(len(rows))
    return Split(
        dataset="cvusa",
        name=split,
        root=root,
        queries=Pictures(
            paths=tuple(root / panorama for _, panorama in rows),
            ids=ids,
            view="panorama",
            places=ground,
            heading_deg=north,
            hfov_deg=360.0,
        ),
        references=Pictures(
            paths=tuple(root / satellite for satellite, _ in rows),
            ids=ids,
            view="overhead",
            places=above,
            heading_deg=north,
        ),
        positives=Related([row] for row in range(len(rows))),
        semi_positives=Related([] for _ in rows),
    )


def _locations(
    root: Path, ids: tuple[str, ...], found: Findings
) -> tuple[Places | None, Places | None]:
    """Where panoramas were taken and satellite pictures are centred; picture N has row N."""
    path = root / "split_locations" / "all.csv"
    if not found.has(path):
        return None, None
    table: list[FloatArray] = []
    for at, line in read_lines(path, found):
        values = [number(word) for word in line.split(",")[:4]]
        if len(values) < 4 or None in values:
            bad_line(path, at, line, found, "SATLAT,SATLON,LAT,LON")
        else:
            table.append(np.array(values, dtype=np.float64))
    for name in ids:
        if not name.isdigit() or not 1 <= int(name) <= len(table):
            found.add(f"pictures have no row in {found.relative(path)}", name)
    found.stop_if_any()
    rows = np.stack([table[int(name) - 1] for name in ids])
    return Places(rows[:, 2:], "deg", "WGS84"), Places(rows[:, :2], "deg", "WGS84")
