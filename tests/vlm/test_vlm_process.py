# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whoever answers may hang, die or talk nonsense; whoever asks goes on."""

import os
import signal
import threading
import time
from pathlib import Path

import hostile
import numpy as np
import pytest

from geoloc_ros.config import WorkerConfig
from geoloc_ros.errors import ConfigError
from geoloc_ros.vlm.answerer import Outcome, make_answerer
from geoloc_ros.vlm.child import answered
from geoloc_ros.vlm.process import AnswererProcess
from geoloc_ros.vlm.watchdog import BackOff

DAY = np.full((120, 160, 3), (110, 170, 90), np.uint8)
DEADLINE_S = 30.0
#: tests do not wait for a process that stands back for others
EAGER = {"nice": 0, "spared_cores": 0}


def process_of(name, make=hostile.make, clock=time.monotonic, **config):
    settings = {"deadline_s": DEADLINE_S, "backoff_s": 0.0} | EAGER | config
    return AnswererProcess(name, WorkerConfig(**settings), make=make, clock=clock)


@pytest.fixture
def asker():
    process = process_of("rules", make_answerer)
    yield process
    process.stop()


@pytest.fixture
def started():
    """Makes processes that are stopped when the test is over."""
    processes = []

    def start(*words, **config):
        processes.append(process_of(*words, **config))
        return processes[-1]

    yield start
    for process in processes:
        process.stop()


def texts(asked) -> dict[str, str]:
    return {answer.question: answer.answer for answer in asked.reply.answers}


def test_a_picture_is_answered_with_probabilities(asker) -> None:
    asked = asker.ask(DAY)
    assert asked.outcome is Outcome.OK
    assert texts(asked)["scene.light"] == "day"
    assert texts(asked)["scene.plants"] == "green"
    assert all(0.5 <= a.probability <= 1.0 for a in asked.reply.answers)
    assert texts(asker.ask(np.zeros((1080, 1920, 3), np.uint8)))["scene.light"] == "night"
    assert asker.restarts == 0


def test_pictures_of_any_size_and_view_arrive(started) -> None:
    eyes = started("eyes")
    for shape, seen in (((1, 1, 3), "1x1x3"), ((6000, 8000, 3), "1536x2048x3")):
        asked = eyes.ask(np.zeros(shape, np.uint8), "satellite")
        assert texts(asked) == {"shape": seen, "view": "satellite"}
    assert asked.reply.answers[1].probabilities == (0.25, 0.75)
    assert texts(eyes.ask(np.zeros((9, 7, 3), np.uint8)[:, ::2]))["shape"] == "9x4x3"
    assert eyes.restarts == 0


def test_a_child_that_is_killed_is_started_again(asker) -> None:
    asker.ask(DAY)
    os.kill(asker.pid, signal.SIGKILL)
    outcomes = {asker.ask(DAY).outcome for _ in range(2)}
    assert outcomes <= {Outcome.FAILED, Outcome.OK}
    assert asker.ask(DAY).outcome is Outcome.OK
    assert asker.restarts == 1


@pytest.mark.parametrize("size", [(20, 20, 3), (2000, 2000, 3)])
def test_a_child_that_hangs_is_given_up_at_the_deadline_and_killed(started, size) -> None:
    asker = started("rules", make_answerer, deadline_s=0.5)
    asker.ask(DAY)
    hung = asker.pid
    os.kill(hung, signal.SIGSTOP)  # a large picture does not even get into the pipe
    begun = time.monotonic()
    asked = asker.ask(np.zeros(size, np.uint8))
    assert asked.outcome is Outcome.TIMED_OUT
    assert "0.5 s" in asked.why
    assert 0.4 < time.monotonic() - begun < 10.0
    assert not Path(f"/proc/{hung}").exists()
    assert asker.ask(DAY).outcome is Outcome.OK


def test_a_child_that_hangs_while_it_loads_is_given_up(started) -> None:
    asker = started("rules", make_answerer, start_s=1.0)
    asker.start()
    os.kill(asker.pid, signal.SIGSTOP)
    assert asker.ask(DAY).outcome is Outcome.TIMED_OUT


def test_an_answerer_that_cannot_be_made_says_why(started) -> None:
    asked = started("oracle", make_answerer).ask(DAY)
    assert asked.outcome is Outcome.FAILED
    assert "oracle" in asked.why
    assert "cut in half" in started("unmakable").ask(DAY).why
    with pytest.raises(ConfigError, match="rules"):
        make_answerer("oracle")


def test_one_that_keeps_dying_is_left_alone_longer_and_longer(started) -> None:
    now_s = [100.0]
    asker = started("dying", clock=lambda: now_s[0], backoff_s=1.0, backoff_limit_s=3.0)
    first = asker.ask(DAY)
    assert (first.outcome, first.retry_s) == (Outcome.FAILED, 0.0)
    assert "exit code 1" in first.why
    for wait_s in (1.0, 2.0, 3.0, 3.0):
        assert asker.ask(DAY).retry_s == wait_s
        restarts = asker.restarts
        begun = time.monotonic()
        alone = asker.ask(DAY)
        assert time.monotonic() - begun < 0.1
        assert (alone.outcome, alone.retry_s) == (Outcome.FAILED, wait_s)
        assert f"another {wait_s:.1f} s; its process is gone" in alone.why
        assert asker.restarts == restarts
        now_s[0] += wait_s


def test_back_off_ends_with_an_answer_and_survives_a_clock_set_back() -> None:
    now_s = [100.0]
    backoff = BackOff(WorkerConfig(backoff_s=1.0), lambda: now_s[0])
    for _ in range(2000):
        backoff.failed("gone")
    assert backoff.left_s() == 60.0
    now_s[0] = 20.0
    assert backoff.left_s() == 0.0
    backoff.succeeded()
    backoff.failed("gone")
    assert backoff.left_s() == 0.0


def test_one_that_takes_too_much_memory_is_ended_and_says_so(started) -> None:
    greedy = started("greedy", memory_mb=400)
    asked = greedy.ask(DAY)
    assert asked.outcome is Outcome.FAILED
    assert "more than the 400 MB of memory_mb" in asked.why
    free = started("rules", make_answerer, memory_mb=0)
    assert free.ask(DAY).outcome is Outcome.OK


def test_it_stands_back_for_localization(started, caplog) -> None:
    caplog.set_level("INFO", "geoloc_ros.vlm.process")
    cores = sorted(os.sched_getaffinity(0))
    found = texts(started("witness", nice=7, spared_cores=1).ask(DAY))
    assert int(found["nice"]) == min(os.nice(0) + 7, 19)
    assert found["cores"] == ",".join(map(str, cores[1:] or cores))
    anywhere = started("witness")
    assert texts(anywhere.ask(DAY))["cores"] == ",".join(map(str, cores))
    crowded = started("witness", spared_cores=len(cores))
    for _ in range(3):
        assert texts(crowded.ask(DAY))["cores"] == ",".join(map(str, cores))
        crowded.start()
    assert sum("shares the" in line for line in caplog.messages) == 1 + (len(cores) == 1)


def test_a_hundred_restarts_leave_nothing_behind(started) -> None:
    asker = started("witness")
    before = texts(asker.ask(DAY))["files"]
    mine = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    children = []
    for _ in range(100):
        asker.start()
        children.append(asker.pid)
    assert texts(asker.ask(DAY))["files"] == before
    assert len(list(Path("/proc/self/fd").iterdir())) == mine
    assert threading.active_count() == threads
    assert not any(Path(f"/proc/{pid}").exists() for pid in children[:-1])
    assert asker.restarts == 100


def test_it_can_be_stopped_while_somebody_waits(started) -> None:
    asker = started("slow", deadline_s=60.0)
    asker.ask(DAY)
    os.kill(asker.pid, signal.SIGSTOP)
    found = []
    waiting = threading.Thread(target=lambda: found.append(asker.ask(DAY)))
    waiting.start()
    time.sleep(0.3)
    asker.stop()
    waiting.join(5.0)
    assert not waiting.is_alive()
    assert found[0].outcome is Outcome.FAILED


def test_nonsense_is_not_an_answer(started) -> None:
    said = answered(hostile.make("rambling"), DAY, "ground")
    assert (said["outcome"], said["why"]) == (
        "UNPARSEABLE",
        "As a language model I would say F of 4",
    )
    assert answered(hostile.make("broken"), DAY, "ground")["outcome"] == "FAILED"
    abroad = hostile.make("abroad")
    outcomes = [answered(abroad, DAY, "ground")["outcome"] for _ in range(3)]
    assert outcomes == ["OK", "OK", "UNPARSEABLE"]
    mad = started("mad")
    for _ in range(4):
        assert mad.ask(DAY).outcome in (Outcome.FAILED, Outcome.UNPARSEABLE)
    assert mad.restarts == 0
