# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Resampling a picture through a fixed map, anti-aliased.

A view pixel may cover many picture pixels (a 1920-pixel picture in a 192-pixel view; the near
ground in an overhead patch). Each view pixel is therefore read from the level of a
halved-by-area pyramid at which neighbouring view pixels are about one level pixel apart
(Williams, "Pyramidal parametrics", SIGGRAPH 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.distortion import FloatArray
from geoloc_ros.datatypes import Image, Mask

_MAX_LEVEL = 6
_MAX_REDUCTION_LOG2 = 3  # JPEG goes no further
#: Pixels of one level are laid out in rows of this length for cv2.remap.
_PACK = 64


@dataclass(frozen=True)
class _LevelMap:
    """What is read from one pyramid level."""

    index: npt.NDArray[np.intp] | None
    """Flat view pixels, None: all of them, in order."""
    map_xy: npt.NDArray[np.int16]
    map_fraction: npt.NDArray[np.uint16]


class Warp:
    """A fixed map from view pixels to picture pixels, ready to be applied to many pictures.

    Attributes:
        mask: (H, W) False where the view sees nothing.
        step_px: (H, W) picture pixels between neighbouring view pixels.
        halvings: how often a picture may be halved for the typical view pixel, negative where the
            view is finer than the picture.
    """

    def __init__(
        self,
        uv: FloatArray,
        seen: Mask,
        source_size: tuple[int, int],
        *,
        per_pixel: bool,
        fill_rgb: tuple[float, float, float],
    ) -> None:
        """Choose pyramid levels and convert the map to fixed point.

        Args:
            uv: (H, W, 2) picture column and row of every view pixel.
            seen: (H, W) False where uv means nothing.
            source_size: width and height of the pictures, px.
            per_pixel: choose the level per pixel; otherwise one level for the whole view.
            fill_rgb: colour of unseen pixels, 0..255.
        """
        self.mask: Mask = seen
        self.shape = seen.shape
        self.step_px = _steps(uv, seen)
        self.halvings = 0.0
        self._fill = np.clip(np.rint(fill_rgb), 0, 255).astype(np.uint8)
        self._unseen = np.flatnonzero(~seen)
        self._levels: dict[int, _LevelMap] = {}
        if not seen.any():
            return
        halvings = np.rint(np.log2(self.step_px))
        self.halvings = float(np.median(halvings[seen]))
        level = np.clip(halvings, 0, _MAX_LEVEL).astype(int)
        if not per_pixel:
            level[:] = int(np.median(level[seen]))
        self._roi = _region(uv[seen], source_size, int(level[seen].max()))
        for value in np.unique(level[seen]):
            self._levels[int(value)] = self._level_map(uv, level, int(value))

    def _level_map(self, uv: FloatArray, level: npt.NDArray[np.int_], value: int) -> _LevelMap:
        x0, y0 = self._roi[0], self._roi[1]
        index = None
        if (level[self.mask] == value).all():
            points = np.where(self.mask[..., None], uv, 0.0)
        else:
            index = np.flatnonzero(self.mask & (level == value))
            points = uv.reshape(-1, 2)[index]
            padding = -len(index) % _PACK
            points = np.concatenate([points, np.repeat(points[-1:], padding, axis=0)])
            points = points.reshape(-1, _PACK, 2)
        scale = 1.0 / (1 << value)
        x = ((points[..., 0] - x0 + 0.5) * scale - 0.5).astype(np.float32)
        y = ((points[..., 1] - y0 + 0.5) * scale - 0.5).astype(np.float32)
        map_xy, map_fraction = cv2.convertMaps(x, y, cv2.CV_16SC2)
        return _LevelMap(index, np.asarray(map_xy, np.int16), np.asarray(map_fraction, np.uint16))

    def apply(self, rgb: Image) -> Image:
        """The view (H, W, 3) of one picture (rows, columns, 3) of `source_size`."""
        height, width = self.shape
        out: Image = np.empty((height, width, 3), np.uint8)
        if self._levels:
            x0, y0, x1, y1 = self._roi
            level_image = rgb[y0:y1, x0:x1]
            for value in range(max(self._levels) + 1):
                if value:
                    level_image = _halve(level_image)
                if value in self._levels:
                    out = self._read(level_image, self._levels[value], out)
        if len(self._unseen):
            out.reshape(-1, 3)[self._unseen] = self._fill
        return out

    def _read(self, level_image: Image, level: _LevelMap, out: Image) -> Image:
        values = cv2.remap(
            level_image,
            level.map_xy,
            level.map_fraction,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if level.index is None:
            return np.asarray(values, dtype=np.uint8)
        out.reshape(-1, 3)[level.index] = values.reshape(-1, 3)[: len(level.index)]
        return out


def allowed_reduction(warp: Warp, reduction: int) -> int:
    """What a view allows frames to be reduced by, from its warp of a picture reduced already."""
    allowed = warp.halvings + np.log2(reduction)
    return 1 << int(np.clip(allowed, 0, _MAX_REDUCTION_LOG2))


def _halve(image: Image) -> Image:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _region(uv: FloatArray, source_size: tuple[int, int], level: int) -> tuple[int, int, int, int]:
    """Picture rectangle x0, y0, x1, y1 that holds all points, aligned to the coarsest level."""
    width, height = source_size
    block = 1 << level
    low = np.floor((uv.min(axis=0) - block) / block).astype(int) * block
    high = np.ceil((uv.max(axis=0) + 1 + block) / block).astype(int) * block
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    return x0, y0, min(int(high[0]), width), min(int(high[1]), height)


def _steps(uv: FloatArray, seen: Mask) -> FloatArray:
    """Picture pixels between neighbouring view pixels (H, W); NaN-free.

    The geometric mean of the two axes, but never less than half of the longer one: between
    blurring the short axis and aliasing along the long one.
    """
    if min(seen.shape) < 2 or not seen.any():
        return np.ones(seen.shape)
    points = np.where(seen[..., None], uv, np.nan)
    down, right = np.gradient(points, axis=(0, 1))
    area = np.abs(right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0])
    longer = np.maximum(np.hypot(*np.moveaxis(right, -1, 0)), np.hypot(*np.moveaxis(down, -1, 0)))
    step = np.maximum(np.sqrt(area), 0.5 * longer)
    known = np.isfinite(step)
    typical = float(np.median(step[known])) if known.any() else 1.0
    return np.maximum(np.where(known, step, typical), 1e-3)
