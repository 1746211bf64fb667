# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Candidates in the order that image and description together suggest, or left alone.

After GeoVLM (arXiv 2505.13669): what a vision-language model says of the camera image is compared
with what it said of each candidate's tile, offline. Where the model is not sure to help, it
abstains, and the order is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray
from geoloc_ros.encoders.onnx_backend import open_session
from geoloc_ros.errors import ModelError, first_line
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.rerank.package import ONNX, RerankerPackage, find_reranker
from geoloc_ros.rerank.text import sentences
from geoloc_ros.vlm.answerer import Reply
from geoloc_ros.vlm.questions import QuestionSet, load_questions
from geoloc_ros.vlm.vectors import vector

INPUTS = ("query_descriptor", "query_text", "similarity", "descriptors", "texts")
OUTPUTS = ("score", "confidence")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reranker thinks of a list of candidates.

    Attributes:
        confidence: that its order is better than the old one, 0..1.
        abstains: whether the order is left alone.
        order: (K,) positions in the old list, best first; 0, 1, 2 ... where it abstains.
        chance: (K,) of each old position to be the right place, if one of them is; zeros where it
            abstains, and for candidates it does not look at.
    """

    confidence: float
    abstains: bool
    order: npt.NDArray[np.int64]
    chance: FloatArray


class LanguageReranker:
    """Compares what was said of a camera image with what was said of the candidates' tiles.

    Attributes:
        package: what it is and what it knows.
        questions: that it knows answers to.

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
        self.questions = _questions_of(package)
        self._embedder = package.embedder()
        self._session = open_session(package.root / ONNX, threads, INPUTS, OUTPUTS)
        self._asks_for = {item.name for item in self._session.get_inputs()}

    def rerank(
        self, index: PlaceIndex, descriptor: Float32Array, reply: Reply, found: Candidates
    ) -> Verdict:
        """Order the first candidates by what was said of the image they were retrieved for.

        A candidate whose tile nobody described keeps its rank, as do those beyond the first.

        Args:
            index: they come from.
            descriptor: (D,) of the camera image.
            reply: what was said of it.
            found: candidates, best first.

        Returns:
            The verdict. It abstains where there are no descriptions of the model it knows, no
            usable answers, or where it is not sure to help.
        """
        head = found.entry_ids[: self.package.top]
        descriptions = index.descriptions(head)
        if descriptions is None or not self._knows(index.manifest):
            return _abstention(len(found))
        said = np.flatnonzero(descriptions.any(axis=1))
        verdict = self.judge(
            descriptor,
            vector(reply, self.questions),
            found.similarity[said],
            index.vectors(head[said]),
            descriptions[said],
        )
        order, chance = np.arange(len(found)), np.zeros(len(found))
        order[said], chance[said] = said[verdict.order], verdict.chance
        return Verdict(verdict.confidence, verdict.abstains, order, chance)

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
                list(OUTPUTS),
                {k: np.asarray(inputs[k], dtype=np.float32) for k in self._asks_for},
            )
        except Exception as error:  # onnxruntime's errors share no public base
            raise ModelError(
                f"{self.package.root / ONNX} failed: {first_line(error)}; train it again"
            ) from error
        scores, sure = np.asarray(score[0], dtype=np.float32), float(confidence[0])
        if not np.isfinite(scores).all() or not sure >= self.package.threshold:
            return replace(_abstention(count), confidence=sure if np.isfinite(sure) else 0.0)
        chance = np.exp((scores.astype(np.float64) - scores.max()) / self.package.temperature)
        order = np.argsort(-scores, kind="stable")
        return Verdict(sure, False, order, chance / chance.sum())

    def _text(self, answers: Float32Array) -> Float32Array:
        """What the model is told of answers (N, T): themselves, or their sentences' embeddings."""
        if self._embedder is None:
            return answers
        return self._embedder([sentences(row, self.questions) for row in answers])


def reranker_for(name: str, manifest: Manifest) -> LanguageReranker | None:
    """The reranker of a name, ready for an index; None for an empty name.

    Raises:
        ModelError: there is none, it was altered, or it does not fit the index.
    """
    return LanguageReranker(find_reranker(name), manifest) if name else None


def _abstention(count: int) -> Verdict:
    return Verdict(0.0, True, np.arange(count), np.zeros(count))


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
