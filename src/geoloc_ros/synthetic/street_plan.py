# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Real street plans: the roads of an OpenStreetMap extract, for a made town to stand on.

Where roads run, how they meet, their class, lanes and one-way rules are real; their looks, the
ground and all that stands on it are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index.osm_roads import OsmRoad, osm_roads
from geoloc_ros.synthetic.roadnet import Road, dress, resample
from geoloc_ros.synthetic.style import Style
from geoloc_ros.synthetic.terrain import Terrain

F64 = NDArray[np.float64]
#: Whose streets they are; the licence of the data (ODbL) asks to say so.
ATTRIBUTION = "streets © OpenStreetMap contributors, ODbL"
#: Roads end this far from the edge of the town, m.
_EDGE_M = 6.0
#: Pieces shorter than this become one junction, m.
_SHORT_M = 6.0
#: Less road than this, all connected, is no town, m.
_LEAST_M = 300.0
_WORLD = (-180.0, -90.0, 180.0, 90.0)
_BIN_M = 50.0
_MAX_EXTENT_M = 200_000.0
_KINDS = {
    "motorway": "arterial", "trunk": "arterial", "primary": "arterial",
    "secondary": "collector", "tertiary": "collector", "service": "service", "track": "service",
}  # fmt: skip
#: Private ways that would drown the streets.
_MINOR = ("driveway", "parking_aisle", "drive-through", "emergency_access")
_LANE_M = 3.2


@dataclass(frozen=True, eq=False)
class PlannedRoad:
    """A road of a street plan.

    Attributes:
        line_m: (N, 2) from start to end on the plane.
        kind: see `roadnet.Road`.
        oneway: whether traffic only runs from start to end.
        lanes: in both directions together, 0 if unknown.
        start, end: junctions.
    """

    line_m: F64
    kind: str
    oneway: bool
    lanes: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class StreetPlan:
    """The streets of a square of the real world.

    Attributes:
        centre: its middle, the origin of the town's plane.
        roads: every one can be reached from every other.
        source: name of the extract.
    """

    centre: LatLon
    roads: tuple[PlannedRoad, ...]
    source: str


def read_street_plan(path: Path, size_m: float, centre: LatLon | None = None) -> StreetPlan:
    """The streets in a square of an extract.

    Args:
        path: OpenStreetMap extract.
        size_m: side of the square.
        centre: its middle; None: where most street lies in such a square.

    Raises:
        ConfigError: hardly any connected street there, or an extract too wide to look for a
            middle in.
        IndexBuildError: no sound extract, or the package osmium is missing.
    """
    ways = osm_roads(path, _WORLD)
    ways = [way for way in ways if way.tags.get("service") not in _MINOR]
    if centre is None:
        centre = _busiest(path, ways, size_m)
    frame = LocalFrame(centre)
    half = 0.5 * size_m - _EDGE_M
    pieces: list[PlannedRoad] = []
    for way in ways:
        pieces += _pieces(way, frame, half)
    roads = _connected(_merged(pieces))
    length_m = sum(_length(road.line_m) for road in roads)
    if length_m < _LEAST_M:
        raise ConfigError(
            f"{path} has {length_m:.0f} m of connected streets in {size_m:g} m around "
            f"{centre.lat_deg:.5f} N {centre.lon_deg:.5f} E, at least {_LEAST_M:g} m are needed; "
            "choose another place with --at, or a larger --size"
        )
    return StreetPlan(centre, tuple(roads), path.name)


def planned_roads(
    rng: np.random.Generator, style: Style, plan: StreetPlan, terrain: Terrain
) -> tuple[Road, ...]:
    """The road network of a town on a street plan.

    Args:
        rng: source of randomness for the looks.
        style: regional style; its driving side turns roundabouts.
        plan: where roads run.
        terrain: ground the roads lie on.
    """
    roads = []
    for number, planned in enumerate(plan.roads):
        line, ends = planned.line_m, (planned.start, planned.end)
        if planned.kind == "roundabout" and (_turn(line) > 0.0) != (style.driving_side == "right"):
            line, ends = line[::-1], ends[::-1]
        line3 = np.column_stack([line, terrain.height_m(line)])
        road = dress(rng, style, number, planned.kind, line3, ends)
        roads.append(_laned(road, planned))
    return tuple(roads)


def _laned(road: Road, planned: PlannedRoad) -> Road:
    """With the lanes and rules that the plan knows."""
    lanes = planned.lanes or (1 if planned.oneway else road.lanes)
    width_m, centre = road.width_m, road.centre
    if planned.oneway or planned.lanes or road.oneway:
        width_m = round(max(_LANE_M * lanes + 0.6, 3.6), 2)
    if lanes == 1 and not planned.oneway:  # a lane for both
        width_m, centre = max(width_m, 4.2), "none"
    elif planned.oneway:
        centre = "dashed" if lanes == 2 else "none"
    return replace(road, lanes=lanes, width_m=width_m, oneway=planned.oneway, centre=centre)


def _pieces(way: OsmRoad, frame: LocalFrame, half_m: float) -> list[PlannedRoad]:
    """The parts of a way inside the square, smooth."""
    lonlat = way.lonlat_deg
    away = np.abs((lonlat - [frame.origin.lon_deg, frame.origin.lat_deg] + 180.0) % 360.0 - 180.0)
    if away.max() > 0.5:  # the plane ends there; the square has long ended
        return []
    line = resample(_smooth(frame.to_xy(lonlat[:, 1], lonlat[:, 0])))
    inside = np.abs(line).max(axis=1) <= half_m
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
    found = []
    for first, end in edges.reshape(-1, 2):
        if end - first < 2:
            continue
        # junctions keep their number, cuts at the edge get one of their own
        start = int(way.nodes[0]) if first == 0 else -2 * int(way.nodes[0]) - 3 * int(first) - 1
        last = int(way.nodes[-1]) if end == len(line) else -2 * int(way.nodes[-1]) - 3 * int(end)
        found.append(
            PlannedRoad(line[first:end], _kind(way), way.oneway, _lanes(way), start, last)
        )
    return found


def _kind(way: OsmRoad) -> str:
    if way.tags.get("junction") in ("roundabout", "circular"):
        return "roundabout"
    return _KINDS.get(way.tags["highway"].removesuffix("_link"), "residential")


def _lanes(way: OsmRoad) -> int:
    text = way.tags.get("lanes", "")
    return min(int(text), 6) if text.isascii() and text.isdigit() and len(text) < 3 else 0


def _smooth(line: F64) -> F64:
    """Round the corners of a polyline (Chaikin's corner cutting, twice), ends kept."""
    for _ in range(2):
        if len(line) < 3:
            return line
        cut = np.empty((2 * len(line) - 2, 2))
        cut[0::2] = 0.75 * line[:-1] + 0.25 * line[1:]
        cut[1::2] = 0.25 * line[:-1] + 0.75 * line[1:]
        line = np.concatenate([line[:1], cut[1:-1], line[-1:]])
    return line


def _merged(pieces: Sequence[PlannedRoad]) -> list[PlannedRoad]:
    """Junctions a few metres apart become one: roads between them would be no roads."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.get(node, node) != node:
            node = parent[node]
        return node

    for piece in pieces:
        if _length(piece.line_m) < _SHORT_M:
            parent[root(piece.start)] = root(piece.end)
    places: dict[int, list[F64]] = {}
    for piece in pieces:
        places.setdefault(root(piece.start), []).append(piece.line_m[0])
        places.setdefault(root(piece.end), []).append(piece.line_m[-1])
    middle = {node: np.mean(at, axis=0) for node, at in places.items()}
    out = []
    for piece in pieces:
        if _length(piece.line_m) < _SHORT_M:
            continue
        start, end = root(piece.start), root(piece.end)
        line = _bent(piece.line_m, middle[start], middle[end])
        out.append(replace(piece, line_m=line, start=start, end=end))
    return out


def _bent(line: F64, start: F64, end: F64) -> F64:
    """A line pulled to new ends, its inner points the less the farther away."""
    share = np.linspace(0.0, 1.0, len(line))[:, None]
    near = np.clip(1.0 - 3.0 * share, 0.0, 1.0), np.clip(3.0 * share - 2.0, 0.0, 1.0)
    return resample(line + near[0] * (start - line[0]) + near[1] * (end - line[-1]))


def _connected(roads: Sequence[PlannedRoad]) -> list[PlannedRoad]:
    """The longest piece in which every road can be reached from every other, by the rules.

    Junctions are numbered from 0 in the order of the roads.
    """
    if not roads:
        return []
    names, ends = np.unique([(road.start, road.end) for road in roads], return_inverse=True)
    start, end = ends.reshape(-1, 2).T
    both = np.array([not road.oneway for road in roads])
    a, b = np.concatenate([start, end[both]]), np.concatenate([end, start[both]])
    ways = coo_array((np.ones(len(a)), (a, b)), shape=(len(names), len(names)))
    _, part = connected_components(ways, connection="strong")
    inside = part[start] == part[end]
    length = np.array([_length(road.line_m) for road in roads]) * inside
    best = int(np.argmax(np.bincount(part[start], length)))
    number: dict[int, int] = {}
    kept = [road for road, p, q in zip(roads, part[start], inside, strict=True) if q and p == best]
    for road in kept:
        for node in (road.start, road.end):
            number.setdefault(node, len(number))
    return [replace(road, start=number[road.start], end=number[road.end]) for road in kept]


def _busiest(path: Path, ways: Sequence[OsmRoad], size_m: float) -> LatLon:
    """The middle of the square that holds most street."""
    if not ways:
        raise ConfigError(f"{path} has no street for cars; give an extract of a town")
    ends = np.concatenate([way.lonlat_deg for way in ways])
    lon, lat = np.median(ends, axis=0)
    scale = np.array([111_320.0 * np.cos(np.radians(lat)), 111_320.0])
    xy = [((way.lonlat_deg - [lon, lat]) * scale) for way in ways]
    middle = np.concatenate([0.5 * (line[1:] + line[:-1]) for line in xy])
    length = np.concatenate([np.linalg.norm(np.diff(line, axis=0), axis=1) for line in xy])
    low, high = middle.min(axis=0) - size_m, middle.max(axis=0) + size_m
    if (high - low).max() > _MAX_EXTENT_M:
        raise ConfigError(
            f"{path} is {(high - low).max() / 1e3:.0f} km wide; say where the town is with --at "
            "LAT LON"
        )
    bins = [np.arange(low[k], high[k] + _BIN_M, _BIN_M) for k in range(2)]
    table, *_ = np.histogram2d(middle[:, 0], middle[:, 1], bins=bins, weights=length)
    sums = np.pad(table, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    n = max(1, round(size_m / _BIN_M))
    inside = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    best = np.argwhere(inside >= inside.max() - 1e-6)  # of equals the one in their middle
    chosen = best[np.argmin(np.linalg.norm(best - best.mean(axis=0), axis=1))]
    place = low + _BIN_M * (chosen + 0.5 * n)
    at = np.array([lon, lat]) + place / scale
    return LatLon(round(float(at[1]), 5), round(float(at[0]), 5))


def _length(line: F64) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _turn(line: F64) -> float:
    """Whether a line turns left (positive) or right."""
    step = np.diff(line, axis=0)
    return float((step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0]).sum())
