# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frozen noise textures: the same place always has the same grain."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]
SIDE = 1024


def vec(values: ArrayLike) -> F32:
    """Numbers as a float32 array."""
    return np.asarray(values, dtype=np.float32)


@lru_cache(maxsize=4)
def _texture(fall: float) -> F32:
    """A tileable `(SIDE * SIDE,)` texture with amplitude falling as 1 / f^fall, unit variance."""
    rng = np.random.default_rng(20260)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    f[0, 0] = 1.0
    spectrum = (rng.standard_normal(f.shape) + 1j * rng.standard_normal(f.shape)) / f**fall
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    return np.ascontiguousarray((field / field.std()).astype(np.float32).ravel())


@lru_cache(maxsize=1)
def _hash_table() -> F32:
    return np.random.default_rng(31415).random(1 << 16).astype(np.float32)


def grain(x_m: F32, y_m: F32, texel_m: float, fall: float = 0.9) -> F32:
    """Noise `(N,)` of unit variance at positions; details down to `texel_m`, period 1024 texels.

    A larger `fall` makes it smoother.
    """
    inv = np.float32(1.0 / texel_m)
    i = (x_m * inv).astype(np.int32) & (SIDE - 1)
    j = (y_m * inv).astype(np.int32) & (SIDE - 1)
    return np.asarray(_texture(fall)[j * SIDE + i], dtype=np.float32)


def cell_random(i: NDArray[np.int32], j: NDArray[np.int32], k: NDArray[np.int32] | int = 0) -> F32:
    """Uniform numbers `(N,)` in 0..1 for integer cells."""
    with np.errstate(over="ignore"):
        h = (
            i * np.int32(73856093)
            ^ j * np.int32(19349663)
            ^ np.asarray(k, np.int32) * np.int32(83492791)
        )
        h = h ^ (h >> 15)
        h = h * np.int32(668265263)
    return np.asarray(_hash_table()[(h >> 9) & 0xFFFF], dtype=np.float32)
