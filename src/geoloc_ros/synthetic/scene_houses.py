# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""True answers about the buildings in sight of a pose."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely import STRtree
from shapely.geometry import Polygon

from geoloc_ros.synthetic.scene_sight import (
    BEARINGS,
    CAMERA_HEIGHT_M,
    RANGES_M,
    Sight,
)

F64 = NDArray[np.float64]
CANNOT_TELL = "cannot_tell"
KINDS = {
    "detached": "detached", "bungalow": "detached", "villa": "detached", "smallhouse": "detached",
    "woodhouse": "detached", "terrace": "row", "rowhouse": "row", "perimeter": "row",
    "slab": "flats", "tower": "flats", "walkup": "flats", "shophouse": "shops",
    "warehouse": "shops", "store": "shops",
}  # fmt: skip
#: rays this near to straight ahead belong to neither side
_MIDDLE_RAD = np.radians(4.0)
#: eaves seen steeper than this hide the roof
_ROOF_SEEN = 0.7
_SHED_M2 = 45.0
_DISTANCES = ((12.0, "under_12"), (17.0, "to_17"), (25.0, "to_25"))
_FLOORS = ((1.5, "one"), (2.5, "two"), (4.5, "three_four"))
_GAPS = ((1.2, "joined"), (5.0, "close"))


class Houses:
    """The buildings of a town.

    Args:
        buildings: the buildings of scene.json, numbered as in `scene_sight.Rasters.house`.
    """

    def __init__(self, buildings: list[dict[str, Any]]) -> None:
        self._buildings = buildings
        self._gaps = _gaps_m(buildings)

    def answers(self, seen: Sight, from_road: bool) -> dict[str, str]:
        """Answers to all questions about buildings.

        Args:
            seen: what is in sight.
            from_road: whether the camera looks; from above, roofs are those of the satellite.
        """
        out: dict[str, str] = {}
        for side, rays in (("left", BEARINGS > _MIDDLE_RAD), ("right", BEARINGS < -_MIDDLE_RAD)):
            out |= self._nearest(side, seen, np.flatnonzero(rays & (seen.first >= 0)), from_road)
        return {**out, **self._together(seen)}

    def _nearest(
        self, side: str, seen: Sight, rays: NDArray[np.intp], from_road: bool
    ) -> dict[str, str]:
        """The building met first on one side."""
        names = {"distance": "none", "floors": "none", "roof": "none"}
        if len(rays):
            ray = rays[np.argmin(seen.first[rays])]
            away = float(RANGES_M[seen.first[ray]])
            building = self._buildings[seen.house[ray] - 1]
            names["distance"] = _named(away, _DISTANCES, "over_25")
            names["floors"] = _named(building["storeys"], _FLOORS, "five_up")
            names["roof"] = _roof(building, away, from_road)
        return {f"house_{side}_{name}": value for name, value in names.items()}

    def _together(self, seen: Sight) -> dict[str, str]:
        """Kind and spacing of all buildings in sight."""
        met = seen.house[seen.house > 0]
        if len(met) == 0:
            return {"house_kind": "none", "house_spacing": "sparse"}
        kinds = [KINDS[self._buildings[i - 1]["kind"]] for i in met]
        most = max(sorted(set(kinds)), key=kinds.count)
        gaps = self._gaps[np.unique(met) - 1]
        gaps = gaps[np.isfinite(gaps)]
        spaced = _named(float(np.median(gaps)), _GAPS, "loose") if len(gaps) > 1 else "sparse"
        return {"house_kind": most, "house_spacing": spaced}


def _gaps_m(buildings: list[dict[str, Any]]) -> F64:
    """Room (N,) between each building and the next one; sheds have and are no neighbours: NaN."""
    shapes = np.array([Polygon(b["footprint_m"]) for b in buildings], dtype=object)
    gaps = np.full(len(buildings), np.nan)
    large = np.flatnonzero([shape.area >= _SHED_M2 for shape in shapes])
    if len(large) > 1:
        of, gap = STRtree(shapes[large]).query_nearest(
            shapes[large], exclusive=True, return_distance=True, all_matches=False
        )
        gaps[large[of[0]]] = gap
    return gaps


def _named(value: float, limits: tuple[tuple[float, str], ...], beyond: str) -> str:
    return next((name for limit, name in limits if value < limit), beyond)


def _roof(building: dict[str, Any], away_m: float, from_road: bool) -> str:
    if from_road and (building["eaves_m"] - CAMERA_HEIGHT_M) / away_m > _ROOF_SEEN:
        return CANNOT_TELL
    if building["roof_type"] == "flat":
        return "flat"
    red, green, blue = building["roof_rgb" if from_road else "roof_before_rgb"]
    hue, saturation, _ = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if saturation < 0.2 or not (hue < 0.17 or hue > 0.9):
        return "grey"
    return "red" if saturation > 0.42 else "brown"
