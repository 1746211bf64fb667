# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks a vision-language model all questions about one picture, which is encoded once.

Every option has a letter, and the answer is one letter. A grammar that admits the letters of a
question and nothing else leaves, of what the model would say next, exactly the tokens of those
letters; their probabilities are read off the logits, so nothing has to be sampled. What share of
the whole the letters hold is the answer's `mass`: a model that wanted to say something else is
not answering, and below `LEAST_MASS` the question counts as unparseable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ConfigError, ModelError, shown
from geoloc_ros.vlm import templates
from geoloc_ros.vlm.answerer import UNPARSEABLE, Answer, Reply
from geoloc_ros.vlm.llama_session import LlamaSession
from geoloc_ros.vlm.package import VlmPackage
from geoloc_ros.vlm.pictures import at_most, square
from geoloc_ros.vlm.prior import region_guesses
from geoloc_ros.vlm.questions import (
    LETTERS,
    VIEWS,
    Question,
    QuestionSet,
    by_name,
    load_questions,
    prompt,
)

#: share of the model's probability that the letters of a question must hold together
LEAST_MASS = 0.05


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to compute for one picture.

    Attributes:
        picture_tokens: of the picture and what stands before it, computed once.
        question_tokens: of all questions together.
        questions: how many.
    """

    picture_tokens: int
    question_tokens: int
    questions: int


class LlamaVlm:
    """An answerer that runs a GGUF model through llama.cpp; see `Answerer`.

    Belongs to the thread that made it.

    Args:
        package: the model.
        questions: what is asked; None for the questions that ship with this version.
        n_threads: threads; None for the cores there are but one, at most four.

    Attributes:
        size: of the last picture and its questions.

    Raises:
        ConfigError: llama-cpp-python is missing.
        ModelError: the model cannot be loaded, or was trained for other questions.
    """

    def __init__(
        self,
        package: VlmPackage,
        questions: QuestionSet | None = None,
        *,
        n_threads: int | None = None,
    ) -> None:
        self.package = package
        self.questions = questions or load_questions()
        package.check_questions(self.questions)
        own = package.template == "plain"
        self._session = LlamaSession(
            package.text_path,
            package.mmproj_path,
            n_threads=n_threads,
            image_tokens=package.image_tokens,
            exact=own,
        )
        self.size = Size(0, 0, 0)
        try:
            self._frame = self._make_frame()
            self._letters = self._find_letters()
        except BaseException:
            self._session.close()
            raise

    @property
    def n_threads(self) -> int:
        """Threads it computes with."""
        return self._session.n_threads

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._session.close()

    def _make_frame(self) -> templates.Frame:
        session = self._session
        if self.package.template == "plain":
            return templates.plain(session.marker)
        if not session.chat_template:
            raise ModelError(
                f"{self.package.text_path} has no chat template; take a model made for chat, or "
                'say "template": "plain" in model.json if it continues text'
            )
        bos, eos = session.special_text("bos"), session.special_text("eos")
        return templates.chat(session.chat_template, session.marker, bos, eos)

    def _find_letters(self) -> list[list[int]]:
        """Tokens of each letter: after a space, or, in a chat, with or without one."""
        found = self._session.tokens_by_text([*LETTERS, *(" " + letter for letter in LETTERS)])
        letters = []
        for letter in LETTERS:
            spaced, bare = found[" " + letter], found[letter]
            both = spaced + bare if self.package.template == "chat" else spaced or bare
            if not both:
                raise ModelError(f"the model has no token for the letter {letter}")
            letters.append(both)
        return letters

    # -- answers --------------------------------------------------------------------------------

    def answer(self, rgb: Image, view: str = "ground", *, paraphrased: bool = False) -> Reply:
        """See `Answerer.answer`.

        Args:
            rgb: the picture (H, W, 3), of any size.
            view: seen from where.
            paraphrased: ask in other words, to see whether the answers stay.

        Raises:
            ConfigError: there is no such view.
            ModelError: the picture cannot be looked at.
            ValueError: no question got an answer, or this is no picture.
        """
        asked = self._asked(view)
        seen = self._session.look(self._frame.prefix, self._fitted(rgb))
        texts = [self._tokens(question, paraphrased) for question in asked]
        self.size = Size(seen, sum(map(len, texts)), len(texts))
        logits = self._session.continue_with(texts)
        return self._reply(asked, logits, view)

    def ask_separately(self, rgb: Image, view: str = "ground") -> Reply:
        """The same answers the slow way, to measure against: each looks at the picture anew."""
        asked, rows = self._asked(view), []
        for question in asked:
            self._session.look(self._frame.prefix, self._fitted(rgb))
            rows.append(self._session.continue_with([self._tokens(question, False)])[0])
        return self._reply(asked, np.stack(rows), view)

    def write(self, rgb: Image, text: str, grammar: str, most_tokens: int = 256) -> str:
        """What the model writes of a picture (H, W, 3) when asked with a text, under a grammar.

        Args:
            rgb: the picture, of any size.
            text: the question.
            grammar: GBNF, with the rule `root`.
            most_tokens: where to stop, finished or not.

        Raises:
            ModelError: the grammar cannot be read or the picture not be looked at.
        """
        self._session.look(self._frame.prefix, self._fitted(rgb))
        return self._session.write(self._framed(text), grammar, most_tokens)

    def _asked(self, view: str) -> list[Question]:
        if view not in VIEWS:
            raise ConfigError(f"view is {shown(view)}; choose from {', '.join(VIEWS)}")
        return [question for question in self.questions.questions if view in question.views]

    def _fitted(self, rgb: Image) -> Image:
        fit = square if self.package.image_fit == "square" else at_most
        return fit(rgb, self.package.image_size)

    def _tokens(self, question: Question, paraphrased: bool) -> list[int]:
        if self.package.asked_by == "name" and not paraphrased:
            return self._framed(by_name(question))
        hint = templates.CHAT_HINT if self.package.template == "chat" else ""
        return self._framed(prompt(question, paraphrased) + hint)

    def _framed(self, text: str) -> list[int]:
        tokenize, frame = self._session.tokenize, self._frame
        if not frame.after:  # one text: its words may be joined with the newline before them
            return tokenize(frame.before + text)
        before, after = (tokenize(part, special=True) for part in (frame.before, frame.after))
        return before + tokenize(text) + after

    def _reply(self, asked: Sequence[Question], logits: NDArray[np.float32], view: str) -> Reply:
        rows = dict(zip((question.id for question in asked), logits, strict=True))
        answers = [
            self._answer(question, rows[question.id], view)
            if question.id in rows
            else not_asked(question)
            for question in self.questions.questions
        ]
        if asked and all(a.answer == UNPARSEABLE for a in answers if a.question in rows):
            most = max(a.mass for a in answers if a.question in rows)
            raise ValueError(
                f"none of {len(asked)} questions was answered with a letter (at most "
                f"{most:.1%} of the probability, {LEAST_MASS:.0%} are needed)"
            )
        return Reply(tuple(answers), region_guesses(answers, self.questions, self.package, view))

    def _answer(self, question: Question, logits: NDArray[np.float32], view: str) -> Answer:
        log_p = logits.astype(np.float64) - logits.max()
        log_p -= np.log(np.exp(log_p).sum())
        letters = [
            np.logaddexp.reduce(log_p[tokens]) for tokens in self._letters[: len(question.options)]
        ]
        mass = float(np.exp(letters).sum())
        if not mass >= LEAST_MASS:  # also when there is a NaN
            return Answer(question.id, UNPARSEABLE, 0.0, (), max(0.0, min(mass, 1.0)))
        temperature = self.package.temperature.get(view, {}).get(question.id, 1.0)
        scaled = np.array(letters) / temperature
        p = np.exp(scaled - np.logaddexp.reduce(scaled))
        best = int(p.argmax())
        probabilities = tuple(float(value) for value in np.minimum(p, 1.0))
        return Answer(
            question.id,
            question.options[best].id,
            probabilities[best],
            probabilities,
            min(mass, 1.0),
        )


def not_asked(question: Question) -> Answer:
    """The answer to a question that a view cannot tell: the last option, with certainty."""
    certain = (*[0.0] * (len(question.options) - 1), 1.0)
    return Answer(question.id, question.options[-1].id, 1.0, certain)
