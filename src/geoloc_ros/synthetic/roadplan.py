# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Street plans: graphs of nodes and straight edges, before they become curved roads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Voronoi

from geoloc_ros.synthetic.styles import Style

F64 = NDArray[np.float64]
Edge = tuple[int, int, str]
RANK = {"service": 0, "residential": 1, "collector": 2, "arterial": 3}


@dataclass
class Plan:
    """A street graph: `nodes` `(N, 2)` metres and edges of (start, end, kind)."""

    nodes: F64
    edges: list[Edge]


class _Groups:
    """Disjoint sets of nodes."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, i: int, j: int) -> bool:
        a, b = self.find(i), self.find(j)
        self.parent[a] = b
        return a != b


def _axis(rng: np.random.Generator, reach: float, spacing: tuple[float, float]) -> F64:
    """Irregularly spaced coordinates covering +-reach."""
    steps = rng.uniform(*spacing, int(2 * reach / spacing[0]) + 2)
    at = np.cumsum(steps) - steps[0] - reach + rng.uniform(0, spacing[0])
    return np.asarray(at[at <= reach])


def _line_kinds(rng: np.random.Generator, count: int) -> list[str]:
    kinds = ["residential"] * count
    for i in range(int(rng.integers(0, 3)), count, int(rng.integers(3, 5))):
        kinds[i] = "collector"
    for i in range(int(rng.integers(1, 4)), count, int(rng.integers(6, 9))):
        kinds[i] = "arterial"
    return kinds


def plan_grid(rng: np.random.Generator, size_m: float, style: Style) -> Plan:
    """A turned lattice of irregular blocks, some of them merged."""
    reach = 0.75 * size_m
    xs, ys = _axis(rng, reach, style.block_m[0]), _axis(rng, reach, style.block_m[1])
    kx, ky = _line_kinds(rng, len(xs)), _line_kinds(rng, len(ys))
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), -1).reshape(-1, 2)
    grid = grid + rng.normal(0, 2.0 + 22.0 * style.curviness, grid.shape)
    angle = rng.uniform(0, np.pi / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # a bend across the town keeps the lattice from being the same everywhere
    bend = rng.normal(0, 0.05) * np.sin(grid[:, ::-1] / rng.uniform(180, 400) + rng.uniform(0, 6))
    grid = grid + bend * 120.0
    ny, edges = len(ys), []
    for i in range(len(xs)):
        for j in range(ny):
            if i + 1 < len(xs) and (ky[j] != "residential" or rng.random() > 0.16):
                edges.append((i * ny + j, (i + 1) * ny + j, ky[j]))
            if j + 1 < ny and (kx[i] != "residential" or rng.random() > 0.16):
                edges.append((i * ny + j, i * ny + j + 1, kx[i]))
    return Plan(grid @ turn.T, edges)


def plan_radial(rng: np.random.Generator, size_m: float, style: Style) -> Plan:
    """Rings and spokes round a centre; spokes double where they spread apart."""
    reach = 1.1 * size_m
    radii = np.cumsum(rng.uniform(*style.block_m[0], 40))
    radii = radii[radii < reach]
    nodes: list[tuple[float, float]] = [(0.0, 0.0)]
    edges: list[Edge] = []
    spokes, turn = int(rng.integers(6, 9)), rng.uniform(0, 6.28)
    previous: list[int] = []
    for ring, radius in enumerate(radii):
        step = max(1, len(previous) and 1)
        if previous and 2 * np.pi * radius / (2 * len(previous)) > 0.8 * style.block_m[1][0]:
            step = 2
        count = len(previous) * step if previous else spokes
        angles = (
            turn + 2 * np.pi * np.arange(count) / count + rng.normal(0, 0.12 / (ring + 1), count)
        )
        r = radius + rng.normal(0, 5, count)
        first = len(nodes)
        nodes += list(zip(r * np.cos(angles), r * np.sin(angles), strict=True))
        ring_kind = "collector" if ring % 3 == 1 else "residential"
        for k in range(count):
            if ring_kind == "collector" or rng.random() > 0.12:
                edges.append((first + k, first + (k + 1) % count, ring_kind))
            if not previous:
                edges.append((0, first + k, "arterial" if k % 2 == 0 else "collector"))
            elif k % step == 0:
                main = (k * spokes) % (count * 2) == 0
                edges.append(
                    (previous[k // step], first + k, "arterial" if main else "residential")
                )
        previous = list(range(first, first + count))
    centre = rng.uniform(-0.15, 0.15, 2) * size_m
    return Plan(np.asarray(nodes) + centre, edges)


def plan_organic(rng: np.random.Generator, size_m: float, style: Style) -> Plan:
    """Grown streets: the edges of Voronoi cells round blue-noise seeds."""
    reach = 0.8 * size_m
    spacing = float(np.mean(style.block_m[0]))
    axis = np.arange(-reach, reach, spacing)
    seeds = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    seeds[::1] += rng.uniform(-0.42, 0.42, seeds.shape) * spacing
    cells = Voronoi(seeds)
    inside = np.all(np.abs(cells.vertices) < reach, axis=1)
    edges = [
        (int(a), int(b), "residential")
        for a, b in cells.ridge_vertices
        if a >= 0 and b >= 0 and inside[a] and inside[b]
    ]
    plan = Plan(np.asarray(cells.vertices), edges)
    return _promote(rng, plan, size_m)


def _promote(rng: np.random.Generator, plan: Plan, size_m: float) -> Plan:
    """Turn edges near a few straight lines and one ring into main roads."""
    mid = np.array([(plan.nodes[a] + plan.nodes[b]) / 2 for a, b, _ in plan.edges])
    kinds = [k for _, _, k in plan.edges]
    for kind, count in (("collector", 4), ("arterial", 2)):
        for _ in range(max(1, round(count * size_m / 1000))):
            angle, shift = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4) * size_m
            normal = np.array([np.cos(angle), np.sin(angle)])
            ends = np.array([plan.nodes[b] - plan.nodes[a] for a, b, _ in plan.edges])
            along = np.abs(ends @ normal) < 0.72 * np.linalg.norm(ends, axis=1)
            near = np.flatnonzero((np.abs(mid @ normal - shift) < 38) & along)
            for e in near:
                kinds[e] = kind
    plan.edges = [(a, b, k) for (a, b, _), k in zip(plan.edges, kinds, strict=True)]
    return plan


def plan_culdesac(rng: np.random.Generator, size_m: float, style: Style) -> Plan:
    """Curved main roads every few blocks; trees of closes and loops between them."""
    return _superblocks(rng, size_m, style, every=4, extra=0.18, inner="residential")


def plan_superblock(rng: np.random.Generator, size_m: float, style: Style) -> Plan:
    """Wide avenues round large blocks served by narrow service roads."""
    return _superblocks(rng, size_m, style, every=3, extra=0.3, inner="service")


def _superblocks(
    rng: np.random.Generator, size_m: float, style: Style, every: int, extra: float, inner: str
) -> Plan:
    reach = 0.75 * size_m
    xs, ys = _axis(rng, reach, style.block_m[0]), _axis(rng, reach, style.block_m[1])
    ny = len(ys)
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), -1).reshape(-1, 2)
    grid = grid + rng.uniform(-14, 14, grid.shape) * (0.4 + style.curviness)
    angle = rng.uniform(0, np.pi / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    main_edges: list[Edge] = []
    inner_edges: list[Edge] = []
    for i in range(len(xs)):
        for j in range(ny):
            for di, dj, line in ((1, 0, j), (0, 1, i)):
                if i + di >= len(xs) or j + dj >= ny:
                    continue
                a, b = i * ny + j, (i + di) * ny + j + dj
                if line % every == 0:
                    kind = "arterial" if line % (2 * every) == 0 else "collector"
                    main_edges.append((a, b, kind))
                else:
                    inner_edges.append((a, b, inner))
    groups = _Groups(len(grid))
    for a, b, _ in main_edges:
        groups.join(a, b)
    chosen = list(main_edges)
    for e in rng.permutation(len(inner_edges)):
        a, b, _ = inner_edges[e]
        if groups.join(a, b) or rng.random() < extra:
            chosen.append(inner_edges[e])
    return Plan(grid @ turn.T, chosen)


PLANS: dict[str, Callable[[np.random.Generator, float, Style], Plan]] = {
    "grid": plan_grid,
    "radial": plan_radial,
    "organic": plan_organic,
    "culdesac": plan_culdesac,
    "superblock": plan_superblock,
}


def tidy(plan: Plan, half_m: float, dead_ends: bool) -> Plan:
    """Clip to the town, merge near nodes, drop sharp forks, keep one connected piece.

    Args:
        plan: Raw plan.
        half_m: Nodes outside +-half_m are dropped.
        dead_ends: Whether roads may end blindly.

    Returns:
        The cleaned plan.
    """
    plan = _merge_close(plan, 24.0)
    inside = np.all(np.abs(plan.nodes) < half_m, axis=1)
    edges = [e for e in plan.edges if inside[e[0]] and inside[e[1]]]
    edges = _drop_sharp(plan.nodes, edges)
    if not dead_ends:
        edges = _prune(edges) or edges
    if not edges:  # too small for this plan: a crossroads
        arms = 0.85 * half_m * np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])
        return Plan(arms, [(0, k, "collector" if k % 2 else "residential") for k in range(1, 5)])
    groups = _Groups(len(plan.nodes))
    for a, b, _ in edges:
        groups.join(a, b)
    roots = [groups.find(a) for a, _, _ in edges]
    best = max(set(roots), key=lambda r: (roots.count(r), -r))
    edges = [e for e, r in zip(edges, roots, strict=True) if r == best]
    used = sorted({n for a, b, _ in edges for n in (a, b)})
    number = {n: i for i, n in enumerate(used)}
    return Plan(plan.nodes[used], [(number[a], number[b], k) for a, b, k in edges])


def _merge_close(plan: Plan, within_m: float) -> Plan:
    groups = _Groups(len(plan.nodes))
    for a, b, _ in plan.edges:
        if np.linalg.norm(plan.nodes[a] - plan.nodes[b]) < within_m:
            groups.join(a, b)
    root = np.array([groups.find(i) for i in range(len(plan.nodes))])
    nodes = plan.nodes.copy()
    for r in set(root[root != np.arange(len(root))].tolist()):
        nodes[r] = plan.nodes[root == r].mean(0)
    best: dict[tuple[int, int], str] = {}
    for a, b, kind in plan.edges:
        i, j = sorted((int(root[a]), int(root[b])))
        if i != j and RANK[kind] >= RANK[best.get((i, j), "service")]:
            best[(i, j)] = kind
    return Plan(nodes, [(i, j, k) for (i, j), k in sorted(best.items())])


def _drop_sharp(nodes: F64, edges: list[Edge]) -> list[Edge]:
    """Remove the lesser of two roads that leave a node less than 38 degrees apart."""
    keep = dict.fromkeys(range(len(edges)), True)
    at: dict[int, list[int]] = {}
    for e, (a, b, _) in enumerate(edges):
        at.setdefault(a, []).append(e)
        at.setdefault(b, []).append(e)
    for node, incident in at.items():
        for k, e in enumerate(incident):
            for f in incident[k + 1 :]:
                if not (keep[e] and keep[f]):
                    continue
                d, g = (_leaving(nodes, edges[x], node) for x in (e, f))
                if d @ g > np.cos(np.radians(38)):
                    keep[e if RANK[edges[e][2]] < RANK[edges[f][2]] else f] = False
    return [edge for e, edge in enumerate(edges) if keep[e]]


def _leaving(nodes: F64, edge: Edge, node: int) -> F64:
    other = edge[1] if edge[0] == node else edge[0]
    d = nodes[other] - nodes[node]
    return np.asarray(d / max(float(np.linalg.norm(d)), 1e-9))


def _prune(edges: list[Edge]) -> list[Edge]:
    """Remove dead ends until none is left."""
    while True:
        degree: dict[int, int] = {}
        for a, b, _ in edges:
            degree[a] = degree.get(a, 0) + 1
            degree[b] = degree.get(b, 0) + 1
        kept = [e for e in edges if degree[e[0]] > 1 and degree[e[1]] > 1]
        if len(kept) == len(edges):
            return kept
        edges = kept
