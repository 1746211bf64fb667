# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lane paint, crossings, stop lines, parking strips and repairs of the made roads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.roadnet import Road, normals
from geoloc_ros.synthetic.styles import Style

F64 = NDArray[np.float64]
THIN_M = 0.15
CROSSING_M = 3.0
_ORDER = ("service", "residential", "collector", "arterial", "roundabout")


class Surface(Protocol):
    """Something metric shapes are drawn on."""

    def polygon(self, xy_m: F64, value: int) -> None:
        """Fill a polygon."""

    def line(self, xy_m: F64, width_m: float, value: int) -> None:
        """Draw a polyline."""

    def disc(self, xy_m: F64, radius_m: float, value: int) -> None:
        """Fill a disc."""


class _Nothing:
    """A surface that keeps nothing of what is drawn on it."""

    def polygon(self, xy_m: F64, value: int) -> None:
        """Draw nothing."""

    def line(self, xy_m: F64, width_m: float, value: int) -> None:
        """Draw nothing."""

    def disc(self, xy_m: F64, radius_m: float, value: int) -> None:
        """Draw nothing."""


def painting_order(roads: Sequence[Road]) -> list[Road]:
    """Roads from the least to the most important: what is painted last lies on top."""
    return sorted(roads, key=lambda road: _ORDER.index(road.kind))


def paint_rng(seed: int) -> np.random.Generator:
    """Source of the randomness of a town's paint."""
    return np.random.default_rng([seed, 9127])


def find_crossings(seed: int, style: Style, roads: Sequence[Road]) -> list[F64]:
    """Where the roads of a town carry pedestrian crossings.

    Returns:
        Ends `(2, 2)` of the middle line of each, from kerb to kerb.
    """
    ordered = painting_order(roads)
    codes: dict[str, int] = defaultdict(int)
    painter = RoadPainter(style, ordered, codes, _Nothing(), paint_rng(seed))
    for road in ordered:
        painter.wear(road)
    for road in ordered:
        painter.paint(road)
    return painter.crossings


class _Track:
    """Points and offsets along a road's centreline."""

    def __init__(self, road: Road) -> None:
        self.line = road.centreline_m[:, :2]
        self.left = normals(self.line)
        step = np.linalg.norm(np.diff(self.line, axis=0), axis=1)
        self.s = np.concatenate([[0.0], np.cumsum(step)])
        self.length = float(self.s[-1])

    def at(self, s: NDArray[np.float64] | list[float], lateral: float) -> F64:
        """Points `(N, 2)` at arc lengths, `lateral` metres to the left."""
        base = np.stack([np.interp(s, self.s, self.line[:, k]) for k in (0, 1)], 1)
        side = np.stack([np.interp(s, self.s, self.left[:, k]) for k in (0, 1)], 1)
        return np.asarray(base + lateral * side)

    def span(self, low: float, high: float, lateral: float) -> F64:
        """A piece of the offset line."""
        return self.at(np.linspace(low, high, max(2, int((high - low) / 2.0) + 1)), lateral)

    def patch(self, low: float, high: float, right: float, left: float) -> F64:
        """A ribbon polygon between two arc lengths and two offsets."""
        return np.vstack([self.span(low, high, right), self.span(low, high, left)[::-1]])


class RoadPainter:
    """Paints the roads of one town onto a canvas."""

    def __init__(
        self,
        style: Style,
        roads: list[Road],
        code: dict[str, int],
        canvas: Surface,
        rng: np.random.Generator,
    ) -> None:
        """Find out which roads meet where, and how far paint must stay from junctions."""
        self.style, self.roads, self.code, self.canvas, self.rng = style, roads, code, canvas, rng
        self.crossings: list[F64] = []
        self.at: dict[int, list[Road]] = {}
        self.place: dict[int, F64] = {}
        for road in roads:
            for node, end in ((road.start_node, 0), (road.end_node, -1)):
                self.at.setdefault(node, []).append(road)
                self.place[node] = road.centreline_m[end, :2]
        # crossing style and stop lines are a habit of the junction, not of the road
        self.junction = {n: rng.random(3) for n in sorted(self.at)}

    def clear(self, road: Road, node: int) -> float:
        """Distance from a node in which a road carries no paint."""
        others = [r for r in self.at[node] if r is not road]
        if len(others) < 2:
            return 0.0 if others else 3.0
        return 0.5 * max(r.width_m + 2 * max(r.parking_m) for r in others) + 1.6

    def junctions(self) -> None:
        """Widen the asphalt at junction corners and at the bulb of dead ends."""
        for node, meeting in self.at.items():
            wide = max(r.width_m for r in meeting)
            surface = "brick" if all(r.surface == "brick" for r in meeting) else "asphalt"
            if any(r.kind == "roundabout" for r in meeting):
                continue
            if len(meeting) == 1 and meeting[0].kind == "residential":
                self.canvas.disc(self.place[node], 0.5 * wide + 4.2, self.code["kerb"])
                self.canvas.disc(self.place[node], 0.5 * wide + 4.0, self.code[surface])
            elif len(meeting) > 2:
                self.canvas.disc(self.place[node], 0.5 * wide + 1.5, self.code[surface])

    def strips(self, road: Road) -> None:
        """Parking strips beside the carriageway."""
        track = _Track(road)
        a, b = self.clear(road, road.start_node) + 5, self.clear(road, road.end_node) + 5
        if track.length - a - b < 8:
            return
        half = 0.5 * road.width_m
        for side, wide in ((1, road.parking_m[0]), (-1, road.parking_m[1])):
            if wide > 0:
                lanes = sorted((side * half, side * (half + wide)))
                kind = "parking" if road.shade < 0.6 else "plaza"
                self.canvas.polygon(
                    track.patch(a, track.length - b, lanes[0], lanes[1]), self.code[kind]
                )

    def wear(self, road: Road) -> None:
        """Repairs: dark and pale patches, utility cuts, manholes."""
        rng, track, half = self.rng, _Track(road), 0.5 * road.width_m
        if track.length < 12:
            return
        for _ in range(int(rng.poisson(track.length / 38.0))):
            s = rng.uniform(1, track.length - 6)
            long = min(rng.gamma(2.0, 3.5) + 0.8, track.length - s - 0.5)
            right = rng.uniform(-half, half - 0.8)
            left = min(half, right + rng.uniform(0.7, 3.5))
            name = "patch_dark" if rng.random() < 0.6 else "patch_light"
            self.canvas.polygon(track.patch(s, s + max(long, 0.6), right, left), self.code[name])
        if rng.random() < 0.22:
            s, long = rng.uniform(0, 0.6) * track.length, rng.uniform(0.2, 0.6) * track.length
            lateral = rng.uniform(-0.7, 0.7) * half
            self.canvas.polygon(
                track.patch(s, min(s + long, track.length - 0.5), lateral, lateral + 0.8),
                self.code["patch_dark"],
            )
        for _ in range(int(rng.poisson(track.length / 30.0))):
            spot = track.at(
                [float(rng.uniform(0, track.length))], float(rng.uniform(-0.6, 0.6) * half)
            )
            self.canvas.disc(spot, 0.35, self.code["manhole"])

    def paint(self, road: Road) -> None:
        """All lines of one road."""
        track, half = _Track(road), 0.5 * road.width_m
        if road.kind == "roundabout":
            return
        a, b = self.clear(road, road.start_node), self.clear(road, road.end_node)
        low, high = self._ends(road, track, a, b)
        if high - low < 4:
            return
        colour = self.code[self.style.centre_paint]
        white = self.code["white"]
        if road.centre == "dashed":
            self._dashes(track, low, high, 0.0, colour)
        elif road.centre == "solid":
            self.canvas.line(track.span(low, high, 0.0), THIN_M, colour)
        elif road.centre == "double":
            for lateral in (-0.15, 0.15):
                self.canvas.line(track.span(low, high, lateral), THIN_M, colour)
        if road.lanes >= 4:
            for lateral in (-0.5 * half, 0.5 * half):
                self._dashes(track, low, high, lateral, white)
        if road.edge_line:
            for lateral in (-half + 0.25, half - 0.25):
                self.canvas.line(track.span(low, high, lateral), THIN_M, white)
        if road.shade < 0.12 and road.lanes == 2:
            self._arrow(track, low + 6, half)

    def _ends(self, road: Road, track: _Track, a: float, b: float) -> tuple[float, float]:
        """Crossings and stop lines at both ends; returns where lane paint begins and ends."""
        low, high = a, track.length - b
        if high - low < 10:
            return low, high
        for node, start in ((road.start_node, True), (road.end_node, False)):
            if len(self.at[node]) < 3 or road.kind == "service":
                continue
            draw = self.junction[node]
            main = road.kind in ("arterial", "collector")
            used = 0.3
            if self.rng.random() < self.style.zebra * (1.0 if main else 0.5) and draw[0] < 0.85:
                self._zebra(road, track, low if start else high, 1 if start else -1)
                used = 4.4
            if draw[1] < 0.65 or used > 1:
                self._stop(road, track, (low + used) if start else (high - used), start)
                used += 1.0
            if start:
                low += used
            else:
                high -= used
        return low, high

    def _zebra(self, road: Road, track: _Track, s: float, inward: int) -> None:
        half, white = 0.5 * road.width_m, self.code["white"]
        ends = sorted((s + inward * 0.4, s + inward * (0.4 + CROSSING_M)))
        middle = 0.5 * (ends[0] + ends[1])
        self.crossings.append(np.vstack([track.at([middle], y) for y in (-half, half)]))
        if self.style.zebra_style == "ladder" and road.shade < 0.5:
            for edge in ends:
                self.canvas.polygon(
                    track.patch(edge - 0.2, edge + 0.2, -half + 0.3, half - 0.3), white
                )
            if road.shade < 0.25:
                return
        for lateral in np.arange(-half + 0.4, half - 0.6, 1.0):
            self.canvas.polygon(track.patch(ends[0], ends[1], lateral, lateral + 0.45), white)

    def _stop(self, road: Road, track: _Track, s: float, start: bool) -> None:
        """A stop line over the lanes that arrive at the junction."""
        if road.oneway and start:
            return
        half = 0.5 * road.width_m
        right_hand = self.style.driving_side == "right"
        # arriving at the end node, right-hand traffic keeps to negative offsets
        negative = right_hand != start
        lanes = (-half + 0.2, -0.2) if negative else (0.2, half - 0.2)
        if road.oneway:
            lanes = (-half + 0.2, half - 0.2)
        self.canvas.polygon(track.patch(s, s + 0.3, *lanes), self.code["white"])

    def _dashes(self, track: _Track, low: float, high: float, lateral: float, value: int) -> None:
        period, on = (9.0, 3.0) if self.style.centre_paint == "white" else (12.0, 3.6)
        for s in np.arange(low + 0.5, high - on, period):
            self.canvas.line(track.at([s, s + on], lateral), THIN_M, value)

    def _arrow(self, track: _Track, s: float, half: float) -> None:
        """A lane arrow near the start of the road, in the lane that drives towards the start."""
        if s + 5 > track.length:
            return
        lateral = 0.5 * half * (1 if self.style.driving_side == "right" else -1)
        shaft = track.patch(s + 1.4, s + 4.5, lateral - 0.12, lateral + 0.12)
        head = np.vstack(
            [
                track.at([s], lateral),
                track.at([s + 1.6, s + 1.6], lateral - 0.45)[:1],
                track.at([s + 1.6], lateral + 0.45),
            ]
        )
        for shape in (shaft, head):
            self.canvas.polygon(shape, self.code["white"])
