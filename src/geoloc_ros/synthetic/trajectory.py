# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a made vehicle was at every moment, and interpolation of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.geo.rotations import matrix_from_rpy, transform

#: Rate of a stored trajectory, 1/s.
RATE_HZ = 100.0


@dataclass(frozen=True)
class Trajectory:
    """The truth about a vehicle's motion, sampled at `RATE_HZ`.

    Attributes:
        time_s: (N,) from the start of the drive.
        position_m: (N, 3) base origin in the world.
        rpy_rad: (N, 3) roll, pitch, yaw of the base; yaw is continuous within a segment.
        speed_mps: (N,) ground speed.
        segment: (N,) int; the vehicle was carried elsewhere where it changes.
    """

    time_s: FloatArray
    position_m: FloatArray
    rpy_rad: FloatArray
    speed_mps: FloatArray
    segment: np.ndarray

    @property
    def duration_s(self) -> float:
        """Length in time."""
        return float(self.time_s[-1])

    @property
    def planar(self) -> FloatArray:
        """(N, 3) x_m, y_m, yaw_rad."""
        return np.column_stack([self.position_m[:, :2], self.rpy_rad[:, 2]])

    def distance_m(self) -> FloatArray:
        """(N,) distance moved over the ground since the start, being carried not counted."""
        step = np.linalg.norm(np.diff(self.position_m[:, :2], axis=0), axis=1)
        step[np.diff(self.segment) != 0] = 0.0
        return np.concatenate([[0.0], np.cumsum(step)])

    def kidnap_times_s(self) -> list[float]:
        """Times at which the vehicle finds itself elsewhere."""
        return [float(self.time_s[i + 1]) for i in np.flatnonzero(np.diff(self.segment))]

    def at(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """Position (3,) and roll, pitch, yaw (3,) at a time, linear between samples."""
        i = int(
            np.clip(np.searchsorted(self.time_s, time_s, "right") - 1, 0, len(self.time_s) - 1)
        )
        j = min(i + 1, len(self.time_s) - 1)
        gap = self.time_s[j] - self.time_s[i]
        weight = 0.0
        if gap > 0.0 and self.segment[i] == self.segment[j]:
            weight = float(np.clip((time_s - self.time_s[i]) / gap, 0.0, 1.0))
        position = (1 - weight) * self.position_m[i] + weight * self.position_m[j]
        rpy = (1 - weight) * self.rpy_rad[i] + weight * self.rpy_rad[j]
        return position, rpy

    def matrix_at(self, time_s: float) -> FloatArray:
        """T_world_base (4, 4) at a time."""
        position, rpy = self.at(time_s)
        return transform(matrix_from_rpy(float(rpy[0]), float(rpy[1]), float(rpy[2])), position)


def smooth_noise(rng: np.random.Generator, count: int, time_constant: float) -> FloatArray:
    """(count,) stationary Ornstein-Uhlenbeck noise of unit variance.

    Args:
        rng: source of randomness.
        count: samples.
        time_constant: samples after which the autocorrelation falls to 1/e.
    """
    from scipy.signal import lfilter

    keep = float(np.exp(-1.0 / max(time_constant, 1e-9)))
    drive = rng.normal(size=count) * np.sqrt(1.0 - keep * keep)
    if count:
        drive[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], drive), dtype=np.float64)
