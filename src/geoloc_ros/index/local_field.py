# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Similarity of an image at any pose, from the descriptors of the index entries around it.

The descriptor a crop at the pose would have is predicted by kriging (Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, equation 2.23) from the K nearest entries and
brought back to unit length; its product with the image's descriptor is the similarity. Restoring
the length undoes the shrinking of every average and keeps the peak as high and as narrow as it
is: on random fields the error is a half to a third of kernel regression of the similarities.

The prediction is linear in the entries' similarities, so each cell of poses keeps an operator
(value and gradient, (4, K)) that does not depend on the image; a frame then costs one product with
the descriptors of the entries in play and a few sums per pose. Operators are kept in a
direct-mapped table, because particles stay near one another and come back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geoloc_ros.datatypes import Float32Array, FloatArray, Mask
from geoloc_ros.index.policy import SamplingPolicy

_CELL_M = 1.0
_CELL_YAW = 2.0 * math.pi / 90.0
_TABLE_BITS = 15
_HASH = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing
_GATHER_SHARE = 0.3  # above this share of entries in play one full product is cheaper


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

    neighbours: int = 8
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
        self._poses = poses
        self._descriptors = descriptors
        self._k = min(self.kernel.neighbours, len(poses))
        self._places = self._embed(poses)
        self._tree = cKDTree(self._places)
        self._in_play = np.zeros(len(poses), dtype=np.bool_)
        self._values = np.zeros(len(poses), dtype=np.float32)
        slots = 1 << _TABLE_BITS
        self._keys = np.full(slots, -1, dtype=np.int64)
        self._ids = np.zeros((slots, self._k), dtype=np.int32)
        self._operators = np.zeros((slots, 4, self._k), dtype=np.float32)

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
        keys, rest = _quantise(poses)
        ids, operators = self._lookup(keys)
        values = self._similarities(descriptor, ids)[ids]
        plane = np.matmul(operators, values[:, :, None])[:, :, 0]
        similarity = plane[:, 0] + (plane[:, 1:] * rest).sum(axis=1)
        similarity = np.clip(similarity, -1.0, 1.0)
        supported = sane & self._supported(poses, ids)
        return np.where(supported, similarity, np.float32(0.0)).astype(np.float32), supported

    def _lookup(self, keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], Float32Array]:
        slots = ((keys.astype(np.uint64) * _HASH) >> np.uint64(64 - _TABLE_BITS)).astype(np.int64)
        ids, operators = self._ids[slots], self._operators[slots]
        missing = np.flatnonzero(self._keys[slots] != keys)
        if len(missing):
            fresh, where, inverse = np.unique(
                keys[missing], return_index=True, return_inverse=True
            )
            new_ids, new_operators = self._fit(_centres(fresh))
            ids[missing], operators[missing] = new_ids[inverse], new_operators[inverse]
            new_slots = slots[missing][where]
            # two cells may want one slot; the last one gets it in all three arrays alike
            self._keys[new_slots] = fresh
            self._ids[new_slots] = new_ids
            self._operators[new_slots] = new_operators
        return ids, operators

    def _fit(self, centres: FloatArray) -> tuple[npt.NDArray[np.int32], Float32Array]:
        """Neighbours and operators of cell centres.

        With weights w = (C + noise I)^-1 c, c_i = exp(-r_i^2 / 2), the prediction is D^T w; rows 1
        to 3 hold the derivative of w / |D^T w| by x, y and yaw.
        """
        kernel = self.kernel
        distance, ids = self._nearest(centres)
        places = self._places[ids]
        # exp(-|a - b|^2 / 2) = exp(a.b - |a|^2 / 2 - |b|^2 / 2), about the first neighbour
        places = places - places[:, :1]
        half = 0.5 * np.einsum("nkd,nkd->nk", places, places)
        exponent = places @ np.swapaxes(places, 1, 2) - half[:, :, None] - half[:, None, :]
        covariance = np.exp(exponent)
        diagonal = np.arange(self._k)
        covariance[:, diagonal, diagonal] += kernel.noise
        offset = self._poses[ids] - centres[:, None, :]
        offset[..., 2] = np.sin(offset[..., 2])
        scale = np.array([kernel.sigma_m, kernel.sigma_m, kernel.sigma_rad])
        cross = np.exp(-0.5 * (distance**2 - distance[:, :1] ** 2))[..., None]
        rows = np.concatenate([cross, cross * offset / scale**2], axis=2)
        weights = np.swapaxes(np.linalg.solve(covariance, rows), 1, 2).astype(np.float32)
        predicted = weights @ self._descriptors[ids]
        squared_length = np.maximum((predicted[:, :1] ** 2).sum(axis=2, keepdims=True), 1e-6)
        slope = (predicted[:, 1:] * predicted[:, :1]).sum(axis=2, keepdims=True) / squared_length
        weights[:, 1:] -= slope * weights[:, :1]
        return ids.astype(np.int32), weights / np.sqrt(squared_length)

    def _nearest(self, centres: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Distances and ids (N, K) of the nearest entries, nearest first."""
        ranks = list(range(1, self._k + 1))
        distance, ids = self._tree.query(self._embed(centres), k=ranks)
        return np.asarray(distance), np.asarray(ids, dtype=np.int64)

    def _similarities(self, descriptor: Float32Array, ids: npt.NDArray[np.int32]) -> Float32Array:
        """(E,) similarities, valid at least at `ids`."""
        self._in_play[ids] = True
        used = np.flatnonzero(self._in_play)
        self._in_play[used] = False
        if len(used) > _GATHER_SHARE * len(self._in_play):
            np.matmul(self._descriptors, descriptor, out=self._values)
        else:
            self._values[used] = self._descriptors[used] @ descriptor
        return self._values

    def _supported(self, poses: FloatArray, ids: npt.NDArray[np.int32]) -> Mask:
        near = self._poses[ids[:, :4]]
        dx, dy = near[..., 0] - poses[:, None, 0], near[..., 1] - poses[:, None, 1]
        turn = np.cos(near[..., 2] - poses[:, None, 2])
        kernel = self.kernel
        close = (dx * dx + dy * dy < kernel.reach_m**2) & (turn > math.cos(kernel.reach_rad))
        return np.asarray(close.any(axis=1))

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


def _quantise(poses: FloatArray) -> tuple[npt.NDArray[np.int64], Float32Array]:
    """Cell keys (N,) and offsets (N, 3) from the cell's centre."""
    scaled = poses / (_CELL_M, _CELL_M, _CELL_YAW)
    cells = np.floor(scaled)
    rest = (scaled - cells - 0.5) * (_CELL_M, _CELL_M, _CELL_YAW)
    whole = cells.astype(np.int64)
    keys = ((whole[:, 0] + (1 << 24)) << 32) | ((whole[:, 1] + (1 << 24)) << 7) | whole[:, 2] % 90
    return keys, rest.astype(np.float32)


def _centres(keys: npt.NDArray[np.int64]) -> FloatArray:
    x, y, yaw = (keys >> 32) - (1 << 24), ((keys >> 7) & ((1 << 25) - 1)) - (1 << 24), keys & 127
    return (np.stack([x, y, yaw], axis=1) + 0.5) * (_CELL_M, _CELL_M, _CELL_YAW)
