# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories out of transforms: composed, interpolated, and left out where nothing is known."""

import numpy as np
import pytest

from geoloc_ros.bags.tracks import read_track
from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.errors import TrajectoryError
from geoloc_ros.geo.rotations import matrix_from_rpy, transform

SECOND = 10**9
START = 1_700_000_000 * SECOND


def at(x, y=0.0, yaw=0.0, z=0.0):
    """T_parent_child of a place and a heading."""
    return transform(matrix_from_rpy(0.0, 0.0, yaw), (x, y, z))


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """map -> odom once a second, odom -> base_link five times a second, base_link -> camera."""
    path = tmp_path_factory.mktemp("tf") / "bag"
    with BagWriter(path) as writer:
        writer.write_tf_static(START, {("base_link", "camera"): at(1.0, z=2.0)})
        writer.write_tf_static(START, {("left", "right"): at(1.0)})
        for tick in range(26):
            stamp = START + tick * SECOND // 5
            writer.write_tf(stamp, {("odom", "base_link"): at(0.2 * tick)})
            if tick % 5 == 0 and tick <= 20:
                # The correction turns by 90 degrees and moves north by 10 m in four seconds.
                share = tick / 20
                correction = at(0.0, 10.0 * share, np.pi / 2 * share)
                writer.write_tf(stamp, {("map", "odom"): correction})
    return path


def test_a_chain_is_composed_at_the_stamps_of_its_fastest_part(bag):
    track, damage = read_track(f"{bag}:/tf:map.base_link")
    assert damage == ""
    assert track.frame == "map"
    ticks = (track.stamp_ns - START) // (SECOND // 5)
    assert ticks.tolist() == list(range(21))  # after four seconds the correction is not known
    share = ticks / 20
    yaw = np.pi / 2 * share
    x = 0.2 * ticks * np.cos(yaw)
    y = 10.0 * share + 0.2 * ticks * np.sin(yaw)
    np.testing.assert_allclose(track.planar_poses, np.column_stack([x, y, yaw]), atol=1e-9)


def test_static_transforms_hold_always_and_chains_run_both_ways(bag):
    there, _ = read_track(f"{bag}:/tf:odom.camera")
    np.testing.assert_allclose(there.positions_m[5], [2.0, 0.0, 2.0], atol=1e-9)
    assert len(there) == 26
    back, _ = read_track(f"{bag}:/tf:camera.odom")
    np.testing.assert_allclose(back.positions_m[5], [-2.0, 0.0, -2.0], atol=1e-9)


def test_a_long_gap_is_not_bridged(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for second in range(30):
            writer.write_tf(START + second * SECOND, {("odom", "base_link"): at(second)})
            if second in (0, 9, 20):
                writer.write_tf(START + second * SECOND, {("map", "odom"): at(0.0)})
    track, _ = read_track(f"{tmp_path / 'bag'}:/tf:map.base_link")
    seconds = (track.stamp_ns - START) // SECOND
    assert seconds.tolist() == [*range(10), 20]


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("/tf:map", "write it like /tf:map.base_link"),
        ("/tf:map.", "write it like"),
        ("/tf:map.wheel", r"no transforms lead from map to wheel; there are: .*map->odom"),
        ("/tf:map.left", "no transforms lead"),
        ("/tf:left.right", "does not move"),
    ],
)
def test_what_is_no_trajectory_is_refused(bag, topic, says):
    with pytest.raises(TrajectoryError, match=says):
        read_track(f"{bag}:{topic}")


def test_frames_that_are_never_known_together_are_refused(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_tf(START, {("map", "odom"): at(0.0)})
        writer.write_tf(START + SECOND, {("odom", "base_link"): at(0.0)})
    with pytest.raises(TrajectoryError, match="never known at the same time"):
        read_track(f"{tmp_path / 'bag'}:/tf:map.base_link")
