# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An answerer in a process of its own: it can hang or die, and nothing here waits or dies with it.

Pictures and replies cross as bytes and JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import first_line
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.vlm.answerer import Answer, Outcome, PlaceGuess, Reply, make_answerer
from geoloc_ros.workers import end_with_parent

START_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one picture.

    Attributes:
        outcome: see `Outcome`.
        reply: what was said; empty unless the outcome is OK.
        latency_s: from question to answer, or to giving up.
        why: what went wrong.
    """

    outcome: Outcome
    reply: Reply
    latency_s: float
    why: str = ""


class AnswererProcess:
    """Asks an answerer that lives in a child process; starts it anew when it is gone.

    Not for several threads at once.

    Args:
        name: of the answerer.

    Attributes:
        restarts: how often the child was started again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._context = multiprocessing.get_context("spawn")
        self._child: Any = None
        self._pipe: Connection | None = None
        self._ready = False
        self.restarts = -1

    def start(self) -> None:
        """Start the child, without waiting for it to be ready."""
        self.stop()
        self._pipe, far = self._context.Pipe()
        self._child = self._context.Process(target=_child, args=(far, self._name), daemon=True)
        self._child.start()
        far.close()
        self._ready = False
        self.restarts += 1

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return None if self._child is None else self._child.pid

    def ask(self, rgb: Image, deadline_s: float) -> Asked:
        """Show a picture (H, W, 3); a child that misses the deadline is killed.

        Loading a model may take longer than the deadline: until the child is ready, up to two
        minutes more are granted.
        """
        begun = time.monotonic()
        if self._child is None or not self._child.is_alive():
            self.start()
        if not self._ready:
            said = self._exchange((), START_WITHIN_S)
            if isinstance(said, Asked):
                return said
            if "error" in said:
                return self._give_up(Outcome.FAILED, begun, said["error"])
            self._ready = True
        begun = time.monotonic()
        picture = np.ascontiguousarray(rgb).reshape(-1)  # send_bytes counts the first axis only
        said = self._exchange((json.dumps(rgb.shape).encode(), picture.data), deadline_s)
        return said if isinstance(said, Asked) else _read(said, time.monotonic() - begun)

    def _exchange(self, parts: tuple[Any, ...], timeout_s: float) -> dict[str, Any] | Asked:
        """Send something and wait for what comes back; sending may block as well as waiting."""
        assert self._pipe is not None  # noqa: S101 - start has made it
        begun = time.monotonic()
        watchdog = threading.Timer(timeout_s, self._child.kill)
        watchdog.start()
        try:
            for part in parts:
                self._pipe.send_bytes(part)
            said: dict[str, Any] = json.loads(self._pipe.recv_bytes())
        except (OSError, EOFError, ValueError) as error:
            if time.monotonic() - begun >= timeout_s:
                return self._give_up(Outcome.TIMED_OUT, begun, f"no answer in {timeout_s:g} s")
            return self._give_up(Outcome.FAILED, begun, f"its process is gone: {error!r}")
        finally:
            watchdog.cancel()
        return said

    def stop(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.join(5.0)
            self._child = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _give_up(self, outcome: Outcome, begun: float, why: str) -> Asked:
        self.stop()
        return Asked(outcome, Reply(), time.monotonic() - begun, why)


def _read(said: dict[str, Any], latency_s: float) -> Asked:
    outcome = Outcome[said["outcome"]]
    answers = tuple(
        Answer(**item | {"probabilities": tuple(item["probabilities"])})
        for item in said["answers"]
    )
    guesses = tuple(
        PlaceGuess(LatLon(**item["position"]), item["sigma_m"], item["share"])
        for item in said["guesses"]
    )
    return Asked(outcome, Reply(answers, guesses), latency_s, said["why"])


def _child(pipe: Connection, name: str) -> None:
    """Life of the child: make the answerer, then picture after picture."""
    end_with_parent()
    try:
        answerer = make_answerer(name)
    except Exception as error:  # noqa: BLE001 - told to the parent
        pipe.send_bytes(json.dumps({"error": first_line(error)}).encode())
        return
    pipe.send_bytes(json.dumps({"ready": True}).encode())
    while True:
        try:
            shape = json.loads(pipe.recv_bytes())
            rgb = np.frombuffer(pipe.recv_bytes(), dtype=np.uint8).reshape(shape)
        except EOFError:
            return
        pipe.send_bytes(json.dumps(_answered(answerer, rgb)).encode())


def _answered(answerer: Any, rgb: Image) -> dict[str, Any]:  # noqa: ANN401
    try:
        reply = answerer.answer(rgb)
    except ValueError as error:
        return _said(Outcome.UNPARSEABLE, Reply(), first_line(error))
    except Exception as error:  # noqa: BLE001 - told to the parent
        return _said(Outcome.FAILED, Reply(), first_line(error))
    return _said(Outcome.OK, reply, "")


def _said(outcome: Outcome, reply: Reply, why: str) -> dict[str, Any]:
    return {
        "outcome": outcome.name,
        "answers": [asdict(answer) for answer in reply.answers],
        "guesses": [asdict(guess) for guess in reply.guesses],
        "why": why,
    }
