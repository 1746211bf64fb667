# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a cell to its files: one way for every engine, here and on other machines.

Several cells are on the line at once, each in a thread of its own: one is being described, another
reads its imagery, a third sorts its entries. Crops enter leg by leg, as imagery is read; a thread
cuts some and encodes them. There is one thread more than may encode at once, so that the encoder
never waits for crops. What a cell's files hold depends on nothing but the cell and the kind of
processor: not on threads, neighbours or how many machines there are.
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
from geoloc_ros.imagery.windows import Cutter, Imagery, cutter_of
from geoloc_ros.index.codes import not_of_unit_length
from geoloc_ros.index.quadtree import Cell
from geoloc_ros.index.records import ShardRecord
from geoloc_ros.index.shelf import Shelf, shelve

#: Crops encoded at once. Any number from 8 to 64 is about as fast for our larger models; the
#: smallest is fastest with this, and a tenth slower with 64, whose activations leave the cache.
BATCH = 16
#: Crops a thread cuts before it encodes them: in turn, each would push the other out of the cache.
CUT = 64
MIN_VALID_SHARE = 0.6  # crops that show less imagery than this are not indexed

_Indices = npt.NDArray[np.int64]
_Described = tuple[_Indices, Float32Array]


@dataclass(frozen=True, slots=True)
class CellWork:
    """A cell to be built.

    Attributes:
        place: which one.
        anchors: (N, 3) poses x_m, y_m, yaw_rad asked for, in the order of its entries.
    """

    place: Cell
    anchors: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CellJob:
    """What stays the same from cell to cell; it can be pickled if its encoder can.

    Attributes:
        ground: the imagery.
        package: the model, which says how crops are cut.
        encoder: encodes crops, for several threads at once.
        shelf: where files go.
        storage: how descriptors are stored, one of `codes.STORAGES`.
        search: how they are found, one of `search.SEARCHES`.
        threads: that encode; 0: as many as the engine finds cores.
    """

    ground: Imagery
    package: ModelPackage
    encoder: ReferenceEncoder
    shelf: Shelf
    storage: str
    search: str
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

    Memory holds, whatever the size of the index: `threads + 1` times `CUT` crops, and of each
    cell on the line its descriptors, its files and a square of imagery if that is read by windows.
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
        self._cutter = cutter_of(job.ground, spec, fill)
        self._describers = ThreadPoolExecutor(threads + 1, "describe")
        self._encoding = BoundedSemaphore(threads)
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
        self._describers.shutdown(wait=True, cancel_futures=True)

    def build(self, cell: CellWork) -> ShardRecord | None:
        """Describe a cell and put its files on the shelf.

        Returns:
            Its record; None if no crop shows enough imagery.

        Raises:
            IndexBuildError: the encoder breaks its promise.
            ImageryError: imagery cannot be read.
            OSError: the place for the files refuses.
        """
        legs = self._cutter.legs(cell.anchors)
        found = [part.result() for leg in legs for part in self._submit(cell.anchors, leg)]
        members = np.concatenate([member for member, _ in found])
        if not len(members):
            return None
        back = np.argsort(members)
        descriptors = np.concatenate([described for _, described in found])[back]
        job, poses = self._job, cell.anchors[members[back]]
        return shelve(job.shelf, cell.place, poses, descriptors, job.storage, job.search)

    def _submit(self, anchors: FloatArray, leg: _Indices) -> list[Future[_Described]]:
        """Read the imagery of a leg, which other cells use to enter the line, and enter it."""
        cutter = self._cutter.prepare(anchors[leg])
        parts = [leg[start : start + CUT] for start in range(0, len(leg), CUT)]
        with self._door:
            return [self._enter(cutter, anchors, part) for part in parts]

    def _enter(self, cutter: Cutter, anchors: FloatArray, chosen: _Indices) -> Future[_Described]:
        self._room.acquire()
        try:
            described = self._describers.submit(self._describe, cutter, anchors, chosen)
        except RuntimeError:  # the line was stopped
            self._room.release()
            raise
        described.add_done_callback(lambda _: self._room.release())
        return described

    def _describe(self, cutter: Cutter, anchors: FloatArray, chosen: _Indices) -> _Described:
        """Which of the chosen anchors become entries, and their descriptors."""
        images, share = cutter.cut(anchors[chosen])
        shown = np.asarray(share) >= MIN_VALID_SHARE
        dim = self._job.package.descriptor_dim
        found = np.zeros((0, dim), np.float32)
        if shown.any():
            with self._encoding:
                found = self._encoded(images if shown.all() else images[shown])
        if found.shape[1] != dim:
            raise IndexBuildError(
                f"the encoder makes descriptors of length {found.shape[1]}, its model card says "
                f"{dim}; export the model again"
            )
        off = not_of_unit_length(found)
        if len(off):
            x_m, y_m, yaw_rad = anchors[chosen[shown][off[0]]]
            raise IndexBuildError(
                f"the encoder makes no unit vector of the crop at x {x_m:.1f} m, y {y_m:.1f} m, "
                f"yaw {yaw_rad:.2f} rad; look at the imagery there, and check the model with "
                "'geoloc model info'"
            )
        self._tick(len(chosen))
        return chosen[shown], found

    def _encoded(self, images: Image) -> Float32Array:
        """Descriptors (N, D) of crops (N, S, S, 3), a batch at a time."""
        encode = self._job.encoder.encode_reference
        return np.concatenate(
            [encode(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        )
