# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The paths a vehicle takes from road to road: arcs at junctions and sharp bends.

Anchors along centrelines look along the road; a vehicle in the middle of a turn looks along none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.index.policy import Road, SamplingPolicy

REACH_M = 9.0  # a turn starts and ends this far from the junction
MAX_TURNS = 2_000_000  # between roads that meet; more are a damaged road layer
_SNAP_M = 0.5  # ends closer than this are one junction
_MAX_TURN_RAD = math.radians(150.0)  # sharper is a U-turn, which is no path

_Ints = npt.NDArray[np.int64]


def turn_paths(roads: Sequence[Road], policy: SamplingPolicy) -> FloatArray:
    """Arcs between every two roads that meet, and around sharp bends of one road.

    An arc is the quadratic Bezier curve from `REACH_M` before the junction to `REACH_M` behind
    it, with the junction as its control point. Turns that the heading tolerance of the road
    anchors already covers are left out.

    Args:
        roads: centrelines; they meet where their vertices coincide.
        policy: heading tolerance and direction rules.

    Returns:
        (M, 9, 2) polylines, in a deterministic order.

    Raises:
        IndexBuildError: roads meet in more than `MAX_TURNS` pairs.
    """
    if not roads:
        return np.zeros((0, 9, 2))
    network = _Network.of(roads, policy)
    smallest = math.radians(1.5 * policy.yaw_deg)
    return np.concatenate([_junctions(network, smallest), _bends(network, smallest)])


@dataclass(frozen=True, slots=True)
class _Network:
    """All roads behind one another.

    Attributes:
        xy_m: (N, 2) vertices.
        along_m: (N,) length of all road before each vertex.
        first, last: (R,) vertices at the roads' ends.
        both: (R,) whether a road is driven in both directions.
    """

    xy_m: FloatArray
    along_m: FloatArray
    first: _Ints
    last: _Ints
    both: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, roads: Sequence[Road], policy: SamplingPolicy) -> _Network:
        xy_m = np.concatenate([road.xy_m for road in roads])
        last = np.cumsum([len(road.xy_m) for road in roads]) - 1
        first = np.concatenate([[0], last[:-1] + 1])
        lengths = np.hypot(*np.diff(xy_m, axis=0).T)
        lengths[last[:-1]] = 0.0  # from road to road there is no way
        along_m = np.concatenate([[0.0], np.cumsum(lengths)])
        both = [not road.oneway or policy.both_ways_on_oneway for road in roads]
        return cls(xy_m, along_m, first, last, np.array(both, dtype=np.bool_))

    def at(self, along_m: FloatArray, road: _Ints) -> FloatArray:
        """Points (K, 2) of roads (K,), their ends where `along_m` (K,) lies beyond."""
        first, last = self.first[road], self.last[road]
        along_m = np.clip(along_m, self.along_m[first], self.along_m[last])
        start = np.searchsorted(self.along_m, along_m) - 1
        start = np.clip(start, first, np.maximum(last - 1, first))
        end = np.minimum(start + 1, last)
        length = self.along_m[end] - self.along_m[start]
        share = (along_m - self.along_m[start]) / np.where(length > 0.0, length, 1.0)
        return np.asarray(self.xy_m[start] + (self.xy_m[end] - self.xy_m[start]) * share[:, None])


def _junctions(network: _Network, smallest: float) -> FloatArray:
    """Arcs from each end of a road to every other end at the same place."""
    road = np.repeat(np.arange(len(network.first)), 2)
    at_start = np.tile([True, False], len(network.first))
    end = np.where(at_start, network.first[road], network.last[road])
    inner = network.at(network.along_m[end] + np.where(at_start, REACH_M, -REACH_M), road)
    may_leave = network.both[road] | at_start
    may_come = network.both[road] | ~at_start
    order, start, size = _meetings(network.xy_m[end])
    pairs = int((size[start == np.arange(len(start))] ** 2).sum())
    if pairs > MAX_TURNS:
        worst = order[int(np.argmax(size))]
        x_m, y_m = network.xy_m[end[worst]]
        raise IndexBuildError(
            f"roads meet in {pairs:,} pairs, at most {MAX_TURNS:,} can be turned at; at x "
            f"{x_m:.0f} m, y {y_m:.0f} m alone {size.max():,} roads end: mend the road layer, or "
            "leave turns out with --no-turns"
        )
    i = np.repeat(np.arange(len(order)), size)
    j = np.arange(len(i)) - np.repeat(np.cumsum(size) - size, size) + start[i]
    i, j = order[i], order[j]
    keep = (i != j) & may_come[i] & may_leave[j]
    i, j = i[keep], j[keep]
    node = network.xy_m[end[i]]
    turn = _turn_rad(inner[i], node, inner[j])
    keep = (smallest < turn) & (turn < _MAX_TURN_RAD)
    return _arcs(inner[i][keep], node[keep], inner[j][keep])


def _meetings(xy_m: FloatArray) -> tuple[_Ints, _Ints, _Ints]:
    """Group points that lie at one place.

    Returns:
        order: (N,) points, those of one place together, places in the order of their first point.
        start: (N,) where in `order` the place of each of its points begins.
        size: (N,) how many points lie there.
    """
    place = np.rint(xy_m / _SNAP_M).astype(np.int64)
    _, seen, group, count = np.unique(
        place, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    group = group.ravel()
    order = np.argsort(seen[group], kind="stable")
    size = count[group][order]
    fresh = np.concatenate([[True], np.diff(seen[group][order]) != 0])
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    return order, start, size


def _bends(network: _Network, smallest: float) -> FloatArray:
    """Arcs around sharp corners of a road; one covers all corners within its reach."""
    xy_m = network.xy_m
    inside = np.ones(len(xy_m), dtype=np.bool_)
    inside[network.first] = inside[network.last] = False
    corner = np.flatnonzero(inside)
    turn = _turn_rad(xy_m[corner - 1], xy_m[corner], xy_m[corner + 1])
    corner = corner[(smallest < turn) & (turn < _MAX_TURN_RAD)]
    road = np.searchsorted(network.last, corner)
    kept, last_road, last_m = [], -1, 0.0
    places = zip(road.tolist(), network.along_m[corner].tolist(), strict=True)
    for number, (where, along_m) in enumerate(places):
        if where != last_road or along_m - last_m > REACH_M:
            kept.append(number)
            last_road, last_m = where, along_m
    corner, road = corner[kept], road[kept]
    before = network.at(network.along_m[corner] - REACH_M, road)
    after = network.at(network.along_m[corner] + REACH_M, road)
    forth = _arcs(before, xy_m[corner], after)
    back = _arcs(after, xy_m[corner], before)
    driven = np.stack([np.ones(len(road), dtype=np.bool_), network.both[road]], axis=1)
    return np.asarray(np.stack([forth, back], axis=1)[driven])


def _turn_rad(before: FloatArray, node: FloatArray, after: FloatArray) -> FloatArray:
    """How far one turns (K,) on the way through three points (K, 2) each; 0 where two are one."""
    first, second = node - before, after - node
    turn = np.arctan2(second[:, 1], second[:, 0]) - np.arctan2(first[:, 1], first[:, 0])
    moving = first.any(axis=1) & second.any(axis=1)
    return np.where(moving, np.abs(wrap_angle(turn)), 0.0)


def _arcs(start: FloatArray, control: FloatArray, end: FloatArray) -> FloatArray:
    """Bezier curves (K, 9, 2) with control points (K, 2)."""
    t = np.linspace(0.0, 1.0, 9)[:, None]
    start, control, end = start[:, None], control[:, None], end[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)
