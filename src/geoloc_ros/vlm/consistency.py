# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks about one picture again and again, changed so that the answers should stay; do they?

A model that only guesses is swayed by what means nothing: other words, a mirror, a little less of
the picture. How many of the repeats give the same answer is a confidence that needs no held-out
data, at the price of as many pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ConfigError
from geoloc_ros.vlm.answerer import UNPARSEABLE, Answer, Reply
from geoloc_ros.vlm.mirror import unmirrored
from geoloc_ros.vlm.questions import Question, QuestionSet

#: what a crop cuts off in each direction; of a satellite crop of 72 m, 3.6 m
CUT_SHARE = 0.05


class Paraphrasing(Protocol):
    """A model that can be asked in other words, as `llama.LlamaVlm` is."""

    questions: QuestionSet

    def answer(self, rgb: Image, view: str = "ground", *, paraphrased: bool = False) -> Reply:
        """See `Answerer.answer`."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to ask.

    Attributes:
        paraphrased: in other words.
        mirrored: about the picture in a mirror.
        corner: (right, bottom) corner that a crop keeps, 0 or 1 each; None for the whole picture.
    """

    paraphrased: bool = False
    mirrored: bool = False
    corner: tuple[int, int] | None = None


#: in this order: the first `n` of them are `n` repeats
VARIANTS = (
    Variant(),
    Variant(paraphrased=True),
    Variant(mirrored=True),
    Variant(corner=(0, 0)),
    Variant(paraphrased=True, mirrored=True),
    Variant(paraphrased=True, corner=(1, 1)),
    Variant(mirrored=True, corner=(1, 0)),
    Variant(paraphrased=True, mirrored=True, corner=(0, 1)),
)


@dataclass(frozen=True, slots=True)
class Repeated:
    """What was said of a picture in all repeats.

    Attributes:
        reply: of each question the mean probabilities; no guesses of place.
        agreement: by question, share of the repeats it was asked in whose likeliest option is
            that of the mean, 0..1; a repeat without a readable answer agrees with none.
    """

    reply: Reply
    agreement: dict[str, float]


def check_repeats(repeats: int) -> None:
    """See that a picture can be asked about so often.

    Raises:
        ConfigError: it cannot.
    """
    if not 2 <= repeats <= len(VARIANTS):
        raise ConfigError(f"repeats is {repeats}; it must lie in 2..{len(VARIANTS)}")


def ask_repeatedly(
    vlm: Paraphrasing, rgb: Image, view: str = "ground", repeats: int = len(VARIANTS)
) -> Repeated:
    """Ask all questions about a picture several times.

    The region is not asked of a mirrored picture: it counts over the other repeats.

    Args:
        vlm: the model.
        rgb: the picture (H, W, 3).
        view: seen from where.
        repeats: how often, 2 to 8; each costs as much as a picture.

    Raises:
        ConfigError: so many repeats there are not, or the questions have no mirror image.
        ModelError: the picture cannot be looked at.
        ValueError: no question got an answer in any repeat, or this is no picture.
    """
    check_repeats(repeats)
    said, silent = [], []
    for variant in VARIANTS[:repeats]:
        try:
            reply = vlm.answer(_changed(rgb, variant), view, paraphrased=variant.paraphrased)
        except ValueError as error:
            silent.append(error)
            reply = Reply(tuple(_no_answer(question) for question in vlm.questions.questions))
        reply = unmirrored(reply, vlm.questions) if variant.mirrored else reply
        said.append({answer.question: answer for answer in reply.answers})
    if len(silent) == repeats:
        raise silent[0]
    answers, agreement = [], {}
    for question in vlm.questions.questions:
        each = [found[question.id] for found in said if question.id in found]
        mean = _mean(question, each)
        answers.append(mean)
        same = mean.answer != UNPARSEABLE and [answer.answer == mean.answer for answer in each]
        agreement[question.id] = float(np.mean(same))
    return Repeated(Reply(tuple(answers)), agreement)


def _changed(rgb: Image, variant: Variant) -> Image:
    if variant.corner is not None:
        height, width = (max(round(side * (1.0 - CUT_SHARE)), 1) for side in rgb.shape[:2])
        right, bottom = variant.corner
        left, top = right * (rgb.shape[1] - width), bottom * (rgb.shape[0] - height)
        rgb = rgb[top : top + height, left : left + width]
    return np.ascontiguousarray(rgb[:, ::-1] if variant.mirrored else rgb)


def _mean(question: Question, answers: Sequence[Answer]) -> Answer:
    """The mean of the answers that could be read."""
    read = [answer for answer in answers if len(answer.probabilities) == len(question.options)]
    if not read:
        return _no_answer(question)
    shares = np.mean([answer.probabilities for answer in read], axis=0)
    best, mass = int(shares.argmax()), float(np.mean([answer.mass for answer in read]))
    name = question.options[best].id
    return Answer(question.id, name, float(shares[best]), tuple(shares.tolist()), mass)


def _no_answer(question: Question) -> Answer:
    return Answer(question.id, UNPARSEABLE, 0.0, (), 0.0)
