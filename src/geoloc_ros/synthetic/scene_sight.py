# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a forward camera sees of a made town, read from rasters of `scene.json`.

Sight is kept simple: a field of view of 90 degrees and 56 m, blocked by buildings as high as they
are over flat ground. Trees, hedges and vehicles block nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.ground import DRAW_ORDER
from geoloc_ros.synthetic.layout import MARGIN_M

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
CELL_M = 0.5
#: what a cell of the surface holds
GRASS, PAVED, WATER, TREES, ROAD, HOUSE, WALK = range(7)
#: kinds of open ground, as painted into `Rasters.open`; 0 is none
OPEN = ("none", "park", "wood", "field", "water", "car_park")
_OPEN_AREAS = {"park": 1, "forest": 2, "field": 3, "water": 4, "parking": 5}
_PAVED_AREAS = ("yard", "path", "plaza", "terrace", "pool", "drive", "parking")
SHRUB_M = 3.0

CAMERA_FORWARD_M, CAMERA_HEIGHT_M = 1.0, 1.5
HALF_FOV_DEG = 45
NEAR_M, FAR_M, STEP_M = 2.0, 56.0, 0.75
BEARINGS = np.radians(np.arange(HALF_FOV_DEG, -HALF_FOV_DEG - 1, -1.0))
RANGES_M = np.arange(NEAR_M, FAR_M, STEP_M)
#: (bearings, ranges, 2) places in the vehicle's plane, x ahead, y left, m
POLAR = np.stack(
    [
        CAMERA_FORWARD_M + np.cos(BEARINGS)[:, None] * RANGES_M,
        np.sin(BEARINGS)[:, None] * RANGES_M,
    ],
    axis=-1,
)


class Rasters:
    """What covers the ground of a town in one epoch, at `CELL_M`, row 0 = south.

    Args:
        scene: content of scene.json.
        epoch: ``satellite`` or ``drive``.

    Attributes:
        surface: (S, S) what is seen from above: `GRASS` .. `HOUSE`, `WALK` for pavements and
            parking strips; street trees over a road leave it a road.
        open: (S, S) index into `OPEN`.
        house: (S, S) int32 number in the list of buildings plus one; 0: none.
        height_m: (S, S) float32 height of buildings, 0 elsewhere.
    """

    def __init__(self, scene: Mapping[str, Any], epoch: str) -> None:
        self.half_m = 0.5 * float(scene["size_m"]) + MARGIN_M
        side = int(np.ceil(2 * self.half_m / CELL_M))
        self.surface: U8 = np.full((side, side), GRASS, np.uint8)
        self.open: U8 = np.zeros((side, side), np.uint8)
        self.house: NDArray[np.int32] = np.zeros((side, side), np.int32)
        self._areas(scene["areas"])
        for tree in trees_of(scene, epoch):
            centre = self._px(np.array([tree["xy_m"]]))[0]
            radius = round(16 * tree["radius_m"] / CELL_M)
            cv2.circle(self.surface, centre.tolist(), radius, TREES, -1, shift=4)
        self._roads(scene["roads"])
        heights = np.zeros(len(scene["buildings"]) + 1, np.float32)
        for i, building in enumerate(scene["buildings"]):
            if building["change"] != ("built" if epoch == "satellite" else "gone"):
                cv2.fillPoly(self.house, [self._px(building["footprint_m"])], i + 1, shift=4)
                heights[i + 1] = building["height_m"]
        self.surface[self.house > 0] = HOUSE
        self.open[self.house > 0] = 0
        self.height_m = heights[self.house]

    def _px(self, xy_m: Any) -> NDArray[np.int32]:  # noqa: ANN401
        at = (np.asarray(xy_m, dtype=np.float64)[:, :2] + self.half_m) / CELL_M - 0.5
        return np.asarray(np.round(at * 16), dtype=np.int32)

    def _areas(self, areas: list[dict[str, Any]]) -> None:
        for kind in DRAW_ORDER:
            code = WATER if kind == "water" else PAVED if kind in _PAVED_AREAS else GRASS
            for area in areas:
                if area["kind"] != kind:
                    continue
                outline = [self._px(area["polygon_m"])]
                cv2.fillPoly(self.surface, outline, code, shift=4)
                if kind in _OPEN_AREAS:
                    cv2.fillPoly(self.open, outline, _OPEN_AREAS[kind], shift=4)

    def _roads(self, roads: list[dict[str, Any]]) -> None:
        for code in (WALK, ROAD):
            for road in roads:
                aside = 2 * (max(road["parking_m"]) + road["sidewalk_m"]) if code == WALK else 0.0
                thick = max(1, round((road["width_m"] + aside) / CELL_M))
                line = [self._px(road["centreline_m"])]
                cv2.polylines(self.surface, line, False, code, thick, shift=4)
        self.open[self.surface >= ROAD] = 0

    def cells(self, xy_m: F64) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of places (..., 2); outside, those of the nearest border."""
        side = self.surface.shape[0]
        at = np.clip(((xy_m + self.half_m) / CELL_M).astype(np.intp), 0, side - 1)
        return at[..., 1], at[..., 0]


def trees_of(scene: Mapping[str, Any], epoch: str) -> list[dict[str, Any]]:
    """Trees that stand in an epoch, shrubs left out."""
    absent = "built" if epoch == "satellite" else "gone"
    return [t for t in scene["trees"] if t["change"] != absent and t["height_m"] >= SHRUB_M]


def placed(pose: F64, local_m: F64) -> F64:
    """Places (..., 2) ahead and to the left of a pose (3,), in the town's plane."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    return np.asarray(local_m @ np.array([[c, s], [-s, c]]) + pose[:2])


def as_seen(pose: F64, xy_m: F64) -> F64:
    """Places (..., 2) of the town's plane in that of the vehicle, x ahead, y left."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    return np.asarray((xy_m - pose[:2]) @ np.array([[c, -s], [s, c]]))


@dataclass(frozen=True)
class Sight:
    """What is in sight from one pose.

    Attributes:
        blocked: (bearings, ranges) tangent of the elevation below which nothing is seen.
        first: (bearings,) index of the first range that meets a building; -1: none.
        house: (bearings,) number of that building plus one; 0: none.
    """

    blocked: F64
    first: NDArray[np.intp]
    house: NDArray[np.int32]

    def sees(self, local_m: F64, height_m: F64 | float = 0.0) -> NDArray[np.bool_]:
        """Whether the top of things (..., 2) of a height is in sight."""
        ahead, left = local_m[..., 0] - CAMERA_FORWARD_M, local_m[..., 1]
        away = np.maximum(np.hypot(ahead, left), 1e-6)
        bearing = np.degrees(np.arctan2(left, ahead))
        i = np.clip(np.round(HALF_FOV_DEG - bearing), 0, len(BEARINGS) - 1).astype(np.intp)
        k = np.clip((away - NEAR_M) / STEP_M, 0, len(RANGES_M) - 1).astype(np.intp)
        inside = (np.abs(bearing) <= HALF_FOV_DEG) & (away < FAR_M)
        return np.asarray(inside & ((height_m - CAMERA_HEIGHT_M) / away >= self.blocked[i, k]))


def look(rasters: Rasters, pose: F64) -> Sight:
    """Cast the rays of one pose (3,) over the raster of buildings."""
    row, col = rasters.cells(placed(pose, POLAR))
    number = rasters.house[row, col]
    rise = np.where(number > 0, (rasters.height_m[row, col] - CAMERA_HEIGHT_M) / RANGES_M, -np.inf)
    before = np.full(rise.shape, -np.inf)
    np.maximum.accumulate(rise[:, :-1], axis=1, out=before[:, 1:])
    hit = number > 0
    first = np.where(hit.any(axis=1), hit.argmax(axis=1), -1)
    house = np.where(first >= 0, number[np.arange(len(first)), first], 0)
    return Sight(before, first, house)
