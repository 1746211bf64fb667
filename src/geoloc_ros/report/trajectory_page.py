# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`trajectory.html`: trajectories that were scored against one reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.evaluation.series import Drawn, Series
from geoloc_ros.evaluation.track_score import TrackScore, track_rows
from geoloc_ros.evaluation.tracks import Track
from geoloc_ros.report.difference_text import VERDICTS, comparison_rows
from geoloc_ros.report.runs_page import RunsPage, write_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Trajectories with their scores.

    Attributes:
        names: what they are called.
        scores: one for each.
        truth: what they were scored against.
        max_gap_s: pauses longer than this interrupt a line.
        comparison: of the others with the first; None if there is one only.
    """

    names: Sequence[str]
    scores: Sequence[TrackScore]
    truth: Track
    max_gap_s: float
    comparison: Mapping[str, Any] | None


def write_trajectories(out_dir: Path, found: Scored, imagery: Path | None = None) -> Path:
    """Write `trajectory.html`, `trajectory.png` and `trajectory.json`; returns the page's path.

    Args:
        out_dir: folder, made if need be.
        found: what to show.
        imagery: georeferenced raster for the map; what cannot be read is left out, and said.

    Raises:
        ConfigError: there are more trajectories than colours.
    """
    series = [
        _series(name, score, found.max_gap_s, found.truth.stamped)
        for name, score in zip(found.names, found.scores, strict=True)
    ]
    content = {
        "trajectories": [score.figures for score in found.scores],
        "comparison": found.comparison,
        "notes": list(dict.fromkeys(note for score in found.scores for note in score.notes)),
    }
    page = RunsPage(
        stem="trajectory",
        title=", ".join(found.names),
        subtitle=f"against {found.truth.name}",
        drawn=Drawn(tuple(series), found.truth.positions_m[:, :2]),
        columns=[track_rows(score.figures) for score in found.scores],
        content=content,
        plane=found.truth.plane,
        shares_note="Share of a trajectory's own pairs that are at most so far off, horizontally; "
        "what is missing of it, availability tells.",
        more={} if found.comparison is None else _differences(found.comparison),
    )
    return write_page(out_dir, page, imagery)


def _differences(comparison: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "blocks": comparison["blocks"],
        "verdicts": VERDICTS,
        "compared": "Errors are those of the time in which both have an estimate.",
        "differences": [
            (name, f"{entry['frames']} and {entry['other_frames']} poses", comparison_rows(entry))
            for name, entry in comparison["differences"].items()
        ],
    }


def _series(name: str, score: TrackScore, max_gap_s: float, stamped: bool) -> Series:
    """The errors along the way, interrupted where the estimate pauses."""
    errors = score.errors
    columns = np.column_stack([errors.way_m, errors.error_m, errors.xy_m])
    if stamped:
        pauses = np.flatnonzero(np.diff(errors.stamp_ns) > round(max_gap_s * 1e9)) + 1
        gap = columns[pauses - 1] * [1.0, np.nan, np.nan, np.nan]
        columns = np.insert(columns, pauses, gap, axis=0)
    return Series(name, columns[:, 0], columns[:, 1], columns[:, 2:], frames=len(errors.way_m))
