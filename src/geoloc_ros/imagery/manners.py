# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a server is treated: how often it is asked, how many times, and when to leave it alone."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Any

from geoloc_ros.errors import ImageryError

#: A server that asks for a longer pause is left alone, s.
MAX_PAUSE_S = 600.0
_SLOWEST_HZ = 0.2
_BOUNDS = {
    "rate_hz": (0.05, 100.0),
    "connections": (1, 16),
    "retries": (0, 20),
    "backoff_s": (0.001, 60.0),
    "timeout_s": (0.05, 300.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What is done to a server at most.

    Attributes:
        rate_hz: requests a second, of all connections together.
        connections: at a time.
        retries: further tries of one tile.
        backoff_s: pause before the first retry; each further one is twice as long.
        timeout_s: without a byte; a whole answer may take four times as long.
    """

    rate_hz: float = 10.0
    connections: int = 4
    retries: int = 5
    backoff_s: float = 1.0
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what is no manners.

        Raises:
            ImageryError: a value out of bounds.
        """
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ImageryError(f"{name} is {value:g}; it must lie in {low:g}..{high:g}")


class Pace:
    """The beat of all connections: a fixed rate, slower after a complaint, never faster."""

    def __init__(self, rate_hz: float, stop: Event) -> None:
        """Start now.

        Args:
            rate_hz: requests a second at most.
            stop: ends all waiting.
        """
        self._stop, self._lock = stop, Lock()
        self._limit_hz = self._rate_hz = rate_hz
        self._next_s = self._held_s = 0.0

    def wait(self) -> None:
        """Sleep until it is this caller's turn."""
        with self._lock:
            turn_s = max(time.monotonic(), self._next_s)
            self._next_s = turn_s + 1.0 / self._rate_hz
        while not self._stop.is_set():
            with self._lock:
                until_s = max(turn_s, self._held_s)
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                return
            self._stop.wait(left_s)

    def complain(self, pause_s: float) -> None:
        """The server wants less: nobody asks for a while, and all ask half as often then."""
        with self._lock:
            self._held_s = max(self._held_s, time.monotonic() + pause_s)
            self._rate_hz = max(0.5 * self._rate_hz, min(_SLOWEST_HZ, self._limit_hz))

    def relax(self) -> None:
        """The server is content: a little faster, up to the limit."""
        with self._lock:
            self._rate_hz = min(1.05 * self._rate_hz, self._limit_hz)


def load_httpx() -> Any:  # noqa: ANN401 - an optional package
    """The package that speaks HTTP, told not to log addresses, in which there may be keys.

    Raises:
        ImageryError: it is missing.
    """
    try:
        import httpx
    except ImportError as error:
        raise ImageryError(
            "fetching needs the package 'httpx'; install the extra: pip install "
            "'geoloc_ros[imagery]'"
        ) from error
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx


def retry_after_s(text: str) -> float:
    """Seconds to wait by a Retry-After header: a number or a date; 0 if it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
