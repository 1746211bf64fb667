# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Routes over a road graph: which roads, in which lane, as one smooth path."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import ConfigError

#: Spacing of path points, m.
STEP_M = 0.25


class RoadLike(Protocol):
    """What a route needs to know of a road; see `roadnet.Road`."""

    @property
    def kind(self) -> str:
        """Class of road."""
        ...

    @property
    def centreline_m(self) -> FloatArray:
        """(N, 3) points."""
        ...

    @property
    def width_m(self) -> float:
        """Width of the carriageway."""
        ...

    @property
    def lanes(self) -> int:
        """Lanes in both directions together."""
        ...

    @property
    def oneway(self) -> bool:
        """Whether traffic only runs from start to end."""
        ...

    @property
    def start_node(self) -> int:
        """Node at the first point."""
        ...

    @property
    def end_node(self) -> int:
        """Node at the last point."""
        ...


@dataclass(frozen=True)
class Leg:
    """One road driven in one direction."""

    road: int
    forward: bool


Allowed = Callable[[Leg], bool]


class RoadGraph:
    """Directed legs and what may follow each: no U-turn unless a road ends."""

    def __init__(self, roads: Sequence[RoadLike]) -> None:
        if not roads:
            raise ConfigError("the town has no roads; choose another seed or a larger size")
        self.roads = roads
        self.legs = [Leg(i, True) for i in range(len(roads))]
        self.legs += [Leg(i, False) for i, road in enumerate(roads) if not road.oneway]
        self._from: dict[int, list[Leg]] = {}
        for leg in self.legs:
            self._from.setdefault(self.start(leg), []).append(leg)
        self.length = [_length(road.centreline_m) for road in roads]
        self._blind = self._find_blind()

    def start(self, leg: Leg) -> int:
        """Node where a leg begins."""
        road = self.roads[leg.road]
        return road.start_node if leg.forward else road.end_node

    def end(self, leg: Leg) -> int:
        """Node where a leg ends."""
        road = self.roads[leg.road]
        return road.end_node if leg.forward else road.start_node

    def next(self, leg: Leg) -> list[Leg]:
        """Legs that may follow; blind alleys and turning round only if there is nothing else."""
        after = self._from.get(self.end(leg), [])
        onward = [item for item in after if item.road != leg.road]
        return [item for item in onward if item not in self._blind] or onward or list(after)

    def points(self, leg: Leg) -> FloatArray:
        """(N, 2) centreline in driving order."""
        line = np.asarray(self.roads[leg.road].centreline_m, dtype=np.float64)[:, :2]
        return line if leg.forward else line[::-1]

    def _find_blind(self) -> set[Leg]:
        """Legs from which one can only turn round."""
        blind: set[Leg] = set()
        while True:
            found = {
                leg
                for leg in self.legs
                if leg not in blind
                and not any(
                    item.road != leg.road and item not in blind
                    for item in self._from.get(self.end(leg), [])
                )
            }
            if not found or len(blind) + len(found) == len(self.legs):
                return blind
            blind |= found

    def path_to(self, start: Leg, goal: Allowed) -> list[Leg]:
        """Shortest continuation after `start` that ends in a leg of the goal; empty if none."""
        queue: list[tuple[float, int, Leg]] = [(0.0, 0, start)]
        cost, came, number = {start: 0.0}, {start: start}, 0
        while queue:
            so_far, _, leg = heapq.heappop(queue)
            if so_far > cost[leg]:
                continue
            if leg != start and goal(leg):
                back = [leg]
                while came[back[-1]] != start:
                    back.append(came[back[-1]])
                return back[::-1]
            for item in self.next(leg):
                total = so_far + self.length[item.road]
                if total < cost.get(item, np.inf):
                    cost[item], came[item], number = total, leg, number + 1
                    heapq.heappush(queue, (total, number, item))
        return []


_KIND_WEIGHT = {"service": 0.3, "roundabout": 1.0}


def wander(
    graph: RoadGraph,
    rng: np.random.Generator,
    length_m: float,
    start: Leg,
    allowed: Allowed,
    visits: dict[int, int],
) -> list[Leg]:
    """Drive on from `start`, preferring roads not driven yet, for at least `length_m`.

    Args:
        graph: road graph.
        rng: source of randomness.
        length_m: length of the result, the start leg not counted.
        start: leg the vehicle is on.
        allowed: legs that may be driven; left only where nothing else follows.
        visits: how often each road was driven; updated.

    Returns:
        The legs after `start`.
    """
    legs: list[Leg] = []
    here, driven = start, 0.0
    while driven < length_m:
        options = graph.next(here)
        inside = [leg for leg in options if allowed(leg)]
        if options and not inside:
            inside = graph.path_to(here, allowed)[:1] or options
        if not inside:
            break
        weights = np.array(
            [
                _KIND_WEIGHT.get(graph.roads[leg.road].kind, 1.0)
                / (1.0 + 3.0 * visits.get(leg.road, 0)) ** 2
                for leg in inside
            ]
        )
        here = inside[int(rng.choice(len(inside), p=weights / weights.sum()))]
        visits[here.road] = visits.get(here.road, 0) + 1
        driven += graph.length[here.road]
        legs.append(here)
    return legs


@dataclass(frozen=True)
class Path:
    """A smooth path along legs.

    Attributes:
        xy_m: (N, 2) points every `STEP_M`.
        yaw_rad: (N,) continuous heading.
        curvature: (N,) 1/m, left positive.
        kind: (N,) kind of road.
        lane_m: (N,) distance from the road's centre line, positive towards the driving side.
        junctions: indices of points where a road ends.
    """

    xy_m: FloatArray
    yaw_rad: FloatArray
    curvature: FloatArray
    kind: np.ndarray
    lane_m: FloatArray
    junctions: np.ndarray

    @property
    def length_m(self) -> float:
        """Length of the path."""
        return STEP_M * (len(self.xy_m) - 1)

    def cut(self, length_m: float) -> Path:
        """The first `length_m` of it."""
        n = min(len(self.xy_m), round(length_m / STEP_M) + 1)
        return Path(
            self.xy_m[:n],
            self.yaw_rad[:n],
            self.curvature[:n],
            self.kind[:n],
            self.lane_m[:n],
            self.junctions[self.junctions < n],
        )


def lay_path(
    graph: RoadGraph, legs: Sequence[Leg], rng: np.random.Generator, driving_side: str
) -> Path:
    """Drive legs in lane, with arcs at the junctions and a little wander in the lane."""
    side = 1.0 if driving_side == "left" else -1.0
    pieces: list[FloatArray] = []
    labels: list[tuple[str, float]] = []
    ends: list[int] = []
    total = 0
    for leg in legs:
        road = graph.roads[leg.road]
        offset = _lane_offset(road, rng)
        line = _trim(_shift(_resample(graph.points(leg), 1.0), side * offset), road.width_m)
        if pieces:
            arc = _arc(pieces[-1], line)
            pieces.append(arc)
            labels += [(road.kind, offset)] * len(arc)
            ends.append(total)
            total += len(arc)
        pieces.append(line)
        labels += [(road.kind, offset)] * len(line)
        total += len(line)
    raw = np.concatenate(pieces)
    return _finish(raw, labels, ends, rng)


def _finish(
    raw: FloatArray, labels: list[tuple[str, float]], ends: list[int], rng: np.random.Generator
) -> Path:
    from scipy.ndimage import gaussian_filter1d

    from geoloc_ros.synthetic.trajectory import smooth_noise

    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(raw, axis=0), axis=1))])
    fine = _resample(raw, STEP_M)
    smooth = gaussian_filter1d(fine, 1.8 / STEP_M, axis=0, mode="nearest")
    drift = 0.18 * gaussian_filter1d(smooth_noise(rng, len(smooth), 40.0 / STEP_M), 8.0 / STEP_M)
    smooth = _resample(_shift(smooth, drift), STEP_M)
    yaw = np.unwrap(np.arctan2(*np.gradient(smooth, axis=0).T[::-1]))
    share = np.linspace(0.0, at[-1], len(smooth))
    nearest = np.clip(np.searchsorted(at, share), 0, len(labels) - 1)
    return Path(
        xy_m=smooth,
        yaw_rad=yaw,
        curvature=np.gradient(yaw) / STEP_M,
        kind=np.array([labels[i][0] for i in nearest]),
        lane_m=np.array([labels[i][1] for i in nearest]),
        junctions=np.searchsorted(share, at[ends]) if ends else np.zeros(0, dtype=np.int64),
    )


def _lane_offset(road: RoadLike, rng: np.random.Generator) -> float:
    if road.oneway:
        return 0.0
    lanes = max(1, road.lanes // 2)
    lane = int(rng.integers(lanes))
    return 0.5 * road.width_m * (lane + 0.5) / lanes


def _length(points: FloatArray) -> float:
    return float(np.linalg.norm(np.diff(np.asarray(points)[:, :2], axis=0), axis=1).sum())


def _resample(points: FloatArray, step_m: float) -> FloatArray:
    keep = np.concatenate([[True], np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-6])
    points = points[keep]
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    where = np.linspace(0.0, at[-1], max(2, round(at[-1] / step_m) + 1))
    return np.column_stack([np.interp(where, at, points[:, k]) for k in range(2)])


def _shift(points: FloatArray, left_m: float | FloatArray) -> FloatArray:
    """Move a line sideways, left positive."""
    direction = np.gradient(points, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    normal = np.column_stack([-direction[:, 1], direction[:, 0]])
    return np.asarray(points + normal * np.broadcast_to(left_m, len(points))[:, None])


def _trim(points: FloatArray, width_m: float) -> FloatArray:
    """Leave room for the arcs at both ends."""
    cut = min(4.0 + 0.6 * width_m, 0.36 * _length(points))
    steps = int(min(cut / max(_length(points) / (len(points) - 1), 1e-9), (len(points) - 2) // 2))
    return points[steps : len(points) - steps] if steps > 0 else points


def _arc(before: FloatArray, after: FloatArray) -> FloatArray:
    """Cubic Bezier that leaves one line and joins the next, a circle's arc where it can be one."""
    a, b = before[-1], after[0]
    go, come = before[-1] - before[-2], after[1] - after[0]
    go, come = go / np.linalg.norm(go), come / np.linalg.norm(come)
    chord = float(np.linalg.norm(b - a))
    turn = np.clip(abs(np.arctan2(go[0] * come[1] - go[1] * come[0], go @ come)), 0.05, 2.7)
    handle = (4.0 / 3.0) * np.tan(turn / 4.0) * chord / (2.0 * np.sin(turn / 2.0))
    t = np.linspace(0.0, 1.0, max(4, round(chord)) + 1)[1:-1, None]
    p1, p2 = a + handle * go, b - handle * come
    curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * b
    return np.asarray(curve)
