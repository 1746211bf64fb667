# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""True answers: checked on a hand-made street where they are known, and on made towns."""

import json
from collections import Counter

import numpy as np
import pytest

from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.se2 import compose
from geoloc_ros.synthetic.ground import CODE, make_ground
from geoloc_ros.synthetic.scene_truth import SceneTruth
from geoloc_ros.synthetic.town import make_town
from geoloc_ros.vlm.questions import load_questions

QUESTIONS = load_questions()
EAST = np.array([0.0, -1.5, 0.0])


def _road(number: int, points, nodes, **more) -> dict:
    start, end = (np.array([*p, 0.0]) for p in points)
    count = round(float(np.linalg.norm(end - start)) / 2.0) + 1
    line = start + np.linspace(0, 1, count)[:, None] * (end - start)
    return {
        "id": number, "kind": "residential", "lanes": 2, "oneway": False, "width_m": 6.0,
        "start_node": nodes[0], "end_node": nodes[1], "sidewalk_m": 1.5, "parking_m": [2.1, 0.0],
        "centre": "dashed", "edge_line": False, "bike": False, "surface": "asphalt",
        "centreline_m": line.tolist(), **more,
    }  # fmt: skip


def _building(number: int, corner, size, **more) -> dict:
    (x, y), (w, d) = corner, size
    return {
        "id": number, "kind": "detached", "storeys": 2,
        "footprint_m": [[x, y], [x + w, y], [x + w, y + d], [x, y + d]], "eaves_m": 5.8,
        "height_m": 9.0, "roof_type": "gable", "roof_rgb": [180, 80, 60],
        "roof_before_rgb": [90, 90, 96], "change": "none", **more,
    }  # fmt: skip


def _tree(x: float, y: float, **more) -> dict:
    return {
        "xy_m": [x, y],
        "kind": "round",
        "change": "none",
        "height_m": 6.0,
        "radius_m": 2.0,
        **more,
    }


def _scene(**more) -> dict:
    """A street to the east; 30 m ahead a side road leaves to the left, a house stands right."""
    return {
        "size_m": 400.0, "style": "uk_terrace", "driving_side": "left", "centre_paint": "white",
        "roads": [
            _road(0, [(-100, 0), (30, 0)], (0, 1)),
            _road(1, [(30, 0), (150, 0)], (1, 2), centre="none"),
            _road(2, [(30, 0), (30, 100)], (1, 3)),
        ],
        "buildings": [_building(0, (12, -20), (10, 10))],
        "trees": [_tree(20.0, 9.0)],
        "areas": [],
        "crossings_m": [[[20.0, -3.0], [20.0, 3.0]]],
        **more,
    }  # fmt: skip


def _ground(scene: dict, pose=EAST) -> dict[str, str]:
    return SceneTruth(scene).answers(np.asarray(pose, dtype=float), "ground")


def test_a_known_street_is_described_as_it_is() -> None:
    found = _ground(_scene())
    expected = {
        "road_bend": "straight", "junction_kind": "side_left", "junction_distance": "to_36",
        "side_road_left": "to_36", "side_road_right": "none", "road_width": "medium",
        "centre_line": "white_dashed", "sidewalk": "narrow", "parking_strip": "left",
        "crossing": "to_24", "driving_side": "left", "slope": "level", "right_near": "house_close",
        "left_near": "grass", "house_right_distance": "to_17", "house_right_floors": "two",
        "house_right_roof": "red", "house_left_distance": "none", "house_kind": "detached",
        "house_spacing": "sparse", "trees_left": "one", "trees_right": "none",
        "open_ground": "none", "lawns": "both", "region": "uk_terrace",
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected


def test_who_drives_the_other_way_finds_left_and_right_exchanged() -> None:
    west = _ground(_scene(), (60.0, 1.5, np.pi))
    assert west["side_road_right"] == west["junction_distance"] == "to_36"
    assert west["junction_kind"] == "side_right"
    assert west["parking_strip"] == "right"
    assert west["trees_right"] == "one"
    assert west["centre_line"] == "none"
    assert west["house_left_distance"] == "over_25"


def test_of_the_house_that_changed_each_view_knows_its_own_time() -> None:
    rebuilt = SceneTruth(_scene(buildings=[_building(0, (12, -20), (10, 10), change="built")]))
    assert rebuilt.answers(EAST, "ground")["house_right_floors"] == "two"
    assert rebuilt.answers(EAST, "satellite")["house_right_floors"] == "none"
    same = SceneTruth(_scene())
    assert same.answers(EAST, "satellite")["house_right_roof"] == "grey"
    assert same.answers(EAST, "satellite")["slope"] == "cannot_tell"
    felled = SceneTruth(_scene(trees=[_tree(20.0, 9.0, change="gone")]))
    assert felled.answers(EAST, "ground")["trees_left"] == "none"
    assert felled.answers(EAST, "satellite")["trees_left"] == "one"


def test_what_a_house_hides_does_not_count() -> None:
    behind = _tree(26.0, -26.0)
    low = _building(0, (12, -20), (10, 10), height_m=1.2, eaves_m=1.0)
    assert _ground(_scene(trees=[behind]))["trees_right"] == "none"
    assert _ground(_scene(trees=[behind], buildings=[low]))["trees_right"] == "one"
    assert _ground(_scene(trees=[_tree(-9.0, 0.0), _tree(5.0, 20.0)]))["trees_left"] == "none"


def test_the_roof_of_a_tower_close_by_cannot_be_told_from_the_road() -> None:
    tower = _building(0, (12, -20), (10, 10), storeys=9, eaves_m=27.0, height_m=28.0)
    truth = SceneTruth(_scene(buildings=[tower]))
    assert truth.answers(EAST, "ground")["house_right_roof"] == "cannot_tell"
    assert truth.answers(EAST, "satellite")["house_right_roof"] == "grey"
    assert truth.answers(EAST, "ground")["house_right_floors"] == "five_up"


@pytest.mark.parametrize(
    ("roads", "kind", "bend"),
    [
        ([_road(2, [(30, 0), (30, 90)], (1, 3)), _road(3, [(30, 0), (30, -90)], (1, 4)),
          _road(1, [(30, 0), (90, 0)], (1, 2))], "crossroads", "straight"),
        ([_road(2, [(30, 0), (30, 90)], (1, 3)), _road(3, [(30, 0), (30, -90)], (1, 4))],
         "tee", "straight"),
        ([], "dead_end", "straight"),
        ([_road(2, [(30, 0), (80, 15)], (1, 3))], "none", "strong_left"),
        ([_road(2, [(30, 0), (80, -5)], (1, 3))], "none", "slight_right"),
        ([_road(2, [(30, 0), (40, 10)], (1, 3), kind="roundabout", oneway=True),
          _road(3, [(40, 10), (30, 0)], (3, 1), kind="roundabout", oneway=True)],
         "roundabout", "straight"),
    ],
)  # fmt: skip
def test_junctions_have_their_names(roads, kind, bend) -> None:
    found = _ground(_scene(roads=[_road(0, [(-100, 0), (30, 0)], (0, 1)), *roads]))
    assert (found["junction_kind"], found["road_bend"]) == (kind, bend)


def test_a_road_that_stops_soon_ends() -> None:
    assert _ground(_scene(roads=_scene()["roads"][:1]), (14.0, -1.5, 0.0))["road_bend"] == "ends"


def test_open_ground_lawns_and_slope() -> None:
    pond = {"kind": "water", "polygon_m": [[8, 6], [60, 6], [60, 25], [8, 25]]}
    yard = {"kind": "yard", "polygon_m": [[0, 4], [60, 4], [60, 30], [0, 30]]}
    found = _ground(_scene(areas=[pond]))
    assert (found["open_ground"], found["left_near"], found["lawns"]) == (
        "water", "water", "right",
    )  # fmt: skip
    paved = _ground(_scene(areas=[yard]))
    assert (paved["left_near"], paved["lawns"]) == ("paved", "right")
    road = _road(0, [(-100, 0), (90, 0)], (0, 1))
    road["centreline_m"] = [[x, y, 0.05 * x] for x, y, _ in road["centreline_m"]]
    assert _ground(_scene(roads=[road]))["slope"] == "up"
    assert _ground(_scene(roads=[road]), (0.0, 1.5, np.pi))["slope"] == "down"


def test_off_the_road_nothing_is_known_of_it() -> None:
    found = _ground(_scene(), (0.0, -60.0, 0.0))
    assert found["road_width"] == found["junction_kind"] == found["slope"] == "cannot_tell"
    assert found["driving_side"] == "left"


def test_an_old_scene_and_an_unknown_view_are_refused() -> None:
    scene = _scene()
    del scene["crossings_m"]
    with pytest.raises(ConfigError, match="no crossings_m; make the world again"):
        SceneTruth(scene)
    with pytest.raises(ConfigError, match="view is 'radar'; known: ground, satellite"):
        SceneTruth(_scene()).answers(EAST, "radar")


@pytest.fixture(scope="module")
def town():
    return make_town(2002, "us_city", 400.0)


def _poses(town, count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    poses = []
    for k in rng.integers(len(town.roads), size=count):
        line = town.roads[k].centreline_m[:, :2]
        i = int(rng.integers(len(line) - 1))
        yaw = np.arctan2(*(line[i + 1] - line[i])[::-1])
        poses.append(compose(np.array([*line[i], yaw]), np.array([0.0, -1.6, 0.0])))
    return np.array(poses)


def test_town_and_scene_json_say_the_same_and_every_option_is_known(town) -> None:
    live = SceneTruth(town)
    read = SceneTruth(json.loads(json.dumps(town.scene_truth())))
    for pose in _poses(town, 25):
        for view in ("ground", "satellite"):
            found = live.answers(pose, view)
            assert found == read.answers(pose, view)
            assert set(found) == {question.id for question in QUESTIONS.questions}
            for question in QUESTIONS.questions:
                question.index(found[question.id])
                assert view in question.views or found[question.id] == "cannot_tell"


def test_crossings_lie_where_the_paint_is(town) -> None:
    crossings = np.array(town.scene_truth()["crossings_m"])
    assert len(crossings) > 10
    ground = make_ground(town)
    share = []
    for start, end in crossings:
        points = start + np.linspace(0.05, 0.95, 60)[:, None] * (end - start)
        codes = ground.code_at(*points.T.astype(np.float32))
        share.append((codes == CODE["white"]).mean())
    assert np.median(share) > 0.3  # stripes of 0.45 m every metre, or bars beside a clear middle


def test_answers_tell_places_of_a_town_apart(town) -> None:
    """A pose is found among ten others by its answers, though the other view differs by epoch."""
    truth = SceneTruth(town)
    poses = _poses(town, 80)
    seen, above = ([truth.answers(p, view) for p in poses] for view in ("ground", "satellite"))
    rng = np.random.default_rng(1)
    first = 0
    for i, pose in enumerate(poses):
        far = np.flatnonzero(np.hypot(*(poses[:, :2] - pose[:2]).T) > 15.0)
        others = rng.choice(far, 9, replace=False)
        alike = [sum(seen[i][q] == above[k][q] for q in seen[i]) for k in (i, *others)]
        first += alike[0] > max(alike[1:])
    assert first >= 0.9 * len(poses)


def test_no_answer_is_nearly_always_right(town) -> None:
    truth = SceneTruth(town)
    found = [truth.answers(pose, "ground") for pose in _poses(town, 80)]
    share = {q: Counter(a[q] for a in found).most_common(1)[0][1] / len(found) for q in found[0]}
    assert sum(value < 0.75 for value in share.values()) >= 20, share
