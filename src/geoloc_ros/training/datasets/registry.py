# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The data sets by name, and how a split of one is opened: read, checked, complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.errors import DatasetError, shown
from geoloc_ros.training.datasets import (
    cvact,
    cvuk,
    cvusa,
    ford,
    kitti,
    university,
    vigor,
    worldwide,
)
from geoloc_ros.training.datasets.base import Split, subset
from geoloc_ros.training.datasets.findings import Findings


@dataclass(frozen=True)
class Dataset:
    """One published data set.

    Attributes:
        title: for people.
        splits: their names; the first is evaluated by default.
        layout: its folders and lists.
        read: turns a folder, the name of a split and `Findings` into a `Split`.
        radii_m: distances that figures are given for by default.
    """

    title: str
    splits: tuple[str, ...]
    layout: str
    read: Callable[[Path, str, Findings], Split]
    radii_m: tuple[float, ...]


#: Of Vo, Jacobs and Hays (ICCV 2017): street, city, region, country, continent.
WORLD_RADII_M = (1e3, 25e3, 200e3, 750e3, 2500e3)


def _worldwide(name: str, title: str) -> Dataset:
    def read(root: Path, _: str, found: Findings) -> Split:
        return worldwide.read(root, name, found)

    layout = worldwide.LAYOUT.replace("im2gps3k", name)
    return Dataset(title, worldwide.SPLITS, layout, read, WORLD_RADII_M)


_STREET = (5.0, 10.0, 25.0, 50.0, 100.0)
DATASETS: dict[str, Dataset] = {
    "vigor": Dataset("VIGOR", vigor.SPLITS, vigor.LAYOUT, vigor.read, _STREET),
    "cvusa": Dataset("CVUSA", cvusa.SPLITS, cvusa.LAYOUT, cvusa.read, _STREET),
    "cvact": Dataset("CVACT", cvact.SPLITS, cvact.LAYOUT, cvact.read, _STREET),
    "university": Dataset(
        "University-1652", university.SPLITS, university.LAYOUT, university.read, ()
    ),
    "cvuk": Dataset("CVUK-like folders", cvuk.SPLITS, cvuk.LAYOUT, cvuk.read, _STREET),
    "kitti": Dataset("KITTI cross-view", kitti.SPLITS, kitti.LAYOUT, kitti.read, _STREET),
    "ford": Dataset("Ford AV", ford.SPLITS, ford.LAYOUT, ford.read, _STREET),
    "im2gps": _worldwide("im2gps", "Im2GPS"),
    "im2gps3k": _worldwide("im2gps3k", "Im2GPS3k"),
    "yfcc4k": _worldwide("yfcc4k", "YFCC4k"),
    "gws15k": _worldwide("gws15k", "GWS15k"),
}


def find_dataset(name: str) -> Dataset:
    """A data set by name.

    Raises:
        DatasetError: there is none of that name.
    """
    if name not in DATASETS:
        raise DatasetError(f"no data set {shown(name)}; known here: {', '.join(DATASETS)}")
    return DATASETS[name]


@dataclass(frozen=True)
class Opened:
    """A split that is there.

    Attributes:
        split: what it holds.
        notes: what was left out or does not count, one line each.
    """

    split: Split
    notes: tuple[str, ...]


def open_split(
    name: str,
    root: Path,
    split: str = "",
    *,
    skip_missing: bool = False,
    queries_only: bool = False,
) -> Opened:
    """Read a split of a data set and see that every picture of it is there.

    Args:
        name: of the data set, a key of `DATASETS`.
        root: its folder.
        split: its name; empty: the one that is evaluated by default.
        skip_missing: leave out pictures that are missing, and say how many.
        queries_only: pictures are not looked at: positions are scored that something else found.

    Raises:
        DatasetError: an unknown name; or everything that is missing or wrong in the folder.
    """
    dataset = find_dataset(name)
    chosen = split or dataset.splits[0]
    if chosen not in dataset.splits:
        raise DatasetError(
            f"{dataset.title} has no split {shown(split)}; it has {', '.join(dataset.splits)}"
        )
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; name the one that {dataset.title} lies in")
    found = Findings(dataset.title, root)
    opened = dataset.read(root, chosen, found)
    if not queries_only:
        opened = _checked(opened, found, skip_missing)
    found.stop_if_any()
    if not len(opened.queries):
        found.add("splits have no query", chosen)
        found.stop_if_any()
    return Opened(opened, tuple(found.notes))


def _checked(split: Split, found: Findings, skip_missing: bool) -> Split:
    """The split with its pictures looked for; without the missing ones where that is allowed."""
    sides = {"queries": split.queries, "references": split.references}
    if not skip_missing:
        for side, pictures in sides.items():
            found.need(f"of {len(pictures)} pictures of {side} missing, expected", pictures.paths)
        return split
    there = {
        side: np.array([found.has(path) for path in pictures.paths], dtype=bool)
        for side, pictures in sides.items()
    }
    for side, kept in there.items():
        if not kept.all():
            found.notes.append(
                f"{int((~kept).sum())} of {len(kept)} pictures of {side} are missing and left out"
            )
    return subset(split, there["queries"], there["references"])


def without_distractors(opened: Opened) -> Opened:
    """The split without references that belong to no query."""
    split = opened.split
    wanted = np.zeros(len(split.references), dtype=bool)
    for related in (split.positives, split.semi_positives):
        wanted[related.pairs[:, 1]] = True
    left = int((~wanted).sum())
    every = np.ones(len(split.queries), dtype=bool)
    note = f"{left} of {len(wanted)} references belong to no query and are left out"
    return Opened(subset(split, every, wanted), (*opened.notes, note))


def layout_text(name: str) -> str:
    """Title, splits and folders of a data set, for people."""
    dataset = find_dataset(name)
    lines = "\n".join(f"  {line}" for line in dataset.layout.splitlines())
    return f"{dataset.title}: splits {', '.join(dataset.splits)}\n{lines}"
