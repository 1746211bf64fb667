# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What stands in a made town: value types, and the map of ground already taken."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from geoloc_ros.synthetic.styles import Rgb

F64 = NDArray[np.float64]
MARGIN_M = 80.0


@dataclass(frozen=True)
class Part:
    """A box of a building with its roof: centre, yaw of the width axis, width, depth, eaves."""

    x_m: float
    y_m: float
    yaw_rad: float
    width_m: float
    depth_m: float
    eaves_m: float
    roof: str
    rise_m: float

    def corners(self, grow_m: float = 0.0) -> F64:
        """Corners `(4, 2)` counter-clockwise; edge 0 is the front (towards -depth)."""
        return rectangle(
            (self.x_m, self.y_m),
            self.yaw_rad,
            self.width_m + 2 * grow_m,
            self.depth_m + 2 * grow_m,
        )


@dataclass(frozen=True)
class Building:
    """One building.

    Attributes:
        id: Number, unique in the town.
        kind: Building type name.
        parts: Boxes it is made of, the main one first.
        base_m: Height of the ground floor above the local plane.
        storeys: Whole storeys.
        storey_m: Height of a storey.
        window_m: Window spacing.
        shop: Whether the ground floor is glazed.
        facade: Wall colour.
        trim: Colour of frames, doors and plinth.
        roof: Roof colour today.
        roof_before: Roof colour when the satellite passed.
        change: ``none built gone reroofed`` between satellite and drive.
        seed: Uniform number for details.
        solar: Whether panels lie on the roof.
    """

    id: int
    kind: str
    parts: tuple[Part, ...]
    base_m: float
    storeys: int
    storey_m: float
    window_m: float
    shop: bool
    facade: Rgb
    trim: Rgb
    roof: Rgb
    roof_before: Rgb
    change: str
    seed: float
    solar: bool

    def stands(self, epoch: str) -> bool:
        """Whether the building exists in the epoch ``satellite`` or ``drive``."""
        return self.change != ("built" if epoch == "satellite" else "gone")


@dataclass(frozen=True)
class Tree:
    """A tree: position, kind, height and crown radius at the drive, growth since the satellite."""

    x_m: float
    y_m: float
    kind: str
    height_m: float
    radius_m: float
    growth: float
    seed: float
    change: str = "none"


@dataclass(frozen=True)
class Prop:
    """A thing on the street: kind, position, heading, length, height, colour."""

    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    length_m: float
    height_m: float
    colour: Rgb


@dataclass(frozen=True)
class Area:
    """A polygon of one ground kind, such as ``water park field lawn parking drive``.

    `tint` in 0..1 varies its colour; `yaw_rad` turns stripes, crop rows and parking bays.
    """

    kind: str
    polygon_m: F64
    tint: float = 0.5
    yaw_rad: float = 0.0


def rectangle(at: ArrayLike, yaw: float, width: float, depth: float) -> F64:
    """Corners `(4, 2)` of a turned rectangle, counter-clockwise from front left."""
    c, s = np.cos(yaw), np.sin(yaw)
    local = 0.5 * np.array([[-width, -depth], [width, -depth], [width, depth], [-width, depth]])
    return np.asarray(local @ np.array([[c, s], [-s, c]]) + np.asarray(at))


def blob(rng: np.random.Generator, at: ArrayLike, radius: float, wobble: float = 0.3) -> F64:
    """A smooth random closed shape `(40, 2)` round a point."""
    x, y = np.asarray(at)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    r = np.ones_like(angle)
    for k in range(2, 6):
        r += rng.normal(0, wobble / k) * np.cos(k * angle + rng.uniform(0, 6.28))
    r = radius * np.clip(r, 0.4, 1.7)
    stretch = rng.uniform(0.7, 1.4)
    return np.stack([x + stretch * r * np.cos(angle), y + r / stretch * np.sin(angle)], 1)


class Occupancy:
    """Ground taken already, on a 1 m raster around the town."""

    def __init__(self, size_m: float) -> None:
        """Everything free."""
        self.half_m = 0.5 * size_m + MARGIN_M
        side = int(np.ceil(2 * self.half_m))
        self.mask: NDArray[np.uint8] = np.zeros((side, side), np.uint8)

    def _px(self, polygon_m: F64) -> F64:
        return np.asarray(polygon_m) + self.half_m

    def mark(self, polygon_m: F64) -> None:
        """Take the ground under a polygon `(K, 2)`."""
        cv2.fillPoly(self.mask, [np.round(self._px(polygon_m) * 16).astype(np.int32)], 1, shift=4)

    def mark_line(self, line_m: F64, width_m: float) -> None:
        """Take the ground under a polyline `(N, 2)` of the given width."""
        px = np.round(self._px(line_m) * 16).astype(np.int32)
        cv2.polylines(self.mask, [px], False, 1, max(1, round(width_m)), shift=4)

    def free(self, polygon_m: F64) -> bool:
        """Whether a polygon lies inside the raster on free ground only."""
        px = self._px(polygon_m)
        low = np.floor(px.min(0)).astype(int) - 1
        high = np.ceil(px.max(0)).astype(int) + 2
        if np.any(low < 0) or np.any(high > self.mask.shape[0]):
            return False
        window = self.mask[low[1] : high[1], low[0] : high[0]]
        stencil = np.zeros(window.shape, np.uint8)
        cv2.fillPoly(stencil, [np.round((px - low) * 16).astype(np.int32)], 1, shift=4)
        return not bool(np.any(window & stencil))

    def taken(self, xy_m: F64) -> NDArray[np.bool_]:
        """Whether points `(N, 2)` lie on taken ground; outside counts as taken."""
        px = np.floor(self._px(xy_m)).astype(int)
        inside = np.all((px >= 0) & (px < self.mask.shape[0]), axis=1)
        out = np.ones(len(px), bool)
        out[inside] = self.mask[px[inside, 1], px[inside, 0]] > 0
        return out
