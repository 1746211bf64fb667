# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From the descriptors of a split to the figures that papers report on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.errors import DatasetError
from geoloc_ros.evaluation import recall_area, retrieval_metrics
from geoloc_ros.evaluation.retrieval import Found, IntArray, Truth, search
from geoloc_ros.geo.place_mixture import EARTH_RADIUS_M, unit_vectors
from geoloc_ros.training.datasets.base import Places, Related, Split
from geoloc_ros.training.datasets.registry import WORLD_RADII_M

RANKS = (1, 5, 10)
LIMITS_M = (1.0, 3.0, 5.0)
SUBMAP_RADII_M = (50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4)
_WORLD = ("im2gps", "im2gps3k", "yfcc4k", "gws15k")


def distance_m(a: Places, a_rows: IntArray, b: Places, b_rows: IntArray) -> FloatArray:
    """Distances (N,) between places row by row; great circles where they are in degrees.

    The sphere of `geo.place_mixture` differs from the ellipsoid by at most 0.6 %.
    """
    if a.unit != b.unit:
        raise DatasetError(f"places in {a.unit} and in {b.unit} have no distance")
    if a.unit == "m":
        return np.asarray(np.linalg.norm(a.values[a_rows] - b.values[b_rows], axis=-1))
    chord = np.linalg.norm(_points(a)[a_rows] - _points(b)[b_rows], axis=-1)
    return np.asarray(2.0 * EARTH_RADIUS_M * np.arcsin(np.minimum(chord / 2.0, 1.0)))


def _points(places: Places) -> FloatArray:
    """Places on the unit sphere, or in their plane: straight distances rank as the true ones."""
    return unit_vectors(*places.values.T) if places.unit == "deg" else places.values


def near_rows(split: Split, radius_m: float) -> Related:
    """Of each query the references whose places lie within a radius, the radius included.

    Raises:
        DatasetError: a place is unknown.
    """
    asked, given = _places(split)
    reach = radius_m
    if asked.unit == "deg":
        reach = 2.0 * np.sin(min(radius_m / (2.0 * EARTH_RADIUS_M), np.pi / 2.0))
    tree = cKDTree(_points(given))
    found = tree.query_ball_point(_points(asked), reach * (1.0 + 1e-12), return_sorted=True)
    return Related(found)


def _places(split: Split) -> tuple[Places, Places]:
    asked, given = split.queries.places, split.references.places
    if asked is None or given is None:
        raise DatasetError(f"{split.dataset} says not where its pictures are; leave out --radii")
    for name, places in (("queries", asked), ("references", given)):
        if not np.isfinite(places.values).all():
            raise DatasetError(f"the place of some {name} of {split.dataset} is not known")
    return asked, given


def has_places(split: Split) -> bool:
    """Whether distances between queries and references are known."""
    asked, given = split.queries.places, split.references.places
    return asked is not None and given is not None and asked.unit == given.unit


def need_references(split: Split) -> None:
    """See that there is something to search.

    Raises:
        DatasetError: there is not.
    """
    if not len(split.references):
        raise DatasetError(
            f"{split.dataset} has nothing to search; --layout prints what it needs; or give "
            "positions with --predictions"
        )


def search_split(
    split: Split,
    query: Float32Array,
    reference: Float32Array,
    radii_m: Sequence[float],
    top: int = max(RANKS),
    tell: Callable[[int], object] = lambda done: None,
) -> Found:
    """Search a split that has references; see `evaluation.retrieval.search`.

    Raises:
        DatasetError: distances are asked for and places unknown.
    """
    near = {radius: near_rows(split, radius) for radius in radii_m}
    truth = Truth(split.positives, split.semi_positives, dict(near))
    return search(query, reference, truth, top, tell)


def figures(split: Split, found: Found, radii_m: Sequence[float]) -> dict[str, Any]:
    """All figures the split allows, shares in 0..1; keys as in docs/datasets.md.

    Args:
        split: what was searched.
        found: what came of it.
        radii_m: distances of `search_split`.
    """
    result: dict[str, Any] = {"queries": len(found), "references": found.references}
    percent = retrieval_metrics.one_percent(found.references)
    if split.positives.counts.any():
        result["recall"] = {
            **{str(k): retrieval_metrics.recall_at(found.rank, k) for k in RANKS},
            "1%": retrieval_metrics.recall_at(found.rank, percent),
        }
        result["ap"] = retrieval_metrics.mean_average_precision(found)
    if split.semi_positives.counts.any():
        result["hit_rate"] = retrieval_metrics.hit_rate(found)
    if has_places(split):
        result.update(_distance_figures(split, found, radii_m))
    return result


def _distance_figures(split: Split, found: Found, radii_m: Sequence[float]) -> dict[str, Any]:
    asked, given = _places(split)
    rows = np.arange(len(found))
    error_m = distance_m(asked, rows, given, found.top[:, 0])
    result = position_figures(error_m, radii_m)
    by_distance = retrieval_metrics.distance_recall
    result["recall_within_m"] = {
        key_of(radius): {str(k): by_distance(found, radius, k) for k in RANKS}
        for radius in radii_m
    }
    if asked.unit == "deg" and split.dataset not in _WORLD:
        offsets = given.values[found.top] - asked.values[:, None]
        result["sdm"] = {
            str(k): retrieval_metrics.spatial_distance_metric(offsets, k)
            for k in RANKS
            if k <= found.top.shape[1]
        }
    heading_deg = split.queries.heading_deg
    if heading_deg is not None and split.queries.view == "perspective":
        offset = _offset_xy_m(asked, rows, given, found.top[:, 0])
        parts = retrieval_metrics.along_and_across(offset, heading_deg)
        for axis, name in enumerate(("longitudinal_within_m", "lateral_within_m")):
            shares = retrieval_metrics.share_within(parts[:, axis], LIMITS_M)
            result[name] = {key_of(limit): share for limit, share in shares.items()}
    return result


def key_of(metres: float) -> str:
    """A distance as a key: without a point or an exponent where it is a whole number."""
    return f"{metres:.0f}" if metres == int(metres) else f"{metres:g}"


def position_figures(error_m: FloatArray, radii_m: Sequence[float]) -> dict[str, Any]:
    """Figures of one position a query: of the first find, or of whatever said it.

    Args:
        error_m: (Q,) distance to the truth; NaN: none was said.
        radii_m: distances that shares are given for, the distance included.
    """
    known = error_m[np.isfinite(error_m)]
    shares = retrieval_metrics.share_within(error_m, radii_m)
    return {
        "position_error_m": {
            "median": float(np.median(known)) if len(known) else None,
            "mean": float(np.mean(known)) if len(known) else None,
        },
        "positions": len(known),
        "within_m": {key_of(radius): share for radius, share in shares.items()},
    }


def _offset_xy_m(a: Places, a_rows: IntArray, b: Places, b_rows: IntArray) -> FloatArray:
    """East and north (N, 2) from places of `a` to places of `b`, metres.

    Degrees east are scaled by the cosine of the latitude of `a`: at 10 km and below 60 degrees of
    latitude right to 0.3 %.
    """
    difference = b.values[b_rows] - a.values[a_rows]
    if a.unit == "m":
        return difference
    north = np.radians(difference[:, 0]) * EARTH_RADIUS_M
    level = np.cos(np.radians(a.values[a_rows, 0]))
    turn = np.mod(difference[:, 1] + 180.0, 360.0) - 180.0
    return np.stack([np.radians(turn) * level * EARTH_RADIUS_M, north], axis=1)


def area_figures(
    split: Split,
    found: Found,
    query: Float32Array,
    reference: Float32Array,
    tile_m2: float | None,
    seed: int,
) -> dict[str, Any]:
    """Recall versus area: by search effort where tiles have a known size, and in submaps.

    Args:
        split: what was searched.
        found: what came of it.
        query: (Q, D) descriptors.
        reference: (R, D) descriptors.
        tile_m2: ground that one reference shows; None: not known.
        seed: of the draws of `recall_in_submaps`.
    """
    result: dict[str, Any] = {}
    if tile_m2 is not None:
        area = recall_area.area_to_truth_km2(found, tile_m2)
        whole = found.references * tile_m2 / recall_area.KM2
        budgets = [tile_m2 / recall_area.KM2, *_decades(tile_m2 / recall_area.KM2, whole)]
        shares = recall_area.recall_by_area(area, budgets)
        result["search_effort_km2"] = {f"{budget:.4g}": share for budget, share in shares.items()}
    asked, given = _places(split)
    every = np.arange(len(given))

    def offsets_m(row: int) -> FloatArray:
        return _offset_xy_m(asked, np.full(len(given), row), given, every)

    span = float(np.linalg.norm(np.ptp(offsets_m(0), axis=0)))
    radii = [radius for radius in SUBMAP_RADII_M if radius < span] or [SUBMAP_RADII_M[0]]
    shares = recall_area.recall_in_submaps(
        query, reference, split.positives, offsets_m, radii, seed
    )
    result["submap_km2"] = {f"{area:.4g}": share for area, share in shares.items()}
    return result


def _decades(first: float, last: float) -> list[float]:
    """Three round values a decade between two areas, and the last."""
    powers = range(int(np.floor(np.log10(first))), int(np.ceil(np.log10(last))) + 1)
    values = [m * 10.0**p for p in powers for m in (1.0, 2.0, 5.0)]
    return [*(v for v in values if first < v < last), last]


def percentages(result: dict[str, Any]) -> dict[str, float]:
    """The figures that papers print, by the names `published` uses, in percent."""
    flat = {f"R@{k}": value for k, value in result.get("recall", {}).items()}
    if "hit_rate" in result:
        flat["hit"] = result["hit_rate"]
    if "ap" in result:
        flat["AP"] = result["ap"]
    for radius, share in result.get("within_m", {}).items():
        if float(radius) in WORLD_RADII_M:
            flat[f"<{float(radius) / 1e3:g}km"] = share
    return {name: 100.0 * value for name, value in flat.items()}
