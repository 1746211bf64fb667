# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectory errors as the evo library takes them (https://github.com/MichaelGrupp/evo).

Nothing but `evo.core` is used: it computes. `evo.tools` would read settings and write a folder in
the user's home, also where nobody asked for it. evo is under the GPL and is installed only by whom
asks for it (the extra `eval`); this is the only module that imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import TrajectoryError, first_line
from geoloc_ros.evaluation.columns import IntArray
from geoloc_ros.geo.rotations import transform

ALIGNMENTS = ("none", "origin", "se3", "sim3")
"""What an estimate may be moved by before it is scored: nothing, what takes its first pose onto
that of the truth, the rigid motion that fits all positions best (Umeyama, Least-squares estimation
of transformation parameters between two point patterns, PAMI 1991), or that with a scale."""

UNITS = ("m", "frames")

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Poses:
    """Poses without stamps.

    Attributes:
        positions_m: (N, 3).
        rotations: (N, 3, 3); None without orientations.
    """

    positions_m: FloatArray
    rotations: FloatArray | None


@dataclass(frozen=True, slots=True)
class Aligned:
    """An estimate that was moved, and how far.

    Attributes:
        path: the estimate afterwards.
        moved_m: mean distance that its positions were moved by.
        turned_deg: by how much it was turned.
        scale: by how much it was stretched.
    """

    path: Poses
    moved_m: float = 0.0
    turned_deg: float = 0.0
    scale: float = 1.0


def match_stamps(first_ns: IntArray, second_ns: IntArray, tolerance_s: float) -> tuple[Rows, Rows]:
    """Rows of the nearest stamps at most a tolerance apart, as `evo.core.sync` pairs them.

    Every stamp of the shorter list gets the nearest one of the longer, if that is near enough.

    Args:
        first_ns: (N,) ascending.
        second_ns: (M,) ascending.
        tolerance_s: largest difference, s.

    Raises:
        TrajectoryError: evo is not installed.
    """
    sync = _evo("sync")
    start_ns = min(int(first_ns[0]), int(second_ns[0]))  # floats are exact around zero
    first, second = ((stamps - start_ns) * 1e-9 for stamps in (first_ns, second_ns))
    if len(second) > len(first):
        rows = sync.matching_time_indices(first, second, tolerance_s)
    else:
        rows = sync.matching_time_indices(second, first, tolerance_s)[::-1]
    return np.array(rows[0], dtype=np.intp), np.array(rows[1], dtype=np.intp)


def align(estimate: Poses, truth: Poses, how: str) -> Aligned:
    """Move an estimate onto the truth.

    Args:
        estimate: (N,) poses.
        truth: (N,) poses, each the partner of the same row.
        how: one of `ALIGNMENTS`.

    Raises:
        TrajectoryError: evo is not installed, or the positions do not fix the motion, as on a
            line, or there are no orientations to take the first pose onto the other.
    """
    if how == "none":
        return Aligned(estimate)
    if how == "origin" and (estimate.rotations is None or truth.rotations is None):
        raise TrajectoryError("alignment 'origin' needs orientations in both trajectories")
    moving, fixed = _pose_path(estimate), _pose_path(truth)
    scale = 1.0
    try:
        if how == "origin":
            rotation = moving.align_origin(fixed)[:3, :3]
        else:
            rotation, _, scale = moving.align(fixed, correct_scale=how == "sim3")
    except _evo("metrics").EvoException as error:
        raise TrajectoryError(
            f"alignment {how!r} is not possible: {first_line(error)}; the positions lie on a line "
            "or at one place"
        ) from error
    positions = np.array(moving.positions_xyz)
    poses = np.array(moving.poses_se3)
    angle = np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0))
    return Aligned(
        path=Poses(positions, None if estimate.rotations is None else poses[:, :3, :3]),
        moved_m=float(np.linalg.norm(positions - estimate.positions_m, axis=1).mean()),
        turned_deg=float(np.degrees(angle)),
        scale=float(scale),
    )


def absolute_errors(estimate: Poses, truth: Poses) -> tuple[FloatArray, FloatArray | None]:
    """Absolute pose errors (APE): (N,) m, and (N,) degrees or None without orientations.

    Raises:
        TrajectoryError: evo is not installed, or a rotation is none.
    """
    metrics = _evo("metrics")
    pair = _pose_path(truth), _pose_path(estimate)
    found = []
    for relation in _relations(estimate, truth):
        metric = metrics.APE(relation)
        found.append(_errors(metric, pair))
    return found[0], found[1] if len(found) > 1 else None


def relative_errors(
    estimate: Poses, truth: Poses, delta: float, unit: str
) -> tuple[FloatArray, FloatArray | None] | None:
    """Relative pose errors (RPE) over pieces of the same length, one after the other.

    The pieces are measured along the truth: the way of an estimate that trembles is longer than
    what was driven. Without orientations the error is the difference of the distances between
    the ends of a piece (evo's `point_distance`).

    Args:
        estimate: (N,) poses.
        truth: (N,) poses.
        delta: length of a piece.
        unit: one of `UNITS`: metres, or poses, of which `delta` is then a whole number.

    Returns:
        Errors in m and in degrees (None without orientations) of every piece; None if the truth
        is shorter than one.

    Raises:
        TrajectoryError: evo is not installed, or a rotation is none.
    """
    metrics = _evo("metrics")
    units = {"m": metrics.Unit.meters, "frames": metrics.Unit.frames}
    pair = _pose_path(truth), _pose_path(estimate)
    oriented = estimate.rotations is not None and truth.rotations is not None
    relations = _relations(estimate, truth)
    if not oriented:
        relations = [metrics.PoseRelation.point_distance]
    found = []
    for relation in relations:
        metric = metrics.RPE(relation, delta, units[unit], pairs_from_reference=True)
        try:
            found.append(_errors(metric, pair))
        except metrics.filters.FilterException:
            return None
    return found[0], found[1] if oriented else None


def _relations(estimate: Poses, truth: Poses) -> list[Any]:
    relation = _evo("metrics").PoseRelation
    if estimate.rotations is None or truth.rotations is None:
        return [relation.translation_part]
    return [relation.translation_part, relation.rotation_angle_deg]


def _errors(metric: Any, pair: tuple[Any, Any]) -> FloatArray:  # noqa: ANN401 - evo's
    metrics = _evo("metrics")
    try:
        metric.process_data(pair)
    except metrics.filters.FilterException:
        raise
    except metrics.EvoException as error:
        raise TrajectoryError(f"evo refuses the trajectories: {first_line(error)}") from error
    return np.array(metric.error, dtype=np.float64)


def _pose_path(path: Poses) -> Any:  # noqa: ANN401 - evo's PosePath3D
    rotations = path.rotations
    if rotations is None:
        rotations = np.broadcast_to(np.eye(3), (len(path.positions_m), 3, 3))
    poses = [transform(*pose) for pose in zip(rotations, path.positions_m, strict=True)]
    return _evo("trajectory").PosePath3D(poses_se3=poses)


def _evo(name: str) -> Any:  # noqa: ANN401 - a module of evo.core
    import importlib

    try:
        return importlib.import_module(f"evo.core.{name}")
    except ImportError as error:
        raise TrajectoryError(
            f"trajectories are scored by the evo library, which cannot be imported ({error}); "
            "install it with 'pip install geoloc_ros[eval]' or 'pip install evo'"
        ) from error
