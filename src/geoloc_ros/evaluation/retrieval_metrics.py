# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of retrieval, each as the paper that reports it defines it.

A query without a right reference counts as not found in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.retrieval import Found, IntArray

#: of the exponential in SDM@K, per degree (DenseUAV)
SDM_PER_DEG = 5e3


def recall_at(rank: IntArray, count: int) -> float:
    """R@K: share of queries with a right reference among the first `count`, 0..1."""
    return float(np.mean(rank < count))


def one_percent(references: int) -> int:
    """How many references the first percent is, at least one.

    R // 100, as Sample4Geo counts; VIGOR's and SAFA's programs take one more.
    """
    return max(1, references // 100)


def hit_rate(found: Found) -> float:
    """Share of queries before whose right reference nothing stands but semi-positive ones.

    So does the program of VIGOR (`validate_top` in `train_overall.py`). A semi-positive one first,
    a wrong one second and the right one third is no hit, although the first shows the place.
    """
    return float(np.mean(found.negatives_before == 0))


def mean_average_precision(found: Found) -> float:
    """Mean of `Found.average_precision`, 0..1: the AP of University-1652."""
    return float(np.mean(found.average_precision))


def distance_recall(found: Found, distance_m: float, count: int) -> float:
    """Share of queries with a reference within a distance among the first `count`.

    L@K within metres; CVACT's test counts so, within 5 m (`RecallGeo.m` of OriCNN), the distance
    included.
    """
    return recall_at(found.near_rank[distance_m], count)


def share_within(error: FloatArray, limits: Sequence[float]) -> dict[float, float]:
    """Share of errors (N,) of at most each limit, the same unit; NaN is beyond all of them."""
    return {limit: float(np.mean(np.asarray(error) <= limit)) for limit in limits}


def spatial_distance_metric(offsets_deg: FloatArray, count: int) -> float:
    """SDM@K of Dai et al., "Vision-Based UAV Self-Positioning" (DenseUAV, TIP 2024), 0..1.

    Each of the first K finds gives exp(-s d), with weight 1 - i / K for i = 0..K - 1, over the sum
    of the weights; d is the distance in the plane of longitude and latitude, in degrees, and
    s = 5000: 22 m to the north give 1 / e.

    Args:
        offsets_deg: (Q, at least K, 2) latitude and longitude of the finds minus the query's.
        count: K.
    """
    weight = 1.0 - np.arange(count) / count
    distance = np.linalg.norm(offsets_deg[:, :count], axis=2)
    score = np.exp(-SDM_PER_DEG * distance) @ weight / weight.sum()
    return float(np.mean(score))


def along_and_across(offset_xy_m: FloatArray, heading_deg: FloatArray) -> FloatArray:
    """Longitudinal and lateral parts (N, 2) of offsets, absolute, in metres.

    Shi and Li (CVPR 2022) report shares of both within 1, 3 and 5 m.

    Args:
        offset_xy_m: (N, 2) east and north.
        heading_deg: (N,) clockwise from north.
    """
    angle = np.radians(heading_deg)
    ahead = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    right = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    parts = [np.einsum("nd,nd->n", offset_xy_m, axis) for axis in (ahead, right)]
    return np.asarray(np.abs(np.stack(parts, axis=1)))
