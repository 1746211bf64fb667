# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Imagery that does not fit in memory, read a square kilometre at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image, Mask
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.imagery.crops import CropCutter
from geoloc_ros.imagery.geotiff import LocalMap, open_raster, read_coverage, read_grid
from geoloc_ros.imagery.grid import MAX_PIXELS, Bounds, Grid
from geoloc_ros.imagery.ortho import OrthoImage, check_gsd, file_sha256, provenance_of

_log = logging.getLogger(__name__)

#: Imagery of more pixels is not read as a whole.
IN_MEMORY_PIXELS = MAX_PIXELS
#: Side of what is read at a time, m.
_CELL_M = 1000.0
#: Squares kept: the one in work, and its neighbour when threads disagree.
_KEPT = 2
#: From here on reading averages, as cutting does.
_MUCH_COARSER = 1.3
#: Pixels of the map of where there is imagery.
_COVERAGE_PIXELS = 4_000_000


class Cutter(Protocol):
    """Cuts crops; see `CropCutter`."""

    def legs(self, anchors: FloatArray) -> list[npt.NDArray[np.int64]]:
        """In which order anchors (N, 3) are cut best: legs of rows that need the same imagery."""

    def prepare(self, anchors: FloatArray) -> Cutter:
        """What cuts the anchors (N, 3) of a leg, its imagery in memory."""

    def cut(self, anchors: npt.ArrayLike) -> tuple[Image, FloatArray]:
        """Crops (N, S, S, 3) and shares of ground present (N,) at anchors (N, 3)."""


@dataclass(frozen=True, eq=False)
class OrthoWindows:
    """Imagery on a plane, read when it is asked for; it answers what `OrthoImage` answers.

    Attributes:
        path: the file.
        frame: the plane.
        grid: all its pixels.
        coverage: (H, W) where there is imagery, coarsely.
        coverage_grid: where those pixels lie.
        provenance: see `OrthoImage`.
    """

    path: Path
    frame: LocalFrame
    grid: Grid
    coverage: Mask
    coverage_grid: Grid
    provenance: Mapping[str, Any]

    @property
    def gsd_m(self) -> float:
        """Side of a pixel."""
        return self.grid.gsd_m

    @property
    def bounds_m(self) -> Bounds:
        """West, south, east, north on the plane."""
        return self.grid.bounds_m

    @property
    def pixels_sha256(self) -> str:
        """Identity of the file and of the grid it is read on."""
        digest = hashlib.sha256(str(self.provenance["sha256"]).encode())
        digest.update(repr(self.grid).encode())
        return digest.hexdigest()

    def shown(self, xy_m: FloatArray) -> Mask:
        """Whether imagery exists at positions (N, 2) within the bounds, m; (N,)."""
        grid = self.coverage_grid
        column = np.floor((xy_m[:, 0] - grid.west_m) / grid.gsd_m).astype(np.int64)
        row = np.floor((grid.north_m - xy_m[:, 1]) / grid.gsd_m).astype(np.int64)
        return self.coverage[np.clip(row, 0, grid.height - 1), np.clip(column, 0, grid.width - 1)]

    def window(self, bounds_m: Bounds, gsd_m: float | None = None) -> OrthoImage:
        """What lies in an area.

        Args:
            bounds_m: west, south, east, north.
            gsd_m: pixel size; None: on the pixels of `grid`.

        Raises:
            ImageryError: it cannot be read.
        """
        grid = Grid.covering(bounds_m, gsd_m or self.gsd_m)
        with open_raster(self.path) as dataset:
            local = LocalMap(dataset, self.path, self.frame)
            rgb, valid, _ = read_grid(dataset, local, grid)
        rgb[~valid] = 0
        return OrthoImage(
            rgb, valid, self.frame, grid.west_m, grid.north_m, grid.gsd_m, self.provenance
        )


#: Imagery in memory, or not.
Imagery = OrthoImage | OrthoWindows


class WindowCutter:
    """Cuts crops from imagery that is read a square at a time; for several threads at once."""

    def __init__(
        self,
        ground: OrthoWindows,
        spec: ReferenceSpec,
        fill_rgb: tuple[float, float, float],
        kept: int = _KEPT,
    ) -> None:
        """Remember what is to be cut, see `CropCutter`, and how many squares are kept."""
        self._ground, self._spec, self._fill = ground, spec, fill_rgb
        self._most = kept
        # farthest a crop reaches from its anchor, and a few pixels for resampling
        self._reach_m = abs(spec.offset_forward_m) + spec.extent_m + 16.0 * ground.gsd_m
        # what is much finer than the crops is read no finer than they are
        crop_m = spec.extent_m / spec.size_px
        self._gsd_m = crop_m if crop_m > _MUCH_COARSER * ground.gsd_m else ground.gsd_m
        self._kept: OrderedDict[tuple[int, int], Future[CropCutter]] = OrderedDict()
        self._lock = Lock()

    def legs(self, anchors: FloatArray) -> list[npt.NDArray[np.int64]]:
        """A leg for each square."""
        squares = _squares(anchors)
        order = np.lexsort(squares.T[::-1])
        changes = (np.diff(squares[order], axis=0) != 0).any(axis=1)
        return np.split(order, np.flatnonzero(changes) + 1)

    def prepare(self, anchors: FloatArray) -> CropCutter:
        """The cutter of the square of a leg.

        Raises:
            ImageryError: the imagery cannot be read.
        """
        return self._cutter(*_squares(anchors)[0].tolist())

    def cut(self, anchors: npt.ArrayLike) -> tuple[Image, FloatArray]:
        """Crops at anchor poses; see `CropCutter.cut`.

        Raises:
            ImageryError: an anchor is not finite, or the imagery cannot be read.
        """
        poses = np.asarray(anchors, dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(poses).all():
            raise ImageryError("an anchor is not finite; x_m, y_m, yaw_rad are needed")
        size = self._spec.size_px
        images: Image = np.empty((len(poses), size, size, 3), np.uint8)
        share = np.zeros(len(poses))
        squares = _squares(poses)
        for column, row in np.unique(squares, axis=0).tolist():
            chosen = (squares == (column, row)).all(axis=1)
            cutter = self._cutter(column, row)
            images[chosen], share[chosen] = cutter.cut(poses[chosen])
        return images, share

    def _cutter(self, column: int, row: int) -> CropCutter:
        """The cutter of a square, read by the first thread that asks for it."""
        with self._lock:
            known = self._kept.pop((column, row), None)
            cutter = known or Future()
            self._kept[column, row] = cutter
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if known is None:
            try:
                cutter.set_result(self._read(column, row))
            except BaseException as error:
                with self._lock:
                    self._kept.pop((column, row), None)
                cutter.set_exception(error)
                raise
        return cutter.result()

    def _read(self, column: int, row: int) -> CropCutter:
        west, south, east, north = self._ground.bounds_m
        m = self._reach_m
        box = (
            max(column * _CELL_M - m, west), max(row * _CELL_M - m, south),
            min((column + 1) * _CELL_M + m, east), min((row + 1) * _CELL_M + m, north),
        )  # fmt: skip
        return CropCutter(self._ground.window(box, self._gsd_m), self._spec, self._fill)


def _squares(anchors: FloatArray) -> npt.NDArray[np.int64]:
    """Column and row (N, 2) of the squares that anchors (N, 2 or more) lie in."""
    return np.floor(np.asarray(anchors)[:, :2] / _CELL_M).astype(np.int64)


def open_ground(
    path: Path, gsd_m: float | None = None, frame: LocalFrame | None = None
) -> Imagery:
    """Open imagery: as a whole if it fits in memory, else to be read by windows.

    Args:
        path: a raster, MBTiles or PMTiles.
        gsd_m: pixel size; None: the imagery's own on the ground.
        frame: the plane; None: around the raster's centre.

    Raises:
        ImageryError: see `OrthoImage.open`.
    """
    path = Path(path)
    with open_raster(path) as dataset:
        local = LocalMap(dataset, path, frame)
        native = local.native_gsd_m()
        gsd = native if gsd_m is None else gsd_m
        check_gsd(gsd, str(path))
        grid = Grid.over(local.bounds_m(), gsd)
        if grid.width * grid.height > IN_MEMORY_PIXELS:
            _log.info("%s: %dx%d px are read by windows", path, grid.width, grid.height)
            return _windows(dataset, local, grid, native)
    return OrthoImage.open(path, frame, gsd_m=gsd_m)


def reading_order(ground: Imagery, places: FloatArray) -> npt.NDArray[np.int64]:
    """In which order (N,) to visit places (N, 2 or more) so that imagery is read once."""
    if isinstance(ground, OrthoWindows):
        return np.lexsort(_squares(places).T[::-1])
    return np.arange(len(places))


def credited(ground: Imagery, credit: str) -> Imagery:
    """The same imagery, somebody else named beside its makers."""
    named = [str(ground.provenance.get("attribution") or ""), credit]
    provenance = {**ground.provenance, "attribution": "; ".join(filter(None, named))}
    return dataclasses.replace(ground, provenance=provenance)


def cutter_of(
    ground: Imagery,
    spec: ReferenceSpec,
    fill_rgb: tuple[float, float, float],
    kept: int = _KEPT,
) -> Cutter:
    """What cuts crops from imagery.

    Args:
        ground: the imagery.
        spec: of a crop.
        fill_rgb: colour of missing ground, 0..255.
        kept: squares of large imagery kept in memory, for those who do not go along.

    Raises:
        ImageryError: the spec has no size or extent.
    """
    if isinstance(ground, OrthoWindows):
        return WindowCutter(ground, spec, fill_rgb, kept)
    return CropCutter(ground, spec, fill_rgb)


def _windows(dataset: Any, local: LocalMap, grid: Grid, native_gsd_m: float) -> OrthoWindows:  # noqa: ANN401
    coarse_m = grid.gsd_m * max(1.0, (grid.width * grid.height / _COVERAGE_PIXELS) ** 0.5)
    coverage_grid = Grid.covering(grid.bounds_m, coarse_m)
    coverage = read_coverage(dataset, local, coverage_grid)
    if not coverage.any():
        raise ImageryError(
            f"{local.path} has no valid pixel: all are nodata or masked; check its nodata value"
        )
    provenance = provenance_of(dataset, local.path, native_gsd_m)
    provenance["sha256"] = file_sha256(local.path)
    provenance["bytes"] = local.path.stat().st_size
    return OrthoWindows(local.path, local.frame, grid, coverage, coverage_grid, provenance)
