# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of costs says what follows from the rates, and docs/scale.md says no more."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geoloc_ros.geo.wgs84 import MAX_RANGE_M
from geoloc_ros.index.policy import SamplingPolicy

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/scale_cost.py"


def asked(*words):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def rates(tmp_path):
    row = {"seconds": 40.0, "cpu_seconds": 40.0, "megabytes": 24.0}
    row |= {"bytes_per_entry": 1000.0, "cpu_ms_per_entry": 3.6}
    content = {
        "model": "m 1",
        "machine": {"threads": 2, "cores": 2, "cpu": "c"},
        "ratio": {
            "bare_cpu_ms": {"one session": 1.5},
            "build_cpu_ms": 1.6,
            "build_over_bare": 0.95,
            "build_over_bare_each": [0.9, 1.0],
            "cpu_build_over_bare": 0.94,
            "cpu_build_over_bare_each": [0.93, 0.95],
        },
        "reading": {"km2": 1.0, "cpu_seconds": 36.0},
        "km2": {
            "roads": row | {"entries": 24_000, "road_km": 12.0},
            "grid 15 m x 12": row | {"entries": 53_000, "pitch_m": 15.0, "headings": 12},
        },
    }
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(content))
    return path


def rows(text):
    """Cells of the table of costs by place and poses."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if "continent" in line]
    return {cells[1]: cells for cells in lines if len(cells) == 8}


def test_costs_follow_from_the_rates(rates):
    found = asked(rates, "--cores", 10, "--hours", 100).stdout
    city = next(line for line in found.splitlines() if "Zurich | roads" in line)
    # 847 km x 2000 entries; 3.6 ms of each and 36 s of 92 km2 are 1.694 + 0.92 hours
    assert city == "| city: Zurich | roads | 1 | 1.69 M | 1.69 GB | 2.6 | 0.26 | 1 |"
    table = rows(found)
    assert set(table) == {"roads", "grid 15 m x 12", "grid 6 m x 16"}
    grid = table["grid 15 m x 12"]
    assert grid[3] == "226 G"
    hours = 4_236_351 * (12 * (1000 / 15) ** 2 * 0.0036 + 36) / 3600
    assert float(grid[5]) == pytest.approx(hours, rel=1e-3)
    assert int(grid[7]) == -(-hours // 1000)


def test_an_index_holds_no_more_poses_than_fit(rates):
    few = rows(asked(rates, "--poses-gb", 1000).stdout)
    many = rows(asked(rates, "--poses-gb", 1).stdout)
    assert few["roads"][2] == "424"  # squares of 100 km
    assert int(many["grid 15 m x 12"][2]) == pytest.approx(226e9 * 24 / 1e9, rel=0.01)


def test_what_the_script_takes_for_granted_is_so():
    text = SCRIPT.read_text()
    assert f"REACH_KM = {MAX_RANGE_M / 1e3}" in text
    default = SamplingPolicy(kind="grid")
    assert f"Grid({default.pitch_m}, {default.headings})" in text


@pytest.mark.parametrize("words", [["--cores", "0"], ["--hours", "nan"], ["nowhere.json"]])
def test_what_makes_no_sense_is_refused(words):
    done = asked(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_every_number_of_the_page_is_printed():
    """Beside what is generated, the page says no number that could grow old."""
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    plain = re.sub(r"<!-- generated: .*?<!-- end -->", "", page, flags=re.DOTALL)
    plain = re.sub(r"```.*?```|`[^`]*`", "", plain, flags=re.DOTALL)
    assert not re.findall(r"\d", plain)
