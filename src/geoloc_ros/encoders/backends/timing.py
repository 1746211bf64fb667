# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""All back ends of a machine side by side: which work, how exact, how fast."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from geoloc_ros.encoders.backends.base import Network, Session, describe_with
from geoloc_ros.encoders.backends.choosing import Candidate, Chooser
from geoloc_ros.encoders.backends.parity import made_pictures
from geoloc_ros.encoders.backends.settled import Show, opened
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.errors import ModelError

_WARM_UP = 3
_MOST_RUNS = 500


@dataclass(frozen=True, slots=True)
class Timed:
    """One back end in one precision.

    Attributes:
        backend: its name.
        precision: see `base.PRECISIONS`.
        why_not: why it does not work; empty if it does.
        drift: largest 1 - cosine against the CPU on made pictures.
        difference: largest difference of a number.
        p50_ms: of a single picture, median.
        p95_ms: of a single picture, 95th percentile.
        images_per_s: by images of a batch.
    """

    backend: str
    precision: str
    why_not: str = ""
    drift: float | None = None
    difference: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    images_per_s: dict[int, float] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        """Whether it works here."""
        return not self.why_not


def time_backends(
    chooser: Chooser, batches: Sequence[int], seconds: float, show: Show
) -> list[Timed]:
    """Time every back end in every precision; engines of fp32 that are missing are built.

    Args:
        chooser: of the network and the back ends there are.
        batches: images of the batches whose throughput is measured.
        seconds: for each measurement.
        show: watches builds.
    """
    return [
        _timed(chooser, Candidate(backend.name, precision), batches, seconds, show)
        for backend in chooser.backends
        for precision in backend.precisions
    ]


def _timed(
    chooser: Chooser, candidate: Candidate, batches: Sequence[int], seconds: float, show: Show
) -> Timed:
    names = candidate.backend, candidate.precision
    try:
        found = opened(chooser, candidate, show)
        try:
            alone = run_times_ms(found.session, chooser.network, 1, seconds)
            speeds = {
                size: 1e3
                * size
                / float(np.mean(run_times_ms(found.session, chooser.network, size, seconds)))
                for size in batches
            }
        finally:
            if found.lease is not None:
                found.lease.close()
    except ModelError as error:
        return Timed(*names, why_not=str(error))
    p50_ms, p95_ms = np.percentile(alone, (50, 95)).tolist()
    exact = found.parity
    return Timed(*names, "", exact.drift, exact.difference, p50_ms, p95_ms, speeds)


def run_times_ms(session: Session, network: Network, size: int, seconds: float) -> list[float]:
    """How long each run on a batch of so many images takes, for about so many seconds."""
    batch = OnnxEncoder(network.package).normalise(made_pictures(network, size))
    for _ in range(_WARM_UP):
        describe_with(session, batch)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or (time.perf_counter() < end and len(taken) < _MOST_RUNS):
        begun = time.perf_counter()
        describe_with(session, batch)
        taken.append(1e3 * (time.perf_counter() - begun))
    return taken
