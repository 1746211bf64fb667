# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Any trajectory against any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import TrajectoryError
from geoloc_ros.evaluation import metrics
from geoloc_ros.evaluation.columns import BoolArray, IntArray, Truth
from geoloc_ros.evaluation.evo_metrics import (
    Aligned,
    Poses,
    absolute_errors,
    align,
    relative_errors,
)
from geoloc_ros.evaluation.result import position_figures
from geoloc_ros.evaluation.track_pairs import TrackScoring, paired
from geoloc_ros.evaluation.tracks import Track
from geoloc_ros.evaluation.trajectory import distance_along_m
from geoloc_ros.geo.rotations import turns_about_z


@dataclass(frozen=True, slots=True)
class TrackErrors:
    """What is wrong with every pose that has a partner, all (N,).

    Attributes:
        stamp_ns: ascending.
        way_m: horizontal way along the truth until then.
        error_m: horizontal distance from the truth.
        yaw_deg: absolute heading error, NaN without headings.
        xy_m: (N, 2) the estimate, after alignment.
    """

    stamp_ns: IntArray
    way_m: FloatArray
    error_m: FloatArray
    yaw_deg: FloatArray
    xy_m: FloatArray

    def rows(self, which: BoolArray) -> TrackErrors:
        """Some of the poses."""
        columns = (self.way_m, self.error_m, self.yaw_deg, self.xy_m)
        return TrackErrors(self.stamp_ns[which], *(column[which] for column in columns))


@dataclass(frozen=True, slots=True)
class TrackScore:
    """Figures of an estimate against a truth.

    Attributes:
        figures: what is printed and written, by name; None where unknown.
        notes: what to know before believing them, one line each.
        unknown: why a figure may be None.
        errors: pose by pose.
    """

    figures: dict[str, Any]
    notes: tuple[str, ...]
    unknown: str
    errors: TrackErrors


def score_track(estimate: Track, truth: Track, how: TrackScoring) -> TrackScore:
    """Score a trajectory.

    Args:
        estimate: what is scored.
        truth: what it is scored against, in a frame that can be compared (see `on_one_plane`).
        how: the settings.

    Raises:
        TrajectoryError: nothing can be paired, the alignment is not possible, or evo is not
            installed.
    """
    notes = [*_named(estimate), *_named(truth), *_frames(estimate, truth)]
    mine, theirs = paired(estimate, truth, how)
    planar = how.planar or _planar(mine, theirs, notes)
    fixed = _path(theirs, planar)
    aligned = align(_path(mine, planar), fixed, how.alignment)
    notes += _alignment_note(aligned, how.alignment)
    ape_m, ape_deg = absolute_errors(aligned.path, fixed)
    errors = _errors(mine, theirs, aligned.path, _way_m(truth, theirs.stamp_ns))
    figures = {
        "estimate": estimate.name,
        "truth": truth.name,
        "poses": len(estimate),
        "truth_poses": len(truth),
        "pairs": len(mine),
        "alignment": how.alignment,
        "alignment_moved_m": aligned.moved_m,
        "alignment_turned_deg": aligned.turned_deg,
        "alignment_scale": aligned.scale,
        "compared_in": "xy" if planar else "xyz",
        "distance_m": float(errors.way_m[-1] - errors.way_m[0]),
        **_availability(estimate, truth, how.max_gap_s),
        "ape_m": statistics(ape_m),
        "ape_deg": statistics(ape_deg),
        "rpe": _rpe(aligned.path, fixed, how, notes),
        "position_error_m": position_figures(errors.error_m),
        "yaw_error_deg": {
            "median": metrics.percentile(errors.yaw_deg, 50),
            "p95": metrics.percentile(errors.yaw_deg, 95),
        },
        **_consistency(mine, theirs, how.alignment, notes),
    }
    return TrackScore(figures, tuple(notes), _unknown(mine, theirs, how), errors)


def track_rows(figures: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """(name, value, unit) of the figures that people read first; unit '%' means a share."""
    rpe, position, yaw = figures["rpe"], figures["position_error_m"], figures["yaw_error_deg"]
    space = "x, y and z" if figures["compared_in"] == "xyz" else "x and y"
    piece = f"{rpe['delta']:g} {rpe['unit']}"
    rows: list[tuple[str, Any, str]] = [
        ("poses", figures["poses"], ""),
        ("poses of the truth", figures["truth_poses"], ""),
        ("pairs", figures["pairs"], ""),
        ("distance", figures["distance_m"], "m"),
        ("availability", figures["availability"], "%"),
        ("time to first fix", figures["time_to_first_fix_s"], "s"),
        ("longest gap", figures["longest_gap_s"], "s"),
        ("alignment", figures["alignment"], ""),
    ]
    for name in ("rmse", "median", "p95", "max"):
        rows.append((f"APE in {space}, {name}", figures["ape_m"][name], "m"))
    rows.append(("APE of orientation, rmse", figures["ape_deg"]["rmse"], "deg"))
    for name in ("rmse", "median"):
        rows.append((f"RPE over {piece}, {name}", rpe["m"][name], "m"))
    rows.append((f"RPE over {piece} of orientation, rmse", rpe["deg"]["rmse"], "deg"))
    rows += [(f"horizontal error, {name}", value, "m") for name, value in position.items()]
    rows += [(f"yaw error, {name}", value, "deg") for name, value in yaw.items()]
    rows += [
        ("confidently wrong", figures["confidently_wrong"], "%"),
        ("NEES, mean", figures["nees_mean"], ""),
        ("coverage of the 95 % region", figures["coverage_95"], "%"),
    ]
    return rows


def statistics(error: FloatArray | None) -> dict[str, float | None]:
    """Root mean square, mean, median, 95th percentile, deviation, least and largest."""
    names = ("rmse", "mean", "median", "p95", "std", "min", "max")
    if error is None or not len(error):
        return dict.fromkeys(names)
    values = (
        np.sqrt(np.mean(error**2)),
        error.mean(),
        np.median(error),
        np.percentile(error, 95),
        error.std(),
        error.min(),
        error.max(),
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def available_share(
    stamp_ns: IntArray, start_ns: int, end_ns: int, max_gap_s: float
) -> tuple[float | None, float | None, float | None]:
    """How much of a span of time an estimate was there for.

    Time between two estimates counts as available if they are at most `max_gap_s` apart, else not
    at all; so does the time from the last one to the end of the span.

    Args:
        stamp_ns: (N,) ascending stamps of the estimates.
        start_ns: start of the span, as of the truth.
        end_ns: its end.
        max_gap_s: longest gap, s.

    Returns:
        The available share of the time from the first estimate within the span on, the seconds
        from the start of the span to it, and the longest gap in seconds; None if there is none,
        or no time.
    """
    inside = stamp_ns[(stamp_ns >= start_ns) & (stamp_ns <= end_ns)]
    if not len(inside):
        return None, None, None
    gaps_s = np.diff(np.r_[inside, end_ns]) * 1e-9
    total_s = float(gaps_s.sum())
    share = float(gaps_s[gaps_s <= max_gap_s].sum()) / total_s if total_s else None
    return share, float(inside[0] - start_ns) * 1e-9, float(gaps_s.max())


def _planar(estimate: Track, truth: Track, notes: list[str]) -> bool:
    """Whether only the plane can be compared: a height is missing, or one of two never changes."""
    bare = [track.name for track in (estimate, truth) if not track.has_heights]
    flat = [track.name for track in (estimate, truth) if track.is_flat]
    if bare:
        notes.append(f"compared in x, y and yaw: {' and '.join(bare)} has no heights")
    elif len(flat) == 1:
        notes.append(f"compared in x, y and yaw: the height of {flat[0]} never changes")
    return bool(bare) or len(flat) == 1


def _path(track: Track, planar: bool) -> Poses:
    """The poses; with `planar` at height zero, turned about z only."""
    if not planar:
        return Poses(track.positions_m, track.rotations)
    positions = track.positions_m * np.array([1.0, 1.0, 0.0])
    positions[:, 2] = 0.0
    if track.rotations is None:
        return Poses(positions, None)
    return Poses(positions, turns_about_z(track.planar_poses[:, 2]))


# -- figures ----------------------------------------------------------------------------------


def _errors(estimate: Track, truth: Track, moved: Poses, way_m: FloatArray) -> TrackErrors:
    """Horizontal errors, pose by pose."""
    planar = Track("", estimate.stamp_ns, moved.positions_m, moved.rotations).planar_poses
    return TrackErrors(
        stamp_ns=estimate.stamp_ns,
        way_m=way_m,
        error_m=metrics.position_error_m(planar, truth.planar_poses),
        yaw_deg=metrics.yaw_error_deg(planar, truth.planar_poses),
        xy_m=planar[:, :2],
    )


def _consistency(
    estimate: Track, truth: Track, alignment: str, notes: list[str]
) -> dict[str, float | None]:
    """The figures of `result.json` that judge a covariance; None where none can be judged."""
    names = ("confidently_wrong", "nees_mean", "coverage_95")
    cov = estimate.cov_xy_yaw
    if cov is None or alignment != "none":
        return dict.fromkeys(names)
    estimated, true = estimate.planar_poses, truth.planar_poses
    told = np.isfinite(cov[:, :2, :2]).all(axis=(1, 2))
    if not told.all():
        notes.append(f"{np.sum(~told)} of {len(cov)} pairs have no covariance")
    # Without a heading, or a variance of it, the covariance of x and y alone is judged.
    true[~np.isfinite(estimated[:, 2] + cov[:, 2, 2]), 2] = np.nan
    nees, dof = metrics.nees(estimated[told], true[told], cov[told])
    sigmas = metrics.position_mahalanobis(estimated[told], true[told], cov[told])
    mean = float(nees.mean()) if len(nees) else None
    found = (metrics.confidently_wrong(sigmas), mean, metrics.coverage(nees, dof))
    return dict(zip(names, found, strict=True))


def _rpe(estimate: Poses, truth: Poses, how: TrackScoring, notes: list[str]) -> dict[str, Any]:
    if how.rpe_unit == "frames" and how.rpe_delta != round(how.rpe_delta):
        raise TrajectoryError(f"{how.rpe_delta:g} frames are no whole number of them")
    errors = relative_errors(estimate, truth, how.rpe_delta, how.rpe_unit)
    if errors is None:
        notes.append(f"no relative error: no piece of {how.rpe_delta:g} {how.rpe_unit}")
    elif errors[1] is None:
        notes.append("without orientations the relative error compares distances only")
    metres, degrees = errors if errors is not None else (None, None)
    return {
        "delta": how.rpe_delta,
        "unit": how.rpe_unit,
        "pieces": 0 if metres is None else len(metres),
        "m": statistics(metres),
        "deg": statistics(degrees),
    }


def _availability(estimate: Track, truth: Track, max_gap_s: float) -> dict[str, float | None]:
    names = ("availability", "time_to_first_fix_s", "longest_gap_s")
    if not estimate.stamped:
        return dict.fromkeys(names)
    start_ns, end_ns = int(truth.stamp_ns[0]), int(truth.stamp_ns[-1])
    found = available_share(estimate.stamp_ns, start_ns, end_ns, max_gap_s)
    return dict(zip(names, found, strict=True))


def _way_m(truth: Track, stamp_ns: IntArray) -> FloatArray:
    """(N,) horizontal way along the truth from its start until some stamps."""
    if truth.stamped:
        along = distance_along_m(Truth(truth.stamp_ns, truth.planar_poses))
    else:
        steps_m = np.linalg.norm(np.diff(truth.positions_m[:, :2], axis=0), axis=1)
        along = np.r_[0.0, np.cumsum(steps_m)]
    start_ns = truth.stamp_ns[0]
    return np.asarray(np.interp(stamp_ns - start_ns, truth.stamp_ns - start_ns, along))


# -- what to know before believing ------------------------------------------------------------


def _named(track: Track) -> list[str]:
    return [f"{track.name}: {note}" for note in track.notes]


def _frames(estimate: Track, truth: Track) -> Sequence[str]:
    if estimate.frame and truth.frame and estimate.frame != truth.frame:
        if "WGS84" in (estimate.frame, truth.frame):
            return ()
        return (
            f"the estimate is in frame {estimate.frame!r}, the truth in {truth.frame!r}: what "
            "lies between them counts as error",
        )
    return ()


def _alignment_note(aligned: Aligned, how: str) -> list[str]:
    if how == "none":
        return []
    scale = f" and stretched by {aligned.scale:.6g}" if how == "sim3" else ""
    return [
        f"aligned ({how}): before it was scored the estimate was moved by {aligned.moved_m:.3g} m "
        f"(mean), turned by {aligned.turned_deg:.3g} degrees{scale}. The errors below hide that; "
        "its covariance is not judged"
    ]


def _unknown(estimate: Track, truth: Track, how: TrackScoring) -> str:
    if how.alignment != "none" and estimate.cov_xy_yaw is not None:
        return "an aligned estimate's covariance is not judged, or the trajectories do not hold it"
    missing = [
        what
        for what, absent in (
            ("covariance", estimate.cov_xy_yaw is None),
            ("orientations", estimate.rotations is None or truth.rotations is None),
            ("stamps", not estimate.stamped),
        )
        if absent
    ]
    return f"the trajectories hold no {' and no '.join(missing) or 'such thing'}"
