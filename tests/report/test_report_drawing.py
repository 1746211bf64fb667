# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from fake_pictures import fake_ortho
from fake_run import write_run
from scipy.stats import chi2

from geoloc_ros.report.basemap import basemap, window_m
from geoloc_ros.report.charts import MAX_POINTS, thinned
from geoloc_ros.report.run_data import load_run
from geoloc_ros.report.svg import Chart, log_ticks, nice_ticks
from geoloc_ros.report.track import ellipse_axes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(write_run(tmp_path_factory.mktemp("run"), seconds=60.0))


@pytest.mark.parametrize("gsd_m", [0.2, 0.5, 2.0])
def test_basemap_puts_the_ground_where_the_track_is(run, gsd_m):
    west, south, east, north = window_m(run)
    ortho = fake_ortho(west - 30.0, south - 20.0, east + 10.0, north + 40.0, gsd_m)
    rgb = np.zeros_like(ortho.rgb)
    place = np.array([[(west + east) / 2 + 7.0, (south + north) / 2 - 11.0]])
    column = (place[0, 0] - ortho.west_m) / gsd_m
    row = (ortho.north_m - place[0, 1]) / gsd_m
    size = max(1, round(6.0 / gsd_m))
    r0, c0 = round(row - size / 2), round(column - size / 2)
    rgb[r0 : r0 + size, c0 : c0 + size] = 255
    base = basemap(run, dataclasses.replace(ortho, rgb=rgb))
    bright = np.argwhere(base.rgb[:, :, 0] > 100)
    centre = bright.mean(axis=0)[::-1] + 0.5  # edges, not pixel centres
    assert centre == pytest.approx(base.to_px(place)[0], abs=gsd_m * base.scale_px_m * 0.5 + 0.7)


def test_window_is_landscape_and_holds_the_track(run):
    west, south, east, north = window_m(run)
    assert 1.29 <= (east - west) / (north - south) <= 3.01
    xy = run.truth.poses[:, :2]
    assert (xy > [west, south]).all()
    assert (xy < [east, north]).all()


def test_ellipse_holds_95_percent():
    rng = np.random.default_rng(0)
    cov = np.array([[5.0, 3.0], [3.0, 4.0]])
    points = rng.multivariate_normal([0.0, 0.0], cov, 20_000)
    (major,), (minor,), (angle,) = ellipse_axes(cov[None])
    c, s = np.cos(angle), np.sin(angle)
    along, across = points @ [c, s], points @ [-s, c]
    inside = (along / major) ** 2 + (across / minor) ** 2 <= 1.0
    assert inside.mean() == pytest.approx(0.95, abs=0.005)
    assert major == pytest.approx(np.sqrt(chi2.ppf(0.95, 2) * np.linalg.eigvalsh(cov)[1]))


def test_ticks_are_round_and_inside():
    assert nice_ticks(0.0, 1.0, 5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert nice_ticks(-7.0, 23.0, 4) == pytest.approx([0.0, 10.0, 20.0])
    assert log_ticks(0.03, 120.0) == pytest.approx([0.1, 1.0, 10.0, 100.0])


def test_chart_places_values_and_breaks_at_nan():
    chart = Chart((0.0, 10.0), (0.0, 4.0), width=122, height=112, margins=(10, 12, 6, 6))
    assert chart.x(5.0) == pytest.approx(60.0)
    assert chart.y([0.0, 4.0, 9.0]) == pytest.approx([106.0, 6.0, 6.0])
    chart.line([0, 1, 2, 3, 4], [0, 1, np.nan, 1, 0], "error")
    assert chart.render("a line").count("M") == 2
    log = Chart((0.1, 10.0), (0.0, 1.0), width=100, height=50, log_x=True, margins=(0, 0, 0, 0))
    assert log.x(1.0) == pytest.approx(50.0)


def test_thinning_keeps_the_worst():
    values = np.zeros(50_000)
    values[31_337] = 9.0
    values[100:200] = np.nan
    rows = thinned(values)
    assert len(rows) <= MAX_POINTS
    assert 31_337 in rows
    assert (np.diff(rows) > 0).all()
