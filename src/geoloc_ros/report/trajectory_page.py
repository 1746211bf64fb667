# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`trajectory.html`: trajectories that were scored against one reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geoloc_ros.evaluation.series import Drawn
from geoloc_ros.evaluation.track_score import TrackScore, track_rows
from geoloc_ros.evaluation.tracks import Track
from geoloc_ros.report.runs_page import RunsPage, write_page


def write_trajectories(
    out_dir: Path, scores: Sequence[TrackScore], truth: Track, imagery: Path | None = None
) -> Path:
    """Write `trajectory.html`, `trajectory.png` and `trajectory.json`; returns the page's path.

    Args:
        out_dir: folder, made if need be.
        scores: one for each trajectory.
        truth: what they were scored against.
        imagery: georeferenced raster for the map; what cannot be read is left out, and said.

    Raises:
        ConfigError: there are more trajectories than colours.
    """
    names = [score.series.name for score in scores]
    page = RunsPage(
        stem="trajectory",
        title=", ".join(names),
        subtitle=f"against {truth.name}",
        drawn=Drawn(tuple(score.series for score in scores), truth.positions_m[:, :2]),
        columns=[track_rows(score.figures) for score in scores],
        content={
            "trajectories": [score.figures for score in scores],
            "notes": list(dict.fromkeys(note for score in scores for note in score.notes)),
        },
        plane=truth.plane,
        shares_note="Share of a trajectory's own pairs that are at most so far off, horizontally; "
        "what is missing of it, availability tells.",
    )
    return write_page(out_dir, page, imagery)
