# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from geoloc_ros.errors import IndexBuildError
from geoloc_ros.index import quadtree
from geoloc_ros.index.quadtree import FINEST, ROOT_M, assigned, cells, corner_m, divided, side_m


def scattered(count, spread_m, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(size=(count, 2)) * spread_m, rng.uniform(size=count)])


def inside(cell, poses):
    at = poses[:, :2] - corner_m(cell)
    return ((at >= 0.0) & (at < side_m(cell))).all()


def test_few_anchors_stay_in_cells_of_the_coarsest_level():
    anchors = scattered(1000, 3000.0)
    found = dict(cells(anchors))
    assert {level for level, _, _ in found} == {0}
    assert list(found) == sorted(found)
    assert all(inside(cell, anchors[rows]) for cell, rows in found.items())


def test_cells_adapt_to_density():
    anchors = np.concatenate([scattered(5000, 150.0), scattered(300, 6000.0, seed=1)])
    found = dict(cells(anchors, most=400))
    assert not quadtree.overlap(list(found))
    assert len({level for level, _, _ in found}) > 3
    rows = np.concatenate(list(found.values()))
    assert np.array_equal(np.sort(rows), np.arange(len(anchors)))
    for cell, members in found.items():
        assert 0 < len(members) <= 400
        assert (np.diff(members) > 0).all(), "in their old order"
        assert inside(cell, anchors[members])
        assert quadtree.sound(cell)
    parents = {(level - 1, column >> 1, row >> 1) for level, column, row in found if level}
    for parent in parents:
        assert sum(inside(parent, anchors[i : i + 1]) for i in range(len(anchors))) > 400


def test_the_order_of_the_anchors_does_not_move_a_cell():
    anchors = scattered(3000, 200.0)
    other = np.random.default_rng(1).permutation(len(anchors))
    one, two = dict(cells(anchors, most=100)), dict(cells(anchors[other], most=100))
    assert list(one) == list(two)
    assert all(np.array_equal(np.sort(other[two[cell]]), one[cell]) for cell in one)


def test_a_place_that_is_too_full_is_told():
    anchors = np.zeros((11, 3)) + 70.0
    with pytest.raises(
        IndexBuildError, match=r"11 entries lie in a square of 62\.5 m at x 62\.5 m, y 62\.5 m"
    ):
        list(cells(anchors, most=10))


def test_edges_belong_to_the_cell_north_east_of_them():
    anchors = np.array([[0.0, 0.0, 0.0], [ROOT_M, -1e-9, 0.0], [-1e-9, ROOT_M, 0.0]])
    assert [cell for cell, _ in cells(anchors)] == [(0, -1, 1), (0, 0, 0), (0, 1, -1)]


def test_no_anchor_no_cell():
    assert list(cells(np.zeros((0, 3)))) == []
    assert list(assigned([(0, 0, 0)], np.zeros((0, 3)))) == []


def test_dividing_a_cell_is_dividing_all():
    anchors = scattered(2000, 400.0)
    anchors[:, :2] = np.abs(anchors[:, :2])
    assert all(
        one[0] == other[0] and np.array_equal(one[1], other[1])
        for one, other in zip(
            cells(anchors, most=50), divided((0, 0, 0), anchors, most=50), strict=True
        )
    )


@pytest.mark.parametrize(
    "cell",
    [(-1, 0, 0), (FINEST + 1, 0, 0), (0, 13, 0), (0, 0, -14), (6, 900, 0), (0, 10**30, 0)],
)
def test_cells_that_there_are_not(cell):
    assert not quadtree.sound(cell)


def test_cells_that_there_are():
    for cell in ((0, 12, -13), (0, 0, 0), (6, 800, -801)):
        assert quadtree.sound(cell)


def test_overlaps_are_noticed():
    assert quadtree.overlap([(0, 0, 0), (0, 0, 0)])
    assert quadtree.overlap([(0, -1, 0), (3, -8, 7)])
    assert not quadtree.overlap([(1, 0, 0), (1, 0, 1), (0, 1, 0), (2, 2, 0)])


def test_new_poses_go_where_cells_are_or_make_no_overlap():
    known = [(1, 0, 0), (2, 2, 0)]
    poses = np.array(
        [[100, 100, 0], [2100, 100, 0], [3100, 100, 0], [100, 2100, 0], [-1, 5000, 0], [1, 9, 0]],
        dtype=np.float64,
    )
    found = {cell: rows.tolist() for cell, rows in assigned(known, poses)}
    assert found == {
        (0, -1, 1): [4],
        (1, 0, 0): [0, 5],
        (1, 0, 1): [3],
        (2, 2, 0): [1],
        (2, 3, 0): [2],
    }
    assert not quadtree.overlap(list({*known, *found}))
