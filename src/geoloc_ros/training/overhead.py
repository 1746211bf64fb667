# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of overhead patches: real aerial photos seen twice, and made towns seen from a drone.

An aerial photo serves as a pseudo-orthophoto of unknown scale; both sides of a pair are cut from
it and then changed independently and strongly (`augment.strong`), the query side also
geometrically and by the mask of an oblique camera. Made towns add what photos cannot: true
parallax, other seasons, other years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.se2 import compose, wrap_angle
from geoloc_ros.training import augment
from geoloc_ros.training.config import TrainConfig
from geoloc_ros.training.data import Batch, Shard
from geoloc_ros.training.draws import Draws, Part
from geoloc_ros.training.posed_pairs import NARROW, WIDE
from geoloc_ros.training.raster import Ortho, cut
from geoloc_ros.training.sampling import too_near

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Rng = np.random.Generator

HELD_OUT_SITES = ("garfield", "brighton_beach")
SAME_PLACE_M = 9.0
SAME_HEADING_DEG = 15.0
_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif"}


@dataclass(frozen=True)
class Photo:
    """An aerial photo taken for an orthophoto.

    Attributes:
        site: where it was taken; photos of one site may overlap.
        image: (H, W, 3).
    """

    site: str
    image: Image


def read_photos(folder: Path, sites: Sequence[str] | None = None) -> list[Photo]:
    """Read `folder/SITE/*.jpg`.

    Args:
        folder: one sub-folder per site.
        sites: which sites; all but `HELD_OUT_SITES` if None.

    Raises:
        TrainingError: a picture cannot be decoded.
    """
    photos = []
    for site in sorted(p.name for p in folder.iterdir() if p.is_dir()):
        if site not in sites if sites is not None else site in HELD_OUT_SITES:
            continue
        for path in sorted((folder / site).iterdir()):
            if path.suffix.lower() not in _SUFFIXES:
                continue
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise TrainingError(f"{path} is no picture; remove it or name another --aerial")
            photos.append(Photo(site, np.ascontiguousarray(image[:, :, ::-1])))
    return photos


def photo_ortho(photo: Photo, extent_m: float, rng: Rng) -> Ortho:
    """A photo as an orthophoto whose patch of `extent_m` takes a random 260-640 pixels.

    Reduced beforehand, so that a patch of 112 pixels is cut without aliasing.
    """
    side = float(np.exp(rng.uniform(np.log(260.0), np.log(640.0))))
    scale = min(1.0, 200.0 / side)
    small = cv2.resize(photo.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gsd = extent_m / (side * scale)
    return Ortho(np.asarray(small, np.uint8), 0.0, gsd * small.shape[0], gsd)


def cluster_poses(ortho: Ortho, extent_m: float, count: int, rng: Rng) -> FloatArray:
    """Poses near one another inside an orthophoto: overlapping, but none the same, (count, 3)."""
    height, width = np.array(ortho.image.shape[:2]) * ortho.gsd_m
    low = np.array([ortho.left_m, ortho.top_m - height]) + 0.42 * extent_m
    high = np.array([ortho.left_m + width, ortho.top_m]) - 0.42 * extent_m
    high = np.maximum(high, low + 1.0)
    centre, yaw = rng.uniform(low, high), rng.uniform(-np.pi, np.pi)
    poses = np.empty((0, 3))
    town = np.zeros(1, np.int64)
    for attempt in range(20 * count):
        spread = 0.35 * extent_m if attempt < 10 * count else 2.0 * extent_m
        xy = np.clip(centre + rng.normal(0, spread, 2), low, high)
        turn = rng.normal(0, 0.4) if rng.random() < 0.5 else rng.uniform(-np.pi, np.pi)
        pose = np.array([[*xy, wrap_angle(yaw + turn)]])
        towns = np.zeros(len(poses), np.int64)
        if not too_near(pose, poses, town, towns, SAME_PLACE_M, SAME_HEADING_DEG).any():
            poses = np.concatenate([poses, pose])
        if len(poses) == count:
            return poses
    more = np.tile(poses[-1:], (count - len(poses), 1))
    return np.concatenate([poses, more])


def distort(image: Image, rng: Rng) -> Image:
    """What is left of a patch's geometry: scale, perspective, shift, and relief's local shifts."""
    size = image.shape[0]
    angle, scale = rng.uniform(-6, 6), np.exp(rng.normal(0, 0.06))
    middle = (size - 1) / 2
    affine = np.array(cv2.getRotationMatrix2D((middle, middle), float(angle), float(scale)))
    noise = np.concatenate(
        [rng.normal(0, 0.02, (2, 2)), rng.normal(0, 0.02 * size, (2, 1))], axis=1
    )
    affine = affine + noise
    matrix = np.vstack([affine, [*rng.normal(0, 0.08 / size, 2), 1.0]])
    matrix[:2, 2] -= matrix[2, :2].sum() * size / 2
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    where = cv2.perspectiveTransform(grid, matrix)
    if rng.random() < 0.6:
        cells = int(rng.integers(4, 12))
        coarse = rng.normal(0, rng.uniform(0.3, 1.6), (cells, cells, 2)).astype(np.float32)
        where = where + cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    x, y = np.ascontiguousarray(np.moveaxis(where, -1, 0), dtype=np.float32)
    out = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(out, np.uint8)


class MaskBank:
    """Masks of patches as oblique cameras see them, drawn from those of rendered drone views."""

    def __init__(self, masks: Sequence[Mask]) -> None:
        """Keep masks (N, S, S) of several towns.

        Raises:
            TrainingError: there are none.
        """
        if not masks or not sum(len(m) for m in masks):
            raise TrainingError("no rendered drone views to take masks from; render towns first")
        self._masks = np.concatenate(masks)

    def apply(self, image: Image, rng: Rng, fill: tuple[int, int, int]) -> Image:
        """Hide what a random oblique camera would not have seen."""
        out: Image = image.copy()
        out[~self._masks[int(rng.integers(len(self._masks)))]] = fill
        return out


@dataclass(frozen=True)
class ClusterPlan:
    """Where one cluster of a batch comes from.

    Attributes:
        origin: photo, ortho (two seasons of a town) or drone (rendered view of a town).
        number: of the photo or town.
        rows: images of the town, for drone.
    """

    origin: str
    number: int
    rows: IntArray


class OverheadSource:
    """Batches of overhead patches from photos and made towns, made anew every time.

    Attributes:
        photos: real aerial photos, may be empty.
        shards: made towns with rendered drone views.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        shards: Sequence[Shard],
        spec: ReferenceSpec,
        fill: tuple[int, int, int],
        batches: int,
    ) -> None:
        self.photos, self.shards = list(photos), list(shards)
        self.spec, self._fill, self._batches = spec, fill, batches
        self._masks = MaskBank([s.masks for s in shards])
        self._wide = False
        self._sites = sorted({p.site for p in photos})

    def epoch(self, number: int, config: TrainConfig, rng: Rng) -> list[list[ClusterPlan]]:
        """Clusters of each batch: two fifths photos, two fifths drone views, the rest orthos."""
        self._wide = number >= config.wide_from
        clusters = config.batch // config.cluster
        shares = np.array([0.4, 0.2, 0.4]) if self.photos else np.array([0.0, 0.35, 0.65])
        plans = []
        for _ in range(self._batches):
            origins = rng.choice(["photo", "ortho", "drone"], size=clusters, p=shares)
            plans.append([self._plan(str(o), config.cluster, rng) for o in origins])
        return plans

    def _plan(self, origin: str, count: int, rng: Rng) -> ClusterPlan:
        if origin == "photo":
            site = self._sites[int(rng.integers(len(self._sites)))]
            numbers = [i for i, p in enumerate(self.photos) if p.site == site]
            return ClusterPlan(origin, int(rng.choice(numbers)), np.zeros(0, np.int64))
        number = int(rng.integers(len(self.shards)))
        rows = np.zeros(0, np.int64)
        if origin == "drone":
            rows = near_one_another(self.shards[number].poses, count, rng)
        return ClusterPlan(origin, number, rows)

    def make(
        self, plan: list[ClusterPlan], config: TrainConfig, draws: Draws, part: Part
    ) -> Batch:
        """A process's part of one batch; every process makes all of it, then takes its part."""
        rng = draws.batch()
        queries, references, poses, places = [], [], [], []
        for cluster in plan:
            query, reference, pose = self._cluster(cluster, config.cluster, rng)
            queries.append(query)
            references.append(reference)
            poses.append(pose)
            places.append(self._place(cluster))
        group = np.repeat(np.arange(len(plan)), config.cluster)
        ignore = self._ignore(np.concatenate(poses), group, np.repeat(places, config.cluster))
        mine = part.of(len(ignore))
        return Batch(np.concatenate(queries)[mine], np.concatenate(references)[mine], ignore)

    def learned(self, plan: list[ClusterPlan], query: Tensor, reference: Tensor) -> None:
        """Nothing is mined: every pair is new."""

    def state(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""

    def _place(self, cluster: ClusterPlan) -> int:
        """A number shared by clusters that may show the same ground."""
        if cluster.origin == "photo":
            return -1 - self._sites.index(self.photos[cluster.number].site)
        return cluster.number

    def _ignore(self, poses: FloatArray, group: IntArray, place: IntArray) -> Mask:
        """Same ground within a town; unknown overlap between photos of one site."""
        ignore = too_near(poses, poses, place, place, SAME_PLACE_M, SAME_HEADING_DEG)
        photo = place < 0
        same_site = photo[:, None] & (place[:, None] == place[None, :])
        other_photo = group[:, None] != group[None, :]
        ignore = np.where(same_site, other_photo | ignore, ignore)
        np.fill_diagonal(ignore, False)
        return np.asarray(ignore)

    def _cluster(self, plan: ClusterPlan, count: int, rng: Rng) -> tuple[Image, Image, FloatArray]:
        extent, reach = self.spec.extent_m, (WIDE if self._wide else NARROW)["ground_plane"]
        if plan.origin == "photo":
            first = second = photo_ortho(self.photos[plan.number], extent, rng)
            poses = cluster_poses(first, extent, count, rng)
        else:
            orthos = self.shards[plan.number].orthos
            a, b = rng.permutation(len(orthos))[:2] if len(orthos) > 1 else (0, 0)
            first, second = orthos[a], orthos[b]
            drone = plan.origin == "drone"
            known = self.shards[plan.number].poses[plan.rows] if drone else None
            poses = known if known is not None else cluster_poses(first, extent, count, rng)
        jitter = rng.uniform(-1, 1, (count, 3)) * reach.right
        reference = cut(second, compose(poses, jitter), self.spec, fill=self._fill)
        query = self._queries(plan, first, poses, rng)
        reference = np.stack([augment.strong(r, rng) for r in reference])
        return query, reference, poses

    def _queries(self, plan: ClusterPlan, ortho: Ortho, poses: FloatArray, rng: Rng) -> Image:
        if plan.origin == "drone":
            shard = self.shards[plan.number]
            images = np.stack([augment.strong(shard.images[i], rng) for i in plan.rows])
            images[~shard.masks[plan.rows]] = self._fill
            return images
        images = cut(ortho, poses, self.spec, fill=self._fill)
        changed = [augment.strong(distort(image, rng), rng) for image in images]
        return np.stack(
            [self._masks.apply(i, rng, self._fill) if rng.random() < 0.75 else i for i in changed]
        )


def near_one_another(poses: FloatArray, count: int, rng: Rng) -> IntArray:
    """Numbers of `count` images around a random one (repeating if there are too few)."""
    seed = int(rng.integers(len(poses)))
    distance = np.hypot(*(poses[:, :2] - poses[seed, :2]).T)
    nearest = np.argsort(distance)[: 3 * count]
    rest = rng.permutation(nearest[1:])[: count - 1]
    rows = np.concatenate([[seed], rest])
    return np.asarray(np.resize(rows, count), dtype=np.int64)


def validation_pairs(
    photos: Sequence[Photo], masks: MaskBank, spec: ReferenceSpec, fill: tuple[int, int, int],
    count: int, seed: int,
) -> tuple[Image, Image]:  # fmt: skip
    """Fixed pairs of held-out photos: queries (N, S, S, 3) and references (N, S, S, 3).

    Every photo gives clusters of eight neighbours, so the wrong answers overlap the right one.
    """
    rng = np.random.default_rng(seed)
    queries, references = [], []
    for k in range(count // 8):
        ortho = photo_ortho(photos[k % len(photos)], spec.extent_m, rng)
        poses = cluster_poses(ortho, spec.extent_m, 8, rng)
        for image in cut(ortho, poses, spec, fill=fill):
            changed = augment.strong(distort(image, rng), rng)
            queries.append(masks.apply(changed, rng, fill))
            references.append(augment.strong(image, rng))
    return np.stack(queries), np.stack(references)
