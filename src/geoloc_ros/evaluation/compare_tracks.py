# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories of one drive against the first of them: what differs, and whether by chance.

Their stamps need not be the same, so it is pieces of the way that are paired, not frames: a block
that is drawn is drawn for both (see `bootstrap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.bootstrap import Resampling, Rows, blocks_along, bootstrap
from geoloc_ros.evaluation.columns import BoolArray
from geoloc_ros.evaluation.compare import FIGURES, blocks_record, few_blocks, put_differences
from geoloc_ros.evaluation.track_score import TrackErrors
from geoloc_ros.evaluation.tracks import within_gaps

COMPARED = tuple(f for f in FIGURES if f.group in ("position_error_m", "yaw_error_deg"))


def compare_tracks(
    names: Sequence[str], errors: Sequence[TrackErrors], max_gap_s: float, how: Resampling
) -> dict[str, Any]:
    """Differences of the errors from those of the first trajectory.

    Poses count at which the other has estimates at most `max_gap_s` apart, too: one that is
    silent where it is hard must not look better for it.

    Args:
        names: what the trajectories are called.
        errors: theirs, two or more.
        max_gap_s: estimates further apart leave the time between unavailable, s.
        how: settings of the bootstrap.

    Returns:
        `baseline`, `differences`, `blocks` and `notes` as of `compare.compare`; `frames` and
        `other_frames` are the poses of the first and of the other that count.
    """
    differences, counts = {}, []
    for name, other in zip(names[1:], errors[1:], strict=True):
        mine = errors[0].rows(within_gaps(other.stamp_ns, errors[0].stamp_ns, max_gap_s))
        theirs = other.rows(within_gaps(errors[0].stamp_ns, other.stamp_ns, max_gap_s))
        differences[name], count = _difference(name, mine, theirs, how)
        counts.append(count)
    return {
        "baseline": names[0],
        "differences": differences,
        "blocks": blocks_record(min(counts), how),
        "notes": few_blocks(min(counts), how),
    }


def _difference(
    name: str, mine: TrackErrors, theirs: TrackErrors, how: Resampling
) -> tuple[dict[str, Any], int]:
    """Figures of one trajectory minus those of the first, and how many blocks there are."""
    way_m = np.r_[mine.way_m, theirs.way_m]
    error_m, yaw_deg = np.r_[mine.error_m, theirs.error_m], np.r_[mine.yaw_deg, theirs.yaw_deg]
    second = np.arange(len(way_m)) >= len(mine.way_m)
    sizes = {"frames": len(mine.way_m), "other_frames": len(theirs.way_m)}

    def figures(rows: Rows, which: BoolArray) -> FloatArray:
        kept = rows[which[rows]]
        return np.concatenate([_percentiles(error_m[kept]), _percentiles(yaw_deg[kept])])

    every, blocks = np.arange(len(way_m)), blocks_along(way_m, how.block_m)
    found = bootstrap(
        lambda rows: figures(rows, second) - figures(rows, ~second), blocks, how, name
    )
    both = figures(every, ~second), figures(every, second)
    return {**sizes, **put_differences(COMPARED, *both, found)}, len(blocks)


def _percentiles(values: FloatArray) -> FloatArray:
    """Median and 95th percentile of those that are known; NaN of none."""
    known = values[np.isfinite(values)]
    return np.asarray(np.percentile(known, (50, 95))) if len(known) else np.full(2, np.nan)
