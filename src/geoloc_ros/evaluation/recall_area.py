# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recall versus area: how much ground is searched to find how many places.

Two curves. *Search effort* (Bianco, Eigen and Gormish, "Enhancing Worldwide Image Geolocation by
Ensembling Satellite-Based Ground-Level Attribute Predictors", arXiv 2407.13862): go through the
ranked references; a query is found within the area of those up to the first that shows its place.
Areas add up, what two references both show counts twice: an upper bound of the ground looked at.

*Submap* (the selection by distance to a prior of Waheed et al., arXiv 2507.17455): only references
within a radius of a prior are searched; the recall of the first find is given over the area of the
circle. The prior lies anywhere within that radius of the truth, all places alike (a seeded draw):
the worst of which it is known that the truth is inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from geoloc_ros.datatypes import Float32Array, FloatArray, Mask
from geoloc_ros.evaluation.retrieval import Found, IntArray, Rows

QUERIES = 2000
KM2 = 1e6


def area_to_truth_km2(found: Found, area_of_one_m2: float) -> FloatArray:
    """Square kilometres (Q,) of references up to the first right one; infinite if never found."""
    area = (found.rank + 1) * area_of_one_m2 / KM2
    return np.where(found.rank < found.references, area, np.inf)


def recall_by_area(area_km2: FloatArray, budgets_km2: Sequence[float]) -> dict[float, float]:
    """Share of queries (Q,) found within each budget, included."""
    return {budget: float(np.mean(area_km2 <= budget)) for budget in budgets_km2}


def recall_in_submaps(
    query: Float32Array,
    reference: Float32Array,
    positives: Rows,
    offsets_m: Callable[[int], FloatArray],
    radii_m: Sequence[float],
    seed: int = 0,
) -> dict[float, float]:
    """R@1 among the references within a radius of a prior, by area of the circle in km2.

    At most `QUERIES` queries are tried, drawn from all of them. A right reference outside the
    circle cannot be found.

    Args:
        query: (Q, D) descriptors.
        reference: (R, D) descriptors.
        positives: right references of each query.
        offsets_m: answers where all references (R, 2) lie from a query's true place, on a plane.
        radii_m: of the circles.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(query))[:QUERIES])
    angle = rng.uniform(0.0, 2.0 * np.pi, len(chosen))
    away = np.sqrt(rng.uniform(0.0, 1.0, len(chosen)))[:, None]  # even over the circle
    away = away * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = np.zeros(len(radii_m), dtype=np.int64)
    for row, offset in zip(chosen.tolist(), away, strict=True):
        values, places_m = reference @ query[row], offsets_m(row)
        for k, radius_m in enumerate(radii_m):
            inside = np.hypot(*(places_m - radius_m * offset).T) <= radius_m
            found[k] += _first_is_right(values, inside, positives[row])
    areas = [np.pi * radius_m**2 / KM2 for radius_m in radii_m]
    return {area: float(n) / len(chosen) for area, n in zip(areas, found, strict=True)}


def _first_is_right(values: Float32Array, inside: Mask, right: IntArray) -> bool:
    """Whether a right reference is the most similar of those inside; ties are lost."""
    right = right[inside[right]]
    if not len(right):
        return False
    others = inside.copy()
    others[right] = False
    return bool(values[right].max() > values[others].max(initial=-np.inf))
