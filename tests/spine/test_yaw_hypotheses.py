# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Panoramas against tiles with north up: the heading is found by turning the panorama."""

import dataclasses

import numpy as np
import pytest
from made_all_round import STRIP, AllRound, make_all_round
from made_ground import STEP_NS, circle, motion

from geoloc_ros.config import from_mapping
from geoloc_ros.datatypes import Status, View
from geoloc_ros.geo import se2
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.yaw_hypotheses import NORTH_RAD, YawHypotheses

CONFIG = from_mapping({"filter": {"particles": 800}})


@pytest.fixture(scope="module")
def north(tmp_path_factory) -> AllRound:
    policy = SamplingPolicy(kind="grid", pitch_m=6.0, north_up=True)
    return make_all_round(tmp_path_factory.mktemp("north"), policy)


def test_turns_go_once_round_in_whole_columns() -> None:
    yaws = YawHypotheses(15.0, 616)
    assert len(yaws) == 24
    columns = yaws.turns_rad / (2.0 * np.pi / 616)
    assert np.allclose(columns, np.rint(columns))
    assert np.abs(np.degrees(np.diff(yaws.turns_rad)) - 15.0).max() < 360.0 / 616
    assert len(YawHypotheses(25.0, 616)) == 15  # never further apart than asked for
    assert len(YawHypotheses(1.0, 96)) == 96  # a column is the least turn


def test_only_turns_beside_the_headings_are_described() -> None:
    yaws = YawHypotheses(15.0, 96)
    assert yaws.beside(None).tolist() == list(range(24))
    assert yaws.beside(np.zeros(0)).tolist() == [0]
    # who looks north needs no turn, who looks east (yaw 0) a quarter to the left
    assert yaws.beside(np.array([NORTH_RAD - 0.1])).tolist() == [0, 1]
    assert yaws.beside(np.array([NORTH_RAD + 0.1])).tolist() == [0, 23]
    assert yaws.beside(np.array([-0.05, 0.05])).tolist() == [5, 6, 7]
    assert yaws.beside(np.array([-1e-6, -np.pi + 1e-6])).tolist() == [6, 7, 17, 18]


def test_a_place_comes_with_the_heading_of_the_turn_that_found_it(north) -> None:
    rng = np.random.default_rng(4)
    yaws = YawHypotheses(15.0, STRIP.width_px)
    near, turned_off = [], []
    for _ in range(20):
        pose = np.array([*rng.uniform(-60.0, 60.0, 2), rng.uniform(-np.pi, np.pi)])
        rgb = north.strip(pose)
        views = yaws.views(View(rgb, np.full(rgb.shape[:2], True)), None)
        descriptors = north.encoder.encode_query(np.stack([view.image for view in views]))
        found = yaws.search(north.index, views, descriptors, 50)
        assert np.all(np.diff(found.similarity) <= 0.0)
        near.append(np.hypot(*(found.poses[0, :2] - pose[:2])))
        turned_off.append(abs(np.degrees(se2.wrap_angle(found.poses[0, 2] - pose[2]))))
    assert np.mean(np.array(near) < 6.0) > 0.9
    assert np.mean(np.array(turned_off) < 15.0) > 0.9


def test_between_turns_the_similarity_is_that_of_a_panorama_turned_so_far(north) -> None:
    rng = np.random.default_rng(5)
    here = np.array([12.0, -20.0, 0.0])
    headings = rng.uniform(-np.pi, np.pi, 60)
    yaws = YawHypotheses(15.0, STRIP.width_px)
    rgb = north.strip(np.array([*here[:2], 0.3]))
    view = View(rgb, np.full(rgb.shape[:2], True))
    views = yaws.views(view, None)
    descriptors = north.encoder.encode_query(np.stack([v.image for v in views]))
    at = yaws.similarity(north.index, views, descriptors)
    poses = np.column_stack([np.tile(here[:2], (60, 1)), headings])
    found, supported = at(poses)
    exact = YawHypotheses(360.0 / 96, 96)  # every column
    every = exact.views(view, None)
    all_descriptors = north.encoder.encode_query(np.stack([v.image for v in every]))
    wanted, _ = exact.similarity(north.index, every, all_descriptors)(poses)
    assert supported.all()
    assert np.abs(found - wanted).max() < 0.05
    assert np.abs(found - wanted).mean() < 0.01
    # a finer look finds the heading itself
    fine = np.column_stack([np.tile(here[:2], (720, 1)), np.radians(np.arange(720) * 0.5)])
    best = fine[np.argmax(at(fine)[0]), 2]
    assert abs(np.degrees(se2.wrap_angle(best - 0.3))) < 4.0


def test_where_no_turn_is_near_there_is_no_support(north) -> None:
    yaws = YawHypotheses(15.0, STRIP.width_px)
    rgb = north.strip(np.zeros(3))
    views = yaws.views(View(rgb, np.full(rgb.shape[:2], True)), np.array([0.1]))
    descriptors = north.encoder.encode_query(np.stack([v.image for v in views]))
    poses = np.column_stack([np.zeros((4, 2)), [0.1, 0.35, 1.0, -2.5]])
    similarity, supported = yaws.similarity(north.index, views, descriptors)(poses)
    assert supported.tolist() == [True, True, False, False]
    assert np.all(similarity[2:] == 0.0)


def test_a_vehicle_finds_itself_and_its_heading_with_north_up_tiles(north) -> None:
    poses = circle(160)
    rng = np.random.default_rng(1)
    localizer = north.localizer(CONFIG)
    assert localizer.belief.headings is None
    estimates, asked = [], []
    for i, pose in enumerate(poses):
        stamp = (i + 1) * STEP_NS
        step = motion(poses[max(i - 1, 0)], pose, stamp, rng)
        before = len(north.encoder.asked)
        estimates.append(localizer.localize(north.frame(stamp, pose, rng), step))
        asked.append(sum(north.encoder.asked[before:]))
    localised = np.array([e.status is Status.LOCALISED for e in estimates])
    assert localised[60:].mean() > 0.9
    delta = np.array([e.pose for e in estimates])[localised] - poses[localised]
    assert np.median(np.hypot(delta[:, 0], delta[:, 1])) < 1.5
    assert np.median(np.abs(np.degrees(se2.wrap_angle(delta[:, 2])))) < 2.0
    assert asked[0] == 24
    assert np.mean(np.array(asked)[60:]) < 10.0  # of 24


def test_a_vehicle_that_was_carried_away_and_turned_is_found_again(north) -> None:
    first, then = circle(100), circle(130)
    then = np.column_stack([-0.55 * then[:, 0], 0.55 * then[:, 1], np.pi - then[:, 2]])
    poses = np.vstack([first, then])
    rng = np.random.default_rng(2)
    localizer = north.localizer(CONFIG)
    estimates = []
    for i, pose in enumerate(poses):
        stamp = (i + 1) * STEP_NS
        before = pose if i in (0, len(first)) else poses[i - 1]  # odometry notices nothing
        step = motion(before, pose, stamp, rng)
        estimates.append(localizer.localize(north.frame(stamp, pose, rng), step))
    assert estimates[99].status is Status.LOCALISED
    assert estimates[-1].status is Status.LOCALISED
    away = estimates[-1].pose - poses[-1]
    assert np.hypot(*away[:2]) < 4.0
    assert abs(np.degrees(se2.wrap_angle(away[2]))) < 6.0


def test_more_turns_make_more_places_to_tell_apart(north) -> None:
    fine = dataclasses.replace(CONFIG, view=dataclasses.replace(CONFIG.view, yaw_step_deg=5.0))
    needed = [north.localizer(config).belief._log_places for config in (CONFIG, fine)]
    assert needed[1] - needed[0] == pytest.approx(np.log(3.0))
