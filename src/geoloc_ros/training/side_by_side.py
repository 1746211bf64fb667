# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Two things done at once: small convolutions gain more from that than from a second thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def both(first: Callable[[], A], second: Callable[[], B], at_once: bool) -> tuple[A, B]:
    """What two functions answer.

    Args:
        first: is called in this thread.
        second: is called in another thread, or after the first.
        at_once: whether in another thread; what the two change must then be apart.
    """
    if not at_once:
        return first(), second()
    with ThreadPoolExecutor(1) as other:
        beside = other.submit(second)
        return first(), beside.result()
