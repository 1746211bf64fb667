# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Options that say where a vehicle may be, and what they say together."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.errors import ConfigError, GeodesyError

if TYPE_CHECKING:
    from geoloc_ros.geo.place_mixture import PlaceMixture
    from geoloc_ros.geo.wgs84 import LatLon
    from geoloc_ros.vlm.prior_sources import PriorSource

MOST_RADIUS_M = 1e7
MOST_AGE_S = 1e8


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command's parser."""
    group = parser.add_argument_group("where it may be; what is given counts together")
    group.add_argument(
        "--prior",
        type=Path,
        action="append",
        default=[],
        help="what a model said, from 'geoloc vlm prior --json'; may be given several times",
    )
    group.add_argument(
        "--near",
        type=float,
        nargs=3,
        metavar=("LAT", "LON", "RADIUS_M"),
        help="a place you know of, and within how many m of it 9 of 10 such places lie",
    )
    group.add_argument(
        "--last-fix",
        type=float,
        nargs=3,
        metavar=("LAT", "LON", "AGE_S"),
        help="the last known position, and how many s ago that was",
    )
    group.add_argument(
        "--region",
        type=float,
        nargs=4,
        metavar=("SOUTH", "WEST", "NORTH", "EAST"),
        help="a box in degrees; a west that lies east of its east crosses the antimeridian",
    )


def mixture_of(arguments: argparse.Namespace) -> PlaceMixture | None:
    """What the options say together; None if none is given.

    Raises:
        ConfigError: a number is out of bounds.
        PriorError: a file holds no prior, or the box is upside down.
    """
    from geoloc_ros.vlm.prior_sources import combined

    sources = _sources(arguments)
    return combined(sources, 0, {}) if sources else None


def _sources(arguments: argparse.Namespace) -> list[PriorSource]:
    from geoloc_ros.geo.place_json import read_mixture
    from geoloc_ros.vlm.prior_sources import LastFix, MapRegion, Said, UserInput

    sources: list[PriorSource] = [Said(read_mixture(path)) for path in arguments.prior]
    if arguments.near:
        lat, lon, radius = arguments.near
        _within("--near", "radius", radius, MOST_RADIUS_M, "m")
        sources.append(UserInput(position=_place("--near", lat, lon), radius_m=radius))
    if arguments.last_fix:
        lat, lon, age = arguments.last_fix
        _within("--last-fix", "age", age, MOST_AGE_S, "s")
        place = _place("--last-fix", lat, lon)
        sources.append(LastFix(position=place, stamp_ns=round(-age * 1e9)))
    if arguments.region:
        south, west, north, east = arguments.region
        corners = _place("--region", south, west), _place("--region", north, east)
        sources.append(MapRegion(south_west=corners[0], north_east=corners[1]))
    return sources


def _place(option: str, lat_deg: float, lon_deg: float) -> LatLon:
    from geoloc_ros.geo.wgs84 import LatLon

    try:
        return LatLon(lat_deg, lon_deg)
    except GeodesyError as error:
        raise ConfigError(f"{option}: {error}") from error


def _within(option: str, name: str, value: float, most: float, unit: str) -> None:
    if not (math.isfinite(value) and 0.0 < value <= most):
        raise ConfigError(
            f"the {name} of {option} is {value:g} {unit}; it must be above 0 and at most "
            f"{most:g} {unit}"
        )
