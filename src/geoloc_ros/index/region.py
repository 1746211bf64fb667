# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which shards of an index a region touches, and where an index lies, in degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.errors import IndexPullError
from geoloc_ros.geo.far import far_xy
from geoloc_ros.geo.wgs84 import MAX_RANGE_M, LatLon
from geoloc_ros.index import quadtree
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.records import ShardRecord


@dataclass(frozen=True, slots=True)
class Box:
    """A region between meridians and parallels; `west` > `east` crosses the antimeridian.

    Attributes:
        west, south, east, north: degrees.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        """Refuse what is no region.

        Raises:
            IndexPullError: not finite, out of range, or without extent.
        """
        wide = self.west != self.east and all(
            abs(edge) <= 180.0 for edge in (self.west, self.east)
        )
        if not (wide and -90.0 <= self.south < self.north <= 90.0):
            raise IndexPullError(
                f"the region {self} is none: west, south, east, north are needed, in degrees, "
                "south < north (west > east means across 180 degrees)"
            )

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.west:g},{self.south:g},{self.east:g},{self.north:g}"

    def touches(self, manifest: Manifest) -> Mask:
        """Which shards (N,) have entries' bounds that reach into it."""
        lat, lon = _outlines(manifest)
        # longitudes count from the origin, where no index is wide enough to wrap around
        turned = (lon - manifest.origin.lon_deg + 180.0) % 360.0 - 180.0
        first, last = turned.min(axis=1), turned.max(axis=1)
        after_west = (first + manifest.origin.lon_deg - self.west) % 360.0
        width = (self.east - self.west) % 360.0 or 360.0
        aside = (after_west > width) & (after_west + (last - first) < 360.0)
        beside = aside | (lat.max(axis=1) < self.south) | (lat.min(axis=1) > self.north)
        return np.asarray(~beside)


@dataclass(frozen=True, slots=True)
class Disc:
    """All that is no farther from a place than a radius.

    Attributes:
        centre: the place.
        radius_m: metres.
    """

    centre: LatLon
    radius_m: float

    def __post_init__(self) -> None:
        """Refuse what is no region.

        Raises:
            IndexPullError: the radius is out of bounds.
        """
        most = 4.0 * MAX_RANGE_M
        if not (math.isfinite(self.radius_m) and 1.0 <= self.radius_m <= most):
            raise IndexPullError(
                f"the radius is {self.radius_m:g} m; it must lie in 1..{most:.0f} m (--all takes "
                "a whole index)"
            )

    def __str__(self) -> str:
        """For messages."""
        place = self.centre
        return f"{self.radius_m:g} m around {place.lat_deg:.5f} N {place.lon_deg:.5f} E"

    def touches(self, manifest: Manifest) -> Mask:
        """Which shards (N,) have entries' bounds that reach into it."""
        x, y = far_xy(manifest.frame, self.centre.lat_deg, self.centre.lon_deg)[0]
        bounds = bounds_of(manifest.shards)
        away_x = np.maximum(np.maximum(bounds[:, 0] - x, x - bounds[:, 2]), 0.0)
        away_y = np.maximum(np.maximum(bounds[:, 1] - y, y - bounds[:, 3]), 0.0)
        return np.asarray(np.hypot(away_x, away_y) <= self.radius_m)


@dataclass(frozen=True, slots=True)
class Everywhere:
    """All of an index."""

    def __str__(self) -> str:
        """For messages."""
        return "everything"

    def touches(self, manifest: Manifest) -> Mask:
        """All shards (N,)."""
        return np.ones(len(manifest.shards), dtype=np.bool_)


Region = Box | Disc | Everywhere


def bounds_of(shards: Sequence[ShardRecord]) -> FloatArray:
    """West, south, east, north of shards' entries (N, 4), m."""
    return np.array([shard.bounds_m for shard in shards], dtype=np.float64).reshape(-1, 4)


def overlap(shards: Sequence[ShardRecord], others: Sequence[ShardRecord]) -> Mask:
    """Which shards (N,) share ground with one of the others, by their bounds or their cells."""
    bounds = bounds_of(shards)
    theirs = {above for other in others for above in quadtree.upwards(other.cell)}
    whole = {other.cell for other in others}
    found: Mask = np.array(
        [shard.cell in theirs or not whole.isdisjoint(quadtree.upwards(shard.cell))
         for shard in shards],
        dtype=np.bool_,
    )  # fmt: skip
    for west, south, east, north in bounds_of(others):
        found |= (
            (bounds[:, 0] <= east) & (west <= bounds[:, 2])
            & (bounds[:, 1] <= north) & (south <= bounds[:, 3])
        )  # fmt: skip
    return found


def area_text(manifest: Manifest) -> str:
    """The box around all entries, in degrees."""
    west, south, east, north = manifest.bounds_m
    lat, lon = manifest.frame.to_latlon(np.array([[west, south], [east, north]]))
    return f"lat {lat[0]:.5f}..{lat[1]:.5f}, lon {lon[0]:.5f}..{lon[1]:.5f}"


def _outlines(manifest: Manifest) -> tuple[FloatArray, FloatArray]:
    """Latitudes and longitudes (N, 8), degrees, of corners and middles of edges."""
    west, south, east, north = bounds_of(manifest.shards).T
    x, y = 0.5 * (west + east), 0.5 * (south + north)
    xs = np.stack([west, x, east, east, east, x, west, west], axis=1)
    ys = np.stack([south, south, south, y, north, north, north, y], axis=1)
    lat, lon = manifest.frame.to_latlon(np.stack([xs.ravel(), ys.ravel()], axis=1))
    return lat.reshape(xs.shape), lon.reshape(xs.shape)
