# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Sky, sunlight and air of the made world."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.mesh import linear_rgb
from geoloc_ros.synthetic.noise import grain, vec
from geoloc_ros.synthetic.styles import Style

F32 = NDArray[np.float32]


class Light:
    """Colours of sun, sky and air under given conditions, linear light.

    Attributes:
        sun: `(3,)` irradiance of the direct sun on a surface facing it.
        ambient: `(3,)` irradiance of the whole sky on the open ground.
        zenith: `(3,)` radiance overhead.
        horizon: `(3,)` radiance at the horizon; also the colour of fog.
        direction: `(3,)` unit vector to the sun.
    """

    def __init__(self, style: Style, conditions: Conditions) -> None:
        """Work the colours out."""
        c = conditions
        low = float(np.clip(1.0 - c.sun_elevation_deg / 22.0, 0.0, 1.0))
        white = np.array([1.0, 0.965, 0.9])
        gold = np.array([1.0, 0.66, 0.36])
        self.direction = c.sun_direction
        self.sun = ((white * (1 - low) + gold * low) * 2.6 * c.sun_strength).astype(np.float32)
        day = 1.0 - 0.93 * c.dusk
        blue, grey = linear_rgb(style.sky), linear_rgb((196, 202, 210))
        clear_horizon = (
            linear_rgb((206, 222, 236)) * (1 - 0.5 * low)
            + np.array([1.0, 0.62, 0.36], np.float32) * 0.5 * low
        )
        cloud = c.cloud**1.2
        self.zenith = ((blue * (1 - cloud) + grey * cloud) * day).astype(np.float32)
        self.horizon = ((clear_horizon * (1 - cloud) + grey * 1.1 * cloud) * day).astype(
            np.float32
        )
        mean_sky = 0.65 * self.zenith + 0.35 * self.horizon
        grey_part = mean_sky.mean()
        self.ambient = ((0.6 * mean_sky + 0.4 * grey_part) * (1.0 + 0.9 * cloud)).astype(
            np.float32
        )


def sky_radiance(rays: F32, light: Light, conditions: Conditions) -> F32:
    """Radiance `(N, 3)` of the sky seen along unit rays `(N, 3)`."""
    up = np.maximum(rays[:, 2], 0.0)
    mix = np.exp(-4.5 * up)[:, None]
    out = light.zenith + (light.horizon - light.zenith) * mix
    c = conditions
    reach = 1.0 / (up + 0.09)
    u, v = rays[:, 0] * reach + 900 * c.sky_seed, rays[:, 1] * reach + 311 * c.sky_seed
    puff = grain(vec(u), vec(v), 0.02, 1.35)
    cover = np.clip((puff - (1.5 - 2.6 * c.cloud)) * 0.9, 0, 1) * np.clip(up * 9, 0, 1)
    if c.cloud < 0.85:
        bright = (0.75 + 0.35 * (1 - c.dusk)) * (1 - 0.85 * c.dusk)
        out += cover[:, None] * (np.float32(bright) - out) * 0.75
    else:
        out *= (1 + 0.07 * puff * np.clip(up * 6, 0, 1))[:, None]
    aim = np.clip(rays @ light.direction, 0, 1)
    strength = np.float32(c.sun_strength)
    sun_rgb = light.sun / max(float(light.sun.max()), 1e-6)
    glow = 0.5 * aim**24 + 1.2 * aim**220
    disc = np.where(aim > 0.9995, 12.0, 0.0)
    out += ((glow + disc) * strength * (1 - 0.6 * cover))[:, None] * sun_rgb
    if c.dusk > 0:
        out += (0.25 * c.dusk * (1 - c.cloud) * aim**3 * np.exp(-5 * up))[:, None] * vec(
            [1, 0.45, 0.2]
        )
    return np.asarray(out, dtype=np.float32)


def through_air(colour: F32, distance_m: F32, light: Light, conditions: Conditions) -> F32:
    """Veil radiances `(N, 3)` by the air over distances `(N,)`; Koschmieder, 5 % at visibility."""
    clear = np.exp(distance_m * np.float32(-3.0 / conditions.visibility_m))[:, None]
    return np.asarray(light.horizon + (colour - light.horizon) * clear, dtype=np.float32)
