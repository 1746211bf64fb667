# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Routes, speeds and body motion on a plain grid of streets."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.synthetic.drive import Area, plan_drive
from geoloc_ros.synthetic.route import STEP_M, Leg, RoadGraph, lay_path, wander
from geoloc_ros.synthetic.traffic import make_traffic
from geoloc_ros.synthetic.trajectory import RATE_HZ

SIDE, BLOCK = 6, 90.0
AREA = Area(-10.0, -10.0, 460.0, 460.0)


@dataclass
class Street:
    centreline_m: np.ndarray
    start_node: int
    end_node: int
    kind: str = "residential"
    width_m: float = 7.0
    lanes: int = 2
    oneway: bool = False


def street(a, b, names, **kwargs):
    line = np.linspace([*a, 0.0], [*b, 0.0], max(2, round(np.hypot(b[0] - a[0], b[1] - a[1]) / 2)))
    return Street(line, *names, **kwargs)


def town(blind=True):
    roads = []
    for i in range(SIDE):
        for j in range(SIDE):
            here = (i * BLOCK, j * BLOCK)
            if i + 1 < SIDE:
                there = ((i + 1) * BLOCK, j * BLOCK)
                roads.append(street(here, there, (i * SIDE + j, (i + 1) * SIDE + j)))
            if j + 1 < SIDE:
                there = (i * BLOCK, (j + 1) * BLOCK)
                roads.append(street(here, there, (i * SIDE + j, i * SIDE + j + 1)))
    if blind:
        roads.append(street((0.0, 0.0), (-60.0, 0.0), (0, 99)))
    return roads


def hills(xy):
    return 3.0 * np.sin(xy[:, 0] / 40.0) + 0.02 * xy[:, 1]


def plan(seed=0, scenario="plain", length=1500.0, side="right", area=AREA):
    graph = RoadGraph(town())
    return plan_drive(graph, hills, np.random.default_rng(seed), length, side, scenario, area)


def off_centre(xy):
    """Signed distance to the nearest street axis of the grid, and which axis it is."""
    near = xy - BLOCK * np.round(xy / BLOCK)
    axis = np.argmin(np.abs(near), axis=1)
    return near[np.arange(len(xy)), axis], axis


def test_no_u_turns_and_no_blind_alleys():
    graph = RoadGraph(town())
    blind = len(graph.roads) - 1
    for seed in range(5):
        start = graph.legs[seed]
        legs = wander(graph, np.random.default_rng(seed), 3000.0, start, lambda leg: True, {})
        chain = [start, *legs]
        for before, after in pairwise(chain):
            assert graph.end(before) == graph.start(after)
            assert before.road != after.road
        assert all(leg.road != blind for leg in legs)
        assert len({leg.road for leg in legs}) > 0.6 * len(legs)


def test_oneway_streets_are_obeyed():
    roads = town(blind=False)
    for road in roads[::3]:
        road.oneway = True
    graph = RoadGraph(roads)
    assert all(leg.forward for leg in graph.legs if roads[leg.road].oneway)
    legs = wander(graph, np.random.default_rng(1), 2000.0, graph.legs[1], lambda leg: True, {})
    assert all(leg.forward for leg in legs if roads[leg.road].oneway)


def test_shortest_path():
    graph = RoadGraph(town(blind=False))
    start = next(leg for leg in graph.legs if graph.start(leg) == 0 and graph.end(leg) == SIDE)
    goal = SIDE * SIDE - 1
    path = graph.path_to(start, lambda leg: graph.end(leg) == goal)
    assert len(path) == 2 * (SIDE - 1) - 1
    assert graph.end(path[-1]) == goal
    assert graph.path_to(start, lambda leg: False) == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_lane_is_on_the_driving_side(side):
    drive = plan(3, side=side)
    truth = drive.trajectory
    across, axis = off_centre(truth.position_m[:, :2])
    yaw = truth.rpy_rad[:, 2]
    # left of the direction of travel, for a street along x (axis 1 is off) or along y
    left = np.where(axis == 1, np.cos(yaw), -np.sin(yaw)) * across
    straight = np.minimum(np.abs(np.sin(yaw)), np.abs(np.cos(yaw))) < 0.05
    expected = 1.75 if side == "left" else -1.75
    assert np.median(left[straight]) == pytest.approx(expected, abs=0.15)
    assert np.mean(np.abs(left[straight] - expected) < 1.0) > 0.97


def test_motion_is_what_a_car_can_do():
    truth = plan(1).trajectory
    step = np.linalg.norm(np.diff(truth.position_m[:, :2], axis=0), axis=1) * RATE_HZ
    assert step.max() < 14.5
    assert 4.0 < step.mean() < 12.0
    np.testing.assert_allclose(step, truth.speed_mps[1:], atol=0.35)
    acceleration = np.diff(truth.speed_mps) * RATE_HZ
    assert acceleration.min() > -3.5
    assert acceleration.max() < 2.5
    turn = np.diff(truth.rpy_rad[:, 2]) * RATE_HZ
    assert np.percentile(np.abs(turn * truth.speed_mps[1:]), 99.5) < 3.5
    course = np.arctan2(*np.diff(truth.position_m[:, :2], axis=0).T[::-1])
    moving = step > 1.0
    assert np.abs(wrap_angle(course - truth.rpy_rad[1:, 2]))[moving].max() < np.radians(6)
    assert truth.distance_m()[-1] == pytest.approx(1500.0, rel=0.01)


def test_the_body_follows_the_terrain():
    truth = plan(2).trajectory
    xy = truth.position_m[:, :2]
    assert np.abs(truth.position_m[:, 2] - hills(xy)).max() < 0.25
    ahead = xy + np.column_stack([np.cos(truth.rpy_rad[:, 2]), np.sin(truth.rpy_rad[:, 2])])
    uphill = hills(ahead) - hills(xy)
    # nose up is a negative pitch
    assert np.corrcoef(uphill, truth.rpy_rad[:, 1])[0, 1] < -0.85
    assert np.degrees(np.abs(truth.rpy_rad[:, :2])).max() < 12.0


def test_braking_dips_the_nose_and_bends_lean_outwards():
    flat = plan_drive(
        RoadGraph(town()), lambda xy: np.zeros(len(xy)), np.random.default_rng(5), 3000.0
    )
    truth = flat.trajectory
    gain = np.gradient(truth.speed_mps) * RATE_HZ
    inward = truth.speed_mps * np.gradient(truth.rpy_rad[:, 2]) * RATE_HZ
    assert truth.rpy_rad[gain < -1.5, 1].mean() > np.radians(0.4)
    assert truth.rpy_rad[inward > 1.5, 0].mean() > np.radians(0.4)
    assert truth.rpy_rad[inward < -1.5, 0].mean() < -np.radians(0.4)


def test_same_seed_same_drive():
    one, two, other = plan(7), plan(7), plan(8)
    np.testing.assert_array_equal(one.trajectory.position_m, two.trajectory.position_m)
    assert not np.array_equal(one.trajectory.position_m[:50], other.trajectory.position_m[:50])


def test_kidnapping():
    for seed in range(4):
        truth = plan(seed, "kidnap").trajectory
        jumps = truth.kidnap_times_s()
        assert len(jumps) == 1
        i = int(np.searchsorted(truth.time_s, jumps[0]))
        assert np.linalg.norm(truth.position_m[i, :2] - truth.position_m[i - 1, :2]) > 150.0
        share = truth.distance_m()[i] / truth.distance_m()[-1]
        assert share == pytest.approx(0.5, abs=0.02)
        # asked between two samples, the pose is one of them and never between the places
        position, _ = truth.at(float(truth.time_s[i]) - 0.004)
        assert np.linalg.norm(position - truth.position_m[i - 1]) < 0.2


def test_going_outside_and_coming_back():
    area = Area(-100.0, -100.0, 230.0, 500.0)
    for seed in range(3):
        drive = plan(seed, "outside", 2000.0, area=area)
        truth = drive.trajectory
        inside = area.contains(truth.position_m[:, :2])
        assert inside[0]
        assert inside[-1]
        assert drive.outside_s
        driven = np.interp(np.ravel(drive.outside_s), truth.time_s, truth.distance_m())
        spans = driven[1::2] - driven[0::2]
        assert 300.0 < spans.sum() < 1200.0
        for a, b in drive.outside_s:
            middle, _ = truth.at(0.5 * (a + b))
            assert not area.contains(middle[None, :2])[0]
        assert not plan(seed, "plain", 2000.0, area=area).outside_s


def test_covered_lens():
    drive = plan(0, "covered")
    ((start, end),) = drive.covered_s
    driven = np.interp([start, end], drive.trajectory.time_s, drive.trajectory.distance_m())
    assert driven[1] - driven[0] == pytest.approx(150.0, abs=2.0)
    assert drive.covered_at(0.5 * (start + end))
    assert not drive.covered_at(start - 0.1)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"scenario": "flood"}, "scenario 'flood' is unknown"),
        ({"length": 3.0}, "too short"),
        ({"area": Area(10, 10, 20, 20)}, "no road in the indexed area"),
        ({"scenario": "outside"}, "no road leads out"),
    ],
)
def test_impossible_drives(kwargs, says):
    with pytest.raises(ConfigError, match=says):
        plan(area=kwargs.pop("area", Area(-1e4, -1e4, 1e4, 1e4)), **kwargs)


def test_no_roads_at_all():
    with pytest.raises(ConfigError, match="no roads"):
        RoadGraph([])


def test_a_path_bends_smoothly_at_a_corner():
    graph = RoadGraph(town(blind=False))
    legs = [Leg(0, True)]
    legs.append(next(leg for leg in graph.next(legs[0]) if abs(graph.points(leg)[-1][1]) > 1.0))
    path = lay_path(graph, legs, np.random.default_rng(0), "right")
    spacing = np.linalg.norm(np.diff(path.xy_m, axis=0), axis=1)
    np.testing.assert_allclose(spacing, STEP_M, rtol=0.05)
    assert np.abs(np.diff(path.yaw_rad)).max() < 0.1
    assert abs(path.yaw_rad[-1] - path.yaw_rad[0]) == pytest.approx(np.pi / 2, abs=0.1)


def test_other_vehicles_keep_their_lane_and_distance():
    drive = plan(4)
    traffic = make_traffic(drive, np.random.default_rng(0), "right")
    ahead, oncoming = 0, 0
    for t in np.arange(0.0, drive.trajectory.duration_s, 0.5):
        position, rpy = drive.trajectory.at(t)
        for car in traffic.at(t):
            apart = car.pose[:2] - position[:2]
            assert np.linalg.norm(apart) > 1.2
            if abs(wrap_angle(car.pose[2] - rpy[2])) < 0.3:
                ahead += 1
            elif abs(wrap_angle(car.pose[2] - rpy[2])) > np.pi - 0.3:
                oncoming += 1
                left = -np.sin(rpy[2]) * apart[0] + np.cos(rpy[2]) * apart[1]
                assert left > 0.5 or np.linalg.norm(apart) > 15.0
    assert ahead > 20
    assert oncoming > 20
