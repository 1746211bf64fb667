# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From radiance to bytes: exposure, flare, vignette, blur, noise and tone."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.noise import vec
from geoloc_ros.synthetic.sky import Light

F32 = NDArray[np.float32]
TONE_STEPS = 4096
TONE_MAX = 4.0
STRIP_ROWS = 512


@lru_cache(maxsize=1)
def _tone() -> F32:
    """Display bytes for linear light 0..TONE_MAX: a soft shoulder, then gamma 2.2."""
    x = np.linspace(0, TONE_MAX, TONE_STEPS)
    soft = np.where(x < 0.6, x, 0.6 + 0.4 * np.tanh((x - 0.6) / 0.6))
    return (255.0 * np.clip(soft, 0, 1) ** (1 / 2.2)).astype(np.float32)


def develop(
    radiance: F32, rays: F32 | None, light: Light, conditions: Conditions, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Turn radiance into a picture.

    Args:
        radiance: `(H, W, 3)` linear light.
        rays: `(H, W, 3)` world directions for flare, None for satellites.
        light: Sun and sky.
        conditions: Exposure, noise, haze and so on.
        rng: Source of noise.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    c = conditions
    height, width = radiance.shape[:2]
    if rays is not None and c.flare > 0 and c.sun_strength > 0.1:
        _flare(radiance, rays, light, c)
    sigma = c.blur_px * (width / 480.0 if rays is not None else 1.0)
    if sigma > 0.25:
        radiance = vec(cv2.GaussianBlur(radiance, (0, 0), sigma)).reshape(radiance.shape)
    sample = np.minimum(radiance[::4, ::4].mean(-1), 1.2)
    gain = 0.20 / max(float(np.exp(np.log(sample + 0.01).mean())), 1e-3)
    gain = gain ** (0.85 - 0.25 * c.dusk) * 2.0**c.exposure_ev * (1 - 0.45 * c.dusk)
    shade = _vignette(height, width, c.vignette) if c.vignette > 0 else None
    out = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP_ROWS):  # in strips, to hold satellite images in memory
        rows = slice(top, top + STRIP_ROWS)
        strip = radiance[rows] * np.float32(gain)
        out[rows] = _expose(strip if shade is None else strip * shade[rows], c, rng)
    return out


def _expose(x: F32, c: Conditions, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Bytes of exposed light: haze, cast, tone curve, contrast and noise."""
    if c.haze > 0:
        x += np.float32(0.5 * c.haze) * (vec([0.30, 0.33, 0.37]) - 0.6 * x)
    if c.warmth != 0:
        x *= vec([1 + 0.14 * c.warmth, 1.0, 1 - 0.16 * c.warmth])
    index = np.clip(x * np.float32((TONE_STEPS - 1) / TONE_MAX), 0, TONE_STEPS - 1).astype(
        np.int32
    )
    y = _tone()[index]
    if c.contrast != 1.0:
        y = 118 + (y - 118) * np.float32(c.contrast)
    if c.noise > 0:
        y += rng.standard_normal((*y.shape[:2], 1), dtype=np.float32) * np.float32(0.8 * c.noise)
        y += rng.standard_normal(y.shape, dtype=np.float32) * np.float32(0.5 * c.noise)
    return np.asarray(np.clip(y + 0.5, 0, 255), dtype=np.uint8)


@lru_cache(maxsize=8)
def _vignette(height: int, width: int, strength: float) -> F32:
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return vec(1 - strength * 0.5 * (u * u + v * v))[..., None]


def _flare(radiance: F32, rays: F32, light: Light, c: Conditions) -> None:
    """Veiling glare round the sun, and a row of ghosts through the picture's centre."""
    height, width = rays.shape[:2]
    aim = rays @ light.direction
    at = int(np.argmax(aim))
    best = float(aim.ravel()[at])
    if best < 0.75:
        return
    strength = np.float32(c.flare * c.sun_strength * np.clip((best - 0.75) * 4, 0, 1))
    warm = vec([1.0, 0.9, 0.75])
    if best > 0.999 and float(radiance.reshape(-1, 3)[at].mean()) < 1.5:
        strength *= np.float32(0.25)  # the sun itself is hidden
    radiance += (strength * 0.35 * np.clip(aim, 0, 1)[..., None] ** 6) * warm
    if best < 0.999:
        return
    row, col = divmod(at, width)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    for step, size, rgb in (
        (0.5, 0.05, (0.3, 0.5, 0.3)),
        (1.4, 0.08, (0.45, 0.3, 0.2)),
        (1.8, 0.04, (0.2, 0.3, 0.5)),
    ):
        cx, cy = col + step * (width / 2 - col), row + step * (height / 2 - row)
        far = np.hypot(u - cx, v - cy) / (size * width)
        radiance += strength * 0.5 * np.clip(1.2 - far, 0, 0.4)[..., None] * vec(rgb)
