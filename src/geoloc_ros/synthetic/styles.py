# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Regional styles of the made world: what a street looks like in different parts of the world."""

from __future__ import annotations

from geoloc_ros.synthetic.building_types import BUILDING_TYPES, BuildingType
from geoloc_ros.synthetic.regions import REGIONS
from geoloc_ros.synthetic.style import Rgb, Style

STYLES: dict[str, Style] = {s.name: s for s in REGIONS}

__all__ = ["BUILDING_TYPES", "STYLES", "BuildingType", "Rgb", "Style"]
