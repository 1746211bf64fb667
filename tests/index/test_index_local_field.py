# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Local similarity against the truth: descriptors from a smooth random field over poses."""

import numpy as np
import pytest

from geoloc_ros.index import kriging
from geoloc_ros.index.local_field import Kernel, LocalField
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.sampling import sample_roads

RNG = np.random.default_rng(1)
WAVES, PHASES, MIX = RNG.normal(size=(4, 400)), RNG.uniform(0, 7, 400), RNG.normal(size=(400, 64))


LIMIT_RMSE, LIMIT_PEAK_M = 0.05, 0.8


def describe(poses):
    """Random Fourier features (Rahimi and Recht, 2007) of a kernel 5 m and 14 degrees wide."""
    xy, yaw = poses[:, :2] / 5.0, poses[:, 2]
    where = np.column_stack([xy, np.cos(yaw) / 0.25, np.sin(yaw) / 0.25])
    raw = np.cos(where @ WAVES + PHASES) @ MIX
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def anchors():
    return sample_roads([Road(np.array([[0.0, 0.0], [300.0, 0.0]]))], SamplingPolicy())


@pytest.fixture(scope="module")
def field(anchors):
    return LocalField(anchors, describe(anchors))


def around(rng, count=200):
    truth = np.array([rng.uniform(20, 280), rng.uniform(-3, 3), rng.normal() * 0.07])
    poses = truth + rng.normal(size=(count, 3)) * [2.0, 2.0, 0.08]
    return truth, poses[np.abs(poses[:, 1]) < 4.5]


def test_similarity_is_close_to_the_truth(field, anchors):
    rng = np.random.default_rng(5)
    errors, peaks = [], []
    for _ in range(100):
        truth, poses = around(rng)
        query = describe(truth[None])[0]
        similarity, supported = field(query, poses)
        assert supported.mean() > 0.9
        wanted = describe(poses) @ query
        errors.append((similarity - wanted)[supported])
        best = poses[supported][np.argmax(similarity[supported])]
        peaks.append(np.hypot(*(best - truth)[:2]))
    error = np.concatenate(errors)
    assert np.sqrt((error**2).mean()) < LIMIT_RMSE
    assert np.median(peaks) < LIMIT_PEAK_M
    assert (error**2).mean() < 0.25 * _error_of_kernel_regression(anchors) ** 2


def _error_of_kernel_regression(anchors):
    """The usual alternative (Nadaraya and Watson, 1964), with the bandwidth that suits it best."""
    descriptors, scale = describe(anchors), np.array([2.0, 2.0, 0.12])
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(100):
        truth, poses = around(rng)
        query = describe(truth[None])[0]
        offset = poses[:, None] - anchors[None]
        offset[..., 2] = (offset[..., 2] + np.pi) % (2 * np.pi) - np.pi
        weight = np.exp(-0.5 * ((offset / scale) ** 2).sum(axis=2)) + 1e-12
        similarity = weight @ (descriptors @ query) / weight.sum(axis=1)
        errors.append(similarity - describe(poses) @ query)
    return np.sqrt((np.concatenate(errors) ** 2).mean())


def test_prediction_is_the_textbook(anchors):
    """Kriging by its formula, from the neighbours of the entry nearest to the pose."""
    descriptors, kernel = describe(anchors), Kernel()
    field = LocalField(anchors, descriptors, kernel)
    poses = np.array([[50.2, 1.3, 0.1], [120.0, -2.0, 3.1]])
    query = describe(poses[:1])[0]

    def embed(poses):
        turn = np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])]) / kernel.sigma_rad
        return np.column_stack([poses[:, :2] / kernel.sigma_m, turn])

    for pose, found in zip(poses, field(query, poses)[0], strict=True):
        squared = ((embed(anchors) - embed(pose[None])) ** 2).sum(axis=1)
        own = embed(anchors[[np.argmin(squared)]])
        near = np.argsort(((embed(anchors) - own) ** 2).sum(axis=1))[: kernel.neighbours]
        between = ((embed(anchors[near])[:, None] - embed(anchors[near])[None]) ** 2).sum(axis=2)
        covariance = np.exp(-0.5 * between) + kernel.noise * np.eye(len(near))
        weights = np.linalg.solve(covariance, np.exp(-0.5 * squared[near]))
        predicted = weights @ descriptors[near]
        assert found == pytest.approx(predicted @ query / np.linalg.norm(predicted), abs=1e-4)


def test_support_ends_where_entries_end(field):
    poses = np.array(
        [
            [150.0, 0.0, 0.0],
            [150.0, 0.0, np.pi],
            [150.0, 11.0, 0.0],
            [150.0, 0.0, np.pi / 2],
            [-8.0, 0.0, 0.0],
            [1e8, 0.0, 0.0],
            [np.nan, 0.0, 0.0],
            [0.0, np.inf, 0.0],
        ]
    )
    query = describe(poses[:1])[0]
    similarity, supported = field(query, poses)
    assert supported.tolist() == [True, True] + [False] * 6
    assert np.isfinite(similarity).all()
    assert (similarity[2:] == 0.0).all()


def test_heading_wraps(field):
    query = describe(np.array([[150.0, 0.0, np.pi]]))[0]
    turns = np.array([[150.0, 0.0, np.pi + 2 * np.pi * n] for n in (-3, -1, 0, 1, 3)])
    similarity, supported = field(query, turns)
    assert supported.all()
    # the same heading; at the seam of two cells rounding may pick either
    assert np.ptp(similarity) < 0.05


@pytest.mark.parametrize("capacity", [1, 60, 1 << 15])
def test_what_was_prepared_before_changes_no_value(anchors, monkeypatch, capacity):
    """Not even when there is room for one block of ground only, or not for one."""
    monkeypatch.setattr("geoloc_ros.index.local_field.MOST_PREPARED", capacity)
    rng = np.random.default_rng(9)
    descriptors = describe(anchors)
    used = LocalField(anchors, descriptors)
    for _ in range(30):
        truth, poses = around(rng)
        used(describe(truth[None])[0], poses)
    truth, poses = around(rng)
    query = describe(truth[None])[0]
    fresh = LocalField(anchors, descriptors)(query, poses)
    again = used(query, poses)
    np.testing.assert_allclose(fresh[0], again[0], atol=1e-6)
    np.testing.assert_array_equal(fresh[1], again[1])


def test_a_neighbourhood_is_prepared_once(anchors, monkeypatch):
    field = LocalField(anchors, describe(anchors))
    query = describe(anchors[:1])[0]
    made = []
    prepare = kriging.prepare
    monkeypatch.setattr(
        kriging, "prepare", lambda rows, *rest: made.extend(rows) or prepare(rows, *rest)
    )
    for x in [*np.arange(20.0, 220.0, 1.0), *np.arange(20.0, 220.0, 1.0)]:
        field(query, np.array([[x, 0.0, 0.1]]))
    assert 0 < len(made) == len(set(made)) <= 200


@pytest.mark.parametrize("count", [1, 2, 5])
def test_very_few_entries(count):
    anchors = np.column_stack([np.arange(count), np.zeros(count), np.zeros(count)]).astype(float)
    field = LocalField(anchors, describe(anchors))
    similarity, supported = field(describe(anchors)[0], anchors)
    assert supported.all()
    assert similarity[0] > 0.5
    assert field(describe(anchors)[0], np.zeros((0, 3)))[0].shape == (0,)
