# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a made world: from a camera and straight down from a satellite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from geoloc_ros.errors import CameraError, ImageryError
from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.facades import Shade
from geoloc_ros.synthetic.lens import develop
from geoloc_ros.synthetic.materials import see_through, shade_ground, shade_things
from geoloc_ros.synthetic.mesh import CROWN, GROUND, MeshBag, SurfaceTable, linear_rgb
from geoloc_ros.synthetic.noise import vec
from geoloc_ros.synthetic.objects import add_cars
from geoloc_ros.synthetic.palette import Palette
from geoloc_ros.synthetic.scene import RayMesh, Scene
from geoloc_ros.synthetic.sky import Light, sky_radiance, through_air

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
ORTHO_ROWS_PX = 96
ORTHO_TOP_M = 400.0
NEAR_M = 22.0


@dataclass(frozen=True)
class Mover:
    """Another vehicle on the road at one moment.

    Attributes:
        pose_xyyaw: Middle of the vehicle x, y (m) and heading yaw (rad).
        size_m: Length, width, height.
        colour: sRGB bytes of the body.
    """

    pose_xyyaw: tuple[float, float, float]
    size_m: tuple[float, float, float] = (4.4, 1.8, 1.5)
    colour: tuple[int, int, int] = (180, 182, 186)


class Renderer:
    """Shades rays cast into one scene under one set of conditions."""

    def __init__(self, scene: Scene, conditions: Conditions) -> None:
        """Prepare palette and light."""
        self.scene, self.conditions = scene, conditions
        self.palette = Palette(scene.town.style, conditions)
        self.light = Light(scene.town.style, conditions)

    def first_hits(self, origins: F32, rays: F32) -> tuple[F32, NDArray[np.int32], F32]:
        """Distance, surface row (-1: sky) and normal of each ray, passing gaps in crowns."""
        mesh, table = self.scene.mesh, self.scene.table
        hits = mesh.cast(origins, rays)
        distance, normal = hits.distance_m, hits.normal
        owner = np.where(hits.face >= 0, mesh.owner[hits.face], -1)
        todo = np.flatnonzero((owner >= 0) & (table.material[owner] == CROWN))
        for _ in range(2):
            if len(todo) == 0:
                break
            points = origins[todo] + distance[todo, None] * rays[todo]
            todo = todo[see_through(table, owner[todo], points, self.conditions)]
            start = origins[todo] + (distance[todo] + np.float32(0.15))[:, None] * rays[todo]
            again = mesh.cast(start, rays[todo])
            distance[todo] += again.distance_m + np.float32(0.15)
            normal[todo] = again.normal
            owner[todo] = np.where(again.face >= 0, mesh.owner[again.face], -1)
            todo = todo[(owner[todo] >= 0) & (table.material[owner[todo]] == CROWN)]
        return distance, owner.astype(np.int32), normal

    def sunlit(self, points: F32, normal: F32) -> F32:
        """Share of direct sun `(N,)` that reaches points `(N, 3)`."""
        out = np.zeros(len(points), np.float32)
        if self.conditions.sun_strength < 0.02:
            return out
        sun = self.light.direction
        at = np.flatnonzero(normal @ sun > 0)
        start = points[at] + np.float32(0.06) * normal[at] + np.float32(0.02) * sun
        hits = self.scene.mesh.cast(start, np.broadcast_to(sun, start.shape))
        table = self.scene.table
        leafy = (hits.face >= 0) & (table.material[self.scene.mesh.owner[hits.face]] == CROWN)
        through = 0.5 if self.conditions.season == "winter" else 0.18
        out[at] = np.where(hits.face < 0, 1.0, np.where(leafy, through, 0.0))
        return out

    def colour(
        self,
        points: F32,
        owner: NDArray[np.int32],
        normal: F32,
        rays: F32,
        sun: F32,
        footprint_m: float,
        table: SurfaceTable | None = None,
        distance: F32 | None = None,
    ) -> F32:
        """Radiance `(N, 3)` leaving points towards the viewer."""
        table = self.scene.table if table is None else table
        ground = owner == 0
        shade = Shade(
            np.empty((len(points), 3), np.float32),
            np.zeros(len(points), np.float32),
            np.zeros(len(points), np.float32),
        )
        g = np.flatnonzero(ground)
        if len(g):
            part = shade_ground(
                self.scene.ground,
                self.palette,
                points[g, 0],
                points[g, 1],
                footprint_m,
                None if distance is None else np.flatnonzero(distance[g] < NEAR_M),
            )
            shade.albedo[g], shade.mirror[g] = part.albedo, part.mirror
        t = np.flatnonzero(~ground)
        if len(t):
            bent = normal[t]
            part = shade_things(table, owner[t], points[t], bent, self.conditions)
            shade.albedo[t], shade.mirror[t], shade.glow[t] = part.albedo, part.mirror, part.glow
            normal[t] = bent
        direct = np.maximum(normal @ self.light.direction, 0) * sun
        sky_share = 0.62 + 0.38 * normal[:, 2]
        sky_share[g] *= self.scene.open_at(points[g, 0], points[g, 1])
        light = sky_share[:, None] * self.light.ambient + direct[:, None] * self.light.sun
        out = shade.albedo * light
        self._mirror(out, shade, normal, rays)
        if self.conditions.dusk > 0:
            out += (0.55 * self.conditions.dusk * shade.glow)[:, None] * vec([1.0, 0.72, 0.38])
        return vec(out)

    def _mirror(self, out: F32, shade: Shade, normal: F32, rays: F32) -> None:
        """Add mirrored sky on glass, water and wet roads (Schlick's approximation)."""
        at = np.flatnonzero(shade.mirror > 0)
        if len(at) == 0:
            return
        n, d = normal[at], rays[at]
        facing = np.abs(np.einsum("ij,ij->i", n, d))
        bounce = d - 2 * np.einsum("ij,ij->i", n, d)[:, None] * n
        bounce[:, 2] = np.abs(bounce[:, 2])
        share = shade.mirror[at] * (0.15 + 0.85 * (1 - facing) ** 3)
        sky = np.minimum(sky_radiance(bounce, self.light, self.conditions), 3.0)
        out[at] += share[:, None] * (sky - out[at])


def render_camera(
    scene: Scene,
    rays_camera: F64 | F32,
    T_world_camera: F64,
    conditions: Conditions,
    rng: np.random.Generator,
    movers: Sequence[Mover] = (),
) -> NDArray[np.uint8]:
    """Picture of a camera.

    Args:
        scene: What is there.
        rays_camera: `(H, W, 3)` unit directions in the optical frame (z forward, x right, y down).
        T_world_camera: `(4, 4)` pose of the optical frame in the local plane.
        conditions: Light and weather.
        rng: Source of sensor noise.
        movers: Other vehicles.

    Returns:
        `(H, W, 3)` uint8 RGB.

    Raises:
        CameraError: Rays or pose of the wrong shape, or not finite.
    """
    optical, pose = _checked(rays_camera, T_world_camera)
    height, width = optical.shape[:2]
    rays = _rotate(optical.reshape(-1, 3), pose[:3, :3].astype(np.float32))
    origins = np.broadcast_to(pose[:3, 3].astype(np.float32), rays.shape)
    renderer = Renderer(scene, conditions)
    distance, owner, normal = renderer.first_hits(origins, rays)
    out = np.empty((len(rays), 3), np.float32)
    seen = np.flatnonzero(owner >= 0)
    sky = np.flatnonzero(owner < 0)
    out[sky] = sky_radiance(rays[sky], renderer.light, conditions)
    points = origins[seen] + distance[seen, None] * rays[seen]
    sun = _sun_map(renderer, points, normal[seen], seen, (height, width))
    sun *= _mover_shade(points, movers)
    lit = renderer.colour(
        points, owner[seen], normal[seen], rays[seen], sun, 0.0, distance=distance[seen]
    )
    out[seen] = through_air(lit, distance[seen], renderer.light, conditions)
    _draw_movers(renderer, origins, rays, distance, out, movers)
    return develop(
        out.reshape(height, width, 3),
        rays.reshape(height, width, 3),
        renderer.light,
        conditions,
        rng,
    )


def _checked(rays_camera: F64 | F32, T_world_camera: F64) -> tuple[F32, F64]:
    """Rays and pose as arrays of the right shape."""
    rays = np.asarray(rays_camera, dtype=np.float32)
    pose = np.asarray(T_world_camera, dtype=np.float64)
    if rays.ndim != 3 or rays.shape[2] != 3 or pose.shape != (4, 4):
        raise CameraError(
            f"rays of shape {rays.shape} and pose of shape {pose.shape}; "
            "expected (H, W, 3) and (4, 4)"
        )
    if not (np.all(np.isfinite(pose)) and np.all(np.isfinite(rays))):
        raise CameraError("camera rays or pose hold values that are not finite")
    return rays, pose


def _rotate(vectors: F32, rotation: F32) -> F32:
    """Rotated vectors `(N, 3)`; spelt out, since BLAS is 30 times slower on such thin matrices."""
    x, y, z = (np.ascontiguousarray(vectors[:, k]) for k in range(3))
    out = np.empty_like(vectors)
    for k in range(3):
        a, b, c = rotation[k]
        out[:, k] = a * x + b * y + c * z
    return out


def _sun_map(
    renderer: Renderer, points: F32, normal: F32, seen: NDArray[np.int64], shape: tuple[int, int]
) -> F32:
    """Sunlight at the seen points; large pictures cast every fourth shadow ray and interpolate."""
    height, width = shape
    if width < 300:
        return renderer.sunlit(points, normal)
    row, col = np.divmod(seen, width)
    pick = np.flatnonzero((row % 2 == 0) & (col % 2 == 0))
    small = np.zeros(((height + 1) // 2, (width + 1) // 2), np.float32)
    faces_sun = np.ones(len(pick), np.float32)
    lit = renderer.sunlit(points[pick], normal[pick])
    faces_sun[normal[pick] @ renderer.light.direction <= 0] = 0.5
    small[row[pick] // 2, col[pick] // 2] = np.where(faces_sun < 1, 0.5, lit)
    full = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full.ravel()[seen], dtype=np.float32)


def _mover_shade(points: F32, movers: Sequence[Mover]) -> F32:
    """Dark ground under other vehicles."""
    out = np.ones(len(points), np.float32)
    for mover in movers:
        x, y, yaw = mover.pose_xyyaw
        dx, dy = points[:, 0] - np.float32(x), points[:, 1] - np.float32(y)
        u, v = dx * np.cos(yaw) + dy * np.sin(yaw), dy * np.cos(yaw) - dx * np.sin(yaw)
        far = (np.abs(u) / (0.55 * mover.size_m[0])) ** 4 + (
            np.abs(v) / (0.6 * mover.size_m[1])
        ) ** 4
        out *= np.clip(0.2 + 0.8 * far, 0.2, 1.0).astype(np.float32)
    return out


def _draw_movers(
    renderer: Renderer, origins: F32, rays: F32, distance: F32, out: F32, movers: Sequence[Mover]
) -> None:
    """Cast rays at the other vehicles and paint where they are nearer."""
    if not movers:
        return
    bag = MeshBag()
    bag.add_rows(GROUND, [0.0, 0.0, 0.0], (0, 0, 0))
    poses = np.array([m.pose_xyyaw for m in movers], dtype=np.float64)
    ground = renderer.scene.town.height_m(poses[:, :2])
    add_cars(
        bag,
        poses,
        ground,
        np.array([m.size_m for m in movers], dtype=np.float64),
        linear_rgb([m.colour for m in movers]),
    )
    near = np.zeros(len(rays), bool)
    for mover, z in zip(movers, ground, strict=True):
        radius = 0.5 * float(np.linalg.norm(mover.size_m))
        to = (
            np.array([mover.pose_xyyaw[0], mover.pose_xyyaw[1], z + 0.5 * mover.size_m[2]])
            - origins[0]
        )
        far = float(np.linalg.norm(to))
        limit = np.sqrt(max(0.0, 1 - (radius / max(far, radius)) ** 2)) if far > radius else -1.0
        near |= rays @ (to / max(far, 1e-6)).astype(np.float32) > limit
    at = np.flatnonzero(near)
    mesh = RayMesh(*bag.arrays())
    hits = mesh.cast(origins[at], rays[at])
    hit = np.flatnonzero((hits.face >= 0) & (hits.distance_m < distance[at]))
    at = at[hit]
    if len(at) == 0:
        return
    points = origins[at] + hits.distance_m[hit, None] * rays[at]
    normal = hits.normal[hit]
    lit = renderer.colour(
        points,
        mesh.owner[hits.face[hit]],
        normal,
        rays[at],
        renderer.sunlit(points, normal),
        0.0,
        bag.table(),
    )
    out[at] = through_air(lit, hits.distance_m[hit], renderer.light, renderer.conditions)


def render_ortho(
    scene: Scene,
    xmin_m: float,
    ymin_m: float,
    width_px: int,
    height_px: int,
    gsd_m: float,
    conditions: Conditions,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Picture straight down; pixel (0, 0) lies in the north-west corner.

    Args:
        scene: What is there.
        xmin_m: West edge, metres.
        ymin_m: South edge, metres.
        width_px: Columns.
        height_px: Rows.
        gsd_m: Size of a pixel, metres.
        conditions: Light and season.
        rng: Source of sub-pixel jitter and noise.

    Returns:
        `(H, W, 3)` uint8 RGB, row 0 = north.

    Raises:
        ImageryError: Size or pixel size not positive.
    """
    if width_px < 1 or height_px < 1 or not gsd_m > 0:
        raise ImageryError(
            f"an ortho image of {width_px} x {height_px} px at {gsd_m} m/px; all must be above 0"
        )
    renderer = Renderer(scene, conditions)
    out = np.empty((height_px, width_px, 3), np.float32)
    for top in range(0, height_px, ORTHO_ROWS_PX):
        rows = np.arange(top, min(top + ORTHO_ROWS_PX, height_px))
        jitter = rng.uniform(0.2, 0.8, (2, len(rows), width_px)).astype(np.float32)
        x = xmin_m + (np.arange(width_px, dtype=np.float32)[None, :] + jitter[0]) * gsd_m
        y = ymin_m + (height_px - 1 - rows.astype(np.float32)[:, None] + jitter[1]) * gsd_m
        out[rows] = _look_down(renderer, x.ravel(), y.ravel(), gsd_m).reshape(
            len(rows), width_px, 3
        )
    return develop(out, None, renderer.light, conditions, rng)


def _look_down(renderer: Renderer, x: F32, y: F32, gsd_m: float) -> F32:
    origins = np.stack([x, y, np.full_like(x, ORTHO_TOP_M)], 1).astype(np.float32)
    rays = np.broadcast_to(vec([0, 0, -1]), origins.shape)
    distance, owner, normal = renderer.first_hits(origins, rays)
    points = origins.copy()
    points[:, 2] -= np.where(np.isfinite(distance), distance, ORTHO_TOP_M)
    owner = np.maximum(owner, 0)
    normal[~np.isfinite(distance)] = (0, 0, 1)
    sun = renderer.sunlit(points, normal)
    return renderer.colour(points, owner, normal, rays, sun, gsd_m)
