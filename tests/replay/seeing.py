# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An answerer that tells bright from dark by one of the real questions, and names a street."""

import numpy as np
from made_flight import PLANE

from geoloc_ros.vlm.answerer import PlaceGuess, Reply
from geoloc_ros.vlm.questions import load_questions
from geoloc_ros.vlm.vectors import reply_of

QUESTIONS = load_questions()


def told(rgb) -> np.ndarray:
    """Probabilities of all options; only the bend of the road says anything."""
    out = np.zeros(QUESTIONS.total_options, np.float32)
    bright = float(np.clip(np.mean(rgb) / 255.0, 0.0, 1.0))
    out[:2] = bright, 1.0 - bright
    return out


class Seeing:
    def answer(self, rgb, view="ground") -> Reply:
        there = PlaceGuess(PLANE.position(60.0, 0.0), 80.0, 0.7)
        return Reply(reply_of(told(rgb), QUESTIONS).answers, (there,))


def make(name: str) -> Seeing:
    return Seeing()
