# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Colours of surfaces at points of the world, evaluated in numpy from world coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.facades import Shade, shade_wall, surface_uv
from geoloc_ros.synthetic.ground import CODE, Ground
from geoloc_ros.synthetic.mesh import (
    CAR,
    CROWN,
    FENCE,
    FLAT,
    GLASS,
    HEDGE,
    METAL_ROOF,
    PLAIN,
    ROOF,
    WALL,
    SurfaceTable,
)
from geoloc_ros.synthetic.noise import cell_random, grain, vec
from geoloc_ros.synthetic.palette import Palette

F32 = NDArray[np.float32]


def shade_ground(
    ground: Ground,
    palette: Palette,
    x: F32,
    y: F32,
    footprint_m: float,
    near: NDArray[np.int64] | None = None,
) -> Shade:
    """Look of the ground.

    Args:
        ground: Ground rasters.
        palette: Colours.
        x: `(N,)` east, metres.
        y: `(N,)` north, metres.
        footprint_m: Size of a pixel on the ground; above 0.25 m four samples are averaged.
        near: Indices of points so near that paint needs smooth edges.

    Returns:
        The shade at the points.
    """
    broad = grain(x, y, 0.6)
    fine = grain(x, y, 0.05)
    tint = ground.tint_at(x, y).astype(np.float32) * np.float32(1 / 255) - np.float32(0.5)
    move = palette.noise, palette.tint

    def mixed(code: NDArray[np.uint8], pick: NDArray[np.int64] | slice) -> F32:
        w = np.clip(0.5 + move[0][code] * broad[pick] + move[1][code] * tint[pick], 0, 1)
        return np.asarray(palette.first[code] + palette.change[code] * w[:, None])

    code = ground.code_at(x, y)
    albedo = mixed(code, slice(None))
    if footprint_m > 0.25:
        q = np.float32(0.25 * footprint_m)
        for dx, dy in ((-q, -q), (q, -q), (-q, q), (q, q)):
            albedo += mixed(ground.code_at(x + dx, y + dy), slice(None))
        albedo *= np.float32(0.2)
    elif near is not None and len(near):
        taps = ground.taps_at(x[near], y[near])
        edge = np.flatnonzero(np.any(taps[0] != taps[0][0], axis=0))
        codes, weights = taps[0][:, edge], taps[1][:, edge]
        at = near[edge]
        albedo[at] = sum(mixed(c, at) * w[:, None] for c, w in zip(codes, weights, strict=True))
    _patterns(albedo, code, tint, x, y, footprint_m)
    albedo *= (1.0 + palette.rough[code] * np.clip(0.6 * fine + 0.5 * broad, -2.5, 2.5))[:, None]
    return Shade(albedo, palette.mirror[code], np.zeros(len(x), np.float32))


def _patterns(
    albedo: F32, code: NDArray[np.uint8], tint: F32, x: F32, y: F32, footprint_m: float
) -> None:
    """Rows of crops, and bricks where a pixel can show them."""
    crop = np.flatnonzero(code == CODE["crop"])
    if len(crop):
        angle = (tint[crop] + 0.5) * np.float32(np.pi)
        across = x[crop] * np.cos(angle) + y[crop] * np.sin(angle)
        albedo[crop] *= (0.88 + 0.16 * np.sin(across * np.float32(2.6)))[:, None]
    brick = np.flatnonzero(code == CODE["brick"])
    if len(brick) and footprint_m <= 0.25:
        tone = cell_random((x[brick] * 5).astype(np.int32), (y[brick] * 10).astype(np.int32))
        albedo[brick] *= (0.82 + 0.36 * tone)[:, None]


def shade_things(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, normal: F32, conditions: Conditions
) -> Shade:
    """Look of everything that is not ground.

    Args:
        table: Surfaces.
        owner: `(N,)` row of each point.
        points: `(N, 3)` world points, metres.
        normal: `(N, 3)` unit normals; crowns get rounder ones in place.
        conditions: Season and light.

    Returns:
        The shade at the points.
    """
    out = Shade(
        table.rgb[owner], np.zeros(len(owner), np.float32), np.zeros(len(owner), np.float32)
    )
    material = table.material[owner]
    for kind, paint in (
        (WALL, shade_wall),
        (ROOF, _roof),
        (METAL_ROOF, _roof),
        (FLAT, _flat),
        (CROWN, _crown),
        (HEDGE, _crown),
        (FENCE, _fence),
    ):
        at = np.flatnonzero(material == kind)
        if len(at):
            paint(table, owner[at], points[at], normal, at, out, conditions)
    out.mirror[material == GLASS] = 0.5
    out.mirror[material == CAR] = 0.08
    plain = np.flatnonzero((material == PLAIN) & (table.param[owner, 0] > 0.5))
    out.glow[plain] = 1.0
    return out


def _roof(
    table: SurfaceTable,
    owner: NDArray[np.int32],
    points: F32,
    normal: F32,
    at: NDArray[np.int64],
    out: Shade,
    conditions: Conditions,
) -> None:
    u, across, _ = surface_uv(table, owner, points)
    seed, extent = table.seed[owner], table.extent[owner]
    metal = table.material[owner] == METAL_ROOF
    rows = np.where(metal, np.abs(u % 0.6 - 0.3) > 0.26, np.abs(across % 0.36 - 0.18) > 0.13)
    stain = grain(points[:, 0] + 40 * seed, points[:, 1], 0.15)
    factor = (1 - 0.12 * rows) * (1 + np.where(metal, 0.03, 0.09) * stain)
    albedo = out.albedo[at] * factor[:, None]
    _panels(table, owner, u, across, extent, seed, albedo, out, at, normal)
    window = (
        cell_random(
            (u / 2.7).astype(np.int32),
            (across / 3).astype(np.int32),
            (seed * 9999).astype(np.int32),
        )
        < 0.05
    )
    window &= (np.abs(u % 2.7 - 1.3) < 0.4) & (np.abs(across % 3 - 1.5) < 0.6) & (extent[:, 1] > 3)
    albedo[window] = 0.03
    out.albedo[at] = albedo
    out.mirror[at] += np.where(metal, 0.05, 0.0) + 0.25 * window


def _panels(
    table: SurfaceTable,
    owner: NDArray[np.int32],
    u: F32,
    across: F32,
    extent: F32,
    seed: F32,
    albedo: F32,
    out: Shade,
    at: NDArray[np.int64],
    normal: F32,
) -> None:
    """Solar panels on roofs that have them, where the plane looks southwards."""
    low, wide = 0.15 + 0.25 * seed, 0.35 + 0.4 * seed
    has = (
        (table.param[owner, 0] > 0.5)
        & (u > low * extent[:, 0])
        & (u < (low + wide) * extent[:, 0])
    )
    has &= (across > 0.22 * extent[:, 1]) & (across < 0.72 * extent[:, 1]) & (normal[at, 1] < 0.2)
    seam = (np.abs(u % 1.05 - 0.52) > 0.49) | (np.abs(across % 1.7 - 0.85) > 0.8)
    albedo[has] = np.where(seam[has, None], 0.05, vec([0.012, 0.018, 0.045]))
    out.mirror[at] = np.where(has, 0.15, 0.0)


def _flat(
    table: SurfaceTable,
    owner: NDArray[np.int32],
    points: F32,
    normal: F32,
    at: NDArray[np.int64],
    out: Shade,
    conditions: Conditions,
) -> None:
    u, across, _ = surface_uv(table, owner, points)
    seed, extent = table.seed[owner], table.extent[owner]
    stain = grain(points[:, 0] + 57 * seed, points[:, 1], 0.25)
    albedo = out.albedo[at] * (1 + 0.13 * stain)[:, None]
    joint = (np.abs(across % 5.0 - 2.5) > 2.42) & (seed > 0.4)
    albedo[joint] *= 0.8
    out.mirror[at] = 0.0
    _panels(table, owner, u, across, extent, seed, albedo, out, at, normal)
    out.albedo[at] = albedo


def _crown(
    table: SurfaceTable,
    owner: NDArray[np.int32],
    points: F32,
    normal: F32,
    at: NDArray[np.int64],
    out: Shade,
    conditions: Conditions,
) -> None:
    seed = table.seed[owner]
    crown = table.material[owner] == CROWN
    deciduous = crown & (table.param[owner, 0] > 0.5)
    albedo = out.albedo[at]
    if conditions.season == "autumn":
        hue = vec([[0.55, 0.30, 0.04], [0.42, 0.14, 0.03], [0.30, 0.20, 0.08], [0.2, 0.24, 0.05]])
        share = (0.35 + 0.6 * seed)[:, None]
        turned = hue[(seed * 97).astype(np.int32) % 4]
        albedo = np.where(deciduous[:, None], albedo * (1 - share) + turned * 0.7 * share, albedo)
    elif conditions.season == "winter":
        albedo = np.where(deciduous[:, None], table.accent[owner] * 1.3, albedo)
    elif conditions.season == "spring":
        albedo = np.where(deciduous[:, None], albedo * vec([1.1, 1.25, 0.9]), albedo)
    ijk = np.floor(points * np.float32(3.7)).astype(np.int32)
    leaf = cell_random(ijk[:, 0], ijk[:, 1], ijk[:, 2])
    speck = grain(points[:, 0] + points[:, 2], points[:, 1] - points[:, 2], 0.06)
    out.albedo[at] = albedo * (0.55 + 0.65 * leaf + 0.12 * speck)[:, None].clip(0.15)
    outward = points - table.origin[owner]
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-3)
    mixed = normal[at] + np.where(crown, 0.8, 0.0)[:, None] * outward
    mixed += (leaf[:, None] - 0.5) * 0.7 * vec([1, -1, 0.5])
    normal[at] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-3)


def _fence(
    table: SurfaceTable,
    owner: NDArray[np.int32],
    points: F32,
    normal: F32,
    at: NDArray[np.int64],
    out: Shade,
    conditions: Conditions,
) -> None:
    u, _, v = surface_uv(table, owner, points)
    slat = 0.72 + 0.28 * (np.abs(u % 0.16 - 0.08) < 0.06)
    post = np.abs(u % 2.0 - 1.0) > 0.94
    out.albedo[at] *= np.where(post, 0.7, slat * (1 + 0.08 * grain(u, v, 0.1)))[:, None]


def see_through(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, conditions: Conditions
) -> NDArray[np.bool_]:
    """Which points `(N,)` are gaps between leaves, where the ray goes on.

    Args:
        table: Surfaces.
        owner: `(N,)` surface rows, -1 for nothing.
        points: `(N, 3)` world points.
        conditions: Deciduous crowns are bare in winter.

    Returns:
        `(N,)` bool.
    """
    out = np.zeros(len(owner), bool)
    at = np.flatnonzero(table.material[owner] == CROWN)
    if len(at) == 0:
        return out
    own = owner[at]
    ijk = np.floor(points[at] * np.float32(4.3)).astype(np.int32)
    bare = {"winter": 0.72, "autumn": 0.3, "spring": 0.25}.get(conditions.season, 0.16)
    gap = np.where(table.param[own, 0] > 0.5, bare, 0.12)
    out[at] = cell_random(ijk[:, 0], ijk[:, 1], ijk[:, 2]) < gap
    return out
