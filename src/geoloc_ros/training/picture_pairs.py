# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of pictures of a published data set: what is paired is given, nothing is cut anew.

A pair is flipped and turned as a whole, so that both sides still agree (Sample4Geo): a panorama
rolls by quarters where its tile is turned by as many.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geoloc_ros.datatypes import FloatArray, Image, Mask
from geoloc_ros.training import augment
from geoloc_ros.training.data import Batch
from geoloc_ros.training.datasets.base import Places, Split
from geoloc_ros.training.datasets.preparation import Preparation
from geoloc_ros.training.draws import Draws, Part, Rng
from geoloc_ros.training.posed_pairs import mirrored

IntArray = npt.NDArray[np.int64]
# How often a pair is mirrored, and turned by one, two or three quarters, as in Sample4Geo.
FLIPPED, TURNED = 0.5, 0.75
EARTH_M = 6_371_000.0


class PicturePairs:
    """Some pairs of a split.

    Attributes:
        pairs: (P, 2) rows of queries and of references.
    """

    def __init__(self, preparation: Preparation, pairs: IntArray) -> None:
        self.pairs = pairs
        self._preparation = preparation
        self._turns = preparation.package.query.view == "panorama"

    @property
    def _split(self) -> Split:
        return self._preparation.split

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.pairs)

    @cached_property
    def _related(self) -> list[frozenset[int]]:
        """References (rows) of each pair's query that are not wrong."""
        split = self._split
        found = {
            int(q): frozenset([*split.positives[q].tolist(), *split.semi_positives[q].tolist()])
            for q in np.unique(self.pairs[:, 0]).tolist()
        }
        return [found[int(q)] for q in self.pairs[:, 0]]

    def same(self, rows: IntArray) -> Mask:
        """Which pairs (n, P) have a reference that is not wrong for the query of some (n,)."""
        references = self.pairs[:, 1]
        return np.stack([np.isin(references, list(self._related[row])) for row in rows])

    def near(self, count: int) -> IntArray:
        """For each pair the nearest others that are elsewhere (P, count); -1 where none is.

        Where the data set tells no places, nothing is near.
        """
        result = np.full((len(self), count), -1, dtype=np.int64)
        where = positions_m(self._split, self.pairs)
        if where is None:
            return result
        known = np.flatnonzero(np.isfinite(where).all(axis=1))
        wanted = min(len(known), 2 * count + 8)
        _, found = cKDTree(where[known]).query(where[known], k=wanted)
        for row, others in zip(known, known[np.atleast_2d(found)], strict=True):
            related = self._related[row]
            kept = [o for o in others if int(self.pairs[o, 1]) not in related][:count]
            result[row, : len(kept)] = kept
        return result

    def batch(
        self, rows: IntArray, draws: Draws, part: Part, extra: int, wide: bool = False
    ) -> Batch:
        """A process's part of a batch; there are no near misses and no wider positives here."""
        del extra, wide
        pictures = [self._pair(int(rows[i]), draws.row(int(i)))
                    for i in np.arange(len(rows))[part.of(len(rows))]]  # fmt: skip
        ignore = np.stack(
            [np.isin(self.pairs[rows, 1], list(self._related[int(row)])) for row in rows]
        )
        np.fill_diagonal(ignore, False)
        query, reference = zip(*pictures, strict=True)
        return Batch(np.stack(query), np.stack(reference), ignore)

    def _pair(self, row: int, rng: Rng) -> tuple[Image, Image]:
        query, reference = self.pairs[row]
        flip = bool(rng.random() < FLIPPED)
        quarters = int(rng.integers(1, 4)) if self._turns and rng.random() < TURNED else 0
        view = mirrored(self._preparation.query(int(query)), flip)
        tile = mirrored(self._preparation.reference(int(reference)), flip)
        view, tile = turned(view, tile, quarters)
        return augment.mild(view, rng), augment.mild(tile, rng)


def turned(view: Image, tile: Image, quarters: int) -> tuple[Image, Image]:
    """A panorama and its tile, both turned by quarters: what was east of the tile is up then."""
    if not quarters:
        return view, tile
    columns = quarters * view.shape[1] // 4
    # The camera turns to the right: by so many columns less than all the way round to the left.
    rolled = augment.rolled(view, view.shape[1] - columns)
    return rolled, np.ascontiguousarray(np.rot90(tile, quarters))


def positions_m(split: Split, pairs: IntArray, flat: bool = False) -> FloatArray | None:
    """Where pairs were taken, m, NaN where unknown; None where nothing is known.

    Args:
        split: the data set.
        pairs: (P, 2) rows of queries and of references.
        flat: answer (P, 2) for blocks of ground, and for nothing else: columns are true to scale
            within a tenth of a degree of latitude, and jump to the next; else degrees become
            points (P, 3) on a sphere, whose straight distances are right everywhere near by.
    """
    sides = (split.queries.places, pairs[:, 0]), (split.references.places, pairs[:, 1])
    for places, rows in sides:
        if places is not None and np.isfinite(places.values[rows]).any():
            return _metres(places, rows, flat)
    return None


def _metres(places: Places, rows: IntArray, flat: bool) -> FloatArray:
    values = places.values[rows]
    if places.unit == "m":
        return values
    lat, lon = np.radians(values).T
    if flat:
        band = np.radians(np.round(values[:, 0], 1))
        return EARTH_M * np.column_stack([lon * np.cos(band), lat])
    out = np.cos(lat)
    return EARTH_M * np.column_stack([out * np.cos(lon), out * np.sin(lon), np.sin(lat)])
