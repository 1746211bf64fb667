# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of made towns with the true answers to all questions, for the vision-language model.

The pictures are those of the encoders' training: the camera views of a shard, and satellite crops
cut as the index of the perspective encoders cuts them. What is true at each pose is worked out
once per shard and kept beside it, as small arrays.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.se2 import compose
from geoloc_ros.synthetic import scene_truth
from geoloc_ros.synthetic.scene_truth import SceneTruth
from geoloc_ros.synthetic.town import make_town
from geoloc_ros.training import augment
from geoloc_ros.training.data import Shard, read_shard
from geoloc_ros.training.layout import QUERY_COLUMNS, LayoutLesson
from geoloc_ros.training.nets import MEAN, QUERY_SPECS, REFERENCE_SPECS
from geoloc_ros.training.posed_pairs import WIDE
from geoloc_ros.training.raster import Ortho, cut
from geoloc_ros.training.vlm_lessons import MAP_PX
from geoloc_ros.training.worlds import for_each_town
from geoloc_ros.vlm.mirror import counterparts
from geoloc_ros.vlm.pictures import square
from geoloc_ros.vlm.questions import VIEWS, QuestionSet

LOG = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Answers = npt.NDArray[np.int8]
Image = npt.NDArray[np.uint8]

GROUND, SATELLITE = range(len(VIEWS))
UNASKED = -1
#: how far a crop is moved while training, well within what changes an answer: m, m, rad
_MOVED = (0.5, 0.5, float(np.radians(1.5)))
_TURNED_DEG = 1.5


@dataclass(frozen=True)
class Truth:
    """What is true in one town.

    Attributes:
        ground: (N, Q) number of the right option at each camera view; `UNASKED` where the
            question is not asked of that view.
        poses: (M, 3) anchors of satellite crops.
        satellite: (M, Q) the same for these.
    """

    ground: Answers
    poses: FloatArray
    satellite: Answers


def crop_poses(shard: Shard) -> FloatArray:
    """Anchors of crops (2 N, 3): one near each camera view, as many scattered along the roads."""
    rng = np.random.default_rng([shard.seed, 57])
    count = len(shard.poses)
    near = compose(shard.poses, rng.uniform(-1.0, 1.0, (count, 3)) * WIDE["perspective"].right)
    rows = rng.choice(len(shard.anchors), count, replace=count > len(shard.anchors))
    return np.concatenate([near, shard.anchors[np.sort(rows)]])


def truth_path(folder: Path, questions: QuestionSet) -> Path:
    """Where a shard's truth is kept, by the questions and the code that answers them."""
    code = sorted(Path(str(scene_truth.__file__)).parent.glob("scene_*.py"))
    parts = [questions.sha256.encode(), *(path.read_bytes() for path in code)]
    return folder / f"answers_{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.npz"


def find_truth(folder: Path, questions: QuestionSet, size_m: float) -> Truth:
    """The truth of a shard, from beside it or worked out and put there.

    Args:
        folder: the shard.
        questions: what is asked.
        size_m: side of the town.

    Raises:
        TrainingError: the shard cannot be used.
    """
    path = truth_path(folder, questions)
    if path.exists():
        try:
            with np.load(path) as kept:
                return Truth(kept["ground"], kept["poses"], kept["satellite"])
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{path} is unusable ({error}); delete it") from error
    shard = read_shard(folder, "perspective")
    scene = SceneTruth(make_town(shard.seed, shard.style, size_m))
    poses = crop_poses(shard)
    truth = Truth(
        _answers(scene, shard.poses, VIEWS[GROUND], questions),
        poses,
        _answers(scene, poses, VIEWS[SATELLITE], questions),
    )
    write_truth(path, truth)
    return truth


def write_truth(path: Path, truth: Truth) -> None:
    """Keep the truth of a shard; the file appears only when it is complete."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(
            file, ground=truth.ground, poses=truth.poses, satellite=truth.satellite
        )
    part.replace(path)


def _answers(scene: SceneTruth, poses: FloatArray, view: str, questions: QuestionSet) -> Answers:
    out = np.full((len(poses), len(questions.questions)), UNASKED, np.int8)
    for row, pose in zip(out, poses, strict=True):
        found = scene.answers(pose, view)
        for i, question in enumerate(questions.questions):
            if view in question.views:
                row[i] = question.index(found[question.id])
    return out


def find_truths(
    folders: Iterable[Path], questions: QuestionSet, size_m: float, workers: int
) -> list[Truth]:
    """`find_truth` of many shards, in parallel.

    Raises:
        TrainingError: a shard cannot be used.
    """
    folders = list(folders)
    missing = [folder for folder in folders if not truth_path(folder, questions).exists()]
    calls = {folder.name: (folder, questions, size_m) for folder in missing}
    for_each_town(find_truth, calls, workers, "answered for")
    return [find_truth(folder, questions, size_m) for folder in folders]


class Mirror:
    """True answers of mirrored pictures; see `vlm.mirror`."""

    def __init__(self, questions: QuestionSet) -> None:
        """Work out which question and which option stands for which.

        Raises:
            ConfigError: a question about one side lacks its counterpart, or an option does.
        """
        items = questions.questions
        place = {question.id: i for i, question in enumerate(items)}
        most = max(len(question.options) for question in items)
        self._source = np.arange(len(items))
        self._option = np.full((len(items), most + 1), UNASKED, np.int64)
        for name, pair in counterparts(questions).items():
            i = place[name]
            self._source[i] = place[pair.question.id]
            self._option[i, : len(pair.options)] = pair.options

    def __call__(self, answers: npt.NDArray[np.integer]) -> IntArray:
        """Answers (N, Q) as they are in the mirrored world; `UNASKED` stays."""
        taken = answers[:, self._source]
        return np.asarray(self._option[np.arange(len(self._source)), taken])


@dataclass(frozen=True)
class VlmBatch:
    """One step's pictures, the camera's before the satellite's.

    Attributes:
        images: (B, S, S, 3).
        answers: (B, Q) true options, `UNASKED` where not asked.
        ahead: (G, BINS, columns, classes) shares of what stands where, of the camera views.
        below: (B - G, MAP_PX, MAP_PX) class of what lies where in the crops.
        views: (G, 96, 192, 3) the camera views before they were squeezed.
        crops: (B - G, 144, 144, 3) the crops before they were.
    """

    images: Image
    answers: IntArray
    ahead: Float32Array
    below: IntArray
    views: Image
    crops: Image


class VlmData:
    """Pictures of many towns; rows below `views` are camera views, the others crops.

    Attributes:
        views: camera views.
        crops: satellite crops.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        truths: Sequence[Truth],
        questions: QuestionSet,
        image_px: int,
    ) -> None:
        """Join towns.

        Raises:
            TrainingError: there are none.
        """
        if not shards:
            raise TrainingError("no shards; render towns first (--towns must be at least 1)")
        self._shards, self._image_px = list(shards), image_px
        self._spec = REFERENCE_SPECS["perspective"]
        self._mirror = Mirror(questions)
        self.views = sum(len(s.poses) for s in shards)
        self.crops = sum(len(t.poses) for t in truths)
        self._poses = np.concatenate([*(s.poses for s in shards), *(t.poses for t in truths)])
        self.answers = np.concatenate(
            [*(t.ground for t in truths), *(t.satellite for t in truths)]
        )
        counts = [[len(s.poses) for s in shards], [len(t.poses) for t in truths]]
        town = np.arange(len(shards))
        self.towns = np.concatenate([np.repeat(town, n) for n in counts])
        self._first = np.concatenate([[0], np.cumsum(counts[0])])
        self._lesson = LayoutLesson(
            [s.layout for s in shards], QUERY_SPECS["perspective"], self._spec
        )
        self._maps = [_class_map(s) for s in shards]

    def epoch(self, batch: int, rng: np.random.Generator) -> list[IntArray]:
        """Rows of each batch of one epoch: every camera view once, as many crops."""
        half = batch // 2
        views = rng.permutation(self.views)
        crops = self.views + rng.permutation(self.crops)[: self.views]
        count = min(len(views), len(crops)) // half
        return [
            np.concatenate([part[i * half : (i + 1) * half] for part in (views, crops)])
            for i in range(count)
        ]

    def pictures(self, rows: IntArray) -> Image:
        """Unchanged pictures (N, S, S, 3) of rows."""
        ground = rows < self.views
        out = np.empty((len(rows), self._image_px, self._image_px, 3), np.uint8)
        for k, row in enumerate(rows):
            image = self._view(row) if ground[k] else self._crop(self._poses[row], row, 0, False)
            out[k] = square(image, self._image_px)
        return out

    def batch(self, rows: IntArray, rng: np.random.Generator) -> VlmBatch:
        """Pictures as training sees them: moved a little, other colours, half of them mirrored.

        Args:
            rows: camera views, then crops.
            rng: source of randomness.
        """
        answers = self.answers[rows].astype(np.int64)
        flip = rng.random(len(rows)) < 0.5
        answers[flip] = self._mirror(answers[flip])
        views = int((rows < self.views).sum())
        ground, turn = augment.look_around(
            np.stack([self._view(row) for row in rows[:views]]),
            QUERY_SPECS["perspective"], augment.fill_colour(MEAN), rng, 0.7, _TURNED_DEG,
        )  # fmt: skip
        true = self._poses[rows]
        true[:views, 2] += turn
        true[views:] = compose(true[views:], rng.uniform(-1, 1, (len(rows) - views, 3)) * _MOVED)
        images = [
            np.ascontiguousarray(v[:, ::-1]) if f else v
            for v, f in zip(ground, flip, strict=False)
        ]
        below, ahead = [], []
        for pose, row, mirrored in zip(true, rows, flip, strict=True):
            if row < self.views:
                town = self.towns[row : row + 1]
                ahead.append(self._lesson(pose[None], town, bool(mirrored), QUERY_COLUMNS)[0])
                continue
            season = int(rng.integers(len(self._shards[self.towns[row]].orthos)))
            images.append(self._crop(pose, row, season, bool(mirrored)))
            below.append(self._map(pose, int(self.towns[row]), bool(mirrored)))
        images = [_recoloured(image, rng) for image in images]
        return VlmBatch(
            np.stack([square(image, self._image_px) for image in images]),
            answers, np.stack(ahead), np.stack(below),
            np.stack(images[:views]), np.stack(images[views:]),
        )  # fmt: skip

    def _view(self, row: int) -> Image:
        town = int(self.towns[row])
        return np.asarray(self._shards[town].images[row - self._first[town]])

    def _crop(self, pose: FloatArray, row: int, season: int, mirrored: bool) -> Image:
        ortho = self._shards[int(self.towns[row])].orthos[season]
        return np.asarray(cut(ortho, pose[None], self._spec, np.array([mirrored]))[0])

    def _map(self, pose: FloatArray, town: int, mirrored: bool) -> IntArray:
        """Class of each cell (MAP_PX, MAP_PX) of a crop."""
        spec = self._spec
        raster = self._maps[town]
        res = spec.extent_m / MAP_PX
        middle = (MAP_PX - 1) / 2
        ahead = spec.offset_forward_m + (middle - np.arange(MAP_PX))[:, None] * res
        left = (middle - np.arange(MAP_PX))[None] * (-res if mirrored else res)
        cos, sin = np.cos(pose[2]), np.sin(pose[2])
        column = (pose[0] + cos * ahead - sin * left - raster.left_m) / raster.gsd_m
        row = (raster.top_m - pose[1] - sin * ahead - cos * left) / raster.gsd_m
        last = len(raster.image) - 1
        found = raster.image[
            np.clip(row, 0, last).astype(np.int64), np.clip(column, 0, last).astype(np.int64)
        ]
        return np.asarray(found, np.int64)


def _class_map(shard: Shard) -> Ortho:
    """The layout of a shard, north up."""
    half = 0.5 * len(shard.layout)
    return Ortho(np.ascontiguousarray(shard.layout[::-1]), -half, half, 1.0)


def _recoloured(image: Image, rng: np.random.Generator) -> Image:
    """Other light and another sensor, but colours that can be told still."""
    out = augment.recolour(image, rng, 0.4)
    return augment.sensor(out, rng, 0.4) if rng.random() < 0.2 else out
