# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A vision-language model asked about the frames of a replay, as a vehicle would ask it.

One question at a time, about the newest frame there is; the answer to it is heard a set time after
the frame, in recorded time. The model works in its own process meanwhile, and the replay waits for
it where it is slower than that: what is heard and when depends on the recording alone, not on the
machine. Only giving up (`deadline_s`) goes by the machine's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType

from geoloc_ros.config import ReplayVlmConfig
from geoloc_ros.datatypes import CameraFrame
from geoloc_ros.errors import ModelError
from geoloc_ros.evaluation.columns import Heard
from geoloc_ros.filtering.outlook import shift
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.pipeline import GeoLocalizer
from geoloc_ros.vlm.answerer import Answerer, Outcome, make_answerer
from geoloc_ros.vlm.guesses import geo_prior
from geoloc_ros.vlm.process import AnswererProcess, Asked

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Question:
    stamp_ns: int
    asked: Future[Asked]


class Asking:
    """Questions to a model about frames, and their answers in recorded time; a context manager.

    Attributes:
        heard: what became of every question, in their order.
        waited_s: what the replay has waited for answers.

    Args:
        config: whom, how often, and how long an answer takes.
        make: makes the answerer, in its process.

    Raises:
        ModelError: on entering: there is nobody to ask.
    """

    def __init__(
        self, config: ReplayVlmConfig, make: Callable[[str], Answerer] = make_answerer
    ) -> None:
        self.heard: list[Heard] = []
        self.waited_s = 0.0
        self._config = config
        self._latency_ns = round(config.latency_s * NS)
        self._now_ns: int | None = None
        self._asked_ns: int | None = None
        self._question: _Question | None = None
        # Back-off is counted from question to question: a replay is not as slow as the drive was.
        self._process = AnswererProcess(
            config.model, config.worker, make=make, clock=lambda: (self._asked_ns or 0) / NS
        )
        self._thread = ThreadPoolExecutor(1, "geoloc vlm")

    def __enter__(self) -> Asking:
        """Load the model.

        Raises:
            ModelError: it cannot be loaded.
        """
        failed = self._process.await_ready()
        if failed is not None:
            self.__exit__(None, None, None)
            raise ModelError(f"nobody answers as {self._config.model!r}: {failed.why}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the model's process."""
        self._process.stop()
        self._thread.shutdown()
        self._process.stop()  # a question under way may have started it again

    def ask(self, frame: CameraFrame) -> bool:
        """Ask about a frame, unless an answer is awaited or the last question was just now.

        Returns:
            Whether it was asked about.
        """
        now_ns, last_ns = frame.stamp_ns, self._asked_ns
        soon = last_ns is not None and 0 <= now_ns - last_ns < self._config.every_s * NS
        if self._question is not None or soon or frame.rgb is None:
            return False
        self._asked_ns = now_ns
        self._question = _Question(now_ns, self._thread.submit(self._process.ask, frame.rgb))
        return True

    def deliver(self, now_ns: int, localizer: GeoLocalizer, plane: LocalFrame) -> None:
        """Hand over the answer that is there by a time, if one is.

        Args:
            now_ns: stamp of the frame that comes next.
            localizer: hears it.
            plane: its plane.
        """
        question, before_ns = self._question, self._now_ns
        self._now_ns = now_ns
        if question is None:
            return
        if before_ns is not None and now_ns < before_ns:
            self._hear(question, -1)  # the clock was set back: it is about another time
        elif now_ns >= question.stamp_ns + self._latency_ns:
            row = self._hear(question, now_ns)
            if row.outcome == Outcome.OK.name.lower():
                self.heard[-1] = _told(localizer, plane, row)

    def finish(self) -> None:
        """The drive is over: take down the answer that nobody hears any more."""
        if self._question is not None:
            self._hear(self._question, -1)

    def _hear(self, question: _Question, now_ns: int) -> Heard:
        begun = time.perf_counter()
        asked = question.asked.result()
        self.waited_s += time.perf_counter() - begun
        self._question = None
        row = Heard(
            question.stamp_ns,
            now_ns,
            asked.outcome.name.lower(),
            asked.why,
            asked.latency_s * 1e3,
            asked.reply,
        )
        self.heard.append(row)
        return row


def _told(localizer: GeoLocalizer, plane: LocalFrame, row: Heard) -> Heard:
    """Tell the localizer an answer; what was heard, with what that changed."""
    before = localizer.belief.outlook
    if row.reply.guesses:
        localizer.apply_prior(geo_prior(row.stamp_ns, row.reply.guesses, plane))
    told = localizer.describe(row.stamp_ns, row.reply)
    row = replace(row, shift=shift(before, localizer.belief.outlook))
    if told is None:
        return row
    places = tuple(map(tuple, told.means.tolist()))
    return replace(row, places=places, shares=tuple(told.shares.tolist()))
