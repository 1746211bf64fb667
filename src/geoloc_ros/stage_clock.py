# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What each stage of the spine takes, for callers that want to know."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable


class StageClock:
    """Milliseconds per stage, added up until they are taken; stages do not nest.

    Args:
        seconds: the clock: wall time, or `time.thread_time` for the work of this thread.
    """

    def __init__(self, seconds: Callable[[], float] = time.perf_counter) -> None:
        self.spent_ms: dict[str, float] = defaultdict(float)
        self._seconds = seconds
        self._stage, self._start = "", 0.0

    def __call__(self, stage: str) -> StageClock:
        """The context in which a stage runs."""
        self._stage = stage
        return self

    def __enter__(self) -> None:
        """The stage begins."""
        self._start = self._seconds()

    def __exit__(self, *error: object) -> None:
        """The stage ends."""
        self.spent_ms[self._stage] += (self._seconds() - self._start) * 1e3

    def take(self) -> dict[str, float]:
        """What was spent since it was taken last."""
        spent = dict(self.spent_ms)
        self.spent_ms.clear()
        return spent
