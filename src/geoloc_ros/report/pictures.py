# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The PNG files beside the page: map, errors, consistency, retrieval and latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.evaluation.metrics import chi2_density, chi2_quantile, coverage
from geoloc_ros.report.basemap import Basemap
from geoloc_ros.report.charts import status_spans
from geoloc_ros.report.distributions import LEVELS, STAGE_COLOUR
from geoloc_ros.report.run_data import STATUS_COLOUR, STATUS_ORDER, RunData
from geoloc_ros.report.track import JUMP_M, MAX_ELLIPSES, ellipse_axes

_SIGMA = "#0072B2"
_DPI = 130


def write_pictures(run: RunData, base: Basemap) -> list[Path]:
    """Write `map.png`, and with truth `errors.png` and `consistency.png`; return their paths."""
    paths = [_map(run, base)]
    if run.scores.scored.any():
        paths += [_errors(run), _consistency(run)]
    return paths


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401 - matplotlib is untyped
    """An empty figure of a size in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path) -> Path:  # noqa: ANN401
    """Write a figure, the same bytes every time, and return its path."""
    figure.savefig(path, metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    return path


def _map(run: RunData, base: Basemap) -> Path:
    figure = new_figure(9.0, 8.4 * base.height_px / base.width_px + 1.0)
    axes = figure.add_subplot()
    east = base.west_m + base.width_px / base.scale_px_m
    south = base.north_m - base.height_px / base.scale_px_m
    if base.rgb is not None:
        axes.imshow(base.rgb, extent=(base.west_m, east, south, base.north_m))
    if run.truth is not None and run.has_truth:
        xy = broken(run.truth.poses[:, :2])
        axes.plot(*xy.T, color="black", lw=3.6, alpha=0.7)
        axes.plot(*xy.T, color="white", lw=1.8, label="true track")
    for status in STATUS_ORDER:
        rows = np.flatnonzero(run.estimates.status == status)
        if not len(rows):
            continue
        xy, colour = run.estimates.poses[rows, :2], STATUS_COLOUR[status]
        if status == "LOCALISED":
            axes.plot(*broken(xy).T, color=colour, lw=2.2, label=status)
        else:
            axes.plot(*xy.T, ".", color=colour, ms=3, label=status)
    _map_ellipses(run, axes)
    axes.set(
        xlim=(base.west_m, east), ylim=(south, base.north_m), xlabel="east, m", ylabel="north, m"
    )
    axes.set_aspect("equal")
    for event in run.events:
        if run.truth is not None and event.kind == "kidnap":
            after = min(
                int(np.searchsorted(run.truth.stamp_ns, event.stamp_ns)), len(run.truth) - 1
            )
            ends = run.truth.poses[max(after - 1, 0) : after + 1, :2]
            axes.plot(*ends.T, ":", color="#ff7a2f", lw=1.8, marker="o", label=event.label)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=4, fontsize=8, facecolor="#c4cad2")
    return save(figure, run.out_dir / "map.png")


def _map_ellipses(run: RunData, axes: Any) -> None:  # noqa: ANN401
    from matplotlib.patches import Ellipse

    rows = np.flatnonzero(run.estimates.localised & np.isfinite(run.estimates.poses[:, 0]))
    rows = rows[:: max(1, len(rows) // MAX_ELLIPSES)]
    shape = zip(rows, *ellipse_axes(run.estimates.cov_xy_yaw[rows, :2, :2]), strict=True)
    for row, major, minor, angle in shape:
        if np.isfinite(major):
            x, y = run.estimates.poses[row, :2].tolist()
            turn = float(np.degrees(angle))
            axes.add_patch(
                Ellipse((x, y), 2 * major, 2 * minor, angle=turn, fill=False, ec="#ffe45c", lw=1)
            )


def broken(xy: Any) -> Any:  # noqa: ANN401
    """A track (N, 2) with NaN wherever it jumps, so that no line is drawn there."""
    far = np.hypot(*np.diff(xy, axis=0).T) > JUMP_M
    return np.insert(xy, np.flatnonzero(far) + 1, np.nan, axis=0)


def _errors(run: RunData) -> Path:
    figure = new_figure(10.0, 5.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    fixed = run.scores.scored
    three = np.where(run.estimates.localised, 3.0 * run.scores.sigma_m, np.nan)
    yaw_three = 3.0 * np.degrees(np.sqrt(np.maximum(run.estimates.cov_xy_yaw[:, 2, 2], 0.0)))
    pairs = (
        (top, run.scores.error_m, three, "position error, m"),
        (bottom, run.scores.yaw_error_deg, np.where(fixed, yaw_three, np.nan), "yaw error, deg"),
    )
    for axes, error, limit, label in pairs:
        axes.fill_between(run.time_s, 0.0, limit, color=_SIGMA, alpha=0.18, label="3 sigma")
        axes.plot(run.time_s, np.where(fixed, error, np.nan), color="black", lw=1.0, label="error")
        for start, end, name, _ in status_spans(run):
            if name != "LOCALISED":
                axes.axvspan(start, end, color=STATUS_COLOUR[name], alpha=0.15, lw=0)
        for event in run.events:
            axes.axvline(event.time_s, color="#D55E00", ls=":", lw=1.4)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0.0)
        axes.grid(alpha=0.25)
    top.legend(loc="upper right", fontsize=8)
    bottom.set_xlabel("time since the first frame, s")
    return save(figure, run.out_dir / "errors.png")


def _consistency(run: RunData) -> Path:
    figure = new_figure(10.0, 6.4)
    (nees_axes, cover), (recall, latency) = figure.subplots(2, 2)
    fixed = run.scores.scored
    nees, dof = run.scores.nees[fixed], run.scores.dof[fixed]
    last = float(chi2_quantile(0.999, dof.max()))
    grid = np.linspace(0.01, last, 200)
    nees_axes.hist(np.minimum(nees, last), bins=30, density=True, color=_SIGMA, alpha=0.6)
    nees_axes.plot(grid, chi2_density(grid, float(dof.max())), color="#D55E00", ls="--")
    nees_axes.set(xlabel=f"NEES, mean {nees.mean():.2f} (expected {dof.max()})", ylabel="density")
    cover.plot([0, 1], [0, 1], color="#D55E00", ls="--")
    cover.plot(LEVELS, [coverage(nees, dof, float(v)) for v in LEVELS], "k.-")
    cover.set(xlabel="published confidence", ylabel="share inside")
    found = {k: v for k, v in run.result["recall"].items() if v is not None}
    recall.bar([f"@{k}" for k in found], list(found.values()), color=_SIGMA)
    recall.set(ylim=(0.0, 1.0), ylabel="recall", xlabel="of single frames")
    for row, q in enumerate(("p50", "p95")):
        left = 0.0
        for stage, colour in STAGE_COLOUR.items():
            value = run.result["latency_ms"][stage][q] or 0.0
            label = stage if row == 0 and value else None
            latency.barh(q, value, left=left, color=colour, label=label)
            left += value
    latency.set_xlabel("ms per frame")
    if latency.get_legend_handles_labels()[0]:
        latency.invert_yaxis()
        latency.set_xlim(0.0, 1.4 * latency.get_xlim()[1])
        latency.legend(fontsize=8, loc="center right")
    return save(figure, run.out_dir / "consistency.png")
