# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""True answers about the buildings in sight of a pose."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.scene_sight import (
    BEARINGS,
    CAMERA_HEIGHT_M,
    RANGES_M,
    Sight,
    as_seen,
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
_ROW_M = 24.0


class Houses:
    """The buildings of a town.

    Args:
        buildings: the buildings of scene.json, numbered as in `scene_sight.Rasters.house`.
    """

    def __init__(self, buildings: list[dict[str, Any]]) -> None:
        self._buildings = buildings
        self._outlines = [np.asarray(b["footprint_m"], dtype=np.float64) for b in buildings]

    def answers(self, pose: F64, seen: Sight, from_road: bool) -> dict[str, str]:
        """Answers to all questions about buildings.

        Args:
            pose: (3,) of the vehicle.
            seen: what is in sight.
            from_road: whether the camera looks; from above, roofs are those of the satellite.
        """
        out: dict[str, str] = {}
        for side, rays in (("left", BEARINGS > _MIDDLE_RAD), ("right", BEARINGS < -_MIDDLE_RAD)):
            out |= self._nearest(side, seen, np.flatnonzero(rays & (seen.first >= 0)), from_road)
        return {**out, **self._together(pose, seen)}

    def _nearest(
        self, side: str, seen: Sight, rays: NDArray[np.intp], from_road: bool
    ) -> dict[str, str]:
        """The building met first on one side."""
        names = {"distance": "none", "floors": "none", "roof": "none"}
        if len(rays):
            ray = rays[np.argmin(seen.first[rays])]
            away = float(RANGES_M[seen.first[ray]])
            building = self._buildings[seen.house[ray] - 1]
            names["distance"] = _named(away, ((12, "under_12"), (17, "to_17"), (25, "to_25")), "over_25")
            floors = ((1.5, "one"), (2.5, "two"), (4.5, "three_four"))
            names["floors"] = _named(building["storeys"], floors, "five_up")
            names["roof"] = _roof(building, away, from_road)
        return {f"house_{side}_{name}": value for name, value in names.items()}

    def _together(self, pose: F64, seen: Sight) -> dict[str, str]:
        """Kind and spacing of all buildings in sight."""
        met = seen.house[seen.house > 0]
        if len(met) == 0:
            return {"house_kind": "none", "house_spacing": "sparse"}
        kinds = [KINDS[self._buildings[i - 1]["kind"]] for i in met]
        most = max(sorted(set(kinds)), key=kinds.count)
        gaps: list[float] = []
        spans = {int(i): as_seen(pose, self._outlines[i - 1]) for i in set(met.tolist())}
        for sign in (1.0, -1.0):
            row = sorted(
                (float(s[:, 0].min()), float(s[:, 0].max()))
                for s in spans.values()
                if 0.0 < sign * s.mean(0)[1] and np.abs(s[:, 1]).min() < _ROW_M
            )
            gaps += [after[0] - before[1] for before, after in zip(row, row[1:], strict=False)]
        if not gaps:
            return {"house_kind": most, "house_spacing": "sparse"}
        limits = ((1.2, "joined"), (5.0, "close"))
        return {
            "house_kind": most,
            "house_spacing": _named(float(np.median(gaps)), limits, "loose"),
        }


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
