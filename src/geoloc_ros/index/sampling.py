# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which pose hypotheses an index holds: along roads, or on a grid over the imagery.

Along a road the anchors advance regularly while lateral offset and heading follow the R2 sequence
of M. Roberts ("The unreasonable effectiveness of quasirandom sequences", 2018). A regular first
coordinate with a Kronecker sequence in the others is a low-discrepancy set in three dimensions
(Hammersley's construction), and every stretch of road sees a contiguous piece of the sequence,
which is itself low-discrepancy: no gaps, however long the road.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.turns import REACH_M, turn_paths

NORTH_RAD = 0.5 * math.pi
MAX_ENTRIES = 20_000_000  # sampling them takes about 3 GB of memory
_TIE_M = 1e-6  # this near to a vertex one is beyond it, whatever the last digit says
_FEWER_ROADS = "a wider --spacing, fewer roads"
_PLASTIC = 1.3247179572447460  # root of x^3 = x + 1
_R2 = np.array([1.0 / _PLASTIC, 1.0 / _PLASTIC**2])
_REVERSE_PHASE = 0.381966011250105  # keeps the two directions of a road apart in the sequence


def sample(
    policy: SamplingPolicy,
    roads: Sequence[Road] | None,
    bounds: tuple[float, float, float, float],
    valid: Callable[[FloatArray], Mask] | None = None,
) -> FloatArray:
    """Anchors of a policy.

    Args:
        policy: what to sample.
        roads: needed by `roads`.
        bounds: west, south, east, north of the imagery, m.
        valid: (N, 2) positions -> (N,) whether imagery exists there.

    Returns:
        (N, 3) anchors x_m, y_m, yaw_rad inside the bounds; with north up all of heading north.

    Raises:
        IndexBuildError: the policy needs roads and there are none, or asks for more than
            `MAX_ENTRIES`.
    """
    if policy.north_up:
        return _north_up(policy, roads, bounds, valid)
    if policy.kind == "grid":
        west, south, east, north = bounds
        places = (east - west) * (north - south) / policy.pitch_m**2
        _check_count(places * policy.headings, "a coarser --pitch, fewer --headings", policy)
        return sample_grid(bounds, policy.pitch_m, policy.headings, valid)
    if roads is None:
        raise IndexBuildError("sampling along roads needs a road layer: --roads FILE, or --grid")
    anchors = sample_roads(_near(roads, bounds, policy), policy)
    inside = _inside(anchors, bounds)
    anchors = anchors[inside]
    return anchors if valid is None else anchors[valid(anchors[:, :2])]


def _north_up(
    policy: SamplingPolicy,
    roads: Sequence[Road] | None,
    bounds: tuple[float, float, float, float],
    valid: Callable[[FloatArray], Mask] | None,
) -> FloatArray:
    """The places of a policy, each once, as if all were passed northwards."""
    once = dataclasses.replace(
        policy, north_up=False, headings=1, turns=False, both_ways_on_oneway=False
    )
    if roads is not None:
        roads = [dataclasses.replace(road, oneway=True) for road in roads]
    anchors = sample(once, roads, bounds, valid)
    anchors[:, 2] = NORTH_RAD
    return anchors


def _check_count(count: float, instead: str, policy: SamplingPolicy) -> None:
    if count > MAX_ENTRIES:
        raise IndexBuildError(
            f"sampling {policy.kind} would give about {count:,.0f} entries, at most "
            f"{MAX_ENTRIES:,} can be indexed; choose {instead} or a smaller area"
        )


def sample_roads(roads: Sequence[Road], policy: SamplingPolicy) -> FloatArray:
    """Scatter anchors along every centreline, in each direction of traffic.

    Args:
        roads: centrelines.
        policy: spacing, lateral and heading tolerance, seed.

    Returns:
        (N, 3) anchors x_m, y_m, yaw_rad; the same for the same arguments.

    Raises:
        IndexBuildError: more than `MAX_ENTRIES`, or roads that meet in too many pairs.
    """
    ways: list[FloatArray] = []
    phases: list[float] = []
    for road in roads:
        ways.append(road.xy_m)
        phases.append(0.0)
        if not road.oneway or policy.both_ways_on_oneway:
            ways.append(road.xy_m[::-1])
            phases.append(_REVERSE_PHASE)
    lengths_m = _Ways.of(ways).totals_m
    _check_count(float(lengths_m.sum()) / policy.spacing_m, _FEWER_ROADS, policy)
    if policy.turns:
        arcs = turn_paths(roads, policy)
        ways.extend(arcs)
        phases.extend([0.0] * len(arcs))
    return _along(_Ways.of(ways), np.array(phases), policy)


def sample_grid(
    bounds: tuple[float, float, float, float],
    pitch_m: float,
    headings: int,
    valid: Callable[[FloatArray], Mask] | None = None,
) -> FloatArray:
    """A grid of positions for each of several headings.

    The grid of each heading is shifted by an R2 offset within one pitch, so that neighbouring
    headings see different positions and local interpolation finds support in all directions.

    Args:
        bounds: west, south, east, north, m.
        pitch_m: distance of grid points.
        headings: how many, equally spaced from east.
        valid: (N, 2) positions -> (N,) whether to keep them.

    Returns:
        (N, 3) anchors x_m, y_m, yaw_rad.
    """
    west, south, east, north = bounds
    parts = []
    for heading in range(headings):
        shift = (heading * _R2) % 1.0 * pitch_m
        xs = np.arange(west + shift[0], east, pitch_m)
        ys = np.arange(south + shift[1], north, pitch_m)
        grid_x, grid_y = np.meshgrid(xs, ys)
        yaw = wrap_angle(2.0 * np.pi * heading / headings)
        parts.append(
            np.stack([grid_x.ravel(), grid_y.ravel(), np.full(grid_x.size, float(yaw))], axis=1)
        )
    anchors = np.concatenate(parts) if parts else np.zeros((0, 3))
    return anchors if valid is None else anchors[valid(anchors[:, :2])]


@dataclass(frozen=True, slots=True)
class _Ways:
    """Polylines behind one another, without segments too short to have a direction.

    Attributes:
        starts, steps: (S, 2) first vertex and extent of each segment, m.
        lengths_m: (S,) of the segments.
        first: (W + 1,) first segment of each way, and the number of all.
        totals_m: (W,) length of each way.
    """

    starts: FloatArray
    steps: FloatArray
    lengths_m: FloatArray
    first: npt.NDArray[np.int64]
    totals_m: FloatArray

    @classmethod
    def of(cls, ways: Sequence[FloatArray]) -> _Ways:
        if not ways:
            nothing = np.zeros((0, 2))
            return cls(nothing, nothing, np.zeros(0), np.zeros(1, np.int64), np.zeros(0))
        counts = [len(way) for way in ways]
        xy_m = np.concatenate(ways)
        way = np.repeat(np.arange(len(ways)), counts)
        steps = np.diff(xy_m, axis=0)
        lengths_m = np.hypot(steps[:, 0], steps[:, 1])
        keep = (lengths_m > 1e-6) & (way[1:] == way[:-1])
        way, lengths_m = way[:-1][keep], lengths_m[keep]
        first = np.searchsorted(way, np.arange(len(ways) + 1))
        totals_m = np.asarray(np.bincount(way, lengths_m, len(ways)), dtype=np.float64)
        return cls(xy_m[:-1][keep], steps[keep], lengths_m, first, totals_m)


def _along(ways: _Ways, phases: FloatArray, policy: SamplingPolicy) -> FloatArray:
    """Anchors along polylines, each in its own direction, with its own phase (W,)."""
    counts = np.floor(ways.totals_m / policy.spacing_m + 0.5).astype(np.int64)
    counts = np.where(ways.totals_m < 1e-3, 0, np.maximum(counts, 1))
    _check_count(float(counts.sum()), _FEWER_ROADS, policy)
    way = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(way))
    nth = number - np.repeat(np.cumsum(counts) - counts, counts)
    ends = np.concatenate([[0.0], np.cumsum(ways.lengths_m)])
    along = ends[ways.first[way]] + (nth + 0.5) * (ways.totals_m[way] / counts[way])
    segment = np.searchsorted(ends, along + _TIE_M, side="right") - 1
    segment = np.clip(segment, ways.first[way], ways.first[way + 1] - 1)
    tangent = ways.steps[segment] / ways.lengths_m[segment, None]
    rest = along - ends[segment]
    start = 0.5 + phases[way] + policy.seed * 0.6180339887498949
    scatter = (start[:, None] + (1 + number)[:, None] * _R2) % 1.0
    lateral = (2.0 * scatter[:, 0] - 1.0) * policy.lateral_m
    turn = (2.0 * scatter[:, 1] - 1.0) * math.radians(policy.yaw_deg)
    left = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    xy_m = ways.starts[segment] + tangent * rest[:, None] + left * lateral[:, None]
    yaw = wrap_angle(np.arctan2(tangent[:, 1], tangent[:, 0]) + turn)
    return np.concatenate([xy_m, yaw[:, None]], axis=1)


def _near(
    roads: Sequence[Road], bounds: tuple[float, float, float, float], policy: SamplingPolicy
) -> list[Road]:
    """Roads that anchors within the bounds can come from."""
    margin_m = policy.lateral_m + REACH_M
    low, high = np.array(bounds[:2]) - margin_m, np.array(bounds[2:]) + margin_m
    return [
        road
        for road in roads
        if (road.xy_m.max(axis=0) >= low).all() and (road.xy_m.min(axis=0) <= high).all()
    ]


def _inside(
    anchors: FloatArray, bounds: tuple[float, float, float, float]
) -> npt.NDArray[np.bool_]:
    west, south, east, north = bounds
    x, y = anchors[:, 0], anchors[:, 1]
    return np.asarray((x >= west) & (x <= east) & (y >= south) & (y <= north))
