# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A flight over a made town: smooth waypoints, a tilted camera, a barometric height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import ConfigError
from geoloc_ros.synthetic.drive import Area, HeightOf
from geoloc_ros.synthetic.trajectory import RATE_HZ, Trajectory, smooth_noise


@dataclass(frozen=True)
class FlightSpec:
    """What one asks for.

    Attributes:
        height_m: lowest and highest height above the take-off ground.
        speed_mps: slowest and fastest cruise.
        yaw_offset_deg: spread of the nose against the course.
    """

    height_m: tuple[float, float] = (40.0, 150.0)
    speed_mps: tuple[float, float] = (5.0, 11.0)
    yaw_offset_deg: float = 12.0

    def __post_init__(self) -> None:
        """Refuse what cannot be flown.

        Raises:
            ConfigError: a range is empty or out of bounds.
        """
        low, high = self.height_m
        if not 5.0 <= low <= high <= 1000.0:
            raise ConfigError(f"flight height {low}..{high} m must be a range within 5..1000 m")
        slow, fast = self.speed_mps
        if not 0.5 <= slow <= fast <= 40.0:
            raise ConfigError(
                f"flight speed {slow}..{fast} m/s must be a range within 0.5..40 m/s"
            )


def plan_flight(
    height_of: HeightOf,
    rng: np.random.Generator,
    length_m: float,
    area: Area,
    spec: FlightSpec | None = None,
) -> Trajectory:
    """Fly through random waypoints of an area.

    Args:
        height_of: ground height (N,) at points (N, 2).
        rng: source of randomness.
        length_m: distance over the ground.
        area: waypoints lie inside, 60 m from its border where it is large enough.
        spec: heights and speeds.

    Returns:
        The truth; the base's x axis is the vehicle's nose.
    """
    spec = spec or FlightSpec()
    line = _curve(_waypoints(rng, length_m * 1.3 + 200.0, area))
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    clock, along = _pace(rng, min(length_m, float(at[-1])), spec)
    xy = np.column_stack([np.interp(along, at, line[:, k]) for k in range(2)])
    count = len(clock)
    middle, half = 0.5 * (spec.height_m[0] + spec.height_m[1]), 0.5 * np.diff(spec.height_m)[0]
    level = float(rng.uniform(-0.7, 0.7))
    climb = np.clip(level + 0.3 * _slow(rng, count, 25.0), -1.0, 1.0)
    takeoff = float(height_of(xy[:1])[0])
    up = np.maximum(takeoff + middle + half * climb, height_of(xy) + 25.0)
    speed = np.gradient(along) * RATE_HZ
    course = np.unwrap(np.arctan2(*np.gradient(xy, axis=0).T[::-1]))
    yaw = _slow_filter(course, 0.8) + np.radians(spec.yaw_offset_deg) * _slow(rng, count, 12.0)
    shake = np.radians(0.35)
    roll = shake * _slow(rng, count, 0.5)
    pitch = shake * _slow(rng, count, 0.5)
    return Trajectory(
        time_s=clock,
        position_m=np.column_stack([xy, up]),
        rpy_rad=np.column_stack([roll, pitch, yaw]),
        speed_mps=speed,
        segment=np.zeros(count, dtype=np.int64),
    )


def barometer(
    truth: Trajectory, height_of: HeightOf, rng: np.random.Generator, times_s: FloatArray
) -> FloatArray:
    """Barometric height above take-off (M,): offset 1 m, drift 0.5 m a minute, noise 0.25 m."""
    takeoff = float(height_of(truth.position_m[:1, :2])[0])
    height = np.interp(times_s, truth.time_s, truth.position_m[:, 2]) - takeoff
    step = np.diff(times_s, prepend=times_s[:1])
    drift = np.cumsum(rng.normal(0.0, 1.0, len(times_s)) * 0.5 * np.sqrt(step / 60.0))
    return np.asarray(height + rng.normal(0.0, 1.0) + drift + rng.normal(0, 0.25, len(times_s)))


def _waypoints(rng: np.random.Generator, length_m: float, area: Area) -> FloatArray:
    """Legs of 80-300 m, turning at most 120 degrees, kept inside."""
    extent = min(area.x_max_m - area.x_min_m, area.y_max_m - area.y_min_m)
    margin = min(60.0, 0.15 * extent)
    longest = float(np.clip(0.5 * extent, 60.0, 300.0))
    low = np.array([area.x_min_m + margin, area.y_min_m + margin])
    high = np.array([area.x_max_m - margin, area.y_max_m - margin])
    points = [rng.uniform(low, high)]
    heading, flown = float(rng.uniform(-np.pi, np.pi)), 0.0
    while flown < length_m:
        leg = float(rng.uniform(0.4, 1.0)) * longest
        for attempt in range(40):
            bound = np.radians(120.0) if attempt < 30 else np.pi
            turned = heading + float(rng.uniform(-bound, bound))
            step = leg * (1.0 if attempt < 20 else 0.5)
            target = points[-1] + step * np.array([np.cos(turned), np.sin(turned)])
            if np.all(target >= low) and np.all(target <= high):
                break
        else:
            target = rng.uniform(low, high)
            turned = float(np.arctan2(*(target - points[-1])[::-1]))
        flown += float(np.linalg.norm(target - points[-1]))
        heading = turned
        points.append(target)
    return np.array(points)


def _curve(points: FloatArray) -> FloatArray:
    """Straight legs with rounded corners, every metre."""
    from scipy.ndimage import gaussian_filter1d

    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    where = np.arange(0.0, at[-1], 1.0)
    line = np.column_stack([np.interp(where, at, points[:, k]) for k in range(2)])
    return np.asarray(gaussian_filter1d(line, 9.0, axis=0, mode="nearest"))


def _pace(
    rng: np.random.Generator, length_m: float, spec: FlightSpec
) -> tuple[FloatArray, FloatArray]:
    """Clock and distance flown; now and then the vehicle nearly stops to look."""
    slow, fast = spec.speed_mps
    cruise = float(rng.uniform(slow, fast))
    count = int(length_m / (0.4 * cruise) * RATE_HZ) + 1
    speed = np.clip(cruise * (1.0 + 0.2 * _slow(rng, count, 10.0)), 0.7 * slow, 1.2 * fast)
    dips = np.clip(_slow(rng, count, 20.0) - 1.9, 0.0, 0.6) / 0.6
    speed = _slow_filter(speed * (1.0 - 0.95 * dips), 1.5)
    along = np.cumsum(speed) / RATE_HZ
    keep = along <= length_m
    return np.arange(int(keep.sum())) / RATE_HZ, along[keep]


def _slow(rng: np.random.Generator, count: int, time_s: float) -> FloatArray:
    """Smooth unit noise with a given time constant, drawn at 10 Hz and interpolated."""
    from scipy.ndimage import gaussian_filter1d

    knots = 10.0 * np.arange(count // 10 + 3)
    noise = gaussian_filter1d(smooth_noise(rng, len(knots), time_s * 10.0), 2.0 * time_s)
    return np.asarray(np.interp(np.arange(count), knots * RATE_HZ / 100.0, noise))


def _slow_filter(values: FloatArray, sigma_s: float) -> FloatArray:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(values, sigma_s * RATE_HZ, mode="nearest"))
