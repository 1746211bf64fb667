# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of a raster's window as colours and opacity, reduced to the size that is needed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.grid import window_transform
from geoloc_ros.imagery.tile_raster import TileRaster

_log = logging.getLogger(__name__)

#: A window of fewer pixels is read as it is and reduced here, which takes a quarter of the time
#: that GDAL takes to average; 4 bytes each.
_WHOLE_PIXELS = 40_000_000


def read_rgba(
    dataset: Any,  # noqa: ANN401 - rasterio is untyped
    path: Path,
    window: Window,
    shape: tuple[int, int],
) -> tuple[Image, Any, str]:
    """Colours and opacity of a window.

    Args:
        dataset: an open raster, or tiles.
        path: its file, for messages.
        window: whole pixels within the raster.
        shape: rows, columns wanted, at most those of the window.

    Returns:
        (4, H, W) of about `shape`, area averages to which transparent pixels lend no colour; its
        geotransform; how values were scaled to 8 bits ("" if not).

    Raises:
        ImageryError: it cannot be read.
    """
    if isinstance(dataset, TileRaster):
        rgba, transform = dataset.read_rgba(window, shape)
        # they are reduced by powers of two: what is left is less than that
        scale = transform.a / dataset.transform.a
        left = max(window.width / (shape[1] * scale), window.height / (shape[0] * scale))
        whole = Window(0, 0, rgba.shape[2], rgba.shape[1])
        size = max(1, round(whole.height / left)), max(1, round(whole.width / left))
        return shrunk(rgba, size), window_transform(transform, whole, size), ""
    try:
        here = window.width * window.height <= _WHOLE_PIXELS and not _overviews(
            dataset, window, shape
        )
        held = (int(window.height), int(window.width)) if here else shape
        rgba, rule = _read(dataset, window, held)
    except RasterioError as error:
        raise ImageryError(f"{path} cannot be read: {error}; is it complete?") from error
    return shrunk(rgba, shape), window_transform(dataset.transform, window, shape), rule


def read_opacity(
    dataset: Any,  # noqa: ANN401
    path: Path,
    window: Window,
    shape: tuple[int, int],
) -> tuple[Image, Any]:
    """Opacity (1, H, W) of a window by its nearest pixels, and its geotransform; see `read_rgba`.

    Raises:
        ImageryError: it cannot be read.
    """
    if isinstance(dataset, TileRaster):
        found = dataset.presence(window)
        if found is not None:
            return found
        rgba, transform = dataset.read_rgba(window, shape)
        return rgba[3:], transform
    try:
        opacity = _opacity(dataset, window, shape)
    except RasterioError as error:
        raise ImageryError(f"{path} cannot be read: {error}; is it complete?") from error
    return opacity[None], window_transform(dataset.transform, window, shape)


def shrunk(rgba: Image, shape: tuple[int, int]) -> Image:
    """Area averages of bands (4, H, W); they are given back if they are no larger than `shape`."""
    if rgba.shape[1] <= shape[0] or rgba.shape[2] <= shape[1]:
        return rgba

    def reduced(band: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(cv2.resize(band, shape[::-1], interpolation=cv2.INTER_AREA))

    out: Image = np.full((4, *shape), 255, np.uint8)
    if (rgba[3] == 255).all():
        for colour in range(3):
            out[colour] = reduced(rgba[colour])
        return out
    share = rgba[3].astype(np.float32) / np.float32(255.0)
    weight = reduced(share)
    for colour in range(3):
        out[colour] = np.rint(reduced(rgba[colour] * share) / np.maximum(weight, 1e-6))
    out[3] = np.rint(255.0 * weight)
    return out


def _overviews(dataset: Any, window: Window, shape: tuple[int, int]) -> bool:  # noqa: ANN401
    """Whether the raster has smaller copies of itself that are large enough."""
    reduction = min(window.height / shape[0], window.width / shape[1])
    return any(1 < factor <= reduction for factor in dataset.overviews(1))


def _read(
    dataset: Any,  # noqa: ANN401
    window: Window,
    shape: tuple[int, int],
) -> tuple[Image, str]:
    """Colours and opacity (4, H, W) of a window; GDAL averages it to `shape`."""
    bands = colour_bands(dataset)
    paletted = dataset.colorinterp[0] == ColorInterp.palette
    averaging = Resampling.nearest if paletted else Resampling.average
    values = dataset.read(
        bands, window=window, out_shape=(len(bands), *shape), resampling=averaging
    )
    rule = ""
    if paletted:
        values = palette(dataset)[values[0]].transpose(2, 0, 1)
    elif values.dtype != np.uint8:
        values, rule = _to_8_bit(dataset, bands, values)
    rgba = np.empty((4, *shape), np.uint8)
    rgba[:3] = values
    rgba[3] = _opacity(dataset, window, shape)
    return rgba, rule


def _opacity(dataset: Any, window: Window, shape: tuple[int, int]) -> Image:  # noqa: ANN401
    """255 where a window (H, W) has pixels, else 0, by the nearest of them."""
    if all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums):
        return np.full(shape, 255, np.uint8)
    mask = dataset.dataset_mask(window=window, out_shape=shape, resampling=Resampling.nearest)
    return np.where(mask > 0, 255, 0).astype(np.uint8)


def colour_bands(dataset: Any) -> list[int]:  # noqa: ANN401
    """Band numbers of red, green, blue, or of the only grey."""
    by_colour = {colour: number for number, colour in enumerate(dataset.colorinterp, start=1)}
    wanted = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    if all(colour in by_colour for colour in wanted):
        return [by_colour[colour] for colour in wanted]
    plain = [n for n, colour in enumerate(dataset.colorinterp, 1) if colour != ColorInterp.alpha]
    return plain[:3] if len(plain) >= 3 else plain[:1]


def palette(dataset: Any) -> Image:  # noqa: ANN401
    """Colours (256, 3) of a paletted raster's values."""
    table = np.zeros((256, 3), np.uint8)
    for value, colour in dataset.colormap(1).items():
        if value < 256:
            table[value] = colour[:3]
    return table


def _to_8_bit(
    dataset: Any,  # noqa: ANN401
    bands: list[int],
    values: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.uint8], str]:
    """Stretch the 1st..99th percentile of the whole raster, all bands alike, to 0..255."""
    step = max(1, int(np.ceil(max(dataset.width, dataset.height) / 1024)))
    small = max(1, dataset.height // step), max(1, dataset.width // step)
    sample = dataset.read(bands, out_shape=(len(bands), *small))
    mask = dataset.dataset_mask(out_shape=small) > 0
    chosen = sample[:, mask]
    low, high = np.rint(np.percentile(chosen, [1.0, 99.0])) if chosen.size else (0.0, 1.0)
    if high <= low:
        high = low + 1.0
    _log.warning("16-bit imagery: %g..%g stretched to 0..255", low, high)
    stretched = np.rint((values.astype(np.float32) - low) * (255.0 / (high - low)))
    return np.clip(stretched, 0, 255).astype(np.uint8), f"{low:g}..{high:g} to 0..255"
