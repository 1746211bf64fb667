# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Planar rigid motions as arrays (..., 3) of x (m), y (m), yaw (rad, counter-clockwise)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def wrap_angle(angle_rad: npt.ArrayLike) -> FloatArray:
    """Wrap angles to [-pi, pi)."""
    angle = np.asarray(angle_rad, dtype=np.float64)
    return np.asarray((angle + np.pi) % (2.0 * np.pi) - np.pi)


def compose(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Apply motion b in the frame of a: T_w_c = T_w_a * T_a_c, broadcasting over leading axes."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cos, sin = np.cos(first[..., 2]), np.sin(first[..., 2])
    x = first[..., 0] + cos * second[..., 0] - sin * second[..., 1]
    y = first[..., 1] + sin * second[..., 0] + cos * second[..., 1]
    return np.stack([x, y, wrap_angle(first[..., 2] + second[..., 2])], axis=-1)


def inverse(a: npt.ArrayLike) -> FloatArray:
    """The motion that undoes a."""
    pose = np.asarray(a, dtype=np.float64)
    cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x = -cos * pose[..., 0] - sin * pose[..., 1]
    y = sin * pose[..., 0] - cos * pose[..., 1]
    return np.stack([x, y, wrap_angle(-pose[..., 2])], axis=-1)


def between(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """The motion that leads from pose a to pose b, in the frame of a."""
    return compose(inverse(a), b)


def circular_mean(yaw_rad: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Mean direction of angles (Mardia and Jupp, Directional Statistics, 2000, section 2.2)."""
    yaw = np.asarray(yaw_rad, dtype=np.float64)
    w = np.ones_like(yaw) if weights is None else np.asarray(weights, dtype=np.float64)
    return float(np.arctan2(np.sum(w * np.sin(yaw)), np.sum(w * np.cos(yaw))))
