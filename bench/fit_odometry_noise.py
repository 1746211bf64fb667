# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure a real car's dead-reckoning errors: the table in synthetic/odometry_noise.py.

Usage: python bench/fit_odometry_noise.py FOLDER

FOLDER holds one minute of comma2k19 as .npy files: frame_times, frame_velocities (ECEF),
frame_orientations (quaternion w x y z, ECEF from device; x forward, y right, z down), can_speed,
imu_gyro. Speed of the CAN bus is compared with the speed of the post-processed GNSS solution,
the gyro's z axis with the turn rate of the post-processed orientation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation


def load(folder: Path, name: str) -> np.ndarray:
    """One table of the folder."""
    return np.load(folder / f"{name}.npy")


def speed_errors(folder: Path) -> dict[str, float]:
    """Delay (s), scale (relative) and its wander over 10 s, noise (m/s) and its memory (s)."""
    time = load(folder, "frame_times")
    truth = np.linalg.norm(load(folder, "frame_velocities"), axis=1)
    at, measured = load(folder, "can_speed.t"), load(folder, "can_speed.value")[:, 0]
    delays = np.arange(-0.2, 0.2, 0.01)
    spread = [np.std(np.interp(time + d, at, measured) - truth) for d in delays]
    delay = float(delays[int(np.argmin(spread))])
    speed = np.interp(time + delay, at, measured)
    scale = float(speed @ truth / (truth @ truth))
    rest = speed - scale * truth
    rest = rest - rest.mean()
    step = float(np.mean(np.diff(time)))
    lags = np.arange(1, round(2.0 / step))
    decay = np.array([rest[:-k] @ rest[k:] for k in lags]) / (rest @ rest)
    below = int(np.argmax(decay < np.exp(-1.0))) or len(lags) - 1
    pieces = np.array_split(np.arange(len(time)), round((time[-1] - time[0]) / 10.0))
    scales = [speed[p].sum() / truth[p].sum() for p in pieces]
    return {
        "speed_delay_s": delay,
        "speed_scale": scale - 1.0,
        "scale_wander_10s": float(np.std(scales)),
        "speed_noise_mps": float(rest.std()),
        "speed_noise_time_s": float(lags[below] * step),
    }


def gyro_errors(folder: Path) -> dict[str, float]:
    """Bias (rad/s), heading random walk (rad/sqrt s) and white noise (rad/s at 20 Hz)."""
    time = load(folder, "frame_times")
    wxyz = load(folder, "frame_orientations")
    attitude = Rotation.from_quat(wxyz[:, [1, 2, 3, 0]])
    turn = (attitude[:-1].inv() * attitude[1:]).as_rotvec()[:, 2]
    at, rate = load(folder, "imu_gyro.t"), load(folder, "imu_gyro.value")[:, 2]
    angle = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(at))])
    error = np.diff(np.interp(time, at, angle)) - turn
    step = float(np.mean(np.diff(time)))
    bias = float(error.mean() / step)
    heading = np.cumsum(error - error.mean())
    walk = [np.std(heading[k:] - heading[:-k]) / np.sqrt(k * step) for k in (40, 100, 200)]
    tenths = [piece.mean() / step for piece in np.array_split(error, 6)]
    return {
        "gyro_bias_radps": bias,
        "gyro_bias_spread_10s_radps": float(np.std(tenths)),
        "heading_walk_rad_per_sqrt_s": float(np.median(walk)),
        "gyro_noise_20hz_radps": float(error.std() / step),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, value in {**speed_errors(folder), **gyro_errors(folder)}.items():
        print(f"{name:30s} {value:+.6f}")


if __name__ == "__main__":
    main()
