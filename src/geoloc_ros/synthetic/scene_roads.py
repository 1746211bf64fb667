# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The road that lies ahead of a pose, read from `scene.json`: its course, junctions, crossings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

F64 = NDArray[np.float64]
AHEAD_M = 50.0
ON_ROAD_M = 10.0
STRAIGHT_ON_DEG = 40.0
#: the road seen is the one this far ahead: at a road's last metres, the next one
LOOK_M = 6.0


@dataclass(frozen=True)
class Junction:
    """A node of the road graph on the way ahead.

    Attributes:
        away_m: distance along the road.
        xy_m: (2,) its place.
        kind: ``crossroads tee side_left side_right roundabout dead_end``.
        left: whether a road leaves to the left.
        right: whether one leaves to the right.
        mouths_m: (2, 2) places 8 m into the left and the right one; NaN without.
    """

    away_m: float
    xy_m: F64
    kind: str
    left: bool
    right: bool
    mouths_m: F64


@dataclass(frozen=True)
class WayAhead:
    """The road ahead of a pose.

    Attributes:
        road: what scene.json says of the road seen.
        forward: whether it is driven from its start to its end.
        line_m: (N, 3) its course ahead, through junctions while it goes on straight.
        along_m: (N,) distance of these points.
        junctions: what comes on the way, nearest first.
    """

    road: Mapping[str, Any]
    forward: bool
    line_m: F64
    along_m: F64
    junctions: tuple[Junction, ...]


class RoadMap:
    """Finds the way ahead of poses.

    Args:
        roads: the roads of scene.json.
    """

    def __init__(self, roads: list[dict[str, Any]]) -> None:
        self.roads = roads
        self.lines = [np.asarray(road["centreline_m"], dtype=np.float64) for road in roads]
        self.at: dict[int, list[tuple[int, bool]]] = {}
        for i, road in enumerate(roads):
            self.at.setdefault(road["start_node"], []).append((i, True))
            self.at.setdefault(road["end_node"], []).append((i, False))
        middles = [0.5 * (line[1:, :2] + line[:-1, :2]) for line in self.lines]
        steps = [np.diff(line[:, :2], axis=0) for line in self.lines]
        self._owner = np.repeat(np.arange(len(roads)), [len(step) for step in steps])
        self._piece = np.concatenate([np.arange(len(step)) for step in steps])
        step = np.concatenate(steps)
        self._direction = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
        self._middle = np.concatenate(middles)
        self._tree = cKDTree(self._middle)

    def ahead(self, pose: F64) -> WayAhead | None:
        """The way ahead of a pose (3,); None off the roads."""
        heading = np.array([np.cos(pose[2]), np.sin(pose[2])])
        near = np.asarray(self._tree.query_ball_point(pose[:2], ON_ROAD_M), dtype=np.intp)
        if len(near) == 0:
            return None
        aligned = self._direction[near] @ heading
        offset = pose[:2] - self._middle[near]
        away = np.hypot(offset[:, 0], offset[:, 1])
        k = int(near[np.argmin(away + 6.0 * (1.0 - np.abs(aligned)))])
        number, forward = int(self._owner[k]), bool(self._direction[k] @ heading >= 0.0)
        if self.roads[number]["oneway"] and self.roads[number]["kind"] == "roundabout":
            forward = True
        return self._walk(pose, number, forward, int(self._piece[k]), self._direction[k])

    def _walk(self, pose: F64, number: int, forward: bool, piece: int, direction: F64) -> WayAhead:
        line = self.lines[number][piece:] if forward else self.lines[number][: piece + 2][::-1]
        course = direction if forward else -direction
        here = line[0, :2] + course * max(0.0, float((pose[:2] - line[0, :2]) @ course))
        points = [np.array([*here, line[0, 2]])[None]]
        junctions: list[Junction] = []
        seen, seen_forward, length = number, forward, 0.0
        rest = line[1:]
        if self.roads[number]["kind"] == "roundabout":
            junctions.append(_roundabout(0.0, here))
        while True:
            points.append(rest)
            steps = np.diff(np.vstack([points[-2][-1:], rest])[:, :2], axis=0)
            length += float(np.hypot(steps[:, 0], steps[:, 1]).sum())
            if length > AHEAD_M:
                break
            onward, junction = self._cross(number, forward, length)
            if junction is not None:
                junctions.append(junction)
            if onward is None:
                break
            number, forward = onward
            if length < LOOK_M:
                seen, seen_forward = onward
            rest = self._driven(number, forward)[1:]
        return _way(self.roads[seen], seen_forward, np.vstack(points), junctions)

    def _driven(self, number: int, forward: bool) -> F64:
        return self.lines[number] if forward else self.lines[number][::-1]

    def _cross(
        self, number: int, forward: bool, away_m: float
    ) -> tuple[tuple[int, bool] | None, Junction | None]:
        """Where the road goes on at its end, and the junction there."""
        road, line = self.roads[number], self._driven(number, forward)
        node = road["end_node"] if forward else road["start_node"]
        place = line[-1, :2]
        others = [leg for leg in self.at[node] if leg[0] != number]
        arrive = line[-1, :2] - line[max(0, len(line) - 4), :2]
        if not others:
            return None, Junction(away_m, place, "dead_end", False, False, np.full((2, 2), np.nan))
        if any(self.roads[i]["kind"] == "roundabout" for i, _ in others):
            return None, _roundabout(away_m, place)
        leave = [self._driven(*leg)[min(4, len(self.lines[leg[0]]) - 1), :2] for leg in others]
        turns = np.array([_turn_deg(arrive, mouth - place) for mouth in leave])
        straight = int(np.argmin(np.abs(turns)))
        onward = others[straight] if abs(turns[straight]) < STRAIGHT_ON_DEG else None
        if len(others) == 1:
            return others[0], None
        sides = [k for k in range(len(others)) if onward is None or k != straight]
        mouths = np.full((2, 2), np.nan)
        for k in sides:
            mouths[0 if turns[k] > 0 else 1] = leave[k]
        left, right = (bool(x) for x in np.isfinite(mouths[:, 0]))
        if onward is None:
            kind = "tee"
        else:
            kind = "crossroads" if left and right else "side_left" if left else "side_right"
        return onward, Junction(away_m, place, kind, left, right, mouths)


def _roundabout(away_m: float, place: F64) -> Junction:
    return Junction(away_m, place, "roundabout", False, False, np.full((2, 2), np.nan))


def _way(
    road: Mapping[str, Any], forward: bool, points: F64, junctions: list[Junction]
) -> WayAhead:
    steps = np.diff(points[:, :2], axis=0)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    return WayAhead(road, forward, points, along, tuple(junctions))


def _turn_deg(arrive: F64, leave: F64) -> float:
    """Angle from one direction to another, positive to the left."""
    cross = arrive[0] * leave[1] - arrive[1] * leave[0]
    return float(np.degrees(np.arctan2(cross, arrive @ leave)))
