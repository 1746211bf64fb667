# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A drive through a made town: route, speed, body motion, and what goes wrong on purpose.

Scenarios:
    plain    from somewhere to somewhere.
    kidnap   half way the vehicle is carried to a distant road; odometry notices nothing.
    outside  the drive leaves the indexed area for a while and comes back.
    covered  something covers the lens for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import ConfigError
from geoloc_ros.synthetic.route import STEP_M, Leg, Path, RoadGraph, lay_path, wander
from geoloc_ros.synthetic.trajectory import RATE_HZ, Trajectory, smooth_noise

SCENARIOS = ("plain", "kidnap", "outside", "covered")

#: Cruising speed by kind of road, m/s.
CRUISE_MPS = {
    "arterial": 13.5,
    "collector": 11.5,
    "residential": 9.0,
    "service": 6.5,
    "roundabout": 6.5,
}
LATERAL_MPS2 = 2.2
ACCELERATION_MPS2 = 1.5
BRAKING_MPS2 = 2.0
WHEELBASE_M = 2.7
TRACK_M = 1.6

HeightOf = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Area:
    """An axis-parallel rectangle of the local plane, m."""

    x_min_m: float
    y_min_m: float
    x_max_m: float
    y_max_m: float

    def contains(self, xy_m: FloatArray, margin_m: float = 0.0) -> npt.NDArray[np.bool_]:
        """(N,) whether points (N, 2) lie inside, at least `margin_m` from the border."""
        x, y = np.atleast_2d(xy_m)[:, 0], np.atleast_2d(xy_m)[:, 1]
        return np.asarray(
            (x >= self.x_min_m + margin_m)
            & (x <= self.x_max_m - margin_m)
            & (y >= self.y_min_m + margin_m)
            & (y <= self.y_max_m - margin_m)
        )


@dataclass(frozen=True)
class Drive:
    """A planned drive.

    Attributes:
        trajectory: the truth.
        paths: the path of each segment.
        path_m: (N,) distance along the segment's path at each sample of the trajectory.
        covered_s: (start, end) intervals with a covered lens.
        outside_s: (start, end) intervals outside the indexed area.
        scenario: see the module.
    """

    trajectory: Trajectory
    paths: tuple[Path, ...]
    path_m: FloatArray
    scenario: str
    covered_s: tuple[tuple[float, float], ...] = ()
    outside_s: tuple[tuple[float, float], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def covered_at(self, time_s: float) -> bool:
        """Whether the lens is covered."""
        return any(start <= time_s < end for start, end in self.covered_s)


def plan_drive(
    graph: RoadGraph,
    height_m: HeightOf,
    rng: np.random.Generator,
    length_m: float,
    driving_side: str = "right",
    scenario: str = "plain",
    area: Area | None = None,
) -> Drive:
    """Plan a drive.

    Args:
        graph: the town's roads.
        height_m: ground height (N,) at points (N, 2).
        rng: source of randomness.
        length_m: distance to drive.
        driving_side: ``left`` or ``right``.
        scenario: one of `SCENARIOS`.
        area: the indexed area; the vehicle stays inside it except in scenario ``outside``.

    Raises:
        ConfigError: unknown scenario, or the roads do not allow it.
    """
    if scenario not in SCENARIOS:
        raise ConfigError(
            f"scenario {scenario!r} is unknown; choose one of {', '.join(SCENARIOS)}"
        )
    if length_m < 20.0:
        raise ConfigError(f"a drive of {length_m} m is too short; at least 20 m")
    inside = _inside(graph, area)
    if scenario == "kidnap":
        routes = _kidnap_routes(graph, rng, length_m, inside)
    elif scenario == "outside":
        routes = [_outside_route(graph, rng, length_m, area)]
    else:
        start = _pick(graph, rng, inside)
        routes = [[start, *wander(graph, rng, length_m + 30.0, start, inside, {})]]
    paths = [lay_path(graph, legs, rng, driving_side) for legs in routes]
    share = length_m / len(paths)
    paths = [path.cut(share) for path in paths]
    trajectory, path_m = drive_paths(paths, height_m, rng)
    outside = _intervals(trajectory, ~area.contains(trajectory.position_m[:, :2])) if area else ()
    covered = _cover(trajectory, rng) if scenario == "covered" else ()
    return Drive(trajectory, tuple(paths), path_m, scenario, covered, outside)


# -- where to -------------------------------------------------------------------------------


def _inside(graph: RoadGraph, area: Area | None) -> Callable[[Leg], bool]:
    if area is None:
        return lambda leg: True
    good = [
        bool(np.all(area.contains(graph.points(Leg(i, True)), 4.0)))
        for i in range(len(graph.roads))
    ]
    return lambda leg: good[leg.road]


def _pick(graph: RoadGraph, rng: np.random.Generator, allowed: Callable[[Leg], bool]) -> Leg:
    """A leg to start on: not tiny, not a roundabout, leading somewhere."""
    legs = [
        leg
        for leg in graph.legs
        if allowed(leg)
        and graph.length[leg.road] > 25.0
        and graph.roads[leg.road].kind not in ("roundabout", "service")
    ]
    open_legs = [leg for leg in legs if any(n.road != leg.road for n in graph.next(leg))]
    if not (open_legs or legs):
        raise ConfigError(
            "no road in the indexed area is long enough to start on; use a larger size"
        )
    choice = open_legs or legs
    return choice[int(rng.integers(len(choice)))]


def _kidnap_routes(
    graph: RoadGraph, rng: np.random.Generator, length_m: float, inside: Callable[[Leg], bool]
) -> list[list[Leg]]:
    visits: dict[int, int] = {}
    start = _pick(graph, rng, inside)
    first: list[Leg] = [start, *wander(graph, rng, length_m / 2 + 30.0, start, inside, visits)]
    end = _cut_point(graph, first, length_m / 2)
    candidates = [_pick(graph, rng, inside) for _ in range(60)]
    away = [float(np.linalg.norm(graph.points(leg)[0] - end)) for leg in candidates]
    furthest = max(away)
    far = [leg for leg, d in zip(candidates, away, strict=True) if d >= 0.75 * furthest]
    second = far[int(rng.integers(len(far)))]
    return [first, [second, *wander(graph, rng, length_m / 2 + 30.0, second, inside, visits)]]


def _cut_point(graph: RoadGraph, legs: list[Leg], length_m: float) -> FloatArray:
    for leg in legs:
        length_m -= graph.length[leg.road]
        if length_m <= 0:
            break
    return np.asarray(graph.points(leg)[-1])


def _outside_route(
    graph: RoadGraph, rng: np.random.Generator, length_m: float, area: Area | None
) -> list[Leg]:
    """A third inside on the way out, a third outside, back in for the rest."""
    inside = _inside(graph, area)
    beyond = [
        area is not None and not np.any(area.contains(graph.points(Leg(i, True))))
        for i in range(len(graph.roads))
    ]

    def outside(leg: Leg) -> bool:
        return beyond[leg.road]

    ways: list[tuple[float, list[Leg]]] = []
    for _ in range(40):
        start = _pick(graph, rng, inside)
        way = [start, *graph.path_to(start, outside)]
        if len(way) > 1:
            ways.append((abs(sum(graph.length[x.road] for x in way) - 0.33 * length_m), way))
    if not ways:
        raise ConfigError("no road leads out of the indexed area; use a larger size")
    legs = min(ways, key=lambda item: item[0])[1]
    visits: dict[int, int] = {}
    legs += wander(graph, rng, 0.3 * length_m, legs[-1], outside, visits)
    legs += graph.path_to(legs[-1], inside)
    return legs + wander(graph, rng, length_m, legs[-1], inside, visits)


def _intervals(truth: Trajectory, flags: npt.NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    last = len(truth.time_s) - 1
    return tuple(
        (float(truth.time_s[a]), float(truth.time_s[min(int(b), last)]))
        for a, b in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    )


def _cover(truth: Trajectory, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Covered from about the middle, for 150 m of driving or a fifth of the drive."""
    driven = truth.distance_m()
    start = driven[-1] * float(rng.uniform(0.4, 0.55))
    span = min(150.0, 0.2 * driven[-1])
    return (
        (
            float(np.interp(start, driven, truth.time_s)),
            float(np.interp(start + span, driven, truth.time_s)),
        ),
    )


# -- how fast -------------------------------------------------------------------------------


def speed_profile(
    path: Path, rng: np.random.Generator, entry_mps: float | None
) -> tuple[FloatArray, FloatArray]:
    """Speed along a path and standing times.

    Args:
        path: the path.
        rng: source of randomness.
        entry_mps: speed at its beginning, None to start from standstill.

    Returns:
        (N,) speed at each point (m/s) and (N,) seconds stood there.
    """
    from scipy.ndimage import gaussian_filter1d

    count = len(path.xy_m)
    driver = float(rng.uniform(0.85, 1.05))
    cruise = np.array([CRUISE_MPS.get(kind, 9.0) for kind in path.kind]) * driver
    cruise *= 1.0 + 0.1 * smooth_noise(rng, count, 80.0 / STEP_M)
    limit = np.clip(gaussian_filter1d(cruise, 6.0 / STEP_M), 5.0, 14.0)
    bend = gaussian_filter1d(np.abs(path.curvature), 1.0 / STEP_M)
    limit = np.minimum(limit, np.maximum(np.sqrt(LATERAL_MPS2 / np.maximum(bend, 1e-4)), 2.0))
    stood = np.zeros(count)
    for junction in path.junctions:
        draw = rng.random()
        if draw < 0.12 and 40 < junction < count - 40:
            limit[junction - 8 : junction + 2] = 0.0
            stood[junction] = rng.uniform(1.5, 5.0)
        elif draw < 0.45:
            limit[max(0, junction - 20) : junction + 8] = np.minimum(
                limit[max(0, junction - 20) : junction + 8], rng.uniform(4.0, 6.5)
            )
    squared = limit**2
    squared[0] = (entry_mps if entry_mps is not None else 0.0) ** 2
    for i in range(1, count):
        squared[i] = min(squared[i], squared[i - 1] + 2.0 * ACCELERATION_MPS2 * STEP_M)
    for i in range(count - 2, 0, -1):
        squared[i] = min(squared[i], squared[i + 1] + 2.0 * BRAKING_MPS2 * STEP_M)
    return np.sqrt(squared), stood


def drive_paths(
    paths: list[Path], height_m: HeightOf, rng: np.random.Generator
) -> tuple[Trajectory, FloatArray]:
    """Drive paths one after the other; the speed carries over from one to the next.

    Returns:
        The trajectory and the distance along the segment's path at each of its samples (N,).
    """
    from scipy.ndimage import gaussian_filter1d

    along: list[FloatArray] = []
    entry: float | None = None
    for path in paths:
        speed, stood = speed_profile(path, rng, entry)
        entry = float(speed[-1])
        middle = np.maximum(0.5 * (speed[1:] + speed[:-1]), 0.25)
        arrive = np.concatenate([[0.0], np.cumsum(STEP_M / middle + stood[:-1])])
        leave = arrive + stood
        # a second more at both ends, so that smoothing does not brake the vehicle there
        knots = np.concatenate([[-1.0], np.stack([arrive, leave], 1).ravel(), [leave[-1] + 1.0]])
        where = np.repeat(STEP_M * np.arange(len(speed)), 2)
        where = np.concatenate([[-speed[0]], where, [where[-1] + speed[-1]]])
        clock = np.arange(-RATE_HZ, (leave[-1] + 1.0) * RATE_HZ) / RATE_HZ
        smooth = gaussian_filter1d(np.interp(clock, knots, where), 0.25 * RATE_HZ)
        driven = (clock >= 0.0) & (clock < leave[-1])
        smooth = np.maximum.accumulate(smooth[driven] - smooth[driven][0])
        along.append(smooth * min(1.0, path.length_m / max(float(smooth[-1]), 1e-9)))
    parts = [_ride(path, at, height_m, rng) for path, at in zip(paths, along, strict=True)]
    count = sum(len(at) for at in along)
    trajectory = Trajectory(
        time_s=np.arange(count) / RATE_HZ,
        position_m=np.concatenate([part[0] for part in parts]),
        rpy_rad=np.concatenate([part[1] for part in parts]),
        speed_mps=np.concatenate([part[2] for part in parts]),
        segment=np.concatenate([np.full(len(at), i) for i, at in enumerate(along)]),
    )
    return trajectory, np.concatenate(along)


def on_path(path: Path, along_m: FloatArray) -> FloatArray:
    """(N, 3) x_m, y_m, yaw_rad at distances along a path."""
    at = STEP_M * np.arange(len(path.xy_m))
    columns = (path.xy_m[:, 0], path.xy_m[:, 1], path.yaw_rad)
    return np.column_stack([np.interp(along_m, at, column) for column in columns])


def _ride(
    path: Path, along_m: FloatArray, height_m: HeightOf, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Position, attitude and speed of the body: terrain, springs and the roughness of the road."""
    pose = on_path(path, along_m)
    speed = np.gradient(along_m) * RATE_HZ if len(along_m) > 1 else np.zeros(len(along_m))
    turn = np.gradient(pose[:, 2]) * RATE_HZ if len(along_m) > 1 else np.zeros(len(along_m))
    sway = _springs(np.column_stack([np.gradient(speed) * RATE_HZ, speed * turn]))
    rough = np.minimum(speed / 8.0, 1.0)[:, None] * _roughness(rng, len(along_m))
    forward = np.column_stack([np.cos(pose[:, 2]), np.sin(pose[:, 2])])
    left = np.column_stack([-forward[:, 1], forward[:, 0]])
    xy = pose[:, :2]
    front, back = (height_m(xy + s * 0.5 * WHEELBASE_M * forward) for s in (1.0, -1.0))
    port, starboard = (height_m(xy + s * 0.5 * TRACK_M * left) for s in (1.0, -1.0))
    slope = np.arctan2(back - front, WHEELBASE_M)
    bank = np.arctan2(port - starboard, TRACK_M)
    pitch = slope - 0.008 * sway[:, 0] + rough[:, 0]
    roll = bank + 0.008 * sway[:, 1] + rough[:, 1]
    up = 0.25 * (front + back + port + starboard) + rough[:, 2]
    return np.column_stack([xy, up]), np.column_stack([roll, pitch, pose[:, 2]]), speed


def _springs(accelerations: FloatArray) -> FloatArray:
    """Body's answer to longitudinal and lateral acceleration: 1.4 Hz, damping 0.4 of critical."""
    from scipy.signal import bilinear, lfilter

    omega = 2.0 * np.pi * 1.4
    b, a = bilinear([omega**2], [1.0, 2.0 * 0.4 * omega, omega**2], RATE_HZ)
    return np.asarray(lfilter(b, a, np.clip(accelerations, -5.0, 5.0), axis=0))


def _roughness(rng: np.random.Generator, count: int) -> FloatArray:
    """(count, 3) pitch (0.25 deg), roll (0.3 deg) and heave (1.5 cm) from the road, 0.3-3 Hz."""
    fast = np.column_stack([smooth_noise(rng, count, 0.06 * RATE_HZ) for _ in range(3)])
    slow = np.column_stack([smooth_noise(rng, count, 0.5 * RATE_HZ) for _ in range(3)])
    size = np.array([np.radians(0.25), np.radians(0.3), 0.015])
    return np.asarray((0.4 * fast + 0.9 * slow) * size)
