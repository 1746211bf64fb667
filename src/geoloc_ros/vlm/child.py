# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Life of the process an answerer lives in: picture after picture, standing back for others.

Pictures and replies cross as bytes and JSON.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.config import WorkerConfig
from geoloc_ros.datatypes import Image
from geoloc_ros.errors import first_line
from geoloc_ros.vlm.answerer import Answerer, Outcome, Reply
from geoloc_ros.workers import end_with_parent

MOST_ANSWERS = 1000
MOST_GUESSES = 64
#: where memory runs out, the kernel ends this process before any other of ours
OOM_SCORE = 500


def live(
    pipe: Connection, name: str, make: Callable[[str], Answerer], config: WorkerConfig
) -> None:
    """Make the answerer, then answer until the other end is closed.

    Args:
        pipe: brings pictures, takes replies.
        name: of the answerer.
        make: makes it.
        config: how to behave.
    """
    end_with_parent()
    notes = stand_back(config)
    try:
        answerer = make(name)
    except Exception as error:  # noqa: BLE001 - told to the parent
        pipe.send_bytes(json.dumps({"error": first_line(error)}).encode())
        return
    pipe.send_bytes(json.dumps({"ready": True, "notes": notes}).encode())
    while True:
        try:
            about = json.loads(pipe.recv_bytes())
            rgb = np.frombuffer(pipe.recv_bytes(), dtype=np.uint8).reshape(about["shape"])
        except EOFError:
            return
        pipe.send_bytes(json.dumps(answered(answerer, rgb, about["view"])).encode())


def stand_back(config: WorkerConfig) -> list[str]:
    """Leave core and memory to others.

    Args:
        config: how far.

    Returns:
        What this system does not allow, a line each.
    """
    notes = []
    try:
        os.nice(config.nice)
    except (AttributeError, OSError) as error:
        notes.append(f"it runs at ordinary priority: {first_line(error)}")
    try:
        cores = sorted(os.sched_getaffinity(0))
        if config.spared_cores:
            os.sched_setaffinity(0, cores[config.spared_cores :] or cores)
            if len(cores) <= config.spared_cores:
                notes.append(f"it shares the {len(cores)} core(s) there are with localization")
    except (AttributeError, OSError) as error:
        notes.append(f"it may run on every core: {first_line(error)}")
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    except OSError as error:
        notes.append(f"when memory runs out, others may be ended first: {first_line(error)}")
    if config.memory_mb and not Path("/proc/self/statm").exists():
        notes.append("its memory is not watched: there is no /proc")
    return notes


def answered(answerer: Answerer, rgb: Image, view: str) -> dict[str, Any]:
    """What becomes of one picture (H, W, 3), as JSON can hold it."""
    try:
        reply = answerer.answer(rgb, view)
        check(reply)
        return _said(Outcome.OK, reply, "")
    except ValueError as error:
        return _said(Outcome.UNPARSEABLE, Reply(), first_line(error))
    except Exception as error:  # noqa: BLE001 - told to the parent
        return _said(Outcome.FAILED, Reply(), first_line(error))


def check(reply: Reply) -> None:
    """See that a reply makes sense, whoever gave it.

    Raises:
        ValueError: it does not.
    """
    if len(reply.answers) > MOST_ANSWERS or len(reply.guesses) > MOST_GUESSES:
        raise ValueError(
            f"{len(reply.answers)} answers and {len(reply.guesses)} guesses; at most "
            f"{MOST_ANSWERS} and {MOST_GUESSES} make sense"
        )
    for answer in reply.answers:
        for value in (answer.probability, *answer.probabilities):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{value} as a probability in the answer to {answer.question}")
    for guess in reply.guesses:
        if not (0.0 < guess.sigma_m < math.inf and 0.0 <= guess.share <= 1.0):
            raise ValueError(f"a guess with sigma {guess.sigma_m} m and share {guess.share}")
    if sum(guess.share for guess in reply.guesses) > 1.0 + 1e-6:
        raise ValueError("guesses whose shares add up to more than one")


def _said(outcome: Outcome, reply: Reply, why: str) -> dict[str, Any]:
    return {"outcome": outcome.name, "why": why, "reply": reply.plain()}
