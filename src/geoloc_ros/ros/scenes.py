# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which descriptions of scenes are heard: those in known words, of frames that were looked at.

A description comes from another process, seconds after its frame, while clocks may jump. What it
says is compared with an index by a reranker that has learnt one model's answers to one list of
questions; anything else would be taken for what it is not. No rclpy here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from geoloc_ros.errors import SceneError, shown
from geoloc_ros.filtering.late_knowledge import WINDOW_NS
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.rerank.scenes import WITHIN_NS
from geoloc_ros.vlm.answerer import (
    UNPARSEABLE,
    Answer,
    Reply,
    asked_of,
    check_answerer,
)
from geoloc_ros.vlm.questions import QuestionSet

NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who describes scenes, and what is asked.

    Attributes:
        vlm: name and version of the model, for people.
        vlm_sha256: identity of all that decides its answers.
        questions_version: of the list of questions, for people; 0 for questions of its own.
        questions_sha256: identity of the list of questions; empty for questions of its own.
    """

    vlm: str
    vlm_sha256: str
    questions_version: int = 0
    questions_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What was said of a frame.

    Attributes:
        stamp_ns: capture time of the frame; 0 where none is given.
        camera: name of the camera.
        author: who says so.
        reply: what was said.
    """

    stamp_ns: int
    camera: str
    author: Author
    reply: Reply


def author_of(answerer: str) -> Author:
    """The author that an answerer of a name will be.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
        ModelError: its files are missing or altered.
    """
    vlm, vlm_sha256 = check_answerer(answerer)
    questions = asked_of(answerer)
    if questions is None:
        return Author(vlm=vlm, vlm_sha256=vlm_sha256)
    return Author(
        vlm=vlm,
        vlm_sha256=vlm_sha256,
        questions_version=questions.version,
        questions_sha256=questions.sha256,
    )


class SceneFilter:
    """Tells descriptions that a reranker can use from those it cannot.

    `check` may be called from any thread; `looked_at`, `restart` and `admits` belong to the one
    that follows the vehicle.

    Args:
        reranker: that will compare them.
    """

    def __init__(self, reranker: LanguageReranker) -> None:
        self._package, self._questions = reranker.package, reranker.questions
        self._first_ns: int | None = None
        self._newest_ns: int | None = None
        self._restarted = False

    def check(self, scene: Scene, cameras: Collection[str]) -> None:
        """Refuse what the reranker could only misunderstand, whole.

        Args:
            scene: a description.
            cameras: names of those that the localizer looks with.

        Raises:
            SceneError: it has no stamp, is of another camera, model or question list, or an answer
                is none.
        """
        fault = (
            _unplaced(scene, cameras) or self._strange(scene.author) or self._wrong(scene.reply)
        )
        if fault:
            raise SceneError(f"a scene description is not heard: {fault}")

    def looked_at(self, stamp_ns: int) -> None:
        """A frame was looked at; one of an earlier time than the last begins a new time."""
        if self._newest_ns is None or self._first_ns is None or stamp_ns < self._newest_ns:
            self._first_ns = stamp_ns
        self._newest_ns = stamp_ns

    def restart(self) -> None:
        """The clock has gone back: no frame of this time was looked at yet."""
        self._first_ns = self._newest_ns = None
        self._restarted = True

    def admits(self, stamp_ns: int) -> bool:
        """Whether a description of a frame can tell anything.

        Args:
            stamp_ns: capture time of the frame.

        Returns:
            False before the first frame was looked at: there is nothing to compare with.

        Raises:
            SceneError: it is of another time than the frames that were looked at.
        """
        fault = self._untimely(stamp_ns)
        if fault:
            raise SceneError(f"a scene description is not heard: {fault}")
        return self._newest_ns is not None

    def _untimely(self, stamp_ns: int) -> str:
        first_ns, newest_ns = self._first_ns, self._newest_ns
        if first_ns is None or newest_ns is None:
            if not self._restarted:
                return ""
            return (
                f"its stamp is {stamp_ns / NS:.3f} s, and no frame was looked at since the clock "
                "went back; it may be of the time before. The next ones will be heard"
            )
        ahead_s, late_s = (stamp_ns - newest_ns) / NS, (newest_ns - stamp_ns) / NS
        if stamp_ns > newest_ns + WITHIN_NS:
            return (
                f"its frame is {ahead_s:.1f} s newer than the newest that was looked at; at most "
                f"{WITHIN_NS / NS:g} s are believed. It is of a time before the clock went "
                "back, or the localizer cannot use the images that geoloc_vlm looks at: see "
                "/diagnostics, compare their stamps"
            )
        if stamp_ns < first_ns - WITHIN_NS:
            return (
                f"its frame is {(first_ns - stamp_ns) / NS:.1f} s older than the first that was "
                "looked at since the start, or since the clock went back; if this goes on, "
                "compare the stamps of geoloc_vlm's images with the localizer's"
            )
        if newest_ns - stamp_ns > WINDOW_NS:
            return (
                f"it comes {late_s:.1f} s after its frame, the way driven is known for "
                f"{WINDOW_NS / NS:g} s; lower geoloc_vlm's worker.deadline_s or take a smaller "
                "model"
            )
        return ""

    def _strange(self, author: Author) -> str:
        """What the reranker does not know of an author, empty if it knows all."""
        package = self._package
        if author.questions_sha256 != package.questions_sha256:
            return (
                f"it answers version {author.questions_version} of the questions "
                f"({_short(author.questions_sha256)}), reranker {package.name} knows version "
                f"{package.questions_version} ({_short(package.questions_sha256)}); run "
                "geoloc_vlm of the localizer's version, with a model for these questions"
            )
        if author.vlm_sha256 != package.vlm_sha256:
            return (
                f"it is by {shown(author.vlm)} ({_short(author.vlm_sha256)}), reranker "
                f"{package.name} knows {package.vlm} ({_short(package.vlm_sha256)}); name that "
                "model as geoloc_vlm's answerer, or describe the index with the other one and "
                "train a reranker for it: geoloc train reranker"
            )
        return ""

    def _wrong(self, reply: Reply) -> str:
        """What makes no sense in a reply, empty if all does."""
        seen: set[str] = set()
        for answer in reply.answers:
            fault = _wrong_answer(answer, self._questions)
            if answer.question in seen:
                fault = f"{shown(answer.question)} is answered twice"
            if fault:
                return f"{fault}; mend whoever publishes it, or have geoloc_vlm publish it"
            seen.add(answer.question)
        return ""


def _unplaced(scene: Scene, cameras: Collection[str]) -> str:
    if scene.stamp_ns <= 0:
        return "it has no stamp; it must carry that of its frame, as images must"
    if scene.camera not in cameras:
        names = ", ".join(map(shown, sorted(cameras)))
        return (
            f"its camera is {shown(scene.camera)}, the localizer's are {names}; set geoloc_vlm's "
            "parameter camera to one of them"
        )
    return ""


def _wrong_answer(answer: Answer, questions: QuestionSet) -> str:
    """What makes no sense in an answer, empty if all does."""
    known = {question.id: question for question in questions.questions}
    question = known.get(answer.question)
    if question is None:
        return (
            f"it answers {shown(answer.question)}, version {questions.version} of the questions "
            f"has {len(known)} others"
        )
    options = [option.id for option in question.options]
    if answer.answer not in (*options, UNPARSEABLE):
        return (
            f"it answers {shown(answer.answer)} to {question.id}, whose options are "
            f"{', '.join(options)}"
        )
    if answer.probabilities and len(answer.probabilities) != len(options):
        return (
            f"it has {len(answer.probabilities)} probabilities for {question.id}, which has "
            f"{len(options)} options; one for each is needed, or none"
        )
    for value in (answer.probability, *answer.probabilities):
        if not 0.0 <= value <= 1.0:
            return f"a probability of {question.id} is {value:g}; it must lie in 0..1"
    return ""


def _short(sha256: str) -> str:
    return sha256[:12] or "none"
