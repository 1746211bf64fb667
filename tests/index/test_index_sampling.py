# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import json
import time

import numpy as np
import pytest

from geoloc_ros.errors import IndexBuildError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.roads import read_roads
from geoloc_ros.index.sampling import sample, sample_grid, sample_roads
from geoloc_ros.index.turns import turn_paths

STRAIGHT = Road(np.array([[0.0, 0.0], [600.0, 0.0]]))


def test_straight_road_has_the_stated_density_and_tolerances_in_both_directions():
    anchors = sample_roads([STRAIGHT], SamplingPolicy())
    assert len(anchors) == 2 * 400
    for direction in (0.0, np.pi):
        turn = np.degrees(wrap_angle(anchors[:, 2] - direction))
        one = anchors[np.abs(turn) < 90.0]
        turn = turn[np.abs(turn) < 90.0]
        assert len(one) == 400
        assert np.allclose(np.diff(np.sort(one[:, 0])), 1.5)
        # uniform in +-4 m and +-12 degrees: mean 0, sigma = half width / sqrt 3
        assert abs(one[:, 1].mean()) < 0.05
        assert abs(one[:, 1].std() - 4.0 / np.sqrt(3.0)) < 0.05
        assert np.abs(one[:, 1]).max() <= 4.0
        assert abs(turn.std() - 12.0 / np.sqrt(3.0)) < 0.1
        assert np.abs(turn).max() <= 12.0
        # lateral offset and heading are not tied to one another
        assert abs(np.corrcoef(one[:, 1], turn)[0, 1]) < 0.05


def test_scatter_leaves_smaller_gaps_than_random_draws():
    anchors = sample_roads([Road(STRAIGHT.xy_m, oneway=True)], SamplingPolicy())
    rng = np.random.default_rng(0)
    drawn = np.stack(
        [
            rng.uniform(0.0, 600.0, 400),
            rng.uniform(-4.0, 4.0, 400),
            rng.uniform(-1.0, 1.0, 400) * np.radians(12.0),
        ],
        axis=1,
    )
    probes = np.stack(
        [
            rng.uniform(10.0, 590.0, 3000),
            rng.uniform(-4.0, 4.0, 3000),
            rng.uniform(-1.0, 1.0, 3000) * np.radians(12.0),
        ],
        axis=1,
    )

    def largest_gap(points):
        scale = np.array([3.0, 3.0, np.radians(10.0)])
        delta = (probes[:, None] - points[None]) / scale
        return np.sqrt((delta**2).sum(axis=2)).min(axis=1).max()

    assert largest_gap(anchors) < 0.8 * largest_gap(drawn)


def test_oneway_is_sampled_with_the_traffic_unless_asked():
    road = Road(STRAIGHT.xy_m, oneway=True)
    with_traffic = sample_roads([road], SamplingPolicy())
    assert np.abs(with_traffic[:, 2]).max() < np.radians(13.0)
    both = sample_roads([road], SamplingPolicy(both_ways_on_oneway=True))
    assert len(both) == 2 * len(with_traffic)


def test_sampling_is_deterministic_and_the_seed_moves_it():
    first = sample_roads([STRAIGHT], SamplingPolicy(seed=3))
    assert np.array_equal(first, sample_roads([STRAIGHT], SamplingPolicy(seed=3)))
    assert not np.allclose(first, sample_roads([STRAIGHT], SamplingPolicy(seed=4)))


def test_turns_connect_roads_at_a_corner():
    east = Road(np.array([[-50.0, 0.0], [0.0, 0.0]]))
    north = Road(np.array([[0.0, 0.0], [0.0, 50.0]]))
    turning = sample_roads([east, north], SamplingPolicy())
    straight = sample_roads([east, north], SamplingPolicy(turns=False))
    arcs = turning[len(straight) :]
    assert np.array_equal(turning[: len(straight)], straight)
    # a left turn from east to north passes the heading of 45 degrees, its way back 225
    for heading in (45.0, -135.0):
        assert (np.abs(wrap_angle(arcs[:, 2] - np.radians(heading))) < np.radians(13)).any()
    assert np.hypot(arcs[:, 0], arcs[:, 1]).max() < 9.0 + 4.0 + 1e-9


def test_turns_respect_oneway():
    into = Road(np.array([[-50.0, 0.0], [0.0, 0.0]]), oneway=True)
    away = Road(np.array([[0.0, 0.0], [0.0, 50.0]]), oneway=True)
    policy = SamplingPolicy()
    without = len(sample_roads([into, away], SamplingPolicy(turns=False)))
    arcs = sample_roads([into, away], policy)[without:]
    assert len(arcs) > 0
    assert (wrap_angle(arcs[:, 2]) > np.radians(-15.0)).all()
    opposed = Road(away.xy_m[::-1], oneway=True)
    assert len(sample_roads([into, opposed], policy)) == without


def test_a_tight_curve_of_many_vertices_is_covered_once():
    angle = np.linspace(0.0, np.pi / 2, 10)
    bend = np.stack([5.0 * np.sin(angle), 5.0 - 5.0 * np.cos(angle)], axis=1)
    way = np.concatenate([[[-50.0, 0.0]], bend, [[5.0, 55.0]]])
    sharp = np.array([[-50.0, 0.0], [5.0, 0.0], [5.0, 55.0]])

    def extra(xy_m):
        road = Road(xy_m, oneway=True)
        straight = sample_roads([road], SamplingPolicy(turns=False, yaw_deg=5.0))
        return len(sample_roads([road], SamplingPolicy(yaw_deg=5.0))) - len(straight)

    assert 5 <= extra(sharp) <= 15
    assert extra(way) <= 15


def test_many_vertices_and_many_roads_are_sampled_at_once():
    rng = np.random.default_rng(0)
    yaw = np.cumsum(rng.normal(0.0, 0.6, 20_000))
    winding = Road(np.cumsum(2.0 * np.stack([np.cos(yaw), np.sin(yaw)], axis=1), axis=0))
    short = [Road(winding.xy_m[k : k + 5]) for k in range(0, 20_000 - 5, 4)]
    for roads in ([winding], short):
        started = time.process_time()
        anchors = sample_roads(roads, SamplingPolicy())
        assert time.process_time() - started < 3.0
        assert len(anchors) > 50_000
        assert np.isfinite(anchors).all()


def test_a_turn_is_the_same_wherever_its_roads_stand_in_the_layer():
    """One corner amid thousands of other roads gets the arcs it gets alone."""
    away = [
        Road(np.array([[1000.0 * k, 900.0], [1000.0 * k + 333.3, 900.0]])) for k in range(1, 40)
    ]
    bent = Road(np.array([[-40.0, 0.0], [0.0, 0.0], [0.0, 4.0], [0.1, 40.0]]))
    crossing = Road(np.array([[-40.0, 0.0], [-60.0, 20.0]]))
    policy = SamplingPolicy(lateral_m=0.0, yaw_deg=5.0)

    def around_the_corner(roads):
        arcs = turn_paths(roads, policy)
        return arcs[np.abs(arcs).max(axis=(1, 2)) < 100.0]

    alone = around_the_corner([bent, crossing])
    assert len(alone) == 4
    assert np.allclose(around_the_corner([*away, bent, crossing, *away]), alone)
    start, corner, end = alone[2][0], alone[2][4], alone[2][-1]
    assert start == pytest.approx([-9.0, 0.0])
    assert end == pytest.approx([5.0 * 0.1 / 36.0, 9.0], abs=1e-3)
    assert corner == pytest.approx([-9.0 / 4, 9.0 / 4], abs=0.01)


def test_roads_that_all_meet_at_one_place_are_refused():
    angle = np.linspace(0.0, 6.0, 20_000)
    rays = 100.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    roads = [Road(np.array([[0.0, 0.0], ray])) for ray in rays[:3000]]
    with pytest.raises(
        IndexBuildError, match=r"at x 0 m, y 0 m alone 3,000 roads end.*--no-turns"
    ):
        sample_roads(roads, SamplingPolicy())
    assert len(sample_roads(roads, SamplingPolicy(turns=False))) == 3000 * 2 * 67


def test_roads_far_from_the_imagery_do_not_count():
    far = Road(np.array([[20_000.0, -20_000.0], [20_000.0, 20_000.0]]))
    policy, bounds = SamplingPolicy(spacing_m=0.1), (-600.0, -50.0, 600.0, 50.0)
    alone = sample(policy, [STRAIGHT], bounds)
    assert np.array_equal(sample(policy, [far] * 100 + [STRAIGHT], bounds), alone)


@pytest.mark.parametrize("xy_m", [[[0, 0], [0, 0]], [[1, 1], [1, 1], [1, 1]]])
def test_a_road_without_length_gives_nothing(xy_m):
    assert len(sample_roads([Road(np.array(xy_m, dtype=float))], SamplingPolicy())) == 0


def test_repeated_vertices_do_no_harm():
    road = Road(np.array([[0, 0], [0, 0], [30, 0], [30, 0], [60, 0]], dtype=float))
    anchors = sample_roads([road], SamplingPolicy(turns=False))
    assert len(anchors) == 80
    assert np.isfinite(anchors).all()


def test_grid_has_every_heading_at_the_pitch():
    anchors = sample_grid((0.0, 0.0, 60.0, 30.0), 6.0, 8)
    headings, counts = np.unique(np.round(np.degrees(anchors[:, 2])), return_counts=True)
    assert len(headings) == 8
    assert (np.abs(counts - 50) <= 16).all()
    one = anchors[np.abs(anchors[:, 2]) < 1e-9]
    assert np.allclose(np.diff(np.unique(one[:, 0])), 6.0)
    assert (anchors[:, 0] < 60.0).all()
    assert (anchors[:, :2] >= 0.0).all()


def test_grid_leaves_out_what_is_not_valid():
    anchors = sample_grid((0.0, 0.0, 60.0, 30.0), 6.0, 4, lambda xy: xy[:, 0] > 30.0)
    assert (anchors[:, 0] > 30.0).all()
    assert len(anchors) > 0


def test_anchors_outside_the_imagery_are_left_out():
    anchors = sample(SamplingPolicy(), [STRAIGHT], (100.0, -50.0, 200.0, 50.0))
    assert anchors[:, 0].min() >= 100.0
    assert anchors[:, 0].max() <= 200.0


def test_roads_policy_without_roads_says_what_to_do():
    with pytest.raises(IndexBuildError, match=r"--roads FILE, or --grid"):
        sample(SamplingPolicy(), None, (0.0, 0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (
            SamplingPolicy(kind="grid", pitch_m=0.1, headings=360),
            r"grid would give about 36,000,000,000 entries, at most 20,000,000 .* --pitch",
        ),
        (SamplingPolicy(spacing_m=0.1), r"roads would give about 100,000,000 .* --spacing"),
    ],
)
def test_more_entries_than_fit_are_refused_before_they_are_made(policy, says):
    road = Road(np.array([[-500.0, 0.0], [500.0, 0.0]]))
    with pytest.raises(IndexBuildError, match=says):
        sample(policy, [road] * 5000, (-500.0, -500.0, 500.0, 500.0))


@pytest.mark.parametrize(
    "wrong",
    [{"spacing_m": 0.0}, {"spacing_m": float("nan")}, {"headings": 0}, {"kind": "maze"}],
)
def test_policy_refuses_nonsense(wrong):
    with pytest.raises(IndexBuildError, match=next(iter(wrong)).replace("kind", "sampling kind")):
        SamplingPolicy(**wrong)


def geojson(tmp_path, features):
    path = tmp_path / "roads.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def line(coordinates, kind="LineString", **properties):
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": kind, "coordinates": coordinates},
    }


FRAME = LocalFrame(LatLon(46.5, 6.6))
LINE = '{"features": [{"geometry": {"type": "LineString", "coordinates": [%s]}}]}'


def test_roads_are_projected_and_oneway_is_understood(tmp_path):
    path = geojson(
        tmp_path,
        [
            line([[6.6, 46.5], [6.601, 46.5]]),
            line([[6.6, 46.5], [6.601, 46.5, 400.0]], oneway="yes"),
            line([[6.6, 46.5], [6.601, 46.5]], oneway="-1"),
            line([[[6.6, 46.5], [6.6, 46.501]], [[6.6, 46.5], [6.6, 46.499]]], "MultiLineString"),
            line([[6.6, 46.5], [6.601, 46.5]], highway="footway"),
            {"type": "Feature", "properties": {}, "geometry": None},
            line([6.6, 46.5], "Point"),
        ],
    )
    roads = read_roads(path, FRAME)
    assert [road.oneway for road in roads] == [False, True, True, False, False]
    assert roads[0].xy_m[1] == pytest.approx([76.8, 0.0], abs=0.2)
    assert roads[2].xy_m[0] == pytest.approx([76.8, 0.0], abs=0.2)
    assert roads[3].xy_m[1] == pytest.approx([0.0, 111.2], abs=0.2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot read"),
        ("[]", "no GeoJSON"),
        ('{"features": 3}', "no GeoJSON"),
        ('{"features": []}', "holds no road"),
        ('{"features": [{"geometry": {"type": "LineString"}}]}', "no GeoJSON"),
        (LINE % "[6, 4], [NaN, 4]", "no GeoJSON"),
        (LINE % f"[1{400 * '0'}, 4], [6, 4]", "no GeoJSON"),
        (LINE % "[6.6], [46.5]", "no GeoJSON"),
        ("[" * 100_000, "no GeoJSON"),
        (LINE % "[0, 0], [1, 0]", "does not fit"),
        (LINE % "[540000.0, 150000.0], [540010.0, 150000.0]", "no GeoJSON"),
    ],
)
def test_bad_road_layers_give_one_clear_error(tmp_path, content, says):
    path = tmp_path / "roads.geojson"
    path.write_text(content)
    with pytest.raises(IndexBuildError, match=says):
        read_roads(path, FRAME)


def test_a_road_layer_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "roads.geojson"
    path.write_text(LINE % "[6.6, 46.5], [6.601, 46.5]", encoding="utf-8-sig")
    assert len(read_roads(path, FRAME)) == 1


def test_a_road_layer_larger_than_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "roads.geojson"
    path.write_text(LINE % "[6.6, 46.5], [6.601, 46.5]")
    monkeypatch.setattr("geoloc_ros.index.roads.MAX_BYTES", 50)
    with pytest.raises(IndexBuildError, match=r"MB, at most 0 MB can be read; cut it"):
        read_roads(path, FRAME)


def test_missing_road_layer(tmp_path):
    with pytest.raises(IndexBuildError, match="cannot read"):
        read_roads(tmp_path / "none.geojson", FRAME)


def test_with_north_up_every_place_stands_once_whatever_the_roads_direction() -> None:
    roads = [Road(np.array([[0.0, 0.0], [300.0, 0.0]])), Road(np.array([[0.0, 9.0], [0.0, 99.0]]))]
    bounds = (-50.0, -50.0, 350.0, 150.0)
    anchors = sample(SamplingPolicy(north_up=True), roads, bounds)
    assert len(anchors) == 200 + 60
    assert np.all(anchors[:, 2] == np.pi / 2)
    both_ways = sample(SamplingPolicy(turns=False), roads, bounds)
    assert len(both_ways) == 2 * len(anchors)


def test_with_north_up_a_grid_has_one_entry_per_point() -> None:
    bounds = (0.0, 0.0, 60.0, 30.0)
    anchors = sample(SamplingPolicy(kind="grid", pitch_m=6.0, north_up=True), None, bounds)
    assert len(anchors) == 50
    assert np.all(anchors[:, 2] == np.pi / 2)
    assert len(np.unique(anchors[:, :2], axis=0)) == 50
