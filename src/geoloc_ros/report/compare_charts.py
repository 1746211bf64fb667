# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Charts of several runs of one drive: along the way, by share of frames, on the map."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.columns import BoolArray
from geoloc_ros.evaluation.paired_runs import PairedRuns, Run
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.report.basemap import Basemap, window_around
from geoloc_ros.report.charts import thinned
from geoloc_ros.report.svg import Chart
from geoloc_ros.report.track import JUMP_M, ground, path_data, scale_bar, true_track

#: Okabe and Ito's palette, told apart with every common colour vision deficiency.
RUN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")

LEAST_M = 0.05
"""Left end of logarithmic axes of errors: nothing is known better than that."""

_LANE_PX = 22
_WIDTH = 960
_MARGINS = (118, 22, 12, 40)


def errors_m(pairs: PairedRuns, run: int) -> FloatArray:
    """(N,) errors at the common frames, NaN where a run has no fix or truth is unknown."""
    error = pairs.runs[run].scores.error_m[pairs.rows[run]]
    return np.asarray(np.where(pairs.scored(run), error, np.nan))


def error_along(pairs: PairedRuns) -> str:
    """Position error of every run along the way, logarithmic."""
    series = [errors_m(pairs, run) for run in range(len(pairs.runs))]
    chart = Chart(
        _way(pairs),
        (LEAST_M, _top(series)),
        width=_WIDTH,
        height=300,
        log_y=True,
        margins=_MARGINS,
    )
    for run, error in enumerate(series):
        rows = thinned(error)
        chart.line(pairs.distance_m[rows], error[rows], f"run{run}")
    return chart.render(
        "Position error along the way, logarithmic, of " + _names(pairs),
        "driven, m",
        "error, m",
    )


def fixes_along(pairs: PairedRuns) -> str:
    """One lane for each run: where along the way it is LOCALISED."""
    count = len(pairs.runs)
    chart = Chart(
        _way(pairs),
        (0.0, float(count)),
        width=_WIDTH,
        height=_LANE_PX * count + 44,
        margins=(118, 22, 8, 36),
    )
    chart.ticks(y=[])
    for run in range(count):
        lane = count - 1 - run
        chart.text(
            110, float(chart.y(lane + 0.5)) + 4, _short(pairs.runs[run].name), "lane", "end"
        )
        for start, end in _stretches(pairs.localised(run)):
            last = min(end, len(pairs) - 1)
            a, b = pairs.distance_m[start], pairs.distance_m[last]
            chart.box(float(a), float(b), lane + 0.15, lane + 0.85, f"run{run}")
    return chart.render(f"Where along the way each is LOCALISED: {_names(pairs)}", "driven, m")


def error_shares(pairs: PairedRuns) -> str:
    """Share of all common frames that have a fix at most so far off; ends at the availability."""
    series = [errors_m(pairs, run) for run in range(len(pairs.runs))]
    low, high = LEAST_M, _top(series)
    chart = Chart((low, high), (0.0, 1.0), width=_WIDTH, height=300, log_x=True, margins=_MARGINS)
    chart.ticks(y=[(value / 100, f"{value} %") for value in (0, 20, 40, 60, 80, 100)])
    for run, error in enumerate(series):
        found = np.sort(error[np.isfinite(error)])
        share = np.arange(1, len(found) + 1) / max(len(error), 1)
        rows = np.unique(np.linspace(0, max(len(found) - 1, 0), 400).astype(int))[: len(found)]
        last = share[-1] if len(found) else 0.0
        chart.line(np.r_[low, found[rows], high], np.r_[0.0, share[rows], last], f"run{run}")
    return chart.render(
        f"Share of the frames with a fix at most so far off, of {_names(pairs)}",
        "position error, m (log)",
        "share of frames",
    )


def whisker(entry: Mapping[str, Any], scale: float) -> str:
    """A difference with its interval about zero.

    Args:
        entry: `difference`, `low`, `high` of a comparison.
        scale: the value at either end of the picture.
    """
    if entry["low"] is None:
        return ""
    width, height = 170.0, 18.0
    places = [
        width / 2 + np.clip(entry[key] / scale, -1.0, 1.0) * (width / 2 - 4)
        for key in ("low", "difference", "high")
    ]
    low, value, high = places
    return (
        f'<svg class="whisker {entry["verdict"]}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" aria-hidden="true">'
        f'<line class="zero" x1="{width / 2}" x2="{width / 2}" y1="0" y2="{height}"/>'
        f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="9" y2="9"/>'
        f'<circle cx="{value:.1f}" cy="9" r="4"/></svg>'
    )


# -- the map ----------------------------------------------------------------------------------


def fixes_xy_m(pairs: PairedRuns, run: int) -> FloatArray:
    """(N, 2) estimated positions on the plane of the first run, NaN without a fix."""
    mine = pairs.runs[run]
    poses = mine.estimates.poses[pairs.rows[run]].copy()
    poses[~pairs.localised(run)] = np.nan
    known = np.isfinite(poses).all(axis=1)
    first = pairs.runs[0].plane
    if first is not None and mine.plane is not None and known.any():
        poses[known] = PlaneChange(mine.plane, first).poses(poses[known])
    return np.asarray(poses[:, :2])


def window(pairs: PairedRuns) -> tuple[float, float, float, float]:
    """West, south, east, north around the true track and every fix of every run."""
    tracks = [fixes_xy_m(pairs, run) for run in range(len(pairs.runs))]
    return window_around(np.concatenate([_true_xy_m(pairs.runs[0]), *tracks]))


def map_svg(pairs: PairedRuns, base: Basemap) -> str:
    """The true track and the fixes of every run."""
    parts = [ground(base), true_track(_true_xy_m(pairs.runs[0]), base)]
    for run in range(len(pairs.runs)):
        xy = fixes_xy_m(pairs, run)
        rows = np.flatnonzero(np.isfinite(xy[:, 0]))
        if len(rows):
            far = np.hypot(*np.diff(xy[rows], axis=0).T) > JUMP_M
            path = path_data(base.to_px(xy[rows]), (np.diff(rows) > 1) | far)
            parts.append(
                f'<path class="track run{run}" d="{path}" '
                f'style="stroke-width:{track_width(pairs, run):g}"/>'
            )
    alt = f"Map: true track white with dark edge, fixes of {_names(pairs)} in their colours"
    return (
        f'<svg class="map still" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {base.width_px} {base.height_px}" preserveAspectRatio="xMidYMid meet">'
        f"{''.join(parts)}{scale_bar(base)}</svg>"
    )


def track_width(pairs: PairedRuns, run: int) -> float:
    """Width of a track, so that those drawn later do not hide those drawn before."""
    return 2.2 + 2.2 * (len(pairs.runs) - 1 - run)


def _true_xy_m(run: Run) -> FloatArray:
    return run.truth.poses[:, :2]


# -- helpers ----------------------------------------------------------------------------------


def _way(pairs: PairedRuns) -> tuple[float, float]:
    return float(pairs.distance_m.min()), float(pairs.distance_m.max())


def _top(series: list[FloatArray]) -> float:
    values = np.concatenate(series)
    values = values[np.isfinite(values)]
    return max(10.0, float(values.max()) * 1.2) if len(values) else 10.0


def _stretches(where: BoolArray) -> list[tuple[int, int]]:
    """(first, one behind the last) of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, where, False]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _names(pairs: PairedRuns) -> str:
    return ", ".join(run.name for run in pairs.runs)


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"…{name[-15:]}"
