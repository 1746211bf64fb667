# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is drawn of runs that stand side by side, wherever they came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.paired_runs import PairedRuns
from geoloc_ros.geo.planes import PlaneChange


@dataclass(frozen=True, slots=True)
class Series:
    """One run along the way, all (N,) in the order of time.

    Attributes:
        name: what it is called.
        distance_m: driven until each frame.
        error_m: horizontal error; NaN where there is no fix, or no truth.
        xy_m: (N, 2) estimated positions; NaN where there is no fix.
        frames: of how many frames shares are taken.
    """

    name: str
    distance_m: FloatArray
    error_m: FloatArray
    xy_m: FloatArray
    frames: int

    def shares(self) -> tuple[FloatArray, FloatArray]:
        """Errors that are known, ascending, and the share of all frames that lies within each."""
        found = np.sort(self.error_m[np.isfinite(self.error_m)])
        return found, np.arange(1, len(found) + 1) / max(self.frames, 1)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Runs on one plane with the way that was driven.

    Attributes:
        series: the runs.
        true_xy_m: (M, 2) the true track.
    """

    series: tuple[Series, ...]
    true_xy_m: FloatArray


def drawn_pairs(pairs: PairedRuns) -> Drawn:
    """Runs of one drive at their common frames, on the plane of the first."""
    series = tuple(
        Series(
            pairs.runs[run].name,
            pairs.distance_m,
            np.where(pairs.scored(run), _error_m(pairs, run), np.nan),
            _xy_m(pairs, run),
            len(pairs),
        )
        for run in range(len(pairs.runs))
    )
    return Drawn(series, pairs.runs[0].truth.poses[:, :2])


def _error_m(pairs: PairedRuns, run: int) -> FloatArray:
    return pairs.runs[run].scores.error_m[pairs.rows[run]]


def _xy_m(pairs: PairedRuns, run: int) -> FloatArray:
    mine = pairs.runs[run]
    poses = mine.estimates.poses[pairs.rows[run]].copy()
    poses[~pairs.localised(run)] = np.nan
    known = np.isfinite(poses).all(axis=1)
    first = pairs.runs[0].plane
    if first is not None and mine.plane is not None and known.any():
        poses[known] = PlaneChange(mine.plane, first).poses(poses[known])
    return np.asarray(poses[:, :2])
