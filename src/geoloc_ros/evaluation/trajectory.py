# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Truth at the stamps of the estimates, distances along it, and what happens after events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation import metrics
from geoloc_ros.evaluation.columns import BoolArray, Estimates, IntArray, Truth
from geoloc_ros.geo.se2 import wrap_angle

MAX_GAP_S = 1.0
"""Truth further apart than this is not interpolated."""

MAX_SPEED_MPS = 60.0
"""Truth that moves faster than this has jumped (a kidnapping, a clock jump), not driven."""

RIGHT_WITHIN_M = 10.0
"""An estimate at most this far off counts as right after an event, whatever its sigma."""


def _jumped(truth: Truth) -> BoolArray:
    """(N-1,) whether the truth jumped between neighbouring samples."""
    step_m = np.hypot(np.diff(truth.poses[:, 0]), np.diff(truth.poses[:, 1]))
    step_s = np.diff(truth.stamp_ns) * 1e-9
    # A metre is forgiven: the noise of a fast truth sensor is not speed.
    return np.asarray(step_m > MAX_SPEED_MPS * step_s + 1.0)


def interpolate_truth(
    truth: Truth,
    stamp_ns: npt.ArrayLike,
    *,
    max_gap_s: float = MAX_GAP_S,
) -> tuple[FloatArray, BoolArray]:
    """Truth at the given stamps: linear in position, along the shorter arc in yaw.

    Not extrapolated, not interpolated over more than `max_gap_s` nor across a jump faster than
    `MAX_SPEED_MPS`; a stamp that coincides with a sample is always known.

    Args:
        truth: the reference.
        stamp_ns: (N,) stamps in any order.
        max_gap_s: longest gap bridged, s.

    Returns:
        (N, 3) poses, NaN where unknown (yaw also where truth has none), and (N,) known.
    """
    stamps = np.asarray(stamp_ns, dtype=np.int64)
    poses = np.full((len(stamps), 3), np.nan)
    known = np.zeros(len(stamps), dtype=bool)
    if len(truth) == 0 or len(stamps) == 0:
        return poses, known
    after = np.searchsorted(truth.stamp_ns, stamps, side="left")
    exact = (after < len(truth)) & (truth.stamp_ns[np.minimum(after, len(truth) - 1)] == stamps)
    poses[exact], known[exact] = truth.poses[after[exact]], True

    inside = ~exact & (after > 0) & (after < len(truth))
    gap_ok = np.zeros(len(truth), dtype=bool)
    gap_ok[1:] = (np.diff(truth.stamp_ns) <= round(max_gap_s * 1e9)) & ~_jumped(truth)
    inside[inside] &= gap_ok[after[inside]]
    right = after[inside]
    left = right - 1
    start, end = truth.poses[left], truth.poses[right]
    span = (truth.stamp_ns[right] - truth.stamp_ns[left]).astype(np.float64)
    share = ((stamps[inside] - truth.stamp_ns[left]) / span)[:, None]
    step = end - start
    step[:, 2] = wrap_angle(step[:, 2])
    between = start + share * step
    between[:, 2] = wrap_angle(between[:, 2])
    poses[inside], known[inside] = between, True
    return poses, known


def truth_jumps(truth: Truth) -> IntArray:
    """Stamps of the first sample after each jump: where a vehicle was kidnapped, ns."""
    return np.asarray(truth.stamp_ns[1:][_jumped(truth)]) if len(truth) > 1 else truth.stamp_ns[:0]


def distance_along_m(truth: Truth) -> FloatArray:
    """(N,) metres driven since the first sample; jumps do not count as driving."""
    if len(truth) == 0:
        return np.empty(0)
    step_m = np.hypot(np.diff(truth.poses[:, 0]), np.diff(truth.poses[:, 1]))
    step_m[_jumped(truth)] = 0.0
    return np.concatenate([[0.0], np.cumsum(step_m)])


def distance_between_m(truth: Truth, from_ns: int, to_ns: int) -> float:
    """Metres of true path between two stamps; a stamp outside the truth counts as its end."""
    if len(truth) == 0:
        return float("nan")
    # The step that jumps adds nothing, so interpolating the distance over it is exact.
    since_ns = (truth.stamp_ns - truth.stamp_ns[0]).astype(np.float64)
    at = np.array([from_ns - truth.stamp_ns[0], to_ns - truth.stamp_ns[0]], dtype=np.float64)
    start, end = np.interp(at, since_ns, distance_along_m(truth))
    return float(end - start)


def right(estimates: Estimates, truth: Truth) -> BoolArray:
    """(N,) LOCALISED, and within the larger of 3 sigma and `RIGHT_WITHIN_M` of the truth."""
    true, known = interpolate_truth(truth, estimates.stamp_ns)
    good = estimates.localised & known
    where = np.flatnonzero(good)
    error = metrics.position_error_m(estimates.poses[where], true[where])
    sigmas = metrics.position_mahalanobis(
        estimates.poses[where], true[where], estimates.cov_xy_yaw[where]
    )
    good[where] = (error <= RIGHT_WITHIN_M) | (sigmas <= metrics.CONFIDENT_SIGMA)
    return good


def recovery_distance_m(
    estimates: Estimates, truth: Truth, events_ns: Sequence[int]
) -> list[float | None]:
    """Metres driven from each event until an estimate is LOCALISED and right; None if never.

    An event is a kidnapping (`truth_jumps`) or the start of the recording. The search ends at the
    next event, or at the end.
    """
    return _first_after(estimates, truth, events_ns, right(estimates, truth))


def withdrawn_distance_m(
    estimates: Estimates, truth: Truth, events_ns: Sequence[int]
) -> list[float | None]:
    """Metres driven from each event until an estimate is not LOCALISED; None if never.

    An event is the moment the vehicle leaves the indexed area or its camera is covered.
    """
    return _first_after(estimates, truth, events_ns, ~estimates.localised)


def distance_to_first_fix_m(estimates: Estimates, truth: Truth) -> float | None:
    """Metres of true path from the first frame to the first LOCALISED one; None if never."""
    if not estimates.localised.any() or len(truth) == 0:
        return None
    first = int(np.argmax(estimates.localised))
    return distance_between_m(truth, int(estimates.stamp_ns[0]), int(estimates.stamp_ns[first]))


def _first_after(
    estimates: Estimates, truth: Truth, events_ns: Sequence[int], wanted: BoolArray
) -> list[float | None]:
    result: list[float | None] = []
    for event_ns in events_ns:
        later = [other for other in events_ns if other > event_ns]
        end_ns = min(later) if later else np.iinfo(np.int64).max
        frames = (estimates.stamp_ns >= event_ns) & (estimates.stamp_ns < end_ns) & wanted
        if frames.any() and len(truth):
            first = int(estimates.stamp_ns[frames].min())
            result.append(distance_between_m(truth, int(event_ns), first))
        else:
            result.append(None)
    return result
