# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Worker processes end with their work, with Ctrl-C and with their parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from pathlib import Path

import pytest

from geoloc_ros import workers
from geoloc_ros.workers import submitted

SCRIPT = """
import multiprocessing, time
from geoloc_ros.workers import submitted
try:
    with submitted(time.sleep, [(300,)] * 3, 2) as jobs:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        for job in jobs:
            job.result()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def command() -> Iterator["subprocess.Popen[str]"]:
    """A command with two workers, in a process group of its own as in a terminal."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def comes_true(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30.0
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return condition()


def worker_pids(command: "subprocess.Popen[str]") -> list[int]:
    assert command.stdout is not None
    pids = [int(pid) for pid in command.stdout.readline().split()]
    assert len(pids) == 2
    return pids


def test_every_call_is_made() -> None:
    with submitted(divmod, [(7, 2), (9, 4)], 2) as jobs:
        assert {jobs[job]: job.result() for job in as_completed(jobs)} == {
            (7, 2): (3, 1),
            (9, 4): (2, 1),
        }
    assert not multiprocessing.active_children()


def test_a_failing_call_ends_the_others_at_once() -> None:
    def sleep(*calls: tuple[int]) -> None:
        with submitted(time.sleep, calls, 2) as jobs:
            for job in as_completed(jobs):
                job.result()

    started = time.monotonic()
    with pytest.raises(ValueError, match="non-negative"):
        sleep((300,), (-1,), (300,), (300,))
    assert time.monotonic() - started < 60.0
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("wait_s", [0.0, 1.0])
def test_ctrl_c_ends_all_processes_without_a_word(
    command: "subprocess.Popen[str]", wait_s: float
) -> None:
    pids = worker_pids(command)
    time.sleep(wait_s)
    os.killpg(command.pid, signal.SIGINT)
    out, errors = command.communicate(timeout=30.0)
    assert (command.returncode, out, errors) == (0, "interrupted\n", "")
    assert not any(alive(pid) for pid in pids)


def test_workers_do_not_outlive_a_killed_parent(command: "subprocess.Popen[str]") -> None:
    pids = worker_pids(command)
    time.sleep(1.0)
    command.kill()
    assert comes_true(lambda: not any(alive(pid) for pid in pids))


def test_ctrl_c_waits_whichever_thread_takes_it() -> None:
    done = []

    def take() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    def work() -> None:
        with workers._ctrl_c_held_back():
            thread = threading.Thread(target=take)
            thread.start()
            thread.join()
            done.append("the work")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the work"]
