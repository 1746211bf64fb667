# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a regional style says."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.geo.wgs84 import LatLon

Rgb = tuple[int, int, int]
Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """One region of the world as seen from its streets.

    Colours are sRGB bytes. ``mix`` and ``centre_mix`` weigh building types in the outskirts and
    in the centre; ``trees`` weighs tree kinds; ``plan`` names the street plan.
    """

    name: str
    region: str
    anchor: LatLon
    plan: str
    block_m: tuple[Range, Range]
    driving_side: str
    centre_paint: str
    edge_lines: float
    zebra: float
    roundabout: float
    curviness: float
    sidewalk_m: Range
    road_width_m: Range
    mix: dict[str, float]
    centre_mix: dict[str, float]
    roofs: tuple[Rgb, ...]
    flat_roofs: tuple[Rgb, ...]
    facades: tuple[Rgb, ...]
    wall: str
    asphalt: Rgb
    pavement: Rgb
    grass: Rgb
    soil: Rgb
    lawn: float
    trees: dict[str, float]
    street_trees: float
    hedge: float
    fence: str
    poles: float
    lamp: str
    sky: Rgb
    relief_m: float
    parked: float
    bike: float = 0.0
    road_surface: str = "asphalt"
    water: float = 0.3
    solar: float = 0.08
    pools: float = 0.02
    woods: float = 1.0
    zebra_style: str = "bars"
