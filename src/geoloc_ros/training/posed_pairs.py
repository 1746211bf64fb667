# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of camera views with known poses and the ground they were taken over.

Made towns and one's own drives are both this: a view is paired with a crop that is cut anew for
every step, near the view's pose as an index's anchors are. So positives, near misses and mirrored
worlds come without end from one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray, Image, Mask
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.se2 import compose
from geoloc_ros.training import augment
from geoloc_ros.training.data import Batch
from geoloc_ros.training.draws import Draws, Part, Rng
from geoloc_ros.training.layout import QUERY_COLUMNS, REFERENCE_COLUMNS, LayoutLesson, Raster
from geoloc_ros.training.sampling import geographic_neighbours, offset_pose, too_near

IntArray = npt.NDArray[np.int64]


class Pictures(Protocol):
    """Pictures of one size, in memory or read where they are looked at."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, at: Any, /) -> Any:  # noqa: ANN401 - as of an array
        """One (H, W, 3), or a slice of them (n, H, W, 3)."""


class Ground(Protocol):
    """A piece of the world from above."""

    @property
    def seasons(self) -> int:
        """How many pictures of it there are."""

    def crops(self, poses: FloatArray, season: int = 0) -> Image:
        """Crops (N, S, S, 3) at poses (N, 3); several threads may ask."""


@dataclass(frozen=True)
class Area:
    """Views of one piece of the world.

    Attributes:
        images: (N, H, W, 3) views.
        poses: (N, 3) anchor of each view on the ground's plane.
        ground: what the crops are cut from.
        layout: (S, S) what stands where, see `layout.layout_raster`; None where nobody knows.
        masks: (N, H, W) seen pixels; None where the views are full.
    """

    images: Pictures
    poses: FloatArray
    ground: Ground
    layout: Raster | None = None
    masks: Pictures | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from a view's pose crops lie.

    Attributes:
        right: forward m, left m, yaw rad to which a right one may lie off.
        wrong_from: how near a wrong one may lie, in units of `sampling.offset_pose`.
    """

    right: tuple[float, float, float]
    wrong_from: float


# An index scatters anchors every 1.5 m along a road, +-4 m across it and +-12 degrees; the nearest
# then lies within 2.2 m, 2.0 m and 9 degrees in nine cases of ten (measured on validation town
# 2000). On a 10 m grid of 20 headings it lies within 5 m and 9 degrees.
NARROW = {
    "perspective": Reach((1.0, 1.0, float(np.radians(5.0))), 4.0),
    "ground_plane": Reach((3.0, 3.0, float(np.radians(5.0))), 9.0),
    "panorama": Reach((1.0, 1.0, float(np.radians(5.0))), 4.0),
}
WIDE = {
    "perspective": Reach((2.2, 2.0, float(np.radians(9.0))), 6.0),
    "ground_plane": Reach((5.0, 5.0, float(np.radians(9.0))), 12.0),
    "panorama": Reach((2.2, 2.0, float(np.radians(9.0))), 6.0),
}


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the pictures of a batch lie; the same for every process.

    Attributes:
        true: (N, 3) poses of the views as turned.
        crops: (N + E, 3) poses of the crops, the right ones first.
        towns: (N + E,) number of the area.
        angles: (N, 3) by which views are turned.
    """

    true: FloatArray
    crops: FloatArray
    towns: IntArray
    angles: FloatArray


class PosedPairs:
    """Views of many areas.

    Attributes:
        areas: where they were taken.
        poses: (N, 3) of all samples.
        towns: (N,) number of each sample's area.
    """

    def __init__(self, areas: Sequence[Area], card: ModelPackage) -> None:
        """Join areas.

        Args:
            areas: with views.
            card: what views and crops are made for.

        Raises:
            TrainingError: there is nothing to train on.
        """
        if not sum(len(a.poses) for a in areas):
            raise TrainingError("no views to train on; render towns or mine drives first")
        self.areas, self._query = list(areas), card.query
        self.poses = np.concatenate([a.poses for a in areas])
        counts = [len(a.poses) for a in areas]
        self.towns = np.repeat(np.arange(len(areas)), counts).astype(np.int64)
        self._first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._fill = augment.fill_colour(card.mean)
        rasters = [a.layout for a in areas if a.layout is not None]
        known = card.query.view == "perspective" and len(rasters) == len(areas)
        self._layout = LayoutLesson(rasters, card.query, card.reference) if known else None

    def __len__(self) -> int:
        """How many samples."""
        return len(self.poses)

    def near(self, count: int) -> IntArray:
        """For each sample its nearest others that are elsewhere (N, count); -1 where none is."""
        return geographic_neighbours(self.poses, self.towns, count)

    def same(self, rows: IntArray) -> Mask:
        """Which samples (n, N) show the same place as some (n,)."""
        return too_near(self.poses[rows], self.poses, self.towns[rows], self.towns)

    def batch(
        self, rows: IntArray, draws: Draws, part: Part, extra: int, wide: bool = False
    ) -> Batch:
        """A process's part of a batch: moved positives, changed colours, near misses.

        Args:
            rows: sample numbers (N,) of the whole batch.
            draws: of the step.
            part: which rows and near misses this process makes.
            extra: near misses, of the first samples; no more than there are samples.
            wide: let positives lie as far off as the nearest index anchor does (`WIDE`), and wrong
                poses beyond; else both lie closer (`NARROW`).
        """
        extra = min(extra, len(rows))
        flip = bool(draws.batch().random() < 0.5)
        generators = [draws.row(i) for i in range(len(rows) + extra)]
        places = self._places(rows, generators, extra, wide)
        mine = np.arange(len(rows))[part.of(len(rows))]
        crops = np.concatenate([mine, len(rows) + np.arange(extra)[part.of(extra)]])
        query = [self._view(rows[i], places.angles[i], generators[i], flip) for i in mine]
        reference = [
            self._crop(places.crops[i], int(places.towns[i]), generators[i], flip) for i in crops
        ]
        layouts: tuple[Float32Array | None, Float32Array | None] = None, None
        if self._layout is not None:
            towns, look = places.towns, self._layout
            layouts = (
                look(places.true[mine], towns[mine], flip, QUERY_COLUMNS),
                look(places.crops[crops], towns[crops], flip, REFERENCE_COLUMNS),
            )
        return Batch(np.stack(query), np.stack(reference), self._ignore(places), *layouts)

    def _places(self, rows: IntArray, generators: list[Rng], extra: int, wide: bool) -> _Places:
        reach = (WIDE if wide else NARROW)[self._query.view]
        true, angles = self.poses[rows].copy(), np.zeros((len(rows), 3))
        crops = np.empty((len(rows) + extra, 3))
        for i, rng in enumerate(generators[: len(rows)]):
            angles[i] = augment.view_angles(self._query, rng)
            true[i, 2] += angles[i, 2]
            crops[i] = compose(true[i], rng.uniform(-1.0, 1.0, 3) * reach.right)
        for i, rng in enumerate(generators[len(rows) :]):
            crops[len(rows) + i] = offset_pose(true[i], rng, reach.wrong_from)
        towns = self.towns[np.concatenate([rows, rows[:extra]])]
        return _Places(true, crops, towns, angles)

    def _ignore(self, places: _Places) -> Mask:
        """Pairs (N, N + E) too near to call wrong; a near miss is one a little further off."""
        count = len(places.true)
        near, wrong = places.crops[:count], places.crops[count:]
        towns, others = places.towns[:count], places.towns[count:]
        ignore = too_near(places.true, near, towns, towns)
        np.fill_diagonal(ignore, False)
        loose = too_near(places.true, wrong, towns, others, 3.5, 14.0)
        return np.concatenate([ignore, loose], axis=1)

    def _view(self, row: int, angles: FloatArray, rng: Rng, flip: bool) -> Image:
        area = self.areas[int(self.towns[row])]
        number = int(row - self._first[self.towns[row]])
        view = augment.turned_view(area.images[number], angles, self._query, self._fill)
        view = augment.mild(mirrored(view, flip), rng)
        if area.masks is not None:
            unseen = (0, 0, 0)
            white = np.where(area.masks[number][..., None], np.uint8(255), np.zeros(3, np.uint8))
            seen = augment.turned_view(white, angles, self._query, unseen)
            view[mirrored(seen, flip)[..., 0] < 128] = self._fill
        return view

    def _crop(self, pose: FloatArray, town: int, rng: Rng, flip: bool) -> Image:
        ground = self.areas[town].ground
        season = int(rng.integers(ground.seasons))
        return augment.mild(mirrored(ground.crops(pose[None], season)[0], flip), rng)


def mirrored(picture: npt.NDArray[Any], flip: bool) -> npt.NDArray[Any]:
    """A picture (H, W, ...) as seen in a mirror, or as it is."""
    return np.ascontiguousarray(picture[:, ::-1]) if flip else picture
