# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The paths a vehicle takes from road to road: arcs at junctions and sharp bends.

Anchors along centrelines look along the road; a vehicle in the middle of a turn looks along none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.index.policy import Road, SamplingPolicy

REACH_M = 9.0  # a turn starts and ends this far from the junction
_SNAP_M = 0.5  # ends closer than this are one junction
_MAX_TURN_RAD = math.radians(150.0)  # sharper is a U-turn, which is no path


def turn_paths(roads: Sequence[Road], policy: SamplingPolicy) -> Iterator[FloatArray]:
    """Arcs between every two roads that meet, and around sharp bends of one road.

    An arc is the quadratic Bezier curve from `REACH_M` before the junction to `REACH_M` behind
    it, with the junction as its control point. Turns that the heading tolerance of the road
    anchors already covers are left out.

    Args:
        roads: centrelines; they meet where their vertices coincide.
        policy: heading tolerance and direction rules.

    Yields:
        (9, 2) polylines, in a deterministic order.
    """
    arms: dict[tuple[int, int], list[tuple[FloatArray, FloatArray, bool, bool]]] = {}
    for road in roads:
        both = not road.oneway or policy.both_ways_on_oneway
        way = road.xy_m
        for index, outward in ((0, way), (len(way) - 1, way[::-1])):
            place = (round(way[index, 0] / _SNAP_M), round(way[index, 1] / _SNAP_M))
            may_leave, may_come = both or index == 0, both or index != 0
            arm = (way[index], _point_at(outward, REACH_M), may_leave, may_come)
            arms.setdefault(place, []).append(arm)
    smallest = math.radians(1.5 * policy.yaw_deg)
    for meeting in arms.values():
        for i, (node, come_from, _, may_come) in enumerate(meeting):
            for j, (_, go_to, may_leave, _) in enumerate(meeting):
                if i != j and may_come and may_leave:
                    turn = _turn_rad(come_from, node, go_to)
                    if smallest < turn < _MAX_TURN_RAD:
                        yield _arc(come_from, node, go_to)
    yield from _bends(roads, policy, smallest)


def _bends(roads: Sequence[Road], policy: SamplingPolicy, smallest: float) -> Iterator[FloatArray]:
    for road in roads:
        way = road.xy_m
        lengths = np.hypot(*np.diff(way, axis=0).T)
        last = -math.inf  # one arc covers all corners within its reach
        for k, along in enumerate(np.cumsum(lengths)[:-1], start=1):
            turn = _turn_rad(way[k - 1], way[k], way[k + 1])
            if smallest < turn < _MAX_TURN_RAD and along - last > REACH_M:
                last = along
                before = _point_at(way[k::-1], REACH_M)
                after = _point_at(way[k:], REACH_M)
                yield _arc(before, way[k], after)
                if not road.oneway or policy.both_ways_on_oneway:
                    yield _arc(after, way[k], before)


def _turn_rad(before: FloatArray, node: FloatArray, after: FloatArray) -> float:
    first, second = node - before, after - node
    if not first.any() or not second.any():
        return 0.0
    turn = math.atan2(second[1], second[0]) - math.atan2(first[1], first[0])
    return abs(float(wrap_angle(turn)))


def _point_at(way: FloatArray, distance_m: float) -> FloatArray:
    """The point so far along a polyline, or its end."""
    for start, end in pairwise(way):
        length = float(np.hypot(*(end - start)))
        if length >= distance_m and length > 0.0:
            return np.asarray(start + (end - start) * (distance_m / length))
        distance_m -= length
    return np.asarray(way[-1])


def _arc(start: FloatArray, control: FloatArray, end: FloatArray) -> FloatArray:
    t = np.linspace(0.0, 1.0, 9)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)
