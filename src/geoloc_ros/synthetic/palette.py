# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ground colours of a style under a season."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.ground import CODE
from geoloc_ros.synthetic.mesh import linear_rgb
from geoloc_ros.synthetic.styles import Rgb, Style

F32 = NDArray[np.float32]
_HARD = (
    "asphalt",
    "parking",
    "patch_dark",
    "patch_light",
    "pavement",
    "white",
    "yellow",
    "plaza",
    "brick",
    "manhole",
    "bike",
    "kerb",
)


class Palette:
    """Two colours for each ground code and how much noise and lot tint move between them."""

    def __init__(self, style: Style, conditions: Conditions) -> None:
        """Mix the palette of a style under a season."""
        n = len(CODE)
        self.first, self.second = np.zeros((n, 3), np.float32), np.zeros((n, 3), np.float32)
        self.noise, self.tint = np.zeros(n, np.float32), np.zeros(n, np.float32)
        self.rough = np.full(n, 0.07, np.float32)
        for name, (one, two, by_noise, by_tint) in _colours(style, conditions.season).items():
            k = CODE[name]
            self.first[k], self.second[k] = linear_rgb(one), linear_rgb(two)
            self.noise[k], self.tint[k] = by_noise, by_tint
        for name in ("wild", "lawn", "forest", "crop", "bed"):
            self.rough[CODE[name]] = 0.16
        hard = [CODE[c] for c in _HARD]
        self.mirror = np.zeros(n, np.float32)
        if conditions.wetness > 0:
            self.mirror[hard] = 0.3 * conditions.wetness
            wet = np.float32(1 - 0.45 * conditions.wetness)
            self.first[hard] *= wet
            self.second[hard] *= wet
        self.mirror[CODE["water"]] = 0.55
        self.change = self.second - self.first


def _colours(style: Style, season: str) -> dict[str, tuple[Rgb, Rgb, float, float]]:
    """Two colours, share of noise and share of lot tint between them, by ground code."""
    lush = {
        "spring": (88, 134, 54),
        "summer": style.grass,
        "autumn": (112, 116, 62),
        "winter": (112, 110, 76),
    }[season]
    grass = _blend(lush, style.grass, 0.5)
    dry = _blend(grass, style.soil, 0.45 if season != "spring" else 0.25)
    a, p, s = style.asphalt, style.pavement, style.soil
    crop = {
        "spring": (96, 130, 56),
        "summer": (196, 172, 96),
        "autumn": (136, 108, 76),
        "winter": (116, 94, 70),
    }[season]
    return {
        "wild": (grass, _blend(dry, s, 0.6 * (1 - style.lawn) + 0.15), 0.34, 0.0),
        "lawn": (_scale(grass, 0.92), dry, 0.2, 0.75),
        "asphalt": (_scale(a, 0.68), _scale(a, 1.08), 0.05, 0.55),
        "pavement": (_scale(p, 0.88), _scale(p, 1.08), 0.12, 0.2),
        "white": ((226, 226, 222), _blend(a, (226, 226, 222), 0.45), 0.16, 0.1),
        "yellow": ((214, 168, 40), _blend(a, (214, 168, 40), 0.5), 0.16, 0.1),
        "parking": (_scale(a, 0.72), _scale(a, 1.22), 0.06, 0.6),
        "drive": (_scale(p, 0.75), _blend(p, s, 0.6), 0.1, 0.8),
        "water": ((44, 66, 72), (64, 80, 70), 0.1, 0.8),
        "crop": (crop, _blend(crop, s, 0.7), 0.14, 0.8),
        "soil": (s, _scale(s, 0.8), 0.3, 0.3),
        "patch_dark": (_scale(a, 0.55), _scale(a, 0.68), 0.1, 0.1),
        "patch_light": (_scale(a, 1.15), _scale(a, 1.3), 0.1, 0.1),
        "path": (_blend(s, (190, 178, 156), 0.5), s, 0.2, 0.3),
        "plaza": (_scale(p, 0.8), _blend(p, (150, 110, 92), 0.5), 0.1, 0.6),
        "kerb": (_scale(p, 0.95), _scale(p, 1.1), 0.1, 0.0),
        "pitch": ((64, 128, 62), (96, 140, 66), 0.1, 0.5),
        "brick": ((136, 90, 76), (154, 112, 94), 0.16, 0.5),
        "forest": (_blend(s, (70, 66, 44), 0.6), _blend(grass, (60, 70, 40), 0.5), 0.3, 0.1),
        "bed": ((90, 70, 50), (150, 80, 90), 0.45, 0.2),
        "manhole": (_scale(a, 0.5), _scale(a, 0.7), 0.1, 0.0),
        "bike": ((150, 66, 54), (168, 92, 76), 0.1, 0.4),
        "yard": (_blend(p, s, 0.35), _blend(_scale(p, 0.8), dry, 0.4), 0.22, 0.7),
        "gravel": (s, p, 0.2, 0.3),
        "pool": ((70, 160, 190), (110, 190, 205), 0.1, 0.3),
    }


def _blend(a: Rgb, b: Rgb, share: float) -> Rgb:
    r, g, c = (int(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return (r, g, c)


def _scale(a: Rgb, by: float) -> Rgb:
    r, g, b = (int(min(250, v * by)) for v in a)
    return (r, g, b)
