# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A whole small world on disk."""

import argparse
import hashlib
import json

import numpy as np
import pytest
import rasterio

from geoloc_ros import messages as msg
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.cli import synth
from geoloc_ros.errors import ConfigError, GeolocError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.synthetic.make import WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import AERIAL_CAMERA, CameraSpec

TINY = CameraSpec(width_px=64, height_px=36, rate_hz=4.0)


def read(path):
    found = {}
    with BagReader(path) as bag:
        for stamp, topic, message in bag.messages():
            found.setdefault(topic, []).append((stamp, message))
    return found


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("world") / "w"
    spec = WorldSpec(
        seed=5,
        size_m=420.0,
        length_m=120.0,
        drives=2,
        scenarios=("kidnap", "covered"),
        camera=TINY,
        gsd_m=1.0,
    )
    return out, spec, make_world(out, spec, workers=2, progress=False)


def test_topics_and_rates(world):
    out, _, truth = world
    found = read(out / "drive_00")
    assert set(found) == {
        "/camera/image/compressed", "/camera/camera_info", "/odom", "/tf_static",
        "/ground_truth/fix", "/ground_truth/pose",
    }  # fmt: skip
    frames = truth["drives"][0]["frames"]
    assert len(found["/camera/image/compressed"]) == frames
    stamps = np.array([s for s, _ in found["/camera/image/compressed"]])
    assert np.median(np.diff(stamps)) == pytest.approx(0.25e9, rel=0.02)
    odometry = np.array([s for s, _ in found["/odom"]])
    assert 20 <= 1e9 / np.median(np.diff(odometry)) <= 50
    assert json.loads((out / "scene.json").read_text())["drives"] == truth["drives"]


def test_truth_agrees_with_itself_and_the_jump_is_where_it_says(world):
    out, _, truth = world
    found = read(out / "drive_00")
    frame = LocalFrame(LatLon(**truth["origin"]))
    poses = np.array([msg.pose_matrix(m)[:3, 3] for _, m in found["/ground_truth/pose"]])
    fixes = [msg.fix(m)[0] for _, m in found["/ground_truth/fix"]]
    xy = frame.to_xy([f.lat_deg for f in fixes], [f.lon_deg for f in fixes])
    np.testing.assert_allclose(xy, poses[:, :2], atol=1e-3)
    stamps = np.array([s for s, _ in found["/ground_truth/pose"]])
    jump = int(np.argmax(np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1)))
    (kidnap,) = truth["drives"][0]["kidnap_stamps_ns"]
    assert stamps[jump] < kidnap <= stamps[jump + 1]
    odometry = np.array([msg.odometry(m, 0).pose for _, m in found["/odom"]])
    assert np.linalg.norm(np.diff(odometry[:, :2], axis=0), axis=1).max() < 1.0


def test_the_published_mount_is_not_the_true_one(world):
    out, _, truth = world
    static = msg.static_transforms(read(out / "drive_00")["/tf_static"][0][1])
    published = static["base_link", "camera_optical"]
    drive = truth["drives"][0]
    np.testing.assert_allclose(published, drive["T_base_camera_published"], atol=1e-9)
    assert np.abs(published - np.array(drive["T_base_camera_true"])).max() > 1e-3


def test_covered_frames_are_dark(world):
    out, _, truth = world
    (interval,) = truth["drives"][1]["covered_stamps_ns"]
    inside, outside = [], []
    for stamp, message in read(out / "drive_01")["/camera/image/compressed"]:
        picture = msg.image_rgb(message)
        assert picture.shape == (36, 64, 3)
        (inside if interval[0] <= stamp < interval[1] else outside).append(picture.std())
    assert max(inside) < min(outside)


def test_bytes_do_not_depend_on_workers(world, tmp_path):
    out, spec, _ = world
    make_world(tmp_path / "again", spec, workers=1, progress=False)
    assert digest(tmp_path / "again") == digest(out)


def test_leaving_the_imagery(tmp_path):
    spec = WorldSpec(
        seed=8,
        size_m=600.0,
        length_m=900.0,
        scenarios=("outside",),
        camera=CameraSpec(width_px=32, height_px=18, rate_hz=0.5),
        gsd_m=1.0,
    )
    truth = make_world(tmp_path / "w", spec, workers=2, progress=False)
    low_x, low_y, high_x, high_y = truth["indexed_area_m"]
    assert min(high_x - low_x, high_y - low_y) == pytest.approx(0.7 * 600.0)
    frame = LocalFrame(LatLon(**truth["origin"]))
    roads = json.loads((tmp_path / "w" / "roads.geojson").read_text())["features"]
    assert 0 < len(roads) < len(truth["roads"])
    lonlat = np.concatenate([f["geometry"]["coordinates"] for f in roads])
    xy = frame.to_xy(lonlat[:, 1], lonlat[:, 0])
    assert xy[:, 0].max() <= high_x
    assert xy[:, 1].min() >= low_y
    with rasterio.open(tmp_path / "w" / "imagery.tif") as image:
        assert image.crs is not None
        west, south, east, north = image.bounds
        assert (east - west) * (north - south) < 0.8 * 600.0**2
    found = read(tmp_path / "w" / "drive_00")
    (drive,) = truth["drives"]
    flags = []
    for stamp, message in found["/ground_truth/pose"]:
        x, y = msg.pose_matrix(message)[:2, 3]
        said = any(a <= stamp < b for a, b in drive["outside_stamps_ns"])
        flags.append(said)
        assert said != (low_x < x < high_x and low_y < y < high_y)
    assert any(flags)
    assert not all(flags)


def test_flight(tmp_path):
    spec = WorldSpec(
        seed=6,
        size_m=400.0,
        length_m=150.0,
        vehicle="aerial",
        odometry=False,
        camera=CameraSpec(width_px=64, height_px=36, rate_hz=1.0, pitch_deg=60.0, hfov_deg=70.0),
        gsd_m=1.0,
    )
    make_world(tmp_path / "w", spec, workers=1, progress=False)
    found = read(tmp_path / "w" / "drive_00")
    assert "/odom" not in found
    height = np.array([msg.height_m(m) for _, m in found["/height_above_ground"]])
    assert 35.0 < height.min() <= height.max() < 155.0
    pictures = [msg.image_rgb(m) for _, m in found["/camera/image/compressed"]]
    assert min(p.std() for p in pictures) > 3.0


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"vehicle": "boat"}, "vehicle 'boat'"),
        ({"scenarios": ("rain",)}, "scenarios"),
        ({"scenarios": ()}, "scenarios"),
        ({"vehicle": "aerial", "scenarios": ("kidnap",)}, "knows no scenario"),
        ({"length_m": 5.0}, "length is 5"),
        ({"drives": -1}, "drives is -1"),
        ({"gsd_m": 0.0}, "gsd is 0"),
    ],
)
def test_impossible_worlds(kwargs, says):
    with pytest.raises(ConfigError, match=says):
        WorldSpec(seed=0, **kwargs)


def test_a_taken_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="is not empty"):
        make_world(tmp_path, WorldSpec(seed=1), progress=False)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_help_names_the_reserved_seeds(capsys):
    parser = argparse.ArgumentParser()
    synth.add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["synth", "make", "--help"])
    text = capsys.readouterr().out
    assert "900000" in text
    assert "kidnap" in text


def test_command_line(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    synth.add_parser(parser.add_subparsers())
    line = (
        f"synth make --seed 4 --out {tmp_path}/w --size 300 --length 40 --gsd 2 --width 32 "
        "--height-px 18 --rate 1 --quiet --no-gap --workers 1"
    )
    arguments = parser.parse_args(line.split())
    assert arguments.run(arguments) == 0
    assert "drive_00" in capsys.readouterr().out
    with pytest.raises(GeolocError, match="is not empty"):
        arguments.run(arguments)


def test_the_usual_aerial_camera_is_a_real_drone():
    assert WorldSpec(seed=0, vehicle="aerial").rig is AERIAL_CAMERA
