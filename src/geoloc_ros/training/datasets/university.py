# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""University-1652: buildings of universities, seen by drones, satellites and from the street.

Zheng, Wei and Yang, "University-1652: A Multi-view Multi-source Benchmark for Drone-based
Geo-localization", ACM Multimedia 2020. Folders as github.com/layumi/University1652-Baseline
publishes them: a folder a building. The galleries hold buildings nobody asks for; the authors rank
them among the others, Sample4Geo's evaluation leaves them out (`--without-distractors`).
"""

from __future__ import annotations

from pathlib import Path

from geoloc_ros.training.datasets.base import Pictures, Related, Split, View
from geoloc_ros.training.datasets.findings import Findings

LAYOUT = """\
train/drone/0001/*.jpeg              a folder a building; also train/satellite, train/street
test/query_drone/0000/*.jpeg         also query_satellite, query_street
test/gallery_satellite/0000/*.jpg    also gallery_drone, gallery_street"""

SPLITS = (
    "drone-to-satellite",
    "satellite-to-drone",
    "street-to-satellite",
    "satellite-to-street",
    "train",
)
_VIEWS: dict[str, View] = {"drone": "any", "satellite": "overhead", "street": "any"}
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def read(root: Path, split: str, found: Findings) -> Split:
    """Read one split; every picture of the same building is right. `train` pairs drone, satellite.

    Raises:
        DatasetError: a folder is missing or holds no pictures.
    """
    if split == "train":
        seen, above = root / "train" / "drone", root / "train" / "satellite"
        views = _VIEWS["drone"], _VIEWS["satellite"]
    else:
        asks, answers = split.split("-to-")
        seen, above = root / "test" / f"query_{asks}", root / "test" / f"gallery_{answers}"
        views = _VIEWS[asks], _VIEWS[answers]
    queries, asked = _pictures(seen, views[0], found)
    references, given = _pictures(above, views[1], found)
    found.stop_if_any()
    rows_of: dict[str, list[int]] = {}
    for row, building in enumerate(given):
        rows_of.setdefault(building, []).append(row)
    for building in sorted(set(asked) - set(rows_of)):
        found.add(f"buildings have no picture in {found.relative(above)}", building)
    found.stop_if_any()
    return Split(
        dataset="university",
        name=split,
        root=root,
        queries=queries,
        references=references,
        positives=Related(rows_of[building] for building in asked),
        semi_positives=Related([] for _ in asked),
    )


def _pictures(folder: Path, view: View, found: Findings) -> tuple[Pictures, list[str]]:
    """Pictures of a folder of folders, and the building each belongs to."""
    paths: list[Path] = []
    if not folder.is_dir():
        found.add("folders missing, expected", found.relative(folder))
    else:
        for building in sorted(child for child in folder.iterdir() if child.is_dir()):
            inside = sorted(p for p in building.iterdir() if p.suffix.lower() in _SUFFIXES)
            if not inside and "street" not in folder.name:  # not all were seen from the street
                found.add("folders of buildings hold no picture", found.relative(building))
            paths += inside
        if not paths:
            found.add("folders hold no picture", found.relative(folder))
    ids = tuple(f"{path.parent.name}/{path.name}" for path in paths)
    return Pictures(tuple(paths), ids, view), [path.parent.name for path in paths]
