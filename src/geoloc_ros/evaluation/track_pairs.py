# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which poses of two trajectories belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.checked import Checked, param
from geoloc_ros.errors import TrajectoryError
from geoloc_ros.evaluation.columns import IntArray, Truth
from geoloc_ros.evaluation.evo_metrics import ALIGNMENTS, UNITS, Rows, match_stamps
from geoloc_ros.evaluation.tracks import Track
from geoloc_ros.evaluation.trajectory import MAX_GAP_S, interpolate_truth


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackScoring(Checked):
    """How two trajectories are compared."""

    tolerance_s: float = param(
        0.01, "largest difference of stamps that are paired, s", ge=0, le=60
    )
    interpolate: bool = param(
        False, "take the truth between its samples, at the estimate's stamps"
    )
    alignment: str = param("none", "what the estimate is moved by first", choices=ALIGNMENTS)
    planar: bool = param(False, "compare x, y and yaw only")
    rpe_delta: float = param(10.0, "length of the pieces of the relative error", ge=1e-3, le=1e6)
    rpe_unit: str = param("m", "unit of that length", choices=UNITS)
    max_gap_s: float = param(
        MAX_GAP_S, "estimates further apart are unavailable between, s", ge=1e-3, le=1e6
    )


def paired(estimate: Track, truth: Track, how: TrackScoring) -> tuple[Track, Track]:
    """Poses of both that belong together, as two tracks of one length.

    Raises:
        TrajectoryError: there are none, or only one of the two has stamps.
    """
    if estimate.stamped != truth.stamped:
        bare = truth if estimate.stamped else estimate
        raise TrajectoryError(
            f"{bare.name} has no stamps (KITTI), so its poses can only be paired with those of "
            "another file without stamps, row by row"
        )
    if not estimate.stamped:
        if len(estimate) != len(truth):
            raise TrajectoryError(
                f"{estimate.name} has {len(estimate)} poses, {truth.name} {len(truth)}; poses "
                "without stamps (KITTI) are paired row by row"
            )
        return estimate, truth
    if how.interpolate:
        rows, partner = _interpolated(truth, estimate.stamp_ns, how.max_gap_s)
    else:
        rows, other = match_stamps(estimate.stamp_ns, truth.stamp_ns, how.tolerance_s)
        partner = truth.rows(other)
    if not len(rows):
        raise TrajectoryError(_no_overlap(estimate, truth, how))
    return estimate.rows(rows), partner


def _interpolated(truth: Track, stamp_ns: IntArray, max_gap_s: float) -> tuple[Rows, Track]:
    """Rows of the stamps at which the truth is known, and the truth there.

    Positions are linear between samples, rotations turn about one axis (scipy's Slerp); not over
    gaps and jumps, see `interpolate_truth`.
    """
    flat = Truth(truth.stamp_ns, truth.planar_poses)
    _, known = interpolate_truth(flat, stamp_ns, max_gap_s=max_gap_s)
    rows = np.flatnonzero(known)
    start_ns = truth.stamp_ns[0]
    at, samples = (stamp_ns[rows] - start_ns) * 1e-9, (truth.stamp_ns - start_ns) * 1e-9
    positions = np.column_stack([np.interp(at, samples, xyz) for xyz in truth.positions_m.T])
    rotations = None
    if truth.rotations is not None and len(rows):
        from scipy.spatial.transform import Rotation, Slerp

        turns = Rotation.from_matrix(truth.rotations)
        rotations = Slerp(samples, turns)(at).as_matrix() if len(truth) > 1 else truth.rotations
    return rows, Track(truth.name, stamp_ns[rows], positions, rotations)


def _no_overlap(estimate: Track, truth: Track, how: TrackScoring) -> str:
    spans = [(int(t.stamp_ns[0]) * 1e-9, int(t.stamp_ns[-1]) * 1e-9) for t in (estimate, truth)]
    (a, b), (c, d) = spans
    text = (
        f"no pose of {estimate.name} has a partner in {truth.name}: they span {a:.3f}..{b:.3f} s "
        f"and {c:.3f}..{d:.3f} s"
    )
    if b < c or d < a:
        return f"{text}, which do not overlap; do both use the same clock?"
    places = np.clip(np.searchsorted(truth.stamp_ns, estimate.stamp_ns), 1, len(truth) - 1)
    near = np.minimum(
        np.abs(truth.stamp_ns[places] - estimate.stamp_ns),
        np.abs(truth.stamp_ns[places - 1] - estimate.stamp_ns),
    )
    least = float(near.min()) * 1e-9
    if how.interpolate:
        return f"{text}, with gaps of the truth above {how.max_gap_s:g} s between"
    return (
        f"{text}, and the nearest stamps are {least:.3g} s apart, more than the tolerance of "
        f"{how.tolerance_s:g} s; allow more with --tolerance, or take the truth between its "
        "samples with --interpolate"
    )
