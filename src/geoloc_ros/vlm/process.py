# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An answerer in a process of its own: it can hang or die, and nothing here dies with it."""

from __future__ import annotations

import json
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import cv2
import numpy as np

from geoloc_ros.config import WorkerConfig
from geoloc_ros.datatypes import Image
from geoloc_ros.errors import GeodesyError, first_line
from geoloc_ros.vlm import child
from geoloc_ros.vlm.answerer import Answerer, Outcome, Reply, make_answerer
from geoloc_ros.vlm.watchdog import BackOff, Watchdog

logger = logging.getLogger(__name__)

#: models look at less; a larger picture is shrunk before it crosses
MOST_SIDE_PX = 2048
MOST_REPLY_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one picture.

    Attributes:
        outcome: see `Outcome`.
        reply: what was said; empty unless the outcome is OK.
        latency_s: from question to answer, or to giving up.
        why: what went wrong.
        retry_s: until then there is nobody to ask.
    """

    outcome: Outcome
    reply: Reply
    latency_s: float
    why: str = ""
    retry_s: float = 0.0


class AnswererProcess:
    """Asks an answerer that lives in a child process; starts it anew when it is gone.

    One thread asks; `stop` may be called from another.

    Args:
        name: of the answerer.
        config: its time, memory and manners.
        make: makes the answerer, in the child; can be imported by name.
        clock: seconds that back-off is counted in.

    Attributes:
        restarts: how often the child was started again.
    """

    def __init__(
        self,
        name: str,
        config: WorkerConfig | None = None,
        *,
        make: Callable[[str], Answerer] = make_answerer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._make = name, make
        self._config = config or WorkerConfig()
        self._context = multiprocessing.get_context("spawn")
        self._backoff = BackOff(self._config, clock)
        self._changing = threading.Lock()
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ready = False
        self._notes: set[str] = set()
        self.restarts = -1

    def start(self) -> None:
        """Start the child, without waiting for it to be ready."""
        self.stop()
        pipe, far = self._context.Pipe()
        fresh = self._context.Process(
            target=child.live, args=(far, self._name, self._make, self._config), daemon=True
        )
        try:
            fresh.start()
        except OSError as error:
            pipe.close()
            self._backoff.failed(f"its process cannot be started: {first_line(error)}")
            return
        finally:
            far.close()
        with self._changing:
            self._child, self._pipe, self._ready = fresh, pipe, False
        self.restarts += 1

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        running = self._child
        with suppress(ValueError):  # it has just been stopped
            return None if running is None else running.pid
        return None

    def ask(self, rgb: Image, view: str = "ground") -> Asked:
        """Show a picture (H, W, 3); a child that misses the deadline is killed.

        Loading a model may take longer than the deadline, and has a time of its own. While the
        child is left alone after repeated failures, the answer is FAILED at once.

        Args:
            rgb: the picture.
            view: seen from where: "ground" or "satellite".
        """
        failed = self.await_ready()
        if failed is not None:
            return failed
        begun = time.monotonic()
        rgb = _shrunk(rgb)
        picture = np.ascontiguousarray(rgb).reshape(-1)  # send_bytes counts the first axis only
        about = json.dumps({"shape": rgb.shape, "view": view}).encode()
        said = self._exchange((about, picture.data), self._config.deadline_s)
        if isinstance(said, Asked):
            return said
        try:
            outcome, reply = Outcome[said["outcome"]], Reply.of(said["reply"])
        except (KeyError, TypeError, GeodesyError) as error:
            return self._give_up(Outcome.FAILED, begun, f"its process talks nonsense: {error!r}")
        self._backoff.succeeded()
        return Asked(outcome, reply, time.monotonic() - begun, said["why"])

    def await_ready(self) -> Asked | None:
        """Wait until there is somebody to ask; answers what went wrong, if anything."""
        begun = time.monotonic()
        running = self._child
        if running is not None and (ended := _ending(running)):
            self._give_up(Outcome.FAILED, begun, f"its process is gone: {ended}")
        if self._child is None and not self._backoff.left_s():
            self.start()
        if self._child is None:
            left_s = self._backoff.left_s()
            why = f"left alone for another {left_s:.1f} s; {self._backoff.why}"
            return Asked(Outcome.FAILED, Reply(), 0.0, why, left_s)
        if self._ready:
            return None
        said = self._exchange((), self._config.start_s)
        if isinstance(said, Asked):
            return said
        if "error" in said:
            return self._give_up(Outcome.FAILED, begun, said["error"])
        self._ready = True
        for note in set(said.get("notes", ())) - self._notes:
            logger.info("the vision-language model's process: %s", note)
            self._notes.add(note)
        return None

    def _exchange(self, parts: tuple[Any, ...], timeout_s: float) -> dict[str, Any] | Asked:
        """Send something and wait for what comes back; sending may block as well as waiting."""
        begun, running, pipe = time.monotonic(), self._child, self._pipe
        if running is None or pipe is None:
            return self._give_up(Outcome.FAILED, begun, "its process was stopped")
        why, said = "", None
        with Watchdog(running, timeout_s, self._config.memory_mb) as watchdog:
            try:
                for part in parts:
                    pipe.send_bytes(part)
                said = json.loads(pipe.recv_bytes(MOST_REPLY_BYTES))
            except (OSError, EOFError, ValueError) as error:
                why = f"its process is gone: {_ending(running, 1.0) or first_line(error)}"
        if watchdog.verdict is not None:
            return self._give_up(watchdog.verdict[0], begun, watchdog.verdict[1])
        if not isinstance(said, dict):
            return self._give_up(Outcome.FAILED, begun, why or "its process talks nonsense")
        return said

    def stop(self) -> None:
        """Kill the child, if there is one."""
        with self._changing:
            running, self._child = self._child, None
            pipe, self._pipe = self._pipe, None
        if running is not None:
            running.kill()
            running.join(5.0)
            if running.exitcode is not None:  # else it is reaped when the next one starts
                running.close()
        if pipe is not None:
            pipe.close()

    def _give_up(self, outcome: Outcome, begun: float, why: str) -> Asked:
        self.stop()
        self._backoff.failed(why)
        return Asked(
            outcome, Reply(), time.monotonic() - begun, why, retry_s=self._backoff.left_s()
        )


def _ending(running: BaseProcess, within_s: float = 0.0) -> str:
    """How a child has ended; empty where it lives on."""
    try:
        running.join(within_s)
        code = running.exitcode
    except ValueError:
        return "it was stopped"
    if code is None:
        return ""
    return f"killed by signal {-code}" if code < 0 else f"it ended by itself, exit code {code}"


def _shrunk(rgb: Image) -> Image:
    """A picture whose longer side is at most `MOST_SIDE_PX`."""
    height, width = rgb.shape[:2]
    scale = MOST_SIDE_PX / max(height, width, 1)
    if scale >= 1.0:
        return rgb
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
