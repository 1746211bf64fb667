# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories in text files: what is read, and which line is to blame when it is not."""

import numpy as np
import pytest
from made_tracks import START_NS, winding, write_euroc, write_kitti, write_tum

from geoloc_ros.errors import TrajectoryError
from geoloc_ros.evaluation.track_files import read_text_track


@pytest.mark.parametrize("write", [write_tum, write_euroc])
def test_what_was_written_is_read_to_the_nanosecond(write, tmp_path):
    made = winding(20)
    read = read_text_track(write(tmp_path / "track", made))
    assert read.stamp_ns.tolist() == made.stamp_ns.tolist()
    assert read.stamp_ns[0] == START_NS  # a float of seconds would be off by up to 119 ns
    np.testing.assert_allclose(read.positions_m, made.positions_m, atol=1e-9)
    np.testing.assert_allclose(read.rotations, made.rotations, atol=1e-9)


def test_kitti_is_turned_from_the_axes_of_its_camera(tmp_path):
    # One metre ahead, then two to the right and half a metre down, in camera axes; the camera has
    # turned right by 90 degrees about its axis that points down.
    right = "0 0 1 2  0 1 0 0.5  -1 0 0 1"
    path = tmp_path / "00.txt"
    path.write_text(f"1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0 0 1 0 0 0 0 1 1\n{right}\n")
    track = read_text_track(path)
    assert not track.stamped
    expected = [[0, 0, 0], [1, 0, 0], [1, -2, -0.5]]
    np.testing.assert_allclose(track.positions_m, expected, atol=1e-12)
    np.testing.assert_allclose(track.planar_poses[:, 2], [0, 0, -np.pi / 2], atol=1e-12)
    assert "camera" in track.notes[0]
    as_it_is = read_text_track(path, "ros")
    np.testing.assert_allclose(as_it_is.positions_m[2], [2, 0.5, 1])


def test_kitti_keeps_distances(tmp_path):
    made = winding(10)
    read = read_text_track(write_kitti(tmp_path / "k.txt", made))
    steps = [np.linalg.norm(np.diff(t.positions_m, axis=0), axis=1) for t in (made, read)]
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-9)


def test_rows_are_put_in_order_and_repeated_stamps_left_out(tmp_path):
    path = tmp_path / "t.txt"
    pose = "0 0 0 0 0 1"
    rows = ["3.5  30", "1\t10", "2.000000001 20", "2.000000001 99"]
    path.write_text("\ufeff# head\n\n" + "".join(f"{row} {pose}\n" for row in rows))
    track = read_text_track(path)
    assert track.stamp_ns.tolist() == [10**9, 2 * 10**9 + 1, 3_500_000_000]
    assert track.positions_m[:, 0].tolist() == [10.0, 20.0, 30.0]
    assert any("go back 1 times" in note for note in track.notes)
    assert any("1 poses repeat a stamp" in note for note in track.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no poses"),
        ("# only a head\n", "holds no poses"),
        ("1 2 3\n", "line 1: 3 values separated by white space; TUM has 8"),
        ("1,2,3\n", "line 1: 3 values separated by commas"),
        ("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 1\n", "line 2: 7 values where 8 are needed"),
        ("1 0 0 0 0 0 0 1\n2 0 nan 0 0 0 0 1\n", "line 2: a value is not finite"),
        ("1 0 0 0 0 0 0 1\n2 0 inf 0 0 0 0 1\n", "line 2: a value is not finite"),
        ("1 0 0 0 0 0 0 1\n2 0 x 0 0 0 0 1\n", "line 2: a value is no number"),
        ("t,x,y,z,qw,qx,qy,qz\n", "line 1: a value is no number: .*; a heading begins with #"),
        ("1 1e9 0 0 0 0 0 1\n", r"line 1: a coordinate of 1e\+09 m"),
        ("1 0 0 0 0 0 0 0\n", "line 1: not a rotation"),
        ("-1 0 0 0 0 0 0 1\n", "line 1: the stamp '-1' is negative"),
        ("1e12 0 0 0 0 0 0 1\n", "too large for nanoseconds"),
        ("1.5,0,0,0,1,0,0,0\n", "no integer; EuRoC has nanoseconds"),
        ("1,0,0,0,1,0,0,0\n2,0,0,0\n", "line 2: 4 values"),
        ("1 0 0 0 0 1 0 0 0 0 2 0\n", "no rotation"),
        ("1 0 0 0 0 1 0 0 0 0 -1 0\n", "no rotation"),
    ],
)
def test_the_line_to_blame_is_named(text, says, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(TrajectoryError, match=says):
        read_text_track(path)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "t.bin").write_bytes(b"\xff\xfe\x00\x80" * 10)
    with pytest.raises(TrajectoryError, match="it is no text"):
        read_text_track(tmp_path / "t.bin")
    with pytest.raises(TrajectoryError, match="No such file"):
        read_text_track(tmp_path / "absent.txt")
