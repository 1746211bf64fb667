# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_run import drive, gaussian_estimates, write_run

from geoloc_ros.cli import eval as eval_command
from geoloc_ros.cli.main import main
from geoloc_ros.datatypes import Candidates, PoseEstimate, Reason, Status
from geoloc_ros.errors import GeolocError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import latency_from, retrieval_from
from geoloc_ros.evaluation.result import format_table, result_from, write_result
from geoloc_ros.geo.wgs84 import LatLon

KEYS = """
frames frames_used frames_dropped availability time_to_first_fix_s position_error_m yaw_error_deg
confidently_wrong nees_mean coverage_95 recall latency_ms realtime_factor vlm peak_rss_mb seed
encoder index config_sha256
"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


def _estimates():
    nan = float("nan")
    lost = PoseEstimate(
        5,
        Status.LOST,
        (Reason.TWO_MODES, Reason.LOW_SIMILARITY),
        np.full(3, nan),
        np.full((3, 3), nan),
        None,
        nan,
        nan,
    )
    cov = np.array([[4.0, 1.0, 0.1], [1.0, 3.0, 0.2], [0.1, 0.2, 0.5]])
    found = PoseEstimate(
        2**60 + 1, Status.LOCALISED, (), np.arange(3.0), cov, LatLon(47.0, 8.0), 0.7, 1.5
    )
    return [lost, found]


def test_estimates_round_trip(tmp_path):
    tables.write_estimates(tmp_path, _estimates())
    read = tables.read_estimates(tmp_path)
    assert read.stamp_ns.tolist() == [5, 2**60 + 1]
    assert read.status.tolist() == ["LOST", "LOCALISED"]
    assert read.reasons == ("low_similarity,two_modes", "")
    assert np.isnan(read.poses[0]).all()
    assert np.array_equal(read.cov_xy_yaw[1], _estimates()[1].cov_xy_yaw)
    assert read.lat_deg[1] == 47.0
    assert read.localised.tolist() == [False, True]


def test_same_estimates_same_bytes(tmp_path):
    other_nan = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff")  # NaN with a payload
    changed = _estimates()
    changed[0].pose[:] = other_nan
    (tmp_path / "b").mkdir()
    first = tables.write_estimates(tmp_path, _estimates()).read_bytes()
    assert tables.write_estimates(tmp_path / "b", changed).read_bytes() == first
    changed[1].pose[0] += 1e-12
    assert tables.write_estimates(tmp_path / "b", changed).read_bytes() != first


def test_empty_run(tmp_path):
    tables.write_estimates(tmp_path, [])
    result = result_from(tmp_path)
    assert tuple(result) == tuple(KEYS.split())
    assert result["frames_used"] == 0
    assert result["availability"] is None
    assert "availability" in format_table(result)


def test_retrieval_keeps_searches_that_found_nothing(tmp_path):
    none = Candidates(np.empty(0, np.int64), np.empty((0, 3)), np.empty(0, np.float32))
    two = Candidates(np.array([7, 9]), np.zeros((2, 3)), np.array([0.5, 0.25], np.float32))
    rows = retrieval_from([(1, none, none.poses), (2, two, two.poses)])
    tables.write_retrieval(tmp_path, rows)
    read = tables.read_retrieval(tmp_path)
    assert read.rank.tolist() == [0, 1, 2]
    assert read.entry_id.tolist() == [-1, 7, 9]


def test_latency_round_trip(tmp_path):
    tables.write_latency(tmp_path, latency_from([1, 2], [{"encode": 1.0}, {"view": 2.0}]))
    read = tables.read_latency(tmp_path)
    assert list(read.stages_ms) == ["view", "encode"]
    assert np.isnan(read.stages_ms["view"][0])


def test_result_has_exactly_the_documented_keys(run_dir):
    result = result_from(run_dir)
    assert tuple(result) == tuple(KEYS.split())
    document = Path(__file__).parents[2] / "docs" / "result.md"
    if document.exists():
        text = document.read_text(encoding="utf-8")
        assert all(f"`{key}`" in text for key in KEYS.split())


def test_result_of_the_made_up_run(run_dir):
    result = result_from(run_dir)
    assert result["time_to_first_fix_s"] == pytest.approx(6.0)
    # 7 s lost and 8 s degraded of the 194 s after the first fix.
    assert result["availability"] == pytest.approx(1 - 15 / 194, abs=0.002)
    assert result["position_error_m"]["median"] == pytest.approx(1.0, abs=0.2)
    assert result["coverage_95"] == pytest.approx(0.95, abs=0.02)
    assert result["realtime_factor"] == pytest.approx(4.0)
    assert result["recall"]["1"] < result["recall"]["10"]
    assert result["latency_ms"]["rerank"] == {"p50": None, "p95": None}
    assert result["vlm"]["asked"] == 0


def test_result_without_truth(tmp_path):
    result = result_from(write_run(tmp_path, with_truth=False, seconds=30.0))
    assert result["position_error_m"]["median"] is None
    assert result["coverage_95"] is None
    assert result["recall"] == {"1": None, "5": None, "10": None}
    assert result["availability"] is not None


def test_result_is_json_even_when_the_covariance_is_broken(tmp_path):
    truth = drive(20.0)
    estimates = gaussian_estimates(truth, np.random.default_rng(0), claimed=0.0)
    estimates.poses[3] = np.nan
    tables.write_estimates(tmp_path, estimates)
    tables.write_truth(tmp_path, truth)
    write_result(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["confidently_wrong"] == 1.0
    assert result["coverage_95"] == 0.0
    assert result["position_error_m"]["max"] == 1e9


def test_clock_that_jumps_back_is_scored(tmp_path):
    truth = drive(20.0)
    estimates = gaussian_estimates(truth, np.random.default_rng(0))
    estimates.stamp_ns[100:] -= 86_400_000_000_000
    tables.write_estimates(tmp_path, estimates)
    tables.write_truth(tmp_path, truth)
    assert result_from(tmp_path)["position_error_m"]["max"] < 10.0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("estimates.parquet", None, "geoloc replay"),
        ("estimates.parquet", b"", "cannot read"),
        ("estimates.parquet", b"PAR1 not really PAR1", "cannot read"),
        ("truth.parquet", b"\x00" * 100, "cannot read"),
        ("summary.json", b"[1, 2]", "JSON object"),
        ("summary.json", b"{", "cannot read"),
        ("config.yaml", b"nonsense_key: 1\n", "unknown parameter"),
    ],
)
def test_damaged_output_gives_one_clear_line(tmp_path, name, content, says):
    write_run(tmp_path, seconds=5.0)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GeolocError, match=re.escape(says)):
        result_from(tmp_path)


def test_missing_column_is_named(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"stamp_ns": [1]}), tmp_path / "estimates.parquet")
    with pytest.raises(GeolocError, match="lacks the column status"):
        tables.read_estimates(tmp_path)


def test_eval_command(run_dir, capsys):
    parser = argparse.ArgumentParser()
    eval_command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["eval", "drive", str(run_dir)])
    assert args.run(args) == 0
    assert "coverage of the 95 % region" in capsys.readouterr().out
    args = parser.parse_args(["eval", "drive", str(run_dir), "--json"])
    assert args.run(args) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run_dir / "result.json").read_text())


def test_the_old_form_of_eval_names_the_new_one(run_dir, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["eval", str(run_dir)])
    assert stop.value.code == 2
    assert "geoloc eval drive OUT" in capsys.readouterr().err


def test_several_runs_stand_side_by_side_and_each_must_meet_what_is_required(tmp_path, capsys):
    write_run(tmp_path / "a", seconds=20.0)
    write_run(tmp_path / "b", with_truth=False, seconds=20.0)
    outs = [str(tmp_path / "a"), str(tmp_path / "b")]
    limits = ["--require", "position_error_m.median<=5", "--require", "frames_dropped==3"]
    assert main(["eval", "drive", *outs, *limits]) == 1
    shown = capsys.readouterr()
    head, frames = shown.out.splitlines()[:2]
    assert head.split() == ["a", "b"]
    assert frames.split()[1] == frames.split()[2]
    assert "position_error_m.median<=5 of b is not met: it is null: the run has no truth" in (
        shown.err
    )
    assert "of a" not in shown.err
    assert main(["eval", "drive", outs[0], *limits]) == 0
    capsys.readouterr()
    assert main(["eval", "drive", *outs, "--json"]) == 0
    assert [row["frames_dropped"] for row in json.loads(capsys.readouterr().out)] == [3, 3]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--require", "position_error.median<=2"], "near: position_error_m.median"),
        (["--require", "availability"], "not of the form"),
    ],
)
def test_a_requirement_that_cannot_be_judged_is_an_error(run_dir, words, says, capsys):
    assert main(["eval", "drive", str(run_dir), *words]) == 2
    assert says in capsys.readouterr().err


def test_a_run_is_given_once(run_dir, capsys):
    assert main(["eval", "drive", str(run_dir), f"{run_dir}/../{run_dir.name}"]) == 2
    assert "given twice" in capsys.readouterr().err
