# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tiles of one zoom, read by windows as if they were one raster.

A raster that crosses the antimeridian is in the same projection with its central meridian moved
to 180 degrees, where its columns are contiguous.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ImageDecodeError, ImageryError
from geoloc_ros.imagery.grid import window_transform
from geoloc_ros.imagery.tile_picture import decode, look
from geoloc_ros.imagery.tile_store import TileStore
from geoloc_ros.imagery.tiles import HALF_WORLD_M, Tile

_JPEG = b"\xff\xd8"  # how JPEG begins
_TURNED = "+proj=merc +a=6378137 +b=6378137 +lon_0=180 +units=m +nadgrids=@null +no_defs"


class TileRaster:
    """Tiles of one zoom; it answers what `geotiff.LocalMap` asks a rasterio dataset.

    Attributes:
        store: the file.
        span: the rectangle of tiles.
        side_px: of a tile.
        width: columns of pixels.
        height: rows of pixels.
        crs: web mercator, turned by 180 degrees if the rectangle crosses the antimeridian.
        transform: from column, row to metres.
    """

    def __init__(self, store: TileStore, zoom: int | None = None) -> None:
        """Choose the zoom.

        Args:
            store: the file, open.
            zoom: which; None: the finest.

        Raises:
            ImageryError: the file has no such zoom, or its first tile is damaged.
        """
        if zoom is None:
            zoom = max(store.spans)
        if zoom not in store.spans:
            raise ImageryError(
                f"{store.path} has no tile of zoom {zoom}; it has {zooms_text(store)}"
            )
        self.store, self.span = store, store.spans[zoom]
        self.format, self.side_px = self._first(zoom)
        self.width = self.span.columns * self.side_px
        self.height = self.span.rows * self.side_px
        tile_m = 2.0 * HALF_WORLD_M / (1 << zoom)
        turned = self.span.crosses_antimeridian
        west_m = self.span.x * tile_m - (2.0 * HALF_WORLD_M if turned else HALF_WORLD_M)
        pixel_m = tile_m / self.side_px
        self.crs = CRS.from_string(_TURNED if turned else "EPSG:3857")
        self.transform = Affine(
            pixel_m, 0.0, west_m, 0.0, -pixel_m, HALF_WORLD_M - self.span.y * tile_m
        )

    def tags(self) -> dict[str, str]:
        """Attribution and terms."""
        return {"attribution": self.store.credit.attribution, "terms": self.store.credit.terms}

    def read_rgba(self, window: Window, shape: tuple[int, int]) -> tuple[Image, Any]:
        """Colours and opacity of a window, reduced by averaging to no less than `shape`.

        Args:
            window: whole pixels within the raster.
            shape: rows, columns that are enough.

        Returns:
            (4, H, W) uint8 and its geotransform; H and W are at least those of `shape`. Missing
            tiles have opacity 0.

        Raises:
            ImageryError: a tile in the window is damaged, or has another size than the rest.
        """
        step = self._step(window, shape)
        side = self.side_px
        first = int(window.col_off) // step * step, int(window.row_off) // step * step
        end = int(window.col_off + window.width), int(window.row_off + window.height)
        width, height = (-(-(e - f) // step) for e, f in zip(end, first, strict=True))
        out = np.zeros((height, width, 4), np.uint8)
        for row in range(first[1] // side, -(-end[1] // side)):
            for column in range(first[0] // side, -(-end[0] // side)):
                picture = self._tile(column, row, step)
                if picture is not None:
                    x, y = (column * side - first[0]) // step, (row * side - first[1]) // step
                    _paste(out, picture, x, y)
        read = Window(*first, width * step, height * step)
        moved = window_transform(self.transform, read, (height, width))
        return np.ascontiguousarray(out.transpose(2, 0, 1)), moved

    def presence(self, window: Window) -> tuple[Image, Any] | None:
        """Which tiles (1, rows, columns) of a window there are, 255 or 0, and their geotransform.

        Nothing is decoded, so that it is asked for large areas.

        Returns:
            None if a tile may be transparent in parts: one of another format than JPEG.
        """
        side = self.side_px
        left, top = int(window.col_off) // side, int(window.row_off) // side
        right = -(-int(window.col_off + window.width) // side)
        bottom = -(-int(window.row_off + window.height) // side)
        found: Image = np.zeros((1, bottom - top, right - left), np.uint8)
        for row in range(top, bottom):
            for column in range(left, right):
                data = self._data(column, row)
                if data is not None and not data.startswith(_JPEG):
                    return None
                found[0, row - top, column - left] = 0 if data is None else 255
        tiles = Window(left * side, top * side, (right - left) * side, (bottom - top) * side)
        return found, window_transform(self.transform, tiles, found.shape[1:])

    def _step(self, window: Window, shape: tuple[int, int]) -> int:
        """By how much tiles are reduced: a power of two that divides their side."""
        most = min(window.height / shape[0], window.width / shape[1])
        step = 1
        while step * 2 <= most and self.side_px % (step * 2) == 0:
            step *= 2
        return step

    def _tile(self, column: int, row: int, step: int) -> Image | None:
        """One tile (H, W, 4) of the rectangle, reduced; None where there is none."""
        data = self._data(column, row)
        if data is None:
            return None
        try:
            name = f"tile {self._at(column, row)} of {self.store.path}"
            rgba = decode(data, name, self.side_px)
        except ImageDecodeError as error:
            raise ImageryError(f"damaged tile: {error}; fetch it again, or remove it") from error
        return rgba if step == 1 else _reduced(rgba, step)

    def _data(self, column: int, row: int) -> bytes | None:
        return self.store.read(self._at(column, row))

    def _at(self, column: int, row: int) -> Tile:
        zoom = self.span.zoom
        return Tile(zoom, (self.span.x + column) % (1 << zoom), self.span.y + row)

    def _first(self, zoom: int) -> tuple[str, int]:
        """Format and side of the first tile there is."""
        for tile in self.store.spans[zoom]:
            data = self.store.read(tile)
            if data is not None:
                try:
                    return look(data, f"tile {tile} of {self.store.path}")
                except ImageDecodeError as error:
                    raise ImageryError(
                        f"damaged tile: {error}; fetch it again, or remove it"
                    ) from error
        raise ImageryError(f"{self.store.path} holds only empty tiles of zoom {zoom}")


def zooms_text(store: TileStore) -> str:
    """Which zooms a file has, for people."""
    return ", ".join(f"{zoom} ({count} tiles)" for zoom, count in sorted(store.counts.items()))


def _reduced(rgba: Image, step: int) -> Image:
    """Average over squares of `step` px; transparent pixels lend no colour."""
    size = (rgba.shape[1] // step, rgba.shape[0] // step)
    if (rgba[..., 3] == 255).all():
        return np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.uint8)
    weight = rgba[..., 3:].astype(np.float32)
    blocks = np.concatenate([rgba[..., :3] * weight, weight], axis=2)
    mean = np.asarray(cv2.resize(blocks, size, interpolation=cv2.INTER_AREA), np.float32)
    mean[..., :3] = mean[..., :3] / np.maximum(mean[..., 3:], 1e-6)
    return np.rint(mean).astype(np.uint8)


def _paste(out: Image, picture: Image, x: int, y: int) -> None:
    """Lay a picture into another at column x, row y, which may lie outside."""
    height, width = picture.shape[:2]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, out.shape[1]), min(y + height, out.shape[0])
    if left < right and top < bottom:
        out[top:bottom, left:right] = picture[top - y : bottom - y, left - x : right - x]
