# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of buildings and how they stand on their lots."""

from __future__ import annotations

from dataclasses import dataclass

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


# fmt: off
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
# fmt: on
