# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Other vehicles around a made drive: ahead in the same lane and coming the other way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.synthetic.drive import Drive, on_path
from geoloc_ros.synthetic.trajectory import RATE_HZ, smooth_noise

Rgb = tuple[int, int, int]

PAINTS: tuple[Rgb, ...] = (
    (230, 230, 232), (30, 31, 34), (120, 124, 130), (176, 180, 184), (140, 28, 30),
    (34, 58, 110), (70, 84, 74), (196, 176, 140), (214, 150, 40),
)  # fmt: skip


@dataclass(frozen=True)
class Neighbour:
    """A vehicle at one moment.

    Attributes:
        pose: (3,) x_m, y_m, yaw_rad of its middle.
        size_m: length, width, height.
        colour: its paint.
    """

    pose: FloatArray
    size_m: tuple[float, float, float]
    colour: Rgb


@dataclass(frozen=True)
class _Car:
    """One vehicle: where along the ego's path it is, in a stretch of time."""

    start_s: float
    end_s: float
    meets_s: float
    speed_mps: float
    size_m: tuple[float, float, float]
    colour: Rgb


@dataclass(frozen=True)
class Traffic:
    """All other vehicles of a drive."""

    drive: Drive
    side: float
    leaders: tuple[_Car, ...]
    gap_m: FloatArray
    oncoming: tuple[_Car, ...]

    def at(self, time_s: float) -> list[Neighbour]:
        """Vehicles near the ego at a time."""
        truth = self.drive.trajectory
        i = int(np.clip(round(time_s * RATE_HZ), 0, len(truth.time_s) - 1))
        path = self.drive.paths[int(truth.segment[i])]
        here = float(self.drive.path_m[i])
        found: list[Neighbour] = []
        for car in self.leaders:
            place = here + self.gap_m[i] + 0.5 * car.size_m[0]
            if car.start_s <= time_s < car.end_s and place < path.length_m:
                found.append(
                    Neighbour(on_path(path, np.array([place]))[0], car.size_m, car.colour)
                )
        for car in self.oncoming:
            if not car.start_s <= time_s < car.end_s:
                continue
            meets = int(np.clip(round(car.meets_s * RATE_HZ), 0, len(truth.time_s) - 1))
            if truth.segment[meets] != truth.segment[i]:
                continue
            place = float(self.drive.path_m[meets]) + car.speed_mps * (car.meets_s - time_s)
            if 0.0 < place < path.length_m:
                found.append(self._other_lane(place, car, int(truth.segment[i])))
        return found

    def _other_lane(self, place_m: float, car: _Car, segment: int) -> Neighbour:
        path = self.drive.paths[segment]
        pose = on_path(path, np.array([place_m]))[0]
        nearest = min(round(place_m / 0.25), len(path.lane_m) - 1)
        across = -self.side * max(2.0 * float(path.lane_m[nearest]), 2.8)
        x = pose[0] - np.sin(pose[2]) * across
        y = pose[1] + np.cos(pose[2]) * across
        return Neighbour(np.array([x, y, pose[2] + np.pi]), car.size_m, car.colour)


def make_traffic(drive: Drive, rng: np.random.Generator, driving_side: str) -> Traffic:
    """Draw the other vehicles: one ahead for a third of the time, one oncoming every 12 s."""
    duration = drive.trajectory.duration_s
    count = len(drive.trajectory.time_s)
    leaders, oncoming = [], []
    at = float(rng.exponential(15.0))
    while at < duration:
        stay = float(rng.uniform(6.0, 25.0))
        leaders.append(_Car(at, at + stay, at, 0.0, *_body(rng)))
        at += stay + float(rng.exponential(25.0))
    at = float(rng.exponential(12.0))
    while at < duration:
        speed = float(rng.uniform(6.0, 12.0))
        oncoming.append(_Car(at - 8.0, at + 0.8, at, speed, *_body(rng)))
        at += float(rng.exponential(12.0))
    speed_now = drive.trajectory.speed_mps
    gap = 7.0 + 1.3 * speed_now + 3.0 * smooth_noise(rng, count, 6.0 * RATE_HZ)
    side = 1.0 if driving_side == "left" else -1.0
    return Traffic(drive, side, tuple(leaders), np.maximum(gap, 5.0), tuple(oncoming))


def _body(rng: np.random.Generator) -> tuple[tuple[float, float, float], Rgb]:
    colour = PAINTS[int(rng.integers(len(PAINTS)))]
    kind = rng.random()
    if kind < 0.78:
        size = (rng.uniform(3.8, 4.9), rng.uniform(1.7, 1.9), rng.uniform(1.4, 1.75))
    elif kind < 0.93:
        size = (rng.uniform(4.9, 6.0), rng.uniform(1.9, 2.1), rng.uniform(2.0, 2.6))
    else:
        size = (rng.uniform(8.0, 11.5), rng.uniform(2.4, 2.55), rng.uniform(3.0, 3.6))
    return (float(size[0]), float(size[1]), float(size[2])), colour
