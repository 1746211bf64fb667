# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What fills the lots of a made town, and small helpers to draw from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from geoloc_ros.synthetic.layout import Area, Building, Prop
from geoloc_ros.synthetic.styles import Rgb


@dataclass
class Plots:
    """What the builder fills: buildings, lot areas, fences and hedges, places for cars."""

    buildings: list[Building] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)
    props: list[Prop] = field(default_factory=list)
    slots: list[tuple[float, float, float]] = field(default_factory=list)
    tree_spots: list[tuple[float, float]] = field(default_factory=list)


def pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw a key by weight."""
    names = list(weights)
    w = np.array([weights[n] for n in names], dtype=float)
    return names[int(rng.choice(len(names), p=w / w.sum()))]


def tinted(rng: np.random.Generator, rgb: Rgb, spread: float = 9.0) -> Rgb:
    """A colour near `rgb`: common brightness and small hue changes."""
    c = np.array(rgb) + rng.normal(0, spread) + rng.normal(0, 0.4 * spread, 3)
    r, g, b = (int(v) for v in np.clip(c, 8, 250))
    return (r, g, b)


def parking_slots(area: Area, width: float, depth: float) -> list[tuple[float, float, float]]:
    """Bays of a parking area as (x, y, yaw); rows 5 m deep with 6.5 m aisles, bays 2.5 m wide."""
    middle = area.polygon_m.mean(0)
    c, s = np.cos(area.yaw_rad), np.sin(area.yaw_rad)
    slots = []
    row = -0.5 * depth + 2.8
    facing = 1.0
    while row < 0.5 * depth - 2.4:
        for x in np.arange(-0.5 * width + 2.0, 0.5 * width - 1.9, 2.5):
            slots.append(
                (
                    float(middle[0] + c * x - s * row),
                    float(middle[1] + s * x + c * row),
                    float(area.yaw_rad + facing * np.pi / 2),
                )
            )
        row += 11.5 if facing > 0 else 5.2
        facing = -facing
    return slots
