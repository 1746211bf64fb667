# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Motion model: how uncertain an odometry increment is, and how it moves particles."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.compiled import compiled
from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import FloatArray, Motion

# A scale error does not change from frame to frame; as white noise per frame it would average
# out. Its variance therefore grows as if it stayed constant over this much driving.
PERSISTENCE_M = 25.0
STILL_SIGMA_M_PER_ROOT_S = 0.02
STILL_SIGMA_RAD_PER_ROOT_S = np.deg2rad(0.1)
UNKNOWN_SPEED_MPS = 3.0
UNKNOWN_YAW_RATE_RADPS = 0.3


def increment_covariance(
    increment: FloatArray, seconds: float, config: FilterConfig
) -> FloatArray:
    """Covariance of an odometry increment.

    Args:
        increment: (3,) dx, dy, dyaw in the base frame, m and rad.
        seconds: duration.
        config: relative noise of the odometry.

    Returns:
        (3, 3) in m and rad, never singular: a standing vehicle keeps a small random walk.
    """
    distance = float(np.hypot(increment[0], increment[1]))
    reach = distance * max(distance, PERSISTENCE_M)
    still = max(seconds, 1e-3)
    still_m = STILL_SIGMA_M_PER_ROOT_S**2 * still
    yaw_sigma = np.deg2rad(config.odom_yaw_sigma_deg_per_m)
    turned = 0.01 * abs(float(increment[2]))
    return np.diag(
        [
            config.odom_distance_sigma**2 * reach + still_m,
            config.odom_lateral_sigma**2 * reach + still_m,
            yaw_sigma**2 * distance + STILL_SIGMA_RAD_PER_ROOT_S**2 * still + turned**2,
        ]
    )


def unknown_covariance(seconds: float, speed_mps: float) -> FloatArray:
    """Covariance of a motion nobody measured.

    Args:
        seconds: for how long.
        speed_mps: speed before, m/s.

    Returns:
        (3, 3); its sigma grows linearly with time and with the speed the vehicle had.
    """
    metres = (UNKNOWN_SPEED_MPS + speed_mps) * seconds + 0.01
    yaw = min(UNKNOWN_YAW_RATE_RADPS * seconds, np.pi) + 1e-3
    return np.diag([metres**2, metres**2, yaw**2])


def move(poses: FloatArray, motion: Motion, rng: np.random.Generator) -> FloatArray:
    """Move particles by an increment, each with its own draw of the noise.

    Args:
        poses: (N, 3).
        motion: increment and covariance in the base frame.
        rng: source of the draws.

    Returns:
        (N, 3). Source: sampling from a Gaussian motion model, Thrun, Burgard, Fox, Probabilistic
        Robotics, 2005, section 5.4, with the increment's own covariance.
    """
    noise = rng.standard_normal(poses.shape)
    return _move(poses, motion.increment, motion.cov_xy_yaw, noise)


@compiled
def _wrapped(angle_rad: float) -> float:
    """The angle in [-pi, pi)."""
    if -math.pi <= angle_rad < math.pi:
        return angle_rad
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


@compiled
def compose(a: FloatArray, b: FloatArray) -> FloatArray:
    """Motion b (3,) in the frame of a (3,)."""
    cos, sin = math.cos(a[2]), math.sin(a[2])
    x, y = a[0] + cos * b[0] - sin * b[1], a[1] + sin * b[0] + cos * b[1]
    return np.array([x, y, _wrapped(a[2] + b[2])])


@compiled
def _move(
    poses: FloatArray, increment: FloatArray, cov_xy_yaw: FloatArray, noise: FloatArray
) -> FloatArray:
    """Poses (N, 3) moved by an increment with its own noise each.

    Args:
        poses: (N, 3).
        increment: (3,) in the base frame.
        cov_xy_yaw: (3, 3) of the increment, positive definite.
        noise: (N, 3) standard normal draws.
    """
    # the lower Cholesky root
    xx = math.sqrt(cov_xy_yaw[0, 0])
    yx, tx = cov_xy_yaw[1, 0] / xx, cov_xy_yaw[2, 0] / xx
    yy = math.sqrt(cov_xy_yaw[1, 1] - yx * yx)
    ty = (cov_xy_yaw[2, 1] - tx * yx) / yy
    tt = math.sqrt(cov_xy_yaw[2, 2] - tx * tx - ty * ty)
    moved = np.empty_like(poses)
    for i in range(len(poses)):
        a, b, c = noise[i, 0], noise[i, 1], noise[i, 2]
        dx = increment[0] + xx * a
        dy = increment[1] + yx * a + yy * b
        turn = increment[2] + tx * a + ty * b + tt * c
        cos, sin = math.cos(poses[i, 2]), math.sin(poses[i, 2])
        moved[i, 0] = poses[i, 0] + cos * dx - sin * dy
        moved[i, 1] = poses[i, 1] + sin * dx + cos * dy
        moved[i, 2] = _wrapped(poses[i, 2] + turn)
    return moved
