# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A town at one time as triangles that rays can be cast at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from geoloc_ros.errors import ConfigError
from geoloc_ros.synthetic.ground import Ground, make_ground
from geoloc_ros.synthetic.houses import add_buildings
from geoloc_ros.synthetic.layout import MARGIN_M
from geoloc_ros.synthetic.mesh import GROUND, MeshBag, SurfaceTable
from geoloc_ros.synthetic.objects import add_cars, add_props, add_trees, random_cars
from geoloc_ros.synthetic.roadnet import normals
from geoloc_ros.synthetic.terrain import terrain_mesh
from geoloc_ros.synthetic.town import Town

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
FAR_M = 1e30
OPEN_GSD_M = 2.0


@dataclass
class Hits:
    """What rays met: distance `(N,)` m (inf: nothing), face `(N,)`, unit normal `(N, 3)`."""

    distance_m: F32
    face: NDArray[np.int32]
    normal: F32


class RayMesh:
    """Triangles with an Embree tree; pickles without the tree and builds it again when needed."""

    def __init__(self, vertices: F32, faces: NDArray[np.int32], owner: NDArray[np.int32]) -> None:
        """Keep the arrays; the tree is built at the first ray."""
        self.vertices, self.faces, self.owner = vertices, faces, owner
        self._tree: tuple[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """State without the Embree tree."""
        return {**self.__dict__, "_tree": None}

    def _scene(self) -> Any:  # noqa: ANN401 - embreex has no types
        if self._tree is None:
            scene = EmbreeScene()
            self._tree = (scene, TriangleMesh(scene, self.vertices, self.faces))
        return self._tree[0]

    def cast(self, origins_m: F32, directions: F32) -> Hits:
        """First hit of each ray.

        Args:
            origins_m: `(N, 3)` float32.
            directions: `(N, 3)` float32 unit vectors.

        Returns:
            The hits; normals face the ray.
        """
        origins = np.ascontiguousarray(origins_m, np.float32)
        rays = np.ascontiguousarray(directions, np.float32)
        if len(origins) == 0:
            return Hits(
                np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros((0, 3), np.float32)
            )
        out = self._scene().run(origins, rays, output=1)
        face = np.asarray(out["primID"], np.int32)
        distance = np.where(face >= 0, out["tfar"], np.float32(np.inf)).astype(np.float32)
        normal = np.asarray(out["Ng"], np.float32)
        length = np.sqrt(np.einsum("ij,ij->i", normal, normal))
        facing = np.einsum("ij,ij->i", normal, rays)
        normal = normal * (np.where(facing > 0, -1, 1) / np.maximum(length, 1e-20))[:, None]
        return Hits(distance, face, normal.astype(np.float32, copy=False))


@dataclass
class Scene:
    """A town in one epoch.

    Attributes:
        town: The town.
        epoch: ``satellite`` or ``drive``.
        mesh: Triangles of ground and things; `owner` is the row in `table`.
        table: Looks of every surface; row 0 is the ground.
        ground: Ground rasters.
        openness: `(T, T)` uint8 share of sky seen from the ground at 2 m per pixel.
    """

    town: Town
    epoch: str
    mesh: RayMesh
    table: SurfaceTable = field(repr=False)
    ground: Ground = field(repr=False)
    openness: NDArray[np.uint8] = field(repr=False)

    def open_at(self, x_m: F32, y_m: F32) -> F32:
        """Share of the sky `(N,)` seen from the ground at positions."""
        side = self.openness.shape[0]
        scale = np.float32(1 / OPEN_GSD_M)
        col = np.clip(((x_m + self.ground.half_m) * scale).astype(np.int32), 0, side - 1)
        row = np.clip(((y_m + self.ground.half_m) * scale).astype(np.int32), 0, side - 1)
        share = self.openness.ravel()[row * side + col] * np.float32(1 / 255)
        return np.asarray(share, dtype=np.float32)


def build_scene(town: Town, epoch: str, rng_seed: int = 0) -> Scene:
    """Build the triangles of a town at one time.

    Args:
        town: The town.
        epoch: ``satellite`` or ``drive``.
        rng_seed: Varies what changes from day to day, such as parked cars.

    Returns:
        The scene.

    Raises:
        ConfigError: Unknown epoch.
    """
    if epoch not in ("satellite", "drive"):
        raise ConfigError(f"epoch is {epoch!r}; known: satellite, drive")
    day = np.random.default_rng([town.seed, rng_seed, epoch == "drive", 55])
    fixed = np.random.default_rng([town.seed, 56])
    bag = MeshBag()
    bag.add_rows(GROUND, [0.0, 0.0, 0.0], (0.2, 0.2, 0.2))
    ground = make_ground(town)
    vertices, faces = terrain_mesh(town.terrain, ground.half_m)
    bag.add(vertices, faces.astype(np.int64), np.zeros(len(faces), np.int64))
    add_buildings(bag, town.buildings, epoch, town.style.wall, fixed)
    add_props(bag, town.props, town.terrain)
    add_trees(bag, town.trees, epoch, town.terrain, fixed)
    _park_cars(bag, town, epoch, day)
    mesh = RayMesh(*bag.arrays())
    return Scene(town, epoch, mesh, bag.table(), ground, _openness(town, ground))


def _park_cars(bag: MeshBag, town: Town, epoch: str, rng: np.random.Generator) -> None:
    """Cars on some parking places; the satellite also sees moving traffic."""
    slots = town.slots
    share = rng.uniform(0.35, 0.75)
    clump = (
        0.5 + 0.5 * np.sin(slots[:, 0] / 37.0 + rng.uniform(0, 6)) if len(slots) else np.zeros(0)
    )
    poses = slots[rng.random(len(slots)) < share * (0.5 + clump)].copy()
    poses[:, :2] += rng.normal(0, 0.12, (len(poses), 2))
    poses[:, 2] += rng.normal(0, 0.02, len(poses)) + np.pi * (rng.random(len(poses)) < 0.2)
    if epoch == "satellite":
        poses = np.vstack([poses, _traffic(town, rng)])
    size, colour = random_cars(rng, len(poses))
    add_cars(bag, poses, town.height_m(poses[:, :2]), size, colour)


def _traffic(town: Town, rng: np.random.Generator) -> F64:
    """Moving cars on the roads, `(N, 3)` poses in their lanes."""
    out = []
    right = 1.0 if town.style.driving_side == "right" else -1.0
    for road in town.roads:
        busy = {"arterial": 0.03, "collector": 0.014}.get(road.kind, 0.003)
        line, left = road.centreline_m[:, :2], normals(road.centreline_m)
        for _ in range(int(rng.poisson(busy * road.length_m))):
            k = int(rng.integers(len(line)))
            forward = road.oneway or rng.random() < 0.5
            lateral = (
                0.0 if road.lanes == 1 else 0.25 * road.width_m * right * (-1 if forward else 1)
            )
            yaw = np.arctan2(-left[k, 0], left[k, 1]) + (0 if forward else np.pi)
            out.append([*(line[k] + lateral * left[k]), yaw])
    return np.asarray(out, dtype=np.float64).reshape(-1, 3)


def _openness(town: Town, ground: Ground) -> NDArray[np.uint8]:
    """Ambient light on the ground: less between high walls and under trees."""
    side = int(np.ceil(2 * (0.5 * town.size_m + MARGIN_M) / OPEN_GSD_M))
    height = np.zeros((side, side), np.float32)
    for b in town.buildings:
        for part in b.parts:
            px = np.round((part.corners() + ground.half_m) / OPEN_GSD_M * 16 - 8).astype(np.int32)
            cv2.fillPoly(height, [px], float(part.eaves_m + 0.5 * part.rise_m), shift=4)
    for t in town.trees:
        x, y = ((np.array([t.x_m, t.y_m]) + ground.half_m) / OPEN_GSD_M).astype(int)
        cv2.circle(
            height, (int(x), int(y)), max(1, round(t.radius_m / OPEN_GSD_M)), 0.45 * t.height_m, -1
        )
    near = cv2.GaussianBlur(height, (0, 0), 2.0)
    wide = cv2.GaussianBlur(height, (0, 0), 7.0)
    shut = 1.0 - np.exp(-(0.07 * near + 0.05 * wide))
    return np.asarray(255 * (1.0 - 0.75 * shut), dtype=np.uint8)
