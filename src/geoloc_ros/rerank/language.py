# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Candidates in the order that image and description together suggest, or left alone.

After GeoVLM (arXiv 2505.13669): what a vision-language model says of the camera image is compared
with what it said of each candidate's tile, offline. It may only reorder, and say by a bounded
factor how much more likely each candidate became; where it is not sure to help, it abstains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, Float32Array
from geoloc_ros.encoders.onnx_backend import open_session
from geoloc_ros.errors import ModelError, first_line
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.rerank.package import ONNX, RerankerPackage
from geoloc_ros.rerank.text import sentences
from geoloc_ros.vlm.answerer import Reply
from geoloc_ros.vlm.questions import QuestionSet, load_questions
from geoloc_ros.vlm.vectors import vector

INPUTS = ("query_descriptor", "query_text", "similarity", "descriptors", "texts")
OUTPUTS = ("score", "confidence")
#: a scene is what the vehicle still sees while it drives on by so much
SCENE_REACH_M = 8.0
#: log of how much more or less likely an answer may make a candidate
MOST_FACTOR = float(np.log(5.0))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reranker thinks of a list of candidates.

    Attributes:
        score: (K,), higher is better.
        confidence: that its order is better than the old one, 0..1.
        order: (K,) positions in the old list, best first; 0, 1, 2 ... where it abstains.
        log_factor: (K,) of each old position: how much more likely, within `MOST_FACTOR`; zeros
            where it abstains.
    """

    score: Float32Array
    confidence: float
    order: npt.NDArray[np.int64]
    log_factor: Float32Array

    @property
    def abstains(self) -> bool:
        """Whether the order is left alone."""
        return not self.log_factor.any()


class LanguageReranker:
    """Remembers the latest scene and orders the candidates that are retrieved where it was seen.

    Args:
        package: a verified reranker.
        manifest: of the index whose candidates it will be given; None: only `judge` is asked.
        threads: of its session.

    Raises:
        ModelError: the reranker does not fit the index or the questions of this version.
    """

    def __init__(
        self, package: RerankerPackage, manifest: Manifest | None = None, threads: int = 1
    ) -> None:
        if manifest is not None:
            package.check(manifest)
        self.package = package
        self._questions = _questions_of(package)
        self._embedder = package.embedder()
        self._session = open_session(package.root / ONNX, threads, INPUTS, OUTPUTS)
        self._scene: tuple[Float32Array, float] | None = None

    def hear(self, reply: Reply, at_m: float) -> None:
        """Take what was said of a picture.

        Args:
            reply: its answers; one without any usable answer makes no scene.
            at_m: distance driven when the picture was taken.
        """
        said = vector(reply, self._questions)
        self._scene = (said, at_m) if said.any() else None

    def rerank(
        self, index: PlaceIndex, descriptor: Float32Array, found: Candidates, at_m: float
    ) -> Candidates:
        """Reorder the first candidates by the latest scene, if it was seen from about here.

        Args:
            index: they come from.
            descriptor: (D,) of the camera image.
            found: candidates, best first.
            at_m: distance driven when that image was taken.

        Returns:
            The same candidates. Where the scene is too old, is unknown, or does not help, the same
            object. A candidate whose tile nobody described keeps its rank.
        """
        if self._scene is None or abs(at_m - self._scene[1]) > SCENE_REACH_M:
            return found
        head = found.entry_ids[: self.package.top]
        descriptions = index.descriptions(head)
        if descriptions is None or not self._knows(index.manifest):
            return found
        said = np.flatnonzero(descriptions.any(axis=1))
        verdict = self.judge(
            descriptor,
            self._scene[0],
            found.similarity[said],
            index.vectors(head[said]),
            descriptions[said],
        )
        if verdict.abstains:
            return found
        order = np.arange(len(found))
        order[said] = said[verdict.order]
        factor = np.zeros(len(found))
        factor[said] = verdict.log_factor
        return replace(
            found,
            entry_ids=found.entry_ids[order],
            poses=found.poses[order],
            similarity=found.similarity[order],
            log_factor=factor[order],
        )

    def _knows(self, manifest: Manifest) -> bool:
        """Whether an index that was swapped in is described by the model the reranker knows."""
        said = manifest.descriptions
        known = (self.package.vlm_sha256, self.package.questions_sha256)
        return said is not None and (said.vlm_sha256, said.questions_sha256) == known

    def judge(
        self,
        descriptor: Float32Array,
        answers: Float32Array,
        similarity: Float32Array,
        descriptors: Float32Array,
        descriptions: Float32Array,
    ) -> Verdict:
        """Score candidates.

        Args:
            descriptor: (D,) of the query.
            answers: (T,) about the query; all zeros if there are none.
            similarity: (K,) of the candidates, best first.
            descriptors: (K, D).
            descriptions: (K, T).

        Returns:
            The verdict; it abstains if there are fewer than two candidates, no answers, or the
            model gives no finite numbers.
        """
        count = len(similarity)
        if count < 2 or not answers.any():
            return _abstention(count)
        inputs = {
            "query_descriptor": descriptor[None],
            "query_text": self._text(answers[None]),
            "similarity": similarity[None],
            "descriptors": descriptors[None],
            "texts": self._text(descriptions)[None],
        }
        try:
            score, confidence = self._session.run(
                list(OUTPUTS), {k: np.asarray(v, dtype=np.float32) for k, v in inputs.items()}
            )
        except Exception as error:  # onnxruntime's errors share no public base
            raise ModelError(
                f"{self.package.root / ONNX} failed: {first_line(error)}; train it again"
            ) from error
        scores, sure = np.asarray(score[0], dtype=np.float32), float(confidence[0])
        if not np.isfinite(scores).all() or not sure >= self.package.threshold:
            return replace(_abstention(count), confidence=sure if np.isfinite(sure) else 0.0)
        after = _log_softmax(scores / self.package.temperature)
        before = _log_softmax(similarity / self.package.similarity_temperature)
        factor = np.clip(after - before, -MOST_FACTOR, MOST_FACTOR)
        order = np.argsort(-scores, kind="stable")
        return Verdict(scores, sure, order, factor.astype(np.float32))

    def _text(self, answers: Float32Array) -> Float32Array:
        """What the model is told of answers (N, T): themselves, or their sentences' embeddings."""
        if self._embedder is None:
            return answers
        return self._embedder([sentences(row, self._questions) for row in answers])


def _abstention(count: int) -> Verdict:
    zeros = np.zeros(count, dtype=np.float32)
    return Verdict(zeros, 0.0, np.arange(count), zeros)


def _log_softmax(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    shifted = np.asarray(values, dtype=np.float64) - float(np.max(values))
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _questions_of(package: RerankerPackage) -> QuestionSet:
    """The questions of this version, if they are those the reranker knows.

    Raises:
        ModelError: they are others.
    """
    questions = load_questions()
    if questions.sha256 != package.questions_sha256:
        raise ModelError(
            f"reranker {package.name} knows questions version {package.questions_version} "
            f"({package.questions_sha256[:12]}), this version asks {questions.version} "
            f"({questions.sha256[:12]}); train it again: geoloc train reranker"
        )
    return questions
