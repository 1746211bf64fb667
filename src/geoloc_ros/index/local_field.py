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
once for the neighbourhood of each entry, a block of ground at a time, so that the ground ahead of
a vehicle is ready before it is needed; a pose uses the neighbourhood of the nearest entry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geoloc_ros.datatypes import Float32Array, FloatArray, Mask
from geoloc_ros.index.policy import SamplingPolicy

IntArray = npt.NDArray[np.int64]

_BLOCK_M = 24.0
_BLOCK_YAW = 0.5 * math.pi
_MOST_PREPARED = 1 << 15  # neighbourhoods kept, 1.4 kB each


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
        step = 2.0 * math.pi / policy.headings
        return cls(
            sigma_m=max(base.sigma_m, 0.8 * policy.pitch_m),
            sigma_rad=max(base.sigma_rad, 0.7 * step),
            reach_m=max(base.reach_m, 1.0 * policy.pitch_m),
            reach_rad=max(base.reach_rad, 0.75 * step),
        )


class Neighbourhoods:
    """The K entries around each entry, and what kriging from them needs; made when asked for.

    Args:
        places: (E, 4) entries where the kernel is round.
        blocks: (E,) number of the block of ground each entry lies in.
        descriptors: (E, D) unit vectors.
        kernel: neighbours and noise.

    Attributes:
        ids: (S, K) entries of each prepared neighbourhood, nearest first.
        offset: (S, K, 4) where they lie from its own entry.
        inverse: (S, K, K) inverse P of their covariance with noise.
        length: (S, K, K) P D D^T P, the quadratic form of a prediction's squared length.
    """

    def __init__(
        self, places: FloatArray, blocks: IntArray, descriptors: Float32Array, kernel: Kernel
    ) -> None:
        self.tree = cKDTree(places)
        self._places, self._descriptors, self._noise = places, descriptors, kernel.noise
        self._k = min(kernel.neighbours, len(places))
        self._block = blocks
        self._order = np.argsort(blocks, kind="stable")
        self._edges = np.searchsorted(blocks[self._order], np.arange(blocks.max(initial=0) + 2))
        self._forget(min(_MOST_PREPARED, len(places)))

    def slots(self, entries: IntArray) -> IntArray:
        """Rows (N,) at which the neighbourhoods of entries (N,) stand, prepared where missing."""
        slots = self._slot[entries]
        if slots.min(initial=0) < 0:
            self._prepare(np.unique(entries))
            slots = self._slot[entries]
        return slots

    def _forget(self, capacity: int) -> None:
        k = self._k
        self._slot = np.full(len(self._places), -1, dtype=np.int64)
        self._count = 0
        self.ids = np.empty((capacity, k), dtype=np.int64)
        self.offset = np.empty((capacity, k, 4), dtype=np.float32)
        self.inverse = np.empty((capacity, k, k), dtype=np.float32)
        self.length = np.empty((capacity, k, k), dtype=np.float32)

    def _prepare(self, entries: IntArray) -> None:
        """Prepare the blocks of the entries; forget all others when there are too many."""
        rows = self._members(np.unique(self._block[entries[self._slot[entries] < 0]]))
        if self._count + len(rows) > len(self.ids):
            rows = self._members(np.unique(self._block[entries]))
            self._forget(max(len(self.ids), len(rows)))
        for start in range(0, len(rows), 1024):
            some = rows[start : start + 1024]
            at = slice(self._count, self._count + len(some))
            self.ids[at], self.offset[at], self.inverse[at], self.length[at] = self._made(some)
            self._slot[some] = np.arange(at.start, at.stop)
            self._count = at.stop

    def _members(self, blocks: IntArray) -> IntArray:
        return np.concatenate([self._order[self._edges[b] : self._edges[b + 1]] for b in blocks])

    def _made(self, rows: IntArray) -> tuple[IntArray, Float32Array, Float32Array, Float32Array]:
        ranks = list(range(1, self._k + 1))
        ids = np.asarray(self.tree.query(self._places[rows], k=ranks)[1], dtype=np.int64)
        offset = self._places[ids] - self._places[rows][:, None]
        squared = (offset**2).sum(axis=2)
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, about the entry itself
        between = squared[:, :, None] + squared[:, None, :]
        between -= 2.0 * offset @ np.swapaxes(offset, 1, 2)
        covariance = np.exp(-0.5 * between) + self._noise * np.eye(self._k)
        inverse = np.linalg.inv(covariance).astype(np.float32)
        near = inverse @ self._descriptors[ids]
        return ids, offset.astype(np.float32), inverse, near @ np.swapaxes(near, 1, 2)


class LocalField:
    """Interpolates similarity between index entries.

    Args:
        poses: (E, 3) anchors x_m, y_m, yaw_rad.
        descriptors: (E, D) unit vectors.
        kernel: scale and reach.
    """

    def __init__(
        self, poses: FloatArray, descriptors: Float32Array, kernel: Kernel | None = None
    ) -> None:
        self.kernel = kernel or Kernel()
        self._descriptors = descriptors
        self._places = self._embed(poses)
        self._near = Neighbourhoods(self._places, _blocks(poses), descriptors, self.kernel)
        # Squared, and the turn as a chord, as `_embed` measures them.
        chord = 2.0 * math.sin(0.5 * self.kernel.reach_rad) / self.kernel.sigma_rad
        self._reach = (self.kernel.reach_m / self.kernel.sigma_m) ** 2, chord**2

    def __call__(self, descriptor: Float32Array, poses: FloatArray) -> tuple[Float32Array, Mask]:
        """Similarity and support at poses.

        Args:
            descriptor: (D,) unit vector of the image.
            poses: (N, 3) anchors x_m, y_m, yaw_rad.

        Returns:
            Similarity (N,), 0 where not supported, and whether entries are near enough (N,).
        """
        poses = np.asarray(poses, dtype=np.float64).reshape(-1, 3)
        sane = sane_rows(poses)
        if not sane.all():
            poses = np.where(sane[:, None], poses, 0.0)
        places = self._embed(poses)
        entries = np.asarray(self._near.tree.query(places)[1], dtype=np.int64)
        slots = self._near.slots(entries)
        offset = self._near.offset[slots]
        offset -= (places - self._places[entries]).astype(np.float32)[:, None]
        offset *= offset
        across, turned = offset[..., 0] + offset[..., 1], offset[..., 2] + offset[..., 3]
        supported = sane & ((across < self._reach[0]) & (turned < self._reach[1])).any(axis=1)
        squared = across + turned
        # Relative to the nearest one, lest all of them vanish: a factor on c changes nothing.
        cross = np.exp(0.5 * (squared.min(axis=1, keepdims=True) - squared))
        similarity = self._predict(descriptor, slots, cross)
        return np.where(supported, np.clip(similarity, -1.0, 1.0), np.float32(0.0)), supported

    def _predict(
        self, descriptor: Float32Array, slots: IntArray, cross: Float32Array
    ) -> Float32Array:
        """Similarities (N,) of predictions with covariances `cross` (N, K)."""
        near = self._near
        own, which = np.unique(slots, return_inverse=True)
        ids = near.ids[own]
        used, at = np.unique(ids, return_inverse=True)
        values = (self._descriptors[used] @ descriptor)[at.reshape(ids.shape)]
        numerator = (_times(near.inverse[own], values)[which] * cross).sum(axis=1)
        length2 = (_times(near.length[slots], cross) * cross).sum(axis=1)
        return np.asarray(numerator / np.sqrt(np.maximum(length2, 1e-6)))

    def _embed(self, poses: FloatArray) -> FloatArray:
        """Poses in a Euclidean space where the kernel is round: heading on a circle."""
        xy, yaw, radius = (
            poses[:, :2] / self.kernel.sigma_m,
            poses[:, 2],
            1 / self.kernel.sigma_rad,
        )
        return np.column_stack([xy, radius * np.cos(yaw), radius * np.sin(yaw)])


def sane_rows(values: FloatArray) -> Mask:
    """Rows of (N, M) that are finite and within 1000 km, (N,)."""
    # NaN compares as False
    return np.asarray((np.abs(values) < 1e6).all(axis=1), dtype=np.bool_)


def _times(matrices: Float32Array, vectors: Float32Array) -> Float32Array:
    """(N, K, K) by (N, K) -> (N, K)."""
    return np.asarray(np.matmul(matrices, vectors[:, :, None])[:, :, 0])


def _blocks(poses: FloatArray) -> IntArray:
    """Number (E,) of the block of ground and heading each pose lies in."""
    turn = (poses[:, 2:] + 0.5 * _BLOCK_YAW) % (2.0 * math.pi) / _BLOCK_YAW
    cells = np.floor(np.concatenate([poses[:, :2] / _BLOCK_M, turn], axis=1)).astype(np.int64)
    return np.asarray(np.unique(cells, axis=0, return_inverse=True)[1]).reshape(-1)
