# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A made town: roads, buildings, trees and areas in a local plane anchored on the real earth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod
from shapely.geometry import Polygon
from shapely.ops import unary_union

from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.synthetic.buildings import LotBuilder
from geoloc_ros.synthetic.layout import Area, Building, Occupancy, Prop, Tree
from geoloc_ros.synthetic.paint import find_crossings
from geoloc_ros.synthetic.planting import along_roads, fill_blocks, make_tree, open_areas, plant
from geoloc_ros.synthetic.plots import pick
from geoloc_ros.synthetic.roadnet import Road, make_roads
from geoloc_ros.synthetic.street_plan import ATTRIBUTION, StreetPlan, planned_roads
from geoloc_ros.synthetic.styles import STYLES, Style
from geoloc_ros.synthetic.terrain import Terrain, make_terrain

F64 = NDArray[np.float64]
Standing = TypeVar("Standing", Tree, Prop)
MIN_SIZE_M, MAX_SIZE_M = 250.0, 5000.0


@dataclass(frozen=True)
class Town:
    """Everything that stands in one made town.

    Attributes:
        seed: Seed it was made from.
        style: Regional style.
        size_m: Side of the square, centred on (0, 0) of the local frame.
        origin: Where the local frame touches the earth.
        terrain: Ground height field.
        roads: Road network, connected through shared node ids.
        buildings: Buildings of both epochs.
        trees: Trees of both epochs.
        props: Street furniture, fences and hedges.
        areas: Ground polygons in painting order.
        slots: `(N, 3)` places for parked cars, x, y (m), yaw (rad).
        streets: Name of the OpenStreetMap extract its streets come from, "" if they are made.
    """

    seed: int
    style: Style
    size_m: float
    origin: LatLon
    terrain: Terrain
    roads: tuple[Road, ...]
    buildings: tuple[Building, ...]
    trees: tuple[Tree, ...]
    props: tuple[Prop, ...]
    areas: tuple[Area, ...]
    slots: F64
    streets: str = ""

    @property
    def frame(self) -> LocalFrame:
        """Local plane of the town."""
        return LocalFrame(self.origin)

    def height_m(self, xy_m: F64) -> F64:
        """Ground height `(N,)` in metres at local positions `(N, 2)`."""
        return self.terrain.height_m(xy_m)

    def node_positions(self) -> dict[int, F64]:
        """Position `(2,)` of every road node."""
        out: dict[int, F64] = {}
        for road in self.roads:
            out[road.start_node] = road.centreline_m[0, :2]
            out[road.end_node] = road.centreline_m[-1, :2]
        return out

    def scene_truth(self) -> dict[str, Any]:
        """Truth about every place, as plain values that JSON can hold (metres, radians)."""
        credit = {"streets": f"{self.streets}: {ATTRIBUTION}"} if self.streets else {}
        return {
            **credit,
            "seed": self.seed,
            "style": self.style.name,
            "region": self.style.region,
            "street_plan": "osm" if self.streets else self.style.plan,
            "driving_side": self.style.driving_side,
            "centre_paint": self.style.centre_paint,
            "size_m": self.size_m,
            "origin": {"lat_deg": self.origin.lat_deg, "lon_deg": self.origin.lon_deg},
            "roads": [_road_truth(r) for r in self.roads],
            "buildings": [_building_truth(b) for b in self.buildings],
            "trees": [
                {
                    "xy_m": [round(t.x_m, 2), round(t.y_m, 2)],
                    "kind": t.kind,
                    "change": t.change,
                    "height_m": round(t.height_m, 1),
                    "radius_m": round(t.radius_m, 1),
                }
                for t in self.trees
            ],
            "props": [
                {
                    "xy_m": [round(p.x_m, 2), round(p.y_m, 2)],
                    "kind": p.kind,
                    "yaw_rad": round(p.yaw_rad, 3),
                }
                for p in self.props
            ],
            "areas": [
                {"kind": a.kind, "polygon_m": np.round(a.polygon_m, 2).tolist()}
                for a in self.areas
            ],
            "crossings_m": [
                np.round(ends, 2).tolist()
                for ends in find_crossings(self.seed, self.style, self.roads)
            ],
        }


def _road_truth(road: Road) -> dict[str, Any]:
    return {
        "id": road.id,
        "kind": road.kind,
        "lanes": road.lanes,
        "oneway": road.oneway,
        "width_m": road.width_m,
        "start_node": road.start_node,
        "end_node": road.end_node,
        "sidewalk_m": road.sidewalk_m,
        "parking_m": list(road.parking_m),
        "centre": road.centre,
        "edge_line": road.edge_line,
        "bike": road.bike,
        "surface": road.surface,
        "centreline_m": np.round(road.centreline_m, 3).tolist(),
    }


def _building_truth(building: Building) -> dict[str, Any]:
    shape = unary_union([Polygon(p.corners(0.01)) for p in building.parts])
    outline = shape.convex_hull if shape.geom_type != "Polygon" else shape
    main = building.parts[0]
    return {
        "id": building.id,
        "kind": building.kind,
        "storeys": building.storeys,
        "footprint_m": np.round(np.asarray(outline.exterior.coords)[:-1], 2).tolist(),
        "eaves_m": round(main.eaves_m, 2),
        "height_m": round(main.eaves_m + main.rise_m, 2),
        "roof_type": main.roof,
        "roof_rgb": list(building.roof),
        "roof_before_rgb": list(building.roof_before),
        "facade_rgb": list(building.facade),
        "change": building.change,
    }


def make_town(
    seed: int,
    style: str | None = None,
    size_m: float = 1000.0,
    streets: StreetPlan | None = None,
) -> Town:
    """Make a town; the same arguments give the same town.

    Args:
        seed: Non-negative seed.
        style: Name in `STYLES`; None draws one from the seed.
        size_m: Side of the square, metres, 250 to 5000.
        streets: Real streets to build on; the style drawn is then that of the nearest region.

    Returns:
        The town.

    Raises:
        ConfigError: Unknown style, negative seed or size out of bounds.
    """
    _check(seed, style, size_m)
    rng = np.random.default_rng([seed, 7461])
    drawn = list(STYLES)[int(rng.integers(len(STYLES)))]
    looks = STYLES[style or (drawn if streets is None else nearest_style(streets.centre))]
    origin = _near(rng, looks.anchor) if streets is None else streets.centre
    terrain = make_terrain(rng, size_m, looks.relief_m)
    if streets is None:
        roads = make_roads(rng, looks, size_m, terrain)
    else:
        roads = planned_roads(rng, looks, streets, terrain)
    areas = open_areas(rng, looks, size_m)
    taken = _taken(size_m, areas, roads)
    builder = _settle(rng, looks, terrain, taken, roads, size_m)
    trees, props, slots = _furnish(rng, looks, roads, builder)
    trees = trees + plant(rng, looks, size_m, taken, areas)
    return Town(
        seed,
        looks,
        float(size_m),
        origin,
        terrain,
        roads,
        builder.age(),
        tuple(_clear_of_roads(trees, roads, size_m)),
        tuple(_clear_of_roads(props, roads, size_m)),
        tuple(areas + builder.plots.areas),
        np.asarray(slots, dtype=np.float64).reshape(-1, 3),
        "" if streets is None else streets.source,
    )


def _taken(size_m: float, areas: list[Area], roads: tuple[Road, ...]) -> Occupancy:
    """The ground under areas and roads."""
    taken = Occupancy(size_m)
    for area in areas:
        taken.mark(area.polygon_m)
    for road in roads:
        taken.mark_line(road.centreline_m[:, :2], 2 * road.half_m + 0.8)
    return taken


def _near(rng: np.random.Generator, anchor: LatLon) -> LatLon:
    """A place within 0.06 degrees."""
    return LatLon(
        anchor.lat_deg + float(rng.uniform(-0.06, 0.06)),
        anchor.lon_deg + float(rng.uniform(-0.06, 0.06)),
    )


def nearest_style(place: LatLon) -> str:
    """Name of the style whose region is nearest to a place."""
    geod = Geod(ellps="WGS84")

    def away_m(style: Style) -> float:
        anchor = style.anchor
        return float(geod.inv(place.lon_deg, place.lat_deg, anchor.lon_deg, anchor.lat_deg)[2])

    return min(STYLES, key=lambda name: away_m(STYLES[name]))


def _check(seed: int, style: str | None, size_m: float) -> None:
    """Refuse what cannot be made."""
    if style is not None and style not in STYLES:
        raise ConfigError(f"unknown style {style!r}; known: {', '.join(STYLES)}")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if not MIN_SIZE_M <= size_m <= MAX_SIZE_M:
        raise ConfigError(
            f"size_m is {size_m:g}; a town must measure {MIN_SIZE_M:g} to {MAX_SIZE_M:g} m"
        )


def _settle(
    rng: np.random.Generator,
    style: Style,
    terrain: Terrain,
    taken: Occupancy,
    roads: tuple[Road, ...],
    size_m: float,
) -> LotBuilder:
    builder = LotBuilder(rng, style, terrain, taken, size_m)
    order = rng.permutation(len(roads))
    rank = {"arterial": 0, "collector": 1}
    for k in sorted(order, key=lambda i: rank.get(roads[i].kind, 2)):
        if roads[k].kind != "roundabout":
            for side in (1, -1):
                builder.along(roads[k], side)
    fill_blocks(builder, int(900 * (size_m / 1000.0) ** 2))
    return builder


def _furnish(
    rng: np.random.Generator, style: Style, roads: tuple[Road, ...], builder: LotBuilder
) -> tuple[list[Tree], list[Prop], list[tuple[float, float, float]]]:
    spots = [p for p in builder.plots.tree_spots if not builder.taken.taken(np.array([p]))[0]]
    trees = [make_tree(rng, x, y, pick(rng, style.trees)) for x, y in spots]
    props = list(builder.plots.props)
    slots = list(builder.plots.slots)
    for road in roads:
        clear = 9.0 if road.kind != "arterial" else 12.0
        t, p, s = along_roads(rng, style, road, clear)
        trees += t
        props += p
        slots += s
    return trees, props, slots


def _clear_of_roads(
    things: list[Standing], roads: tuple[Road, ...], size_m: float
) -> list[Standing]:
    """Drop things that stand on a carriageway."""
    ways = Occupancy(size_m)
    for road in roads:
        ways.mark_line(road.centreline_m[:, :2], road.width_m + 2 * max(road.parking_m) + 0.2)
    if not things:
        return []
    on = ways.taken(np.array([(t.x_m, t.y_m) for t in things]))
    return [t for t, bad in zip(things, on, strict=True) if not bad]
