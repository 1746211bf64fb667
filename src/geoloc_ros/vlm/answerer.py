# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The seam between whoever looks at a picture and whoever wants to know what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

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
        probabilities: of all options of the question in their order; empty if only the answer is
            known.
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


class Answerer(Protocol):
    """Looks at pictures. Lives in its own process; may be slow, hang or die."""

    def answer(self, rgb: Image, view: str = "ground") -> Reply:
        """What a picture (H, W, 3) shows.

        Args:
            rgb: the picture.
            view: what it is: `ground`, a camera view, or `satellite`, a crop with the heading up.

        Raises:
            ValueError: the model said something that is no answer.
        """


def make_answerer(name: str) -> Answerer:
    """The answerer of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in MAKERS:
        raise ConfigError(
            f"answerer is {name!r}; known: {', '.join(MAKERS)}. No vision-language model ships "
            "with this version: leave the node out, localization needs none"
        )
    return MAKERS[name]()


def _rules() -> Answerer:
    from geoloc_ros.vlm.rules import Rules

    return Rules()


MAKERS: dict[str, Callable[[], Answerer]] = {RULES: _rules}
