# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Areas of the Earth, and the rectangles of web-mercator tiles that cover them.

An area whose west is larger than its east crosses the antimeridian (180 degrees), and so may a
rectangle of tiles: its columns count on beyond the last and wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from geoloc_ros.errors import GeodesyError, ImageryError
from geoloc_ros.geo.wgs84 import MAX_RANGE_M, LatLon, LocalFrame
from geoloc_ros.imagery.tiles import HALF_WORLD_M, MAX_LAT_DEG, MAX_ZOOM, Tile, tile_at

_EARTH_M = 2.0 * HALF_WORLD_M
#: An edge this near to the edge of a tile does not reach into the next one, degrees.
_EDGE_DEG = 1e-9


@dataclass(frozen=True, slots=True)
class Area:
    """A box in degrees; `west` > `east` crosses the antimeridian.

    Attributes:
        west, south, east, north: degrees.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        """Refuse what is no area of web mercator.

        Raises:
            ImageryError: not finite, no extent, or beyond 85.05 degrees of latitude.
        """
        box = (self.west, self.south, self.east, self.north)
        if not all(map(math.isfinite, box)) or max(abs(self.west), abs(self.east)) > 180.0:
            raise ImageryError(
                f"area {box} must be finite west, south, east, north; west and east in -180..180"
            )
        if not self.south < self.north or self.west == self.east:
            raise ImageryError(
                f"area {box} has no extent: west, south, east, north are needed, south < north "
                "(west > east means across 180 degrees)"
            )
        if max(abs(self.south), abs(self.north)) > MAX_LAT_DEG:
            raise ImageryError(
                f"area {box} goes beyond {MAX_LAT_DEG:.2f} degrees of latitude, where "
                "web-mercator tiles end; use a GeoTIFF in a polar projection there"
            )

    @staticmethod
    def around(centre: LatLon, radius_m: float) -> Area:
        """The box around a circle.

        Raises:
            ImageryError: the radius is not within 1 m and the reach of a local plane, or the
                circle touches where web mercator ends.
        """
        if not 1.0 <= radius_m <= MAX_RANGE_M:
            raise ImageryError(
                f"radius is {radius_m:g} m; it must lie in 1..{MAX_RANGE_M:.0f} m, the reach of a "
                "local plane"
            )
        t = np.linspace(0.0, 2.0 * math.pi, 65)
        circle = radius_m * np.stack([np.cos(t), np.sin(t)], axis=1)
        try:
            lat, lon = LocalFrame(centre).to_latlon(circle)
        except GeodesyError as error:
            raise ImageryError(str(error)) from error
        east = (lon - centre.lon_deg + 180.0) % 360.0 - 180.0
        if not float(np.abs(lat).max()) <= MAX_LAT_DEG or float(np.ptp(east)) > 180.0:
            raise ImageryError(
                f"{radius_m:g} m around {centre.lat_deg} N {centre.lon_deg} E goes beyond "
                f"{MAX_LAT_DEG:.2f} degrees of latitude, where web-mercator tiles end"
            )
        west, far_east = (
            (float(v) + centre.lon_deg + 180.0) % 360.0 - 180.0 for v in (east.min(), east.max())
        )
        return Area(west, float(lat.min()), far_east, float(lat.max()))

    @property
    def centre(self) -> LatLon:
        """The middle."""
        half = 0.5 * ((self.east - self.west) % 360.0 or 360.0)
        lon = (self.west + half + 180.0) % 360.0 - 180.0
        return LatLon(0.5 * (self.south + self.north), lon)

    def __str__(self) -> str:
        """As a message shows it."""
        across = " (across 180 degrees)" if self.west > self.east else ""
        return f"{self.south:.5f}..{self.north:.5f} N, {self.west:.5f}..{self.east:.5f} E{across}"


@dataclass(frozen=True, slots=True)
class TileSpan:
    """A rectangle of tiles of one zoom.

    Attributes:
        zoom: of all its tiles.
        x, y: column and row of the north-western tile.
        columns: how many; x + columns may pass the last column of the world.
        rows: how many.
    """

    zoom: int
    x: int
    y: int
    columns: int
    rows: int

    def __len__(self) -> int:
        """How many tiles."""
        return self.columns * self.rows

    def __iter__(self) -> Iterator[Tile]:
        """All tiles, row by row."""
        side = 1 << self.zoom
        for row in range(self.y, self.y + self.rows):
            for column in range(self.x, self.x + self.columns):
                yield Tile(self.zoom, column % side, row)

    @property
    def crosses_antimeridian(self) -> bool:
        """Whether columns wrap around."""
        return self.x + self.columns > 1 << self.zoom

    @property
    def area(self) -> Area:
        """What the tiles cover."""
        side = 1 << self.zoom
        west = 360.0 * self.x / side - 180.0
        east = 360.0 * ((self.x + self.columns - 1) % side + 1) / side - 180.0
        north, south = (
            math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * row / side))))
            for row in (self.y, self.y + self.rows)
        )
        return Area(west, max(south, -MAX_LAT_DEG), east, min(north, MAX_LAT_DEG))

    @staticmethod
    def covering(area: Area, zoom: int) -> TileSpan:
        """The tiles that an area touches.

        Raises:
            ImageryError: no such zoom.
        """
        if not 0 <= zoom <= MAX_ZOOM:
            raise ImageryError(f"zoom is {zoom}; it must lie in 0..{MAX_ZOOM}")
        first = tile_at(LatLon(area.north - _EDGE_DEG, _inside(area.west + _EDGE_DEG)), zoom)
        last = tile_at(LatLon(area.south + _EDGE_DEG, _inside(area.east - _EDGE_DEG)), zoom)
        side = 1 << zoom
        columns = last.x - first.x + 1
        if area.west > area.east:
            columns = min(columns + side, side)
        return TileSpan(zoom, first.x, first.y, columns, last.y - first.y + 1)

    @staticmethod
    def around(zoom: int, columns: Iterable[int], rows: tuple[int, int]) -> TileSpan:
        """The smallest rectangle over columns (any order, not empty), and rows first to last.

        The widest gap between columns stays outside, wherever on the globe it lies.
        """
        side = 1 << zoom
        there = np.unique(np.fromiter(columns, np.int64))
        gaps = np.diff(there, append=there[0] + side)
        widest = int(np.argmax(gaps))
        start = int(there[(widest + 1) % len(there)])
        return TileSpan(zoom, start, rows[0], side - int(gaps[widest]) + 1, rows[1] - rows[0] + 1)


def metres_per_pixel(zoom: int, lat_deg: float, side_px: int = 256) -> float:
    """Width of a tile's pixel on the ground, to 0.7 % (the Earth taken for a sphere)."""
    return math.cos(math.radians(lat_deg)) * _EARTH_M / (1 << zoom) / side_px


def _inside(lon_deg: float) -> float:
    """A longitude within -180..180."""
    return min(max(lon_deg, -180.0), 180.0)
