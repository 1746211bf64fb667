# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Dead reckoning of a made vehicle, with the errors measured on a real car.

The table comes from one minute of a car on a motorway (comma2k19, MIT), CAN speed against the
speed of the post-processed GNSS solution and gyro against the post-processed orientation:

    python bench/fit_odometry_noise.py FOLDER

prints there

    speed_scale                    -0.0087      -> `speed_scale_sigma` 0.01: one car's draw
    scale_wander_10s               +0.0008      -> `scale_wander`
    speed_noise_mps                +0.042       -> `speed_noise_mps`, correlated over 0.15 s
    speed_delay_s                  -0.04        -> `delay_s`: the CAN speed is late by this
    gyro_bias_radps                -0.00057     -> `gyro_bias_radps`: one car's draw
    gyro_bias_spread_10s_radps     +0.00021     (of which 0.00025 is explained by the walk below)
    heading_walk_rad_per_sqrt_s    +0.00080     -> `heading_walk_rad_per_sqrt_s`

Not measurable there (no turns, no stops, one temperature) and therefore assumed: the gyro's scale
error, the walk of its bias, the sideslip of the body in bends. While the wheels stand still the
heading is held, as every wheel odometry does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.geo.se2 import between, wrap_angle
from geoloc_ros.synthetic.trajectory import RATE_HZ, Trajectory, smooth_noise


@dataclass(frozen=True)
class OdometryNoise:
    """Sizes of the errors; per-drive constants are drawn with them as standard deviation."""

    speed_scale_sigma: float = 0.01
    scale_wander: float = 0.0008
    scale_wander_time_s: float = 10.0
    speed_noise_mps: float = 0.042
    speed_noise_time_s: float = 0.15
    delay_s: float = 0.04
    gyro_bias_radps: float = 0.0006
    gyro_bias_walk: float = 2e-5
    gyro_scale_sigma: float = 0.003
    heading_walk_rad_per_sqrt_s: float = 0.0008
    sideslip_rad_per_mps2: float = 0.002


#: Visual-inertial odometry of a hovering vehicle: no wheels, drift in every direction.
AERIAL_NOISE = OdometryNoise(
    speed_scale_sigma=0.02,
    speed_noise_mps=0.15,
    speed_noise_time_s=1.0,
    gyro_bias_radps=0.0005,
    sideslip_rad_per_mps2=0.0,
)


@dataclass(frozen=True)
class OdometryTrack:
    """What the vehicle believes about its own motion, at `RATE_HZ`.

    Attributes:
        time_s: (N,).
        pose: (N, 3) x_m, y_m, yaw_rad in the odom frame; starts at the origin.
        speed_mps: (N,).
        yaw_rate_radps: (N,).
    """

    time_s: FloatArray
    pose: FloatArray
    speed_mps: FloatArray
    yaw_rate_radps: FloatArray

    def at(self, time_s: float) -> tuple[FloatArray, float, float]:
        """Pose (3,), speed and turn rate at a time, linear between samples."""
        pose = np.array([np.interp(time_s, self.time_s, self.pose[:, k]) for k in range(3)])
        pose[2] = wrap_angle(pose[2])
        speed = float(np.interp(time_s, self.time_s, self.speed_mps))
        return pose, speed, float(np.interp(time_s, self.time_s, self.yaw_rate_radps))


def true_increments(truth: Trajectory) -> FloatArray:
    """(N - 1, 3) motion between samples in the base frame; being carried looks like driving on."""
    steps = np.asarray(between(truth.planar[:-1], truth.planar[1:]))
    for i in np.flatnonzero(np.diff(truth.segment)):
        steps[i] = steps[i - 1]
    return steps


def dead_reckon(
    truth: Trajectory, rng: np.random.Generator, noise: OdometryNoise | None = None
) -> OdometryTrack:
    """Odometry of a true drive.

    Args:
        truth: the drive.
        rng: source of randomness.
        noise: sizes of the errors; the measured car by default.

    Returns:
        The drifting track, starting at the origin.
    """
    noise = noise or OdometryNoise()
    steps = true_increments(truth)
    count, dt = len(steps), 1.0 / RATE_HZ
    scale = 1.0 + rng.normal(0.0, noise.speed_scale_sigma)
    wander = noise.scale_wander * smooth_noise(rng, count, noise.scale_wander_time_s * RATE_HZ)
    jitter = smooth_noise(rng, count, noise.speed_noise_time_s * RATE_HZ) * noise.speed_noise_mps
    standing = np.linalg.norm(steps[:, :2], axis=1) < 0.02 * dt
    lag = round(noise.delay_s * RATE_HZ)
    moved = np.concatenate([np.repeat(steps[:1, :2], lag, axis=0), steps[: count - lag, :2]])
    moved = moved * (scale + wander)[:, None]
    moved[:, 0] += np.where(standing, 0.0, jitter * dt)
    speed = np.linalg.norm(steps[:, :2], axis=1) / dt
    slip = noise.sideslip_rad_per_mps2 * speed * steps[:, 2] / dt
    moved = moved + np.column_stack([np.zeros(count), -slip * moved[:, 0]])
    bias = rng.normal(0.0, noise.gyro_bias_radps) + np.cumsum(
        rng.normal(0.0, noise.gyro_bias_walk * np.sqrt(dt), count)
    )
    turned = steps[:, 2] * (1.0 + rng.normal(0.0, noise.gyro_scale_sigma)) + bias * dt
    turned += rng.normal(0.0, noise.heading_walk_rad_per_sqrt_s * np.sqrt(dt), count)
    turned = np.where(standing, 0.0, turned)
    yaw = np.concatenate([[0.0], np.cumsum(turned)])
    middle = yaw[:-1] + 0.5 * turned
    east = np.cos(middle) * moved[:, 0] - np.sin(middle) * moved[:, 1]
    north = np.sin(middle) * moved[:, 0] + np.cos(middle) * moved[:, 1]
    xy = np.concatenate([np.zeros((1, 2)), np.cumsum(np.column_stack([east, north]), axis=0)])
    rates = np.concatenate([turned[:1], turned]) * RATE_HZ
    speeds = np.concatenate([moved[:1, 0], moved[:, 0]]) * RATE_HZ
    return OdometryTrack(truth.time_s, np.column_stack([xy, yaw]), speeds, rates)
