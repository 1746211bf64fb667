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

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.turns import turn_paths

MAX_ENTRIES = 20_000_000  # sampling them takes about 3 GB of memory
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
        (N, 3) anchors x_m, y_m, yaw_rad inside the bounds.

    Raises:
        IndexBuildError: the policy needs roads and there are none, or asks for more than
            `MAX_ENTRIES`.
    """
    if policy.kind == "grid":
        west, south, east, north = bounds
        places = (east - west) * (north - south) / policy.pitch_m**2
        _check_count(places * policy.headings, "a coarser --pitch, fewer --headings", policy)
        return sample_grid(bounds, policy.pitch_m, policy.headings, valid)
    if roads is None:
        raise IndexBuildError("sampling along roads needs a road layer: --roads FILE, or --grid")
    length_m = sum(float(np.hypot(*np.diff(road.xy_m, axis=0).T).sum()) for road in roads)
    _check_count(2.0 * length_m / policy.spacing_m, "a wider --spacing, fewer roads", policy)
    anchors = sample_roads(roads, policy)
    inside = _inside(anchors, bounds)
    anchors = anchors[inside]
    return anchors if valid is None else anchors[valid(anchors[:, :2])]


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
    """
    parts: list[FloatArray] = []
    counter = 0
    for road in roads:
        ways = [road.xy_m]
        if not road.oneway or policy.both_ways_on_oneway:
            ways.append(road.xy_m[::-1])
        for backwards, way in enumerate(ways):
            part = _along(way, counter, backwards * _REVERSE_PHASE, policy)
            counter += len(part)
            parts.append(part)
    if policy.turns:
        for path in turn_paths(roads, policy):
            part = _along(path, counter, 0.0, policy)
            counter += len(part)
            parts.append(part)
    return np.concatenate(parts) if parts else np.zeros((0, 3))


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


def _along(way: FloatArray, counter: int, phase: float, policy: SamplingPolicy) -> FloatArray:
    """Anchors along one polyline in its own direction; `counter` continues the sequence."""
    steps = np.diff(way, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    keep = lengths > 1e-6
    steps, lengths, starts = steps[keep], lengths[keep], way[:-1][keep]
    total = float(lengths.sum())
    if total < 1e-3:
        return np.zeros((0, 3))
    count = max(1, math.floor(total / policy.spacing_m + 0.5))
    along = (np.arange(count) + 0.5) * (total / count)
    ends = np.cumsum(lengths)
    segment = np.minimum(np.searchsorted(ends, along, side="right"), len(lengths) - 1)
    tangent = steps[segment] / lengths[segment, None]
    rest = along - (ends[segment] - lengths[segment])
    start = 0.5 + phase + policy.seed * 0.6180339887498949
    scatter = (start + (counter + 1 + np.arange(count))[:, None] * _R2) % 1.0
    lateral = (2.0 * scatter[:, 0] - 1.0) * policy.lateral_m
    turn = (2.0 * scatter[:, 1] - 1.0) * math.radians(policy.yaw_deg)
    left = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    xy_m = starts[segment] + tangent * rest[:, None] + left * lateral[:, None]
    yaw = wrap_angle(np.arctan2(tangent[:, 1], tangent[:, 0]) + turn)
    return np.concatenate([xy_m, yaw[:, None]], axis=1)


def _inside(
    anchors: FloatArray, bounds: tuple[float, float, float, float]
) -> npt.NDArray[np.bool_]:
    west, south, east, north = bounds
    x, y = anchors[:, 0], anchors[:, 1]
    return np.asarray((x >= west) & (x <= east) & (y >= south) & (y <= north))
