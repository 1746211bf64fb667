# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tries a vision-language model: does it load, does it look, does it answer, how fast.

llama.cpp ends the process over some files, so a model nobody knows is tried in one of its own.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import GeolocError, ModelError, first_line
from geoloc_ros.process_memory import peak_rss_mb
from geoloc_ros.vlm.answerer import UNPARSEABLE, Reply
from geoloc_ros.vlm.llama import LlamaVlm
from geoloc_ros.vlm.opening import open_vlm
from geoloc_ros.vlm.package import VlmPackage


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a model.

    Attributes:
        load_s: time to load it.
        image_s: time for all questions about one picture.
        picture_tokens: tokens of a picture.
        question_tokens: tokens of all questions.
        questions: how many were asked.
        unparseable: how many of them got no letter.
        looks: whether answers change with the picture.
        peak_mb: most memory the process had.
        threads: it computed with.
    """

    load_s: float
    image_s: float
    picture_tokens: int
    question_tokens: int
    questions: int
    unparseable: int
    looks: bool
    peak_mb: float
    threads: int


@dataclass(frozen=True, slots=True)
class Bench:
    """Time for one picture, asked both ways in turn.

    Attributes:
        image_s: median with the picture encoded once, s.
        separately_s: median with the picture encoded anew for every question, s.
        encode_once_speedup: their ratio.
        pictures: how often each was timed.
        picture_tokens: tokens of a picture.
        question_tokens: tokens of all questions.
        questions: how many were asked.
        difference: largest between the probabilities of the two ways.
    """

    image_s: float
    separately_s: float
    encode_once_speedup: float
    pictures: int
    picture_tokens: int
    question_tokens: int
    questions: int
    difference: float


def try_apart(name: str, mmproj: Path | None = None, n_threads: int | None = None) -> Trial:
    """Try a model in a process of its own; arguments as of `open_vlm` and `LlamaVlm`.

    Raises:
        ModelError: it cannot be used; says why, also when the process was ended.
    """
    arguments = [name, str(mmproj or ""), str(n_threads or "")]
    command = [sys.executable, "-m", "geoloc_ros.vlm.trial", *arguments]
    quiet = os.environ | {"GGML_NO_BACKTRACE": "1"}
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, errors="replace")
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ModelError(_obituary(done.returncode, done.stderr)) from error
    if "error" in said:
        raise ModelError(said["error"])
    return Trial(**said)


def _try_here(package: VlmPackage, n_threads: int | None) -> dict[str, Any]:
    begun = time.monotonic()
    vlm = LlamaVlm(package, n_threads=n_threads)
    loaded = time.monotonic()
    first = vlm.answer(made_picture(0))
    again = time.monotonic()
    second = vlm.answer(made_picture(1))
    trial = Trial(
        load_s=loaded - begun,
        image_s=time.monotonic() - again,
        picture_tokens=vlm.size.picture_tokens,
        question_tokens=vlm.size.question_tokens,
        questions=vlm.size.questions,
        unparseable=sum(answer.answer == UNPARSEABLE for answer in first.answers),
        looks=difference(first, second) > 1e-3,
        peak_mb=peak_rss_mb(),
        threads=vlm.n_threads,
    )
    vlm.close()
    return asdict(trial)


def bench(vlm: LlamaVlm, rgb: Image, repeats: int) -> Bench:
    """Time a model on a picture (H, W, 3), all questions at once and one by one, in turn."""
    together, separately = [], []
    reply, slow = vlm.answer(rgb), Reply()
    size = vlm.size
    for _ in range(repeats):
        begun = time.monotonic()
        reply = vlm.answer(rgb)
        between = time.monotonic()
        slow = vlm.ask_separately(rgb)
        together.append(between - begun)
        separately.append(time.monotonic() - between)
    image_s, separately_s = statistics.median(together), statistics.median(separately)
    return Bench(
        image_s=image_s,
        separately_s=separately_s,
        encode_once_speedup=separately_s / image_s,
        pictures=repeats,
        picture_tokens=size.picture_tokens,
        question_tokens=size.question_tokens,
        questions=size.questions,
        difference=difference(reply, slow),
    )


def difference(one: Reply, other: Reply) -> float:
    """Largest difference between the probabilities of two replies to the same questions."""
    return max(
        (
            abs(p - q)
            for a, b in zip(one.answers, other.answers, strict=True)
            for p, q in zip(a.probabilities, b.probabilities, strict=False)
        ),
        default=0.0,
    )


def made_picture(seed: int) -> Image:
    """A picture (270, 480, 3) that looks like nothing: soft blobs of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (480, 270), interpolation=cv2.INTER_CUBIC), np.uint8)


def _obituary(status: int, complaints: str) -> str:
    """Why a process that was to try a model is gone."""
    try:
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
    except ValueError:
        how = f"signal {-status}"
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "it said nothing"
    return f"llama.cpp ended the process with {how} over this model: {last}; take another model"


def _main(arguments: list[str]) -> int:
    """The process of `try_apart`: model, mmproj or nothing, threads or nothing."""
    name, mmproj, n_threads = arguments
    try:
        package = open_vlm(name, Path(mmproj) if mmproj else None)
        said: dict[str, Any] = _try_here(package, int(n_threads) if n_threads else None)
    except (GeolocError, ValueError) as error:
        said = {"error": first_line(error)}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
