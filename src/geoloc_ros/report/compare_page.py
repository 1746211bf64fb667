# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`compare.html`: replays of one drive, and which of their differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.evaluation.paired_runs import PairedRuns
from geoloc_ros.evaluation.result import table_rows
from geoloc_ros.evaluation.series import drawn_pairs
from geoloc_ros.report.difference_text import VERDICTS, comparison_rows
from geoloc_ros.report.runs_page import RunsPage, write_page


def write_comparison(
    out_dir: Path, pairs: PairedRuns, content: Mapping[str, Any], imagery: Path | None = None
) -> Path:
    """Write `compare.html`, `compare.png` and `compare.json` and return the page's path.

    Args:
        out_dir: folder, made if need be.
        pairs: the runs.
        content: what `evaluation.compare.compare` found.
        imagery: georeferenced raster for the map; what cannot be read is left out, and said.

    Raises:
        ConfigError: there are more runs than colours.
    """
    names = [run.name for run in pairs.runs]
    way_km = float(np.ptp(pairs.distance_m)) / 1000.0
    page = RunsPage(
        stem="compare",
        title=f"{', '.join(names[1:])} against {names[0]}",
        subtitle=f"{len(pairs)} common frames, {way_km:.2f} km",
        drawn=drawn_pairs(pairs),
        columns=[table_rows(content["runs"][name]["result"]) for name in names],
        content=content,
        plane=pairs.runs[0].plane,
        shares_note="Share of all common frames with a fix at most so far off, horizontally. A "
        "line ends at the share that has a fix at all: higher and further left is better.",
        more={
            "blocks": content["blocks"],
            "verdicts": VERDICTS,
            "compared": "Errors are those of the frames at which both runs are LOCALISED.",
            "differences": [
                (name, f"{entry['frames']} frames LOCALISED in both", comparison_rows(entry))
                for name, entry in content["differences"].items()
            ],
        },
    )
    return write_page(out_dir, page, imagery)
