# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Building cells on the machines of a Ray cluster (Moritz et al., OSDI 2018).

Each worker is an actor that holds the encoder and the imagery and runs the same `CellLine` as a
build in one process. The driver hands cells out, a few to each worker, and takes records back; it
alone writes notes and the manifest. A worker that is lost gives its cells back and is replaced as
soon as the cluster has room for another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import geoloc_ros
from geoloc_ros.errors import ConfigError, GeolocError, IndexBuildError, first_line
from geoloc_ros.imagery.windows import OrthoWindows
from geoloc_ros.index.cell_line import CellJob, CellLine, CellWork
from geoloc_ros.index.engines import Finished, Tick
from geoloc_ros.index.records import ShardRecord

_LOG = logging.getLogger(__name__)

#: A cell that was lost with this many workers is not given to another.
MAX_LOSSES = 3
#: How long to wait for a worker when there is none, s.
MAX_WAIT_S = 600.0
#: More threads in one worker would wait for Python's lock.
_MAX_THREADS = 16
_POLL_S = 5.0
_REACH_S = 10.0


class Worker:
    """What runs on a machine of the cluster: a line of cells."""

    def open(self, job: CellJob, version: str) -> str:
        """Open what the job needs.

        Returns:
            The machine's name.

        Raises:
            IndexBuildError: this machine cannot do the job; the message says which and why.
        """
        machine = socket.gethostname()
        if version != geoloc_ros.__version__:
            raise IndexBuildError(
                f"the machine {machine} has geoloc_ros {geoloc_ros.__version__}, the one that "
                f"asks {version}; install the same on all machines"
            )
        job.shelf.check()
        if isinstance(job.ground, OrthoWindows):
            _check_imagery(job.ground, machine)
        self._line = CellLine(job)
        return machine

    def build(self, cell: CellWork) -> ShardRecord | None:
        """Build a cell; called by several threads at once."""
        return self._line.build(cell)


class RayEngine:
    """Builds cells on a cluster.

    Args:
        address: of the cluster, e.g. `auto`, `10.0.0.1:6379` or `ray://10.0.0.1:10001`; None: what
            RAY_ADDRESS says, else the cluster of this machine, else one of this machine alone.
        workers: how many; 0: as many as the CPUs of the cluster have room for.
    """

    remote = True

    def __init__(self, address: str | None = None, workers: int = 0) -> None:
        self._address, self._workers = address, workers

    def run(self, job: CellJob, cells: Iterable[CellWork], finished: Finished, tick: Tick) -> None:
        """Build cells; see `engines.Engine.run`.

        Raises:
            IndexBuildError: no cluster, a machine that cannot do the job, a cell that was lost
                with several workers, or no worker left.
        """
        waiting = iter(cells)
        first = next(waiting, None)
        if first is None:
            return
        ray = _ray()
        mine = _join(ray, self._address)
        try:
            threads, count = _room(ray, job.threads, self._workers)
            ground = job.ground
            if isinstance(ground, OrthoWindows):
                ground = dataclasses.replace(ground, path=ground.path.resolve())
            crew = _Crew(ray, dataclasses.replace(job, ground=ground, threads=threads), count)
            try:
                crew.run(chain([first], waiting), finished, tick)
            finally:
                crew.dismiss()
        finally:
            if mine:
                ray.shutdown()


@dataclass(eq=False, slots=True)
class _Hand:
    """A worker as the driver sees it.

    Attributes:
        actor: Ray's handle.
        ready: whether it has opened the job.
        cells: the cells it works on, by Ray's reference of what comes of them.
    """

    actor: Any
    ready: bool = False
    cells: dict[Any, CellWork] = field(default_factory=dict)


class _Crew:
    """The workers of one run.

    Args:
        ray: the module.
        job: what they do.
        count: how many.
    """

    def __init__(self, ray: Any, job: CellJob, count: int) -> None:  # noqa: ANN401 - untyped
        self._ray, self._job, self._at_once = ray, ray.put(job), job.cells_at_once
        self._make = ray.remote(Worker).options(
            num_cpus=job.threads, max_concurrency=job.cells_at_once, max_restarts=0
        )
        self._hands: list[_Hand] = []
        self._opening: dict[Any, _Hand] = {}
        self._again: deque[CellWork] = deque()
        self._losses: Counter[tuple[int, ...]] = Counter()
        self._stillborn, self._most_stillborn = 0, MAX_LOSSES + count
        self._none_since: float | None = None
        for _ in range(count):
            self._hire()

    def run(self, waiting: Iterator[CellWork], finished: Finished, tick: Tick) -> None:
        """Hand out cells until all are finished."""
        try:
            while True:
                self._hand_out(waiting)
                flying = {ref: hand for hand in self._hands for ref in hand.cells}
                if not flying and any(hand.ready for hand in self._hands):
                    return
                self._check_wait()
                refs = [*flying, *self._opening]
                for ref in self._ray.wait(refs, num_returns=1, timeout=_POLL_S)[0]:
                    if ref in self._opening:
                        self._opened(ref)
                    else:
                        self._returned(flying[ref], ref, finished, tick)
        except BaseException:
            self._save(finished)
            raise

    def dismiss(self) -> None:
        """Let all workers go."""
        for hand in self._hands:
            self._ray.kill(hand.actor)

    def _hire(self) -> None:
        hand = _Hand(self._make.remote())
        self._hands.append(hand)
        self._opening[hand.actor.open.remote(self._job, geoloc_ros.__version__)] = hand

    def _hand_out(self, waiting: Iterator[CellWork]) -> None:
        """Give cells to whoever has fewest, until all have enough or none is left."""
        while ready := [h for h in self._hands if h.ready and len(h.cells) < self._at_once]:
            cell = self._again.popleft() if self._again else next(waiting, None)
            if cell is None:
                return
            hand = min(ready, key=lambda each: len(each.cells))
            hand.cells[hand.actor.build.remote(cell)] = cell

    def _opened(self, ref: Any) -> None:  # noqa: ANN401
        hand = self._opening.pop(ref)
        try:
            machine = self._result(ref)
        except _Lost as lost:
            self._stillborn += 1
            if self._stillborn > self._most_stillborn:
                raise IndexBuildError(
                    f"{self._stillborn} workers ended before they were ready: {lost}; is "
                    "geoloc_ros[cluster] installed on every machine, and is there enough memory?"
                ) from lost
            self._replace(hand, lost)
        else:
            hand.ready = True
            _LOG.info("a worker on %s is ready", machine)

    def _returned(self, hand: _Hand, ref: Any, finished: Finished, tick: Tick) -> None:  # noqa: ANN401
        try:
            record = self._result(ref)
        except _Lost as lost:
            for cell in hand.cells.values():
                self._losses[cell.place] += 1
                if self._losses[cell.place] >= MAX_LOSSES:
                    raise IndexBuildError(
                        f"the cell {cell.place} was lost with {MAX_LOSSES} workers, last: {lost}; "
                        "if their machines ran out of memory, give fewer --threads; finished "
                        "shards are kept"
                    ) from lost
            self._again.extend(hand.cells.values())
            self._replace(hand, lost)
        else:
            cell = hand.cells.pop(ref)
            finished(cell, record)
            tick(len(cell.anchors))

    def _replace(self, hand: _Hand, lost: _Lost) -> None:
        _LOG.warning("a worker was lost (%s); its %d cells go to others", lost, len(hand.cells))
        self._hands.remove(hand)
        hand.cells = {}
        self._ray.kill(hand.actor)
        self._hire()

    def _result(self, ref: Any) -> Any:  # noqa: ANN401
        """What came of a call.

        Raises:
            _Lost: the worker is gone.
            GeolocError, OSError: what the call raised.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, GeolocError | OSError):
                raise error.cause from error
            raise
        except (errors.RayActorError, errors.WorkerCrashedError, errors.ObjectLostError) as error:
            raise _Lost(first_line(error)) from error

    def _check_wait(self) -> None:
        """Do not wait for ever when nobody works."""
        if any(hand.ready for hand in self._hands):
            self._none_since = None
            return
        now = time.monotonic()
        if self._none_since is None:
            self._none_since = now
        if now - self._none_since > MAX_WAIT_S:
            raise IndexBuildError(
                f"no worker was ready for {MAX_WAIT_S:.0f} s; see with 'ray status' whether the "
                "cluster has machines with free CPUs; finished shards are kept: run the same "
                "command again when it has"
            )

    def _save(self, finished: Finished) -> None:
        """Note what is finished when the run fails."""
        flying = {ref: cell for hand in self._hands for ref, cell in hand.cells.items()}
        with contextlib.suppress(self._ray.exceptions.RayError):
            refs = list(flying)
            done = self._ray.wait(refs, num_returns=len(refs), timeout=0)[0] if refs else []
            for ref in done:
                with contextlib.suppress(_Lost, GeolocError, self._ray.exceptions.RayError):
                    finished(flying[ref], self._result(ref))


class _Lost(Exception):
    """A worker is gone, and with it what it worked on."""


def _check_imagery(ground: OrthoWindows, machine: str) -> None:
    try:
        held = ground.path.stat().st_size
    except OSError as error:
        raise IndexBuildError(
            f"the machine {machine} cannot read {ground.path}: {error.strerror}; put the imagery "
            "in a folder that all machines of the cluster share under the same name"
        ) from error
    if held != ground.provenance["bytes"]:
        raise IndexBuildError(
            f"{ground.path} has {held} bytes on the machine {machine}, "
            f"{ground.provenance['bytes']} on the one that asks; all must see the same file"
        )


def _ray() -> Any:  # noqa: ANN401
    try:
        import ray
    except ImportError as error:
        raise IndexBuildError(
            "a build on a cluster needs Ray: pip install 'geoloc_ros[cluster]' on every machine"
        ) from error
    return ray


def _join(ray: Any, address: str | None) -> bool:  # noqa: ANN401
    """Be part of a cluster; whether it has to be left again.

    Raises:
        IndexBuildError: there is none at the address.
    """
    if ray.is_initialized():
        return False
    _reach(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing here calls home
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _no_cluster(address, error) from error
    return True


def _reach(address: str | None) -> None:
    """See at once that somebody listens at HOST:PORT; Ray would try for minutes.

    Raises:
        IndexBuildError: nobody does.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> IndexBuildError:
    return IndexBuildError(
        f"no Ray cluster at {address or 'the address in RAY_ADDRESS'}: {first_line(error)}; "
        "start one with 'ray start --head', and 'ray start --address HOST:6379' on the others"
    )


def _room(ray: Any, threads: int, workers: int) -> tuple[int, int]:  # noqa: ANN401
    """Threads of a worker, and how many workers, where 0 was asked for.

    Raises:
        ConfigError: no machine has as many CPUs.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(resources.get("CPU", 0)) for resources in nodes]
    threads = threads or max(1, min([_MAX_THREADS, *filter(None, cpus)]))
    room = sum(count // threads for count in cpus)
    if not room:
        raise ConfigError(
            f"a worker takes {threads} CPUs (--threads), no machine of the cluster has more than "
            f"{max(cpus, default=0)}; give fewer --threads"
        )
    return threads, workers or room
