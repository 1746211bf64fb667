# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a data set is to the rest of the package: a split with queries, references and truth.

A reader (`vigor.py`, `cvusa.py`, ...) turns the folders of one published data set into a `Split`;
`registry.open_split` finds the reader. Nothing is decoded before `Pictures.load` asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.errors import DatasetError, ImageDecodeError
from geoloc_ros.imagery.files import decode_rgb

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
#: what a picture shows: an equirectangular panorama (azimuth along the columns), what a pinhole
#: camera sees, or the ground from above; "any" is a photo about which nothing is promised
View = Literal["panorama", "perspective", "overhead", "any"]


@dataclass(frozen=True, eq=False)
class Places:
    """Where pictures were taken, or what is at their centres.

    Attributes:
        values: (N, 2) latitude and longitude in degrees, or x east and y north in metres; a row is
            NaN where the place is not known.
        unit: which of the two.
        datum: what the values refer to, for people: "WGS84", "UTM zone 55 S, WGS84", ...
    """

    values: FloatArray
    unit: Literal["deg", "m"]
    datum: str

    def __post_init__(self) -> None:
        """Refuse what is no list of places.

        Raises:
            DatasetError: wrong shape, or a latitude or longitude out of range.
        """
        if self.values.ndim != 2 or self.values.shape[1] != 2:
            raise DatasetError(f"places have shape {self.values.shape}; it must be (N, 2)")
        if self.unit == "deg":
            limit = np.array([90.0, 180.0])
            wrong = (np.abs(self.values) > limit).any(axis=1)
            if wrong.any():
                lat_deg, lon_deg = self.values[int(np.argmax(wrong))]
                raise DatasetError(
                    f"not a position: lat {lat_deg}, lon {lon_deg}; latitude must lie in -90..90 "
                    "and longitude in -180..180 degrees: are the two columns swapped?"
                )

    def __len__(self) -> int:
        """How many."""
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Pictures:
    """One side of a split: all queries, or all references.

    Attributes:
        paths: N picture files.
        ids: N names, each once, the same on every machine: what tables and caches call them.
        view: what they show.
        places: where they were taken (queries) or what their centres show (references), if known.
        heading_deg: (N,) compass direction, clockwise from north, of a panorama's middle column,
            of a pinhole camera's axis, or of up in an overhead picture; NaN or None: unknown.
        hfov_deg: horizontal field of view, 360 for a panorama; None: unknown or overhead.
        vfov_deg: vertical field of view of a panorama, centred on the horizon; None: unknown.
        gsd_m: (N,) metres a pixel of overhead pictures as stored; None: unknown.
    """

    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    view: View
    places: Places | None = None
    heading_deg: FloatArray | None = None
    hfov_deg: float | None = None
    vfov_deg: float | None = None
    gsd_m: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse columns of different lengths and names that stand twice.

        Raises:
            DatasetError: either.
        """
        for name in ("ids", "places", "heading_deg", "gsd_m"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.paths):
                raise DatasetError(
                    f"{len(self.paths)} pictures, but {len(column)} {name}; they must be as many"
                )
        if len(set(self.ids)) != len(self.ids):
            twice = duplicates(self.ids)
            raise DatasetError(
                f"{len(twice)} names stand more than once, the first {twice[0]!r}; every picture "
                "needs a name of its own"
            )

    def __len__(self) -> int:
        """How many."""
        return len(self.paths)

    def load(self, row: int) -> Image:
        """One picture (H, W, 3) uint8 RGB, decoded now.

        Raises:
            DatasetError: the file is missing, unreadable, cut off or no picture.
        """
        return read_picture(self.paths[row])


class Related:
    """For each of N rows the rows of the other side it belongs to, in order; any number, none too.

    Stored as one array with marks, so that a hundred thousand rows cost a megabyte.
    """

    def __init__(self, rows: Iterable[Sequence[int] | IntArray]) -> None:
        lists = [np.asarray(row, dtype=np.int64).reshape(-1) for row in rows]
        self._first = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)
        self._rows: IntArray = np.concatenate(lists) if lists else np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """N."""
        return len(self._first) - 1

    def __getitem__(self, row: int) -> IntArray:
        """The related rows (K,) of one row; K may be 0."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self._rows[self._first[row] : self._first[row + 1]]

    @property
    def counts(self) -> IntArray:
        """How many each row has, (N,)."""
        return np.asarray(np.diff(self._first), dtype=np.int64)

    @property
    def pairs(self) -> IntArray:
        """(P, 2) all pairs (row, related row), by row."""
        return np.stack([np.repeat(np.arange(len(self)), self.counts), self._rows], axis=1)


@dataclass(frozen=True, eq=False)
class Split:
    """Queries, references and which belong together.

    Attributes:
        dataset: name of the data set, as `--dataset` takes it.
        name: of the split, as `--split` takes it.
        root: the folder it was read from.
        queries: what is looked for.
        references: what is searched.
        positives: of each query, the references that are right.
        semi_positives: of each query, references that show the place off-centre (VIGOR): neither
            right nor wrong. Empty rows elsewhere.
    """

    dataset: str
    name: str
    root: Path
    queries: Pictures
    references: Pictures
    positives: Related
    semi_positives: Related

    def __post_init__(self) -> None:
        """Refuse truth that does not fit the pictures.

        Raises:
            DatasetError: as many rows as queries are needed, and references that exist.
        """
        for name in ("positives", "semi_positives"):
            related: Related = getattr(self, name)
            rows = related.pairs[:, 1]
            if len(related) != len(self.queries):
                raise DatasetError(f"{len(related)} rows of {name} of {len(self.queries)} queries")
            wrong = rows[(rows < 0) | (rows >= len(self.references))]
            if len(wrong):
                raise DatasetError(
                    f"{name} name reference {wrong[0]}; there are {len(self.references)}"
                )

    @property
    def pairs(self) -> IntArray:
        """(P, 2) rows (query, reference) that belong together: what is trained on."""
        return self.positives.pairs


def subset(split: Split, queries: BoolArray, references: BoolArray) -> Split:
    """The split with some of its pictures; truth about those that are left out is dropped.

    Args:
        split: the whole.
        queries: (Q,) which to keep.
        references: (R,) which to keep.
    """
    new_row = np.where(references, np.cumsum(references) - 1, -1)
    asked = np.flatnonzero(queries).tolist()

    def kept(related: Related) -> Related:
        rows = (new_row[related[row]] for row in asked)
        return Related(row[row >= 0] for row in rows)

    return Split(
        dataset=split.dataset,
        name=split.name,
        root=split.root,
        queries=_chosen(split.queries, queries),
        references=_chosen(split.references, references),
        positives=kept(split.positives),
        semi_positives=kept(split.semi_positives),
    )


def _chosen(pictures: Pictures, kept: BoolArray) -> Pictures:
    """Some of the pictures."""
    rows = np.flatnonzero(kept)
    places, heading_deg, gsd_m = pictures.places, pictures.heading_deg, pictures.gsd_m
    return replace(
        pictures,
        paths=tuple(pictures.paths[row] for row in rows),
        ids=tuple(pictures.ids[row] for row in rows),
        places=None if places is None else replace(places, values=places.values[rows]),
        heading_deg=None if heading_deg is None else heading_deg[rows],
        gsd_m=None if gsd_m is None else gsd_m[rows],
    )


def duplicates(names: Iterable[str]) -> list[str]:
    """Names that stand more than once, in order."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def read_picture(path: Path) -> Image:
    """A picture file as (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: it is missing, unreadable, cut off or no picture.
    """
    try:
        data = path.read_bytes()
        rgb = decode_rgb(data, str(path))
    except OSError as error:
        raise DatasetError(
            f"cannot read {path}: {error.strerror or error}; unpack the data set again"
        ) from error
    except ImageDecodeError as error:
        raise DatasetError(f"{error}; or unpack the data set again") from error
    if _cut_off(data):
        raise DatasetError(
            f"{path} is cut off after {len(data)} bytes; unpack or fetch the data set again"
        )
    return rgb


def _cut_off(data: bytes) -> bool:
    """Whether a JPEG file has no end; decoders fill up what is missing with grey."""
    if not data.startswith(b"\xff\xd8"):
        return False
    begin_of_scan, end_of_image = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return end_of_image < begin_of_scan
