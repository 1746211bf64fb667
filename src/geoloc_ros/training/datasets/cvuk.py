# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Two folders of pictures whose names hold their positions, as CVUK has them.

CVUK is the drives of Dagda, Awais and Fallah, "GeoVLM: Improving Automated Vehicle Geolocalisation
Using Vision-Language Matching" (arXiv 2505.13669): a picture every so often and the satellite
picture of its position. The test program of github.com/barkindagda/GeoVLM takes latitude and
longitude from names NAME_LAT_LON.EXT (it drops the decimals of the longitude; here they count) and
calls a find right within a distance. Here the nearest satellite picture is right if it lies within
`NEAR_M`, and `--radii` asks for distances.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from geoloc_ros.geo.place_mixture import EARTH_RADIUS_M, unit_vectors
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split, View
from geoloc_ros.training.datasets.findings import Findings

LAYOUT = """\
query/NAME_LAT_LON.jpg        what the camera saw; degrees, WGS84
satellite/NAME_LAT_LON.png    satellite pictures, north up"""

SPLITS = ("all",)
#: beyond this a satellite picture no longer shows the place of a query
NEAR_M = 25.0
_NAME = re.compile(r".+_(-?\d+\.?\d*)_(-?\d+\.?\d*)\.(?:jpe?g|png)", re.IGNORECASE)


def read(root: Path, split: str, found: Findings) -> Split:
    """Read both folders; the nearest satellite picture is right, if it is near at all.

    Raises:
        DatasetError: a folder is missing, or a name holds no position.
    """
    queries = _pictures(root / "query", "perspective", found)
    references = _pictures(root / "satellite", "overhead", found)
    found.stop_if_any()
    asked, given = queries.places, references.places
    nearest: list[list[int]] = [[] for _ in queries.paths]
    if asked is not None and given is not None:
        chord, row = cKDTree(unit_vectors(*given.values.T)).query(unit_vectors(*asked.values.T))
        near = 2.0 * EARTH_RADIUS_M * np.arcsin(chord / 2.0) <= NEAR_M
        nearest = [[int(r)] if ok else [] for r, ok in zip(row, near, strict=True)]
        if not near.all():
            found.notes.append(
                f"{int((~near).sum())} queries have no satellite picture within {NEAR_M:g} m and "
                "count as not found"
            )
    return Split(
        dataset="cvuk",
        name=split,
        root=root,
        queries=queries,
        references=references,
        positives=Related(nearest),
        semi_positives=Related([] for _ in nearest),
    )


def _pictures(folder: Path, view: View, found: Findings) -> Pictures:
    if not folder.is_dir():
        found.add("folders missing, expected", found.relative(folder))
        return Pictures((), (), view)
    paths, values = [], []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is None:
            found.add("names are not NAME_LAT_LON.jpg or .png", found.relative(path))
        else:
            paths.append(path)
            values.append([float(text) for text in match.groups()])
    if not paths:
        found.add("folders hold no picture", found.relative(folder))
    return Pictures(
        paths=tuple(paths),
        ids=tuple(path.name for path in paths),
        view=view,
        places=Places(np.reshape(np.array(values, dtype=np.float64), (-1, 2)), "deg", "WGS84"),
        heading_deg=np.zeros(len(paths)) if view == "overhead" else None,
    )
