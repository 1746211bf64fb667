# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Walls of buildings: windows, doors, balconies and courses on a grid of each facade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.mesh import SurfaceTable
from geoloc_ros.synthetic.noise import cell_random, grain, vec

F32 = NDArray[np.float32]


@dataclass
class Shade:
    """What a surface does with light at N points.

    Attributes:
        albedo: `(N, 3)` linear reflectance.
        mirror: `(N,)` share of sky mirrored.
        glow: `(N,)` own light (lit windows, lamps) that shows at dusk.
    """

    albedo: F32
    mirror: F32
    glow: F32


def surface_uv(table: SurfaceTable, owner: NDArray[np.int32], points: F32) -> tuple[F32, F32, F32]:
    """U along the axis, horizontal distance across it, height above the origin."""
    d = points - table.origin[owner]
    axis = table.axis[owner]
    return (
        d[:, 0] * axis[:, 0] + d[:, 1] * axis[:, 1],
        np.abs(d[:, 1] * axis[:, 0] - d[:, 0] * axis[:, 1]),
        d[:, 2],
    )


def shade_wall(
    table: SurfaceTable,
    owner: NDArray[np.int32],
    points: F32,
    normal: F32,
    at: NDArray[np.int64],
    out: Shade,
    conditions: Conditions,
) -> None:
    """Paint points of walls into `out` at `at`; `owner` and `points` are theirs already."""
    u, _, v = surface_uv(table, owner, points)
    spacing, storey, kind, packed = table.param[owner].T
    front, storeys = packed >= 100, packed % 100
    shop, kind = kind >= 10, kind % 10
    seed, length = table.seed[owner], table.extent[owner, 0]
    columns = np.maximum(np.round(length / spacing), 1.0)
    cu, cv = u * columns / np.maximum(length, 0.1), v / storey
    iu, iv = np.floor(cu).astype(np.int32), np.floor(cv).astype(np.int32)
    fu, fv = np.abs(cu - iu - 0.5), cv - iv
    key = (seed * 65521).astype(np.int32)
    dice, look = cell_random(iu, iv, key), cell_random(key, key >> 3)
    glassy = shop & (iv == 0)
    door = front & (iv == 0) & ~glassy & (iu == (columns * look * 0.99).astype(np.int32))
    usable = (v > 0) & (iv < storeys) & (v < table.extent[owner, 1]) & (length >= 2.2)
    usable &= dice > 0.08 + 0.3 * ~front * (look > 0.5)
    window, frame = _openings(fu, fv, key, look, glassy, door)
    window, frame = window & usable, frame & usable
    albedo = out.albedo[at]
    albedo *= (1 + 0.06 * grain(u + v * 0.37 + 11 * seed, v, 0.12))[:, None]
    albedo *= _courses(kind, u, v)[:, None]
    plinth = v < 0.55 * (look > 0.3)
    albedo[plinth] *= 0.62
    accent = table.accent[owner]
    balcony = front & (look > 0.62) & (iv > 0) & (iv < storeys) & (storeys > 2)
    balcony &= (fv < 0.32) & (dice > 0.35)
    albedo[balcony] = 0.5 * albedo[balcony] + 0.5 * accent[balcony]
    albedo[frame] = accent[frame]
    pane = vec([0.035, 0.042, 0.05]) * (0.4 + 1.6 * dice[:, None])
    curtain = dice > 0.72
    pane[curtain] = 0.12 + 0.3 * (dice[curtain, None] - 0.72)
    albedo[window] = pane[window]
    leaf = window & door
    albedo[leaf] = 0.6 * accent[leaf]
    out.albedo[at] = albedo
    out.mirror[at] = np.where(window & ~door, 0.22, 0.0)
    if conditions.dusk > 0:
        out.glow[at] = np.where(window & ~door & (dice * 7.77 % 1 < 0.45), 0.5 + dice, 0.0)


def _openings(
    fu: F32,
    fv: F32,
    key: NDArray[np.int32],
    look: F32,
    glassy: NDArray[np.bool_],
    door: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pane and frame masks from the place within a facade cell (fu from its middle, fv up)."""
    half = np.where(door, 0.17, np.where(glassy, 0.45, 0.16 + 0.2 * look))
    sill = np.where(glassy, 0.12, 0.24 + 0.1 * cell_random(key, key >> 5))
    sill = np.where(door, -1.0, sill)
    top = np.where(door, 0.76, np.where(glassy, 0.85, 0.80 + 0.1 * look))
    window = (fu < half) & (fv > sill) & (fv < top)
    frame = (fu < half + 0.04) & (fv > sill - 0.04) & (fv < top + 0.035) & ~window
    return window, frame


def _courses(kind: F32, u: F32, v: F32) -> F32:
    """Brick courses, boards, panels and stones as a brightness factor."""
    row = np.floor(v * 3.3).astype(np.int32)
    brick = 0.9 + 0.2 * cell_random((u * 2.2 + 0.5 * (row & 1)).astype(np.int32), row)
    board = 0.94 + 0.06 * np.sign(np.sin(v * 22.0))
    joint = 1 - 0.25 * ((np.abs(v % 2.8 - 1.4) > 1.35) | (np.abs(u % 3.2 - 1.6) > 1.55))
    stone = 1 - 0.12 * (np.abs(v % 0.5 - 0.25) > 0.23)
    cases = [kind == 0, (kind == 2) | (kind == 5), kind == 3, kind == 4]
    return np.asarray(np.select(cases, [brick, board, joint, stone], 1.0), dtype=np.float32)
