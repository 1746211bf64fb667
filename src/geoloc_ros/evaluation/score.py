# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of a run, frame by frame and as a whole; the report draws them, `result` sums them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation import metrics
from geoloc_ros.evaluation.columns import BoolArray, Estimates, Heard, IntArray, Retrieval, Truth
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.geo.far import far_xy
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

#: of a Gaussian in the plane, in sigmas
RADIUS_95 = float(np.sqrt(-2.0 * np.log(0.05)))


@dataclass(frozen=True, slots=True)
class Scores:
    """Every frame against the truth, all (N,) in the order of the estimates.

    Attributes:
        true_poses: (N, 3) truth at the frames, NaN where unknown.
        scored: LOCALISED, finite, and with truth: the frames the figures are taken over.
        without_truth: number of LOCALISED frames left out because truth is unknown there.
        error_m: horizontal error, NaN without truth or pose.
        yaw_error_deg: absolute heading error, NaN likewise.
        sigma_m: published standard deviation along the ellipse's longest axis.
        distance_sigma: position error in sigmas along its own direction, NaN where not scored.
        nees: normalised estimation error squared, NaN where not scored.
        dof: its degrees of freedom, 3, or 2 where truth has no yaw.
    """

    true_poses: FloatArray
    scored: BoolArray
    without_truth: int
    error_m: FloatArray
    yaw_error_deg: FloatArray
    sigma_m: FloatArray
    distance_sigma: FloatArray
    nees: FloatArray
    dof: IntArray


def score(estimates: Estimates, truth: Truth | None) -> Scores:
    """Compare the estimates with the truth at their own stamps.

    A LOCALISED frame whose pose is not finite is scored with an infinite error: it claimed a fix.

    Args:
        estimates: the run.
        truth: the reference, None if there is none.
    """
    count = len(estimates)
    nothing = Truth(np.empty(0, dtype=np.int64), np.empty((0, 3)))
    true, known = interpolate_truth(truth or nothing, estimates.stamp_ns)
    scored = estimates.localised & known
    distance, nees = np.full(count, np.nan), np.full(count, np.nan)
    values, dof_scored = metrics.nees(
        estimates.poses[scored], true[scored], estimates.cov_xy_yaw[scored]
    )
    nees[scored] = values
    dof = np.full(count, 3, dtype=np.int64)
    dof[scored] = dof_scored
    distance[scored] = metrics.position_mahalanobis(
        estimates.poses[scored], true[scored], estimates.cov_xy_yaw[scored]
    )
    error = metrics.position_error_m(estimates.poses, true)
    error[scored & ~np.isfinite(error)] = np.inf
    return Scores(
        true_poses=true,
        scored=scored,
        without_truth=int(np.sum(estimates.localised & ~known)),
        error_m=error,
        yaw_error_deg=metrics.yaw_error_deg(estimates.poses, true),
        sigma_m=metrics.sigma_major_m(estimates.cov_xy_yaw),
        distance_sigma=distance,
        nees=nees,
        dof=dof,
    )


def vlm_counts(
    heard: Sequence[Heard], truth: Truth | None, origin: Mapping[str, float] | None
) -> dict[str, Any]:
    """What became of the questions to a vision-language model.

    A guess of place is right when the true place lies within its likeliest part's 95 % circle.

    Args:
        heard: every question.
        truth: the reference, None if there is none.
        origin: lat_deg and lon_deg of the plane the truth is in, None where that is unknown.

    Returns:
        `asked`, `answered`, `timed_out`, `unparseable`, and `prior_hit_rate`: the share of right
        guesses, None where there are none or truth is unknown.
    """
    outcomes = Counter(row.outcome for row in heard)
    return {
        "asked": len(heard),
        "answered": outcomes["ok"],
        "timed_out": outcomes["timed_out"],
        "unparseable": outcomes["unparseable"],
        "prior_hit_rate": _hit_rate(heard, truth, origin),
    }


def _hit_rate(
    heard: Sequence[Heard], truth: Truth | None, origin: Mapping[str, float] | None
) -> float | None:
    guessed = [row for row in heard if row.reply.guesses]
    if truth is None or origin is None or not guessed:
        return None
    plane = LocalFrame(LatLon(origin["lat_deg"], origin["lon_deg"]))
    best = [max(row.reply.guesses, key=lambda guess: guess.share) for row in guessed]
    lat = [guess.position.lat_deg for guess in best]
    lon = [guess.position.lon_deg for guess in best]
    true, known = interpolate_truth(truth, [row.stamp_ns for row in guessed])
    off_m = np.hypot(*(far_xy(plane, lat, lon) - true[:, :2]).T)
    right = off_m <= RADIUS_95 * np.array([guess.sigma_m for guess in best])
    return float(np.mean(right[known])) if known.any() else None


def recall_at(
    retrieval: Retrieval,
    truth: Truth,
    radius_m: float,
    yaw_deg: float,
    ranks: tuple[int, ...] = (1, 5, 10),
) -> tuple[dict[str, float | None], int]:
    """Share of searched frames with a right entry among the first K.

    Right is within `radius_m` of the true position and, where the true heading is known, within
    `yaw_deg` of it. A search that found nothing is a miss; frames without truth are left out.

    Returns:
        K as text -> recall (None if no frame could be scored), and the number of frames scored.
    """
    true, known = interpolate_truth(truth, retrieval.stamp_ns)
    hit = np.zeros(len(known), dtype=bool)
    hit[known] = metrics.position_error_m(retrieval.poses[known], true[known]) <= radius_m
    off = metrics.yaw_error_deg(retrieval.poses, true)
    hit &= (off <= yaw_deg) | ~np.isfinite(true[:, 2])
    hit &= retrieval.rank >= 1
    frames, frame_of_row = np.unique(retrieval.stamp_ns[known], return_inverse=True)
    recall: dict[str, float | None] = {}
    for k in ranks:
        among = hit[known] & (retrieval.rank[known] <= k)
        found = np.bincount(frame_of_row, weights=among, minlength=len(frames)) > 0
        recall[str(k)] = float(np.mean(found)) if len(frames) else None
    return recall, len(frames)
