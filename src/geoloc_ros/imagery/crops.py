# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Satellite crops as the vehicle would see them: heading up, shifted ahead of the anchor.

Pixel (row, column) of a crop of S pixels and gsd g lies `offset + ((S-1)/2 - row) * g` ahead of
the anchor and `((S-1)/2 - column) * g` to its left: row 0 is farthest ahead, column 0 leftmost.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Image, Mask
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.ortho import OrthoImage

FloatArray = npt.NDArray[np.float64]

#: Grey of missing ground, unless the model says otherwise.
GREY = (127.0, 127.0, 127.0)

#: Cells of this many pixels are checked as one when looking for holes.
_CELL = 8


@dataclass(frozen=True, eq=False)
class _Level:
    """The imagery at about the crop's resolution, holes filled.

    Colours and validity are one picture of four channels: OpenCV warps it in half the time that it
    takes for three, to the same bytes.

    Attributes:
        rgba: (H, W, 4) colours, and 255 where there is imagery, less where it ends.
        west_m: outer edge of column 0.
        north_m: outer edge of row 0.
        pixel_m: width and height of a pixel.
        holes: (H / 8 + 1, W / 8 + 1) running count of cells with a hole.
    """

    rgba: Image
    west_m: float
    north_m: float
    pixel_m: tuple[float, float]
    holes: npt.NDArray[np.int64]


class CropCutter:
    """Cuts many crops of one kind from one image."""

    def __init__(
        self,
        ortho: OrthoImage,
        spec: ReferenceSpec,
        fill_rgb: tuple[float, float, float] = GREY,
    ) -> None:
        """Bring the imagery to the crop's resolution, once.

        Args:
            ortho: the imagery.
            spec: size, extent and offset of a crop.
            fill_rgb: colour of missing ground, 0..255.

        Raises:
            ImageryError: the spec has no size or extent.
        """
        if spec.size_px < 2 or not spec.extent_m > 0.0:
            raise ImageryError(
                f"a crop of {spec.size_px} px over {spec.extent_m:g} m has no resolution; both "
                "must be positive"
            )
        self._spec = spec
        self._gsd_m = spec.extent_m / spec.size_px
        self._fill = tuple(int(value) for value in np.clip(np.rint(fill_rgb), 0, 255))
        self._level = _make_level(ortho, self._gsd_m, self._fill)

    def legs(self, anchors: FloatArray) -> list[npt.NDArray[np.int64]]:
        """In which order anchors (N, 3) are cut best: as they come, all of them at hand."""
        return [np.arange(len(anchors))]

    def prepare(self, anchors: FloatArray) -> CropCutter:
        """Itself: nothing has to be read."""
        return self

    def cut(self, anchors: npt.ArrayLike) -> tuple[Image, FloatArray]:
        """Crops at anchor poses.

        Args:
            anchors: (N, 3) x_m, y_m, yaw_rad on the image's plane.

        Returns:
            Crops (N, S, S, 3) RGB with missing ground in the fill colour, and the share of ground
            present (N,) in 0..1.

        Raises:
            ImageryError: an anchor is not finite or the array is no (N, 3).
        """
        poses = np.asarray(anchors, dtype=np.float64)
        if poses.ndim != 2 or poses.shape[1] != 3 or not np.isfinite(poses).all():
            raise ImageryError(
                f"anchors have shape {poses.shape}; finite (N, 3) x_m, y_m, yaw_rad are needed"
            )
        size = self._spec.size_px
        images: Image = np.empty((len(poses), size, size, 3), np.uint8)
        share = np.zeros(len(poses))
        maps = self._maps(poses)
        low, high = self._boxes(maps)
        whole = self._whole(low, high)
        for i in range(len(poses)):
            share[i] = self._cut_one(maps[i], low[i], high[i], bool(whole[i]), images[i])
        return images, share

    def _maps(self, poses: FloatArray) -> FloatArray:
        """Affine maps (N, 2, 3) from crop column, row to level column, row."""
        spec, g, level = self._spec, self._gsd_m, self._level
        cos, sin = np.cos(poses[:, 2]), np.sin(poses[:, 2])
        centre = 0.5 * (spec.size_px - 1)
        ahead, left = spec.offset_forward_m + centre * g, centre * g
        # Ground point of crop pixel (0, 0), and the steps east and north per column and row.
        x0 = poses[:, 0] + ahead * cos - left * sin
        y0 = poses[:, 1] + ahead * sin + left * cos
        px, py = level.pixel_m
        maps = np.empty((len(poses), 2, 3))
        maps[:, 0, 0], maps[:, 0, 1] = g * sin / px, -g * cos / px
        maps[:, 1, 0], maps[:, 1, 1] = g * cos / py, g * sin / py
        maps[:, 0, 2] = (x0 - level.west_m) / px - 0.5
        maps[:, 1, 2] = (level.north_m - y0) / py - 0.5
        return maps

    def _boxes(self, maps: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Level rectangles (N, 2) low inclusive, high exclusive, that hold the crops."""
        last = self._spec.size_px - 1
        corners = np.array([[0, 0, 1], [last, 0, 1], [0, last, 1], [last, last, 1]], float)
        points = np.einsum("nij,kj->nki", maps, corners)
        low = np.floor(points.min(axis=1)).astype(np.int64) - 1
        high = np.ceil(points.max(axis=1)).astype(np.int64) + 2
        return low, high

    def _whole(
        self, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """True (N,) where the rectangle lies inside and no hole is near."""
        height, width = self._level.rgba.shape[:2]
        inside = (low >= 0).all(axis=1) & (high[:, 0] <= width) & (high[:, 1] <= height)
        first = np.clip(low, 0, [width - 1, height - 1]) // _CELL
        end = -(-np.clip(high, 1, [width, height]) // _CELL)
        table = self._level.holes
        count = (
            table[end[:, 1], end[:, 0]]
            - table[first[:, 1], end[:, 0]]
            - table[end[:, 1], first[:, 0]]
            + table[first[:, 1], first[:, 0]]
        )
        return np.asarray(inside & (count == 0))

    def _cut_one(
        self,
        affine: FloatArray,
        low: npt.NDArray[np.int64],
        high: npt.NDArray[np.int64],
        whole: bool,
        out: Image,
    ) -> float:
        """Write one crop; return the share of ground present."""
        size = (self._spec.size_px, self._spec.size_px)
        height, width = self._level.rgba.shape[:2]
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]), width), min(int(high[1]), height)
        if x0 >= x1 or y0 >= y1:
            out[:] = self._fill
            return 0.0
        # Only this rectangle is shown to OpenCV, whose coordinates overflow at 32767 px.
        local = affine.copy()
        local[0, 2] -= x0
        local[1, 2] -= y0
        rgba = cv2.warpAffine(
            self._level.rgba[y0:y1, x0:x1],
            local,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(*self._fill, 0),
        )
        cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB, dst=out)
        if whole:
            return 1.0
        present = rgba[..., 3] >= 128
        return float(np.count_nonzero(present)) / present.size


def crops(
    ortho: OrthoImage,
    anchors: npt.ArrayLike,
    spec: ReferenceSpec,
    fill_rgb: tuple[float, float, float] = GREY,
) -> tuple[Image, FloatArray]:
    """Heading-up crops at anchor poses; see `CropCutter.cut`.

    The prepared imagery of the last kind of crop is kept with `ortho`.

    Raises:
        ImageryError: bad anchors or spec.
    """
    key = (spec, tuple(fill_rgb))
    kept = ortho.__dict__.get("_cutter")
    if kept is None or kept[0] != key:
        kept = (key, CropCutter(ortho, spec, fill_rgb))
        ortho.__dict__["_cutter"] = kept
    cutter: CropCutter = kept[1]
    return cutter.cut(anchors)


def _make_level(ortho: OrthoImage, gsd_m: float, fill_rgb: tuple[int, ...]) -> _Level:
    height, width = ortho.valid.shape
    rgba: Image = np.empty((height, width, 4), np.uint8)
    rgba[..., :3] = ortho.rgb
    rgba[..., 3] = ortho.valid
    rgba[..., 3] *= 255
    if not ortho.valid.all():
        rgba[~ortho.valid, :3] = fill_rgb
    pixel_m = (ortho.gsd_m, ortho.gsd_m)
    if gsd_m > 1.05 * ortho.gsd_m:
        size = (
            max(1, round(width * ortho.gsd_m / gsd_m)),
            max(1, round(height * ortho.gsd_m / gsd_m)),
        )
        rgba = np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.uint8)
        pixel_m = (width * ortho.gsd_m / size[0], height * ortho.gsd_m / size[1])
    holes = _hole_table(rgba[..., 3] == 255)
    return _Level(rgba, ortho.west_m, ortho.north_m, pixel_m, holes)


def _hole_table(valid: Mask) -> npt.NDArray[np.int64]:
    """Running count (rows + 1, columns + 1) of cells that are not wholly valid."""
    rows, columns = -(-valid.shape[0] // _CELL), -(-valid.shape[1] // _CELL)
    padded = np.ones((rows * _CELL, columns * _CELL), np.bool_)
    padded[: valid.shape[0], : valid.shape[1]] = valid
    whole = padded.reshape(rows, _CELL, columns, _CELL).all(axis=(1, 3))
    table = np.zeros((rows + 1, columns + 1), np.int64)
    table[1:, 1:] = (~whole).cumsum(axis=0).cumsum(axis=1)
    return table
