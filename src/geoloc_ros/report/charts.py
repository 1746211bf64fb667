# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The charts over time: status, position error against 3 sigma, yaw error, NEES."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.metrics import CONFIDENT_SIGMA, chi2_quantile
from geoloc_ros.report.run_data import STATUS_ORDER, RunData
from geoloc_ros.report.svg import Chart

MAX_POINTS = 1400


def time_range(run: RunData) -> tuple[float, float]:
    """The span of the horizontal axis of every chart over time."""
    if not len(run.time_s):
        return 0.0, 1.0
    return float(run.time_s.min()), float(run.time_s.max())


def thinned(values: FloatArray) -> npt.NDArray[np.intp]:
    """Indices of at most about `MAX_POINTS` rows that keep the largest value of every bin."""
    if len(values) <= MAX_POINTS:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), MAX_POINTS + 1).astype(int)
    filled = np.where(np.isfinite(values), values, -np.inf)
    return np.array([a + int(np.argmax(filled[a:b])) for a, b in itertools.pairwise(edges)])


def status_spans(run: RunData) -> list[tuple[float, float, str, str]]:
    """(start_s, end_s, status, reasons) of every stretch with one status."""
    status, time_s = run.estimates.status, run.time_s
    if not len(status):
        return []
    changes = np.flatnonzero(status[1:] != status[:-1]) + 1
    starts, ends = np.r_[0, changes], np.r_[changes, len(status)]
    spans = []
    for a, b in zip(starts.tolist(), ends.tolist(), strict=True):
        reasons = sorted({r for row in run.estimates.reasons[a:b] for r in row.split(",") if r})
        end = time_s[b] if b < len(time_s) else time_s[-1]
        spans.append((float(time_s[a]), float(end), str(status[a]), ", ".join(reasons)))
    return spans


def status_strip(run: RunData) -> str:
    """One coloured lane per status along time."""
    used = [name for name in STATUS_ORDER if name in set(run.estimates.status.tolist())]
    lanes = max(len(used), 1)
    chart = Chart(
        time_range(run), (0.0, float(lanes)), height=22 * lanes + 44, margins=(118, 22, 8, 36)
    )
    chart.ticks(y=[])
    for lane, name in enumerate(used):
        chart.text(110, float(chart.y(lanes - lane - 0.5)) + 4, name, "lane", "end")
    for start, end, name, reasons in status_spans(run):
        lane = lanes - 1 - used.index(name)
        title = f"{name} {start:.1f}–{end:.1f} s" + (f": {reasons}" if reasons else "")
        chart.box(start, end, lane + 0.08, lane + 0.92, f"s-{name}", title)
    _events(chart, run, labels=False)
    return chart.render(
        "Status along time: " + _shares(run), "time since the first frame, s", timed=True
    )


def position_error(run: RunData, *, log: bool) -> str:
    """Error against the published 3 sigma."""
    error, three = run.scores.error_m, 3.0 * run.scores.sigma_m
    fixed = run.scores.scored
    top = _top(np.r_[error[fixed], three[fixed]], 3.0)
    low = 0.0
    if log:
        everything = error[np.isfinite(error)]
        low, top = 0.03, max(top, float(everything.max()) if len(everything) else top) * 1.3
    chart = Chart(time_range(run), (low, top), height=270, log_y=log, margins=(118, 22, 12, 40))
    _fixless(chart, run, low, top)
    rows = thinned(np.where(fixed, error, np.nan))
    time_s = run.time_s[rows]
    shown = np.where(run.estimates.localised[rows], three[rows], np.nan)
    chart.band(time_s, np.where(np.isfinite(shown), low, np.nan), shown, "sigma")
    chart.line(time_s, shown, "sigma-edge")
    doubtful = np.where(fixed[rows] | (error[rows] > top), np.nan, error[rows])
    chart.line(time_s, doubtful, "faint")
    chart.line(time_s, np.where(fixed[rows], error[rows], np.nan), "error")
    wrong = fixed & (run.scores.distance_sigma > CONFIDENT_SIGMA)
    dotted = np.flatnonzero(wrong)
    dotted = dotted[thinned(error[dotted])]
    chart.dots(run.time_s[dotted], error[dotted], "wrong", 2.6)
    _events(chart, run)
    return chart.render(
        f"Position error over time against 3 sigma, {'logarithmic' if log else 'linear'} scale; "
        f"{int(wrong.sum())} of {int(fixed.sum())} fixes lie beyond 3 sigma",
        "time since the first frame, s",
        "error, m",
        timed=True,
    )


def yaw_error(run: RunData) -> str | None:
    """Heading error against 3 sigma; None when truth has no heading."""
    error = run.scores.yaw_error_deg
    fixed = run.scores.scored & np.isfinite(error)
    if not fixed.any():
        return None
    variance = run.estimates.cov_xy_yaw[:, 2, 2]
    three = 3.0 * np.degrees(np.sqrt(np.maximum(variance, 0.0)))
    top = _top(np.r_[error[fixed], three[fixed]], 3.0)
    chart = Chart(time_range(run), (0.0, top), height=200, margins=(118, 22, 12, 40))
    _fixless(chart, run, 0.0, top)
    rows = thinned(np.where(fixed, error, np.nan))
    time_s, keep = run.time_s[rows], fixed[rows]
    shown = np.where(keep, three[rows], np.nan)
    chart.band(time_s, np.where(keep, 0.0, np.nan), shown, "sigma")
    chart.line(time_s, shown, "sigma-edge")
    chart.line(time_s, np.where(keep, error[rows], np.nan), "error")
    _events(chart, run, labels=False)
    return chart.render(
        "Heading error over time against 3 sigma",
        "time since the first frame, s",
        "yaw error, deg",
        timed=True,
    )


def nees_over_time(run: RunData) -> str | None:
    """NEES of every fix against the two-sided 95 % bounds; None without fixes."""
    fixed = run.scores.scored
    if not fixed.any():
        return None
    dof = int(np.max(run.scores.dof[fixed]))
    bounds = [float(chi2_quantile(level, dof)) for level in (0.025, 0.975)]
    nees = np.where(fixed, run.scores.nees, np.nan)
    top = max(float(np.nanmax(nees)) * 1.5, 40.0)
    chart = Chart(time_range(run), (0.02, top), height=200, log_y=True, margins=(118, 22, 12, 40))
    chart.band(list(time_range(run)), [bounds[0]] * 2, [bounds[1]] * 2, "sigma")
    rows = thinned(nees)
    chart.dots(run.time_s[rows], np.where(nees[rows] > 0.02, nees[rows], np.nan), "point", 1.5)
    chart.mark_y(float(dof), "expected", f"expected: {dof}")
    _events(chart, run, labels=False)
    return chart.render(
        f"NEES over time; a consistent filter stays between {bounds[0]:.2f} and {bounds[1]:.2f} "
        "for 95 % of the frames",
        "time since the first frame, s",
        "NEES",
        timed=True,
    )


def _fixless(chart: Chart, run: RunData, low: float, top: float) -> None:
    for start, end, name, _ in status_spans(run):
        if name != "LOCALISED":
            chart.box(start, end, low, top, f"shade s-{name}")


def _events(chart: Chart, run: RunData, labels: bool = True) -> None:
    first, last = time_range(run)
    for event in run.events:
        if first <= event.time_s <= last:
            chart.mark_x(event.time_s, "event", event.label if labels else "")


def _top(values: FloatArray, least: float) -> float:
    finite = values[np.isfinite(values)]
    return max(least, float(np.max(finite)) * 1.08) if len(finite) else least


def _shares(run: RunData) -> str:
    names, counts = np.unique(run.estimates.status, return_counts=True)
    return ", ".join(
        f"{name} {100 * count / len(run.time_s):.1f} %"
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
    )
