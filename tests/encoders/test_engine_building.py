# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Engines built in another process: progress, failures, kill -9, two that want the same."""

import dataclasses
import os
import signal
import threading
import time
from contextlib import closing

import pytest
from fake_engines import FakeTensorRT
from made_flight import write_model

from geoloc_ros.encoders.backends.base import Job, Network
from geoloc_ros.encoders.backends.building import built_apart
from geoloc_ros.encoders.backends.cache import EngineCache
from geoloc_ros.encoders.backends.key import engine_key
from geoloc_ros.encoders.backends.progress import Phases, Progress
from geoloc_ros.errors import ModelError


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    package = write_model(tmp_path_factory.mktemp("model") / "pooled")
    return Job(network=Network(package, "query"))


@pytest.fixture
def cache(tmp_path) -> EngineCache:
    return EngineCache(tmp_path / "engines", 16)


@pytest.fixture
def fake(tmp_path) -> FakeTensorRT:
    return FakeTensorRT(tmp_path / "builds")


def builder_of(fake: FakeTensorRT, builds: int = 1) -> int:
    """Process that builds, once there is one."""
    end = time.monotonic() + 60.0
    while fake.count < builds and time.monotonic() < end:
        time.sleep(0.02)
    return int(fake.log.read_text().splitlines()[-1].split()[0])


def test_an_engine_comes_from_another_process_with_progress(cache, fake, job):
    steps = list(built_apart(cache, dataclasses.replace(fake, takes_s=1.0), job))
    assert builder_of(fake) != os.getpid()
    done = [step.done for step in steps if step.done is not None]
    assert done == sorted(done)
    assert len(done) > 2
    assert max(step.left_s for step in steps if step.left_s is not None) > 0.0
    assert any("building tensorrt engine fp32" in step.what for step in steps)
    assert cache.open(engine_key(fake, job)) is not None


def test_one_that_is_there_is_not_built_again(cache, fake, job):
    for _ in range(2):
        list(built_apart(cache, fake, job))
    assert fake.count == 1


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("raises", "TensorRT cannot build: no kernel for GridSample"),
        ("full", "No space left on device; free some space"),
        ("dies", "was killed by signal 6, as it is where memory runs out"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(cache, fake, job, ends, words):
    with pytest.raises(ModelError, match=words):
        list(built_apart(cache, dataclasses.replace(fake, ends=ends), job))
    assert cache.open(engine_key(fake, job)) is None
    list(built_apart(cache, fake, job))
    assert sorted(path.name for path in cache.root.iterdir()) == sorted(
        ["locks", engine_key(fake, job).digest]
    )


def test_kill_9_of_the_builder_is_told_and_the_next_build_is_whole(cache, fake, job):
    hanging = dataclasses.replace(fake, ends="hangs")

    def kill() -> None:
        os.kill(builder_of(fake), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ModelError, match="was killed by signal 9"):
        list(built_apart(cache, hanging, job))
    killer.join()
    assert cache.open(engine_key(fake, job)) is None
    list(built_apart(cache, fake, job))
    assert cache.open(engine_key(fake, job)) is not None


def test_who_gives_up_ends_the_process(cache, fake, job):
    with closing(built_apart(cache, dataclasses.replace(fake, ends="hangs"), job)) as steps:
        while not fake.count:
            next(steps)
        pid = builder_of(fake)
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_processes_that_want_the_same_build_it_once(cache, fake, job):
    slow = dataclasses.replace(fake, takes_s=1.0)
    said: list[set[str]] = [set(), set()]

    def want(number: int) -> None:
        said[number] = {step.what for step in built_apart(cache, slow, job)}

    threads = [threading.Thread(target=want, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fake.count == 1
    assert any("another process builds" in what for what in said[0] | said[1])


# -- progress -----------------------------------------------------------------------------------


def test_phases_in_phases_count_for_their_step():
    phases = Phases()
    phases.begin("build", None, 4)
    assert phases.done == 0.0
    phases.step("build", 0)
    assert phases.done == pytest.approx(1 / 4)
    phases.begin("tactics", "build", 10)
    phases.step("tactics", 4)
    assert phases.done == pytest.approx((1 + 0.5) / 4)
    phases.begin("kernel", "tactics", 2)
    phases.step("kernel", 0)
    assert phases.done == pytest.approx((1 + 5.5 / 10) / 4)
    phases.end("kernel")
    phases.end("tactics")
    assert phases.done == pytest.approx((1 + 5.5 / 10) / 4), "it never falls"
    phases.step("build", 1)
    assert phases.done == pytest.approx(2 / 4)
    phases.end("build")
    assert phases.done == 0.99
    phases.begin("again", None, 2)
    phases.step("again", 0)
    assert phases.done == 0.99


def test_steps_of_nothing_and_beyond_the_last_do_no_harm():
    phases = Phases()
    phases.step("unknown", 3)
    phases.end("unknown")
    phases.begin("build", "", 0)
    phases.step("build", 7)
    assert phases.done == 0.99


@pytest.mark.parametrize(
    ("progress", "left_s", "words"),
    [
        (Progress("building", 30.0, None), None, "building, 30 s so far"),
        (Progress("building", 30.0, 0.01), None, "building, 1% done"),
        (Progress("building", 30.0, 0.25), 90.0, "building, 25% done, about 2 min left"),
        (Progress("building", 30.0, 0.75), 10.0, "building, 75% done, about 10 s left"),
    ],
)
def test_the_time_that_is_left(progress, left_s, words):
    assert progress.left_s == left_s
    assert progress.words == words
