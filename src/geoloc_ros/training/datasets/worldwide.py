# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Photos from anywhere on Earth: Im2GPS, Im2GPS3k, YFCC4k, GWS15k.

Hays and Efros, "IM2GPS", CVPR 2008; Vo, Jacobs and Hays, "Revisiting IM2GPS in the Deep Learning
Era", ICCV 2017. Lists `NAME_places365.csv` as github.com/TIBHannover/GeoEstimation published them;
an early version has the names of the columns LAT and LON exchanged, which shows as latitudes
beyond 90 degrees and is refused. No pictures of GWS15k are published: what can be had are lists
made by the same recipe.

What is searched is a second list of the same kind (MP-16); without it positions that something
else found can be scored (`--predictions`).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import DatasetError
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split, duplicates
from geoloc_ros.training.datasets.findings import Findings, bad_line, number

LAYOUT = """\
im2gps3k_places365.csv    IMG_ID,...,LAT,LON,...   (columns by name; im2gps3k.csv will do)
im2gps3k/IMG_ID           the pictures
mp16_places365.csv        optional: what is searched
mp16/IMG_ID"""

SPLITS = ("test",)
GALLERY = "mp16"
#: column -> names it goes by, in lower case
_COLUMNS = {
    "name": ("img_id", "image_id", "id"),
    "lat": ("lat", "latitude", "pred_lat"),
    "lon": ("lon", "lng", "longitude", "pred_lng", "pred_lon"),
}


def read(root: Path, dataset: str, found: Findings) -> Split:
    """Read the photos of a data set, and the gallery if it is there.

    Raises:
        DatasetError: the list is missing or makes no sense.
    """
    queries = _pictures(root, dataset, found)
    listed = _list(root, GALLERY, found)
    references = Pictures((), (), "any") if listed is None else _pictures(root, GALLERY, found)
    if listed is None:
        found.notes.append(f"no {GALLERY}_places365.csv: there is nothing to search")
    none: list[list[int]] = [[] for _ in queries.paths]
    return Split(
        dataset=dataset,
        name="test",
        root=root,
        queries=queries,
        references=references,
        positives=Related(none),
        semi_positives=Related(none),
    )


def read_positions(path: Path) -> dict[str, tuple[float, float]]:
    """Name -> latitude and longitude in degrees, of a table of found positions.

    Raises:
        DatasetError: it cannot be read, lacks a column, or a row makes no sense.
    """
    found = Findings("positions", path.parent)
    names, values = _table(path, found)
    found.stop_if_any()
    places = Places(values, "deg", "WGS84")
    return {name: tuple(row) for name, row in zip(names, places.values.tolist(), strict=True)}


def _list(root: Path, name: str, found: Findings) -> Path | None:
    """The list of a set of photos, None if there is none."""
    for path in (root / f"{name}_places365.csv", root / f"{name}.csv"):
        if found.has(path):
            return path
    return None


def _pictures(root: Path, name: str, found: Findings) -> Pictures:
    path = _list(root, name, found)
    if path is None:
        found.add("lists missing, expected", f"{name}_places365.csv")
        found.stop_if_any()
        return Pictures((), (), "any")
    names, values = _table(path, found)
    found.stop_if_any()
    files = [text if Path(text).suffix else f"{text}.jpg" for text in names]
    return Pictures(
        paths=tuple(root / name / text for text in files),
        ids=tuple(names),
        view="any",
        places=Places(values, "deg", "WGS84"),
    )


def _table(path: Path, found: Findings) -> tuple[list[str], FloatArray]:
    """Names and positions (N, 2) of a table with a header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read the list {path}: {error}; fetch it again") from error
    header = [word.strip().lower() for word in rows[0]] if rows else []
    at = {key: next((header.index(n) for n in given if n in header), -1)
          for key, given in _COLUMNS.items()}  # fmt: skip
    if min(at.values()) < 0:
        lacking = ", ".join(f"{key} ({' or '.join(_COLUMNS[key])})" for key in at if at[key] < 0)
        raise DatasetError(f"{path} has columns {', '.join(header) or 'none'}; it lacks {lacking}")
    names, values = [], []
    for line, row in enumerate(rows[1:], start=2):
        if not any(word.strip() for word in row):
            continue
        full = len(row) > max(at.values())
        place = [number(row[at[key]]) for key in ("lat", "lon")] if full else [None]
        if None in place or not row[at["name"]].strip():
            bad_line(path, line, ",".join(row), found, ",".join(header[:8]))
        else:
            names.append(row[at["name"]].strip())
            values.append(place)
    for name in duplicates(names):
        found.add(f"names stand more than once in {found.relative(path)}", name)
    return names, np.array(values, dtype=np.float64).reshape(-1, 2)
