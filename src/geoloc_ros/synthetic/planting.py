# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Open ground of a made town: water, parks, fields, car parks, trees and street furniture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.buildings import LotBuilder
from geoloc_ros.synthetic.layout import Area, Occupancy, Prop, Tree, blob, rectangle
from geoloc_ros.synthetic.plots import parking_slots, pick
from geoloc_ros.synthetic.roadnet import Road, normals
from geoloc_ros.synthetic.styles import BUILDING_TYPES, Rgb, Style

F64 = NDArray[np.float64]

_TREE_SIZE: dict[str, tuple[float, float, float, float]] = {
    # kind: height range, crown radius as a share of the height range
    "broadleaf": (6.0, 15.0, 0.28, 0.42),
    "round": (4.0, 8.0, 0.30, 0.42),
    "conifer": (7.0, 19.0, 0.13, 0.22),
    "birch": (8.0, 16.0, 0.17, 0.26),
    "poplar": (12.0, 22.0, 0.10, 0.15),
    "palm": (6.0, 13.0, 0.20, 0.28),
    "eucalypt": (8.0, 20.0, 0.24, 0.36),
    "shrub": (1.2, 3.0, 0.45, 0.75),
}


def make_tree(rng: np.random.Generator, x: float, y: float, kind: str) -> Tree:
    """A random tree of a kind at a place."""
    low, high, thin, wide = _TREE_SIZE[kind]
    height = float(rng.uniform(low, high))
    draw = rng.random()
    change = "built" if draw < 0.03 else "gone" if draw < 0.06 else "none"
    return Tree(
        float(x),
        float(y),
        kind,
        height,
        height * float(rng.uniform(thin, wide)),
        float(rng.uniform(0.0, 0.16)),
        float(rng.random()),
        change,
    )


def open_areas(rng: np.random.Generator, style: Style, size_m: float) -> list[Area]:
    """Water, parks, fields and woods that the roads cross and no house stands on."""
    areas: list[Area] = []
    km2 = (size_m / 1000.0) ** 2
    half = 0.5 * size_m
    for _ in range(int(rng.poisson(2.0 * km2))):
        angle = rng.uniform(0, 6.28)
        at = rng.uniform(0.75, 1.0) * half * np.array([np.cos(angle), np.sin(angle)]) * 1.2
        areas.append(
            Area(
                "field",
                rectangle(at, rng.uniform(0, 3.14), rng.uniform(90, 220), rng.uniform(90, 220)),
                float(rng.random()),
                float(rng.uniform(0, 3.14)),
            )
        )
    for _ in range(int(rng.poisson(3.5 * km2) + 1)):
        at = rng.uniform(-0.95, 0.95, 2) * half
        radius = rng.uniform(25, 75)
        kind = (
            "forest"
            if rng.random() < (0.6 if style.trees.get("conifer", 0) > 4 else 0.25)
            else "park"
        )
        areas.append(Area(kind, blob(rng, at, radius), float(rng.random())))
        if kind == "park":
            areas += _park_inside(rng, at, radius)
    if rng.random() < style.water:
        areas += _river(rng, half, canal=style.plan == "grid")
    for _ in range(int(rng.poisson(1.6 * style.water * km2))):
        areas.append(
            Area(
                "water",
                blob(rng, (rng.uniform(-0.9, 0.9, 2) * half), rng.uniform(10, 40)),
                float(rng.random()),
            )
        )
    return areas


def _park_inside(rng: np.random.Generator, at: F64, radius: float) -> list[Area]:
    out = []
    yaw = rng.uniform(0, 3.14)
    for k in range(int(rng.integers(1, 4))):
        turn = yaw + k * 1.05
        out.append(
            Area(
                "path",
                rectangle(at, turn, 2.4 * radius, rng.uniform(1.8, 3.2)),
                float(rng.random()),
            )
        )
    if radius > 45 and rng.random() < 0.6:
        spot = at + rng.uniform(-0.2, 0.2, 2) * radius
        out.append(
            Area(
                "pitch",
                rectangle(spot, yaw, 0.8 * radius, 0.52 * radius),
                float(rng.random()),
                yaw,
            )
        )
    if rng.random() < 0.4:
        out.append(
            Area(
                "bed",
                blob(rng, (at + rng.uniform(-0.3, 0.3, 2) * radius), 7.0),
                float(rng.random()),
            )
        )
    return out


def _river(rng: np.random.Generator, half: float, canal: bool) -> list[Area]:
    """A water course across the town."""
    angle, shift = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5) * half
    t = np.linspace(-1.9, 1.9, 120) * half
    swing = 0.0 if canal else rng.uniform(15, 60)
    side = shift + swing * np.sin(t / rng.uniform(70, 160) + rng.uniform(0, 6))
    width = rng.uniform(7, 14) if canal else rng.uniform(9, 32)
    d, n = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    middle = t[:, None] * d + side[:, None] * n
    wide = 0.5 * width * (1 + (0 if canal else 0.2) * np.sin(t / 45.0))[:, None]
    ring = np.vstack([middle + wide * n, (middle - wide * n)[::-1]])
    return [Area("water", ring, float(rng.random()), float(angle))]


def fill_blocks(builder: LotBuilder, count: int) -> None:
    """Put car parks, halls and sheds on free ground inside the blocks."""
    rng = builder.rng
    half = 0.5 * builder.size_m
    builder.row = None
    for _ in range(count):
        at = rng.uniform(-1, 1, 2) * half
        yaw = float(rng.uniform(0, np.pi))
        draw = rng.random()
        if draw < 0.12:
            width, depth = rng.uniform(20, 55), float(rng.choice([16.8, 22.5, 33.5]))
            area = Area("parking", rectangle(at, yaw, width, depth), float(rng.random()), yaw)
            if builder.taken.free(rectangle(at, yaw, width + 3, depth + 3)):
                builder.plots.areas.append(area)
                builder.plots.slots += parking_slots(area, width, depth)
                builder.taken.mark(area.polygon_m)
            continue
        if draw < 0.3:
            kind = BUILDING_TYPES[pick(rng, builder.style.mix)]
            width, depth = rng.uniform(*kind.width_m), rng.uniform(*kind.depth_m)
            margin = 9.0
        else:
            kind = BUILDING_TYPES["detached"]
            width, depth, margin = rng.uniform(2.5, 7.0), rng.uniform(2.5, 6.0), 2.0
        if not builder.taken.free(rectangle(at, yaw, width + margin, depth + margin)):
            continue
        builder.raise_building(kind, at, yaw, width, depth)
        if margin > 5:
            builder.plots.areas.append(
                Area(
                    "lawn" if rng.random() < builder.style.lawn else "yard",
                    rectangle(at, yaw, width + 9, depth + 9),
                    float(rng.random()),
                )
            )
        for part in builder.plots.buildings[-1].parts:
            builder.taken.mark(part.corners(0.6))


def plant(
    rng: np.random.Generator, style: Style, size_m: float, taken: Occupancy, areas: list[Area]
) -> list[Tree]:
    """Trees in gardens, parks and woods."""
    trees: list[Tree] = []
    half = 0.5 * size_m + 40.0
    km2 = (2 * half / 1000.0) ** 2
    density = 3400 * km2 * style.woods * (0.4 + 0.6 * style.lawn)
    spots = rng.uniform(-half, half, (int(density), 2))
    clump = np.sin(spots[:, 0] / 61.0 + rng.uniform(0, 6)) * np.sin(
        spots[:, 1] / 47.0 + rng.uniform(0, 6)
    )
    spots = spots[(rng.random(len(spots)) < 0.55 + 0.45 * clump) & ~_near_taken(taken, spots)]
    for x, y in spots:
        trees.append(make_tree(rng, x, y, pick(rng, style.trees)))
    for area in areas:
        if area.kind not in ("park", "forest"):
            continue
        low, high = area.polygon_m.min(0), area.polygon_m.max(0)
        each = 28.0 if area.kind == "forest" else 260.0
        count = int(np.prod(high - low) / each)
        spots = rng.uniform(low, high, (count, 2))
        centre, reach = area.polygon_m.mean(0), 0.5 * float(np.min(high - low))
        near = np.linalg.norm(spots - centre, axis=1) < reach
        for x, y in spots[near]:
            trees.append(make_tree(rng, x, y, pick(rng, style.trees)))
    return trees


def _near_taken(taken: Occupancy, spots: F64) -> NDArray[np.bool_]:
    near = taken.taken(spots)
    for dx, dy in ((1.8, 0), (-1.8, 0), (0, 1.8), (0, -1.8)):
        near |= taken.taken(spots + np.array([dx, dy]))
    return near


def along_roads(
    rng: np.random.Generator, style: Style, road: Road, near_junction_m: float
) -> tuple[list[Tree], list[Prop], list[tuple[float, float, float]]]:
    """Street trees, lamps, poles, signs, bins, benches and parking bays of one road."""
    trees: list[Tree] = []
    props: list[Prop] = []
    slots: list[tuple[float, float, float]] = []
    line = road.centreline_m[:, :2]
    left = normals(line)
    length = road.length_m
    if length < 2 * near_junction_m + 6 or road.kind == "roundabout":
        return trees, props, slots

    def at(s: float, lateral: float) -> tuple[float, float, float]:
        k = min(round(s / length * (len(line) - 1)), len(line) - 1)
        p = line[k] + left[k] * lateral
        return float(p[0]), float(p[1]), float(np.arctan2(-left[k, 0], left[k, 1]))

    edge = 0.5 * road.width_m
    for side, strip in ((1, road.parking_m[0]), (-1, road.parking_m[1])):
        kerb = edge + strip
        if strip > 0:
            for s in np.arange(near_junction_m + 3, length - near_junction_m - 3, 5.8):
                x, y, yaw = at(s + rng.normal(0, 0.2), side * (edge + 0.5 * strip))
                slots.append((x, y, yaw if side < 0 or road.oneway else yaw + np.pi))
        if rng.random() < style.street_trees:
            step, kind = (
                rng.uniform(7, 18),
                pick(rng, {k: w for k, w in style.trees.items() if k != "shrub"}),
            )
            inset = kerb + (0.8 if road.sidewalk_m > 1.5 else road.sidewalk_m + 0.9)
            for s in np.arange(
                near_junction_m + rng.uniform(2, 8), length - near_junction_m, step
            ):
                if rng.random() < 0.82:
                    x, y, _ = at(s + rng.normal(0, 0.6), side * (inset + rng.normal(0, 0.1)))
                    trees.append(make_tree(rng, x, y, kind))
        props += _furniture(rng, style, road, side, kerb, at, near_junction_m)
    return trees, props, slots


def _furniture(
    rng: np.random.Generator,
    style: Style,
    road: Road,
    side: int,
    kerb: float,
    at: object,
    clear: float,
) -> list[Prop]:
    place = at if callable(at) else None
    if place is None:
        return []
    out: list[Prop] = []
    grey: Rgb = (120, 122, 124)
    beyond = kerb + max(0.4, min(road.sidewalk_m - 0.3, 0.6))

    def put(kind: str, s: float, lateral: float, length: float, height: float, rgb: Rgb) -> None:
        x, y, yaw = place(s, side * lateral)
        turn = yaw if side < 0 else yaw + np.pi
        out.append(Prop(kind, x, y, float(turn), length, height, rgb))

    length = road.length_m
    lit = road.kind in ("arterial", "collector") or rng.random() < 0.7
    if side > 0 and style.poles > rng.random():
        for s in np.arange(rng.uniform(4, 20), length - 2, rng.uniform(26, 40)):
            put("pole", s, beyond + 0.1, 2.2, float(rng.uniform(8.5, 11)), (112, 104, 96))
    elif lit and (side > 0 or road.kind == "arterial"):
        tall = 8.5 if style.lamp == "arm" else 5.0
        for s in np.arange(rng.uniform(4, 16), length - 2, rng.uniform(24, 38)):
            put("lamp_arm" if style.lamp == "arm" else "lamp", s, beyond, 1.8, tall, grey)
    for _ in range(int(rng.poisson(length / 55.0))):
        s = float(rng.uniform(clear, length - clear))
        draw = rng.random()
        if draw < 0.4:
            rgb: Rgb = ((200, 40, 36), (36, 70, 160), (230, 226, 220), (230, 190, 40))[
                int(rng.integers(4))
            ]
            put("sign", s, beyond, 0.7, float(rng.uniform(2.2, 2.8)), rgb)
        elif draw < 0.7:
            bins: tuple[Rgb, ...] = ((50, 90, 60), (60, 62, 66), (40, 70, 120), (140, 60, 40))
            put("bin", s, beyond + 0.3, 0.7, 1.1, bins[int(rng.integers(4))])
        elif road.sidewalk_m > 1.2:
            put("bench" if draw < 0.85 else "box", s, beyond + 0.5, 1.6, 0.9, (104, 110, 96))
        if draw > 0.97 and road.sidewalk_m > 1.4:
            put("shelter", s, kerb + road.sidewalk_m - 0.6, 4.2, 2.5, (90, 110, 120))
    return out
