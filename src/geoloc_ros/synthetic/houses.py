# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Meshes of buildings: walls, roof forms, chimneys and roof machines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.layout import Building, Part
from geoloc_ros.synthetic.mesh import (
    FLAT,
    METAL_ROOF,
    PLAIN,
    ROOF,
    WALL,
    MeshBag,
    add_boxes,
    linear_rgb,
)

F64 = NDArray[np.float64]
WALL_KINDS = {"brick": 0, "plaster": 1, "wood": 2, "panel": 3, "stone": 4, "siding": 5}
_QUAD = np.array([[0, 1, 2], [0, 2, 3]])
Plane = tuple[F64, int]


def add_buildings(
    bag: MeshBag, buildings: Sequence[Building], epoch: str, wall: str, rng: np.random.Generator
) -> None:
    """Append every building that stands in an epoch.

    Args:
        bag: Mesh to fill.
        buildings: All buildings of the town.
        epoch: ``satellite`` or ``drive``.
        wall: Wall construction of the style.
        rng: Source of randomness for roof details.
    """
    for building in buildings:
        if building.stands(epoch):
            for index, part in enumerate(building.parts):
                _part(bag, building, part, index, epoch, wall)
    _details(bag, [b for b in buildings if b.stands(epoch)], rng)


def _part(bag: MeshBag, building: Building, part: Part, index: int, epoch: str, wall: str) -> None:
    base = building.base_m
    c, s = np.cos(part.yaw_rad), np.sin(part.yaw_rad)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
    shift = np.array([part.x_m, part.y_m, base])
    walls, roofs = _shape(part)
    facade, trim = linear_rgb(building.facade), linear_rgb(building.trim)
    kind = WALL_KINDS[wall] if (building.seed * 7.3) % 1 < 0.75 else 1
    for k, quad in enumerate(walls):
        points = quad @ turn + shift
        edge = points[1, :2] - points[0, :2]
        length = float(np.linalg.norm(edge))
        row = bag.add_rows(
            WALL,
            [points[0, 0], points[0, 1], base],
            facade,
            axis=edge / max(length, 1e-6),
            extent=(length, part.eaves_m),
            accent=trim,
            seed=(building.seed + 0.13 * k) % 1.0,
            param=(
                building.window_m,
                building.storey_m,
                kind + 10 * building.shop,
                building.storeys + 100 * (k % 4 == 0 and index == 0),
            ),
        )
        bag.add(points, _QUAD, np.repeat(row, 2))
    roof = linear_rgb(building.roof if epoch == "drive" else building.roof_before)
    solar = building.solar and (epoch == "drive" or building.seed < 0.6)
    for quad, material in roofs:
        points = quad @ turn + shift
        edge = points[1, :2] - points[0, :2]
        length = float(np.linalg.norm(edge))
        deep = float(np.linalg.norm(points[2] - points[1]))
        metal = material == ROOF and (building.seed * 13.7) % 1 < (0.8 if wall == "wood" else 0.12)
        row = bag.add_rows(
            METAL_ROOF if metal else material,
            points[0],
            roof,
            axis=edge / max(length, 1e-6),
            extent=(length, deep),
            seed=building.seed,
            param=(float(solar), 0, 0, 0),
        )
        bag.add(points, _QUAD, np.repeat(row, 2))


def _shape(part: Part) -> tuple[list[F64], list[Plane]]:
    """Wall quads and roof planes of a part in its own frame, z = 0 at the ground floor."""
    w, d, top, rise = 0.5 * part.width_m, 0.5 * part.depth_m, part.eaves_m, part.rise_m
    high = top + rise if part.roof == "flat" else top
    corner = np.array([[-w, -d], [w, -d], [w, d], [-w, d]])
    walls = [_wall(corner[k], corner[(k + 1) % 4], -1.5, high, high) for k in range(4)]
    if part.roof == "flat":
        return walls, [(_level(w, d, top + 0.05), FLAT)]
    if part.roof == "shed":
        walls[1] = _wall(corner[1], corner[2], -1.5, top, top + rise)
        walls[2] = _wall(corner[2], corner[3], -1.5, top + rise, top + rise)
        walls[3] = _wall(corner[3], corner[0], -1.5, top + rise, top)
        o = 0.3
        slope = rise / (2 * d)
        return walls, [
            (
                np.array(
                    [
                        [-w - o, -d - o, top - o * slope],
                        [w + o, -d - o, top - o * slope],
                        [w + o, d + o, top + rise + o * slope],
                        [-w - o, d + o, top + rise + o * slope],
                    ]
                ),
                ROOF,
            )
        ]
    if part.roof == "mansard":
        i = min(1.3, 0.3 * d)
        low, up = _level(w + 0.15, d + 0.15, top), _level(w - i, d - i, top + rise)
        sides: list[Plane] = [
            (np.array([low[k], low[(k + 1) % 4], up[(k + 1) % 4], up[k]]), ROOF) for k in range(4)
        ]
        return walls, [*sides, (up, FLAT)]
    return walls, _pitched(part, walls)


def _pitched(part: Part, walls: list[F64]) -> list[Plane]:
    """Gable or hip roof; gables get their wall triangles appended to `walls`."""
    w, d, top, rise = 0.5 * part.width_m, 0.5 * part.depth_m, part.eaves_m, part.rise_m
    o = 0.4
    low = top - o * rise / d
    eave = np.array(
        [[-w - o, -d - o, low], [w + o, -d - o, low], [w + o, d + o, low], [-w - o, d + o, low]]
    )
    inset = -o if part.roof == "gable" else min(d * 0.9, 0.95 * w)
    a, b = np.array([-w + inset, 0, top + rise]), np.array([w - inset, 0, top + rise])
    planes: list[Plane] = [
        (np.array([eave[0], eave[1], b, a]), ROOF),
        (np.array([eave[2], eave[3], a, b]), ROOF),
    ]
    if part.roof == "gable":
        for x, first, last in ((w, -d, d), (-w, d, -d)):
            walls.append(
                np.array(
                    [[x, first, top], [x, last, top], [x, 0.0, top + rise], [x, 0.0, top + rise]]
                )
            )
    else:
        planes += [
            (np.array([eave[1], eave[2], b, b]), ROOF),
            (np.array([eave[3], eave[0], a, a]), ROOF),
        ]
    return planes


def _wall(p: F64, q: F64, z0: float, zp: float, zq: float) -> F64:
    return np.array([[*p, z0], [*q, z0], [*q, zq], [*p, zp]])


def _level(w: float, d: float, z: float) -> F64:
    return np.array([[-w, -d, z], [w, -d, z], [w, d, z], [-w, d, z]])


def _details(bag: MeshBag, buildings: list[Building], rng: np.random.Generator) -> None:
    """Chimneys on pitched roofs, machines and stair heads on flat ones."""
    spots, halves, yaws, colours = [], [], [], []
    for b in buildings:
        draws = np.random.default_rng(int(b.seed * 2**31)).random(24)
        main = b.parts[0]
        flat = main.roof == "flat"
        count = (
            int(draws[0] * main.width_m * main.depth_m / 55.0) if flat else int(draws[0] < 0.55)
        )
        for k in range(min(count, 7)):
            u, v, size = draws[3 * k + 1] - 0.5, draws[3 * k + 2] - 0.5, draws[3 * k + 3]
            x, y = 0.78 * u * main.width_m, (0.78 if flat else 0.25) * v * main.depth_m
            c, s = np.cos(main.yaw_rad), np.sin(main.yaw_rad)
            tall = 0.5 + 0.7 * size if flat else 0.5 * main.rise_m + 0.7
            half = (0.5 + 1.1 * size, 0.5 + 0.8 * (1 - size)) if flat else (0.35, 0.35)
            spots.append(
                [
                    main.x_m + c * x - s * y,
                    main.y_m + s * x + c * y,
                    b.base_m + main.eaves_m + (0 if flat else 0.5 * main.rise_m) + tall,
                ]
            )
            halves.append([*half, tall])
            yaws.append(main.yaw_rad)
            grey = 0.25 + 0.4 * size
            colours.append([grey, grey, grey] if flat else linear_rgb(b.trim) * 0.4 + 0.1)
    if spots:
        at = np.array(spots)
        rows = bag.add_rows(PLAIN, at, np.array(colours), seed=rng.random(len(at)))
        add_boxes(bag, at, np.array(halves), np.array(yaws), rows)
