# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What goes together into a batch: neighbours on the ground, later neighbours in the descriptor.

Sample4Geo (arXiv 2303.11851) trains its first epochs on batches of geographic neighbours and the
later ones on the places the encoder itself confuses. Here every batch is made of small clusters,
each sample is used once an epoch, and pairs too near to call wrong are masked in the loss.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geoloc_ros.geo.se2 import compose, wrap_angle

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SAME_PLACE_M = 6.0
SAME_HEADING_DEG = 20.0
# Over how many units near misses spread, and what a unit is of a turn.
MISS_SPREAD = 8.0
MISS_TURN_RAD = float(np.radians(4.0))
_TOWN_STRIDE_M = 1.0e5


def too_near(
    a: FloatArray, b: FloatArray, a_town: IntArray, b_town: IntArray,
    radius_m: float = SAME_PLACE_M, heading_deg: float = SAME_HEADING_DEG,
) -> Mask:  # fmt: skip
    """Which pairs show nearly the same: same town, within a radius and a heading difference.

    Args:
        a: (N, 3) poses.
        b: (M, 3) poses.
        a_town: (N,) town numbers.
        b_town: (M,) town numbers.
        radius_m: distance below which places count as the same.
        heading_deg: heading difference below which they look the same.

    Returns:
        (N, M) bool.
    """
    distance2 = ((a[:, None, :2] - b[None, :, :2]) ** 2).sum(axis=-1)
    turn = np.abs(wrap_angle(a[:, None, 2] - b[None, :, 2]))
    near = (distance2 < radius_m**2) & (turn < np.radians(heading_deg))
    return np.asarray(near & (a_town[:, None] == b_town[None, :]))


def geographic_neighbours(poses: FloatArray, towns: IntArray, count: int) -> IntArray:
    """For each sample the nearest others of its town that are not the same place.

    Same place, opposite heading is a neighbour: it is the classic confusion.

    Args:
        poses: (N, 3).
        towns: (N,).
        count: neighbours per sample.

    Returns:
        (N, count) sample numbers, nearest first; -1 where a town is too small.
    """
    far_apart = poses[:, :2] + np.stack([towns * _TOWN_STRIDE_M, np.zeros(len(towns))], axis=1)
    tree = cKDTree(far_apart)
    wanted = min(len(poses), 3 * count + 8)
    distance, found = tree.query(far_apart, k=wanted)
    found = np.atleast_2d(np.asarray(found, dtype=np.int64))
    result = np.full((len(poses), count), -1, dtype=np.int64)
    for i, (row, metres) in enumerate(zip(found, np.atleast_2d(distance), strict=True)):
        turn = np.abs(wrap_angle(poses[row, 2] - poses[i, 2]))
        same = (metres < SAME_PLACE_M) & (turn < np.radians(SAME_HEADING_DEG))
        others = row[~same & (row != i) & (towns[row] == towns[i])][:count]
        result[i, : len(others)] = others
    return result


def similarity_neighbours(
    query: Float32Array, reference: Float32Array, same: Callable[[IntArray], Mask], count: int
) -> IntArray:
    """For each query the samples whose reference looks most like it and that are elsewhere.

    Args:
        query: (N, D) unit descriptors.
        reference: (N, D) unit descriptors of the same samples.
        same: says for sample numbers (n,) which samples (n, N) show the same place.
        count: neighbours per sample.

    Returns:
        (N, count) sample numbers, most similar first.
    """
    total = len(query)
    count = min(count, total - 1)
    result = np.empty((total, count), dtype=np.int64)
    for start in range(0, total, 1024):
        rows = np.arange(start, min(start + 1024, total))
        similarity = query[rows] @ reference.T
        similarity[same(rows)] = -2.0
        best = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(similarity, best, axis=1), axis=1)
        result[rows] = np.take_along_axis(best, order, axis=1)
    return result


def clustered_batches(
    neighbours: IntArray, batch: int, cluster: int, rng: np.random.Generator
) -> list[IntArray]:
    """Cut one epoch into batches of clusters; every sample is used at most once.

    A cluster is a random sample, the nearest half of its neighbours and as many random ones of the
    others in its pool, as far as they are still free (Sample4Geo, section 3.3).

    Args:
        neighbours: (N, K) the pool of each sample, best first, -1 for none.
        batch: samples per batch.
        cluster: samples per cluster, the first included.
        rng: order of seeds and choice among neighbours.

    Returns:
        Batches of exactly `batch` sample numbers; the last incomplete one is dropped.
    """
    unused = np.ones(len(neighbours), dtype=bool)
    stream: list[int] = []
    nearest = cluster // 2
    for seed in rng.permutation(len(neighbours)):
        if not unused[seed]:
            continue
        unused[seed] = False
        row = neighbours[seed]
        free = row[(row >= 0) & unused[row]]
        others = rng.permutation(free[nearest:])[: cluster - 1 - nearest]
        chosen = np.concatenate([free[:nearest], others])
        unused[chosen] = False
        stream.extend([int(seed), *(int(i) for i in chosen)])
    order = np.asarray(stream, dtype=np.int64)
    return [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]


def offset_pose(pose: FloatArray, rng: np.random.Generator, nearest: float = 4.0) -> FloatArray:
    """A wrong pose close by: what a filter must tell from the right one.

    It lies `nearest` to `nearest` + 8 units from its original in random direction over
    (forward m, left m, yaw in steps of 4 degrees).

    Args:
        pose: (3,).
        rng: source of randomness.
        nearest: units.

    Returns:
        (3,).
    """
    direction = rng.normal(size=3)
    offset = direction / np.linalg.norm(direction) * rng.uniform(nearest, nearest + MISS_SPREAD)
    offset[2] *= MISS_TURN_RAD
    return compose(pose, offset)
