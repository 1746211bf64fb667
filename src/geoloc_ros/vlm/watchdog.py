# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What keeps an answerer's process within its time and its memory, and how often it may fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from types import TracebackType

from geoloc_ros.config import WorkerConfig
from geoloc_ros.process_memory import resident_bytes
from geoloc_ros.vlm.answerer import Outcome

PERIOD_S = 0.05


class Watchdog:
    """Kills a child that takes too long or grows too large; a context manager around the wait.

    A thread of its own, because sending a large picture may block as well as waiting does, and
    because a child that is stopped or busy cannot watch itself.

    Attributes:
        verdict: why the child was killed, None if it was not.

    Args:
        child: that is watched.
        timeout_s: it may take.
        memory_mb: it may hold; 0: any amount.
    """

    def __init__(self, child: BaseProcess, timeout_s: float, memory_mb: int) -> None:
        self.verdict: tuple[Outcome, str] | None = None
        self._child, self._timeout_s, self._memory_mb = child, timeout_s, memory_mb
        self._pid = child.pid or 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vlm watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The wait is over; nothing is killed from here on."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        end = time.monotonic() + self._timeout_s
        while self.verdict is None:
            left_s = end - time.monotonic()
            if self._over.wait(max(min(left_s, PERIOD_S) if self._memory_mb else left_s, 0.0)):
                return
            held_mb = resident_bytes(self._pid) / 1e6 if self._memory_mb else 0.0
            if held_mb > self._memory_mb:
                self.verdict = (
                    Outcome.FAILED,
                    f"its process held {held_mb:.0f} MB, more than the {self._memory_mb} MB of "
                    "memory_mb: take a smaller model or raise the limit",
                )
            elif time.monotonic() >= end:
                self.verdict = Outcome.TIMED_OUT, f"no answer in {self._timeout_s:g} s"
        with suppress(ValueError):  # somebody else has stopped it
            self._child.kill()


class BackOff:
    """How long a process that keeps failing is left alone.

    It is started again at once after a first failure, then after `backoff_s`, then after twice as
    long each time, up to `backoff_limit_s`; an answer makes it a first failure again.

    Args:
        config: the two times.
        clock: seconds; what a replay counts in is recorded time.

    Attributes:
        why: what went wrong last.
    """

    def __init__(self, config: WorkerConfig, clock: Callable[[], float]) -> None:
        self.why = ""
        self._config, self._clock = config, clock
        self._failures = 0
        self._failed_at_s = self._wait_s = 0.0

    def failed(self, why: str) -> None:
        """The process is gone or was killed."""
        self.why = why
        self._failures += 1
        config, doublings = self._config, min(self._failures - 2, 40)
        wait_s = config.backoff_s * 2.0**doublings if doublings >= 0 else 0.0
        self._wait_s = min(wait_s, config.backoff_limit_s)
        self._failed_at_s = self._clock()

    def succeeded(self) -> None:
        """It has answered."""
        self._failures, self._wait_s, self.why = 0, 0.0, ""

    def left_s(self) -> float:
        """Seconds until it may be started again."""
        waited_s = self._clock() - self._failed_at_s
        return max(self._wait_s - waited_s, 0.0) if waited_s >= 0.0 else 0.0  # a clock set back
