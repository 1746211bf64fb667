# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The map under the tracks: which part of the plane is shown, in which pixels, on what picture."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.imagery.grid import Bounds
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.report.run_data import RunData

MAX_PX = 1500
MARGIN_M = 45.0
NO_GROUND_RGB = (57, 66, 78)
MIN_ASPECT, MAX_ASPECT = 1.3, 3.0


@dataclass(frozen=True, slots=True)
class Basemap:
    """A north-up window of the plane.

    Attributes:
        west_m: left edge.
        north_m: upper edge.
        scale_px_m: picture pixels per metre.
        width_px: columns.
        height_px: rows.
        rgb: (H, W, 3) the imagery there, None when there is none.
    """

    west_m: float
    north_m: float
    scale_px_m: float
    width_px: int
    height_px: int
    rgb: Image | None

    def to_px(self, xy_m: FloatArray) -> FloatArray:
        """(N, 2) picture coordinates (right, down) of (N, 2+) plane points."""
        x, y = xy_m[..., 0], xy_m[..., 1]
        return np.stack(
            [(x - self.west_m) * self.scale_px_m, (self.north_m - y) * self.scale_px_m], axis=-1
        )

    def data_url(self) -> str | None:
        """The imagery as an inline JPEG."""
        return jpeg_url(self.rgb, 80) if self.rgb is not None else None


def window_m(run: RunData, margin_m: float = MARGIN_M) -> Bounds:
    """West, south, east, north around the true track and every trusted estimate."""
    trusted = np.isin(run.estimates.status, ("LOCALISED", "DEGRADED"))
    points = [run.estimates.poses[trusted, :2]]
    if run.truth is not None and run.has_truth:
        points.append(run.truth.poses[:, :2])
    xy = np.concatenate(points)
    if not np.isfinite(xy).any():
        xy = run.estimates.poses[:, :2]
    return window_around(xy, margin_m)


def window_around(xy_m: FloatArray, margin_m: float = MARGIN_M) -> Bounds:
    """West, south, east, north around those of some points (N, 2) that are finite."""
    xy = xy_m[np.isfinite(xy_m).all(axis=1)]
    if not len(xy):
        xy = np.zeros((1, 2))
    (west, south), (east, north) = xy.min(axis=0) - margin_m, xy.max(axis=0) + margin_m
    # Landscape, so that the page is filled; never a mere strip.
    widen = max(0.0, MIN_ASPECT * (north - south) - (east - west)) / 2
    raise_ = max(0.0, (east - west) / MAX_ASPECT - (north - south)) / 2
    west, east, south, north = west - widen, east + widen, south - raise_, north + raise_
    return float(west), float(south), float(east), float(north)


def basemap(run: RunData, ortho: OrthoImage | None) -> Basemap:
    """Cut and shrink the imagery around the run."""
    return basemap_of(window_m(run), ortho)


def basemap_of(window: Bounds, ortho: OrthoImage | None) -> Basemap:
    """Cut and shrink the imagery in a window: west, south, east, north, m."""
    west, south, east, north = window
    gsd = ortho.gsd_m if ortho is not None else 0.25
    scale = min(1.0 / gsd, MAX_PX / max(east - west, north - south))
    width = max(1, round((east - west) * scale))
    height = max(1, round((north - south) * scale))
    rgb = None
    if ortho is not None:
        rgb = _resampled(ortho, west, north, scale, (width, height))
    return Basemap(west, north, scale, width, height, rgb)


def _resampled(
    ortho: OrthoImage, west_m: float, north_m: float, scale_px_m: float, size: tuple[int, int]
) -> Image:
    shrink = ortho.gsd_m * scale_px_m
    source, valid = ortho.rgb, ortho.valid.astype(np.uint8)
    if shrink < 0.99:
        # INTER_AREA averages; the warp below then only shifts by a part of a pixel.
        new = (max(1, round(source.shape[1] * shrink)), max(1, round(source.shape[0] * shrink)))
        source = np.asarray(cv2.resize(source, new, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        valid = np.asarray(cv2.resize(valid, new, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    fx = source.shape[1] / (ortho.rgb.shape[1] * shrink)
    fy = source.shape[0] / (ortho.rgb.shape[0] * shrink)
    # Edges to edges: a pixel's centre is half a pixel inside its edge.
    shift_x = (west_m - ortho.west_m) * scale_px_m * fx + 0.5 * fx - 0.5
    shift_y = (ortho.north_m - north_m) * scale_px_m * fy + 0.5 * fy - 0.5
    matrix = np.array([[fx, 0.0, shift_x], [0.0, fy, shift_y]])
    inverse = cv2.WARP_INVERSE_MAP
    warped = np.array(cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR | inverse))
    seen = cv2.warpAffine(valid, matrix, size, flags=cv2.INTER_NEAREST | inverse, borderValue=0)
    warped[np.asarray(seen) == 0] = NO_GROUND_RGB
    return np.asarray(warped, dtype=np.uint8)


def jpeg_url(rgb: Image, quality: int = 85) -> str:
    """An RGB picture as an inline JPEG."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
