# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which back end a network runs on: the first that really works, with the reason for each other.

A back end works if nothing on the machine speaks against it, its engine (if it needs one) is in
the cache and verified, it opens, and its descriptors are those of the CPU (`parity`). An engine of
less than fp32 must also have been measured on the area and accepted (`verdict`); where it was not,
the same back end is tried in fp32.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geoloc_ros.config import EncoderConfig
from geoloc_ros.encoders.backends import calibration, parity, verdict
from geoloc_ros.encoders.backends.base import Backend, EngineBackend, Job, Network, Session
from geoloc_ros.encoders.backends.cache import EngineCache, Lease
from geoloc_ros.encoders.backends.key import engine_key
from geoloc_ros.encoders.backends.native import NativeTensorRT
from geoloc_ros.encoders.backends.ort import OrtCpu, OrtCuda, OrtTensorRT
from geoloc_ros.errors import ModelError, first_line

logger = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A back end in a precision."""

    backend: str
    precision: str = "fp32"

    def __str__(self) -> str:
        """For people; ONNX Runtime on the CPU has one precision only."""
        return self.backend if self.backend == CPU else f"{self.backend} {self.precision}"


CPU = OrtCpu.name
ON_CPU = Candidate(CPU)


@dataclass(frozen=True, slots=True)
class Opened:
    """A candidate that works.

    Attributes:
        session: runs the network.
        lease: holds its engine in the cache, if it has one.
        parity: how near it is to the CPU.
    """

    session: Session
    lease: Lease | None
    parity: parity.Parity


@dataclass(frozen=True, slots=True)
class Choice:
    """What a network runs on now.

    Attributes:
        candidate: its name and precision.
        session: runs it.
        lease: holds its engine in the cache, if it has one.
        waiting: one that would come before it, but its engine must be built first.
    """

    candidate: Candidate
    session: Session
    lease: Lease | None = None
    waiting: Candidate | None = None

    def close(self) -> None:
        """Let the engine go."""
        if self.lease is not None:
            self.lease.close()


def all_backends() -> tuple[Backend, ...]:
    """Every back end, in the order in which they are tried."""
    return NativeTensorRT(), OrtTensorRT(), OrtCuda(), OrtCpu()


def cache_of(config: EncoderConfig) -> EngineCache:
    """The cache a configuration names; the user's own if it names none (XDG)."""
    root = Path(config.engine_dir).expanduser()
    if not config.engine_dir:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        root = Path(base) / "geoloc_ros" / "engines"
    return EngineCache(root, config.engine_budget_mb)


@dataclass
class Chooser:
    """Chooses for one network.

    Attributes:
        network: the network.
        config: what is wanted.
        threads: of sessions on the CPU.
        backends: what there is; by default all.
        rejected: why each of the others is not used.
        built: those whose engine was built by this process; it is not built twice.
        cache: of engines.
    """

    network: Network
    config: EncoderConfig
    threads: int
    backends: Sequence[Backend] = ()
    rejected: dict[Candidate, str] = field(default_factory=dict)
    built: set[Candidate] = field(default_factory=set)
    cache: EngineCache = field(init=False)
    _cpu: Session | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Take all back ends if none are named, and the cache the configuration names."""
        self.backends = self.backends or all_backends()
        self.cache = cache_of(self.config)

    def choose(self) -> Choice:
        """The first candidate that works.

        While the engine of one that is named must still be built, that is the CPU.

        Raises:
            ModelError: the one that is named does not work.
        """
        waiting: Candidate | None = None
        for candidate in self.candidates():
            if candidate in self.rejected:
                continue
            try:
                found = self.opened(candidate)
            except ModelError as error:
                self.reject(candidate, str(error))
                continue
            if found is not None:
                return Choice(candidate, found.session, found.lease, waiting)
            waiting = waiting or candidate
        if waiting is not None:
            return Choice(ON_CPU, self.cpu(), None, waiting)
        raise ModelError(
            f"encoder.backend is {self.config.backend} and does not work here: {self.reasons()}; "
            "'geoloc model bench' shows what works"
        )

    def opened(self, candidate: Candidate) -> Opened | None:
        """A candidate that passed its self-test; None if its engine must be built first.

        Raises:
            ModelError: it does not work, with the reason.
        """
        if candidate == ON_CPU:
            return Opened(self.cpu(), None, parity.Parity(0.0, 0.0))
        try:
            return self._opened(candidate)
        except ModelError:
            raise
        except Exception as error:  # libraries of GPUs raise anything
            raise ModelError(f"{type(error).__name__}: {first_line(error)}") from error

    def _opened(self, candidate: Candidate) -> Opened | None:
        backend = self.backend(candidate.backend)
        trouble = backend.trouble()
        if candidate.precision not in backend.precisions:
            trouble = f"it runs in {', '.join(backend.precisions)}, not in {candidate.precision}"
        if trouble:
            raise ModelError(trouble)
        lease = None
        if isinstance(backend, EngineBackend):
            lease = self._lease(backend, candidate)
            if lease is None:
                return None
        try:
            if lease is not None and candidate.precision != "fp32":
                self._must_be_accepted(lease, candidate)
            session = self._session(backend, candidate, lease)
            found = parity.check(session, self.cpu(), self.network, candidate.precision)
        except BaseException:
            if lease is not None:
                lease.close()
            raise
        logger.info("%s works for %s: drift %.2g", candidate, self.network.side, found.drift)
        return Opened(session, lease, found)

    def candidates(self) -> Iterator[Candidate]:
        """What may be chosen, best first."""
        for backend in self.backends:
            if self.config.backend not in (AUTO, backend.name):
                continue
            if self.config.precision != "fp32" and backend.name != CPU:
                yield Candidate(backend.name, self.config.precision)
            yield Candidate(backend.name)

    def reject(self, candidate: Candidate, why: str) -> None:
        """Do not choose one again, and say why."""
        logger.info("%s is not used for %s: %s", candidate, self.network.side, why)
        self.rejected[candidate] = why

    def reasons(self) -> str:
        """Why each one is not used, one line."""
        return "; ".join(f"{candidate}: {why}" for candidate, why in self.rejected.items())

    def job(self, candidate: Candidate) -> Job:
        """What a candidate is to do."""
        current = ""
        if candidate.precision == "int8":
            current = calibration.current(self.cache.root, self.network)
        return Job(
            network=self.network,
            precision=candidate.precision,
            threads=self.threads,
            workspace_mb=self.config.workspace_mb,
            calibration=current,
        )

    def backend(self, name: str) -> Backend:
        """The back end of a name."""
        return next(backend for backend in self.backends if backend.name == name)

    def cpu(self) -> Session:
        """The session that works everywhere.

        Raises:
            ModelError: the model's file cannot be used.
        """
        if self._cpu is None:
            self._cpu = OrtCpu().open(Job(network=self.network, threads=self.threads))
        return self._cpu

    def _session(self, backend: Backend, candidate: Candidate, lease: Lease | None) -> Session:
        if lease is None:
            return backend.open(self.job(candidate))
        try:
            return backend.open(self.job(candidate), lease.folder)
        except ModelError as error:
            raise ModelError(f"{error}; remove {lease.folder} to have it built again") from error

    def _lease(self, backend: EngineBackend, candidate: Candidate) -> Lease | None:
        """A candidate's engine; None if it is not there and may be built on the way.

        Raises:
            ModelError: it is not there though it was built, or nobody could measure it on the way.
        """
        lease = self.cache.open(engine_key(backend, self.job(candidate)))
        if lease is None and candidate.precision != "fp32":
            raise ModelError(f"no engine of {candidate.precision} was built; {_how(candidate)}")
        if lease is None and candidate in self.built:
            raise ModelError("its engine was built and is gone or damaged")
        return lease

    def _must_be_accepted(self, lease: Lease, candidate: Candidate) -> None:
        found = verdict.read_verdict(lease)
        if found is None:
            raise ModelError(f"its engine was never measured; {_how(candidate)}")
        refusal = found.refusal(self.config)
        if refusal:
            raise ModelError(f"its engine is not accepted {refusal}")


def _how(candidate: Candidate) -> str:
    return (
        f"'geoloc model build-engine MODEL --precision {candidate.precision} --calibrate INDEX' "
        "builds and measures it"
    )
