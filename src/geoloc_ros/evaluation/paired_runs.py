# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several replays of one drive, frame by frame: which frames they share, and that truth agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import ConfigError, GeodesyError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import (
    BoolArray,
    Estimates,
    IntArray,
    ReplayOutputError,
    Truth,
)
from geoloc_ros.evaluation.score import Scores, score
from geoloc_ros.evaluation.side_by_side import run_names
from geoloc_ros.evaluation.trajectory import distance_along_m
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.geo.wgs84 import LocalFrame

SAME_TRUTH_M = 0.05
"""Truths of two runs that differ by more at a common frame are truths of two drives."""


@dataclass(frozen=True, slots=True)
class Run:
    """One replay, scored.

    Attributes:
        name: the shortest end of its path that tells it from the others.
        out: its folder.
        plane: where its coordinates lie, if it says so.
    """

    name: str
    out: Path
    estimates: Estimates
    truth: Truth
    scores: Scores
    plane: LocalFrame | None


@dataclass(frozen=True, slots=True)
class PairedRuns:
    """Runs restricted to the frames that all of them have.

    Attributes:
        runs: the runs; the first is the one others are compared with.
        rows: for each run the rows (N,) of the common frames, in the order of their stamps.
        stamp_ns: (N,) their stamps.
        distance_m: (N,) driven until each of them.
        notes: frames that were left out, one line each.
    """

    runs: tuple[Run, ...]
    rows: tuple[IntArray, ...]
    stamp_ns: IntArray
    distance_m: FloatArray
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """How many frames all runs have."""
        return len(self.stamp_ns)

    def localised(self, run: int) -> BoolArray:
        """(N,) whether a run is LOCALISED at the common frames."""
        return np.asarray(self.runs[run].estimates.localised[self.rows[run]])

    def scored(self, run: int) -> BoolArray:
        """(N,) whether it is, and can be compared with truth."""
        return np.asarray(self.runs[run].scores.scored[self.rows[run]])


def read_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """Read and score replay output directories.

    Raises:
        ConfigError: one is given twice.
        ReplayOutputError: a file is missing or damaged, or a run has no truth.
    """
    names = run_names(folders)
    return tuple(_read_run(name, out) for name, out in zip(names, folders, strict=True))


def _read_run(name: str, out: Path) -> Run:
    estimates, truth = tables.read_estimates(out), tables.read_truth(out)
    if truth is None or not len(truth):
        raise ReplayOutputError(
            f"{out} has no truth to compare errors by; replay with --truth TOPIC"
        )
    return Run(name, out, estimates, truth, score(estimates, truth), tables.read_plane(out))


def pair_runs(runs: Sequence[Run]) -> PairedRuns:
    """The frames that all runs have, paired by their stamps.

    Args:
        runs: at least two replays of one drive.

    Raises:
        ConfigError: there are fewer than two runs.
        ReplayOutputError: they share no frame, or their truths differ.
    """
    if len(runs) < 2:
        raise ConfigError("give two runs or more to compare; one is scored by 'geoloc eval drive'")
    common = runs[0].estimates.stamp_ns
    for run in runs[1:]:
        common = np.intersect1d(common, run.estimates.stamp_ns)
    if not len(common):
        raise ReplayOutputError(
            f"{' and '.join(run.name for run in runs)} share no frame (no stamp); compare runs of "
            "the same recording"
        )
    rows = tuple(_rows_of(run.estimates.stamp_ns, common) for run in runs)
    for run, mine in zip(runs[1:], rows[1:], strict=True):
        _check_same_truth(runs[0], rows[0], run, mine)
    notes = tuple(
        f"{run.name}: {len(run.estimates) - len(common)} of its {len(run.estimates)} frames are "
        "left out, which not all runs have"
        for run in runs
        if len(run.estimates) != len(common)
    )
    truth = runs[0].truth
    since_s = (common - truth.stamp_ns[0]) * 1e-9
    samples_s = (truth.stamp_ns - truth.stamp_ns[0]) * 1e-9
    distance_m = np.interp(since_s, samples_s, distance_along_m(truth))
    return PairedRuns(tuple(runs), rows, common, distance_m, notes)


def _rows_of(stamp_ns: IntArray, wanted: IntArray) -> IntArray:
    """First row of each wanted stamp; a recording that loops has some twice."""
    found, first = np.unique(stamp_ns, return_index=True)
    return np.asarray(first[np.searchsorted(found, wanted)])


def _check_same_truth(first: Run, mine: IntArray, other: Run, theirs: IntArray) -> None:
    """See that two runs are scored against the same truth.

    Raises:
        ReplayOutputError: they are not.
    """
    a, b = first.scores.true_poses[mine], other.scores.true_poses[theirs]
    both = np.isfinite(a[:, 0]) & np.isfinite(b[:, 0])
    if first.plane is not None and other.plane is not None and both.any():
        try:
            b = b.copy()
            b[both, :2] = _moved(b[both], PlaneChange(other.plane, first.plane))
        except GeodesyError as error:
            raise ReplayOutputError(f"{first.name} and {other.name}: {error}") from error
    if not both.any():
        raise ReplayOutputError(
            f"at none of the common frames do {first.name} and {other.name} both know the truth"
        )
    off_m = np.hypot(*(a[both, :2] - b[both, :2]).T)
    if off_m.max() > SAME_TRUTH_M:
        raise ReplayOutputError(
            f"the truths of {first.name} and {other.name} differ by up to {off_m.max():.3g} m "
            f"(allowed: {SAME_TRUTH_M} m); compare runs of one drive with one --truth"
        )


def _moved(poses: FloatArray, change: PlaneChange) -> FloatArray:
    """(N, 2) positions in another plane; the heading, which truth may lack, is not needed."""
    flat = np.column_stack([poses[:, :2], np.zeros(len(poses))])
    return change.poses(flat)[:, :2]
