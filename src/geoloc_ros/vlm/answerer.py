# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The seam between whoever looks at a picture and whoever wants to know what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Protocol

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.wgs84 import LatLon

RULES = "rules"


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
        answer: identifier of the option.
        probability: of that option, 0..1.
        probabilities: of every option of the question, in its order; empty where unknown.
    """

    question: str
    answer: str
    probability: float
    probabilities: tuple[float, ...] = ()


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


def make_answerer(name: str) -> Answerer:
    """The answerer of a name.

    Raises:
        ConfigError: there is none.
    """
    check_answerer(name)
    return MAKERS[name]()


def check_answerer(name: str) -> None:
    """See that there is an answerer of a name, without making it.

    Raises:
        ConfigError: there is none.
    """
    if name not in MAKERS:
        raise ConfigError(
            f"answerer is {name!r}; known: {', '.join(MAKERS)}. No vision-language model ships "
            "with this version: leave the node out, localization needs none"
        )


def _rules() -> Answerer:
    from geoloc_ros.vlm.rules import Rules

    return Rules()


MAKERS: dict[str, Callable[[], Answerer]] = {RULES: _rules}
