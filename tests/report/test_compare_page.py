# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The page of several runs: whole, offline, and true to the figures."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from fake_run import write_run

from geoloc_ros.cli.main import main
from geoloc_ros.errors import ConfigError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.bootstrap import Resampling
from geoloc_ros.evaluation.compare import compare
from geoloc_ros.evaluation.paired_runs import pair_runs, read_runs
from geoloc_ros.evaluation.series import drawn_pairs
from geoloc_ros.report import compare_charts
from geoloc_ros.report.compare_page import write_comparison
from geoloc_ros.report.difference_text import comparison_rows

QUICK = Resampling(resamples=100)
VOID = {"meta", "img", "input", "br", "link"}


class _Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    first, second = write_run(folder / "before"), write_run(folder / "after <b>")
    estimates = tables.read_estimates(second)
    shifted = np.add(estimates.poses, [0.0, 2.0, 0.0])
    tables.write_estimates(second, replace(estimates, poses=shifted))
    return pair_runs(read_runs([first, second]))


@pytest.fixture(scope="module")
def page(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "compared"
    return write_comparison(out, pairs, compare(pairs, QUICK))


def test_the_page_is_whole_and_needs_no_network(page):
    text = page.read_text()
    parser = _Balance()
    parser.feed(text)
    assert parser.open == []
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', text)
    assert "after &lt;b&gt;" in text
    assert "<b>" not in text.split("<h1>")[1].split("</h1>")[0]
    assert "worse" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)
    for run in (0, 1):
        assert f'class="line run{run}"' in text
        assert f'class="track run{run}"' in text
        assert f'class="run{run}"' in text


def test_the_picture_and_the_figures_lie_beside_it(page, pairs):
    picture = cv2.imread(str(page.parent / "compare.png"))
    assert picture.shape[1] > 1000
    assert picture.std() > 10.0
    content = json.loads((page.parent / "compare.json").read_text())
    assert content["frames"]["common"] == len(pairs)
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "compare.html",
        "compare.json",
        "compare.png",
    ]


def test_rows_say_what_was_found(pairs):
    rows = {
        row.name: row for row in comparison_rows(compare(pairs, QUICK)["differences"]["after <b>"])
    }
    median = rows["position error, median"]
    assert median.verdict == "worse"
    assert median.difference.startswith("+1.")
    assert rows["frames LOCALISED"].difference == "+0.0 pp"
    assert rows["frames LOCALISED"].verdict == "equal"


def test_shares_end_at_the_share_of_frames_with_a_fix(pairs):
    drawn = drawn_pairs(pairs)
    svg = compare_charts.error_shares(drawn)
    y = [float(d.split()[-1]) for d in re.findall(r'class="line run\d" d="([^"]+)"', svg)]
    chart_top, chart_bottom = 12.0, 260.0
    shares = [(chart_bottom - value) / (chart_bottom - chart_top) for value in y]
    expected = [np.isfinite(run.error_m).mean() for run in drawn.series]
    assert shares == pytest.approx(expected, abs=0.002)


def test_a_lane_shows_where_a_run_is_localised(pairs):
    stretches = compare_charts.stretches(np.array([True, True, False, True]))
    assert stretches == [(0, 2), (3, 4)]
    assert compare_charts.stretches(np.zeros(3, dtype=bool)) == []
    assert compare_charts.fixes_along(drawn_pairs(pairs)).count('<rect class="run0"') >= 2


def test_imagery_that_cannot_be_read_is_said(pairs, tmp_path):
    (tmp_path / "no.tif").write_bytes(b"no raster")
    page = write_comparison(tmp_path, pairs, compare(pairs, QUICK), tmp_path / "no.tif")
    assert "The map has no imagery" in page.read_text()


def test_a_fix_on_another_planet_leaves_the_map_as_it_is(pairs, tmp_path):
    lost = tmp_path / "lost"
    write_run(lost)
    estimates = tables.read_estimates(lost)
    estimates.poses[900:, :2] = 1e200
    tables.write_estimates(lost, estimates)
    runs = pair_runs(read_runs([pairs.runs[0].out, lost]))
    drawn, usual = drawn_pairs(runs), drawn_pairs(pairs)
    assert np.ptp(compare_charts.window(drawn)) < 1.2 * np.ptp(compare_charts.window(usual))
    page = write_comparison(tmp_path / "out", runs, compare(runs, QUICK))
    assert page.stat().st_size < 2_000_000


def test_more_runs_than_colours_are_refused(pairs, tmp_path):
    runs = tuple(replace(pairs.runs[0], name=str(number)) for number in range(7))
    many = replace(pairs, runs=runs, rows=pairs.rows[:1] * 7)
    with pytest.raises(ConfigError, match="at most 6"):
        write_comparison(tmp_path / "out", many, compare(many, QUICK))
    assert not (tmp_path / "out").exists()


def test_the_command_says_where_the_page_is(pairs, tmp_path, capsys):
    folders = [str(run.out) for run in pairs.runs]
    words = ["eval", "compare", *folders, "--resamples", "100", "--out", str(tmp_path / "x")]
    assert main(words) == 0
    assert f"page: {tmp_path / 'x' / 'compare.html'}" in capsys.readouterr().out
    assert main([*words, "--imagery", "absent.tif"]) == 2
    assert "there is no file absent.tif" in capsys.readouterr().err
