# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`compare.png`: map, error along the way and shares of several runs in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.evaluation.series import Drawn
from geoloc_ros.report.basemap import Basemap
from geoloc_ros.report.compare_charts import (
    LEAST_M,
    RUN_COLOURS,
    track_width,
)
from geoloc_ros.report.pictures import broken, new_figure, save


def write_picture(path: Path, drawn: Drawn, base: Basemap) -> Path:
    """Draw the runs; returns the path."""
    figure = new_figure(13.0, 6.4)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.05, 1.0))
    _map(figure.add_subplot(grid[:, 0]), drawn, base)
    _along(figure.add_subplot(grid[0, 1]), drawn)
    _shares(figure.add_subplot(grid[1, 1]), drawn)
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


def _map(axes: Any, drawn: Drawn, base: Basemap) -> None:  # noqa: ANN401 - matplotlib
    east = base.west_m + base.width_px / base.scale_px_m
    south = base.north_m - base.height_px / base.scale_px_m
    if base.rgb is not None:
        axes.imshow(base.rgb, extent=(base.west_m, east, south, base.north_m))
    else:
        axes.set_facecolor("#6b7280")
    true, wide = broken(drawn.true_xy_m), track_width(drawn, 0)
    axes.plot(*true.T, color="black", lw=wide + 4.0, alpha=0.7)
    axes.plot(*true.T, color="white", lw=wide + 2.0, label="true track")
    for number, (run, colour) in enumerate(zip(drawn.series, RUN_COLOURS, strict=False)):
        width = track_width(drawn, number)
        axes.plot(*broken(run.xy_m).T, color=colour, lw=width, label=run.name)
    axes.set(
        xlim=(base.west_m, east), ylim=(south, base.north_m), xlabel="east, m", ylabel="north, m"
    )
    axes.set_aspect("equal")


def _along(axes: Any, drawn: Drawn) -> None:  # noqa: ANN401
    for run, colour in zip(drawn.series, RUN_COLOURS, strict=False):
        axes.semilogy(run.distance_m, np.maximum(run.error_m, LEAST_M), color=colour, lw=1.1)
    axes.set(xlabel="driven, m", ylabel="position error, m")
    axes.grid(alpha=0.25)


def _shares(axes: Any, drawn: Drawn) -> None:  # noqa: ANN401
    for run, colour in zip(drawn.series, RUN_COLOURS, strict=False):
        error, share = run.shares()
        axes.semilogx(np.maximum(error, LEAST_M), 100.0 * share, color=colour, lw=1.6)
    axes.set(xlabel="position error, m", ylabel="frames within, %", ylim=(0.0, 100.0))
    axes.grid(alpha=0.25, which="both")
