# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from geoloc_ros.training.vlm_scores import (
    Said,
    expected_calibration_error,
    fit_temperature,
    mean_scores,
    score_questions,
    tempered,
    write_reliability,
)
from geoloc_ros.vlm.questions import load_questions

QUESTIONS = load_questions()


def made(temperature: float, count: int = 4000) -> Said:
    """Answers of a model that is honest up to a temperature."""
    rng = np.random.default_rng(0)
    most = max(len(q.options) for q in QUESTIONS.questions)
    shape = (count, len(QUESTIONS.questions), most)
    logits = rng.normal(0, 1.5, shape)
    for q, question in enumerate(QUESTIONS.questions):
        logits[:, q, len(question.options) :] = -np.inf
    honest = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    answers = (honest.cumsum(axis=2) < rng.random((*shape[:2], 1))).sum(axis=2)
    views = rng.integers(0, 2, count)
    answers[views == 1, [q.id for q in QUESTIONS.questions].index("slope")] = -1
    said = tempered(honest.astype(np.float32), temperature)
    return Said(said, answers, views, rng.integers(0, 4, count))


def test_the_error_of_calibration_is_the_gap() -> None:
    right = np.arange(1000) % 10 < 6
    assert expected_calibration_error(np.full(1000, 0.6), right) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(np.full(1000, 0.95), right) == pytest.approx(0.35)


def test_the_temperature_that_was_lost_is_found() -> None:
    said = made(0.5)
    assert fit_temperature(said.probabilities[:, 0], said.answers[:, 0]) == pytest.approx(2, 0.15)
    assert fit_temperature(said.probabilities[:3, 0], np.full(3, -1)) == 1.0


def test_scores_of_every_question_and_view() -> None:
    scores = score_questions(made(0.5), QUESTIONS)
    assert len(scores) == sum(len(q.views) for q in QUESTIONS.questions)
    for score in scores:
        assert score.accuracy > score.majority + 0.1, score
        assert score.ece_fitted < score.ece, score
        assert score.ece_fitted < 0.05, score
    means = mean_scores(scores)
    assert 0.3 < means["accuracy_ground"] < 1.0
    assert means["ece_fitted"] < means["ece"]


def test_the_diagram_is_drawn(tmp_path: Path) -> None:
    write_reliability(made(0.5, 400), tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
