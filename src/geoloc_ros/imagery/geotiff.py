# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading georeferenced rasters of any projection onto the local plane.

Everything that could turn into a wrong place is refused with the way out: rasters without CRS or
geotransform, with ground control points only, with pixels that are no picture.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
from pyproj.enums import TransformDirection
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.warp import reproject
from rasterio.windows import Window

from geoloc_ros.datatypes import Image, Mask
from geoloc_ros.errors import GeodesyError, ImageryError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.grid import (
    Bounds,
    Grid,
    apply_affine,
    bounds_text,
    check_size,
)
from geoloc_ros.imagery.raster_read import read_opacity, read_rgba
from geoloc_ros.imagery.tile_raster import TileRaster
from geoloc_ros.imagery.tile_store import is_tile_file, open_store

_log = logging.getLogger(__name__)
# `_check_georeference` says it, with the way out. rasterio hides its own word while it warps, but
# not from two threads at a time.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

#: Threads of GDAL's warper; the result does not depend on it.
_WARP_THREADS = 4
#: GDAL's cache of blocks, MB; by itself it takes a twentieth of the machine's memory.
_CACHE_MB = 256
_EDGE_POINTS = 33
_GEO_ERRORS = (RasterioError, pyproj.exceptions.ProjError, ValueError)

FloatArray = npt.NDArray[np.float64]


@contextmanager
def open_raster(path: Path, zoom: int | None = None) -> Iterator[Any]:
    """Open a raster, or a file of tiles, that says where it lies.

    Args:
        path: the file; one of tiles is known by its name, `.mbtiles` or `.pmtiles`.
        zoom: of the tiles; None: the finest there is.

    Yields:
        The rasterio dataset, or a `TileRaster`.

    Raises:
        ImageryError: missing, not a raster, no CRS, only ground control points, no geotransform,
            or pixels that are no picture; tiles that are damaged, or an unfinished fetch.
    """
    if is_tile_file(path):
        with open_store(path) as store:
            if store.to_come:
                raise ImageryError(
                    f"{path} is an unfinished fetch: {store.to_come} tiles are still to come; run "
                    "the same 'geoloc imagery fetch' again, it goes on where it stopped"
                )
            yield TileRaster(store, zoom)
        return
    if not path.is_file():
        raise ImageryError(f"no imagery at {path}; give a GeoTIFF or any raster GDAL can read")
    try:
        dataset = rasterio.open(path)
    except RasterioError as error:
        raise ImageryError(f"{path} is no readable raster: {error}") from error
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), dataset:
        _check_georeference(path, dataset)
        _check_pixels(path, dataset)
        yield dataset


def _check_georeference(path: Path, dataset: Any) -> None:  # noqa: ANN401 - rasterio is untyped
    points, _ = dataset.gcps
    affine = dataset.transform
    if dataset.crs is None or affine.is_identity:
        if points:
            raise ImageryError(
                f"{path} is placed by {len(points)} ground control points only, whose accuracy is "
                "unknown; rectify it first: gdalwarp -t_srs EPSG:3857 IN OUT"
            )
        missing = "CRS" if dataset.crs is None else "geotransform"
        raise ImageryError(
            f"{path} has no {missing}, so nobody can say where it lies; if you know, add it: "
            "gdal_translate -a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH IN OUT"
        )
    if not np.isfinite(affine[:6]).all() or affine.determinant == 0.0:
        raise ImageryError(f"{path} has a geotransform without area: {tuple(affine[:6])}")


def _check_pixels(path: Path, dataset: Any) -> None:  # noqa: ANN401
    kinds = {str(kind) for kind in dataset.dtypes}
    if not kinds <= {"uint8", "uint16"}:
        raise ImageryError(
            f"{path} holds {', '.join(sorted(kinds))} values, which may be heights and are no "
            "picture; if they are colours, convert them: gdal_translate -ot Byte -scale IN OUT"
        )


class LocalMap:
    """The way between a raster's pixels and a local plane."""

    def __init__(self, dataset: Any, path: Path, frame: LocalFrame | None) -> None:  # noqa: ANN401
        """Choose the plane (by default around the raster's centre) and check the distance.

        Raises:
            ImageryError: the CRS has no place on Earth, or the raster is out of the plane's reach.
        """
        self.path, self._dataset = path, dataset
        try:
            crs = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
            self._geographic = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
            self.frame = frame or self._default_frame()
            self._planar = pyproj.Transformer.from_crs(crs, self.frame.crs, always_xy=True)
        except _GEO_ERRORS as error:
            raise ImageryError(
                f"the CRS of {path} cannot be placed on Earth: {error}; reproject it: gdalwarp "
                "-t_srs EPSG:3857 IN OUT"
            ) from error

    def _default_frame(self) -> LocalFrame:
        centre = 0.5 * self._dataset.width, 0.5 * self._dataset.height
        lon, lat = self._geographic.transform(*apply_affine(self._dataset.transform, *centre))
        try:
            return LocalFrame(LatLon(round(float(lat), 5), round(float(lon), 5)))
        except GeodesyError as error:
            raise ImageryError(f"the centre of {self.path} is {error}") from error

    def bounds_m(self) -> Bounds:
        """West, south, east, north of the whole raster on the plane.

        Raises:
            ImageryError: a part of it is out of the plane's reach.
        """
        t = np.linspace(0.0, 1.0, _EDGE_POINTS)
        zero, one = np.zeros_like(t), np.ones_like(t)
        columns = np.concatenate([t, t, zero, one]) * self._dataset.width
        rows = np.concatenate([zero, one, t, t]) * self._dataset.height
        xy = self.to_plane(columns, rows)
        self._check_way_back(xy, columns)
        west, south = (float(value) for value in xy.min(axis=0))
        east, north = (float(value) for value in xy.max(axis=0))
        return west, south, east, north

    def _check_way_back(self, xy_m: FloatArray, columns: FloatArray) -> None:
        """Pixels must come back from the plane as they went: across 180 degrees some do not."""
        back, _ = self._to_pixels(xy_m[:, 0], xy_m[:, 1])
        if np.abs(back - columns).max() > 1.0:
            raise ImageryError(
                f"{self.path} crosses the antimeridian (180 degrees) in a projection that breaks "
                "there; reproject it: gdalwarp -t_srs '+proj=merc +lon_0=180' IN OUT"
            )

    def to_plane(self, columns: FloatArray, rows: FloatArray) -> FloatArray:
        """Plane coordinates (N, 2) of pixel edges; column 0, row 0 is the outer corner."""
        x, y = apply_affine(self._dataset.transform, columns, rows)
        lon, lat = self._geographic.transform(x, y)
        try:
            return self.frame.to_xy(lat, lon)
        except GeodesyError as error:
            raise ImageryError(
                f"{self.path} does not fit the local plane: {error}; or give bounds_m"
            ) from error

    def native_gsd_m(self, bounds_m: Bounds | None = None) -> float:
        """Side of a source pixel on the ground (geometric mean) in the middle of an area.

        Args:
            bounds_m: west, south, east, north; None: the middle of the raster.
        """
        u, v = 0.5 * self._dataset.width, 0.5 * self._dataset.height
        if bounds_m is not None:
            west, south, east, north = bounds_m
            column, row = self._to_pixels([0.5 * (west + east)], [0.5 * (south + north)])
            u, v = float(column[0]), float(row[0])
        corners = self.to_plane(np.array([u, u + 1.0, u]), np.array([v, v, v + 1.0]))
        right, down = corners[1] - corners[0], corners[2] - corners[0]
        return float(np.sqrt(abs(right[0] * down[1] - right[1] * down[0])))

    def _to_pixels(self, x_m: Any, y_m: Any) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401
        """Fractional columns and rows (N,) of plane positions; 0 is the outer edge."""
        x, y = self._planar.transform(x_m, y_m, direction=TransformDirection.INVERSE)
        columns, rows = apply_affine(~self._dataset.transform, np.asarray(x), np.asarray(y))
        if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
            raise ImageryError(f"the requested area lies outside the projection of {self.path}")
        return columns, rows

    def holds(self, grid: Grid) -> bool:
        """Whether the grid lies so far inside the raster that its edge is not felt."""
        columns, rows = self._to_pixels(*_mesh(grid))
        margin, scale = 4.0, max(1.0, grid.gsd_m / self.native_gsd_m(grid.bounds_m))
        low, high = min(columns.min(), rows.min()), margin * scale
        right, bottom = self._dataset.width - columns.max(), self._dataset.height - rows.max()
        return bool(low >= high and min(right, bottom) >= high)

    def window(self, grid: Grid) -> Window | None:
        """Source pixels that can touch the grid, None if there are none."""
        columns, rows = self._to_pixels(*_mesh(grid))
        margin = 8.0
        left, right = np.clip(
            [columns.min() - margin, columns.max() + margin], 0, self._dataset.width
        )
        top, bottom = np.clip([rows.min() - margin, rows.max() + margin], 0, self._dataset.height)
        left, top = np.floor([left, top])
        width, height = int(np.ceil(right) - left), int(np.ceil(bottom) - top)
        return Window(int(left), int(top), width, height) if width > 0 and height > 0 else None


def _mesh(grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Positions x_m, y_m (N,) spread over a grid and its edges."""
    west, south, east, north = grid.bounds_m
    t = np.linspace(0.0, 1.0, _EDGE_POINTS)
    x_m, y_m = np.meshgrid(west + t * (east - west), south + t * (north - south))
    return x_m.ravel(), y_m.ravel()


def read_grid(dataset: Any, local: LocalMap, grid: Grid) -> tuple[Image, Mask, str]:  # noqa: ANN401
    """Resample a raster onto a grid of the local plane.

    Area averages where the grid is coarser than the source, then cubic convolution; masked pixels
    never bleed into their neighbours.

    Returns:
        Colours (H, W, 3), validity (H, W), and how values were scaled to 8 bits ("" if not).

    Raises:
        ImageryError: nothing of the raster lies in the grid, or it cannot be read.
    """
    window = _needed(local, grid)
    coarser = grid.gsd_m / local.native_gsd_m(grid.bounds_m)
    # Fine sources are read at the grid's pixel: averaging is far cheaper there than while warping.
    reduction = max(1.0, coarser)
    shape = _reduced(window, reduction)
    check_size(shape[1], shape[0], f"the needed part of {local.path}")
    rgba, source_transform, rule = read_rgba(dataset, local.path, window, shape)
    # A picture without holes comes faster, up to rounding the same, without its opacity.
    whole = bool((rgba[3] == 255).all()) and local.holds(grid)
    out = _warped(
        rgba[:3] if whole else rgba,
        (dataset.crs, source_transform),
        local,
        grid,
        Resampling.cubic,
    )
    valid = np.ones(out.shape[1:], np.bool_) if whole else out[3] >= 128
    return np.ascontiguousarray(out[:3].transpose(1, 2, 0)), valid, rule


def read_coverage(dataset: Any, local: LocalMap, grid: Grid) -> Mask:  # noqa: ANN401
    """Where a raster has pixels (H, W), by the nearest of them: colours are not warped.

    Raises:
        ImageryError: nothing of the raster lies in the grid, or it cannot be read.
    """
    window = _needed(local, grid)
    reduction = max(1.0, grid.gsd_m / local.native_gsd_m(grid.bounds_m))
    shape = _reduced(window, reduction)
    check_size(shape[1], shape[0], f"the coverage of {local.path}")
    alpha, transform = read_opacity(dataset, local.path, window, shape)
    found = _warped(alpha, (dataset.crs, transform), local, grid, Resampling.nearest)
    return np.asarray(found[0] >= 128)


def _needed(local: LocalMap, grid: Grid) -> Window:
    window = local.window(grid)
    if window is None:
        raise ImageryError(
            f"{local.path} covers {bounds_text(local.bounds_m())} m but "
            f"{bounds_text(grid.bounds_m)} m (west, south, east, north of the local plane) was "
            "asked for; they do not overlap"
        )
    return window


def _reduced(window: Window, reduction: float) -> tuple[int, int]:
    """Rows and columns of a window that is read `reduction` times coarser."""
    return (
        max(1, int(np.ceil(window.height / reduction))),
        max(1, int(np.ceil(window.width / reduction))),
    )


def _warped(
    bands: npt.NDArray[np.uint8],
    place: tuple[Any, Any],
    local: LocalMap,
    grid: Grid,
    resampling: Resampling,
) -> npt.NDArray[np.uint8]:
    """Bands (B, H, W), a fourth of which is opacity, at a CRS and geotransform, on the grid."""
    out = np.zeros((len(bands), grid.height, grid.width), np.uint8)
    target = rasterio.Affine(grid.gsd_m, 0.0, grid.west_m, 0.0, -grid.gsd_m, grid.north_m)
    opacity = {"src_alpha": 4, "dst_alpha": 4} if len(bands) == 4 else {}
    try:
        reproject(
            bands,
            out,
            src_transform=place[1],
            src_crs=place[0],
            dst_transform=target,
            dst_crs=local.frame.crs,
            num_threads=_WARP_THREADS,
            resampling=resampling,
            **opacity,
        )
    except RasterioError as error:
        raise ImageryError(f"{local.path} cannot be reprojected: {error}") from error
    return out
