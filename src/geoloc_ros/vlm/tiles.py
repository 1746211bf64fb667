# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Many satellite crops described by several processes, each with a model of its own."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.errors import GeolocError, ModelError, first_line
from geoloc_ros.vlm.answerer import Answerer, check_answerer, make_answerer
from geoloc_ros.vlm.questions import QuestionSet
from geoloc_ros.vlm.vectors import vector
from geoloc_ros.workers import mapped, pooled

_LOG = logging.getLogger(__name__)
AHEAD = 3  # batches that wait for each process

#: of a process that describes: name and identity of its model, and what it asks
_HERE: dict[str, tuple[str, str, QuestionSet]] = {}


@contextlib.contextmanager
def describer(
    model: str,
    questions: QuestionSet,
    workers: int,
    view: str = "satellite",
    sha256: str | None = None,
) -> Iterator[Callable[[Iterable[Image]], Iterator[Float32Array]]]:
    """A function from batches of pictures to batches of descriptions, in their order.

    Args:
        model: name of the answerer, see `make_answerer`.
        questions: what is asked.
        workers: processes.
        view: `satellite` for crops, `ground` for camera views.
        sha256: identity under which the answers will be kept, see `make_answerer`.

    Yields:
        Batches (n, H, W, 3) -> batches (n, T); a picture whose answers could not be read is a row
        of zeros.

    Raises:
        ConfigError, ModelError: there is no such model, it cannot be used, or a process was ended.
    """
    _, here = check_answerer(model)  # says what is wrong before a process starts
    try:
        with pooled(workers, functools.partial(_begin, model, sha256 or here, questions)) as pool:

            def describe(batches: Iterable[Image]) -> Iterator[Float32Array]:
                calls = ((batch, view) for batch in batches)
                return mapped(_describe, calls, pool, AHEAD * workers)

            yield describe
    except BrokenProcessPool as error:
        raise ModelError(
            f"a process that asked {model} has been ended: by the kernel where memory ran out, by "
            "llama.cpp, or because it could not start, and then it has said why above; what is "
            f"finished is kept. 'geoloc vlm check {model}' says what one process needs, --workers "
            f"is {workers}: {_remedy(workers)} and run the command again"
        ) from error


def _remedy(workers: int) -> str:
    return "lower it" if workers > 1 else "end other programs"


def _begin(model: str, sha256: str, questions: QuestionSet) -> None:
    _HERE["model"] = model, sha256, questions


@functools.cache
def _answerer() -> Answerer:
    model, sha256, _ = _HERE["model"]
    return make_answerer(model, n_threads=1, sha256=sha256)  # processes share the cores


def _describe(batch: Image, view: str) -> Float32Array:
    answerer, (_, _, questions) = _answerer(), _HERE["model"]
    return np.stack([_one(answerer, questions, picture, view) for picture in batch])


def _one(answerer: Answerer, questions: QuestionSet, picture: Image, view: str) -> Float32Array:
    try:
        return vector(answerer.answer(picture, view=view), questions)
    except (ValueError, GeolocError) as error:
        _LOG.warning("a tile is left without description: %s", first_line(error))
        return np.zeros(questions.total_options, dtype=np.float32)
