# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings made from pictures and a table."""

import argparse

import cv2
import numpy as np
import pytest

from geoloc_ros import messages as msg
from geoloc_ros.bags.frames import FramesCamera, FramesTable, bag_from_frames
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.cli import bag as cli
from geoloc_ros.errors import BagError, CameraError, GeolocError

LENS = FramesCamera(hfov_deg=90.0, pitch_deg=45.0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "frames").mkdir()
    lines = ["frame,t_s,lat,lon,rel_alt_m"]
    for i in range(4):
        rgb = np.full((60, 80, 3), 50 * i, np.uint8)
        cv2.imwrite(str(tmp_path / "frames" / f"f{i}.jpg"), rgb)
        lines.append(f"f{i}.jpg,{0.5 * i},{48 + i * 1e-4},11.0,{50 + i}")
    (tmp_path / "frames.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def make(folder, **kwargs):
    kwargs = {"camera": LENS, "progress": False, **kwargs}
    return bag_from_frames(folder / "frames.csv", folder / "bag", **kwargs)


def read(folder):
    with BagReader(folder / "bag") as bag:
        found = {}
        for stamp, topic, message in bag.messages():
            found.setdefault(topic, []).append((stamp, message))
    return found


def test_everything_arrives(folder):
    table = FramesTable(height="rel_alt_m", truth=("lat", "lon"))
    assert make(folder, columns=table) == 4
    found = read(folder)
    assert [s for s, _ in found["/camera/image/compressed"]] == [
        10**18 + 500_000_000 * i for i in range(4)
    ]
    stored = (folder / "frames" / "f2.jpg").read_bytes()
    assert bytes(found["/camera/image/compressed"][2][1].data) == stored
    info = msg.camera_info(found["/camera/camera_info"][0][1])
    assert info.K[0, 0] == pytest.approx(40.0)
    assert info.K[0, 2] == 39.5
    assert [msg.height_m(m) for _, m in found["/height_above_ground"]] == [50, 51, 52, 53]
    assert msg.fix(found["/ground_truth/fix"][3][1])[0].lat_deg == pytest.approx(48.0003)
    mount = msg.static_transforms(found["/tf_static"][0][1])["base_link", "camera_optical"]
    axis = mount[:3, :3] @ [0, 0, 1]
    np.testing.assert_allclose(axis, [np.sqrt(0.5), 0, -np.sqrt(0.5)], atol=1e-12)


def test_truth_only_when_asked(folder):
    make(folder)
    assert not any("truth" in topic for topic in read(folder))


def test_scaled_pictures_keep_their_rays(folder):
    make(folder, max_width_px=40)
    found = read(folder)
    info = msg.camera_info(found["/camera/camera_info"][0][1])
    assert (info.width, info.height) == (40, 30)
    assert info.K[0, 0] == pytest.approx(20.0)
    assert info.K[0, 2] == pytest.approx(19.5)
    assert msg.image_rgb(found["/camera/image/compressed"][0][1]).shape == (30, 40, 3)


def test_calibration_file(folder):
    text = (
        "image_width: 80\nimage_height: 60\ndistortion_model: equidistant\n"
        "camera_matrix: {rows: 3, cols: 3, data: [30, 0, 40, 0, 31, 30, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 4, data: [0.1, 0.2, 0.3, 0.4]}\n"
    )
    path = folder / "cam.yaml"
    path.write_text(text)
    make(folder, camera=FramesCamera(calibration=path))
    info = msg.camera_info(read(folder)["/camera/camera_info"][0][1])
    assert info.distortion_model == "equidistant"
    assert info.K[1, 1] == 31
    path.write_text(text.replace("80", "81"))
    with pytest.raises(CameraError, match="is for 81x60 px"):
        FramesCamera(calibration=path).info(80, 60)
    path.write_text("nothing: here")
    with pytest.raises(CameraError, match="no ROS camera calibration"):
        FramesCamera(calibration=path).info(80, 60)


def _edit(old, new):
    def change(folder):
        path = folder / "frames.csv"
        path.write_text(path.read_text().replace(old, new))

    return change


def _other_size(folder):
    cv2.imwrite(str(folder / "frames" / "f2.jpg"), np.zeros((61, 80, 3), np.uint8))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_edit("t_s", "time"), "has no column t_s; it has frame, time"),
        (_edit("f1.jpg", "g1.jpg"), "1 of 4 pictures are missing: .*g1.jpg"),
        (_edit("f1.jpg,0.5", "f1.jpg,half"), "line 3: t_s is 'half'"),
        (_edit("f1.jpg,0.5", "f1.jpg,nan"), "line 3: t_s is 'nan'"),
        (_edit("f1.jpg,0.5", "f1.jpg,9.5"), "does not follow"),
        (_edit("f1.jpg,", ","), "frame is empty"),
        (_other_size, "f2.jpg is 80x61 px"),
        (lambda f: (f / "frames" / "f3.jpg").write_bytes(b"\xff\xd8x"), "no decodable image"),
        (lambda f: (f / "frames.csv").write_text("frame,t_s\n"), "no rows"),
        (lambda f: (f / "frames.csv").write_bytes(b"\xff\xfe\x00"), "cannot read"),
        (lambda f: (f / "frames.csv").unlink(), "cannot read"),
        (lambda f: (f / "bag").mkdir(), "exists already"),
    ],
)
def test_hostile_tables(folder, change, says):
    change(folder)
    with pytest.raises(BagError, match=says) as caught:
        make(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "bag" / "metadata.yaml").exists()


@pytest.mark.parametrize(
    "lens", [{}, {"hfov_deg": 60.0, "focal_px": 50.0}, {"hfov_deg": 200.0}, {"focal_px": 0.0}]
)
def test_hostile_lenses(lens):
    with pytest.raises(CameraError):
        FramesCamera(**lens)


def test_command_line(folder, capsys):
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    line = f"bag from-frames {folder}/frames.csv --hfov 73.7 --pitch 45 --out {folder}/bag --quiet"
    arguments = parser.parse_args([*line.split(), "--truth-columns", "lat", "lon"])
    assert arguments.run(arguments) == 0
    arguments = parser.parse_args(["bag", "info", f"{folder}/bag"])
    assert arguments.run(arguments) == 0
    assert "/ground_truth/fix" in capsys.readouterr().out
    arguments = parser.parse_args(["bag", "info", f"{folder}/none"])
    with pytest.raises(GeolocError):
        arguments.run(arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"pitch_deg": float("nan")},
        {"roll_deg": float("inf")},
        {"yaw_deg": 1e300},
        {"forward_m": float("nan")},
        {"height_m": -1e9},
    ],
)
def test_a_mount_that_is_none_is_refused(changes):
    with pytest.raises(CameraError, match="must lie in"):
        FramesCamera(hfov_deg=90.0, **changes)


@pytest.mark.parametrize("focal", ["0", "-30", ".nan"])
def test_a_calibration_that_is_no_camera_is_refused(folder, focal):
    (folder / "cam.yaml").write_text(
        "image_width: 80\nimage_height: 60\ndistortion_model: plumb_bob\n"
        f"camera_matrix: {{data: [{focal}, 0, 40, 0, 31, 30, 0, 0, 1]}}\n"
        "distortion_coefficients: {data: [0, 0, 0, 0, 0]}\n"
    )
    with pytest.raises(CameraError):
        make(folder, camera=FramesCamera(calibration=folder / "cam.yaml"))
    assert not (folder / "bag").exists()


@pytest.mark.parametrize("start_s", [float("nan"), float("inf"), 1e300, 5e9, -5.0])
def test_stamps_that_ros_cannot_say_are_refused(folder, start_s):
    with pytest.raises(BagError, match="stamp"):
        make(folder, start_s=start_s)
    assert not (folder / "bag").exists()


@pytest.mark.parametrize("width", [-5, 1])
def test_pictures_too_small_to_use_are_not_made(folder, width):
    with pytest.raises(BagError, match="--max-width"):
        make(folder, max_width_px=width)


def test_a_file_name_too_long_is_one_clear_error(folder):
    (folder / "frames.csv").write_text(f"frame,t_s\n{'x' * 5000}.jpg,0\n")
    with pytest.raises(BagError, match="cannot read"):
        make(folder)
