# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made towns as training shards: seasons from above, views from cars, views from drones.

Seeds: training towns from 1000, validation towns from 2000. Seeds from 900000 up belong to the
held-out benchmark and are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoloc_ros.cameras.ground_plane import GroundPlaneView
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.views import mount_from_pitch
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError, TrainingError, first_line
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, transform
from geoloc_ros.geo.se2 import compose
from geoloc_ros.synthetic.conditions import Conditions, sample_conditions
from geoloc_ros.synthetic.imagery import make_imagery
from geoloc_ros.synthetic.render import Mover, render_camera, render_ortho
from geoloc_ros.synthetic.scene import Scene, build_scene
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.synthetic.town import Town, make_town
from geoloc_ros.training.augment import compress
from geoloc_ros.training.data import write_shard
from geoloc_ros.training.evaluate import road_anchors
from geoloc_ros.training.layout import layout_raster
from geoloc_ros.training.nets import MEAN, QUERY_SPECS
from geoloc_ros.training.raster import Ortho, read_ortho
from geoloc_ros.workers import submitted

LOG = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Rng = np.random.Generator

TRAIN_SEED, VALIDATION_SEED, HELD_OUT_SEED = 1000, 2000, 900_000
FRAMES_PER_DAY = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """What is rendered of each town.

    Attributes:
        size_m: side of the town.
        gsd_m: of its orthophotos.
        seasons: orthophotos per town.
        views: camera views from the road per town.
        drone_views: oblique aerial views per town.
        drive: other numbers give other views of the same town.
    """

    size_m: float = 700.0
    gsd_m: float = 0.5
    seasons: int = 2
    views: int = 480
    drone_views: int = 120
    drive: int = 0


def split_seeds(first: int, towns: int, validation_towns: int) -> tuple[range, range]:
    """Seeds of training and of validation towns.

    Args:
        first: seed of the first training town.
        towns: training towns.
        validation_towns: validation towns, from `VALIDATION_SEED`.

    Raises:
        TrainingError: they are negative, overlap or reach the held-out seeds.
    """
    train = range(first, first + towns)
    validation = range(VALIDATION_SEED, VALIDATION_SEED + validation_towns)
    apart = train.stop <= validation.start or validation.stop <= train.start
    if train.start < 0 or train.stop > HELD_OUT_SEED or not apart:
        raise TrainingError(
            f"training seeds {train.start}..{train.stop - 1} must be 0 or more, must not "
            f"touch validation seeds {validation.start}..{validation.stop - 1} nor reach "
            f"{HELD_OUT_SEED}"
        )
    return train, validation


def lane_poses(town: Town, count: int, rng: Rng) -> FloatArray:
    """Poses of vehicles on the road: in their lane, off it by up to 2.5 m, not quite straight.

    One in eight turns off, as at junctions and drives.

    Returns:
        (count, 3).
    """
    roads = town.roads
    length = np.array([r.length_m for r in roads])
    right = 1.0 if town.style.driving_side == "right" else -1.0
    poses = np.empty((count, 3))
    for i in range(count):
        road = roads[int(rng.choice(len(roads), p=length / length.sum()))]
        line = road.centreline_m[:, :2]
        k = int(rng.integers(len(line) - 1))
        step = line[k + 1] - line[k]
        along = road.oneway or rng.random() < 0.5
        yaw = np.arctan2(step[1], step[0]) + (0.0 if along else np.pi)
        lane = 0.0 if road.oneway and road.lanes == 1 else -right * road.width_m / 4
        lateral = lane + rng.uniform(-2.5, 2.5) * (rng.random() < 0.5) + rng.normal(0, 0.4)
        turn = np.radians(rng.normal(0, 2.5) if rng.random() > 0.125 else rng.uniform(-25, 25))
        on_line = np.array([*(line[k] + rng.random() * step), yaw])
        poses[i] = compose(on_line, np.array([0.0, lateral, turn]))
    return poses


def vehicle_matrix(town: Town, pose: FloatArray, rng: Rng) -> FloatArray:
    """`T_world_base` (4, 4) on the terrain; the suspension pitches and rolls by 0.8 degrees."""
    x, y, yaw = pose
    ahead = np.array([np.cos(yaw), np.sin(yaw)])
    left = np.array([-ahead[1], ahead[0]])
    around = np.stack([pose[:2] + 1.5 * ahead, pose[:2] - 1.5 * ahead,
                       pose[:2] + left, pose[:2] - left, pose[:2]])  # fmt: skip
    z = town.height_m(around)
    pitch = -np.arctan2(z[0] - z[1], 3.0) + np.radians(rng.normal(0, 0.8))
    roll = np.arctan2(z[2] - z[3], 2.0) + np.radians(rng.normal(0, 0.8))
    return transform(matrix_from_rpy(roll, pitch, yaw), (x, y, float(z[4])))


def traffic(pose: FloatArray, right: float, rng: Rng) -> list[Mover]:
    """Other vehicles in the way: sometimes one ahead, sometimes some coming the other way.

    Args:
        pose: (3,) of the vehicle that looks.
        right: 1 where one drives on the right, -1 on the left.
        rng: source of randomness.
    """
    offsets = []
    if rng.random() < 0.35:
        offsets.append((rng.uniform(8.0, 30.0), rng.normal(0, 0.4), rng.normal(0, 0.04)))
    for _ in range(int(rng.poisson(0.35))):
        offsets.append((rng.uniform(4.0, 50.0), right * rng.uniform(2.6, 4.2), np.pi))
    others = []
    for offset in offsets:
        x, y, yaw = (float(v) for v in compose(pose, np.array(offset)))
        large = rng.random() < 0.12
        size = (9.0, 2.5, 3.2) if large else (4.4, 1.8, float(rng.uniform(1.4, 2.1)))
        red, green, blue = (int(c) for c in rng.integers(20, 235) + rng.integers(-20, 21, 3))
        colour = (max(0, red), max(0, green), max(0, blue))
        others.append(Mover((x, y, yaw), size, colour))
    return others


def road_view(
    scene: Scene, pose: FloatArray, camera: CameraModel, today: Conditions, rng: Rng
) -> Image:
    """One camera view as the pipeline makes it: mount nearly known, JPEG, reduced."""
    spec = QUERY_SPECS["perspective"]
    error = np.radians(rng.uniform(-1.0, 1.0, 3))
    mount = transform(
        matrix_from_rpy(*error) @ R_BODY_OPTICAL,
        (rng.uniform(0.0, 2.0), rng.normal(0, 0.1), rng.uniform(1.3, 2.0)),
    )
    T_world_camera = vehicle_matrix(scene.town, pose, rng) @ mount
    others = traffic(pose, 1.0 if scene.town.style.driving_side == "right" else -1.0, rng)
    image = render_camera(scene, camera.rays(), T_world_camera, today, rng, others)
    size = spec.width_px, spec.height_px
    reduced = cv2.resize(compress(image, rng, 60), size, interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.uint8)


def road_views(
    town: Town, scenes: Sequence[Scene], count: int, rng: Rng
) -> tuple[Image, FloatArray]:
    """Camera views (count, H, W, 3) and their poses; the day changes every few frames."""
    spec = QUERY_SPECS["perspective"]
    camera = CameraModel.from_hfov(spec.width_px * 3 // 2, spec.height_px * 3 // 2, spec.hfov_deg)
    poses = lane_poses(town, count, rng)
    images = np.empty((count, spec.height_px, spec.width_px, 3), np.uint8)
    for i, pose in enumerate(poses):
        if i % FRAMES_PER_DAY == 0:
            today = sample_conditions(rng, "drive", True)
        images[i] = road_view(scenes[i % len(scenes)], pose, camera, today, rng)
    return images, poses


def drone_views(
    town: Town, scenes: Sequence[Scene], count: int, rng: Rng
) -> tuple[Image, Mask, FloatArray]:
    """Overhead patches (count, S, S, 3) from drones, their masks and anchors (patch centres)."""
    spec = QUERY_SPECS["ground_plane"]
    images: list[Image] = []
    masks: list[Mask] = []
    anchors: list[FloatArray] = []
    half = 0.5 * town.size_m
    today = sample_conditions(rng, "drive", True)
    while len(images) < count:
        if len(images) % FRAMES_PER_DAY == 0:
            today = sample_conditions(rng, "drive", True)
        pose = np.array([*rng.uniform(-0.9 * half, 0.9 * half, 2), rng.uniform(-np.pi, np.pi)])
        made = _drone_view(scenes[len(images) % len(scenes)], pose, spec, today, rng)
        if made is None or np.abs(made[2][:2]).max() > half - 0.4 * spec.extent_m:
            continue
        images.append(made[0])
        masks.append(made[1])
        anchors.append(made[2])
    return np.stack(images), np.stack(masks), np.stack(anchors)


def _drone_view(
    scene: Scene, pose: FloatArray, spec: QuerySpec, today: Conditions, rng: Rng
) -> tuple[Image, Mask, FloatArray] | None:
    height, pitch = np.exp(rng.uniform(np.log(40.0), np.log(150.0))), rng.uniform(30.0, 90.0)
    hfov, aspect = rng.uniform(60.0, 90.0), rng.choice([9 / 16, 3 / 4])
    camera = CameraModel.from_hfov(256, int(256 * aspect), hfov)
    true = mount_from_pitch(0.0, pitch, rng.normal(0, 1.0), rng.normal(0, 1.0))
    z = float(scene.town.height_m(pose[None, :2])[0]) + height
    T_world_base = transform(matrix_from_rpy(0.0, 0.0, pose[2]), (pose[0], pose[1], z))
    image = render_camera(scene, camera.rays(), T_world_base @ true, today, rng)
    fill = (255 * MEAN[0], 255 * MEAN[1], 255 * MEAN[2])
    known = mount_from_pitch(0.0, pitch + rng.normal(0, 1.5))
    try:
        view = GroundPlaneView(camera, known, spec, fill).build(
            image, float(height * np.exp(rng.normal(0, 0.05)))
        )
    except CameraError:
        return None
    if view.mask.mean() < 0.3:
        return None
    return view.image, view.mask, compose(pose, view.anchor)


def _seasons(town: Town, config: WorldConfig, rng: Rng) -> list[Ortho]:
    """The town from above: first as delivered, with every fault, then exact in other seasons.

    Only the first can be misplaced (up to 1.5 m, as in use), so that labels stay sharp.
    """
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "town.tif"
        make_imagery(town, path, config.gsd_m, True, town.seed * 10)
        orthos = [read_ortho(path, town.frame.crs)]
    half = 0.5 * town.size_m + 60.0
    side = int(np.ceil(2 * half / config.gsd_m))
    for i in range(1, config.seasons):
        scene = build_scene(town, "satellite", town.seed * 10 + i)
        light = sample_conditions(rng, "satellite", True)
        image = render_ortho(scene, -half, -half, side, side, config.gsd_m, light, rng)
        top = -half + side * config.gsd_m
        orthos.append(Ortho(image, -half, top, config.gsd_m))
    return orthos


def render_town(seed: int, config: WorldConfig, folder: Path, bench: bool = False) -> Path:
    """Render one town into a shard, unless it is there already.

    Args:
        seed: of the town; its regional style is `seed` modulo the number of styles.
        config: what to render.
        folder: parent of the shard.
        bench: whether this is the held-out benchmark.

    Raises:
        TrainingError: a seed of the held-out benchmark, for anything else.
    """
    if seed >= HELD_OUT_SEED and not bench:
        raise TrainingError(f"seed {seed} is held out; train and validate below {HELD_OUT_SEED}")
    shard = folder / f"town_{seed:06d}"
    if shard.exists():
        return shard
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 31, config.drive] if config.drive else [seed, 31])
    style = list(STYLES)[seed % len(STYLES)]
    town = make_town(seed, style, config.size_m)
    orthos = _seasons(town, config, rng)
    scenes = [build_scene(town, "drive", seed * 10 + i) for i in range(2)]
    views, poses = road_views(town, scenes, config.views, rng)
    drone, masks, drone_poses = drone_views(town, scenes, config.drone_views, rng)
    anchors = road_anchors([r.centreline_m for r in town.roads], 1.5)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "perspective": views, "perspective_poses": poses, "oblique": drone,
        "oblique_masks": masks, "oblique_poses": drone_poses, "anchors": anchors,
        "layout": layout_raster(scenes[0]),
    }  # fmt: skip
    write_shard(shard, {"seed": seed, "style": style}, orthos, arrays)
    return shard


def render_towns(
    seeds: Iterable[int], config: WorldConfig, folder: Path, workers: int
) -> list[Path]:
    """Render towns in parallel; finished shards are kept between runs.

    Raises:
        TrainingError: a town cannot be rendered; the others are given up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(seeds)
    missing = [s for s in wanted if not (folder / f"town_{s:06d}").exists()]
    calls = {f"town {seed}": (seed, config, folder) for seed in missing}
    for_each_town(render_town, calls, workers, "rendered")
    return [folder / f"town_{s:06d}" for s in wanted]


def render_split(
    train: range, validation: range, config: WorldConfig, folder: Path, workers: int
) -> tuple[list[Path], list[Path]]:
    """`render_towns` of training and validation seeds; returns the shards of each.

    Raises:
        TrainingError: a town cannot be rendered.
    """
    paths = render_towns([*validation, *train], config, folder, workers)
    return paths[len(validation) :], paths[: len(validation)]


def for_each_town(
    work: Callable[..., object], calls: Mapping[str, tuple[Any, ...]], workers: int, done: str
) -> None:
    """Call a function for towns, in parallel.

    Args:
        work: keeps what it makes; importable by its name.
        calls: name of a town -> arguments.
        workers: processes.
        done: what a town is then.

    Raises:
        TrainingError: a call failed; the others are given up.
    """
    if not calls:
        return
    with (
        submitted(work, calls.values(), min(workers, len(calls))) as jobs,
        tqdm(total=len(jobs), desc=f"towns {done}", unit="town") as bar,
    ):
        names = dict(zip(jobs, calls, strict=True))
        for job in as_completed(jobs):
            try:
                job.result()
            except Exception as error:  # whatever a worker died of
                raise TrainingError(
                    f"{names[job]} cannot be {done}: {type(error).__name__}: "
                    f"{first_line(error)}; finished towns are kept, so the same command goes on "
                    "from here"
                ) from error
            bar.update(1)
