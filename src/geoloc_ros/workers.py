# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Worker processes that end when their work does, however it ends.

They never see Ctrl-C, which a terminal sends to all processes of a command: the parent ends them.
They end by themselves when the parent is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def submitted(
    work: Callable[..., T],
    calls: Iterable[tuple[Any, ...]],
    workers: int,
    start: Callable[[], None] | None = None,
) -> Iterator[dict[Future[T], tuple[Any, ...]]]:
    """Calls of a function, each running in one of several spawned processes.

    An error inside the context, Ctrl-C included, ends all processes at once.

    Args:
        work: the function; importable by its name.
        calls: arguments of each call.
        workers: processes.
        start: is called once in each process before its first call; can be pickled.

    Yields:
        Future of each call -> its arguments.
    """
    with pooled(workers, start) as pool:
        with _ctrl_c_held_back():
            futures = {pool.submit(work, *arguments): arguments for arguments in calls}
        yield futures


def mapped(
    work: Callable[..., T],
    calls: Iterable[tuple[Any, ...]],
    pool: ProcessPoolExecutor,
    ahead: int,
) -> Iterator[T]:
    """Results of calls in their order, made by a pool's processes; few calls are held in memory.

    Args:
        work: the function; importable by its name.
        calls: arguments of each call, taken as they are needed.
        pool: from `pooled`.
        ahead: calls under way at a time.
    """
    running: deque[Future[T]] = deque()
    for arguments in calls:
        if len(running) >= ahead:
            yield running.popleft().result()
        with _ctrl_c_held_back():
            running.append(pool.submit(work, *arguments))
    while running:
        yield running.popleft().result()


@contextlib.contextmanager
def pooled(workers: int, start: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes; an error inside the context, Ctrl-C included, ends them at once.

    Args:
        workers: how many.
        start: is called once in each process before its first call; can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max(1, workers), context, _begin, (start,))
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Ctrl-C waits until the context ends; processes started within never get it.

    The mask is what they inherit. It is of this thread only: where another one takes the signal,
    Python still interrupts the main thread, so the handler waits, too.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pressed: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _begin(start: Callable[[], None] | None) -> None:
    end_with_parent()
    if start is not None:
        start()


def end_with_parent() -> None:
    """Let this process end when the one that started it does, and not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
