# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`compare.html`: several runs of one drive on one page that opens offline in any browser."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from geoloc_ros.errors import ConfigError, ImageryError
from geoloc_ros.evaluation.compare import Figure, difference_rows
from geoloc_ros.evaluation.paired_runs import PairedRuns
from geoloc_ros.evaluation.result import table_rows, value_text
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.report import compare_charts, distributions
from geoloc_ros.report.basemap import Basemap, basemap_of
from geoloc_ros.report.run_data import STATUS_COLOUR

_log = logging.getLogger(__name__)

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
    if len(pairs.runs) > len(compare_charts.RUN_COLOURS):
        raise ConfigError(
            f"{len(pairs.runs)} runs on one page; colours tell at most "
            f"{len(compare_charts.RUN_COLOURS)} apart"
        )
    notes = list(content["notes"])
    ortho = _ortho(pairs, imagery, notes)
    base = basemap_of(compare_charts.window(pairs), ortho)
    text = _render(pairs, content, base, notes, ortho)
    out_dir.mkdir(parents=True, exist_ok=True)
    _write(out_dir / "compare.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
    _write(out_dir / "compare.html", text)
    from geoloc_ros.report.compare_picture import write_picture

    write_picture(out_dir / "compare.png", pairs, base)
    return out_dir / "compare.html"


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


def _ortho(pairs: PairedRuns, imagery: Path | None, notes: list[str]) -> OrthoImage | None:
    plane = pairs.runs[0].plane
    if imagery is None:
        return None
    if plane is None:
        notes.append("The map has no imagery: summary.json does not say where the plane lies.")
        return None
    try:
        return OrthoImage.open(imagery, plane, bounds_m=compare_charts.window(pairs))
    except ImageryError as error:
        notes.append(f"The map has no imagery: {error}")
        _log.warning("%s", notes[-1])
        return None


def _render(
    pairs: PairedRuns,
    content: Mapping[str, Any],
    base: Basemap,
    notes: list[str],
    ortho: OrthoImage | None,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geoloc_ros.report", "templates"),
        autoescape=jinja2.select_autoescape(["html", "j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [run.name for run in pairs.runs]
    differences = content["differences"]
    return environment.get_template("compare.html.j2").render(
        title=f"{', '.join(names[1:])} against {names[0]}",
        notes=notes,
        names=names,
        colours=compare_charts.RUN_COLOURS,
        statuses=STATUS_COLOUR,
        stages=distributions.STAGE_COLOUR,
        frames=len(pairs),
        way_m=float(pairs.distance_m.max() - pairs.distance_m.min()),
        blocks=content["blocks"],
        verdicts=VERDICTS,
        differences=[
            (name, differences[name]["frames"], comparison_rows(differences[name]))
            for name in names[1:]
        ],
        errors=Markup(compare_charts.error_along(pairs)),
        fixes=Markup(compare_charts.fixes_along(pairs)),
        shares=Markup(compare_charts.error_shares(pairs)),
        map=Markup(compare_charts.map_svg(pairs, base)),
        attribution=str(ortho.provenance.get("attribution") or "") if ortho is not None else "",
        table=_table([content["runs"][name]["result"] for name in names]),
        folders=[(name, content["runs"][name]["out"]) for name in names],
    )


def _table(results: list[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Every figure of `result.json`, one column for each run."""
    columns = [
        {name: value_text(value, unit) for name, value, unit in table_rows(result)}
        for result in results
    ]
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name, "-") for column in columns]) for name in names]


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
