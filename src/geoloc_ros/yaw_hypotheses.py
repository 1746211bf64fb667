# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Panoramas against tiles that all have north up: turned several ways, each a guess at heading.

An index with north up holds every place once. A panorama whose middle looks ahead belongs to such
a tile only if the vehicle looks north; turned left by t it belongs to it if the vehicle's heading
is north less t. So a panorama is described turned K ways, by whole columns. A place that is found
for one of them comes with that heading, and the similarity at a pose between two of them is that
of the descriptor between theirs: both in their shares, brought back to unit length.

K descriptions cost K times one. While a place is searched for all are needed; once it is known,
only those beside the headings that are believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.panorama import turned
from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray, Mask, View
from geoloc_ros.geo import se2
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.index.places import one_per_place

SimilarityAt = Callable[[FloatArray], tuple[Float32Array, Mask]]
IntArray = npt.NDArray[np.intp]

NORTH_RAD = 0.5 * math.pi
_ROUND = 2.0 * math.pi
#: two descriptors that contradict each other have none between them
_LEAST_LENGTH = 0.1


class YawHypotheses:
    """The ways a panorama is turned.

    Attributes:
        turns_rad: (K,) how far left, rising from 0, each a whole number of columns.

    Args:
        step_deg: they lie at most about so far apart.
        width_px: columns of the panorama.
    """

    def __init__(self, step_deg: float, width_px: int) -> None:
        count = min(math.ceil(360.0 / step_deg - 1e-9), width_px)
        columns = np.rint(np.arange(count) * (width_px / count))
        self.turns_rad: FloatArray = columns * (_ROUND / width_px)

    def __len__(self) -> int:
        """How many."""
        return len(self.turns_rad)

    @property
    def sigma_rad(self) -> float:
        """How far a heading lies from the nearest of them, one sigma of a uniform distribution."""
        return _ROUND / len(self) / math.sqrt(12.0)

    def views(self, view: View, headings: FloatArray | None) -> list[View]:
        """A panorama turned the ways that headings need.

        Args:
            view: its middle looks ahead.
            headings: (N,) yaws that the vehicle may have; None: any.

        Returns:
            At least one view, in the order of their turns.
        """
        return [turned(view, float(self.turns_rad[i])) for i in self.beside(headings)]

    def beside(self, headings: FloatArray | None) -> IntArray:
        """Numbers of the turns on both sides of what headings (N,) need; of all for None."""
        if headings is None:
            return np.arange(len(self))
        need = (NORTH_RAD - headings) % _ROUND
        after = np.searchsorted(self.turns_rad, need, side="right")
        found = np.unique(np.concatenate([after - 1, after % len(self)]))
        return found if len(found) else np.zeros(1, dtype=np.intp)

    def search(
        self, index: PlaceIndex, views: list[View], descriptors: Float32Array, most: int
    ) -> Candidates:
        """Vehicle poses of the most similar places, one for each place and heading, best first.

        Args:
            index: with north up.
            views: turned panoramas.
            descriptors: (V, D) of them.
            most: entries fetched, neighbours included.
        """
        found = [
            _vehicles(index.search(descriptor, most), view)
            for view, descriptor in zip(views, descriptors, strict=True)
        ]
        similarity = np.concatenate([candidates.similarity for candidates in found])
        best = np.argsort(-similarity, kind="stable")[:most]
        return one_per_place(
            Candidates(
                np.concatenate([candidates.entry_ids for candidates in found])[best],
                np.concatenate([candidates.poses for candidates in found])[best],
                similarity[best],
            )
        )

    def similarity(
        self, index: PlaceIndex, views: list[View], descriptors: Float32Array
    ) -> SimilarityAt:
        """Similarity of a frame at any vehicle poses (N, 3), and where the index has support.

        Args:
            index: with north up.
            views: turned panoramas, in the order of their turns.
            descriptors: (V, D) of them.
        """
        return _Between(index, views, descriptors, 1.5 * _ROUND / len(self))


def _vehicles(found: Candidates, view: View) -> Candidates:
    return replace(found, poses=se2.compose(found.poses, se2.inverse(view.anchor)))


class _Between:
    """Similarity between turned panoramas; a pose that none of them is near has no support.

    Args:
        index: with north up.
        views: turned panoramas, in the order of their turns.
        descriptors: (V, D) of them.
        widest_rad: further apart there is nothing between two turns.
    """

    def __init__(
        self, index: PlaceIndex, views: list[View], descriptors: Float32Array, widest_rad: float
    ) -> None:
        self._index, self._descriptors, self._widest_rad = index, descriptors, widest_rad
        self._offset = np.array([*views[0].anchor_offset_m, 0.0])
        self._turns = np.array([view.anchor_yaw_rad for view in views]) % _ROUND
        following = descriptors[[*range(1, len(views)), 0]]
        self._likeness = np.einsum("vd,vd->v", descriptors, following)

    def __call__(self, poses: FloatArray) -> tuple[Float32Array, Mask]:
        """Similarity (N,) and support (N,) at vehicle poses (N, 3)."""
        anchors = se2.compose(poses, self._offset)
        before, after, share = self._neighbours((NORTH_RAD - anchors[:, 2]) % _ROUND)
        anchors[:, 2] = NORTH_RAD
        found = np.zeros((2, len(poses)), dtype=np.float32)
        supported = np.zeros(len(poses), dtype=np.bool_)
        for turn, descriptor in enumerate(self._descriptors):
            rows = np.flatnonzero((before == turn) | (after == turn))
            if len(rows):
                values, supported[rows] = self._index.similarity_at(descriptor, anchors[rows])
                for side, wanted in enumerate((before, after)):
                    mine = wanted[rows] == turn
                    found[side, rows[mine]] = values[mine]
        both = (1.0 - share) ** 2 + share**2
        length = np.sqrt(both + 2.0 * share * (1.0 - share) * self._likeness[before])
        mixed = (1.0 - share) * found[0] + share * found[1]
        return np.asarray(mixed / np.maximum(length, _LEAST_LENGTH), np.float32), supported

    def _neighbours(self, need: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
        """The turns on both sides of what is needed (N,), and how far it lies from the first.

        Where they are too far apart both are the nearer one, or -1 if that is too far, too.
        """
        after = np.searchsorted(self._turns, need, side="right")
        before, after = (after - 1) % len(self._turns), after % len(self._turns)
        past = (need - self._turns[before]) % _ROUND
        left = (self._turns[after] - need) % _ROUND
        share = past / np.maximum(past + left, 1e-9)
        lonely = past + left > self._widest_rad
        nearer = np.where(past <= left, before, after)
        nearer[np.minimum(past, left) > self._widest_rad] = -1
        before, after = np.where(lonely, nearer, before), np.where(lonely, nearer, after)
        return before, after, np.where(lonely, 0.0, share)
