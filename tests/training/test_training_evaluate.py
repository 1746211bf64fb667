# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip("torch")

from training_toy import toy_ortho

from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.training.evaluate import (
    driven_anchors,
    first_hit,
    grid_anchors,
    hits,
    ranks_of,
    recall,
    road_anchors,
)


def test_first_hit_is_the_rank_of_the_best_correct_entry() -> None:
    reference = np.eye(4, dtype=np.float32)
    query = np.array([[0.1, 0.9, 0.5, 0.3], [0.9, 0.1, 0.2, 0.3]], np.float32)
    correct = np.array([[True, False, True, False], [False, False, False, False]])
    ranks = first_hit(query, reference, correct)
    assert ranks.tolist() == [1, 4]
    assert recall(ranks) == {"r1": 0.0, "r5": 1.0, "r10": 1.0}


def test_a_collapsed_network_finds_nothing() -> None:
    same = np.ones((20, 8), np.float32)
    assert recall(first_hit(same, same, np.eye(20, dtype=bool))) == {"r1": 0, "r5": 0, "r10": 0}
    # Right ones that are as similar as one another do not stand in each other's way.
    assert first_hit(same, same[:2], np.ones((20, 2), bool)).tolist() == [0] * 20


def test_what_is_not_finite_is_never_found() -> None:
    query, reference = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    query[0] = np.nan
    assert first_hit(query, reference, np.eye(3, dtype=bool)).tolist() == [3, 0, 0]
    reference[1] = np.nan
    assert first_hit(query, reference, np.eye(3, dtype=bool)).tolist() == [3, 3, 1]


def test_what_does_not_count_stands_in_nobodys_way() -> None:
    similarity = np.array([[0.5, 0.9, 0.9, 0.1]], np.float32)
    right = np.array([[True, False, False, False]])
    passed = np.array([[False, True, False, False]])
    assert ranks_of(similarity, right).tolist() == [2]
    assert ranks_of(similarity, right, passed).tolist() == [1]
    assert ranks_of(similarity, ~right & right).tolist() == [4]


@pytest.mark.parametrize("bearing_deg", [0.0, 45.0, 90.0, 180.0, -135.0])
def test_anchors_look_where_the_camera_looks(bearing_deg: float) -> None:
    angle = np.arange(0.0, 2.0, 0.02)
    ahead = np.column_stack([100 * np.cos(angle), 100 * np.sin(angle), angle + np.pi / 2])
    ahead[40:45, :2] = ahead[40, :2]  # stands
    views = ahead + np.array([0.0, 0.0, np.radians(bearing_deg)])
    views[:, 2] = wrap_angle(views[:, 2])
    assert hits(views, driven_anchors([views], 10_000), 8.0, 22.5).any(axis=1).all()


def test_views_far_apart_still_lie_along_a_way() -> None:
    far = np.column_stack([np.arange(0.0, 800.0, 40.0), np.zeros((20, 2))])
    jumped = np.concatenate([far, far + np.array([5000.0, 0.0, 0.0])])
    anchors = driven_anchors([jumped], 10_000)
    assert len(anchors) == 2 * 2 * round(760 / 1.5)
    assert not ((anchors[:, 0] > 770.0) & (anchors[:, 0] < 4990.0)).any()


def test_hits_need_place_and_heading() -> None:
    truth = np.array([[0.0, 0.0, 3.1]])
    anchors = np.array([[8.0, 0, 3.1], [8.1, 0, 3.1], [0, 0, -3.1], [0, 0, 3.1 - 0.4]])
    assert hits(truth, anchors, 8.0, 22.5).tolist() == [[True, False, True, False]]


def test_road_anchors_follow_both_directions_within_the_stated_scatter() -> None:
    line = np.array([[0.0, 0, 0], [60.0, 0, 0], [60.0, 40.0, 0]])
    anchors = road_anchors([line], 1.5)
    assert len(anchors) == 2 * round(100 / 1.5)
    start = anchors[anchors[:, 0] < 50]
    assert np.abs(start[:, 1]).max() <= 4.0
    heading = np.degrees(start[:, 2])
    forward = np.abs(heading) <= 12.0
    backward = np.abs(np.abs(heading) - 180.0) <= 12.0
    assert (forward | backward).all()
    assert 0.45 < forward.mean() < 0.55
    gaps = np.diff(np.sort(start[forward, 0]))
    assert gaps.max() < 3.1


def test_grid_anchors_cover_the_inside_with_all_headings() -> None:
    anchors = grid_anchors(toy_ortho(0), 20.0, 8, 30.0)
    assert np.abs(anchors[:, :2]).max() <= 50.0
    assert len(np.unique(np.round(anchors[:, 2], 6))) == 8
    assert len(anchors) == 5 * 5 * 8
