# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Geodetic positions and the local plane they are worked on.

The local plane is a transverse Mercator projection with scale 1 centred on an origin (EPSG method
9807 on the WGS84 ellipsoid): x is east, y is north at the origin, metres. Against the true ENU
tangent plane its scale error is (distance / 6371 km)^2 / 2 and the direction of north turns by the
meridian convergence, x / 6371 km * tan(latitude): at 50 km and 60 degrees latitude 3e-5 and 0.78
degrees. Positions further than `MAX_RANGE_M` from the origin are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from geoloc_ros.errors import GeodesyError

MAX_RANGE_M = 50_000.0

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LatLon:
    """A WGS84 position in decimal degrees."""

    lat_deg: float
    lon_deg: float

    def __post_init__(self) -> None:
        """Refuse what is no position.

        Raises:
            GeodesyError: a coordinate is not finite or out of range.
        """
        if not (-90.0 <= self.lat_deg <= 90.0 and -180.0 <= self.lon_deg <= 180.0):
            raise GeodesyError(
                f"not a WGS84 position: lat {self.lat_deg}, lon {self.lon_deg}; "
                "latitude must lie in -90..90 and longitude in -180..180 degrees"
            )


@dataclass(frozen=True)
class LocalFrame:
    """The local plane around an origin: x east, y north, metres."""

    origin: LatLon

    @cached_property
    def crs(self) -> str:
        """PROJ string of the plane; any GIS library understands it."""
        return (
            f"+proj=tmerc +lat_0={self.origin.lat_deg!r} +lon_0={self.origin.lon_deg!r} "
            "+k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
        )

    @cached_property
    def _project(self) -> Any:  # noqa: ANN401 - pyproj.Proj is untyped
        return pyproj.Proj(self.crs)

    def to_xy(self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> FloatArray:
        """Project geodetic positions to the plane.

        Args:
            lat_deg: latitudes, degrees, shape (N,) or scalar.
            lon_deg: longitudes, degrees, same shape.

        Returns:
            (N, 2) metres; a scalar input gives (1, 2).

        Raises:
            GeodesyError: a position is further than `MAX_RANGE_M` from the origin.
        """
        lat = np.atleast_1d(np.asarray(lat_deg, dtype=np.float64))
        lon = np.atleast_1d(np.asarray(lon_deg, dtype=np.float64))
        xy_m = np.stack(self._projected(lon, lat, inverse=False), axis=-1)
        self._check(xy_m)
        return xy_m

    def to_latlon(self, xy_m: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Unproject plane positions.

        Args:
            xy_m: (N, 2) metres.

        Returns:
            Latitudes and longitudes in degrees, (N,) each.

        Raises:
            GeodesyError: a position is further than `MAX_RANGE_M` from the origin.
        """
        xy = np.atleast_2d(np.asarray(xy_m, dtype=np.float64))
        self._check(xy)
        lon, lat = self._projected(xy[:, 0], xy[:, 1], inverse=True)
        return lat, lon

    def position(self, x_m: float, y_m: float) -> LatLon:
        """The geodetic position of one place on the plane.

        Raises:
            GeodesyError: it is further than `MAX_RANGE_M` from the origin.
        """
        if not max(abs(x_m), abs(y_m)) <= MAX_RANGE_M:
            self._check(np.array([x_m, y_m]))
        lon_deg, lat_deg = self._project(x_m, y_m, inverse=True)
        return LatLon(lat_deg, lon_deg)

    def _projected(
        self, a: FloatArray, b: FloatArray, inverse: bool
    ) -> tuple[FloatArray, FloatArray]:
        if len(a) == 1:  # some PROJ bindings take an array of one for a number, with a warning
            found = self._project(float(a[0]), float(b[0]), inverse=inverse)
        else:
            found = self._project(a, b, inverse=inverse)
        return np.atleast_1d(np.asarray(found[0])), np.atleast_1d(np.asarray(found[1]))

    def _check(self, xy_m: FloatArray) -> None:
        worst = float(np.abs(xy_m).max(initial=0.0))
        if not worst <= MAX_RANGE_M:
            raise GeodesyError(
                f"position {worst:.0f} m from the local origin {self.origin.lat_deg:.5f} N "
                f"{self.origin.lon_deg:.5f} E; the local plane is valid to {MAX_RANGE_M:.0f} m: "
                "choose an origin nearer to the data"
            )
