# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Triangles with a table of surfaces: each face points at a row that says how it looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

GROUND, WALL, ROOF, FLAT, CROWN, PLAIN, CAR, GLASS, HEDGE, FENCE, METAL_ROOF = range(11)


def linear_rgb(srgb: ArrayLike) -> F32:
    """SRGB bytes to linear light in 0..1 (gamma 2.2 power law)."""
    share = np.asarray(srgb, np.float32) / np.float32(255.0)
    return np.asarray(share ** np.float32(2.2), dtype=np.float32)


@dataclass
class SurfaceTable:
    """One row per surface.

    Attributes:
        material: `(S,)` uint8, one of the constants above.
        origin: `(S, 3)` reference point: wall or eave corner, crown centre.
        axis: `(S, 2)` unit horizontal direction of the u coordinate.
        extent: `(S, 2)` length along u and height or depth along v, metres.
        rgb: `(S, 3)` linear base colour.
        accent: `(S, 3)` linear second colour (frames, trunk, old roof).
        seed: `(S,)` in 0..1.
        param: `(S, 4)` material dependent.
    """

    material: NDArray[np.uint8]
    origin: F32
    axis: F32
    extent: F32
    rgb: F32
    accent: F32
    seed: F32
    param: F32


@dataclass
class MeshBag:
    """Collects triangles and surfaces; `table` and `arrays` freeze it."""

    vertices: list[F64] = field(default_factory=list)
    faces: list[NDArray[np.int64]] = field(default_factory=list)
    owner: list[NDArray[np.int64]] = field(default_factory=list)
    rows: list[dict[str, F64]] = field(default_factory=list)
    vertex_count: int = 0
    row_count: int = 0

    def add_rows(
        self,
        material: int,
        origin: ArrayLike,
        rgb: ArrayLike,
        *,
        axis: ArrayLike = (1.0, 0.0),
        extent: ArrayLike = (1.0, 1.0),
        accent: ArrayLike = (0.0, 0.0, 0.0),
        seed: ArrayLike = 0.0,
        param: ArrayLike = (0.0, 0.0, 0.0, 0.0),
    ) -> NDArray[np.int64]:
        """Append surfaces; every argument broadcasts to `(N, ...)`; returns their row numbers."""
        place = np.atleast_2d(np.asarray(origin, float))
        n = len(place)

        def wide(value: ArrayLike, columns: int) -> F64:
            return np.broadcast_to(np.asarray(value, float).reshape(-1, columns), (n, columns))

        self.rows.append(
            {
                "material": np.full((n, 1), float(material)),
                "origin": place,
                "axis": wide(axis, 2),
                "extent": wide(extent, 2),
                "rgb": wide(rgb, 3),
                "accent": wide(accent, 3),
                "seed": wide(seed, 1),
                "param": wide(param, 4),
            }
        )
        ids = np.arange(self.row_count, self.row_count + n)
        self.row_count += n
        return ids

    def add(self, vertices: F64, faces: NDArray[np.int64], owner: NDArray[np.int64]) -> None:
        """Append triangles: vertices `(V, 3)`, faces `(F, 3)`, surface row of each face `(F,)`."""
        self.vertices.append(np.asarray(vertices, float).reshape(-1, 3))
        self.faces.append(np.asarray(faces).reshape(-1, 3) + self.vertex_count)
        self.owner.append(np.asarray(owner).reshape(-1))
        self.vertex_count += len(self.vertices[-1])

    def add_instances(
        self, vertices: F64, faces: NDArray[np.int64], owner: NDArray[np.int64]
    ) -> None:
        """Append copies: vertices `(N, V, 3)`, shared faces `(F, 3)`, owner `(N,)` or `(N, F)`."""
        n, v = vertices.shape[:2]
        if n == 0:
            return
        shifted = faces[None] + (np.arange(n) * v)[:, None, None]
        own = np.broadcast_to(owner.reshape(n, -1), (n, len(faces)))
        self.add(vertices.reshape(-1, 3), shifted.reshape(-1, 3), own)

    def arrays(self) -> tuple[F32, NDArray[np.int32], NDArray[np.int32]]:
        """Vertices `(V, 3)` float32, faces `(F, 3)` int32, owner `(F,)` int32."""
        if not self.vertices:
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros(0, np.int32)
        return (
            np.concatenate(self.vertices).astype(np.float32),
            np.concatenate(self.faces).astype(np.int32),
            np.concatenate(self.owner).astype(np.int32),
        )

    def table(self) -> SurfaceTable:
        """The surfaces as one table."""
        col = {
            k: np.concatenate([r[k] for r in self.rows]).astype(np.float32) for k in self.rows[0]
        }
        return SurfaceTable(
            col["material"][:, 0].astype(np.uint8),
            col["origin"],
            col["axis"],
            col["extent"],
            col["rgb"],
            col["accent"],
            col["seed"][:, 0],
            col["param"],
        )


_BOX = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
_BOX_FACES = np.array(
    [
        [0, 1, 5],
        [0, 5, 4],
        [3, 2, 6],
        [3, 6, 7],
        [2, 0, 4],
        [2, 4, 6],
        [1, 3, 7],
        [1, 7, 5],
        [4, 5, 7],
        [4, 7, 6],
    ]
)


def turned(local: F64, yaw: ArrayLike, at: F64) -> F64:
    """Local points `(N, V, 3)` turned about z by yaw `(N,)` and moved to `at` `(N, 3)`."""
    c, s = np.cos(np.asarray(yaw))[:, None], np.sin(np.asarray(yaw))[:, None]
    x = c * local[..., 0] - s * local[..., 1]
    y = s * local[..., 0] + c * local[..., 1]
    return np.stack([x, y, np.broadcast_to(local[..., 2], x.shape)], -1) + at[:, None, :]


def add_boxes(
    bag: MeshBag,
    at: F64,
    half: ArrayLike,
    yaw: ArrayLike,
    owner: NDArray[np.int64],
    offset: ArrayLike = (0.0, 0.0, 0.0),
) -> None:
    """Append boxes without bottom: anchor `(N, 3)`, half sizes `(N, 3)`, yaw `(N,)`.

    `offset` `(3,)` or `(N, 3)` moves each box in its own turned frame.
    """
    local = _BOX[None] * np.atleast_2d(np.asarray(half, float))[:, None, :]
    local = local + np.atleast_2d(np.asarray(offset, float))[:, None, :]
    local = np.broadcast_to(local, (len(at), 8, 3))
    bag.add_instances(turned(local, yaw, at), _BOX_FACES, owner)


@lru_cache(maxsize=4)
def _sphere(subdivisions: int) -> tuple[F64, NDArray[np.int64]]:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    return np.asarray(ball.vertices), np.asarray(ball.faces)


def add_blobs(
    bag: MeshBag,
    rng: np.random.Generator,
    centre: F64,
    radii: F64,
    owner: NDArray[np.int64],
    rough: float = 0.16,
    subdivisions: int = 1,
) -> None:
    """Append lumpy ellipsoids: centre `(N, 3)`, radii `(N, 3)`."""
    ball, faces = _sphere(subdivisions)
    lumps = 1.0 + rough * rng.standard_normal((len(centre), len(ball), 1))
    local = ball[None] * np.clip(lumps, 0.6, 1.4) * radii[:, None, :]
    bag.add_instances(turned(local, rng.uniform(0, 6.28, len(centre)), centre), faces, owner)


def add_cones(
    bag: MeshBag,
    rng: np.random.Generator,
    base: F64,
    radius: F64,
    height: F64,
    owner: NDArray[np.int64],
) -> None:
    """Append ragged cones: base centre `(N, 3)`, radius `(N,)`, height `(N,)`."""
    n, sides = len(base), 9
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(sides)], 1)
    rough = rng.uniform(0.75, 1.2, (n, sides, 1))
    rim = ring[None] * rough * radius[:, None, None]
    tip = np.zeros((n, 1, 3))
    tip[:, 0, 2] = height
    k = np.arange(sides)
    faces = np.stack([k, (k + 1) % sides, np.full(sides, sides)], 1)
    local = np.concatenate([rim, tip], 1)
    bag.add_instances(turned(local, rng.uniform(0, 6.28, n), base), faces, owner)
