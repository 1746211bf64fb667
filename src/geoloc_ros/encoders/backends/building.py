# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Engines are built in a process of their own: it may take minutes, crash or be killed.

The process holds the engine's lock, so that the engine is built once whoever asks, and it ends
when the one that asked does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from geoloc_ros.encoders.backends.base import EngineBackend, Job, Tell
from geoloc_ros.encoders.backends.cache import EngineCache
from geoloc_ros.encoders.backends.key import EngineKey, engine_key
from geoloc_ros.encoders.backends.progress import Progress
from geoloc_ros.errors import GeolocError, ModelError, first_line
from geoloc_ros.workers import end_with_parent

_MOST_BYTES = 100_000
#: localization goes first
_NICE = 10
_POLL_S = 0.2


def built_apart(
    cache: EngineCache, backend: EngineBackend, job: Job
) -> Generator[Progress, None, None]:
    """Build an engine in another process, or wait for a process that builds it already.

    Args:
        cache: where it is kept.
        backend: builds it; can be pickled.
        job: what for.

    Yields:
        How far it is, at least twice a second; it ends when the engine is there. Closing the
        generator ends the process.

    Raises:
        ModelError: it cannot be built, with the reason.
    """
    begun = time.monotonic()
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe(duplex=False)
    child = context.Process(target=_build, args=(far, cache, backend, job), daemon=True)
    said: tuple[str, float | None] = ("starting", None)
    try:
        try:
            child.start()
        except OSError as error:
            raise ModelError(
                f"the process that builds an engine cannot be started: {first_line(error)}"
            ) from error
        far.close()
        while True:
            yield Progress(said[0], time.monotonic() - begun, said[1])
            try:
                heard = json.loads(pipe.recv_bytes(_MOST_BYTES)) if pipe.poll(_POLL_S) else None
            except EOFError:
                raise ModelError(f"the process that built an engine {_ending(child)}") from None
            if heard is None:
                continue
            if "error" in heard:
                raise ModelError(heard["error"])
            if "ready" in heard:
                return
            said = (heard["what"], heard["done"])
    finally:
        pipe.close()
        if child.pid is not None:
            child.terminate()
            child.join()


def _ending(child: BaseProcess) -> str:
    child.join(5.0)
    code = child.exitcode or 0
    if code < 0:
        return (
            f"was killed by signal {-code}, as it is where memory runs out; it may be tried again"
        )
    return f"ended by itself, exit code {code}; its log says why"


def _build(pipe: Connection, cache: EngineCache, backend: EngineBackend, job: Job) -> None:
    """Life of the process."""
    end_with_parent()
    with suppress(OSError):
        os.nice(_NICE)
    send = _Sender(pipe)
    try:
        key = engine_key(backend, job)
        build_here(cache, backend, job, key, send)
    except GeolocError as error:
        send.say({"error": str(error)})
    except Exception as error:  # noqa: BLE001 - told to the parent
        send.say({"error": f"{key_words(job)} cannot be built: {first_line(error)}"})
    else:
        send.say({"ready": True})


def key_words(job: Job) -> str:
    """What is built, for people."""
    return f"the {job.precision} engine of {job.network.path}"


class _Sender:
    """Tells the parent, from any thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def __call__(self, done: float | None, what: str) -> None:
        self.say({"done": done, "what": what[:200]})

    def say(self, content: dict[str, Any]) -> None:
        with self._lock, suppress(OSError):  # nobody listens any more: the end is near
            self._pipe.send_bytes(json.dumps(content).encode())


def build_here(
    cache: EngineCache, backend: EngineBackend, job: Job, key: EngineKey, tell: Tell
) -> bool:
    """Build an engine in this process; see `EngineCache.build`."""

    def write(folder: Path) -> None:
        tell(None, f"building {key.words}")
        backend.build(job, folder, tell)

    def waiting() -> None:
        tell(None, f"another process builds the {key.words}; waiting for it")

    return cache.build(key, write, job.network.path.stat().st_size, waiting)
