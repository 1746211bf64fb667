# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The questions as tokens, for training and measuring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.training.vlm_nets import Branches, pack
from geoloc_ros.training.vocabulary import MARK, learn_vocabulary
from geoloc_ros.vlm.questions import LETTERS, QuestionSet, by_name, prompt

IntArray = npt.NDArray[np.int64]


class Prompts:
    """The questions as tokens, in three wordings: by name, in words and in other words.

    Attributes:
        questions: what is asked.
        vocabulary: learned from them.
        letters: (most options,) token of each option's letter.
    """

    def __init__(self, questions: QuestionSet) -> None:
        self.questions = questions
        asked = {
            "name": [by_name(q) for q in questions.questions],
            "words": [prompt(q) for q in questions.questions],
            "other words": [prompt(q, paraphrased=True) for q in questions.questions],
        }
        texts = {wording: ["\n" + text for text in row] for wording, row in asked.items()}
        self.vocabulary = learn_vocabulary(text for row in texts.values() for text in row)
        self._tokens = {
            wording: [self.vocabulary.encode(text) for text in row]
            for wording, row in texts.items()
        }
        most = max(self.options)
        self.letters = torch.tensor([self.vocabulary.ids[MARK + c] for c in LETTERS[:most]])

    @property
    def options(self) -> list[int]:
        """How many options each question has."""
        return [len(question.options) for question in self.questions.questions]

    def branches(self, asked: IntArray, paraphrased: npt.NDArray[np.bool_]) -> Branches:
        """All questions by name, then some in words, each in its first or its other ones."""
        words = self._tokens["words"], self._tokens["other words"]
        some = [words[int(p)][q] for q, p in zip(asked, paraphrased, strict=True)]
        return pack([*self._tokens["name"], *some])

    def tokens(self, wording: str = "name") -> list[list[int]]:
        """Tokens of every question."""
        return self._tokens[wording]

    def every(self, wording: str = "name") -> Branches:
        """All questions, packed."""
        return pack(self.tokens(wording))
