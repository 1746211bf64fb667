# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from geoloc_ros.training.sampling import (
    clustered_batches,
    geographic_neighbours,
    offset_pose,
    similarity_neighbours,
    too_near,
)


def street(count: int, spacing_m: float = 2.0) -> np.ndarray:
    along = np.arange(count) * spacing_m
    return np.stack([along, np.zeros(count), np.zeros(count)], axis=1)


def test_too_near_needs_place_heading_and_town() -> None:
    pose = np.array([[0.0, 0.0, np.pi - 0.05]])
    others = np.array([[3.0, 0, -np.pi + 0.05], [3.0, 0, 0.0], [9.0, 0, np.pi], [3.0, 0, np.pi]])
    towns = np.array([0, 0, 0, 1])
    assert too_near(pose, others, np.zeros(1, int), towns).tolist() == [
        [True, False, False, False]
    ]


def test_geographic_neighbours_are_near_but_elsewhere_and_of_the_same_town() -> None:
    poses = np.concatenate([street(40), street(40)])
    towns = np.repeat([0, 1], 40)
    found = geographic_neighbours(poses, towns, 6)
    for i, row in enumerate(found):
        distance = np.abs(poses[row, 0] - poses[i, 0])
        assert (row >= 0).all()
        assert (towns[row] == towns[i]).all()
        assert distance.min() >= 6.0
        assert distance.max() <= 20.0


def test_the_other_direction_at_the_same_place_is_a_neighbour() -> None:
    poses = np.array([[0.0, 0, 0], [0.0, 0, np.pi], [30.0, 0, 0]])
    found = geographic_neighbours(poses, np.zeros(3, int), 2)
    assert found[0].tolist() == [1, 2]


def test_a_small_town_leaves_gaps_instead_of_strangers() -> None:
    poses = np.array([[0.0, 0, 0], [10.0, 0, 0], [0.0, 0, 0]])
    found = geographic_neighbours(poses, np.array([0, 0, 1]), 2)
    assert found.tolist() == [[1, -1], [0, -1], [-1, -1]]


def test_similarity_neighbours_match_brute_force() -> None:
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(2, 50, 16)).astype(np.float32)
    query, reference = descriptors / np.linalg.norm(descriptors, axis=2, keepdims=True)
    poses, towns = street(50), np.zeros(50, int)
    found = similarity_neighbours(
        query, reference, lambda rows: too_near(poses[rows], poses, towns[rows], towns), 5
    )
    for i in range(50):
        allowed = [j for j in range(50) if abs(j - i) * 2.0 >= 6.0]
        best = sorted(allowed, key=lambda j: -float(query[i] @ reference[j]))[:5]
        assert found[i].tolist() == best


def test_batches_use_each_sample_at_most_once_and_keep_clusters() -> None:
    poses = street(300, 7.0)
    near = geographic_neighbours(poses, np.zeros(300, int), 16)
    batches = clustered_batches(near, 32, 8, np.random.default_rng(3))
    used = np.concatenate(batches)
    assert len(batches) == 300 // 32
    assert len(np.unique(used)) == len(used)
    gaps = np.concatenate([np.abs(np.diff(poses[b, 0])) for b in batches])
    assert np.median(gaps) < 150.0  # strangers on this street are 700 m apart


def test_offset_poses_are_never_the_right_place() -> None:
    poses = np.tile([[5.0, -3.0, 2.0]], (500, 1))
    rng = np.random.default_rng(0)
    wrong = np.stack([offset_pose(pose, rng) for pose in poses])
    turn = np.degrees(np.abs((wrong - poses)[:, 2])) / 4.0
    distance = np.hypot(*(wrong - poses)[:, :2].T)
    units = np.hypot(distance, turn)
    assert units.min() >= 3.999
    assert units.max() <= 12.001


def test_an_epoch_of_several_passes_shows_everything_so_often() -> None:
    torch = pytest.importorskip("torch")
    del torch
    from test_training_train import toy_pairs
    from training_toy import toy_shard

    from geoloc_ros.training.config import TrainConfig
    from geoloc_ros.training.draws import plan_generator
    from geoloc_ros.training.sources import MinedSource

    config = TrainConfig(kind="perspective", batch=8, passes=3, cluster=4, pool=6)
    plan = MinedSource(toy_pairs(toy_shard(1, 16)), 8).epoch(0, config, plan_generator(1, 0))
    assert len(plan) == 6
    assert np.bincount(np.concatenate(plan)).tolist() == [3] * 16
    assert plan[0].tolist() != plan[2].tolist()
