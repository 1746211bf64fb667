# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Satellite imagery on the local plane, as one value that knows where it lies."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoloc_ros.datatypes import Image, Mask
from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.imagery.geotiff import LocalMap, open_raster, read_grid
from geoloc_ros.imagery.grid import Bounds, Grid, check_bounds

_log = logging.getLogger(__name__)

GSD_RANGE_M = (0.02, 10.0)


@dataclass(frozen=True, eq=False)
class OrthoImage:
    """North-up imagery with square pixels on a local plane.

    Attributes:
        rgb: (H, W, 3) uint8.
        valid: (H, W), False where there is no imagery.
        frame: the plane.
        west_m: outer edge of column 0.
        north_m: outer edge of row 0.
        gsd_m: side of a pixel.
        provenance: where it came from: source, crs, bounds_lonlat_deg, native_gsd_m, attribution,
            licence, sha256, value_scaling.
    """

    rgb: Image
    valid: Mask
    frame: LocalFrame
    west_m: float
    north_m: float
    gsd_m: float
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit.

        Raises:
            ImageryError: shapes or types disagree, or the pixel size is implausible.
        """
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ImageryError(
                f"imagery is {self.rgb.dtype} {self.rgb.shape}; (H, W, 3) uint8 is needed"
            )
        if self.valid.shape != self.rgb.shape[:2] or self.valid.dtype != np.bool_:
            raise ImageryError(
                f"validity is {self.valid.dtype} {self.valid.shape}; bool "
                f"{self.rgb.shape[:2]} is needed"
            )
        check_gsd(self.gsd_m)

    @staticmethod
    def open(
        path: Path,
        frame: LocalFrame | None = None,
        gsd_m: float | None = None,
        bounds_m: Bounds | None = None,
    ) -> OrthoImage:
        """Read any georeferenced raster, or a file of tiles, onto the local plane.

        Args:
            path: the raster, any projection, rotated or not; or MBTiles, PMTiles.
            frame: the plane; None: around the raster's centre, rounded to 1e-5 degrees.
            gsd_m: pixel size; None: the raster's own on the ground.
            bounds_m: west, south, east, north on the plane; None: all of it.

        Raises:
            ImageryError: no raster, no georeference, no picture, nothing valid in the area, too
                large for memory or for the plane.
        """
        path = Path(path)
        if bounds_m is not None:
            check_bounds(bounds_m)
        with open_raster(path) as dataset:
            local = LocalMap(dataset, path, frame)
            native = local.native_gsd_m(bounds_m)
            gsd = native if gsd_m is None else gsd_m
            check_gsd(gsd, str(path))
            grid = Grid.covering(bounds_m or local.bounds_m(), gsd)
            rgb, valid, scaling = read_grid(dataset, local, grid)
            tags = {key.lower(): value for key, value in dataset.tags().items()}
            provenance = {
                "source": str(path),
                "crs": dataset.crs.to_string(),
                "native_gsd_m": round(native, 6),
                "attribution": tags.get("attribution") or tags.get("tifftag_copyright", ""),
                "licence": tags.get("terms", ""),
                "value_scaling": scaling,
            }
        if not valid.any():
            raise ImageryError(
                f"{path} has no valid pixel in the area: all {valid.size} are nodata, masked or "
                "outside; check its nodata value and the area"
            )
        rgb[~valid] = 0
        image = OrthoImage(rgb, valid, local.frame, grid.west_m, grid.north_m, grid.gsd_m)
        provenance["bounds_lonlat_deg"] = image.bounds_lonlat_deg
        provenance["sha256"] = _sha256(path)
        object.__setattr__(image, "provenance", provenance)
        _log.info("%s: %dx%d px of %.3f m", path, grid.width, grid.height, grid.gsd_m)
        return image

    @property
    def bounds_m(self) -> Bounds:
        """West, south, east, north on the plane."""
        height, width = self.valid.shape
        south, east = self.north_m - height * self.gsd_m, self.west_m + width * self.gsd_m
        return self.west_m, south, east, self.north_m

    @property
    def bounds_lonlat_deg(self) -> Bounds:
        """West, south, east, north in degrees: the box around the four corners."""
        west, south, east, north = self.bounds_m
        corners = [(west, south), (west, north), (east, south), (east, north)]
        lat, lon = self.frame.to_latlon(corners)
        box = (lon.min(), lat.min(), lon.max(), lat.max())
        return tuple(round(float(value), 7) for value in box)  # type: ignore[return-value]


def check_gsd(gsd_m: float, what: str = "imagery") -> None:
    """Refuse pixel sizes on which no vehicle can be found.

    Raises:
        ImageryError: outside `GSD_RANGE_M`.
    """
    low, high = GSD_RANGE_M
    if not low <= gsd_m <= high:
        raise ImageryError(
            f"{what}: pixel size on the ground is {gsd_m:g} m; it must lie in {low:g}..{high:g} m:"
            " use imagery of about 0.5 m, or check the CRS's unit"
        )


def preview(ortho: OrthoImage, path: Path, max_px: int = 1600) -> None:
    """Write a picture of the imagery for people, at most `max_px` wide or high.

    Raises:
        ImageryError: the file cannot be written.
    """
    scale = min(1.0, max_px / max(ortho.valid.shape))
    small = ortho.rgb
    if scale < 1.0:
        resized = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = np.asarray(resized, np.uint8)
    suffix = Path(path).suffix.lower()
    if suffix not in {".png", ".jpg", ".jpeg"}:
        raise ImageryError(f"preview {path} must end in .png or .jpg")
    ok, data = cv2.imencode(suffix, cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    try:
        if not ok:
            raise OSError("the encoder refused")
        Path(path).write_bytes(data.tobytes())
    except OSError as error:
        raise ImageryError(f"cannot write preview {path}: {error}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
