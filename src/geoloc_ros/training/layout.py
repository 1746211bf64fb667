# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What stands where ahead of the camera: a second lesson for both perspective encoders.

All that a camera view and a satellite crop of one place share is the layout: where the road runs,
how far the first wall is in each direction, where a tree stands. Made towns know it. While they
learn descriptors the encoders are also asked for it, cell by cell, which tells them much more per
picture than "this crop, not those". Only training has these heads; they are not exported.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.encoders.package import QuerySpec, ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.synthetic.ground import CODES
from geoloc_ros.synthetic.mesh import CROWN, FLAT, GLASS, HEDGE, METAL_ROOF, ROOF, WALL
from geoloc_ros.synthetic.scene import Scene

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Raster = npt.NDArray[np.uint8]

CLASSES = ("green", "carriageway", "paved", "building", "plant", "hidden")
GREEN, CARRIAGEWAY, PAVED, BUILDING, PLANT, HIDDEN = range(len(CLASSES))
RASTER_GSD_M = 1.0
NEAR_M = 2.5
BINS = 12  # cells along a column, from far to near
# Layout columns each encoder answers for: whole numbers per column of its features.
QUERY_COLUMNS, REFERENCE_COLUMNS = 24, 16

_STEPS = 4  # looks per cell and direction
_COLUMNS = 48
_THICK = 4  # steps of a building that count as its wall; the roof behind cannot be seen
_TOP_M = 400.0
_CARRIAGEWAY = [
    "asphalt",
    "brick",
    "white",
    "yellow",
    "patch_dark",
    "patch_light",
    "manhole",
    "bike",
]
_PAVED = ["pavement", "parking", "drive", "path", "plaza", "kerb", "yard", "gravel"]


def forward_m(query: QuerySpec, reference: ReferenceSpec, rows: int) -> FloatArray:
    """Distances ahead (rows,) from the far end of the crop to `NEAR_M`, denser near the camera."""
    far_m = reference.offset_forward_m + reference.extent_m / 2 - 1.0
    return np.asarray(NEAR_M + (far_m - NEAR_M) * np.linspace(1.0, 0.0, rows) ** 1.4)


def tangents(query: QuerySpec, columns: int) -> FloatArray:
    """Tangent of the bearing, right positive, (columns,) of equally wide image columns."""
    half = math.tan(math.radians(query.hfov_deg) / 2)
    return np.asarray(((np.arange(columns) + 0.5) / columns * 2.0 - 1.0) * half)


def layout_raster(scene: Scene) -> Raster:
    """What stands where in a town, (S, S) of `CLASSES`, row 0 south, one metre, centre 0, 0."""
    half = math.floor(scene.ground.half_m)
    middle = (np.arange(2 * half) + 0.5 - half).astype(np.float32)
    x, y = (v.ravel() for v in np.meshgrid(middle, middle))
    table = np.full(len(CODES), GREEN, np.uint8)
    table[[CODES.index(name) for name in _CARRIAGEWAY]] = CARRIAGEWAY
    table[[CODES.index(name) for name in _PAVED]] = PAVED
    found = table[scene.ground.code_at(x, y)]
    above = np.stack([x, y, np.full_like(x, _TOP_M)], axis=1)
    down = np.broadcast_to(np.array([0.0, 0.0, -1.0], np.float32), above.shape)
    hits = scene.mesh.cast(above, down)
    row = np.where(hits.face >= 0, scene.mesh.owner[hits.face], 0)
    material = scene.table.material[row]
    found[np.isin(material, (WALL, ROOF, FLAT, METAL_ROOF, GLASS))] = BUILDING
    found[np.isin(material, (CROWN, HEDGE))] = PLANT
    return found.reshape(2 * half, 2 * half)


class LayoutLesson:
    """Looks up the layout ahead of poses in the rasters of many towns."""

    def __init__(self, rasters: list[Raster], query: QuerySpec, reference: ReferenceSpec) -> None:
        """Keep the rasters.

        Raises:
            TrainingError: a raster is not square.
        """
        for raster in rasters:
            if raster.ndim != 2 or raster.shape[0] != raster.shape[1]:
                raise TrainingError(f"a layout raster has shape {raster.shape}; it must be square")
        self._rasters = rasters
        ahead = forward_m(query, reference, BINS * _STEPS)[:, None]
        self._ahead = np.broadcast_to(ahead, (BINS * _STEPS, _COLUMNS))
        self._right = ahead * tangents(query, _COLUMNS)

    def __call__(
        self, poses: FloatArray, towns: IntArray, flip: bool, columns: int
    ) -> Float32Array:
        """Share of each class in each cell ahead of poses.

        Args:
            poses: (N, 3) x_m, y_m, yaw_rad.
            towns: (N,) number of the raster.
            flip: as seen in a mirror.
            columns: how many to answer, a divisor of 48.

        Returns:
            (N, BINS, columns, C), far to near and left to right; C = len(CLASSES).
        """
        seen = np.stack([self._look(p, int(t), flip) for p, t in zip(poses, towns, strict=True)])
        shares = np.eye(len(CLASSES), dtype=np.float32)[seen]
        shape = (len(poses), BINS, _STEPS, columns, _COLUMNS // columns, len(CLASSES))
        return np.asarray(shares.reshape(shape).mean(axis=(2, 4)))

    def _look(self, pose: FloatArray, town: int, flip: bool) -> Raster:
        """Classes (BINS * steps, 48) ahead of one pose; behind the first wall all is hidden."""
        raster = self._rasters[town]
        cos, sin = np.cos(pose[2]), np.sin(pose[2])
        right = -self._right if flip else self._right
        half = 0.5 * len(raster)
        column = (pose[0] + cos * self._ahead + sin * right) / RASTER_GSD_M + half
        row = (pose[1] + sin * self._ahead - cos * right) / RASTER_GSD_M + half
        last = len(raster) - 1
        found = raster[
            np.clip(row, 0, last).astype(np.int64), np.clip(column, 0, last).astype(np.int64)
        ]
        wall = (found == BUILDING)[::-1]  # from near to far
        walls = np.cumsum(wall, axis=0)
        passed = np.cumsum((walls > 0) & ~wall, axis=0) > 0
        return np.where((passed | (walls > _THICK))[::-1], HIDDEN, found).astype(np.uint8)
