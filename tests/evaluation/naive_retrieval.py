# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The papers' formulas once more, in plain loops over sorted lists, sharing nothing with `src`."""

import math


def ranking(values, right=()):
    """References by falling similarity; of equal ones those that are right come last."""
    return sorted(range(len(values)), key=lambda r: (-values[r], r in set(right)))


def recall(similarity, positives, k):
    """Share of rows with a positive among the first k of the sorted list."""
    hits = 0
    for values, right in zip(similarity, positives, strict=True):
        if set(ranking(values, right)[:k]) & set(right):
            hits += 1
    return hits / len(similarity)


def hit_rate(similarity, positives, semi):
    """VIGOR: strike out the semi-positives; is what then stands first a positive?"""
    hits = 0
    for values, right, aside in zip(similarity, positives, semi, strict=True):
        left = [r for r in ranking(values, right) if r in set(right) or r not in set(aside)]
        if left and left[0] in set(right):
            hits += 1
    return hits / len(similarity)


def mean_average_precision(similarity, positives):
    """Walk down the list; trapezoids of precision between recall steps (Oxford5k)."""
    total = 0.0
    for values, right in zip(similarity, positives, strict=True):
        area, old_recall, old_precision, seen = 0.0, 0.0, 1.0, 0
        for position, r in enumerate(ranking(values, right), start=1):
            if r in set(right):
                seen += 1
            recall_now = seen / len(right) if right else 0.0
            precision = seen / position
            area += (recall_now - old_recall) * (old_precision + precision) / 2.0
            old_recall, old_precision = recall_now, precision
        total += area
    return total / len(similarity)


def distance_recall(similarity, query_xy, reference_xy, limit, k):
    """CVACT: is one of the first k references within the limit of the query?"""
    hits = 0
    for values, (x, y) in zip(similarity, query_xy, strict=True):
        near = [r for r, (a, b) in enumerate(reference_xy) if math.hypot(a - x, b - y) <= limit]
        hits += bool(set(ranking(values, near)[:k]) & set(near))
    return hits / len(similarity)


def sdm(similarity, query_deg, reference_deg, k):
    """DenseUAV, equation of SDM@K."""
    total = 0.0
    for values, (lat, lon) in zip(similarity, query_deg, strict=True):
        above = below = 0.0
        for i, r in enumerate(ranking(values)[:k], start=1):
            d = math.sqrt((reference_deg[r][0] - lat) ** 2 + (reference_deg[r][1] - lon) ** 2)
            above += (k - i + 1) / math.exp(5e3 * d)
            below += k - i + 1
        total += above / below
    return total / len(similarity)


def within_area(similarity, positives, tile_km2, budget_km2):
    """Recall vs area: add up areas down the list until a positive has been looked at."""
    hits = 0
    for values, right in zip(similarity, positives, strict=True):
        area = 0.0
        for r in ranking(values, right):
            area += tile_km2
            if r in set(right):
                hits += area <= budget_km2 + 1e-12
                break
    return hits / len(similarity)
