# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Web-mercator tiles in a folder, laid out as one GeoTIFF.

Tile (x, y) of zoom z covers 1/2^z of the square world of EPSG:3857, x counted from 180 degrees
west, y from the north (the XYZ scheme; TMS counts y from the south and is not read).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geoloc_ros.errors import ImageDecodeError, ImageryError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery.files import read_rgb
from geoloc_ros.imagery.grid import MAX_PIXELS

#: Half the side of the EPSG:3857 world square.
HALF_WORLD_M = math.pi * 6_378_137.0
#: Web mercator ends at this latitude, degrees.
MAX_LAT_DEG = 85.051128
MAX_ZOOM = 23

_NAMES = re.compile(
    r"(?:^|.*/)(?P<z>\d{1,2})[_/](?P<x>\d{1,8})[_/](?P<y>\d{1,8})\.(?:jpe?g|png|webp|tiff?)$", re.I
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One web-mercator tile.

    Attributes:
        zoom: 0 is the whole world.
        x: columns from the west.
        y: rows from the north.
    """

    zoom: int
    x: int
    y: int

    def __post_init__(self) -> None:
        """Refuse tiles that do not exist.

        Raises:
            ImageryError: zoom, x or y out of range.
        """
        side = 1 << min(max(self.zoom, 0), MAX_ZOOM)
        if not (0 <= self.zoom <= MAX_ZOOM and 0 <= self.x < side and 0 <= self.y < side):
            raise ImageryError(
                f"no tile {self.zoom}/{self.x}/{self.y}: zoom must lie in 0..{MAX_ZOOM}, x and y "
                f"in 0..{side - 1}; is the order of the numbers zoom, x, y?"
            )

    def __str__(self) -> str:
        """Zoom/x/y, as everyone writes it."""
        return f"{self.zoom}/{self.x}/{self.y}"

    @property
    def bounds_mercator_m(self) -> tuple[float, float, float, float]:
        """West, south, east, north in EPSG:3857."""
        side = 2.0 * HALF_WORLD_M / (1 << self.zoom)
        west, north = -HALF_WORLD_M + self.x * side, HALF_WORLD_M - self.y * side
        return west, north - side, west + side, north


def tile_at(position: LatLon, zoom: int) -> Tile:
    """The tile that holds a position.

    Raises:
        ImageryError: beyond 85.05 degrees latitude, where web mercator ends, or a bad zoom.
    """
    if abs(position.lat_deg) > MAX_LAT_DEG:
        raise ImageryError(f"latitude {position.lat_deg} degrees has no tile; the limit is 85.05")
    side = 1 << zoom
    sine = math.sin(math.radians(position.lat_deg))
    x = (position.lon_deg / 360.0 + 0.5) * side
    y = (0.5 - math.atanh(sine) / (2.0 * math.pi)) * side
    return Tile(zoom, min(int(x), side - 1), min(max(int(y), 0), side - 1))


def find_tiles(folder: Path, zoom: int | None = None) -> dict[Tile, Path]:
    """Tiles of one zoom in a folder, named `{z}_{x}_{y}.jpg` or `{z}/{x}/{y}.png`.

    Args:
        folder: where to look, with sub-folders.
        zoom: which zoom; None: the only one there is.

    Raises:
        ImageryError: no folder, no tiles, several zooms, or one tile twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageryError(f"no folder of tiles at {folder}")
    tiles: dict[Tile, Path] = {}
    for path in sorted(folder.rglob("*")):
        match = _NAMES.match(path.relative_to(folder).as_posix())
        if match is None:
            continue
        tile = Tile(int(match["z"]), int(match["x"]), int(match["y"]))
        if tile in tiles:
            raise ImageryError(
                f"tile {tile.zoom}/{tile.x}/{tile.y} is there twice: {tiles[tile]} and {path}"
            )
        tiles[tile] = path
    zooms = Counter(tile.zoom for tile in tiles)
    if zoom is None and len(zooms) > 1:
        found = ", ".join(f"{z} ({count} tiles)" for z, count in sorted(zooms.items()))
        raise ImageryError(f"{folder} holds several zooms: {found}; choose one with zoom=")
    chosen = {tile: path for tile, path in tiles.items() if zoom in (None, tile.zoom)}
    if not chosen:
        raise ImageryError(
            f"no tiles{'' if zoom is None else f' of zoom {zoom}'} in {folder}; they must be "
            "named {z}_{x}_{y}.jpg or {z}/{x}/{y}.png"
        )
    return chosen


def mosaic_tiles(
    folder: Path, out: Path, zoom: int | None = None, attribution: str = ""
) -> tuple[int, int]:
    """Lay tiles out as one GeoTIFF in EPSG:3857, missing tiles masked.

    The file appears under its name only when complete.

    Args:
        folder: see `find_tiles`.
        out: GeoTIFF to write.
        zoom: see `find_tiles`.
        attribution: whose imagery it is; kept as a tag.

    Returns:
        How many tiles were laid out, and how many are missing in the rectangle around them.

    Raises:
        ImageryError: see `find_tiles`; tiles of different sizes, damaged ones, too large a
            rectangle, or the file cannot be written.
    """
    tiles = find_tiles(folder, zoom)
    columns = [tile.x for tile in tiles]
    rows = [tile.y for tile in tiles]
    count = (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)
    corner = Tile(next(iter(tiles)).zoom, min(columns), min(rows))
    side = _read_tile(next(iter(tiles.values())), None).shape[0]
    if count * side * side > MAX_PIXELS:
        raise ImageryError(
            f"{len(tiles)} tiles in {folder} span a rectangle of {count} tiles, "
            f"{count * side * side / 1e6:.0f} million pixels (limit {MAX_PIXELS / 1e6:.0f}): are "
            "there stray tiles? Split the area"
        )
    out = Path(out)
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(part, tiles, corner, side, _profile(columns, rows, corner, side), attribution)
        part.replace(out)
    except (OSError, RasterioError) as error:
        raise ImageryError(f"cannot write {out}: {error}; is the disk full?") from error
    finally:
        part.unlink(missing_ok=True)
    return len(tiles), count - len(tiles)


def _profile(columns: list[int], rows: list[int], corner: Tile, side: int) -> dict[str, Any]:
    west, south, _, north = corner.bounds_mercator_m
    pixel = (north - south) / side
    return {
        "driver": "GTiff",
        "width": (max(columns) - min(columns) + 1) * side,
        "height": (max(rows) - min(rows) + 1) * side,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:3857",
        "transform": rasterio.Affine(pixel, 0.0, west, 0.0, -pixel, north),
        "compress": "deflate",
        "predictor": 2,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "photometric": "RGB",
    }


def _write(
    path: Path,
    tiles: Mapping[Tile, Path],
    corner: Tile,
    side: int,
    profile: dict[str, Any],
    attribution: str,
) -> None:
    present = np.full((side, side), 255, np.uint8)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile) as dataset,
    ):
        for tile, source in sorted(tiles.items()):
            window = Window((tile.x - corner.x) * side, (tile.y - corner.y) * side, side, side)
            dataset.write(_read_tile(source, side).transpose(2, 0, 1), window=window)
            dataset.write_mask(present, window=window)
        if attribution:
            dataset.update_tags(ATTRIBUTION=attribution)


def _read_tile(path: Path, side: int | None) -> Any:  # noqa: ANN401 - (side, side, 3) uint8
    try:
        rgb = read_rgb(path)
    except ImageDecodeError as error:
        raise ImageryError(f"damaged tile: {error}; fetch it again or remove it") from error
    height, width = rgb.shape[:2]
    if height != width or (side is not None and width != side):
        raise ImageryError(
            f"tile {path} is {width}x{height} px; all must be {side or 'square'}"
            f"{f'x{side} px' if side else ''}, usually 256x256 px"
        )
    return rgb
