# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Roads of a made town: smooth centrelines, lanes, paint and roundabouts on a street plan."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.roadplan import PLANS, Edge, Plan, tidy
from geoloc_ros.synthetic.styles import Style
from geoloc_ros.synthetic.terrain import Terrain

F64 = NDArray[np.float64]
STEP_M = 2.0


@dataclass(frozen=True)
class Road:
    """One road between two nodes of the road graph.

    Attributes:
        id: Number, unique in the town.
        kind: ``arterial collector residential service roundabout``.
        centreline_m: `(N, 3)` local ENU points about every 2 m, on the terrain.
        width_m: Width of the carriageway.
        lanes: Lanes in both directions together.
        oneway: Whether traffic only runs from start to end.
        start_node: Node id at the first point.
        end_node: Node id at the last point.
        sidewalk_m: Width of the pavement on each side, 0 for none.
        parking_m: Width of the parking strip (left, right), outside the carriageway.
        centre: Centre line: ``none dashed solid double``.
        edge_line: Whether edge lines are painted.
        bike: Whether a coloured bicycle lane runs along it.
        surface: ``asphalt`` or ``brick``.
        shade: Age of the surface, 0 dark and new to 1 pale and old.
    """

    id: int
    kind: str
    centreline_m: F64 = field(repr=False)
    width_m: float
    lanes: int
    oneway: bool
    start_node: int
    end_node: int
    sidewalk_m: float = 0.0
    parking_m: tuple[float, float] = (0.0, 0.0)
    centre: str = "none"
    edge_line: bool = False
    bike: bool = False
    surface: str = "asphalt"
    shade: float = 0.5

    @property
    def length_m(self) -> float:
        """Length of the centreline in the plane, metres."""
        return float(np.linalg.norm(np.diff(self.centreline_m[:, :2], axis=0), axis=1).sum())

    @property
    def half_m(self) -> float:
        """Half of everything that belongs to the road, parking and pavement included."""
        return 0.5 * self.width_m + max(self.parking_m) + self.sidewalk_m + (1.4 * self.bike)


@dataclass
class _Draft:
    """A road before it gets its looks."""

    line: F64
    kind: str
    start: int
    end: int


def resample(points: F64, step_m: float = STEP_M) -> F64:
    """Points at equal distances of about `step_m` along a polyline `(N, D)`, ends kept."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0.0, s[-1], max(2, round(s[-1] / step_m) + 1))
    return np.stack([np.interp(at, s, points[:, k]) for k in range(points.shape[1])], axis=1)


def normals(line: F64) -> F64:
    """Unit normals `(N, 2)` to the left of a polyline `(N, >=2)`."""
    d = np.gradient(line[:, :2], axis=0)
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    return np.stack([-d[:, 1], d[:, 0]], axis=1)


def _bezier(p0: F64, t0: F64, p1: F64, t1: F64) -> F64:
    """Cubic Bezier from p0 leaving along t0 to p1 arriving against t1, densely sampled."""
    third = np.linalg.norm(p1 - p0) / 3.0
    a, b = p0 + t0 * third, p1 + t1 * third
    u = np.linspace(0, 1, 48)[:, None]
    v = 1 - u
    return np.asarray(v**3 * p0 + 3 * v**2 * u * a + 3 * v * u**2 * b + u**3 * p1)


def _tangents(
    rng: np.random.Generator, plan: Plan, curviness: float, fixed: set[int]
) -> dict[tuple[int, int], F64]:
    """Unit direction in which edge e leaves its end node n, for every (e, n).

    Opposite edges share a tangent so that a through road runs smoothly across the node; nodes in
    `fixed` (roundabout entries) keep the straight direction.
    """
    at: dict[int, list[int]] = {}
    for e, (a, b, _) in enumerate(plan.edges):
        at.setdefault(a, []).append(e)
        at.setdefault(b, []).append(e)
    out: dict[tuple[int, int], F64] = {}
    for node, incident in at.items():
        for e in incident:
            a, b, _ = plan.edges[e]
            d = plan.nodes[b if a == node else a] - plan.nodes[node]
            out[(e, node)] = d / np.linalg.norm(d)
        if node in fixed:
            continue
        straight = {e: out[(e, node)] for e in incident}
        pairs = sorted(
            (float(straight[e] @ straight[f]), e, f)
            for k, e in enumerate(incident)
            for f in incident[k + 1 :]
        )
        taken: set[int] = set()
        for dot, e, f in pairs:
            limit = 0.25 if len(incident) == 2 else -0.5
            if dot < limit and e not in taken and f not in taken:
                axis = straight[e] - straight[f]
                axis /= np.linalg.norm(axis)
                out[(e, node)], out[(f, node)] = axis, -axis
                taken |= {e, f}
        for e in incident:
            if e not in taken and len(incident) == 1:
                angle = rng.normal(0, 0.5 * curviness)
                c, s = np.cos(angle), np.sin(angle)
                out[(e, node)] = np.array([[c, -s], [s, c]]) @ out[(e, node)]
    return out


def _roundabouts(
    rng: np.random.Generator, plan: Plan, style: Style
) -> tuple[Plan, list[_Draft], set[int]]:
    """Replace some junctions by rings; returns the new plan, ring arcs and fixed nodes."""
    nodes = [np.asarray(n) for n in plan.nodes]
    edges = list(plan.edges)
    arcs: list[_Draft] = []
    fixed: set[int] = set()
    for node in range(len(plan.nodes)):
        incident = [e for e, (a, b, _) in enumerate(edges) if node in (a, b)]
        main = any(edges[e][2] in ("collector", "arterial") for e in incident)
        draw = rng.random()
        if len(incident) < 3 or draw > style.roundabout * (2.0 if main else 0.5):
            continue
        radius = float(rng.uniform(11.0, 17.0 if main else 13.0))
        ends = [edges[e][1] if edges[e][0] == node else edges[e][0] for e in incident]
        rays = [nodes[k] - nodes[node] for k in ends]
        angles = np.array([np.arctan2(r[1], r[0]) for r in rays])
        order = np.argsort(angles)
        apart = np.diff(np.append(angles[order], angles[order[0]] + 2 * np.pi))
        if min(np.linalg.norm(r) for r in rays) < 45 or apart.min() < np.radians(48):
            continue
        ring = {}
        for k in order:
            ring[k] = len(nodes)
            nodes.append(nodes[node] + radius * np.array([np.cos(angles[k]), np.sin(angles[k])]))
            fixed.add(ring[k])
            a, b, kind = edges[incident[k]]
            edges[incident[k]] = (ring[k], b, kind) if a == node else (a, ring[k], kind)
        for i, k in enumerate(order):
            after = order[(i + 1) % len(order)]
            sweep = angles[k] + np.linspace(0, apart[i], 24)
            line = nodes[node] + radius * np.stack([np.cos(sweep), np.sin(sweep)], 1)
            if style.driving_side == "right":  # right-hand traffic turns counter-clockwise
                arcs.append(_Draft(line, "roundabout", ring[k], ring[after]))
            else:
                arcs.append(_Draft(line[::-1], "roundabout", ring[after], ring[k]))
    return Plan(np.asarray(nodes), edges), arcs, fixed


def make_roads(
    rng: np.random.Generator, style: Style, size_m: float, terrain: Terrain
) -> tuple[Road, ...]:
    """The road network of a town.

    Args:
        rng: Source of randomness.
        style: Regional style.
        size_m: Side of the town, metres.
        terrain: Ground the roads lie on.

    Returns:
        Roads whose graph is connected.
    """
    plan = PLANS[style.plan](rng, size_m, style)
    plan = tidy(plan, 0.5 * size_m - 6.0, dead_ends=style.plan in ("culdesac", "superblock"))
    plan, arcs, fixed = _roundabouts(rng, plan, style)
    leave = _tangents(rng, plan, style.curviness, fixed)
    drafts = []
    for e, (a, b, kind) in enumerate(plan.edges):
        line = _bezier(plan.nodes[a], leave[(e, a)], plan.nodes[b], leave[(e, b)])
        drafts.append(_Draft(_wander(rng, line, style.curviness), kind, a, b))
    number: dict[int, int] = {}
    roads = []
    for i, draft in enumerate(drafts + arcs):
        ends = tuple(number.setdefault(n, len(number)) for n in (draft.start, draft.end))
        line = np.clip(resample(draft.line), -0.5 * size_m, 0.5 * size_m)
        line3 = np.column_stack([line, terrain.height_m(line)])
        roads.append(dress(rng, style, i, draft.kind, line3, (ends[0], ends[1])))
    return tuple(roads)


def _wander(rng: np.random.Generator, line: F64, curviness: float) -> F64:
    """Add a gentle sideways swing that vanishes with its slope at both ends."""
    length = float(np.linalg.norm(line[-1] - line[0]))
    t = np.linspace(0, 1, len(line))
    swing = rng.normal(0, 0.035 * curviness * length) * np.sin(np.pi * t) ** 2
    swing += (
        rng.normal(0, 0.02 * curviness * length) * np.sin(np.pi * t) ** 2 * np.sin(2 * np.pi * t)
    )
    return np.asarray(line + normals(line) * swing[:, None])


def dress(
    rng: np.random.Generator,
    style: Style,
    number: int,
    kind: str,
    line: F64,
    ends: tuple[int, int],
) -> Road:
    """Give a road its width, lanes, pavements, parking and paint."""
    draws = rng.random(8)
    base, lanes, oneway, centre = _lanes(rng, style, kind, draws)
    walk = float(rng.uniform(*style.sidewalk_m)) * (
        1.3 if kind in ("arterial", "collector") else 1.0
    )
    if kind in ("service", "roundabout") or (kind == "residential" and draws[2] < 0.12):
        walk = 0.0
    parks = style.parked if kind in ("residential", "collector") else 0.0
    strips = (2.1 if draws[3] < 0.6 * parks else 0.0, 2.1 if draws[4] < 0.6 * parks else 0.0)
    main = kind in ("arterial", "collector")
    return Road(
        id=number,
        kind=kind,
        centreline_m=line,
        width_m=round(base, 2),
        lanes=lanes,
        oneway=oneway,
        start_node=ends[0],
        end_node=ends[1],
        sidewalk_m=round(walk, 2),
        parking_m=strips,
        centre=centre,
        edge_line=bool(draws[5] < style.edge_lines * (1.6 if main else 0.6)),
        bike=bool(main and draws[6] < style.bike),
        surface=style.road_surface if kind in ("residential", "service") else "asphalt",
        shade=float(draws[7]),
    )


def _lanes(
    rng: np.random.Generator, style: Style, kind: str, draws: F64
) -> tuple[float, int, bool, str]:
    """Width of the carriageway, lanes, one-way and centre line of a kind of road."""
    base = float(rng.uniform(*style.road_width_m))
    lanes, oneway, centre = 2, False, "none"
    if kind == "arterial":
        lanes = 4 if draws[0] < 0.45 else 2
        base = 3.3 * lanes + float(rng.uniform(0.4, 1.6))
        centre = (
            "double" if lanes == 4 and draws[1] < 0.7 else "solid" if draws[1] < 0.35 else "dashed"
        )
    elif kind == "collector":
        base = max(base, 6.4) + float(rng.uniform(0, 1.0))
        centre = "dashed" if draws[1] < 0.75 else "solid"
    elif kind == "residential":
        centre = "dashed" if draws[1] < 0.3 else "none"
        if draws[0] < 0.12:
            lanes, oneway, base, centre = 1, True, max(3.6, base - 2.0), "none"
    elif kind == "service":
        lanes, base = 1, float(rng.uniform(3.8, 5.0))
    else:
        lanes, oneway, base = 1, True, float(rng.uniform(5.0, 6.5))
    return base, lanes, oneway, centre


__all__ = ["Edge", "Road", "make_roads", "normals", "resample"]
