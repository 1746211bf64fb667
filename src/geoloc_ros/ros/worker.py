# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One thread that works when it is told that there may be something to do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Worker:
    """Calls a function again and again while it has something to do, then waits to be woken.

    An error of the function is handed on and ends nothing.

    Args:
        work: answers whether it may have more to do.
        on_error: is told what went wrong.
        name: of the thread.
    """

    def __init__(
        self, work: Callable[[], bool], on_error: Callable[[Exception], None], name: str
    ) -> None:
        self._work, self._on_error = work, on_error
        self._woken = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def ending(self) -> bool:
        """Whether `stop` has been called."""
        return self._ended.is_set()

    def rest(self, seconds: float) -> None:
        """Wait, but not longer than until the end; for the work itself."""
        self._ended.wait(seconds)

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End after the piece of work at hand; answers whether that came to its end in time."""
        self._ended.set()
        self._woken.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self.ending:
            self._woken.wait()
            self._woken.clear()
            while not self.ending and self._one():
                pass

    def _one(self) -> bool:
        try:
            return self._work()
        except Exception as error:  # noqa: BLE001 - the thread outlives whatever happens
            self._on_error(error)
            return True
