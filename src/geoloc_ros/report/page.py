# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`report.html`: one file about one run that opens offline in any browser."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from geoloc_ros.errors import GeolocError, ImageryError
from geoloc_ros.evaluation.result import table_rows, value_text
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.manifest import Manifest, load_manifest
from geoloc_ros.report import charts, distributions
from geoloc_ros.report.basemap import Basemap, basemap, window_m
from geoloc_ros.report.events import outcomes
from geoloc_ros.report.gallery import Tile, gallery
from geoloc_ros.report.headline import headline
from geoloc_ros.report.run_data import STATUS_COLOUR, STATUS_ORDER, RunData, load_run
from geoloc_ros.report.said import said
from geoloc_ros.report.track import map_svg, scrub_data

_log = logging.getLogger(__name__)


def write_report(
    out_dir: Path,
    imagery: Path | OrthoImage | None = None,
    index: Path | None = None,
    *,
    events: Path | None = None,
    title: str = "",
    pictures: bool = True,
) -> Path:
    """Write `report.html` and the PNG files beside it.

    Args:
        out_dir: replay output directory.
        imagery: georeferenced raster for the map and the tiles, or one already read; None: none.
            Imagery that cannot be read is left out, and the page says so.
        index: directory of the index that was searched: how tiles are cut, and whose they are.
        events: `scene.json` of the made world that was driven: when it kidnapped the vehicle,
            covered its camera or led it out of the area.
        title: heading of the page; default: from the recording's name.
        pictures: also write the PNG files.

    Returns:
        The page.

    Raises:
        ReplayOutputError: no usable `estimates.parquet`, or another file is damaged.
    """
    run = load_run(out_dir, events)
    notes = [str(note) for note in run.summary.get("notes") or []]
    manifest = _manifest(index, notes)
    ortho = _ortho(run, imagery, manifest, notes)
    base = basemap(run, ortho)
    text = _render(run, base, ortho, manifest, notes, title)
    path = out_dir / "report.html"
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    if pictures:
        from geoloc_ros.report.pictures import write_pictures

        write_pictures(run, base)
    return path


def _manifest(index: Path | None, notes: list[str]) -> Manifest | None:
    if index is None:
        return None
    try:
        return load_manifest(index)
    except GeolocError as error:
        notes.append(f"Tiles are not shown: {error}")
        _log.warning("%s", notes[-1])
        return None


def _ortho(
    run: RunData, imagery: Path | OrthoImage | None, manifest: Manifest | None, notes: list[str]
) -> OrthoImage | None:
    if imagery is None or isinstance(imagery, OrthoImage):
        return imagery
    origin = run.summary.get("origin")
    if manifest is not None:
        frame = manifest.frame
    elif origin:
        frame = LocalFrame(LatLon(float(origin["lat_deg"]), float(origin["lon_deg"])))
    else:
        notes.append("The map has no imagery: summary.json does not say where the plane lies.")
        return None
    try:
        return OrthoImage.open(imagery, frame)
    except ImageryError as first:
        _log.info("whole imagery not usable (%s); trying the part around the run", first)
    try:
        return OrthoImage.open(imagery, frame, bounds_m=window_m(run))
    except ImageryError as error:
        notes.append(f"The map has no imagery: {error}")
        _log.warning("%s", notes[-1])
        return None


def _render(
    run: RunData,
    base: Basemap,
    ortho: OrthoImage | None,
    manifest: Manifest | None,
    notes: Sequence[str],
    title: str,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geoloc_ros.report", "templates"),
        autoescape=jinja2.select_autoescape(["html", "j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scrubbed = _scrub(run, base)
    name = Path(str(run.summary.get("bag") or run.out_dir)).name
    context: dict[str, Any] = {
        "title": title or f"Where was it? {name}",
        "notes": notes,
        "map": Markup(map_svg(run, base)),
        "attribution": _attribution(run, ortho, manifest),
        "last": max(len(scrubbed["t"]) - 1, 0),
        "data": Markup(_json(scrubbed)),
        "said": said(run, ortho, manifest),
        "groups": gallery(run, ortho, manifest.reference if manifest is not None else None),
        "tile": _tile,
        "statuses": STATUS_COLOUR,
        "stages": distributions.STAGE_COLOUR,
        "provenance": _provenance(run),
        "config": _config_text(run),
        **_figures(run),
        **_charts(run),
    }
    return environment.get_template("report.html.j2").render(context)


def _figures(run: RunData) -> dict[str, Any]:
    scored = run.scores.scored
    timed = {k: v for k, v in run.result["latency_ms"].items() if v["p50"] is not None}
    return {
        "subtitle": _subtitle(run),
        "kpis": headline(run),
        "has_truth": run.has_truth,
        "kidnapped": any(event.kind == "kidnap" for event in run.events),
        "shares": _shares(run),
        "fixes": int(scored.sum()),
        "outcomes": outcomes(run.events, run.estimates, run.truth),
        "without_truth": run.scores.without_truth,
        "dof": int(run.scores.dof[scored].max()) if scored.any() else 3,
        "nees_mean": value_text(run.result["nees_mean"], ""),
        "hit": run.hit,
        "stage_names": [name for name in distributions.STAGE_COLOUR if name in timed],
        "stage_rows": [(k, f"{v['p50']:.2f}", f"{v['p95']:.2f}") for k, v in timed.items()],
        "table": [(n, value_text(v, unit)) for n, v, unit in table_rows(run.result)],
    }


def _charts(run: RunData) -> dict[str, Markup | None]:
    drawn = {
        "status_strip": charts.status_strip(run),
        "error_lin": charts.position_error(run, log=False),
        "error_log": charts.position_error(run, log=True),
        "yaw": charts.yaw_error(run),
        "nees_time": charts.nees_over_time(run),
        "nees_histogram": distributions.nees_histogram(run),
        "coverage": distributions.coverage_curve(run),
        "cdf": distributions.error_cdf(run),
        "recall": distributions.recall_bars(run),
        "latency": distributions.latency_bars(run),
    }
    return {key: None if svg is None else Markup(svg) for key, svg in drawn.items()}


def _scrub(run: RunData, base: Basemap) -> dict[str, Any]:
    data = scrub_data(run, base)
    fixed = [i for i, status in enumerate(data["s"]) if STATUS_ORDER[status] == "LOCALISED"]
    return {**data, "start": fixed[len(fixed) // 2] if fixed else 0}


def _json(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _subtitle(run: RunData) -> str:
    count = len(run.estimates)
    seconds = float(run.time_s.max() - run.time_s.min()) if count else 0.0
    parts = [f"{count} frames", f"{seconds:.0f} s"]
    if run.truth is not None and run.has_truth:
        from geoloc_ros.evaluation.trajectory import distance_along_m

        parts.append(f"{distance_along_m(run.truth)[-1] / 1000.0:.2f} km")
    parts += [f"seed {run.result['seed']}"] if run.result["seed"] is not None else []
    return ", ".join(parts)


def _shares(run: RunData) -> list[tuple[str, str]]:
    counts = {name: int(np.sum(run.estimates.status == name)) for name in STATUS_ORDER}
    total = max(len(run.estimates), 1)
    return [(name, f"{100 * n / total:.1f} %") for name, n in counts.items() if n]


def _attribution(run: RunData, ortho: OrthoImage | None, manifest: Manifest | None) -> str:
    said = [str(run.summary.get("attribution") or "")]
    if manifest is not None:
        said += [manifest.imagery.attribution, manifest.imagery.licence]
    if ortho is not None:
        said.append(str(ortho.provenance.get("attribution") or ""))
    return "; ".join(dict.fromkeys(text for text in said if text))


def _provenance(run: RunData) -> list[tuple[str, str]]:
    skipped = {"notes", "events", "frames", "frames_used", "frames_dropped"}
    rows = [
        (key, json.dumps(value) if isinstance(value, (dict, list)) else str(value))
        for key, value in run.summary.items()
        if key not in skipped
    ]
    return rows + [(f"version of {name}", str(v)) for name, v in run.versions.items()]


def _config_text(run: RunData) -> str:
    path = run.out_dir / "config.yaml"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _tile(tile: Tile) -> Markup:
    """One crop of a card as HTML."""
    if tile.rank == 0:
        css, name, caption = "truth", "the true place", "<b>true place</b>"
    else:
        css = {True: "right", False: "off", None: ""}[tile.right]
        name = f"crop ranked {tile.rank}"
        caption = f"<b>{tile.rank}</b> · {tile.similarity:.2f}"
        if math.isfinite(tile.off_m):
            verdict = "✓" if tile.right else "✗"
            turned = f", {tile.off_deg:.0f}°" if math.isfinite(tile.off_deg) else ""
            caption += f'<br><span class="mark-text">{verdict}</span> {tile.off_m:.0f} m{turned}'
    arrow = ""
    if tile.url and tile.vehicle:
        right, down = (100.0 * share for share in tile.vehicle)
        arrow = f'<div class="vehicle" style="left:{right:.1f}%;top:{down:.1f}%"></div>'
    picture = (
        f'<img src="{tile.url}" alt="Satellite image, {escape(name)}">'
        if tile.url
        else '<div class="empty">no imagery</div>'
    )
    return Markup(
        f'<figure class="tile {css}"><div class="frame">{picture}{arrow}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
