# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Similarity of an image at any pose, from the descriptors of the index entries around it.

The descriptor a crop at the pose would have is predicted by kriging (Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, equation 2.23) from K entries and brought back to
unit length; its product with the image's descriptor is the similarity. Restoring the length undoes
the shrinking of every average and keeps the peak as high and as narrow as it is: on random fields
the error is a half to a third of kernel regression of the similarities.

With P = (C + noise I)^-1 over neighbours whose descriptors are the rows of D, and covariances c
of a pose with them, the prediction is D^T P c, so the similarity to a descriptor q is
c . (P D q) / sqrt(c . (P D D^T P) c). P and P D D^T P depend on the index alone. They are made
once for the neighbourhood of each entry, when a pose first needs it; a pose uses the neighbourhood
of the nearest entry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray, Mask
from geoloc_ros.index import kriging
from geoloc_ros.index.cells import Cells, embed
from geoloc_ros.index.policy import SamplingPolicy

IntArray = npt.NDArray[np.int64]

MOST_PREPARED = 1 << 15  # neighbourhoods kept, 1.4 kB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Scale and reach of the interpolation.

    Attributes:
        neighbours: entries per prediction.
        sigma_m: length of the descriptors' correlation in position.
        sigma_rad: and in heading.
        noise: variance of an entry's own noise, as a share of the field's.
        reach_m: a pose is supported if an entry is this near ...
        reach_rad: ... and this near in heading.
    """

    neighbours: int = 12
    sigma_m: float = 4.0
    sigma_rad: float = 0.2
    noise: float = 0.05
    reach_m: float = 6.0
    reach_rad: float = math.radians(25.0)

    @classmethod
    def of(cls, policy: SamplingPolicy) -> Kernel:
        """The kernel that suits the density of a sampling policy."""
        base = cls()
        if policy.kind == "roads":
            return base
        step = 0.0 if policy.north_up else 2.0 * math.pi / policy.headings
        return cls(
            sigma_m=max(base.sigma_m, 0.8 * policy.pitch_m),
            sigma_rad=max(base.sigma_rad, 0.7 * step),
            reach_m=max(base.reach_m, 1.0 * policy.pitch_m),
            reach_rad=max(base.reach_rad, 0.75 * step),
        )


class Neighbourhoods:
    """The K entries around each entry, and what kriging from them needs; made when asked for.

    Args:
        cells: the entries.
        descriptors: (E, D) unit vectors.
        kernel: neighbours and noise.
        prepared: most neighbourhoods that are kept.

    Attributes:
        slot: (E,) where each entry's neighbourhood stands, -1 if it is not prepared.
        ids: (S, K) entries of each prepared neighbourhood, nearest first.
        offset: (S, K, 4) where they lie from its own entry.
        inverse: (S, K, K) inverse P of their covariance with noise.
        length: (S, K, K) P D D^T P, the quadratic form of a prediction's squared length.
    """

    def __init__(
        self, cells: Cells, descriptors: Float32Array, kernel: Kernel, prepared: int
    ) -> None:
        self._cells, self._descriptors, self._noise = cells, descriptors, kernel.noise
        self._k = min(kernel.neighbours, len(descriptors))
        self._call = 0
        self._value = np.zeros(len(descriptors), dtype=np.float32)
        self._valued = np.zeros(len(descriptors), dtype=np.int64)
        self._make_room(min(prepared, len(descriptors)))

    def predict(
        self,
        query: Float32Array,
        poses: FloatArray,
        scale: tuple[float, float],
        reach: tuple[float, float],
    ) -> tuple[Float32Array, Mask]:
        """Similarity (N,) and support (N,) at poses (N, 3).

        Args:
            query: (D,) unit vector.
            poses: x_m, y_m, yaw_rad.
            scale: correlation length, m, and correlation angle, rad.
            reach: largest squared distance of support in position, and in heading.
        """
        places, entries = self._located(poses, scale, math.sqrt(sum(reach)))
        self._call += 1
        return kriging.predict(
            query,
            places,
            entries,
            reach,
            self._call,
            self._cells.places,
            self._cells.order,
            self._descriptors,
            self.slot,
            self.ids,
            self.offset,
            self.inverse,
            self.length,
            self._value,
            self._valued,
            self._weight,
            self._weighted,
        )

    def _make_room(self, capacity: int) -> None:
        """Forget all; memory is written to at once, so that it does not grow on the road."""
        k = self._k
        self.ids = np.full((capacity, k), -1, dtype=np.int64)
        self.offset = np.full((capacity, k, 4), np.nan, dtype=np.float32)
        self.inverse = np.full((capacity, k, k), np.nan, dtype=np.float32)
        self.length = np.full((capacity, k, k), np.nan, dtype=np.float32)
        self._weight = np.full((capacity, k), np.nan, dtype=np.float32)
        self._forget()

    def _forget(self) -> None:
        self.slot = np.full(len(self._descriptors), -1, dtype=np.int64)
        self._count = 0
        self._weighted = np.zeros(len(self.ids), dtype=np.int64)

    def _located(
        self, poses: FloatArray, scale: tuple[float, float], limit: float
    ) -> tuple[FloatArray, IntArray]:
        """Places (N, 4) of poses and the entries (N,) nearest to them, which are prepared.

        All others are forgotten when there are too many.
        """
        found = self._cells.locate(poses, scale, limit, self.slot, self._count)
        while self._count + len(found[2]) > len(self.ids):
            if self._count:
                self._forget()
            else:
                self._make_room(len(poses))
            found = self._cells.locate(poses, scale, limit, self.slot, self._count)
        places, entries, missing = found
        if len(missing):
            self._prepare(missing)
        return places, entries

    def _prepare(self, missing: IntArray) -> None:
        """Prepare entries (U,) that have been given the next slots."""
        cells, at = self._cells, slice(self._count, self._count + len(missing))
        cells.neighbours(missing, self.ids[at])
        kriging.prepare(
            missing,
            self._noise,
            cells.places,
            cells.order,
            self._descriptors,
            self.ids[at],
            self.offset[at],
            self.inverse[at],
            self.length[at],
        )
        self._count = at.stop


class LocalField:
    """Interpolates similarity between index entries.

    Args:
        poses: (E, 3) anchors x_m, y_m, yaw_rad.
        descriptors: (E, D) unit vectors.
        kernel: scale and reach.
        prepared: most neighbourhoods that are kept.
    """

    def __init__(
        self,
        poses: FloatArray,
        descriptors: Float32Array,
        kernel: Kernel | None = None,
        prepared: int = MOST_PREPARED,
    ) -> None:
        self.kernel = kernel or Kernel()
        self._scale = self.kernel.sigma_m, self.kernel.sigma_rad
        rows = np.ascontiguousarray(poses, dtype=np.float64).reshape(-1, 3)
        cells = Cells(embed(rows, self._scale))
        self._near = Neighbourhoods(
            cells, np.ascontiguousarray(descriptors, dtype=np.float32), self.kernel, prepared
        )
        # Squared, and the turn as a chord, as `embed` measures them.
        chord = 2.0 * math.sin(0.5 * self.kernel.reach_rad) / self.kernel.sigma_rad
        self._reach = (self.kernel.reach_m / self.kernel.sigma_m) ** 2, chord**2
        self(descriptors[0], poses[:1])  # compiles

    def __call__(self, descriptor: Float32Array, poses: FloatArray) -> tuple[Float32Array, Mask]:
        """Similarity and support at poses.

        Args:
            descriptor: (D,) unit vector of the image.
            poses: (N, 3) anchors x_m, y_m, yaw_rad.

        Returns:
            Similarity (N,), 0 where not supported, and whether entries are near enough (N,).
        """
        rows = np.ascontiguousarray(poses, dtype=np.float64).reshape(-1, 3)
        return self._near.predict(descriptor, rows, self._scale, self._reach)


def sane_rows(values: FloatArray) -> Mask:
    """Rows of (N, M) that are finite and within 1000 km, (N,)."""
    # NaN compares as False
    return np.asarray((np.abs(values) < 1e6).all(axis=1), dtype=np.bool_)
