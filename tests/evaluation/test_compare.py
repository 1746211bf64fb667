# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs side by side: which frames count, what a known difference comes out as, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_run import START_NS, covariance, write_run

from geoloc_ros.cli.main import main
from geoloc_ros.datatypes import Status
from geoloc_ros.errors import ConfigError, GeolocError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.bootstrap import Resampling
from geoloc_ros.evaluation.columns import Estimates, Truth
from geoloc_ros.evaluation.compare import compare, difference_rows
from geoloc_ros.evaluation.paired_runs import pair_runs, read_runs
from geoloc_ros.evaluation.series import drawn_pairs
from geoloc_ros.evaluation.side_by_side import run_names
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

QUICK = Resampling(resamples=100)
ORIGIN = LatLon(47.0, 8.0)


def write(folder, offset_m=0.0, lost=(), frames=400, origin=ORIGIN, turn_rad=0.0):
    """A run east at 5 m a frame, `offset_m` to the north of the truth, LOST at some frames."""
    folder.mkdir(parents=True)
    stamps = START_NS + 10**8 * np.arange(frames)
    true = np.column_stack([5.0 * np.arange(frames), np.zeros((frames, 2))])
    status = np.full(frames, Status.LOCALISED.value, dtype="<U13")
    status[list(lost)] = Status.LOST.value
    poses = np.add(true, [0.0, offset_m, turn_rad])
    cov = covariance(true[:, 2], np.array([1.0, 1.0, 0.1]))
    estimates = Estimates(
        stamp_ns=stamps,
        status=status,
        reasons=("",) * frames,
        poses=poses,
        cov_xy_yaw=cov,
        lat_deg=np.full(frames, np.nan),
        lon_deg=np.full(frames, np.nan),
        similarity=np.zeros(frames),
        spread_m=np.zeros(frames),
    )
    tables.write_estimates(folder, estimates)
    tables.write_truth(folder, Truth(stamps, true))
    where = {"lat_deg": origin.lat_deg, "lon_deg": origin.lon_deg}
    tables.write_summary(folder, {"origin": where} if origin else {})
    return folder


def compared(*folders, how=QUICK):
    return compare(pair_runs(read_runs(folders)), how)


def test_a_known_difference_comes_out(tmp_path):
    a = write(tmp_path / "a", 1.0, lost=range(0, 100), turn_rad=np.radians(2.0))
    b = write(tmp_path / "b", 4.0)
    content = compared(a, b)
    assert content["frames"]["common"] == 400
    assert content["blocks"]["count"] == 40
    found = content["differences"]["b"]
    assert found["frames"] == 300
    median = found["position_error_m"]["median"]
    assert (median["baseline"], median["value"]) == (1.0, 4.0)
    assert median["difference"] == median["low"] == median["high"] == 3.0
    assert median["verdict"] == "worse"
    assert found["availability"]["difference"] == pytest.approx(0.25)
    assert found["availability"]["low"] > 0.0
    assert found["availability"]["verdict"] == "better"
    assert found["yaw_error_deg"]["p95"]["difference"] == pytest.approx(-2.0)
    assert found["yaw_error_deg"]["p95"]["verdict"] == "better"
    assert found["confidently_wrong"]["difference"] == 1.0  # 4 m of sigma 1 m, everywhere
    assert found["coverage_95"]["difference"] == -1.0
    assert found["coverage_95"]["verdict"] == "changed"


def test_the_same_run_twice_differs_in_nothing(tmp_path):
    a, b = write(tmp_path / "a", 1.0), write(tmp_path / "b", 1.0)
    for _, entry in difference_rows(compared(a, b)["differences"]["b"]):
        assert entry["difference"] == entry["low"] == entry["high"] == 0.0
        assert entry["verdict"] == "equal"


def test_silence_where_it_is_hard_earns_no_better_error(tmp_path):
    hard = range(200, 400)
    a = write(tmp_path / "a", 1.0)
    far = tables.read_estimates(a)
    far.poses[list(hard), 1] = 9.0
    tables.write_estimates(a, far)
    b = write(tmp_path / "b", 1.0, lost=hard)
    found = compared(a, b)["differences"]["b"]
    assert found["position_error_m"]["median"]["difference"] == 0.0
    assert found["position_error_m"]["p95"]["difference"] == 0.0
    assert found["availability"]["verdict"] == "worse"


def test_noise_of_the_same_size_is_not_told_apart(tmp_path):
    runs = []
    for name, seed in (("a", 1), ("b", 2)):
        run = write(tmp_path / name)
        estimates = tables.read_estimates(run)
        noise = np.random.default_rng(seed).normal(0.0, 1.0, (len(estimates), 2))
        estimates.poses[:, :2] += noise
        tables.write_estimates(run, estimates)
        runs.append(run)
    found = compared(*runs, how=Resampling())["differences"]["b"]
    assert found["position_error_m"]["median"]["verdict"] == "open"
    assert found["position_error_m"]["median"]["low"] < 0.0


def test_frames_that_not_all_have_are_left_out_and_counted(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b", frames=300)
    content = compared(a, b)
    assert content["frames"]["common"] == 300
    assert content["notes"] == ["a: 100 of its 400 frames are left out, which not all runs have"]
    three = compared(a, b, write(tmp_path / "c", frames=350))
    assert three["frames"]["common"] == 300
    assert len(three["notes"]) == 2


def test_a_recording_that_loops_counts_every_stamp_once(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    estimates = tables.read_estimates(b)
    twice = np.r_[np.arange(400), np.arange(100)]
    fields = {
        name: getattr(estimates, name)[twice]
        for name in estimates.__slots__
        if name not in ("reasons",)
    }
    tables.write_estimates(b, replace(estimates, reasons=("",) * 500, **fields))
    content = compared(a, b)
    assert content["frames"]["common"] == 400
    assert "100 of its 500 frames" in content["notes"][0]


def test_few_blocks_are_said(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b", 1.0)
    content = compared(a, b, how=Resampling(block_m=500.0))
    assert "4 blocks of 500 m" in content["notes"][0]
    assert content["differences"]["b"]["availability"]["verdict"] is None


def test_a_truth_in_another_plane_is_the_same_truth(tmp_path):
    a = write(tmp_path / "a", 1.0)
    other = LatLon(47.001, 8.002)
    b = write(tmp_path / "b", 1.0, origin=other)
    with pytest.raises(GeolocError, match="truths of a and b differ"):
        compared(a, b)
    change = PlaneChange(LocalFrame(ORIGIN), LocalFrame(other))
    estimates, truth = tables.read_estimates(b), tables.read_truth(b)
    tables.write_estimates(b, replace(estimates, poses=change.poses(estimates.poses)))
    tables.write_truth(b, Truth(truth.stamp_ns, change.poses(truth.poses)))
    pairs = pair_runs(read_runs([a, b]))
    median = compare(pairs, QUICK)["differences"]["b"]["position_error_m"]["median"]
    assert median["difference"] == pytest.approx(0.0, abs=1e-3)
    first, second = drawn_pairs(pairs).series
    np.testing.assert_allclose(first.xy_m, second.xy_m, atol=1e-3)


def _without_truth(run):
    (run / "truth.parquet").unlink()


def _later(run):
    estimates, truth = tables.read_estimates(run), tables.read_truth(run)
    tables.write_estimates(run, replace(estimates, stamp_ns=estimates.stamp_ns + 10**12))
    tables.write_truth(run, Truth(truth.stamp_ns + 10**12, truth.poses))


def _elsewhere(run):
    truth = tables.read_truth(run)
    tables.write_truth(run, Truth(truth.stamp_ns, np.add(truth.poses, [0.0, 0.2, 0.0])))


def _truth_of_other_times(run):
    truth = tables.read_truth(run)
    tables.write_truth(run, Truth(truth.stamp_ns + 10**12, truth.poses))


def _cut(run):
    path = run / "estimates.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _without_a_column(run):
    import pyarrow.parquet as pq

    path = run / "estimates.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["cov_xx"]), path)


def _with_a_broken_origin(run):
    tables.write_summary(run, {"origin": {"lat_deg": 47.0}})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_with_a_broken_origin, "is no lat_deg and lon_deg"),
        (_without_truth, "b has no truth"),
        (_later, "a and b share no frame"),
        (_elsewhere, "differ by up to 0.2 m"),
        (_truth_of_other_times, "at none of the common frames"),
        (_cut, "cannot read"),
        (_without_a_column, "lacks the column cov_xx"),
    ],
)
def test_runs_that_do_not_match_are_refused(spoil, says, tmp_path, capsys):
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    spoil(b)
    assert main(["eval", "compare", str(a), str(b)]) == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert len(shown.splitlines()) == 1


def test_one_run_is_no_comparison(tmp_path):
    with pytest.raises(ConfigError, match="two runs or more"):
        compared(write(tmp_path / "a"))


def test_errors_that_are_not_finite_count_as_far(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    estimates = tables.read_estimates(b)
    estimates.poses[:300] = np.nan
    tables.write_estimates(b, estimates)
    found = compared(a, b)["differences"]["b"]["position_error_m"]["median"]
    assert found["value"] == 1e9
    assert found["verdict"] == "worse"


def test_names_are_the_shortest_that_tell_apart(tmp_path):
    folders = [tmp_path / name for name in ("x/a", "x/b", "y/a")]
    assert run_names(folders) == ["x/a", "x/b", "y/a"]
    assert run_names(folders[:2]) == ["a", "b"]
    assert run_names(folders[:1]) == ["a"]


def test_the_command_prints_writes_and_gates(tmp_path, capsys):
    a, b = write(tmp_path / "a", 1.0), write(tmp_path / "b", 1.5)
    words = ["eval", "compare", str(a), str(b), "--resamples", "100"]
    key = "differences.b.position_error_m.median"
    assert main([*words, "--require", f"{key}.high<=0.6", "--require", f"{key}.value<2"]) == 0
    shown = capsys.readouterr().out
    assert "b against a: 400 common frames, 400 LOCALISED in both" in shown
    assert "+0.5 m … +0.5 m" in shown
    assert "worse" in shown
    assert main([*words, "--require", f"{key}.high<=0.4"]) == 1
    assert f"{key}.high<=0.4 is not met: it is 0.5" in capsys.readouterr().err
    assert main([*words, "--json", "--require", f"{key}.verdict==worse"]) == 0
    assert json.loads(capsys.readouterr().out)["baseline"] == "a"
    assert not list(tmp_path.glob("*/compare*"))


def test_a_whole_fake_run_compares_with_itself(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    content = compared(a, b)
    assert content["runs"]["a"]["result"]["frames_dropped"] == 3
    json.dumps(content, allow_nan=False)
