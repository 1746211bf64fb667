# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fields of blocks against the one field of the whole map."""

import math

import numpy as np
import pytest

from geoloc_ros.index.blocks import Blocks
from geoloc_ros.index.local_field import Kernel

SIDE_M = 60.0


def smooth(poses: np.ndarray, dim: int = 32) -> np.ndarray:
    """Descriptors that change with position and heading as real ones do."""
    rng = np.random.default_rng(5)
    along = rng.normal(size=(dim, 2)) / 8.0
    turn, phase = rng.integers(1, 3, dim), rng.uniform(0.0, 2.0 * math.pi, dim)
    waves = np.cos(poses[:, :2] @ along.T + np.outer(poses[:, 2], turn) + phase)
    return (waves / np.linalg.norm(waves, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def streets():
    """Entries every 2 m along a lattice of streets of 300 m, both ways."""
    along = np.arange(-150.0, 150.0, 2.0)
    poses = []
    for street in (-120.0, -61.0, 0.0, 59.0, 118.0):
        for yaw in (0.0, math.pi):
            poses.append(
                np.column_stack([along, np.full_like(along, street), np.full_like(along, yaw)])
            )
            poses.append(
                np.column_stack(
                    [np.full_like(along, street), along, np.full_like(along, yaw + math.pi / 2)]
                )
            )
    found = np.concatenate(poses)
    return found, smooth(found)


class Map:
    """Hands out entries of rectangles, and counts."""

    def __init__(self, poses, descriptors) -> None:
        self.poses, self.descriptors, self.asked = poses, descriptors, []

    def __call__(self, bounds):
        self.asked.append(bounds)
        west, south, east, north = bounds
        x, y = self.poses[:, 0], self.poses[:, 1]
        rows = (x >= west) & (x <= east) & (y >= south) & (y <= north)
        return self.poses[rows], self.descriptors[rows]


def wanted(rng, count: int = 4000) -> np.ndarray:
    at = rng.uniform(-170.0, 170.0, (count, 2))
    return np.column_stack([at, rng.uniform(-math.pi, math.pi, count)])


def test_blocks_say_what_one_field_says(streets) -> None:
    rng = np.random.default_rng(1)
    poses = np.concatenate(
        [wanted(rng), streets[0] + rng.normal(0.0, (1.0, 1.0, 0.1), (len(streets[0]), 3))]
    )
    query = streets[1][700]
    whole = Blocks(Map(*streets), Kernel(), math.inf, 10**9)
    parts = Blocks(Map(*streets), Kernel(), SIDE_M, 10**9)
    expected, support = whole.similarity(query, poses)
    found, supported = parts.similarity(query, poses)
    np.testing.assert_array_equal(supported, support)
    assert 0.2 < support.mean() < 0.9
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_array_equal(parts.coverage(poses[:, :2]), whole.coverage(poses[:, :2]))


def test_a_block_is_made_once_and_only_where_somebody_is(streets) -> None:
    entries = Map(*streets)
    parts = Blocks(entries, Kernel(), SIDE_M, 10**9)
    here = np.array([[5.0, 1.0, 0.0], [6.0, 1.0, 0.0]])
    for _ in range(3):
        parts.similarity(streets[1][0], here)
    assert len(entries.asked) == 1


def test_blocks_go_when_there_is_no_room_and_come_back_the_same(streets) -> None:
    entries = Map(*streets)
    parts = Blocks(entries, Kernel(), SIDE_M, 1)
    query, poses = streets[1][0], wanted(np.random.default_rng(2), 300)
    first = parts.similarity(query, poses)
    asked = len(entries.asked)
    again = parts.similarity(query, poses)
    assert asked > 20
    assert len(entries.asked) > 1.5 * asked
    np.testing.assert_array_equal(first[0], again[0])


def test_poses_that_are_none_have_no_support(streets) -> None:
    for side_m in (SIDE_M, math.inf):
        blocks = Blocks(Map(*streets), Kernel(), side_m, 10**9)
        poses = np.array(
            [[np.nan, 0.0, 0.0], [0.0, np.inf, 0.0], [1e12, 0.0, 0.0], [4.0, 0.0, 0.0]]
        )
        similarity, supported = blocks.similarity(streets[1][0], poses)
        assert supported.tolist() == [False, False, False, True]
        assert similarity[:3].tolist() == [0.0, 0.0, 0.0]
        assert blocks.coverage(poses[:, :2]).tolist() == [False, False, False, True]
        assert blocks.similarity(streets[1][0], np.zeros((0, 3)))[0].shape == (0,)


def test_where_nothing_is_nothing_is_said(streets) -> None:
    nothing = Map(np.zeros((0, 3)), np.zeros((0, 32), np.float32))
    for side_m in (SIDE_M, math.inf):
        blocks = Blocks(nothing, Kernel(), side_m, 10**9)
        blocks.prepare()
        _, supported = blocks.similarity(streets[1][0], streets[0][:5])
        assert not supported.any()
        assert not blocks.coverage(streets[0][:5, :2]).any()
