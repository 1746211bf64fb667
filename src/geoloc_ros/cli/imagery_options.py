# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs of `geoloc imagery` share: the area, and whose imagery it is."""

from __future__ import annotations

import argparse

from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery.tile_span import Area


def add_credit(parser: argparse.ArgumentParser, when: str) -> None:
    """Add the options that say whose imagery it is."""
    parser.add_argument("--attribution", metavar="TEXT", help=f"whom to name{when}")
    parser.add_argument(
        "--terms", metavar="TEXT", help=f"licence, or where the terms of use stand{when}"
    )


def add_area(parser: argparse.ArgumentParser, text: str, required: bool = False) -> None:
    """Add the options that choose an area."""
    choice = parser.add_mutually_exclusive_group(required=required)
    choice.add_argument(
        "--bounds", type=float, nargs=4, metavar=("WEST", "SOUTH", "EAST", "NORTH"),
        help=f"{text}, degrees; WEST > EAST crosses 180 degrees",
    )  # fmt: skip
    choice.add_argument(
        "--around", type=float, nargs=3, metavar=("LAT", "LON", "RADIUS_M"),
        help=f"{text}: degrees, degrees, metres",
    )  # fmt: skip


def area_of(arguments: argparse.Namespace) -> Area | None:
    """The area asked for, None for all.

    Raises:
        ImageryError: it has no tiles.
        GeodesyError: the centre is no position.
    """
    if arguments.bounds:
        return Area(*arguments.bounds)
    if arguments.around:
        lat_deg, lon_deg, radius_m = arguments.around
        return Area.around(LatLon(lat_deg, lon_deg), radius_m)
    return None
