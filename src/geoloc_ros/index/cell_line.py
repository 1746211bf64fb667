# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a cell to its files: one way for every engine, here and on other machines.

Several cells are on the line at once, each in a thread of its own: one is being described, another
reads its imagery, a third builds its graph. Batches enter one cell after the other; threads cut
them ahead of threads that encode, so that the encoder never waits. What a cell's files hold
depends on nothing but the cell: not on threads, neighbours or machines.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray, Image
from geoloc_ros.encoders.base import ReferenceEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.imagery.windows import Imagery, cutter_of
from geoloc_ros.index.manifest import ShardRecord
from geoloc_ros.index.shelf import Shelf, shelve

#: Crops encoded at once: about as fast per crop as any number (8..64) for all our models, and the
#: fastest for the smallest of them.
BATCH = 16
MIN_VALID_SHARE = 0.6  # crops that show less imagery than this are not indexed

_Indices = npt.NDArray[np.int64]
_Cut = tuple[Image, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell to be built.

    Attributes:
        place: which one; the manifest's `cell`.
        anchors: (N, 3) poses x_m, y_m, yaw_rad asked for, in the order of its entries.
    """

    place: tuple[int, int]
    anchors: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CellJob:
    """What stays the same from cell to cell; it can be pickled if its encoder can.

    Attributes:
        ground: the imagery.
        package: the model, which says how crops are cut.
        encoder: encodes crops, for several threads at once.
        shelf: where files go.
        threads: that encode; 0: as many as the engine finds cores.
    """

    ground: Imagery
    package: ModelPackage
    encoder: ReferenceEncoder
    shelf: Shelf
    threads: int = 1

    @property
    def cells_at_once(self) -> int:
        """How many cells to keep on the line: one that reads, one that writes, some between."""
        return max(1, self.threads) + 2


def fill_rgb(package: ModelPackage) -> tuple[float, float, float]:
    """Colour of missing ground in crops for a model, 0..255."""
    red, green, blue = package.mean
    return 255.0 * red, 255.0 * green, 255.0 * blue


class CellLine:
    """Builds cells; `build` is called by `cells_at_once` threads.

    Memory holds, whatever the size of the index: `2 threads + 2` batches of crops, and of each
    cell on the line its descriptors, its graph and a square of imagery if that is read by windows.
    """

    def __init__(self, job: CellJob, tick: Callable[[int], None] = lambda count: None) -> None:
        """Prepare the imagery.

        Args:
            job: the job.
            tick: told how many anchors more are done, by several threads.

        Raises:
            ImageryError: the spec has no size or extent.
        """
        threads = max(1, job.threads)
        self._job, self._tick = job, tick
        spec, fill = job.package.reference, fill_rgb(job.package)
        self._cutter = cutter_of(job.ground, spec, fill, kept=job.cells_at_once + 1)
        self._cutters = ThreadPoolExecutor(threads, "cut")
        self._encoders = ThreadPoolExecutor(threads, "encode")
        self._room = BoundedSemaphore(2 * threads + 2)
        self._door = Lock()

    def __enter__(self) -> CellLine:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """Give up cells that are not fully described; `build` raises CancelledError for them."""
        self._cutters.shutdown(wait=False, cancel_futures=True)
        self._encoders.shutdown(wait=True, cancel_futures=True)

    def build(self, cell: Cell) -> ShardRecord | None:
        """Describe a cell and put its files on the shelf.

        Returns:
            Its record; None if no crop shows enough imagery.

        Raises:
            IndexBuildError: the encoder breaks its promise, or a file could not be written.
            ImageryError: imagery cannot be read.
            OSError: the place for the files refuses.
        """
        order = self._cutter.prepare(cell.anchors)
        with self._door:
            parts = [
                self._submit(cell.anchors, order[start : start + BATCH])
                for start in range(0, len(order), BATCH)
            ]
        found = [part.result() for part in parts]
        members = np.concatenate([member for member, _ in found])
        if not len(members):
            return None
        back = np.argsort(members)
        descriptors = np.concatenate([described for _, described in found])[back]
        return shelve(self._job.shelf, cell.place, cell.anchors[members[back]], descriptors)

    def _submit(
        self, anchors: FloatArray, chosen: _Indices
    ) -> Future[tuple[_Indices, Float32Array]]:
        self._room.acquire()
        try:
            cut = self._cutters.submit(self._cut, anchors[chosen])
            encoded = self._encoders.submit(self._encode, chosen, cut)
        except RuntimeError:  # the line was stopped
            self._room.release()
            raise
        encoded.add_done_callback(lambda _: self._room.release())
        return encoded

    def _cut(self, anchors: FloatArray) -> _Cut:
        images, share = self._cutter.cut(anchors)
        return images, np.asarray(share) >= MIN_VALID_SHARE

    def _encode(self, chosen: _Indices, cut: Future[_Cut]) -> tuple[_Indices, Float32Array]:
        """Which of the chosen anchors become entries, and their descriptors."""
        images, shown = cut.result()
        dim = self._job.package.descriptor_dim
        found = np.zeros((0, dim), np.float32)
        if shown.any():
            found = self._job.encoder.encode_reference(images if shown.all() else images[shown])
        if found.shape[1] != dim:
            raise IndexBuildError(
                f"the encoder makes descriptors of length {found.shape[1]}, its model card says "
                f"{dim}; export the model again"
            )
        self._tick(len(chosen))
        return chosen[shown], found
