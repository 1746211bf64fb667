# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where cells are built: an engine takes each to a `CellLine`; this one, in this process."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Protocol

from geoloc_ros.index.cell_line import CellJob, CellLine, CellWork
from geoloc_ros.index.records import ShardRecord

#: told of each finished cell, by one thread at a time; no record: the cell has no entry
Finished = Callable[[CellWork, ShardRecord | None], None]
#: told how many anchors more are done, by several threads
Tick = Callable[[int], None]


class Engine(Protocol):
    """Builds cells somewhere."""

    @property
    def remote(self) -> bool:
        """Whether files are written by other machines."""

    def run(self, job: CellJob, cells: Iterable[CellWork], finished: Finished, tick: Tick) -> None:
        """Build cells in any order.

        Args:
            job: what stays the same from cell to cell.
            cells: the cells; at most a few are held at a time.
            finished: told of each cell that is on the shelf, also of those that were when the
                run failed.
            tick: told of the progress.

        Raises:
            GeolocError, OSError: a cell could not be built.
        """


class LocalEngine:
    """Builds cells in threads of this process."""

    remote = False

    def run(self, job: CellJob, cells: Iterable[CellWork], finished: Finished, tick: Tick) -> None:
        """Build cells; see `Engine.run`."""
        job = dataclasses.replace(job, threads=job.threads or os.cpu_count() or 1)
        waiting, flying = iter(cells), dict[Future[ShardRecord | None], CellWork]()
        crew = ThreadPoolExecutor(job.cells_at_once, "cell")
        with CellLine(job, tick) as line:
            try:
                while True:
                    for cell in islice(waiting, job.cells_at_once + 1 - len(flying)):
                        flying[crew.submit(line.build, cell)] = cell
                    if not flying:
                        break
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        record = future.result()
                        finished(flying.pop(future), record)
            except BaseException:
                line.stop()
                crew.shutdown(wait=True, cancel_futures=True)
                for future, cell in flying.items():
                    if not future.cancelled() and future.exception() is None:
                        finished(cell, future.result())
                raise
            crew.shutdown()
