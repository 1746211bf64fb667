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

import numpy as np

from geoloc_ros.datatypes import FloatArray, Image, Mask
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
            provenance = provenance_of(dataset, path, native) | {"value_scaling": scaling}
        if not valid.any():
            raise ImageryError(
                f"{path} has no valid pixel in the area: all {valid.size} are nodata, masked or "
                "outside; check its nodata value and the area"
            )
        rgb[~valid] = 0
        image = OrthoImage(rgb, valid, local.frame, grid.west_m, grid.north_m, grid.gsd_m)
        provenance["bounds_lonlat_deg"] = image.bounds_lonlat_deg
        provenance["sha256"] = file_sha256(path)
        object.__setattr__(image, "provenance", provenance)
        _log.info("%s: %dx%d px of %.3f m", path, grid.width, grid.height, grid.gsd_m)
        return image

    @property
    def pixels_sha256(self) -> str:
        """Identity of the pixels and of where they lie."""
        digest = hashlib.sha256(np.ascontiguousarray(self.rgb).data)
        digest.update(np.packbits(self.valid).tobytes())
        place = (self.valid.shape, self.west_m, self.north_m, self.gsd_m)
        digest.update(repr(place).encode())
        return digest.hexdigest()

    def shown(self, xy_m: FloatArray) -> Mask:
        """Whether imagery exists at positions (N, 2) within the bounds, m; (N,)."""
        height, width = self.valid.shape
        column = np.floor((xy_m[:, 0] - self.west_m) / self.gsd_m).astype(np.int64)
        row = np.floor((self.north_m - xy_m[:, 1]) / self.gsd_m).astype(np.int64)
        return self.valid[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]

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


def provenance_of(dataset: Any, path: Path, native_gsd_m: float) -> dict[str, Any]:  # noqa: ANN401
    """What an open raster says of where it came from."""
    tags = {key.lower(): value for key, value in dataset.tags().items()}
    return {
        "source": str(path),
        "crs": dataset.crs.to_string(),
        "native_gsd_m": round(native_gsd_m, 6),
        "attribution": tags.get("attribution") or tags.get("tifftag_copyright", ""),
        "licence": tags.get("terms", ""),
    }


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


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
