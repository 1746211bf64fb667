# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The seam between whoever looks at a picture and whoever wants to know what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ConfigError, ModelError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.vlm.questions import QuestionSet, load_questions

RULES = "rules"
#: stands for the option where a model answered with none
UNPARSEABLE = "unparseable"


class Outcome(Enum):
    """What became of a question; the numbers are those of geoloc_msgs/SceneDescription."""

    OK = 0
    TIMED_OUT = 1
    UNPARSEABLE = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    Attributes:
        question: identifier of the question.
        answer: identifier of the option; `UNPARSEABLE` where the model wanted to say something
            that is none of them.
        probability: of that option, 0..1; 0 where unparseable.
        probabilities: of every option of the question, in its order; empty where unknown.
        mass: share of the model's own probability that the options hold together, 0..1; the
            probabilities are relative to it.
    """

    question: str
    answer: str
    probability: float
    probabilities: tuple[float, ...] = ()
    mass: float = 1.0


@dataclass(frozen=True, slots=True)
class PlaceGuess:
    """Where a picture may have been taken: one Gaussian, heading unknown.

    Attributes:
        position: its centre.
        sigma_m: spread in each direction.
        share: probability that it is right.
    """

    position: LatLon
    sigma_m: float
    share: float


@dataclass(frozen=True, slots=True)
class Reply:
    """Everything that was said of one picture."""

    answers: tuple[Answer, ...] = ()
    guesses: tuple[PlaceGuess, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Dictionaries, lists, texts and numbers, as JSON holds them."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Reply:
        """The reply that `plain` gave.

        Raises:
            KeyError, TypeError, GeodesyError: it is none.
        """
        answers = tuple(
            Answer(**{**item, "probabilities": tuple(item["probabilities"])})
            for item in plain["answers"]
        )
        guesses = tuple(
            PlaceGuess(**{**item, "position": LatLon(**item["position"])})
            for item in plain["guesses"]
        )
        return cls(answers, guesses)


@dataclass(frozen=True, slots=True)
class SceneDescription:
    """What was said of a frame.

    Attributes:
        stamp_ns: capture time of the frame.
        reply: what was said.
    """

    stamp_ns: int
    reply: Reply


class Answerer(Protocol):
    """Looks at pictures. Lives in its own process; may be slow, hang or die."""

    def answer(self, rgb: Image, view: str = "ground") -> Reply:
        """What a picture (H, W, 3) shows.

        Args:
            rgb: the picture.
            view: seen from where: "ground" or "satellite".

        Raises:
            ValueError: the model said something that is no answer.
        """


def make_answerer(name: str, n_threads: int | None = None, sha256: str | None = None) -> Answerer:
    """The answerer of a name.

    Args:
        name: one of `MAKERS`, or a package of a vision-language model by name or directory.
        n_threads: threads of a model; None for the cores there are but one, at most four.
        sha256: its identity, where it has been told to others; None for whichever it is.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
        ModelError: its files are missing or altered, or it is another one by now.
    """
    if name in MAKERS:
        return MAKERS[name]()
    folder = _folder(name)
    from geoloc_ros.vlm.llama import LlamaVlm
    from geoloc_ros.vlm.package import load_vlm

    package = load_vlm(folder)
    if sha256 not in (None, package.sha256):
        raise ModelError(
            f"{folder} holds another model by now ({package.sha256[:12]}) than at the start "
            f"({sha256:.12}); put that one back, or start again"
        )
    return LlamaVlm(package, n_threads=n_threads)


def check_answerer(name: str) -> tuple[str, str]:
    """See that there is an answerer of a name, without making it; answers its `identity_of`.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
        ModelError: its files are missing or altered, or it answers other questions.
    """
    if name in MAKERS:
        return identity_of(name)
    from geoloc_ros.vlm.llama_library import check_installed
    from geoloc_ros.vlm.package import load_vlm

    package = load_vlm(_folder(name))
    package.check_questions(load_questions())
    check_installed()
    return package.author


def asked_of(name: str) -> QuestionSet | None:
    """The questions that an answerer of a name is asked; None where it has its own."""
    return None if name in MAKERS else load_questions()


def identity_of(name: str) -> tuple[str, str]:
    """Name with version of an answerer, and the sha256 of all that decides its answers.

    Raises:
        ConfigError: there is none.
        ModelError: its files are missing or altered.
    """
    if name in MAKERS:
        return name, hashlib.sha256(name.encode()).hexdigest()
    from geoloc_ros.vlm.package import load_vlm

    return load_vlm(_folder(name)).author


def _folder(name: str) -> Path:
    """Directory of the package of a name.

    Raises:
        ConfigError: there is none.
    """
    from geoloc_ros.vlm.package import find_vlm_folder

    try:
        return find_vlm_folder(name)
    except ModelError as error:
        raise ConfigError(
            f"answerer is {name!r}; known: {', '.join(MAKERS)}, and packages of vision-language "
            f"models: {error}; or leave the node out, localization needs none"
        ) from error


def _rules() -> Answerer:
    from geoloc_ros.vlm.rules import Rules

    return Rules()


MAKERS: dict[str, Callable[[], Answerer]] = {RULES: _rules}
