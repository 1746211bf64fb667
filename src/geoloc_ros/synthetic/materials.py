# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Colours of surfaces at points of the world, evaluated in numpy from world coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
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
    linear_rgb,
)
from geoloc_ros.synthetic.noise import cell_random, grain
from geoloc_ros.synthetic.styles import Rgb, Style

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


class Palette:
    """Two colours for each ground code and how much noise and lot tint move between them."""

    def __init__(self, style: Style, conditions: Conditions) -> None:
        """Mix the palette of a style under a season."""
        lush = {"spring": (88, 134, 54), "summer": style.grass, "autumn": (112, 116, 62),
                "winter": (112, 110, 76)}[conditions.season]
        grass = _blend(lush, style.grass, 0.5)
        dry = _blend(grass, style.soil, 0.45 if conditions.season != "spring" else 0.25)
        a, p, s = style.asphalt, style.pavement, style.soil
        crop = {"spring": (96, 130, 56), "summer": (196, 172, 96), "autumn": (136, 108, 76),
                "winter": (116, 94, 70)}[conditions.season]
        pairs: dict[str, tuple[Rgb, Rgb, float, float]] = {
            "wild": (grass, _blend(dry, s, 0.6 * (1 - style.lawn) + 0.15), 0.34, 0.0),
            "lawn": (_scale(grass, 0.92), dry, 0.2, 0.75), "asphalt": (_scale(a, 0.68), _scale(a, 1.08), 0.05, 0.55),
            "pavement": (_scale(p, 0.88), _scale(p, 1.08), 0.12, 0.2),
            "white": ((226, 226, 222), _blend(a, (226, 226, 222), 0.45), 0.16, 0.1),
            "yellow": ((214, 168, 40), _blend(a, (214, 168, 40), 0.5), 0.16, 0.1),
            "parking": (_scale(a, 0.72), _scale(a, 1.22), 0.06, 0.6),
            "drive": (_scale(p, 0.75), _blend(p, s, 0.6), 0.1, 0.8),
            "water": ((44, 66, 72), (64, 80, 70), 0.1, 0.8),
            "crop": (crop, _blend(crop, s, 0.7), 0.14, 0.8),
            "soil": (s, _scale(s, 0.8), 0.3, 0.3),
            "patch_dark": (_scale(a, 0.55), _scale(a, 0.68), 0.1, 0.1),
            "patch_light": (_scale(a, 1.15), _scale(a, 1.3), 0.1, 0.1),
            "path": (_blend(s, (190, 178, 156), 0.5), s, 0.2, 0.3),
            "plaza": (_scale(p, 0.8), _blend(p, (150, 110, 92), 0.5), 0.1, 0.6),
            "kerb": (_scale(p, 0.95), _scale(p, 1.1), 0.1, 0.0),
            "pitch": ((64, 128, 62), (96, 140, 66), 0.1, 0.5),
            "brick": ((136, 90, 76), (154, 112, 94), 0.16, 0.5),
            "forest": (_blend(s, (70, 66, 44), 0.6), _blend(grass, (60, 70, 40), 0.5), 0.3, 0.1),
            "bed": ((90, 70, 50), (150, 80, 90), 0.45, 0.2),
            "manhole": (_scale(a, 0.5), _scale(a, 0.7), 0.1, 0.0),
            "bike": ((150, 66, 54), (168, 92, 76), 0.1, 0.4),
            "yard": (_blend(p, s, 0.35), _blend(_scale(p, 0.8), dry, 0.4), 0.22, 0.7),
            "gravel": (s, p, 0.2, 0.3), "pool": ((70, 160, 190), (110, 190, 205), 0.1, 0.3),
        }
        n = len(CODE)
        self.first, self.second = np.zeros((n, 3), np.float32), np.zeros((n, 3), np.float32)
        self.noise, self.tint = np.zeros(n, np.float32), np.zeros(n, np.float32)
        self.rough = np.full(n, 0.07, np.float32)
        for name, (one, two, by_noise, by_tint) in pairs.items():
            k = CODE[name]
            self.first[k], self.second[k] = linear_rgb(one), linear_rgb(two)
            self.noise[k], self.tint[k] = by_noise, by_tint
        for name in ("wild", "lawn", "forest", "crop", "bed"):
            self.rough[CODE[name]] = 0.16
        hard = [CODE[c] for c in ("asphalt", "parking", "patch_dark", "patch_light", "pavement",
                                  "white", "yellow", "plaza", "brick", "manhole", "bike", "kerb")]
        self.mirror = np.zeros(n, np.float32)
        if conditions.wetness > 0:
            self.mirror[hard] = 0.3 * conditions.wetness
            wet = np.float32(1 - 0.45 * conditions.wetness)
            self.first[hard] *= wet
            self.second[hard] *= wet
        self.mirror[CODE["water"]] = 0.55
        self.change = self.second - self.first


def _blend(a: Rgb, b: Rgb, share: float) -> Rgb:
    r, g, c = (int(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return (r, g, c)


def _scale(a: Rgb, by: float) -> Rgb:
    r, g, b = (int(min(250, v * by)) for v in a)
    return (r, g, b)


def shade_ground(
    ground: Ground, palette: Palette, x: F32, y: F32, footprint_m: float,
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
    crop = np.flatnonzero(code == CODE["crop"])
    if len(crop):
        angle = (tint[crop] + 0.5) * np.float32(np.pi)
        across = x[crop] * np.cos(angle) + y[crop] * np.sin(angle)
        albedo[crop] *= (0.88 + 0.16 * np.sin(across * np.float32(2.6)))[:, None]
    brick = np.flatnonzero(code == CODE["brick"])
    if len(brick) and footprint_m <= 0.25:
        tone = cell_random((x[brick] * 5).astype(np.int32), (y[brick] * 10).astype(np.int32))
        albedo[brick] *= (0.82 + 0.36 * tone)[:, None]
    albedo *= (1.0 + palette.rough[code] * np.clip(0.6 * fine + 0.5 * broad, -2.5, 2.5))[:, None]
    return Shade(albedo, palette.mirror[code], np.zeros(len(x), np.float32))


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
    out = Shade(table.rgb[owner], np.zeros(len(owner), np.float32), np.zeros(len(owner), np.float32))
    material = table.material[owner]
    for kind, paint in ((WALL, _wall), (ROOF, _roof), (METAL_ROOF, _roof), (FLAT, _flat),
                        (CROWN, _crown), (HEDGE, _crown), (FENCE, _fence)):
        at = np.flatnonzero(material == kind)
        if len(at):
            paint(table, owner[at], points[at], normal, at, out, conditions)
    out.mirror[material == GLASS] = 0.5
    out.mirror[material == CAR] = 0.08
    plain = np.flatnonzero((material == PLAIN) & (table.param[owner, 0] > 0.5))
    out.glow[plain] = 1.0
    return out


def _uv(table: SurfaceTable, owner: NDArray[np.int32], points: F32) -> tuple[F32, F32, F32]:
    """u along the axis, horizontal distance across it, height above the origin."""
    d = points - table.origin[owner]
    axis = table.axis[owner]
    return (d[:, 0] * axis[:, 0] + d[:, 1] * axis[:, 1],
            np.abs(d[:, 1] * axis[:, 0] - d[:, 0] * axis[:, 1]), d[:, 2])


def _wall(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, normal: F32,
    at: NDArray[np.int64], out: Shade, conditions: Conditions,
) -> None:
    u, _, v = _uv(table, owner, points)
    length, high = table.extent[owner, 0], table.extent[owner, 1]
    spacing, storey, kind, packed = table.param[owner].T
    front, storeys = packed >= 100, packed % 100
    shop, kind = kind >= 10, kind % 10
    seed = table.seed[owner]
    columns = np.maximum(np.round(length / spacing), 1.0)
    cu, cv = u * columns / np.maximum(length, 0.1), v / storey
    iu, iv = np.floor(cu).astype(np.int32), np.floor(cv).astype(np.int32)
    fu, fv = np.abs(cu - iu - 0.5), cv - iv
    key = (seed * 65521).astype(np.int32)
    dice = cell_random(iu, iv, key)
    look = cell_random(key, key >> 3)
    half = 0.16 + 0.2 * look
    sill, top = 0.24 + 0.1 * cell_random(key, key >> 5), 0.80 + 0.1 * look
    glassy = shop & (iv == 0)
    half, sill, top = np.where(glassy, 0.45, half), np.where(glassy, 0.12, sill), np.where(glassy, 0.85, top)
    door = front & (iv == 0) & ~glassy & (iu == (columns * look * 0.99).astype(np.int32))
    half, sill, top = np.where(door, 0.17, half), np.where(door, -1.0, sill), np.where(door, 0.76, top)
    blind = length < 2.2
    usable = (v > 0) & (iv < storeys) & (v < high) & ~blind & (dice > 0.08 + 0.3 * ~front * (look > 0.5))
    window = usable & (fu < half) & (fv > sill) & (fv < top)
    frame = usable & (fu < half + 0.04) & (fv > sill - 0.04) & (fv < top + 0.035) & ~window
    albedo = out.albedo[at]
    albedo *= (1 + 0.06 * grain(u + v * 0.37 + 11 * seed, v, 0.12))[:, None]
    albedo *= _courses(kind, u, v)[:, None]
    plinth = v < 0.55 * (look > 0.3)
    albedo[plinth] *= 0.62
    accent = table.accent[owner]
    balcony = front & (look > 0.62) & (iv > 0) & (iv < storeys) & (fv < 0.32) & (dice > 0.35) & (storeys > 2)
    albedo[balcony] = 0.5 * albedo[balcony] + 0.5 * accent[balcony]
    albedo[frame] = accent[frame]
    pane = np.float32([0.035, 0.042, 0.05]) * (0.4 + 1.6 * dice[:, None])
    curtain = dice > 0.72
    pane[curtain] = 0.12 + 0.3 * (dice[curtain, None] - 0.72)
    albedo[window] = pane[window]
    leaf = window & door
    albedo[leaf] = 0.6 * accent[leaf]
    out.albedo[at] = albedo
    out.mirror[at] = np.where(window & ~door, 0.22, 0.0)
    if conditions.dusk > 0:
        out.glow[at] = np.where(window & ~door & (dice * 7.77 % 1 < 0.45), 0.5 + dice, 0.0)


def _courses(kind: F32, u: F32, v: F32) -> F32:
    """Brick courses, boards, panels and stones as a brightness factor."""
    row = np.floor(v * 3.3).astype(np.int32)
    brick = 0.9 + 0.2 * cell_random((u * 2.2 + 0.5 * (row & 1)).astype(np.int32), row)
    board = 0.94 + 0.06 * np.sign(np.sin(v * 22.0))
    joint = 1 - 0.25 * ((np.abs(v % 2.8 - 1.4) > 1.35) | (np.abs(u % 3.2 - 1.6) > 1.55))
    stone = 1 - 0.12 * (np.abs(v % 0.5 - 0.25) > 0.23)
    return np.select([kind == 0, (kind == 2) | (kind == 5), kind == 3, kind == 4],
                     [brick, board, joint, stone], 1.0).astype(np.float32)


def _roof(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, normal: F32,
    at: NDArray[np.int64], out: Shade, conditions: Conditions,
) -> None:
    u, across, _ = _uv(table, owner, points)
    seed, extent = table.seed[owner], table.extent[owner]
    metal = table.material[owner] == METAL_ROOF
    rows = np.where(metal, np.abs(u % 0.6 - 0.3) > 0.26, np.abs(across % 0.36 - 0.18) > 0.13)
    stain = grain(points[:, 0] + 40 * seed, points[:, 1], 0.15)
    factor = (1 - 0.12 * rows) * (1 + np.where(metal, 0.03, 0.09) * stain)
    albedo = out.albedo[at] * factor[:, None]
    _panels(table, owner, u, across, extent, seed, albedo, out, at, normal)
    window = (cell_random((u / 2.7).astype(np.int32), (across / 3).astype(np.int32),
                          (seed * 9999).astype(np.int32)) < 0.05)
    window &= (np.abs(u % 2.7 - 1.3) < 0.4) & (np.abs(across % 3 - 1.5) < 0.6) & (extent[:, 1] > 3)
    albedo[window] = 0.03
    out.albedo[at] = albedo
    out.mirror[at] += np.where(metal, 0.05, 0.0) + 0.25 * window


def _panels(
    table: SurfaceTable, owner: NDArray[np.int32], u: F32, across: F32, extent: F32, seed: F32,
    albedo: F32, out: Shade, at: NDArray[np.int64], normal: F32,
) -> None:
    """Solar panels on roofs that have them, where the plane looks southwards."""
    low, wide = 0.15 + 0.25 * seed, 0.35 + 0.4 * seed
    has = (table.param[owner, 0] > 0.5) & (u > low * extent[:, 0]) & (u < (low + wide) * extent[:, 0])
    has &= (across > 0.22 * extent[:, 1]) & (across < 0.72 * extent[:, 1]) & (normal[at, 1] < 0.2)
    seam = (np.abs(u % 1.05 - 0.52) > 0.49) | (np.abs(across % 1.7 - 0.85) > 0.8)
    albedo[has] = np.where(seam[has, None], 0.05, np.float32([0.012, 0.018, 0.045]))
    out.mirror[at] = np.where(has, 0.15, 0.0)


def _flat(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, normal: F32,
    at: NDArray[np.int64], out: Shade, conditions: Conditions,
) -> None:
    u, across, _ = _uv(table, owner, points)
    seed, extent = table.seed[owner], table.extent[owner]
    stain = grain(points[:, 0] + 57 * seed, points[:, 1], 0.25)
    albedo = out.albedo[at] * (1 + 0.13 * stain)[:, None]
    joint = (np.abs(across % 5.0 - 2.5) > 2.42) & (seed > 0.4)
    albedo[joint] *= 0.8
    out.mirror[at] = 0.0
    _panels(table, owner, u, across, extent, seed, albedo, out, at, normal)
    out.albedo[at] = albedo


def _crown(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, normal: F32,
    at: NDArray[np.int64], out: Shade, conditions: Conditions,
) -> None:
    seed = table.seed[owner]
    crown = table.material[owner] == CROWN
    deciduous = crown & (table.param[owner, 0] > 0.5)
    albedo = out.albedo[at]
    if conditions.season == "autumn":
        hue = np.float32([[0.55, 0.30, 0.04], [0.42, 0.14, 0.03], [0.30, 0.20, 0.08], [0.2, 0.24, 0.05]])
        share = (0.35 + 0.6 * seed)[:, None]
        turned = hue[(seed * 97).astype(np.int32) % 4]
        albedo = np.where(deciduous[:, None], albedo * (1 - share) + turned * 0.7 * share, albedo)
    elif conditions.season == "winter":
        albedo = np.where(deciduous[:, None], table.accent[owner] * 1.3, albedo)
    elif conditions.season == "spring":
        albedo = np.where(deciduous[:, None], albedo * np.float32([1.1, 1.25, 0.9]), albedo)
    ijk = np.floor(points * np.float32(3.7)).astype(np.int32)
    leaf = cell_random(ijk[:, 0], ijk[:, 1], ijk[:, 2])
    speck = grain(points[:, 0] + points[:, 2], points[:, 1] - points[:, 2], 0.06)
    out.albedo[at] = albedo * (0.55 + 0.65 * leaf + 0.12 * speck)[:, None].clip(0.15)
    outward = points - table.origin[owner]
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-3)
    mixed = normal[at] + np.where(crown, 0.8, 0.0)[:, None] * outward
    mixed += (leaf[:, None] - 0.5) * 0.7 * np.float32([1, -1, 0.5])
    normal[at] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-3)


def _fence(
    table: SurfaceTable, owner: NDArray[np.int32], points: F32, normal: F32,
    at: NDArray[np.int64], out: Shade, conditions: Conditions,
) -> None:
    u, _, v = _uv(table, owner, points)
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
