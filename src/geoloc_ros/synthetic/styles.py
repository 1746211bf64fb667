# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Regional styles of the made world: what a street looks like in different parts of the world."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.geo.wgs84 import LatLon

Rgb = tuple[int, int, int]
Range = tuple[float, float]


@dataclass(frozen=True)
class BuildingType:
    """How one kind of building stands on its lot; lengths in metres.

    Attributes:
        name: Kind, for example ``detached``.
        width_m: Range of the width along the road.
        depth_m: Range of the depth away from the road.
        setback_m: Range of the distance between lot line and facade.
        gap_m: Range of the gap to the next building; 0 makes a terrace.
        storeys: Range of whole storeys.
        roofs: Roof forms drawn from: ``gable hip flat shed mansard``.
        storey_m: Height of a storey.
        window_m: Spacing of windows.
        drive: Probability of a private drive with a car.
        shop: Whether the ground floor is glazed.
        wing: Probability of an L-shaped plan.
    """

    name: str
    width_m: Range
    depth_m: Range
    setback_m: Range
    gap_m: Range
    storeys: tuple[int, int]
    roofs: tuple[str, ...]
    storey_m: float = 2.9
    window_m: float = 2.8
    drive: float = 0.0
    shop: bool = False
    wing: float = 0.0


BUILDING_TYPES: dict[str, BuildingType] = {
    b.name: b
    for b in (
        BuildingType("detached", (9, 15), (8, 12), (3, 9), (4, 10), (1, 2),
                     ("gable", "gable", "hip"), drive=0.7, wing=0.3),
        BuildingType("bungalow", (13, 21), (10, 15), (5, 9), (2.5, 6), (1, 1),
                     ("hip", "gable"), drive=0.9, wing=0.5, window_m=3.5),
        BuildingType("villa", (10, 16), (9, 14), (5, 14), (7, 16), (2, 3),
                     ("hip", "gable", "flat"), drive=0.6, wing=0.4),
        BuildingType("terrace", (5, 7), (8, 10), (1.5, 4), (0, 0), (2, 2), ("gable",)),
        BuildingType("rowhouse", (5, 8), (9, 13), (0, 3), (0, 0.2), (2, 4),
                     ("gable", "flat", "mansard")),
        BuildingType("perimeter", (14, 26), (12, 16), (0, 0.8), (0, 0), (4, 7),
                     ("mansard", "gable", "flat"), storey_m=3.2, shop=True, wing=0.2),
        BuildingType("shophouse", (6, 14), (12, 20), (0, 1), (0, 1.5), (1, 4),
                     ("flat", "gable", "shed"), storey_m=3.1, shop=True),
        BuildingType("smallhouse", (6, 10), (7, 11), (0.6, 2.5), (0.8, 2.5), (1, 3),
                     ("hip", "gable", "flat"), drive=0.35, wing=0.25),
        BuildingType("slab", (40, 75), (12, 14), (8, 22), (12, 35), (4, 9), ("flat",),
                     window_m=3.2),
        BuildingType("tower", (18, 26), (18, 26), (6, 20), (14, 40), (8, 16), ("flat",),
                     window_m=3.0),
        BuildingType("walkup", (14, 24), (11, 14), (3, 10), (4, 14), (3, 5),
                     ("flat", "gable", "hip"), wing=0.3),
        BuildingType("warehouse", (25, 55), (20, 40), (6, 16), (8, 20), (2, 3),
                     ("flat", "gable", "shed"), storey_m=3.6, window_m=6.0),
        BuildingType("store", (30, 50), (24, 34), (26, 34), (12, 24), (1, 2), ("flat",),
                     storey_m=4.2, window_m=5.0, shop=True),
        BuildingType("woodhouse", (8, 13), (7, 10), (5, 14), (8, 20), (1, 2), ("gable",),
                     drive=0.7, wing=0.35),
    )
}


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


_GREY_FLAT: tuple[Rgb, ...] = ((150, 148, 145), (120, 118, 116), (176, 174, 170), (98, 96, 96),
                               (200, 199, 195))


def _style(name: str, region: str, lat: float, lon: float, **rest: object) -> Style:
    """A style with its anchor built from degrees; missing fields raise `TypeError`."""
    rest.setdefault("flat_roofs", _GREY_FLAT)
    return Style(name=name, region=region, anchor=LatLon(lat, lon), **rest)  # type: ignore[arg-type]


_ALL = (
    _style(
        "us_suburb", "Texas, United States", 33.02, -96.72, plan="culdesac",
        block_m=((62, 88), (62, 88)), driving_side="right", centre_paint="yellow",
        edge_lines=0.3, zebra=0.25, roundabout=0.03, curviness=0.5, sidewalk_m=(1.2, 1.6),
        road_width_m=(8.0, 9.5), mix={"bungalow": 5, "detached": 3, "store": 0.4},
        centre_mix={"store": 2, "walkup": 2, "bungalow": 1, "warehouse": 0.6},
        roofs=((112, 104, 98), (92, 84, 78), (134, 120, 106), (78, 76, 78), (120, 96, 80)),
        facades=((178, 120, 92), (205, 190, 168), (160, 96, 72), (222, 214, 200), (190, 160, 130)),
        wall="brick", asphalt=(132, 130, 126), pavement=(196, 190, 180), grass=(104, 122, 62),
        soil=(160, 130, 96), lawn=0.92, trees={"broadleaf": 5, "round": 3, "shrub": 2},
        street_trees=0.35, hedge=0.1, fence="wood", poles=0.1, lamp="arm", sky=(92, 140, 205),
        pools=0.22, woods=1.2, relief_m=3.0, parked=0.12, water=0.35, zebra_style="ladder",
    ),
    _style(
        "us_city", "Illinois, United States", 41.88, -87.67, plan="grid",
        block_m=((95, 130), (60, 85)), driving_side="right", centre_paint="yellow",
        edge_lines=0.25, zebra=0.75, roundabout=0.0, curviness=0.02, sidewalk_m=(2.4, 3.6),
        road_width_m=(7.5, 10.0), mix={"rowhouse": 4, "walkup": 2, "detached": 2, "shophouse": 1},
        centre_mix={"shophouse": 3, "tower": 1.4, "walkup": 2, "store": 0.7, "warehouse": 0.5},
        roofs=((86, 82, 80), (104, 92, 84), (70, 70, 74)),
        facades=((142, 72, 56), (120, 66, 52), (168, 104, 78), (186, 170, 146), (96, 88, 84),
                 (208, 200, 186)),
        wall="brick", asphalt=(104, 104, 104), pavement=(182, 180, 174), grass=(92, 118, 58),
        soil=(112, 96, 78), lawn=0.75, trees={"broadleaf": 6, "round": 2, "poplar": 1},
        street_trees=0.55, hedge=0.08, fence="metal", poles=0.35, lamp="arm",
        sky=(100, 146, 204), relief_m=0.8, parked=0.6, zebra_style="ladder",
    ),
    _style(
        "uk_terrace", "Yorkshire, England", 53.80, -1.56, plan="organic",
        block_m=((80, 125), (80, 125)), driving_side="left", centre_paint="white",
        edge_lines=0.35, zebra=0.12, roundabout=0.16, curviness=0.35, sidewalk_m=(1.6, 2.2),
        road_width_m=(5.6, 7.0), mix={"terrace": 7, "detached": 2, "walkup": 0.5},
        centre_mix={"terrace": 3, "shophouse": 3, "warehouse": 0.8, "slab": 0.4, "store": 0.5},
        roofs=((76, 78, 86), (92, 88, 90), (110, 84, 74), (66, 66, 72)),
        facades=((148, 78, 60), (132, 72, 58), (170, 100, 78), (206, 196, 178), (172, 158, 136)),
        wall="brick", asphalt=(96, 97, 99), pavement=(150, 148, 146), grass=(82, 124, 58),
        soil=(104, 86, 66), lawn=0.8, trees={"broadleaf": 6, "round": 2, "conifer": 1, "shrub": 3},
        street_trees=0.18, hedge=0.55, fence="brick", poles=0.2, lamp="post", sky=(140, 168, 200),
        relief_m=5.0, parked=0.65, water=0.3,
    ),
    _style(
        "de_town", "Bavaria, Germany", 48.40, 11.74, plan="organic",
        block_m=((85, 140), (85, 140)), driving_side="right", centre_paint="white",
        edge_lines=0.15, zebra=0.35, roundabout=0.12, curviness=0.4, sidewalk_m=(1.4, 2.2),
        road_width_m=(5.4, 7.0), mix={"villa": 4, "detached": 5, "walkup": 1.2},
        centre_mix={"perimeter": 2, "shophouse": 2, "walkup": 2, "store": 0.6},
        roofs=((168, 84, 58), (150, 72, 52), (128, 70, 56), (92, 72, 66), (180, 98, 68)),
        facades=((236, 230, 214), (240, 222, 178), (224, 226, 226), (214, 196, 160),
                 (226, 200, 178), (196, 210, 196)),
        wall="plaster", asphalt=(108, 108, 110), pavement=(168, 166, 162), grass=(88, 132, 56),
        soil=(118, 94, 70), lawn=0.88, trees={"broadleaf": 5, "conifer": 3, "round": 3, "shrub": 2},
        street_trees=0.25, hedge=0.5, fence="wood", poles=0.02, lamp="post", sky=(104, 150, 212),
        woods=1.3, relief_m=6.0, parked=0.3, solar=0.3,
    ),
    _style(
        "nl_canal", "Utrecht, Netherlands", 52.09, 5.11, plan="grid",
        block_m=((60, 110), (55, 80)), driving_side="right", centre_paint="white",
        edge_lines=0.3, zebra=0.4, roundabout=0.1, curviness=0.15, sidewalk_m=(1.8, 2.4),
        road_width_m=(5.2, 6.6), mix={"rowhouse": 6, "terrace": 4, "detached": 1, "slab": 0.4},
        centre_mix={"rowhouse": 5, "shophouse": 3, "walkup": 1, "slab": 0.5},
        roofs=((150, 78, 58), (86, 80, 80), (118, 74, 62), (72, 70, 74)),
        facades=((138, 78, 62), (116, 70, 60), (164, 120, 94), (220, 212, 196), (94, 72, 66)),
        wall="brick", asphalt=(112, 108, 106), pavement=(160, 132, 118), grass=(84, 134, 62),
        soil=(96, 84, 70), lawn=0.8, trees={"broadleaf": 6, "poplar": 2, "round": 3},
        street_trees=0.5, hedge=0.5, fence="none", poles=0.0, lamp="post", sky=(128, 166, 208),
        relief_m=0.3, parked=0.5, bike=0.6, road_surface="brick", water=1.0, solar=0.3,
    ),
    _style(
        "fr_city", "Paris, France", 48.87, 2.34, plan="radial",
        block_m=((80, 115), (70, 105)), driving_side="right", centre_paint="white",
        edge_lines=0.1, zebra=0.8, roundabout=0.08, curviness=0.1, sidewalk_m=(2.6, 4.5),
        road_width_m=(6.0, 9.0), mix={"perimeter": 6, "walkup": 1.5, "rowhouse": 1.5},
        centre_mix={"perimeter": 8, "shophouse": 0.6},
        roofs=((118, 126, 138), (98, 106, 120), (138, 142, 148), (146, 92, 70)),
        facades=((222, 206, 176), (212, 196, 166), (230, 220, 200), (198, 184, 158),
                 (186, 150, 122)),
        wall="stone", asphalt=(98, 99, 102), pavement=(146, 146, 148), grass=(94, 130, 62),
        soil=(178, 158, 124), lawn=0.45, trees={"broadleaf": 5, "round": 5, "poplar": 1},
        street_trees=0.6, hedge=0.1, fence="metal", poles=0.0, lamp="post", sky=(112, 156, 212),
        relief_m=3.0, parked=0.55, bike=0.15,
    ),
    _style(
        "es_coast", "Valencia, Spain", 39.47, -0.40, plan="grid",
        block_m=((70, 105), (65, 100)), driving_side="right", centre_paint="white",
        edge_lines=0.35, zebra=0.7, roundabout=0.15, curviness=0.12, sidewalk_m=(2.0, 3.4),
        road_width_m=(6.0, 8.5), mix={"villa": 2, "rowhouse": 4, "walkup": 3, "shophouse": 1},
        centre_mix={"perimeter": 5, "walkup": 2, "tower": 0.8, "shophouse": 1},
        roofs=((186, 112, 74), (170, 96, 64), (200, 134, 94), (158, 90, 66)),
        flat_roofs=((186, 110, 82), (176, 120, 96), (214, 206, 194), (160, 150, 140)),
        facades=((240, 236, 226), (236, 214, 170), (220, 170, 120), (230, 196, 160),
                 (204, 130, 92), (246, 242, 236)),
        wall="plaster", asphalt=(118, 116, 114), pavement=(190, 172, 152), grass=(134, 138, 82),
        soil=(184, 152, 112), lawn=0.35, trees={"palm": 4, "round": 4, "broadleaf": 2, "shrub": 2},
        street_trees=0.5, hedge=0.2, fence="stucco", poles=0.05, lamp="arm", sky=(76, 138, 214),
        pools=0.25, relief_m=4.0, parked=0.5, solar=0.15,
    ),
    _style(
        "fi_forest", "Pirkanmaa, Finland", 61.50, 23.76, plan="organic",
        block_m=((110, 170), (110, 170)), driving_side="right", centre_paint="white",
        edge_lines=0.4, zebra=0.3, roundabout=0.06, curviness=0.55, sidewalk_m=(0.0, 2.4),
        road_width_m=(5.5, 7.0), mix={"woodhouse": 7, "villa": 1, "slab": 0.5},
        centre_mix={"walkup": 2, "slab": 2, "woodhouse": 1, "store": 0.8},
        roofs=((74, 72, 74), (98, 60, 52), (60, 62, 66), (110, 112, 114), (84, 92, 84)),
        facades=((146, 52, 42), (226, 202, 130), (238, 236, 228), (176, 190, 200), (150, 158, 130),
                 (210, 180, 150)),
        wall="wood", asphalt=(110, 110, 110), pavement=(140, 138, 134), grass=(94, 122, 62),
        soil=(126, 110, 88), lawn=0.85, trees={"conifer": 6, "birch": 4, "broadleaf": 1},
        street_trees=0.12, hedge=0.15, fence="none", poles=0.15, lamp="arm", sky=(122, 166, 214),
        woods=2.8, relief_m=9.0, parked=0.06, water=0.8,
    ),
    _style(
        "jp_dense", "Aichi, Japan", 35.17, 136.92, plan="grid",
        block_m=((55, 85), (36, 52)), driving_side="left", centre_paint="white",
        edge_lines=0.85, zebra=0.6, roundabout=0.0, curviness=0.12, sidewalk_m=(0.0, 1.6),
        road_width_m=(4.6, 6.4), mix={"smallhouse": 9, "walkup": 1.2, "shophouse": 1},
        centre_mix={"shophouse": 4, "walkup": 2.5, "tower": 0.7, "smallhouse": 2},
        roofs=((72, 78, 92), (86, 86, 90), (104, 92, 84), (60, 72, 96), (126, 120, 116)),
        facades=((226, 220, 208), (200, 192, 180), (170, 166, 162), (232, 228, 222),
                 (184, 160, 136), (128, 116, 106)),
        wall="siding", asphalt=(112, 112, 114), pavement=(166, 164, 160), grass=(104, 124, 70),
        soil=(150, 136, 112), lawn=0.25, trees={"round": 4, "conifer": 2, "shrub": 4,
                                               "broadleaf": 1},
        street_trees=0.15, hedge=0.3, fence="block", poles=0.95, lamp="pole", sky=(118, 160, 212),
        relief_m=2.5, parked=0.05, solar=0.2,
    ),
    _style(
        "au_suburb", "Western Australia", -31.98, 115.86, plan="culdesac",
        block_m=((66, 95), (58, 80)), driving_side="left", centre_paint="white",
        edge_lines=0.2, zebra=0.08, roundabout=0.22, curviness=0.35, sidewalk_m=(1.2, 1.8),
        road_width_m=(6.4, 7.6), mix={"bungalow": 8, "villa": 1},
        centre_mix={"store": 1.6, "shophouse": 2, "bungalow": 2, "walkup": 1},
        roofs=((172, 96, 72), (142, 136, 130), (98, 100, 104), (204, 200, 190), (150, 78, 60)),
        facades=((196, 140, 104), (224, 206, 178), (170, 108, 82), (232, 226, 214), (206, 176, 140)),
        wall="brick", asphalt=(120, 112, 108), pavement=(204, 190, 170), grass=(150, 148, 86),
        soil=(196, 160, 118), lawn=0.55, trees={"eucalypt": 6, "palm": 1.5, "round": 2,
                                               "shrub": 2},
        street_trees=0.35, hedge=0.12, fence="metal", poles=0.25, lamp="arm", sky=(70, 136, 220),
        pools=0.3, relief_m=4.5, parked=0.1, solar=0.4,
    ),
    _style(
        "br_hills", "Sao Paulo, Brazil", -23.53, -46.62, plan="organic",
        block_m=((60, 100), (60, 100)), driving_side="right", centre_paint="yellow",
        edge_lines=0.15, zebra=0.45, roundabout=0.04, curviness=0.3, sidewalk_m=(1.2, 2.2),
        road_width_m=(6.4, 8.4), mix={"smallhouse": 7, "rowhouse": 3, "shophouse": 1.5},
        centre_mix={"tower": 2.4, "shophouse": 4, "walkup": 2},
        roofs=((178, 98, 66), (150, 84, 62), (164, 160, 154), (196, 124, 88)),
        flat_roofs=((160, 156, 150), (130, 126, 122), (188, 182, 172), (150, 110, 92)),
        facades=((232, 206, 150), (120, 170, 180), (214, 130, 100), (236, 232, 220),
                 (180, 190, 130), (196, 120, 90), (170, 150, 190)),
        wall="plaster", asphalt=(104, 102, 102), pavement=(172, 166, 158), grass=(96, 136, 58),
        soil=(168, 96, 62), lawn=0.35, trees={"broadleaf": 4, "palm": 2, "round": 3, "shrub": 2},
        street_trees=0.35, hedge=0.1, fence="stucco", poles=0.8, lamp="pole", sky=(96, 150, 214),
        pools=0.1, relief_m=10.0, parked=0.45,
    ),
    _style(
        "pl_blocks", "Mazovia, Poland", 52.22, 20.94, plan="superblock",
        block_m=((70, 100), (66, 95)), driving_side="right", centre_paint="white",
        edge_lines=0.3, zebra=0.7, roundabout=0.08, curviness=0.12, sidewalk_m=(1.8, 3.0),
        road_width_m=(6.0, 8.0), mix={"slab": 5, "walkup": 2.5, "villa": 1},
        centre_mix={"slab": 4, "tower": 3, "store": 1.2, "walkup": 1},
        roofs=((120, 72, 58), (92, 90, 90), (136, 88, 70)),
        facades=((214, 206, 190), (190, 194, 196), (228, 208, 160), (196, 210, 190),
                 (214, 180, 160), (170, 180, 196)),
        wall="panel", asphalt=(106, 106, 108), pavement=(164, 162, 160), grass=(92, 126, 60),
        soil=(122, 104, 84), lawn=0.9, trees={"broadleaf": 5, "poplar": 3, "birch": 2, "shrub": 2},
        street_trees=0.35, hedge=0.25, fence="none", poles=0.05, lamp="arm", sky=(118, 158, 206),
        woods=1.4, relief_m=1.5, parked=0.45,
    ),
)

STYLES: dict[str, Style] = {s.name: s for s in _ALL}
