# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ground map of a town: what lies where, lane paint included, shared by camera and satellite."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.layout import MARGIN_M, Area
from geoloc_ros.synthetic.paint import RoadPainter, paint_rng, painting_order
from geoloc_ros.synthetic.roadnet import Road
from geoloc_ros.synthetic.town import Town

F32 = NDArray[np.float32]
GSD_M = 0.15
TINT_M = 1.0
_NAMES = (
    "wild lawn asphalt pavement white yellow parking drive water crop soil patch_dark "
    "patch_light path plaza kerb pitch brick forest bed manhole bike yard gravel pool"
)
CODES = tuple(_NAMES.split())
CODE = {name: i for i, name in enumerate(CODES)}
_AREA_CODE = {
    "water": "water",
    "park": "lawn",
    "field": "crop",
    "forest": "forest",
    "lawn": "lawn",
    "yard": "yard",
    "parking": "parking",
    "drive": "drive",
    "path": "path",
    "pitch": "pitch",
    "bed": "bed",
    "plaza": "plaza",
    "terrace": "plaza",
    "pool": "pool",
}
DRAW_ORDER = (
    "field",
    "forest",
    "park",
    "yard",
    "lawn",
    "water",
    "path",
    "pitch",
    "bed",
    "plaza",
    "terrace",
    "pool",
    "drive",
    "parking",
)


@dataclass(frozen=True)
class Ground:
    """Rasters of the ground, row 0 = south.

    Attributes:
        half_m: The rasters cover +-half_m.
        codes: `(S, S)` uint8 index into `CODES` at `GSD_M`.
        tint: `(T, T)` uint8 brightness variation by lot and road at `TINT_M`.
    """

    half_m: float
    codes: NDArray[np.uint8]
    tint: NDArray[np.uint8]

    def code_at(self, x_m: F32, y_m: F32) -> NDArray[np.uint8]:
        """Ground code `(N,)` at positions; ``wild`` outside."""
        return _lookup(self.codes, self.half_m, GSD_M, x_m, y_m, 0)

    def taps_at(self, x_m: F32, y_m: F32) -> tuple[NDArray[np.uint8], F32]:
        """Codes and bilinear weights, `(4, N)` each, of the pixels round positions."""
        inv, half = np.float32(1 / GSD_M), np.float32(0.5)
        u, v = (
            (x_m + np.float32(self.half_m)) * inv - half,
            (y_m + np.float32(self.half_m)) * inv - half,
        )
        col, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
        fu, fv = u - col, v - row
        side = self.codes.shape[0]
        c0, c1 = np.clip(col, 0, side - 1), np.clip(col + 1, 0, side - 1)
        r0, r1 = np.clip(row, 0, side - 1) * side, np.clip(row + 1, 0, side - 1) * side
        flat = self.codes.ravel()
        codes = np.stack([flat[r0 + c0], flat[r0 + c1], flat[r1 + c0], flat[r1 + c1]])
        weights = np.stack([(1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv])
        return codes, weights

    def tint_at(self, x_m: F32, y_m: F32) -> NDArray[np.uint8]:
        """Tint `(N,)` at positions; 128 outside."""
        return _lookup(self.tint, self.half_m, TINT_M, x_m, y_m, 128)


def _lookup(
    raster: NDArray[np.uint8], half_m: float, gsd_m: float, x: F32, y: F32, outside: int
) -> NDArray[np.uint8]:
    side = raster.shape[0]
    col = ((x + np.float32(half_m)) * np.float32(1 / gsd_m)).astype(np.int32)
    row = ((y + np.float32(half_m)) * np.float32(1 / gsd_m)).astype(np.int32)
    ok = (col >= 0) & (col < side) & (row >= 0) & (row < side)
    if np.all(ok):
        return np.asarray(raster.ravel()[row * side + col], dtype=np.uint8)
    out = np.full(x.shape, outside, np.uint8)
    out[ok] = raster.ravel()[row[ok] * side + col[ok]]
    return out


class Canvas:
    """Draws metric shapes into a raster."""

    def __init__(self, raster: NDArray[np.uint8], half_m: float, gsd_m: float) -> None:
        """Wrap a raster whose pixel (0, 0) begins at (-half_m, -half_m)."""
        self.raster, self.half_m, self.gsd_m = raster, half_m, gsd_m

    def _px(self, xy_m: NDArray[np.float64]) -> NDArray[np.int32]:
        at = (np.asarray(xy_m)[:, :2] + self.half_m) / self.gsd_m - 0.5
        return np.round(at * 16).astype(np.int32)

    def polygon(self, xy_m: NDArray[np.float64], value: int) -> None:
        """Fill a polygon `(K, 2)`."""
        cv2.fillPoly(self.raster, [self._px(xy_m)], value, shift=4)

    def line(self, xy_m: NDArray[np.float64], width_m: float, value: int) -> None:
        """Draw a polyline `(N, 2)` with round ends."""
        thickness = max(1, round(width_m / self.gsd_m))
        cv2.polylines(self.raster, [self._px(xy_m)], False, value, thickness, shift=4)

    def disc(self, xy_m: NDArray[np.float64], radius_m: float, value: int) -> None:
        """Fill a disc."""
        x, y = self._px(np.asarray(xy_m).reshape(1, 2))[0]
        cv2.circle(
            self.raster,
            (int(x), int(y)),
            max(1, round(radius_m / self.gsd_m * 16)),
            value,
            -1,
            shift=4,
        )


def make_ground(town: Town) -> Ground:
    """Rasterise the ground of a town.

    Args:
        town: The town.

    Returns:
        Codes and tints; deterministic by the town's seed.
    """
    rng = paint_rng(town.seed)
    half = 0.5 * town.size_m + MARGIN_M
    codes = np.full((int(np.ceil(2 * half / GSD_M)),) * 2, CODE["wild"], np.uint8)
    tint = np.full((int(np.ceil(2 * half / TINT_M)),) * 2, 128, np.uint8)
    canvas, shade = Canvas(codes, half, GSD_M), Canvas(tint, half, TINT_M)
    for kind in DRAW_ORDER:
        for area in town.areas:
            if area.kind == kind:
                _draw_area(canvas, shade, area)
    _draw_roads(town, canvas, shade, rng)
    return Ground(half, codes, tint)


def _draw_area(canvas: Canvas, shade: Canvas, area: Area) -> None:
    canvas.polygon(area.polygon_m, CODE[_AREA_CODE[area.kind]])
    shade.polygon(area.polygon_m, int(40 + 175 * area.tint))
    if area.kind == "parking":
        _bays(canvas, area)
    elif area.kind == "pitch":
        ring = np.vstack([area.polygon_m, area.polygon_m[:1]])
        middle = area.polygon_m.mean(0)
        inner = middle + 0.92 * (ring - middle)
        canvas.line(inner, GSD_M, CODE["white"])
        halves = 0.5 * (inner[[0, 2]] + inner[[1, 3]])
        canvas.line(halves, GSD_M, CODE["white"])


def _bays(canvas: Canvas, area: Area) -> None:
    """Bay lines of a parking area, matching `buildings.parking_slots`."""
    middle = area.polygon_m.mean(0)
    c, s = np.cos(area.yaw_rad), np.sin(area.yaw_rad)
    along, across = np.array([c, s]), np.array([-s, c])
    width = float(np.linalg.norm(area.polygon_m[1] - area.polygon_m[0]))
    depth = float(np.linalg.norm(area.polygon_m[2] - area.polygon_m[1]))
    row, facing = -0.5 * depth + 2.8, 1.0
    while row < 0.5 * depth - 2.4:
        for x in np.arange(-0.5 * width + 0.75, 0.5 * width - 0.5, 2.5):
            ends = [middle + along * x + across * (row + d) for d in (-2.4, 2.4)]
            canvas.line(np.array(ends), GSD_M, CODE["white"])
        row += 11.5 if facing > 0 else 5.2
        facing = -facing


def _draw_roads(town: Town, canvas: Canvas, shade: Canvas, rng: np.random.Generator) -> None:
    roads = painting_order(town.roads)
    painter = RoadPainter(town.style, roads, CODE, canvas, rng)
    for road in roads:
        wide = road.width_m + 2 * max(road.parking_m)
        if road.sidewalk_m > 0:
            canvas.line(road.centreline_m, wide + 2 * road.sidewalk_m + 0.3, CODE["pavement"])
        if road.bike:
            canvas.line(road.centreline_m, wide + 3.0, CODE["bike"])
    for road in roads:
        shade.line(road.centreline_m, road.width_m + 1, int(40 + 170 * road.shade))
        canvas.line(road.centreline_m, road.width_m + 0.4, CODE["kerb"])
        painter.strips(road)
    for road in roads:
        canvas.line(
            road.centreline_m,
            road.width_m,
            CODE["brick" if road.surface == "brick" else "asphalt"],
        )
    painter.junctions()
    _islands(town.roads, canvas, shade)
    for road in roads:
        painter.wear(road)
    for road in roads:
        painter.paint(road)


def _islands(roads: tuple[Road, ...], canvas: Canvas, shade: Canvas) -> None:
    """Green or paved islands inside roundabouts."""
    arcs = [r for r in roads if r.kind == "roundabout"]
    done: set[int] = set()
    by_start = {r.start_node: r for r in arcs}
    for arc in arcs:
        ring, now = [], arc
        while now.id not in done:
            done.add(now.id)
            ring.append(now.centreline_m[:-1, :2])
            now = by_start[now.end_node]
        if not ring:
            continue
        loop = np.vstack(ring)
        middle = loop.mean(0)
        radius = float(np.linalg.norm(loop - middle, axis=1).mean())
        canvas.disc(middle, radius - 0.5 * arc.width_m, CODE["kerb"])
        canvas.disc(
            middle, radius - 0.5 * arc.width_m - 0.4, CODE["lawn" if arc.shade < 0.7 else "bed"]
        )
        shade.disc(middle, radius - 0.5 * arc.width_m, int(255 * arc.shade))
