# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pixel grids on the local plane, and what fits in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio import Affine
from rasterio.windows import Window

from geoloc_ros.errors import ImageryError

#: Largest raster handled in memory, pixels; reading takes up to 15 bytes for each.
MAX_PIXELS = 400_000_000

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """A north-up pixel grid on the local plane.

    Attributes:
        west_m: outer edge of column 0.
        north_m: outer edge of row 0.
        gsd_m: side of a pixel.
        width: columns.
        height: rows.
    """

    west_m: float
    north_m: float
    gsd_m: float
    width: int
    height: int

    @staticmethod
    def covering(bounds_m: Bounds, gsd_m: float) -> Grid:
        """The smallest grid over west, south, east, north, aligned to multiples of `gsd_m`.

        Raises:
            ImageryError: empty, or more than `MAX_PIXELS`.
        """
        grid = Grid.over(bounds_m, gsd_m)
        check_size(grid.width, grid.height, f"the area at {gsd_m:.3g} m per pixel")
        return grid

    @staticmethod
    def over(bounds_m: Bounds, gsd_m: float) -> Grid:
        """The same, however large.

        Raises:
            ImageryError: empty.
        """
        scaled = np.asarray(bounds_m) / gsd_m
        # A thousandth of a pixel is rounding, not ground.
        west, south = np.floor(scaled[:2] + 1e-3)
        east, north = np.ceil(scaled[2:] - 1e-3)
        width, height = int(east - west), int(north - south)
        if width < 1 or height < 1:
            raise ImageryError(
                f"area {bounds_text(bounds_m)} m (west, south, east, north) holds no pixel of "
                f"{gsd_m:g} m; give west < east and south < north inside the imagery"
            )
        return Grid(float(west * gsd_m), float(north * gsd_m), gsd_m, width, height)

    @property
    def bounds_m(self) -> Bounds:
        """West, south, east, north."""
        east, south = (
            self.west_m + self.width * self.gsd_m,
            self.north_m - self.height * self.gsd_m,
        )
        return self.west_m, south, east, self.north_m


def check_bounds(bounds_m: Bounds) -> None:
    """Refuse what is no area.

    Raises:
        ImageryError: not four finite numbers.
    """
    if len(bounds_m) != 4 or not np.isfinite(bounds_m).all():
        raise ImageryError(
            f"area {tuple(bounds_m)} is not west, south, east, north in metres; four finite "
            "numbers are needed"
        )


def check_size(width: int, height: int, what: str) -> None:
    """Refuse rasters that would not fit in memory.

    Raises:
        ImageryError: more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise ImageryError(
            f"{what} is {width}x{height} = {width * height / 1e6:.0f} million pixels; at most "
            f"{MAX_PIXELS / 1e6:.0f} million fit in memory: give a smaller area or a coarser gsd_m"
        )


def bounds_text(bounds_m: Bounds) -> str:
    """An area as a message shows it, m."""
    return "(" + ", ".join(f"{value:.1f}" for value in bounds_m) + ")"


def apply_affine(affine: Any, x: Any, y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Affine map of scalars or arrays; written out because affine 2 and 3 spell it differently."""
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def window_transform(affine: Any, window: Window, shape: tuple[int, int]) -> Any:  # noqa: ANN401
    """Geotransform of a window that was resampled to `shape` (rows, columns)."""
    sx, sy = window.width / shape[1], window.height / shape[0]
    x0, y0 = apply_affine(affine, window.col_off, window.row_off)
    return Affine(affine.a * sx, affine.b * sy, x0, affine.d * sx, affine.e * sy, y0)
