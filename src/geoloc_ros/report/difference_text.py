# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Differences of runs, and their intervals, as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from geoloc_ros.evaluation.compare import Figure, difference_rows
from geoloc_ros.evaluation.result import value_text
from geoloc_ros.evaluation.side_by_side import text_table
from geoloc_ros.report import compare_charts

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


def difference_lines(name: str, baseline: str, comparison: Mapping[str, Any]) -> str:
    """A table of the differences of one run from the first, as text."""
    level = 100 * comparison["blocks"]["level"]
    head = ["", baseline, name, "difference", f"{level:g} % interval", ""]
    rows = [
        [r.name, r.baseline, r.value, r.difference, r.interval, VERDICTS[r.verdict]]
        for r in comparison_rows(comparison["differences"][name])
    ]
    return text_table(head, rows)


def blocks_line(comparison: Mapping[str, Any]) -> str:
    """What the intervals are made of."""
    blocks = comparison["blocks"]
    return (
        f"intervals: {blocks['resamples']} resamples of {blocks['count']} blocks of "
        f"{blocks['length_m']:g} m, seed {blocks['seed']}"
    )
