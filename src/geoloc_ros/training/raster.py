# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Orthophotos in memory and heading-up crops, cut fast enough to cut anew every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import TrainingError

FloatArray = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
# The mean colour of `nets.MEAN` as bytes.
FILL = (115, 115, 110)


@dataclass(frozen=True)
class Ortho:
    """A north-up orthophoto in the local plane.

    Attributes:
        image: (H, W, 3) RGB.
        left_m: x of the left edge.
        top_m: y of the top edge.
        gsd_m: side of a pixel on the ground.
    """

    image: Image
    left_m: float
    top_m: float
    gsd_m: float


def read_ortho(path: Path, crs: str | None = None) -> Ortho:
    """Read a GeoTIFF into a local plane.

    Args:
        path: the file.
        crs: the plane (`LocalFrame.crs`); None if the file lies in it already.

    Raises:
        TrainingError: the file cannot be read, is rotated against the plane, or has not three
            bands.
    """
    import rasterio
    from rasterio.vrt import WarpedVRT

    try:
        with rasterio.open(path) as file:
            if crs is None:
                transform, bands = file.transform, file.read([1, 2, 3])
            else:
                with WarpedVRT(
                    file, crs=crs, resampling=rasterio.enums.Resampling.bilinear
                ) as vrt:
                    transform, bands = vrt.transform, vrt.read([1, 2, 3])
    except (rasterio.errors.RasterioError, IndexError) as error:
        raise TrainingError(f"no usable training imagery in {path}: {error}") from error
    if transform.b != 0.0 or transform.d != 0.0:
        raise TrainingError(f"{path} is rotated; training imagery must be north-up")
    image = np.ascontiguousarray(np.moveaxis(bands, 0, -1))
    return Ortho(image, float(transform.c), float(transform.f), float(transform.a))


def prepare(ortho: Ortho, spec: ReferenceSpec, fill: tuple[int, int, int] = FILL) -> Ortho:
    """Fill what is black for want of imagery and reduce to about a crop's resolution.

    The index cuts its crops the same way (`imagery.crops`).
    """
    image = ortho.image.copy()
    image[(image == 0).all(axis=2)] = fill
    gsd = spec.extent_m / spec.size_px
    if gsd <= 1.05 * ortho.gsd_m:
        return Ortho(image, ortho.left_m, ortho.top_m, ortho.gsd_m)
    scale = ortho.gsd_m / gsd
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gsd = ortho.gsd_m * image.shape[1] / small.shape[1]
    return Ortho(np.asarray(small, np.uint8), ortho.left_m, ortho.top_m, gsd)


def cut(
    ortho: Ortho,
    poses: FloatArray,
    spec: ReferenceSpec,
    flip: npt.NDArray[np.bool_] | None = None,
    fill: tuple[int, int, int] = FILL,
) -> Image:
    """Cut heading-up crops.

    Pixel (row, column) of a crop lies `offset_forward_m + ((size - 1) / 2 - row) * res` metres
    ahead and `((size - 1) / 2 - column) * res` metres to the left of its anchor,
    res = extent / size.

    Args:
        ortho: the orthophoto.
        poses: (N, 3) anchors x_m, y_m, yaw_rad.
        spec: size, extent and forward shift.
        flip: (N,) crops to mirror left-right; the world as seen in a mirror.
        fill: colour outside the orthophoto.

    Returns:
        (N, size, size, 3).
    """
    size, res = spec.size_px, spec.extent_m / spec.size_px
    crops = np.empty((len(poses), size, size, 3), dtype=np.uint8)
    middle = (size - 1) / 2
    for i, (x, y, yaw) in enumerate(poses):
        forward = np.array([np.cos(yaw), np.sin(yaw)])
        left = np.array([-forward[1], forward[0]])
        side = -1.0 if flip is not None and flip[i] else 1.0
        # A pixel lies at the corner plus its column and row steps.
        step_column, step_row = -side * res * left, -res * forward
        corner = np.array([x, y]) + (spec.offset_forward_m + middle * res) * forward
        corner += side * middle * res * left
        to_pixel = np.array([[1.0, 0.0], [0.0, -1.0]]) / ortho.gsd_m
        linear = to_pixel @ np.stack([step_column, step_row], axis=1)
        start = to_pixel @ (corner - np.array([ortho.left_m, ortho.top_m])) - 0.5
        matrix = np.concatenate([linear, start[:, None]], axis=1)
        cv2.warpAffine(
            ortho.image, matrix, (size, size), dst=crops[i],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT, borderValue=fill,
        )  # fmt: skip
    return crops
