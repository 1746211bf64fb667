# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Who may know where a vehicle is: last fix, maps on board, user, other models; and all together.

A source says a `PlaceMixture` about a time. Together they are the normalised product of what each
says, flattened by how often it was right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from geoloc_ros.errors import PriorError
from geoloc_ros.geo.place_mixture import MOST_SIGMA_M, FloatArray, PlaceMixture, mean_place
from geoloc_ros.geo.wgs84 import LatLon


@runtime_checkable
class PriorSource(Protocol):
    """Someone who knows something about where the vehicle is."""

    @property
    def name(self) -> str:
        """By which its reliability is looked up."""

    def at(self, stamp_ns: int) -> PlaceMixture:
        """What it says about a time.

        Raises:
            PriorError: it cannot say.
        """


@dataclass(frozen=True, slots=True)
class Said:
    """A mixture that was said already, by another model or a file."""

    mixture: PlaceMixture

    @property
    def name(self) -> str:
        """See `PriorSource`."""
        return self.mixture.source

    def at(self, stamp_ns: int) -> PlaceMixture:
        """See `PriorSource`."""
        del stamp_ns
        return self.mixture


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFix:
    """The last known position; the longer ago, the less it says.

    Attributes:
        position: it.
        stamp_ns: when it was known.
        sigma_m: how well.
        speed_mps: by which its sigma grows, per second.
        share: probability that it was right.
    """

    position: LatLon
    stamp_ns: int
    sigma_m: float = 10.0
    speed_mps: float = 20.0
    share: float = 0.95
    name: str = "last_fix"

    def at(self, stamp_ns: int) -> PlaceMixture:
        """See `PriorSource`; speaks about times before it as about times after."""
        away_s = abs(stamp_ns - self.stamp_ns) / 1e9
        sigma = min(self.sigma_m + self.speed_mps * away_s, MOST_SIGMA_M)
        return _one(self.position, sigma, self.share, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRegion:
    """The area of the maps somebody put on board: a box of latitudes and longitudes.

    No network address is looked up for it. A box whose west lies east of its east crosses the
    antimeridian.

    Attributes:
        south_west: corner.
        north_east: corner.
        share: probability that the vehicle is where its maps are.
    """

    south_west: LatLon
    north_east: LatLon
    share: float = 0.9
    name: str = "maps"

    def at(self, stamp_ns: int) -> PlaceMixture:
        """See `PriorSource`.

        Raises:
            PriorError: the box is upside down.
        """
        del stamp_ns
        south, north = self.south_west.lat_deg, self.north_east.lat_deg
        if south > north:
            raise PriorError(f"map region from {south} to {north} degrees north is upside down")
        west = self.south_west.lon_deg
        width = (self.north_east.lon_deg - west) % 360.0
        lat = np.repeat(np.linspace(south, north, 9), 9)
        lon = np.tile(west + np.linspace(0.0, width, 9), 9)
        weights = np.maximum(np.cos(np.radians(lat)), 1e-6)  # columns meet at the poles
        middle_lat, middle_lon, spread = mean_place(lat, lon, weights)
        middle = LatLon(middle_lat, (middle_lon + 180.0) % 360.0 - 180.0)
        return _one(middle, max(spread, 1000.0), self.share, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInput:
    """A place somebody pointed at.

    Attributes:
        position: it.
        radius_m: within which 9 of 10 such places lie.
        share: probability that the person is right.
    """

    position: LatLon
    radius_m: float
    share: float = 0.9
    name: str = "user"

    def at(self, stamp_ns: int) -> PlaceMixture:
        """See `PriorSource`."""
        del stamp_ns
        return _one(
            self.position, self.radius_m / np.sqrt(2.0 * np.log(10.0)), self.share, self.name
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A model that rates places of a list, as GeoCLIP does.

    Attributes:
        lat_deg: (G,).
        lon_deg: (G,).
        probability: (G,), adding up to at most one.
        sigma_m: half the usual distance of neighbours in the list.
        name: of the model.
    """

    lat_deg: FloatArray
    lon_deg: FloatArray
    probability: FloatArray
    sigma_m: float
    name: str

    def at(self, stamp_ns: int) -> PlaceMixture:
        """See `PriorSource`; of many places, the likeliest."""
        del stamp_ns
        sigma = np.full(len(self.probability), self.sigma_m)
        return PlaceMixture.of(self.lat_deg, self.lon_deg, sigma, self.probability, self.name)


def combined(
    sources: Iterable[PriorSource], stamp_ns: int, reliability: Mapping[str, float]
) -> PlaceMixture:
    """What all sources say together about a time.

    Args:
        sources: taken as independent.
        stamp_ns: the time.
        reliability: of each source by its name, learned; 1 where none is given.

    Raises:
        PriorError: a source cannot say, or a reliability is out of bounds.
    """
    total = PlaceMixture.nothing("")
    for source in sources:
        total = total.times(source.at(stamp_ns).flattened(reliability.get(source.name, 1.0)))
    return total


def _one(position: LatLon, sigma_m: float, share: float, source: str) -> PlaceMixture:
    return PlaceMixture.of(position.lat_deg, position.lon_deg, sigma_m, share, source, [source])
