# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of questions and answers when a picture is mirrored: left and right change places.

The region is not asked of mirrored pictures: there is no such country.
"""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.errors import ConfigError
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.questions import REGION, Question, QuestionSet


@dataclass(frozen=True, slots=True)
class Counterpart:
    """The question that asks in the mirror what another one asks in the world.

    Attributes:
        question: asked in the mirror.
        options: of each of its options, the place in the other question's list of what it means.
    """

    question: Question
    options: tuple[int, ...]


def counterparts(questions: QuestionSet) -> dict[str, Counterpart]:
    """The counterpart of every question by its identifier; the region has none.

    Raises:
        ConfigError: a question about one side lacks its counterpart, or an option does.
    """
    known = {question.id: question for question in questions.questions}
    found = {}
    for question in questions.questions:
        other = known.get(_swapped(question.id))
        if other is None:
            raise ConfigError(
                f"question {question.id} has no counterpart on the other side; add "
                f"{_swapped(question.id)}"
            )
        if question.id != REGION:
            places = tuple(question.index(_swapped(option.id)) for option in other.options)
            found[question.id] = Counterpart(other, places)
    return found


def unmirrored(reply: Reply, questions: QuestionSet) -> Reply:
    """What a reply about a mirrored picture says of the picture itself.

    Args:
        reply: about the mirrored picture; answers to other questions are passed over.
        questions: that were asked.

    Returns:
        Answers without the region, no guesses of place.

    Raises:
        ConfigError: see `counterparts`.
    """
    said = {answer.question: answer for answer in reply.answers}
    pairs = counterparts(questions)
    answers = (
        _turned(said[pair.question.id], questions[name], pair)
        for name, pair in pairs.items()
        if pair.question.id in said
    )
    return Reply(tuple(answers))


def _turned(answer: Answer, question: Question, pair: Counterpart) -> Answer:
    if not answer.probabilities:
        return Answer(question.id, answer.answer, answer.probability, (), answer.mass)
    shares = [0.0] * len(question.options)
    for place, share in zip(pair.options, answer.probabilities, strict=True):
        shares[place] = share
    best = question.options[shares.index(max(shares))].id
    return Answer(question.id, best, max(shares), tuple(shares), answer.mass)


def _swapped(name: str) -> str:
    parts = {"left": "right", "right": "left"}
    return "_".join(parts.get(part, part) for part in name.split("_"))
