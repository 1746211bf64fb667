# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Many pictures described by processes: in order, few in memory, errors told at once."""

import dataclasses
import multiprocessing

import numpy as np
import pytest

from geoloc_ros.errors import ConfigError, ModelError
from geoloc_ros.vlm.questions import load_questions
from geoloc_ros.vlm.tiles import describer
from geoloc_ros.workers import mapped, pooled


def test_batches_come_back_in_order_and_are_made_when_needed():
    made = []

    def calls():
        for number in range(12):
            made.append(number)
            yield (float(number), 2.0)

    with pooled(2) as pool:
        found = mapped(pow, calls(), pool, ahead=3)
        assert next(found) == 0.0
        assert len(made) <= 5
        assert list(found) == [float(n) ** 2 for n in range(1, 12)]


def test_pictures_without_usable_answer_are_zeros():
    questions = load_questions()
    pictures = np.zeros((5, 16, 16, 3), np.uint8)
    with describer("rules", questions, 1) as describe:
        found = list(describe(iter([pictures[:3], pictures[3:]])))
    assert [len(part) for part in found] == [3, 2]
    assert all(part.shape[1] == questions.total_options and not part.any() for part in found)


def test_a_process_that_is_killed_is_told_with_what_to_do():
    questions, pictures = load_questions(), np.zeros((2, 16, 16, 3), np.uint8)

    def kill_in_between():
        with describer("rules", questions, 1) as describe:
            answers = describe(iter([pictures] * 100))
            next(answers)
            for process in multiprocessing.active_children():
                process.kill()
            list(answers)

    with pytest.raises(ModelError, match=r"asked rules has been ended.*end other programs"):
        kill_in_between()


def test_a_model_of_other_questions_is_refused_before_any_process_starts(tmp_path):
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    pytest.importorskip("gguf", reason="gguf is not installed")
    from tiny_vlm import make_tiny

    package = make_tiny(tmp_path / "tiny")
    other = {"version": 7, "sha256": "ab" * 32}
    dataclasses.replace(package, question_set=other).save()
    with (
        pytest.raises(ModelError, match="answers version 7 of the questions"),
        describer(str(package.root), load_questions(), 1),
    ):
        pass


def test_an_unknown_model_is_refused_at_once():
    with pytest.raises(ConfigError), describer("no_such", load_questions(), 1):
        pass
