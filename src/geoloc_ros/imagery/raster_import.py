# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rasters of others become one GeoTIFF of ours: cut, joined, with overviews, credit stated.

Pixels are copied, never resampled, block by block: however large the rasters are, memory stays
small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window
from tqdm import tqdm

from geoloc_ros.errors import ImageryError, first_line
from geoloc_ros.imagery.geotiff import open_raster
from geoloc_ros.imagery.grid import apply_affine, window_transform
from geoloc_ros.imagery.raster_read import colour_bands, palette
from geoloc_ros.imagery.tile_span import Area
from geoloc_ros.imagery.tile_store import Credit

_BLOCK_PX = 2048
#: Rasters may lie this far from each other's grid, pixels.
_ALIGNED_PX = 0.05
_EDGE_POINTS = 33


@dataclass(frozen=True, slots=True)
class _Source:
    """A raster on the grid of all: column and row of its first pixel."""

    path: Path
    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """The grid of all.

    Attributes:
        sources: rasters, the first on top.
        window: columns and rows to write.
        profile: of the file to write.
    """

    sources: tuple[_Source, ...]
    window: Window
    profile: dict[str, Any]


def import_rasters(
    paths: Sequence[Path],
    out: Path,
    credit: Credit,
    area: Area | None = None,
    progress: bool = True,
) -> tuple[int, int]:
    """Copy rasters of one grid into one GeoTIFF; where they overlap the first one shows.

    The file appears under its name only when complete.

    Args:
        paths: georeferenced rasters of the same projection and pixel size.
        out: GeoTIFF to write, or to replace.
        credit: whose imagery it is; a part left empty is taken from the rasters if all agree.
        area: only this; None: all.
        progress: show a progress bar on stderr.

    Returns:
        Width and height in pixels.

    Raises:
        ImageryError: a raster that is no imagery or lies nowhere, rasters that do not fit
            together, nothing in the area, credit not stated, or the file cannot be written.
    """
    if any(out.resolve() == path.resolve() for path in paths):
        raise ImageryError(f"{out} cannot be imported into itself; choose another --out")
    stated = _stated(paths).filled(credit.attribution, credit.terms)
    credit = stated.required(", ".join(map(str, paths[:3])) + (" ..." if paths[3:] else ""))
    layout = _lay_out(paths, area)
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(layout, part, credit, progress)
        part.replace(out)
    except (OSError, RasterioError) as error:
        raise ImageryError(
            f"cannot write {out}: {first_line(error)}; is the disk full?"
        ) from error
    finally:
        part.unlink(missing_ok=True)
        Path(f"{part}.msk").unlink(missing_ok=True)
    return int(layout.window.width), int(layout.window.height)


def _stated(paths: Sequence[Path]) -> Credit:
    """What the rasters say of themselves, as far as they agree."""
    found = []
    for path in paths:
        with open_raster(path) as dataset:
            found.append(Credit.of(dataset.tags()))
    attributions, terms = {c.attribution for c in found}, {c.terms for c in found}
    return Credit(
        attributions.pop() if len(attributions) == 1 else "",
        terms.pop() if len(terms) == 1 else "",
    )


def _lay_out(paths: Sequence[Path], area: Area | None) -> _Layout:
    sources, kept = [], None
    for path in paths:
        with open_raster(path) as dataset:
            kept = kept or _Grid(path, dataset.crs, dataset.transform, _kind(dataset))
            column, row = kept.place(path, dataset)
            sources.append(_Source(path, column, row, dataset.width, dataset.height))
    if kept is None:
        raise ImageryError("no raster to import; name at least one")
    left, top = min(s.column for s in sources), min(s.row for s in sources)
    right = max(s.column + s.width for s in sources)
    bottom = max(s.row + s.height for s in sources)
    if area is not None:
        box = kept.box(area)
        left, top = max(left, box[0]), max(top, box[1])
        right, bottom = min(right, box[2]), min(bottom, box[3])
    if left >= right or top >= bottom:
        raise ImageryError(
            f"{', '.join(map(str, paths[:3]))} has no pixel in {area}; 'geoloc imagery info' says "
            "what it covers"
        )
    bands, dtype = kept.kind
    window = Window(left, top, right - left, bottom - top)
    profile = {
        "driver": "GTiff", "width": right - left, "height": bottom - top, "count": bands,
        "dtype": dtype, "crs": kept.crs,
        "transform": window_transform(kept.transform, window, (bottom - top, right - left)),
        "compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 512,
        "blockysize": 512, "bigtiff": "IF_SAFER", "num_threads": "2",
        "photometric": "RGB" if bands == 3 else "MINISBLACK",
    }  # fmt: skip
    return _Layout(tuple(sources), window, profile)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The pixel grid that the first raster sets."""

    path: Path
    crs: Any
    transform: Any
    kind: tuple[int, str]

    def place(self, path: Path, dataset: Any) -> tuple[int, int]:  # noqa: ANN401
        """Column and row of a raster's first pixel.

        Raises:
            ImageryError: it is not on the grid.
        """
        scale = self.transform
        own = dataset.transform
        away = max(
            abs(a - b) for a, b in zip(own[:2] + own[3:5], scale[:2] + scale[3:5], strict=True)
        )
        if dataset.crs != self.crs or away * max(dataset.width, dataset.height) > (
            _ALIGNED_PX * max(abs(scale.a), abs(scale.b))
        ):
            raise ImageryError(
                f"{path} has another projection or pixel size ({dataset.crs}, {own.a:g}) than "
                f"{self.path} ({self.crs}, {scale.a:g}); bring all to one: gdalwarp -t_srs "
                f"'{self.crs}' -tr {abs(scale.a):g} {abs(scale.a):g} -tap IN OUT"
            )
        if _kind(dataset) != self.kind:
            raise ImageryError(
                f"{path} has {_kind(dataset)[0]} bands of {_kind(dataset)[1]}, {self.path} has "
                f"{self.kind[0]} of {self.kind[1]}; convert one: gdal_translate -ot Byte -scale"
            )
        x, y = apply_affine(~scale, own.c, own.f)
        if max(abs(x - round(x)), abs(y - round(y))) > _ALIGNED_PX:
            raise ImageryError(
                f"{path} lies {x % 1.0:.2f}, {y % 1.0:.2f} of a pixel off the grid of "
                f"{self.path}; bring both to one: gdalwarp -tap -tr {abs(scale.a):g} "
                f"{abs(scale.a):g} IN OUT"
            )
        return round(x), round(y)

    def box(self, area: Area) -> tuple[int, int, int, int]:
        """First column, first row, and those after the last, of an area."""
        t = np.linspace(0.0, 1.0, _EDGE_POINTS)
        width = (area.east - area.west) % 360.0
        lon, lat = (
            a.ravel()
            for a in np.meshgrid(area.west + t * width, area.south + t * (area.north - area.south))
        )
        to_crs = pyproj.Transformer.from_crs("EPSG:4326", self.crs.to_wkt(), always_xy=True)
        x, y = to_crs.transform((lon + 180.0) % 360.0 - 180.0, lat)
        columns, rows = apply_affine(~self.transform, np.asarray(x), np.asarray(y))
        there = np.isfinite(columns) & np.isfinite(rows)
        if not there.any():
            return 0, 0, 0, 0
        low = np.floor([columns[there].min(), rows[there].min()])
        high = np.ceil([columns[there].max(), rows[there].max()])
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _kind(dataset: Any) -> tuple[int, str]:  # noqa: ANN401
    """Bands and type of the pixels to write; a palette becomes colours."""
    if dataset.colorinterp[0] == ColorInterp.palette:
        return 3, "uint8"
    return len(colour_bands(dataset)), str(dataset.dtypes[0])


def _write(layout: _Layout, path: Path, credit: Credit, progress: bool) -> None:
    blocks = list(_blocks(layout.window))
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=128),
        rasterio.open(path, "w", **layout.profile) as target,
    ):
        for block in tqdm(blocks, desc="import", unit="block", disable=not progress):
            values, mask = _joined(layout, block)
            inner = Window(
                block.col_off - layout.window.col_off, block.row_off - layout.window.row_off,
                block.width, block.height,
            )  # fmt: skip
            target.write(values, window=inner)
            target.write_mask(mask, window=inner)
        target.update_tags(ATTRIBUTION=credit.attribution, TERMS=credit.terms)
    side = max(layout.profile["width"], layout.profile["height"])
    factors = [2**k for k in range(1, 9) if side / 2**k >= 256]
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, COMPRESS_OVERVIEW="DEFLATE"),
        rasterio.open(path, "r+") as target,
    ):
        target.build_overviews(factors, Resampling.average)


def _blocks(window: Window) -> Iterator[Window]:
    right, bottom = window.col_off + window.width, window.row_off + window.height
    for row in range(window.row_off, bottom, _BLOCK_PX):
        for column in range(window.col_off, right, _BLOCK_PX):
            yield Window(column, row, min(_BLOCK_PX, right - column), min(_BLOCK_PX, bottom - row))


def _joined(layout: _Layout, block: Window) -> tuple[Any, Any]:
    """Values (B, H, W) and mask (H, W) of a block; the first raster that has a pixel shows."""
    shape = (int(block.height), int(block.width))
    values = np.zeros((layout.profile["count"], *shape), layout.profile["dtype"])
    mask = np.zeros(shape, np.uint8)
    for source in layout.sources:
        left, top = max(block.col_off, source.column), max(block.row_off, source.row)
        right = min(block.col_off + block.width, source.column + source.width)
        bottom = min(block.row_off + block.height, source.row + source.height)
        if left >= right or top >= bottom:
            continue
        window = Window(left - source.column, top - source.row, right - left, bottom - top)
        found, there = _read(source.path, window)
        rows = slice(top - block.row_off, bottom - block.row_off)
        columns = slice(left - block.col_off, right - block.col_off)
        new = (mask[rows, columns] == 0) & (there > 0)
        values[:, rows, columns][:, new] = found[:, new]
        mask[rows, columns][new] = 255
    return values, mask


def _read(path: Path, window: Window) -> tuple[Any, Any]:
    with open_raster(path) as dataset:
        try:
            values = dataset.read(colour_bands(dataset), window=window)
            mask = dataset.dataset_mask(window=window)
        except RasterioError as error:
            raise ImageryError(
                f"{path} cannot be read: {first_line(error)}; is it complete?"
            ) from error
        if dataset.colorinterp[0] == ColorInterp.palette:
            values = palette(dataset)[values[0]].transpose(2, 0, 1)
        return values, mask
