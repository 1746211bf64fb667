# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The encoder of a vehicle: it works at once, and faster when an engine is ready.

It begins on the best back end that works now, which is the CPU where an engine must first be
built. That happens in a process of its own; when the engine is there and has passed its self-test,
the next frame is described on it. A session that fails on the way is given up for the CPU.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from geoloc_ros.config import EncoderConfig
from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.backends.base import Backend, Network
from geoloc_ros.encoders.backends.choosing import (
    AUTO,
    ON_CPU,
    Candidate,
    Choice,
    Chooser,
)
from geoloc_ros.encoders.backends.progress import Progress
from geoloc_ros.encoders.backends.settled import build
from geoloc_ros.encoders.onnx_backend import QUERY, OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError, first_line

logger = logging.getLogger(__name__)

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class BackendState:
    """What an encoder runs on, for people who watch it.

    Attributes:
        in_use: back end and precision.
        building: how far the engine of a better one is; empty if none is built.
        rejected: why each other one is not used.
        fault: why it runs on less than it should; empty if it does not.
    """

    in_use: str
    building: str
    rejected: dict[str, str]
    fault: str


class LiveEncoder(OnnxEncoder):
    """Views on the best back end there is at the time; see `OnnxEncoder`.

    A frame is described by one call, and a call ends with the session it began with.

    Args:
        package: the model.
        config: what is wanted.
        threads: of a session on the CPU.
        backends: what there is; by default all.

    Raises:
        ModelError: the back end that is named does not work here.
    """

    def __init__(
        self,
        package: ModelPackage,
        config: EncoderConfig,
        threads: int,
        backends: Sequence[Backend] = (),
    ) -> None:
        super().__init__(package, threads)
        self._wanted = config.backend
        network = Network(package, QUERY)
        self._chooser = Chooser(network, config, threads, backends)
        self._progress: Progress | None = None
        self._given_up: dict[Candidate, str] = {}
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._choice = self._chooser.choose()
        self.use(QUERY, self._choice.session)
        logger.info("the encoder runs on %s", self._choice.candidate)
        self._builder = threading.Thread(target=self._build, name="geoloc engines", daemon=True)
        if self._choice.waiting is not None:
            self._builder.start()

    @property
    def state(self) -> BackendState:
        """What it runs on now."""
        choice, progress = self._choice, self._progress
        rejected = {str(candidate): why for candidate, why in dict(self._chooser.rejected).items()}
        building = ""
        if choice.waiting is not None:
            how_far = "" if progress is None else f": {progress.words}"
            building = f"{choice.waiting}{how_far}"
        fault = "; ".join(f"{name}: {why}" for name, why in dict(self._given_up).items())
        named = self._wanted not in (AUTO, choice.candidate.backend)
        if not fault and not building and named:
            fault = self._chooser.reasons()
        return BackendState(str(choice.candidate), building, rejected, fault)

    def close(self) -> None:
        """Stop building; the session stays usable, its engine may be removed from the cache."""
        self._stop.set()
        if self._builder.is_alive():
            self._builder.join(_STOP_S)
        self._choice.close()

    def _described(self, side: str, batch: Float32Array) -> Float32Array:
        """Descriptors by the session in use; by the CPU if that fails."""
        before = self._choice.candidate
        try:
            return super()._described(side, batch)
        except ModelError as error:
            candidate = self._choice.candidate  # it may have been switched to just now
            if side != QUERY or before == candidate == ON_CPU:
                raise
            self._give_up(candidate, str(error))
        return super()._described(side, batch)

    def _give_up(self, candidate: Candidate, why: str) -> None:
        """Go on on the CPU, for good."""
        with self._changing:
            if self._choice.candidate != candidate or candidate == ON_CPU:
                return  # another thread was faster
            logger.error("%s failed while it ran, the CPU goes on: %s", candidate, why)
            self._given_up[candidate] = why
            self._chooser.reject(candidate, f"it failed while it ran: {why}")
            self._take(Choice(ON_CPU, self._chooser.cpu(), None, self._choice.waiting))

    def _take(self, choice: Choice) -> None:
        """Go on with another choice."""
        before, self._choice = self._choice, choice
        self.use(QUERY, choice.session)
        before.close()

    def _build(self) -> None:
        """Build one engine after the other until no better one is waiting."""
        while (waiting := self._choice.waiting) is not None:
            try:
                build(self._chooser, waiting, self._watch)
                if self._stop.is_set():
                    return
                found = self._chooser.choose()
            except ModelError as error:  # the one that is named does not work
                logger.error("%s", error)
                found = Choice(ON_CPU, self._chooser.cpu())
            except Exception as error:  # a fault of ours must not look like a build that goes on
                logger.exception("no engine is built any more")
                self._chooser.reject(waiting, first_line(error))
                found = Choice(ON_CPU, self._chooser.cpu())
            with self._changing:
                if found.candidate == self._choice.candidate:
                    found.close()
                    self._choice = replace(self._choice, waiting=found.waiting)
                else:
                    logger.info("the encoder runs on %s from now on", found.candidate)
                    self._take(found)

    def _watch(self, steps: Iterable[Progress]) -> None:
        for progress in steps:
            self._progress = progress
            if self._stop.is_set():
                return
