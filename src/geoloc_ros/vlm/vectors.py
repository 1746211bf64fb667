# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Replies as vectors: the probabilities of all options of all questions, one after the other."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.questions import Question, QuestionSet


def vector(reply: Reply, questions: QuestionSet) -> Float32Array:
    """What a reply says, in the layout of `QuestionSet.slices`.

    Args:
        reply: of an answerer.
        questions: what was asked; answers to anything else are passed over.

    Returns:
        (T,) probabilities; each question's add up to one, or are all zero where it was not
        answered or the answer is none.
    """
    out = np.zeros(questions.total_options, dtype=np.float32)
    said, slices = {answer.question: answer for answer in reply.answers}, questions.slices
    for question in questions.questions:
        if question.id in said:
            out[slices[question.id]] = _shares(said[question.id], question)
    return out


def reply_of(said: Float32Array, questions: QuestionSet) -> Reply:
    """The reply that a vector speaks of.

    Args:
        said: (T,) probabilities in the layout of `QuestionSet.slices`.
        questions: what was asked.

    Returns:
        Answers; a question whose options are all zero has none.
    """
    answers = []
    for question in questions.questions:
        shares = np.asarray(said[questions.slices[question.id]], dtype=np.float64)
        if shares.sum() > 0.0:
            shares /= shares.sum()
            best = int(shares.argmax())
            name = question.options[best].id
            answers.append(Answer(question.id, name, float(shares[best]), tuple(shares.tolist())))
    return Reply(tuple(answers))


def _shares(answer: Answer, question: Question) -> Float32Array:
    """Probabilities of a question's options; zeros if the answer makes no sense."""
    options = [option.id for option in question.options]
    shares = np.zeros(len(options), dtype=np.float32)
    if answer.probabilities:
        found = np.array(answer.probabilities, dtype=np.float64)
        usable = found.shape == shares.shape and np.isfinite(found).all() and (found >= 0.0).all()
        if usable and found.sum() > 0.0:
            shares[:] = found / found.sum()
    elif answer.answer in options and math.isfinite(answer.probability):
        shares[:] = (1.0 - np.clip(answer.probability, 0.0, 1.0)) / (len(options) - 1)
        shares[options.index(answer.answer)] = np.clip(answer.probability, 0.0, 1.0)
    return shares
