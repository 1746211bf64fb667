# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`compare.png`: map, error along the way and shares of several runs in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.evaluation.paired_runs import PairedRuns
from geoloc_ros.report.basemap import Basemap
from geoloc_ros.report.compare_charts import (
    LEAST_M,
    RUN_COLOURS,
    errors_m,
    fixes_xy_m,
    track_width,
)
from geoloc_ros.report.pictures import broken, new_figure, save


def write_picture(path: Path, pairs: PairedRuns, base: Basemap) -> Path:
    """Draw the runs; returns the path."""
    figure = new_figure(13.0, 6.4)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.05, 1.0))
    _map(figure.add_subplot(grid[:, 0]), pairs, base)
    _along(figure.add_subplot(grid[0, 1]), pairs)
    _shares(figure.add_subplot(grid[1, 1]), pairs)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(len(labels), 4),
        fontsize=9,
        facecolor="#c4cad2",
    )
    return save(figure, path)


def _map(axes: Any, pairs: PairedRuns, base: Basemap) -> None:  # noqa: ANN401 - matplotlib
    east = base.west_m + base.width_px / base.scale_px_m
    south = base.north_m - base.height_px / base.scale_px_m
    if base.rgb is not None:
        axes.imshow(base.rgb, extent=(base.west_m, east, south, base.north_m))
    true = broken(pairs.runs[0].truth.poses[:, :2])
    wide = track_width(pairs, 0)
    axes.plot(*true.T, color="black", lw=wide + 4.0, alpha=0.7)
    axes.plot(*true.T, color="white", lw=wide + 2.0, label="true track")
    for run, colour in zip(range(len(pairs.runs)), RUN_COLOURS, strict=False):
        xy = broken(fixes_xy_m(pairs, run))
        width = track_width(pairs, run)
        axes.plot(*xy.T, color=colour, lw=width, label=pairs.runs[run].name)
    axes.set(
        xlim=(base.west_m, east), ylim=(south, base.north_m), xlabel="east, m", ylabel="north, m"
    )
    axes.set_aspect("equal")


def _along(axes: Any, pairs: PairedRuns) -> None:  # noqa: ANN401
    for run, colour in zip(range(len(pairs.runs)), RUN_COLOURS, strict=False):
        error = np.maximum(errors_m(pairs, run), LEAST_M)
        axes.semilogy(pairs.distance_m, error, color=colour, lw=1.1)
    axes.set(xlabel="driven, m", ylabel="position error, m")
    axes.grid(alpha=0.25)


def _shares(axes: Any, pairs: PairedRuns) -> None:  # noqa: ANN401
    for run, colour in zip(range(len(pairs.runs)), RUN_COLOURS, strict=False):
        error = errors_m(pairs, run)
        found = np.maximum(np.sort(error[np.isfinite(error)]), LEAST_M)
        share = np.arange(1, len(found) + 1) / max(len(error), 1)
        axes.semilogx(found, 100.0 * share, color=colour, lw=1.6)
    axes.set(xlabel="position error, m", ylabel="fixes within, % of all frames", ylim=(0.0, 100.0))
    axes.grid(alpha=0.25, which="both")
