# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whoever answers may hang, die or talk nonsense; whoever asks goes on."""

import os
import signal
import time

import numpy as np
import pytest

from geoloc_ros.errors import ConfigError
from geoloc_ros.vlm.answerer import Outcome, make_answerer
from geoloc_ros.vlm.process import AnswererProcess, _answered

DAY = np.full((120, 160, 3), (110, 170, 90), np.uint8)
DEADLINE_S = 2.0


@pytest.fixture
def asker():
    process = AnswererProcess("rules")
    yield process
    process.stop()


def test_a_picture_is_answered_with_probabilities(asker) -> None:
    asked = asker.ask(DAY, DEADLINE_S)
    assert asked.outcome is Outcome.OK
    found = {a.question: a for a in asked.reply.answers}
    assert found["scene.light"].answer == "day"
    assert found["scene.plants"].answer == "green"
    assert all(0.5 <= a.probability <= 1.0 for a in asked.reply.answers)
    night = asker.ask(np.zeros((1080, 1920, 3), np.uint8), DEADLINE_S)
    assert {a.question: a.answer for a in night.reply.answers}["scene.light"] == "night"
    assert asker.restarts == 0


def test_a_child_that_is_killed_is_started_again(asker) -> None:
    asker.ask(DAY, DEADLINE_S)
    os.kill(asker.pid, signal.SIGKILL)
    outcomes = {asker.ask(DAY, DEADLINE_S).outcome for _ in range(2)}
    assert outcomes <= {Outcome.FAILED, Outcome.OK}
    assert asker.ask(DAY, DEADLINE_S).outcome is Outcome.OK
    assert asker.restarts == 1


@pytest.mark.parametrize("size", [(20, 20, 3), (2000, 3000, 3)])
def test_a_child_that_hangs_is_given_up_at_the_deadline_and_killed(asker, size) -> None:
    asker.ask(DAY, DEADLINE_S)
    hung = asker.pid
    os.kill(hung, signal.SIGSTOP)  # a large picture does not even get into the pipe
    begun = time.monotonic()
    asked = asker.ask(np.zeros(size, np.uint8), 0.5)
    assert asked.outcome is Outcome.TIMED_OUT
    assert "0.5 s" in asked.why
    assert 0.4 < time.monotonic() - begun < 10.0
    with pytest.raises(ProcessLookupError):
        os.kill(hung, 0)
    assert asker.ask(DAY, DEADLINE_S).outcome is Outcome.OK


def test_an_answerer_that_cannot_be_made_says_why() -> None:
    process = AnswererProcess("oracle")
    try:
        asked = process.ask(DAY, DEADLINE_S)
        assert asked.outcome is Outcome.FAILED
        assert "oracle" in asked.why
    finally:
        process.stop()
    with pytest.raises(ConfigError, match="rules"):
        make_answerer("oracle")


def test_nonsense_is_not_an_answer() -> None:
    class Rambling:
        def answer(self, rgb):
            raise ValueError("option 'F' of 4")

    class Broken:
        def answer(self, rgb):
            raise RuntimeError("out of memory")

    said = _answered(Rambling(), DAY)
    assert (said["outcome"], said["why"]) == ("UNPARSEABLE", "option 'F' of 4")
    assert _answered(Broken(), DAY)["outcome"] == "FAILED"
