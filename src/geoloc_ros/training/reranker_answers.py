# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Who answers the questions about views and places: a model, or the truth made worse at will."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoloc_ros.datatypes import Float32Array, FloatArray, Image
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.index.describe import Describe
from geoloc_ros.index.descriptions import dequantise, quantise, representatives
from geoloc_ros.synthetic.scene_truth import SceneTruth
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.synthetic.town import make_town
from geoloc_ros.training.augment import fill_colour
from geoloc_ros.training.data import Shard, read_shard
from geoloc_ros.training.nets import MEAN
from geoloc_ros.training.raster import cut
from geoloc_ros.training.reranker_lists import Lists
from geoloc_ros.vlm.questions import QuestionSet
from geoloc_ros.vlm.tiles import describer

#: places this close share a description, as the entries of an index do
WITHIN_M, WITHIN_DEG = 4.0, 15.0
BATCH = 8


class AnswerSource(Protocol):
    """Describes the views and places of a town's lists."""

    @property
    def name(self) -> str:
        """Who answers, for people."""

    @property
    def sha256(self) -> str:
        """Identity of who answers."""

    def describe(self, folder: Path, lists: Lists) -> tuple[Float32Array, Float32Array]:
        """Probabilities of all options: (N, T) of the views, (N, K, T) of the places.

        Args:
            folder: the town's shard.
            lists: of that town.
        """


class TruthSource:
    """The made world's truth, wrong now and then: what a model of some accuracy would say.

    A share of the answers is wrong, and then a random other option; every answer carries a
    probability, which right and wrong ones draw from overlapping distributions, as a calibrated
    model's do.

    Args:
        questions: what is asked.
        accuracy: share of right answers.
        size_m: side of the towns.
        seed: of the errors.
    """

    def __init__(
        self, questions: QuestionSet, accuracy: float, size_m: float, seed: int = 1
    ) -> None:
        if not 0.0 <= accuracy <= 1.0:
            raise TrainingError(f"accuracy is {accuracy}; it must lie in [0, 1]")
        self._questions, self._accuracy = questions, accuracy
        self._size_m, self._seed = size_m, seed

    @property
    def name(self) -> str:
        """Who answers, for people."""
        return f"the made world's truth at {100 * self._accuracy:g} % accuracy"

    @property
    def sha256(self) -> str:
        """Identity of who answers."""
        text = f"truth {self._accuracy} {self._size_m} {self._seed} {self._questions.sha256}"
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self, folder: Path, lists: Lists) -> tuple[Float32Array, Float32Array]:
        """See `AnswerSource.describe`."""
        seed = int(lists.town[0])
        kept = folder / f"truth_{self._questions.sha256[:12]}_{_places_sha(lists)}.npz"
        if kept.exists():
            with np.load(kept, allow_pickle=False) as content:
                query, tiles, where = (content[k] for k in ("query", "tiles", "where"))
        else:
            town = make_town(seed, list(STYLES)[seed % len(STYLES)], self._size_m)
            truth = SceneTruth(town)
            query = self._options(truth, lists.poses, "ground")
            poses, where = shared_tiles(lists)
            tiles = self._options(truth, poses, "satellite")
            np.savez(kept, query=query, tiles=tiles, where=where)
        rng = np.random.default_rng([self._seed, seed])
        return self._said(query, rng), self._said(tiles, rng)[where]

    def _options(self, truth: SceneTruth, poses: FloatArray, view: str) -> npt.NDArray[np.int64]:
        """Number of the true option (N, questions) at poses."""
        out = np.empty((len(poses), len(self._questions.questions)), dtype=np.int64)
        for i, pose in enumerate(tqdm(poses, desc=f"truth, {view}", unit="pose", leave=False)):
            said = truth.answers(pose, view)
            out[i] = [question.index(said[question.id]) for question in self._questions.questions]
        return out

    def _said(self, true: npt.NDArray[np.int64], rng: np.random.Generator) -> Float32Array:
        """Probabilities (N, T) that a model of this accuracy gives where an option is true."""
        out = np.zeros((len(true), self._questions.total_options), dtype=np.float32)
        for j, question in enumerate(self._questions.questions):
            count = len(question.options)
            right = rng.random(len(true)) < self._accuracy
            other = (true[:, j] + rng.integers(1, count, len(true))) % count
            chosen = np.where(right, true[:, j], other)
            sure = np.where(right, rng.beta(6.0, 2.0, len(true)), rng.beta(4.0, 3.0, len(true)))
            if self._accuracy == 1.0:
                sure = np.ones(len(true))
            rest = rng.dirichlet(np.ones(count), len(true)) * (1.0 - sure)[:, None]
            rest[np.arange(len(true)), chosen] += sure
            out[:, self._questions.slices[question.id]] = rest
        return out


class ModelSource:
    """A vision-language model that looks at views and tiles; what it said is kept on disk.

    Args:
        model: name of the answerer.
        name: name and version, for people.
        sha256: identity of its files.
        questions: what is asked.
        reference: how tiles are cut.
        cache: folder where answers are kept.
        workers: processes.
    """

    def __init__(
        self,
        model: str,
        name: str,
        sha256: str,
        questions: QuestionSet,
        reference: ReferenceSpec,
        cache: Path,
        workers: int = 1,
    ) -> None:
        self._model, self._name, self._sha256 = model, name, sha256
        self._questions, self._reference = questions, reference
        self._cache, self._workers = cache, workers

    @property
    def name(self) -> str:
        """Who answers, for people."""
        return self._name

    @property
    def sha256(self) -> str:
        """Identity of who answers."""
        return self._sha256

    def describe(self, folder: Path, lists: Lists) -> tuple[Float32Array, Float32Array]:
        """See `AnswerSource.describe`."""
        asked = f"{self._sha256[:12]}_{self._questions.sha256[:12]}_{_places_sha(lists)}"
        kept = self._cache / f"{folder.name}_{asked}.npz"
        if kept.exists():
            with np.load(kept, allow_pickle=False) as content:
                query, tiles, where = (content[k] for k in ("query", "tiles", "where"))
        else:
            shard = read_shard(folder, "perspective")
            poses, where = shared_tiles(lists)
            query = self._ask(_views(shard, lists), len(lists), "ground")
            tiles = self._ask(_tiles(shard, poses, self._reference), len(poses), "satellite")
            self._cache.mkdir(parents=True, exist_ok=True)
            np.savez(kept, query=query, tiles=tiles, where=where)
        return dequantise(query), dequantise(tiles)[where]

    def _ask(self, batches: Iterator[Image], count: int, view: str) -> npt.NDArray[np.uint8]:
        said = []
        with (
            self._describer(view) as describe,
            tqdm(total=count, desc=view, unit="picture", leave=False) as bar,
        ):
            for part in describe(batches):
                said.append(quantise(part))
                bar.update(len(part))
        return np.concatenate(said)

    def _describer(self, view: str) -> AbstractContextManager[Describe]:
        return describer(self._model, self._questions, self._workers, view, self.sha256)


def _views(shard: Shard, lists: Lists) -> Iterator[Image]:
    for i in range(0, len(lists), BATCH):
        yield shard.images[lists.rows[i : i + BATCH]]


def _tiles(shard: Shard, poses: FloatArray, reference: ReferenceSpec) -> Iterator[Image]:
    for i in range(0, len(poses), BATCH):
        yield cut(shard.orthos[0], poses[i : i + BATCH], reference, fill=fill_colour(MEAN))


def shared_tiles(lists: Lists) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Tiles that speak for all places of a town's lists, as in an index.

    Returns:
        Poses (V, 3) of the tiles, and which of them speaks for each place (N, K).
    """
    known, place = np.unique(lists.entries, return_inverse=True)
    poses = np.zeros((len(known), 3))
    poses[place.reshape(-1)] = lists.places.reshape(-1, 3)
    speaker = representatives(poses, WITHIN_M, WITHIN_DEG)
    chosen, row = np.unique(speaker, return_inverse=True)
    return poses[chosen], row[place].reshape(lists.entries.shape)


def _places_sha(lists: Lists) -> str:
    digest = hashlib.sha256(np.round(1000.0 * lists.places).astype("<i8").tobytes())
    digest.update(np.round(1000.0 * lists.poses).astype("<i8").tobytes())
    return digest.hexdigest()[:12]
