# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Charts of several runs of one drive: along the way, by share of frames, on the map."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from geoloc_ros.evaluation.columns import BoolArray
from geoloc_ros.evaluation.series import Drawn
from geoloc_ros.imagery.grid import Bounds
from geoloc_ros.report.basemap import Basemap, window_around
from geoloc_ros.report.charts import thinned
from geoloc_ros.report.svg import Chart
from geoloc_ros.report.track import JUMP_M, ground, path_data, scale_bar, true_track

#: Okabe and Ito's palette, told apart with every common colour vision deficiency.
RUN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")

LEAST_M = 0.05
"""Left end of logarithmic axes of errors: nothing is known better than that."""

FAR_M = 5000.0
"""Fixes further from the true track's surroundings lie beyond the map."""

_LANE_PX = 22
_WIDTH = 960
_MARGINS = (118, 22, 12, 40)


def error_along(drawn: Drawn) -> str:
    """Position error of every run along the way, logarithmic."""
    chart = Chart(
        _way(drawn),
        (LEAST_M, _top(drawn)),
        width=_WIDTH,
        height=300,
        log_y=True,
        margins=_MARGINS,
    )
    for number, run in enumerate(drawn.series):
        rows = thinned(run.error_m)
        chart.line(run.distance_m[rows], run.error_m[rows], f"run{number}")
    return chart.render(
        "Position error along the way, logarithmic, of " + _names(drawn),
        "driven, m",
        "error, m",
    )


def fixes_along(drawn: Drawn) -> str:
    """One lane for each run: where along the way it has a fix."""
    count = len(drawn.series)
    chart = Chart(
        _way(drawn),
        (0.0, float(count)),
        width=_WIDTH,
        height=_LANE_PX * count + 44,
        margins=(118, 22, 8, 36),
    )
    chart.ticks(y=[])
    for number, run in enumerate(drawn.series):
        lane = count - 1 - number
        chart.text(110, float(chart.y(lane + 0.5)) + 4, _short(run.name), "lane", "end")
        for start, end in stretches(np.isfinite(run.error_m)):
            a, b = run.distance_m[[start, min(end, len(run.distance_m) - 1)]].tolist()
            chart.box(a, b, lane + 0.15, lane + 0.85, f"run{number}")
    return chart.render(f"Where along the way each has a fix: {_names(drawn)}", "driven, m")


def error_shares(drawn: Drawn) -> str:
    """Share of all frames that have a fix at most so far off; it ends at the share with a fix."""
    low, high = LEAST_M, _top(drawn)
    chart = Chart((low, high), (0.0, 1.0), width=_WIDTH, height=300, log_x=True, margins=_MARGINS)
    chart.ticks(y=[(value / 100, f"{value} %") for value in (0, 20, 40, 60, 80, 100)])
    for number, run in enumerate(drawn.series):
        error, share = run.shares()
        rows = np.unique(np.linspace(0, max(len(error) - 1, 0), 400).astype(int))[: len(error)]
        last = share[-1] if len(error) else 0.0
        x, y = np.r_[low, error[rows], high], np.r_[0.0, share[rows], last]
        chart.line(x, y, f"run{number}")
    return chart.render(
        f"Share of the frames with a fix at most so far off, of {_names(drawn)}",
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


def window(drawn: Drawn) -> Bounds:
    """West, south, east, north around the true track and the fixes that are not absurdly far."""
    true = drawn.true_xy_m
    middle, extent = (true.min(axis=0) + true.max(axis=0)) / 2, np.ptp(true, axis=0).max()
    fixes = np.concatenate([run.xy_m for run in drawn.series])
    near = np.abs(fixes - middle).max(axis=1) <= extent + FAR_M
    return window_around(np.concatenate([true, fixes[near]]))


def map_svg(drawn: Drawn, base: Basemap) -> str:
    """The true track and the fixes of every run."""
    parts = [ground(base), true_track(drawn.true_xy_m, base)]
    reach = np.array([base.width_px, base.height_px]) / (2.0 * base.scale_px_m)
    middle = np.array([base.west_m, base.north_m]) + reach * [1.0, -1.0]
    for number, run in enumerate(drawn.series):
        inside = np.isfinite(run.xy_m).all(axis=1)
        inside &= (np.abs(run.xy_m - middle) <= reach).all(axis=1)
        rows = np.flatnonzero(inside)
        if len(rows):
            xy = run.xy_m[rows]
            breaks = (np.diff(rows) > 1) | (np.hypot(*np.diff(xy, axis=0).T) > JUMP_M)
            parts.append(
                f'<path class="track run{number}" d="{path_data(base.to_px(xy), breaks)}" '
                f'style="stroke-width:{track_width(drawn, number):g}"/>'
            )
    alt = f"Map: true track white with dark edge, fixes of {_names(drawn)} in their colours"
    return (
        f'<svg class="map still" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {base.width_px} {base.height_px}" preserveAspectRatio="xMidYMid meet">'
        f"{''.join(parts)}{scale_bar(base)}</svg>"
    )


def track_width(drawn: Drawn, number: int) -> float:
    """Width of a track, so that those drawn later do not hide those drawn before."""
    return 2.2 + 2.2 * (len(drawn.series) - 1 - number)


# -- helpers ----------------------------------------------------------------------------------


def stretches(where: BoolArray) -> list[tuple[int, int]]:
    """(first, one behind the last) of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, where, False]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _way(drawn: Drawn) -> tuple[float, float]:
    ends = np.concatenate([run.distance_m for run in drawn.series])
    return float(ends.min()), float(ends.max())


def _top(drawn: Drawn) -> float:
    values = np.concatenate([run.error_m for run in drawn.series])
    values = values[np.isfinite(values)]
    return max(10.0, float(values.max()) * 1.2) if len(values) else 10.0


def _names(drawn: Drawn) -> str:
    return ", ".join(run.name for run in drawn.series)


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"…{name[-15:]}"
