# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`compare.html`: replays of one drive, and which of their differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from geoloc_ros.evaluation.compare import Figure, difference_rows
from geoloc_ros.evaluation.paired_runs import PairedRuns
from geoloc_ros.evaluation.result import table_rows, value_text
from geoloc_ros.evaluation.series import drawn_pairs
from geoloc_ros.report import compare_charts
from geoloc_ros.report.runs_page import RunsPage, write_page

VERDICTS = {
    "better": "better",
    "worse": "worse",
    "changed": "changed",
    "equal": "none seen",
    "open": "may be chance",
    None: "no interval",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of two runs, as text.

    Attributes:
        name: what it is.
        baseline: of the first run.
        value: of the other.
        difference: the second minus the first.
        interval: within which it may lie.
        verdict: key of `VERDICTS`.
        picture: the interval about zero.
    """

    name: str
    baseline: str
    value: str
    difference: str
    interval: str
    verdict: str | None
    picture: Markup


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
    differences = content["differences"]
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
            "differences": [
                (name, differences[name]["frames"], comparison_rows(differences[name]))
                for name in names[1:]
            ],
        },
    )
    return write_page(out_dir, page, imagery)


def comparison_rows(difference: Mapping[str, Any]) -> list[Row]:
    """Every figure of two runs as text; those that neither has are left out."""
    return [
        _row(figure, entry)
        for figure, entry in difference_rows(difference)
        if (entry["baseline"], entry["value"]) != (None, None)
    ]


def _row(figure: Figure, entry: Mapping[str, Any]) -> Row:
    ends = [abs(entry[key]) for key in ("low", "high") if entry[key] is not None]
    interval = "–"
    if entry["low"] is not None:
        interval = f"{_signed(entry['low'], figure.unit)} … {_signed(entry['high'], figure.unit)}"
    return Row(
        name=figure.name,
        baseline=value_text(entry["baseline"], figure.unit),
        value=value_text(entry["value"], figure.unit),
        difference=_signed(entry["difference"], figure.unit),
        interval=interval,
        verdict=entry["verdict"],
        picture=Markup(compare_charts.whisker(entry, max([*ends, 1e-9]))),
    )


def _signed(value: float | None, unit: str) -> str:
    """A difference for people; that of two shares in percentage points."""
    if value is None:
        return "–"
    if unit == "%":
        return f"{100.0 * value:+.1f} pp"
    return f"{value:+.3g} {unit}"
