# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Towns: determinism, a connected road graph on the terrain, free lanes, honest variety."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shapely.geometry import LineString, Polygon

from geoloc_ros.errors import ConfigError
from geoloc_ros.synthetic.scene import build_scene
from geoloc_ros.synthetic.styles import BUILDING_TYPES, STYLES
from geoloc_ros.synthetic.town import Town, make_town


@pytest.fixture(scope="module")
def town() -> Town:
    return make_town(31, "us_city", 400.0)


def test_same_seed_same_town_other_seed_other_town() -> None:
    one, two, other = (make_town(s, "de_town", 300.0) for s in (4, 4, 5))
    assert json.dumps(one.scene_truth()) == json.dumps(two.scene_truth())
    assert json.dumps(one.scene_truth()) != json.dumps(other.scene_truth())


def test_styles_cover_the_world() -> None:
    assert len(STYLES) >= 8
    assert {s.driving_side for s in STYLES.values()} == {"left", "right"}
    assert {s.centre_paint for s in STYLES.values()} == {"white", "yellow"}
    assert len({s.plan for s in STYLES.values()}) >= 4
    for style in STYLES.values():
        assert set(style.mix) | set(style.centre_mix) <= set(BUILDING_TYPES)


def test_no_style_given_draws_one_from_the_seed() -> None:
    names = {make_town(seed, None, 250.0).style.name for seed in range(6)}
    assert len(names) > 1
    town = make_town(1, None, 250.0)
    anchor = town.style.anchor
    assert abs(town.origin.lat_deg - anchor.lat_deg) < 0.1
    assert abs(town.origin.lon_deg - anchor.lon_deg) < 0.1


@pytest.mark.parametrize("style", list(STYLES))
def test_road_graph(style: str) -> None:
    town = make_town(9, style, 500.0)
    assert sum(r.length_m for r in town.roads) > 1500
    assert len({r.id for r in town.roads}) == len(town.roads)
    where = town.node_positions()
    reached, todo = set(), [town.roads[0].start_node]
    neighbours: dict[int, set[int]] = {}
    for road in town.roads:
        line = road.centreline_m
        # roads that share a node meet there, points are about 2 m apart and lie on the terrain
        np.testing.assert_allclose(line[0, :2], where[road.start_node], atol=1e-6)
        np.testing.assert_allclose(line[-1, :2], where[road.end_node], atol=1e-6)
        step = np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1)
        assert step.max() < 3.0
        np.testing.assert_allclose(line[:, 2], town.height_m(line[:, :2]), atol=1e-9)
        assert np.abs(line[:, :2]).max() <= 0.5 * town.size_m
        neighbours.setdefault(road.start_node, set()).add(road.end_node)
        neighbours.setdefault(road.end_node, set()).add(road.start_node)
    while todo:
        node = todo.pop()
        if node not in reached:
            reached.add(node)
            todo += list(neighbours[node])
    assert reached == set(where), "the road graph falls into pieces"


def test_roundabouts_turn_with_the_traffic() -> None:
    for style, sign in (("uk_terrace", -1.0), ("es_coast", 1.0)):
        arcs = [r for r in make_town(2, style, 800.0).roads if r.kind == "roundabout"]
        assert arcs
        for arc in arcs:
            d = np.diff(arc.centreline_m[:, :2], axis=0)
            turn = d[:-1, 0] * d[1:, 1] - d[:-1, 1] * d[1:, 0]
            assert np.all(np.sign(turn[np.abs(turn) > 1e-6]) == sign)
            assert arc.oneway


def test_no_house_stands_on_a_road(town: Town) -> None:
    roads = [LineString(r.centreline_m[:, :2]).buffer(0.5 * r.width_m) for r in town.roads]
    for building in town.buildings:
        shape = Polygon(building.parts[0].corners())
        assert not any(road.intersection(shape).area > 1.0 for road in roads), building.id


@pytest.mark.parametrize("style", ["us_city", "jp_dense", "uk_terrace"])
def test_driving_lanes_are_free_and_flat(style: str) -> None:
    town = make_town(12, style, 350.0)
    scene = build_scene(town, "drive")
    points = []
    for road in town.roads:
        line = road.centreline_m[:, :2]
        d = np.gradient(line, axis=0)
        left = np.stack([-d[:, 1], d[:, 0]], 1) / np.linalg.norm(d, axis=1, keepdims=True)
        lane = 0.0 if road.lanes == 1 else 0.25 * road.width_m
        points += [line + left * (side * lane + edge) for side in (-1, 1) for edge in (-0.8, 0.8)]
    xy = np.vstack(points)
    top = np.column_stack([xy, town.height_m(xy) + 1.9]).astype(np.float32)
    hits = scene.mesh.cast(top, np.broadcast_to(np.float32([0, 0, -1]), top.shape))
    ground = scene.mesh.owner[hits.face] == 0
    assert ground.mean() > 0.999
    np.testing.assert_allclose(hits.distance_m[ground], 1.9, atol=0.03)


def test_between_the_epochs_some_buildings_change(town: Town) -> None:
    changes = [b.change for b in town.buildings]
    share = np.mean([c != "none" for c in changes])
    assert 0.03 <= share <= 0.08
    for b in town.buildings:
        assert b.stands("drive") == (b.change != "gone")
        assert b.stands("satellite") == (b.change != "built")
        assert (b.roof == b.roof_before) or b.change == "reroofed"


def test_facade_says_nothing_about_the_roof() -> None:
    towns = [make_town(s, "us_suburb", 500.0) for s in (1, 2)]
    pairs = [
        (np.mean(b.facade), np.mean(b.roof))
        for t in towns
        for b in t.buildings
        if b.parts[0].roof != "flat"
    ]
    r = np.corrcoef(np.array(pairs).T)[0, 1]
    assert abs(r) < 3.5 / np.sqrt(len(pairs))


def test_truth_is_json_and_complete(town: Town) -> None:
    truth = json.loads(json.dumps(town.scene_truth()))
    assert truth["driving_side"] == "right"
    assert len(truth["buildings"]) == len(town.buildings)
    assert {"footprint_m", "height_m", "roof_type", "kind", "change"} <= set(truth["buildings"][0])
    assert {"kind", "lanes", "centre", "width_m", "centreline_m"} <= set(truth["roads"][0])
    area = Polygon(truth["buildings"][0]["footprint_m"]).area
    main = town.buildings[0].parts[0]
    assert area >= 0.99 * main.width_m * main.depth_m


@pytest.mark.parametrize(
    ("seed", "style", "size_m", "match"),
    [
        (-1, None, 400.0, "seed"),
        (1, "atlantis", 400.0, "unknown style"),
        (1, None, 10.0, "size_m"),
        (1, None, float("nan"), "size_m"),
        (1, None, 1e6, "size_m"),
    ],
)
def test_what_cannot_be_made_is_refused(
    seed: int, style: str | None, size_m: float, match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        make_town(seed, style, size_m)
