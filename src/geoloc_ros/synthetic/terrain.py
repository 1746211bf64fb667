# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rolling terrain of a made town: a smooth analytic height field and its mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Terrain:
    """Height field ``z(x, y)`` as a sum of plane waves, with hills outside the town.

    Attributes:
        waves: `(K, 4)` wave vector x, y (rad/m), phase (rad), amplitude (m).
        hill_waves: `(K, 4)` the same for the hills that rise outside `rim_m`.
        rim_m: Distance from the centre where the hills begin.
    """

    waves: F64
    hill_waves: F64
    rim_m: float

    def height_m(self, xy_m: F64) -> F64:
        """Height of the ground.

        Args:
            xy_m: `(N, 2)` local ENU position, metres.

        Returns:
            `(N,)` height, metres.
        """
        xy = np.asarray(xy_m, dtype=np.float64).reshape(-1, 2)
        z = _waves(self.waves, xy)
        reach = np.maximum(np.abs(xy[:, 0]), np.abs(xy[:, 1])) - self.rim_m
        far = reach > 0
        if np.any(far):
            lift = np.clip(reach[far] / 2500.0, 0.0, 1.0)
            lift = lift * lift * (3.0 - 2.0 * lift)
            z[far] += lift * (np.abs(_waves(self.hill_waves, xy[far])) + 4.0)
        return z


def _waves(waves: F64, xy: F64) -> F64:
    phase = xy @ waves[:, :2].T + waves[:, 2]
    return np.asarray(np.sin(phase) @ waves[:, 3], dtype=np.float64)


def make_terrain(rng: np.random.Generator, size_m: float, relief_m: float) -> Terrain:
    """A random terrain whose heights spread a few times `relief_m` over the town.

    Args:
        rng: Source of randomness.
        size_m: Side of the town, metres.
        relief_m: Amplitude of the longest waves, metres.

    Returns:
        The terrain.
    """

    def draw(count: int, shortest: float, longest: float, amplitude: float) -> F64:
        wavelength = np.geomspace(longest, shortest, count) * rng.uniform(0.85, 1.15, count)
        angle = rng.uniform(0, 2 * np.pi, count)
        k = 2 * np.pi / wavelength
        amp = amplitude * (wavelength / longest) ** 1.35 * rng.uniform(0.5, 1.2, count)
        return np.stack(
            [k * np.cos(angle), k * np.sin(angle), rng.uniform(0, 6.28, count), amp], 1
        )

    hills = draw(7, 500.0, 3000.0, 30.0 + 14.0 * relief_m)
    return Terrain(draw(10, 130.0, 900.0, relief_m), hills, 0.5 * size_m + 120.0)


def terrain_mesh(terrain: Terrain, half_m: float) -> tuple[F64, NDArray[np.int32]]:
    """Triangles of the terrain: 5 m pitch inside the town, growing to 5 km outside.

    Args:
        terrain: Height field.
        half_m: Half the side of the finely meshed square, metres.

    Returns:
        vertices `(V, 3)` metres and faces `(F, 3)`.
    """
    count = max(2, round(2 * half_m / 5.0))
    fine = np.linspace(-half_m, half_m, count + 1)
    far = half_m + np.geomspace(12.0, 5000.0, 26)
    axis = np.concatenate([-far[::-1], fine, far])
    x, y = np.meshgrid(axis, axis)
    xy = np.stack([x.ravel(), y.ravel()], 1)
    vertices = np.column_stack([xy, terrain.height_m(xy)])
    n = len(axis)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)[None, :]).ravel()
    lower = np.stack([corner, corner + 1, corner + n + 1], 1)
    upper = np.stack([corner, corner + n + 1, corner + n], 1)
    return vertices, np.concatenate([lower, upper]).astype(np.int32)
