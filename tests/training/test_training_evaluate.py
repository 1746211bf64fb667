# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip("torch")

from training_toy import toy_ortho

from geoloc_ros.training.evaluate import (
    first_hit,
    grid_anchors,
    hits,
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
