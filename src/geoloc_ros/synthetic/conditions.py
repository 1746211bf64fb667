# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Light, weather and season of one drive or one satellite pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.errors import ConfigError

SEASONS = ("spring", "summer", "autumn", "winter")


@dataclass(frozen=True)
class Conditions:
    """What the light and the air are like.

    Attributes:
        sun_azimuth_deg: Direction to the sun, clockwise from north.
        sun_elevation_deg: Height of the sun above the horizon.
        season: ``spring summer autumn winter``.
        cloud: 0 clear to 1 fully overcast (no shadows).
        visibility_m: Distance at which contrast falls to 5 %.
        dusk: 0 day to 1 late dusk; windows and lamps are lit.
        haze: 0 none to 1 strong veil over everything.
        exposure_ev: Exposure error of the camera in stops.
        wetness: 0 dry to 1 wet roads that mirror the sky.
        flare: Strength of lens flare when the sun is in view.
        warmth: Colour cast, -1 blue to 1 orange.
        contrast: Contrast of the picture, 1 neutral.
        noise: Sensor noise, standard deviation in 8-bit counts.
        blur_px: Blur of the lens and motion, pixels at 480 wide.
        vignette: Darkening towards the corners, 0..1.
        sky_seed: Offset into the cloud pattern, 0..1.
    """

    sun_azimuth_deg: float = 150.0
    sun_elevation_deg: float = 50.0
    season: str = "summer"
    cloud: float = 0.1
    visibility_m: float = 20000.0
    dusk: float = 0.0
    haze: float = 0.0
    exposure_ev: float = 0.0
    wetness: float = 0.0
    flare: float = 0.0
    warmth: float = 0.0
    contrast: float = 1.0
    noise: float = 1.5
    blur_px: float = 0.4
    vignette: float = 0.1
    sky_seed: float = 0.3

    def __post_init__(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            ConfigError: Unknown season or a value out of bounds.
        """
        if self.season not in SEASONS:
            raise ConfigError(f"season is {self.season!r}; known: {', '.join(SEASONS)}")
        if not self.visibility_m > 0:
            raise ConfigError(f"visibility_m is {self.visibility_m}; it must be above 0 m")
        for name in ("cloud", "dusk", "haze", "wetness", "flare", "vignette"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is {value}; it must lie in 0..1")

    @property
    def sun_direction(self) -> NDArray[np.float32]:
        """Unit vector `(3,)` towards the sun in the local plane."""
        a, e = np.radians(self.sun_azimuth_deg), np.radians(max(self.sun_elevation_deg, 1.5))
        return np.array([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)], np.float32)

    @property
    def sun_strength(self) -> float:
        """Share of direct sunlight, 0 under full cloud and at late dusk."""
        low = np.clip((self.sun_elevation_deg + 1.0) / 12.0, 0.0, 1.0)
        return float((1.0 - self.cloud) ** 1.3 * low * (1.0 - self.dusk) ** 1.5)


def sample_conditions(
    rng: np.random.Generator, kind: str = "drive", gap: bool = True
) -> Conditions:
    """Draw conditions.

    Args:
        rng: Source of randomness.
        kind: ``drive`` or ``satellite`` (always day, rarely cloudy).
        gap: False gives the same fair summer noon to both kinds.

    Returns:
        The conditions.

    Raises:
        ConfigError: Unknown kind.
    """
    if kind not in ("drive", "satellite"):
        raise ConfigError(f"conditions kind is {kind!r}; known: drive, satellite")
    seed = float(rng.random())
    if not gap:
        return Conditions(noise=0.5, blur_px=0.2, vignette=0.0, sky_seed=seed)
    if kind == "satellite":
        season = str(rng.choice(SEASONS, p=[0.27, 0.45, 0.2, 0.08]))
        return Conditions(
            sun_azimuth_deg=float(rng.uniform(110, 250)),
            sun_elevation_deg=float(rng.uniform(28, 68)),
            season=season,
            cloud=float(rng.choice([0.0, 0.15, 0.6], p=[0.6, 0.3, 0.1])),
            haze=float(rng.beta(1.5, 5)),
            exposure_ev=float(rng.normal(0, 0.25)),
            warmth=float(rng.normal(0, 0.3)),
            contrast=float(rng.uniform(0.85, 1.15)),
            noise=float(rng.uniform(0.5, 3.0)),
            blur_px=float(rng.uniform(0.3, 0.9)),
            vignette=0.0,
            sky_seed=seed,
        )
    return _drive(rng, seed)


def _drive(rng: np.random.Generator, seed: float) -> Conditions:
    sky = str(
        rng.choice(["clear", "mixed", "overcast", "fog", "dusk"], p=[0.38, 0.22, 0.22, 0.08, 0.10])
    )
    cloud = {
        "clear": rng.uniform(0, 0.2),
        "mixed": rng.uniform(0.3, 0.65),
        "overcast": rng.uniform(0.85, 1.0),
        "fog": 1.0,
        "dusk": rng.uniform(0, 0.9),
    }[sky]
    visibility = {"fog": rng.uniform(90, 350), "overcast": rng.uniform(2000, 20000)}.get(
        sky, rng.uniform(6000, 40000)
    )
    dusk = float(rng.uniform(0.35, 0.85)) if sky == "dusk" else 0.0
    elevation = rng.uniform(1, 7) if sky == "dusk" else rng.uniform(10, 65)
    wet = sky in ("overcast", "dusk") and rng.random() < 0.4
    return Conditions(
        sun_azimuth_deg=float(rng.uniform(0, 360)),
        sun_elevation_deg=float(elevation),
        season=str(rng.choice(SEASONS, p=[0.25, 0.3, 0.25, 0.2])),
        cloud=float(cloud),
        visibility_m=float(visibility),
        dusk=dusk,
        haze=float(rng.beta(1.2, 8)),
        exposure_ev=float(rng.normal(0, 0.3)),
        wetness=float(rng.uniform(0.4, 1.0)) if wet else 0.0,
        flare=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else 0.0,
        warmth=float(rng.normal(0, 0.3)),
        contrast=float(rng.uniform(0.85, 1.15)),
        noise=float(rng.uniform(1, 4) + 4 * dusk),
        blur_px=float(rng.uniform(0.2, 0.9)),
        vignette=float(rng.uniform(0, 0.35)),
        sky_seed=seed,
    )
