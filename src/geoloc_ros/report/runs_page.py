# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A page about several runs side by side that opens offline in any browser, with a picture."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from geoloc_ros.errors import ConfigError, ImageryError
from geoloc_ros.evaluation.result import value_text
from geoloc_ros.evaluation.series import Drawn
from geoloc_ros.evaluation.side_by_side import Rows
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.report import compare_charts, distributions
from geoloc_ros.report.basemap import basemap_of
from geoloc_ros.report.run_data import STATUS_COLOUR

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """What a page says.

    Attributes:
        stem: name of its files without ending.
        title: heading.
        subtitle: line below it.
        drawn: the runs.
        columns: (name, value, unit) of every figure of each run.
        content: what its JSON file holds; `notes` are printed at the head.
        plane: where the drawn coordinates lie, if known; needed for imagery.
        shares_note: what the shares of the charts are taken of.
        more: for the template.
    """

    stem: str
    title: str
    subtitle: str
    drawn: Drawn
    columns: Sequence[Rows]
    content: Mapping[str, Any]
    plane: LocalFrame | None
    shares_note: str
    more: Mapping[str, Any] = field(default_factory=dict)


def write_page(out_dir: Path, page: RunsPage, imagery: Path | None) -> Path:
    """Write the page, its picture and its figures as JSON; returns the page's path.

    Args:
        out_dir: folder, made if need be.
        page: what to say.
        imagery: georeferenced raster for the map; what cannot be read is left out, and said.

    Raises:
        ConfigError: there are more runs than colours.
    """
    colours = len(compare_charts.RUN_COLOURS)
    if len(page.drawn.series) > colours:
        raise ConfigError(
            f"{len(page.drawn.series)} runs on one page; colours tell at most {colours} apart"
        )
    notes = list(page.content["notes"])
    ortho = _ortho(page, imagery, notes)
    base = basemap_of(compare_charts.window(page.drawn), ortho)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geoloc_ros.report", "templates"),
        autoescape=jinja2.select_autoescape(["html", "j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("runs.html.j2").render(
        title=page.title,
        subtitle=page.subtitle,
        notes=notes,
        names=[run.name for run in page.drawn.series],
        colours=compare_charts.RUN_COLOURS,
        statuses=STATUS_COLOUR,
        stages=distributions.STAGE_COLOUR,
        shares_note=page.shares_note,
        errors=Markup(compare_charts.error_along(page.drawn)),
        fixes=Markup(compare_charts.fixes_along(page.drawn)),
        shares=Markup(compare_charts.error_shares(page.drawn)),
        map=Markup(compare_charts.map_svg(page.drawn, base)),
        attribution=str(ortho.provenance.get("attribution") or "") if ortho is not None else "",
        table=_table(page.columns),
        **{"differences": [], **page.more},
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    figures = json.dumps(page.content, indent=2, allow_nan=False) + "\n"
    _write(out_dir / f"{page.stem}.json", figures)
    _write(out_dir / f"{page.stem}.html", text)
    from geoloc_ros.report.compare_picture import write_picture

    write_picture(out_dir / f"{page.stem}.png", page.drawn, base)
    return out_dir / f"{page.stem}.html"


def _ortho(page: RunsPage, imagery: Path | None, notes: list[str]) -> OrthoImage | None:
    if imagery is None:
        return None
    if page.plane is None:
        notes.append("The map has no imagery: nothing says where the coordinates lie.")
        return None
    try:
        window = compare_charts.window(page.drawn)
        return OrthoImage.open(imagery, page.plane, bounds_m=window)
    except ImageryError as error:
        notes.append(f"The map has no imagery: {error}")
        _log.warning("%s", notes[-1])
        return None


def _table(columns: Sequence[Rows]) -> list[tuple[str, list[str]]]:
    """Every figure, one column for each run."""
    texts = [{name: value_text(value, unit) for name, value, unit in rows} for rows in columns]
    names = dict.fromkeys(name for column in texts for name in column)
    return [(name, [column.get(name, "-") for column in texts]) for name in names]


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
