# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Meshes of trees, cars and street furniture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.layout import Prop, Tree
from geoloc_ros.synthetic.mesh import (
    CAR,
    CROWN,
    FENCE,
    GLASS,
    HEDGE,
    PLAIN,
    MeshBag,
    add_blobs,
    add_boxes,
    add_cones,
    linear_rgb,
    turned,
)
from geoloc_ros.synthetic.styles import Rgb
from geoloc_ros.synthetic.terrain import Terrain

F64 = NDArray[np.float64]
CAR_COLOURS: tuple[Rgb, ...] = (
    (236, 236, 234),
    (236, 236, 234),
    (30, 31, 34),
    (30, 31, 34),
    (92, 95, 100),
    (92, 95, 100),
    (176, 180, 184),
    (176, 180, 184),
    (36, 60, 120),
    (160, 34, 34),
    (112, 30, 36),
    (44, 84, 60),
    (206, 186, 150),
    (196, 120, 40),
)
_LEAF: dict[str, Rgb] = {
    "broadleaf": (72, 104, 44),
    "round": (84, 116, 50),
    "conifer": (44, 72, 46),
    "birch": (104, 130, 62),
    "poplar": (82, 114, 54),
    "palm": (92, 120, 60),
    "eucalypt": (106, 120, 84),
    "shrub": (74, 102, 50),
}
_EVERGREEN = ("conifer", "palm", "eucalypt")


def add_trees(
    bag: MeshBag, trees: Sequence[Tree], epoch: str, terrain: Terrain, rng: np.random.Generator
) -> None:
    """Append the trees of an epoch; at the satellite's time they were smaller."""
    for kind in _LEAF:
        chosen = [
            t
            for t in trees
            if t.kind == kind and t.change != ("built" if epoch == "satellite" else "gone")
        ]
        if not chosen:
            continue
        scale = np.array([1.0 - t.growth if epoch == "satellite" else 1.0 for t in chosen])
        xy = np.array([(t.x_m, t.y_m) for t in chosen])
        at = np.column_stack([xy, terrain.height_m(xy)])
        high = scale * np.array([t.height_m for t in chosen])
        wide = scale * np.array([t.radius_m for t in chosen])
        seed = np.array([t.seed for t in chosen])
        _grow(bag, kind, at, high, wide, seed, rng)


def _grow(
    bag: MeshBag, kind: str, at: F64, high: F64, wide: F64, seed: F64, rng: np.random.Generator
) -> None:
    n = len(at)
    tone = 1.0 + 0.5 * (seed[:, None] - 0.5) + 0.1 * rng.standard_normal((n, 3))
    leaf = linear_rgb(_LEAF[kind])[None] * np.clip(tone, 0.55, 1.5)
    bark = linear_rgb((206, 204, 198) if kind == "birch" else (98, 80, 62))
    trunk_top = {"shrub": 0.1, "conifer": 0.3, "palm": 0.93, "eucalypt": 0.6}.get(
        kind, 0.45
    ) * high
    crown_mid = at + np.column_stack([0 * high, 0 * high, 0.62 * high])
    deciduous = float(kind not in _EVERGREEN)
    rows = bag.add_rows(
        CROWN,
        crown_mid,
        leaf,
        extent=np.column_stack([wide, high]),
        seed=seed,
        accent=bark,
        param=(deciduous, 0, 0, 0),
    )
    thick = 0.02 * high + 0.04
    trunk = bag.add_rows(PLAIN, at, bark, seed=seed)
    add_boxes(
        bag,
        at,
        np.column_stack([thick, thick, 0.5 * trunk_top + 0.3]),
        6.28 * seed,
        trunk,
        np.column_stack([0 * high, 0 * high, 0.5 * trunk_top - 0.3]),
    )
    _crown(bag, kind, at, high, wide, rows, rng)


def _crown(
    bag: MeshBag,
    kind: str,
    at: F64,
    high: F64,
    wide: F64,
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Cones, fronds or lumpy ellipsoids, by kind of tree."""
    n = len(at)
    if kind == "conifer":
        for low, part, fat in ((0.10, 0.52, 1.0), (0.36, 0.64, 0.72)):
            base = at + np.column_stack([0 * high, 0 * high, low * high])
            add_cones(bag, rng, base, fat * wide, part * high, rows)
    elif kind == "palm":
        _fronds(bag, at, high, wide, rows, rng)
    elif kind == "shrub":
        mid = at + np.column_stack([0 * high, 0 * high, 0.35 * high])
        add_blobs(bag, rng, mid, np.column_stack([wide, wide, 0.65 * high]), rows, 0.2)
    else:
        tall = {"round": 0.36, "poplar": 0.46, "birch": 0.4}.get(kind, 0.34) * high
        mid = at.copy()
        mid[:, 2] += high - tall
        add_blobs(bag, rng, mid, np.column_stack([wide, wide, tall]), rows)
        lumps = {"broadleaf": 2, "eucalypt": 3}.get(kind, 0)
        for _ in range(lumps):
            angle, out = rng.uniform(0, 6.28, n), rng.uniform(0.45, 0.85, n) * wide
            part = mid + np.column_stack(
                [out * np.cos(angle), out * np.sin(angle), rng.uniform(-0.5, 0.25, n) * tall]
            )
            size = rng.uniform(0.4, 0.62, (n, 1)) * np.column_stack([wide, wide, 0.9 * tall])
            add_blobs(bag, rng, part, size, rows)


def _fronds(
    bag: MeshBag, at: F64, high: F64, wide: F64, rows: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Palm leaves: twelve drooping kites round the top."""
    n, leaves = len(at), 12
    angle = np.arange(leaves) * 2 * np.pi / leaves
    c, s = np.cos(angle), np.sin(angle)
    spine = np.stack([c, s, np.zeros(leaves)], 1)
    side = np.stack([-s, c, np.zeros(leaves)], 1)
    kite = np.stack(
        [
            0 * spine,
            0.55 * spine + 0.2 * side + (0, 0, 0.16),
            spine * 1.05 + (0, 0, -0.35),
            0.55 * spine - 0.2 * side + (0, 0, 0.16),
        ],
        1,
    )
    local = (
        kite.reshape(1, -1, 3) * wide[:, None, None] * rng.uniform(0.85, 1.15, (n, leaves * 4, 1))
    )
    top = at + np.column_stack([0 * high, 0 * high, 0.92 * high])
    k = 4 * np.arange(leaves)[:, None]
    faces = np.concatenate([k + np.array([0, 1, 2]), k + np.array([0, 2, 3])])
    bag.add_instances(turned(local, rng.uniform(0, 6.28, n), top), faces, rows)


def add_cars(
    bag: MeshBag, poses: F64, ground_m: F64, size_m: F64, colours: NDArray[np.float32]
) -> None:
    """Append vehicles.

    Args:
        bag: Mesh to fill.
        poses: `(N, 3)` x, y, yaw; the middle of the vehicle.
        ground_m: `(N,)` height of the road there.
        size_m: `(N, 3)` length, width, height; above 2.2 m high it becomes a van or lorry.
        colours: `(N, 3)` linear body colour.
    """
    if len(poses) == 0:
        return
    at = np.column_stack([poses[:, :2], ground_m])
    yaw = poses[:, 2]
    half, w, h = (0.5 * size_m[:, k] for k in range(3))
    zero = np.zeros_like(half)
    tall = size_m[:, 2] > 2.2
    body = bag.add_rows(CAR, at, colours)
    glass = bag.add_rows(GLASS, at, np.full((len(at), 3), 0.015))
    dark = bag.add_rows(PLAIN, at, np.full((len(at), 3), 0.012))
    waist = np.where(tall, 0.92, 0.56) * h * 2
    add_boxes(
        bag,
        at,
        np.column_stack([half, w, 0.5 * (waist - 0.28)]),
        yaw,
        body,
        np.column_stack([zero, zero, 0.5 * (waist + 0.28)]),
    )
    for sx in (-0.62, 0.62):
        add_boxes(
            bag,
            at,
            np.column_stack([0.33 + zero, w * 1.01, 0.32 + zero]),
            yaw,
            dark,
            np.column_stack([sx * half, zero, 0.32 + zero]),
        )
    _cabin(bag, at, yaw, half, w, waist, 2 * h, body, glass)
    if np.any(tall):
        k = np.flatnonzero(tall)
        add_boxes(
            bag,
            at[k],
            np.column_stack([0.27 * half[k], 1.01 * w[k], 0.28 * h[k]]),
            yaw[k],
            glass[k],
            np.column_stack([0.74 * half[k], zero[k], 1.36 * h[k]]),
        )
    _lights(bag, at, yaw, half, w, tall)


def _lights(bag: MeshBag, at: F64, yaw: F64, half: F64, w: F64, tall: NDArray[np.bool_]) -> None:
    """Head and tail lights."""
    zero = np.zeros_like(half)
    front = bag.add_rows(PLAIN, at, np.full((len(at), 3), 0.85), param=(1, 0, 0, 0))
    rear = bag.add_rows(PLAIN, at, np.tile([0.45, 0.01, 0.01], (len(at), 1)), param=(1, 0, 0, 0))
    for rows, sx in ((front, 1.0), (rear, -1.0)):
        for sy in (-0.75, 0.75):
            add_boxes(
                bag,
                at,
                np.column_stack([0.03 + zero, 0.16 * w, 0.07 + zero]),
                yaw,
                rows,
                np.column_stack([sx * half, sy * w, np.where(tall, 0.9, 0.72) + zero]),
            )


def _cabin(
    bag: MeshBag,
    at: F64,
    yaw: F64,
    half: F64,
    w: F64,
    waist: F64,
    top: F64,
    body: NDArray[np.int64],
    glass: NDArray[np.int64],
) -> None:
    """Glass house with a painted roof: a frustum above the waist line."""
    n = len(at)
    low = np.stack(
        [
            np.stack([x * half, y * w, waist], 1)
            for x, y in ((-0.92, -0.94), (0.42, -0.94), (0.42, 0.94), (-0.92, 0.94))
        ],
        1,
    )
    up = np.stack(
        [
            np.stack([x * half, y * w, top], 1)
            for x, y in ((-0.70, -0.78), (0.10, -0.78), (0.10, 0.78), (-0.70, 0.78))
        ],
        1,
    )
    faces = np.array(
        [[k, (k + 1) % 4, 4 + (k + 1) % 4] for k in range(4)]
        + [[k, 4 + (k + 1) % 4, 4 + k] for k in range(4)]
        + [[4, 5, 6], [4, 6, 7]]
    )
    owner = np.concatenate([np.repeat(glass[:, None], 8, 1), np.repeat(body[:, None], 2, 1)], 1)
    bag.add_instances(turned(np.concatenate([low, up], 1), yaw, at), faces, owner.reshape(n, -1))


def random_cars(rng: np.random.Generator, count: int) -> tuple[F64, NDArray[np.float32]]:
    """Sizes `(N, 3)` metres and linear colours `(N, 3)` of ordinary vehicles."""
    length = rng.normal(4.35, 0.35, count)
    height = rng.choice([1.45, 1.48, 1.52, 1.68, 1.75], count)
    width = rng.normal(1.8, 0.05, count)
    van = rng.random(count) < 0.07
    length[van], height[van], width[van] = rng.uniform(4.8, 6.2, int(van.sum())), 2.35, 2.0
    colours = linear_rgb([CAR_COLOURS[int(k)] for k in rng.integers(len(CAR_COLOURS), size=count)])
    return np.column_stack([length, width, height]), colours.reshape(-1, 3)


def add_props(bag: MeshBag, props: Sequence[Prop], terrain: Terrain) -> None:
    """Append street furniture, hedges and fences."""
    kinds = sorted({p.kind for p in props})
    for kind in kinds:
        chosen = [p for p in props if p.kind == kind]
        xy = np.array([(p.x_m, p.y_m) for p in chosen])
        at = np.column_stack([xy, terrain.height_m(xy)])
        yaw = np.array([p.yaw_rad for p in chosen])
        long, high = (np.array([getattr(p, f) for p in chosen]) for f in ("length_m", "height_m"))
        rgb = linear_rgb([p.colour for p in chosen])
        material = {"hedge": HEDGE, "fence": FENCE}.get(kind, PLAIN)
        rows = bag.add_rows(
            material,
            at,
            rgb,
            axis=np.column_stack([np.cos(yaw), np.sin(yaw)]),
            extent=np.column_stack([long, high]),
            seed=np.modf(xy[:, 0])[0] % 1,
        )
        for half, offset in _pieces(kind, long, high):
            add_boxes(bag, at, half, yaw, rows, offset)


def _pieces(kind: str, long: F64, high: F64) -> list[tuple[F64, F64]]:
    """Boxes (half size, offset) a thing is made of."""
    zero = np.zeros_like(long)

    def box(
        hx: F64 | float,
        hy: float,
        z0: F64 | float,
        z1: F64 | float,
        x: float = 0.0,
        y: float = 0.0,
    ) -> tuple[F64, F64]:
        low, top = z0 + zero, z1 + zero
        return (
            np.column_stack([hx + zero, hy + zero, 0.5 * (top - low)]),
            np.column_stack([x + zero, y + zero, 0.5 * (top + low)]),
        )

    if kind == "hedge":
        return [box(0.5 * long, 0.4, -0.4, high)]
    if kind == "fence":
        return [box(0.5 * long, 0.05, -0.4, high)]
    if kind == "lamp":
        return [box(0.06, 0.06, -0.3, high), box(0.22, 0.22, high, high + 0.35)]
    if kind == "lamp_arm":
        return [
            box(0.08, 0.08, -0.3, high),
            box(0.05, 0.9, high - 0.1, high, 0, 0.85),
            box(0.16, 0.4, high - 0.16, high + 0.02, 0, 1.7),
        ]
    if kind == "pole":
        return [
            box(0.13, 0.13, -0.3, high),
            box(0.06, 1.0, high - 0.7, high - 0.58),
            box(0.06, 0.7, high - 1.5, high - 1.4),
            box(0.22, 0.22, high - 3.0, high - 2.2),
        ]
    if kind == "sign":
        return [box(0.03, 0.03, -0.3, high), box(0.02, 0.35, high - 0.75, high)]
    if kind == "bench":
        return [box(0.5 * long, 0.22, 0.0, 0.45), box(0.5 * long, 0.04, 0.45, high, 0, -0.2)]
    if kind == "shelter":
        return [
            box(0.5 * long, 0.7, high - 0.12, high),
            box(0.5 * long, 0.03, 0.1, high, 0, -0.65),
            box(0.03, 0.6, 0.1, high, -2.0),
            box(0.03, 0.6, 0.1, high, 2.0),
        ]
    return [box(0.5 * long, 0.33, -0.2, high)]
