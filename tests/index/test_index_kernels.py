# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The search of neighbours and kriging, compiled, against plain numpy."""

import numpy as np
import pytest

from geoloc_ros.index import kriging
from geoloc_ros.index.cells import Cells, embed

SCALE = (4.0, 0.2)


def poses_of(seed, count, side_m):
    rng = np.random.default_rng(seed)
    return rng.uniform([-side_m, -side_m, -7.0], [side_m, side_m, 7.0], (count, 3))


def distances(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))


def test_embed():
    poses = np.array([[8.0, -2.0, 0.5], [np.nan, 0.0, 0.0], [0.0, 1e7, 0.0]])
    places = embed(poses, SCALE)
    np.testing.assert_allclose(places[0], [2.0, -0.5, 5 * np.cos(0.5), 5 * np.sin(0.5)])
    assert np.isnan(places[1:]).all()


@pytest.mark.parametrize(("count", "side_m"), [(1, 1.0), (300, 20.0), (3000, 150.0)])
@pytest.mark.parametrize("limit", [0.7, 2.6])
def test_locate_finds_the_nearest(count, side_m, limit):
    entries = poses_of(1, count, side_m)
    cells = Cells(embed(entries, SCALE))
    poses = poses_of(2, 400, 1.2 * side_m)
    slot = np.full(count, -1)
    slot[0] = 0
    places, found, new = cells.locate(poses, SCALE, limit, slot, 1)
    between = distances(places, embed(entries, SCALE)[cells.order])
    within = between.min(axis=1) < limit
    np.testing.assert_array_equal(found >= 0, within)
    np.testing.assert_array_equal(found[within], between[within].argmin(axis=1))
    assert sorted(new) == sorted(set(found[within]) - {0})
    np.testing.assert_array_equal(slot[new], 1 + np.arange(len(new)))


@pytest.mark.parametrize("side_m", [20.0, 4000.0])
def test_neighbours_are_the_nearest(side_m):
    """In sparse country too, where hardly a cell near by holds an entry."""
    places = embed(poses_of(3, 200, side_m), SCALE)
    cells = Cells(places)
    rows, ids = np.arange(0, 200, 7), np.empty((29, 12), dtype=np.int64)
    cells.neighbours(rows, ids)
    between = distances(cells.places, cells.places)
    np.testing.assert_array_equal(ids, np.argsort(between[rows], axis=1)[:, :12])


@pytest.mark.parametrize("size", [1, 3, 12])
def test_prepare_and_quadratic(size):
    rng = np.random.default_rng(4)
    cells = Cells(embed(poses_of(5, 60, 12.0), SCALE))
    descriptors = rng.normal(size=(60, 21)).astype(np.float32)
    rows, ids = np.arange(60), np.empty((60, size), dtype=np.int64)
    cells.neighbours(rows, ids)
    offset = np.empty((60, size, 4), np.float32)
    inverse, length = np.empty((2, 60, size, size), np.float32)
    kriging.prepare(
        rows, 0.05, cells.places, cells.order, descriptors, ids, offset, inverse, length
    )
    near = cells.places[ids]
    squared = ((near[:, :, None] - near[:, None]) ** 2).sum(axis=3)
    expected = np.linalg.inv(np.exp(-0.5 * squared) + 0.05 * np.eye(size))
    rows_of = expected @ descriptors[cells.order[ids]].astype(float)
    lengths = rows_of @ np.swapaxes(rows_of, 1, 2)
    np.testing.assert_allclose(offset, near - cells.places[:, None], atol=1e-5)
    np.testing.assert_allclose(inverse, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(length, lengths, atol=1e-6 * np.abs(lengths).max())
