# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval trajectory`: from files, recordings and replay folders to figures and statuses."""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fake_run import START_NS, write_run
from made_tracks import shaken, winding, write_kitti, write_poses, write_tum

from geoloc_ros import messages
from geoloc_ros.bags.tracks import read_track
from geoloc_ros.bags.trajectory import UNKNOWN_VARIANCE, covariance_6x6
from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.cli.main import main
from geoloc_ros.errors import BagError, TrajectoryError
from geoloc_ros.evaluation import tables
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

pytest.importorskip("evo")

PLANE = LocalFrame(LatLon(47.0, 8.0))
SIGMA_M = 0.5
COV = np.diag([SIGMA_M**2] * 3 + [0.03**2] * 3)


@pytest.fixture(scope="module")
def truth():
    return winding(100)


@pytest.fixture(scope="module")
def estimate(truth):
    return shaken(truth, np.random.default_rng(5), SIGMA_M)


def figures(capsys, *words):
    """What the command prints as JSON."""
    capsys.readouterr()
    assert main(["eval", "trajectory", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_recording_has_a_covariance_a_text_file_none(truth, estimate, tmp_path, capsys):
    ref = write_tum(tmp_path / "truth.tum", truth)
    recorded = write_poses(tmp_path / "bag", estimate, COV)
    written = write_tum(tmp_path / "estimate.tum", estimate)
    quick = ["--resamples", 100, "--block", 2]
    content = figures(capsys, recorded, written, "--truth", ref, *quick)
    both = content["trajectories"]
    assert [row["pairs"] for row in both] == [100, 100]
    assert both[0]["ape_m"]["rmse"] == pytest.approx(both[1]["ape_m"]["rmse"], rel=1e-6)
    assert both[0]["coverage_95"] > 0.85
    assert 2.0 < both[0]["nees_mean"] < 4.5
    assert both[1]["coverage_95"] is None
    assert both[0]["availability"] == 1.0
    median = content["comparison"]["differences"]["estimate.tum"]["position_error_m"]["median"]
    assert median["difference"] == pytest.approx(0.0, abs=1e-9)
    assert abs(median["high"]) < 1e-9


def test_the_table_names_every_figure_and_what_to_know(truth, estimate, tmp_path, capsys):
    ref = write_tum(tmp_path / "truth.tum", truth)
    assert main(["eval", "trajectory", str(ref), "--truth", str(ref), "--align", "se3"]) == 0
    shown = capsys.readouterr().out
    assert "APE in x, y and z, rmse" in shown
    assert "RPE over 10 m, median" in shown
    assert "note: aligned (se3)" in shown


@pytest.mark.parametrize("variance", [1e4, UNKNOWN_VARIANCE])  # the node's, a replay's
def test_heights_that_a_covariance_calls_unknown_are_not_compared(
    variance, truth, tmp_path, capsys
):
    planar = covariance_6x6(np.eye(3))
    planar[2, 2] = variance
    ref = write_tum(tmp_path / "truth.tum", truth)
    row = figures(capsys, write_poses(tmp_path / "bag", truth, planar), "--truth", ref)
    assert row["compared_in"] == "xy"
    assert row["ape_m"]["max"] == pytest.approx(0.0, abs=1e-9)
    planar[2, 2] = 25.0
    row = figures(capsys, write_poses(tmp_path / "other", truth, planar), "--truth", ref)
    assert row["compared_in"] == "xyz"


def test_the_altitude_of_a_fix_may_be_unknown_too(truth, tmp_path):
    cov = np.diag([1.0, 2.0, 1e4])
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_fix("/fix", START_NS, PLANE.origin, 0.0, cov_enu=cov)
        bag.write_fix("/fix", START_NS + 1, PLANE.origin, 7.0)
    fixes, _ = read_track(str(tmp_path / "bag"))
    assert np.isnan(fixes.altitude_m[0])
    assert fixes.altitude_m[1] == 7.0
    assert fixes.cov_xy[0].tolist() == [[1.0, 0.0], [0.0, 2.0]]


def test_fixes_need_an_origin(truth, estimate, tmp_path, capsys):
    with BagWriter(tmp_path / "rtk") as bag:
        for stamp, xyz in zip(truth.stamp_ns.tolist(), truth.positions_m, strict=True):
            bag.write_fix("/fix", stamp, PLANE.position(*xyz[:2]), xyz[2])
    recorded = write_poses(tmp_path / "bag", estimate, COV)
    words = ["eval", "trajectory", str(recorded), "--truth", str(tmp_path / "rtk")]
    assert main(words) == 2
    assert "--origin LAT LON" in capsys.readouterr().err
    row = figures(capsys, recorded, "--truth", tmp_path / "rtk", "--origin", 47.0, 8.0)
    assert row["pairs"] == 100
    assert row["ape_m"]["rmse"] == pytest.approx(SIGMA_M * np.sqrt(3.0), rel=0.15)
    assert row["yaw_error_deg"]["median"] is None


def test_a_topic_is_named_behind_the_recording(truth, estimate, tmp_path, capsys):
    with BagWriter(tmp_path / "bag") as bag:
        for stamp, pose in zip(truth.stamp_ns.tolist(), truth.planar_poses, strict=True):
            bag.write_odometry("/odom", stamp, pose, (5.0, 0.0))
            bag.write_odometry("/filtered", stamp, np.add(pose, [1.0, 0.0, 0.0]), (5.0, 0.0))
    name = f"{tmp_path / 'bag'}"
    assert main(["eval", "trajectory", name, "--truth", name]) == 2
    assert f"  {name}:/filtered   # nav_msgs" in capsys.readouterr().err
    row = figures(capsys, f"{name}:/filtered", "--truth", f"{name}:/odom")
    assert row["ape_m"]["median"] == pytest.approx(1.0)
    assert main(["eval", "trajectory", f"{name}:/none", "--truth", f"{name}:/odom"]) == 2
    assert "/none is not in the bag" in capsys.readouterr().err


def test_a_replay_is_scored_by_a_truth_of_its_own(tmp_path, capsys):
    run = write_run(tmp_path / "run", seconds=40.0)
    drive = tables.read_truth(run)
    with BagWriter(tmp_path / "rtk") as bag:
        for stamp, (x, y, _) in list(zip(drive.stamp_ns.tolist(), drive.poses, strict=True))[::10]:
            bag.write_fix("/fix", stamp, PLANE.position(x, y), 400.0)
    row = figures(capsys, run, "--truth", tmp_path / "rtk", "--interpolate")
    assert main(["eval", "drive", str(run), "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert row["position_error_m"]["median"] == pytest.approx(
        own["position_error_m"]["median"], rel=0.02
    )
    assert row["confidently_wrong"] == pytest.approx(own["confidently_wrong"], abs=0.02)
    assert row["time_to_first_fix_s"] == pytest.approx(6.0, abs=0.2)
    assert row["longest_gap_s"] == pytest.approx(7.1, abs=0.3)
    assert row["availability"] < 0.9
    assert main(["eval", "trajectory", str(tmp_path / "rtk"), "--truth", str(run)]) == 2
    assert "and no truth" in capsys.readouterr().err


def test_the_trajectory_beside_a_replay_knows_where_it_lies(tmp_path):
    run = write_run(tmp_path / "run", seconds=10.0)
    poses = write_poses(tmp_path / "bag", winding(10), COV)
    shutil.copy(poses, run / "trajectory.mcap")
    assert read_track(str(run / "trajectory.mcap"))[0].plane == PLANE
    assert read_track(str(poses))[0].plane is None


def test_a_covariance_left_at_zero_is_none(truth, tmp_path):
    track, _ = read_track(str(write_poses(tmp_path / "bag", truth, np.zeros((6, 6)))))
    assert track.cov_xy_yaw is None
    assert any("zero in every message" in note for note in track.notes)


def test_what_could_be_read_is_scored_and_the_damage_told(truth, estimate, tmp_path, capsys):
    whole = write_poses(tmp_path / "bag", estimate, COV)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(data[: len(data) // 2])
    ref = write_tum(tmp_path / "truth.tum", truth)
    status = main(["eval", "trajectory", str(cut), "--truth", str(ref)])
    shown = capsys.readouterr()
    assert status == 2
    assert len(shown.err.splitlines()) == 1
    assert str(cut) in shown.err


def test_requirements_give_the_status(truth, estimate, tmp_path, capsys):
    ref = write_tum(tmp_path / "truth.tum", truth)
    recorded = write_poses(tmp_path / "bag", estimate, COV)
    words = ["eval", "trajectory", str(recorded), "--truth", str(ref)]
    assert main([*words, "--require", "ape_m.rmse<=2", "--require", "pairs==100"]) == 0
    assert main([*words, "--require", "ape_m.rmse<=0.1"]) == 1
    assert "ape_m.rmse<=0.1 is not met: it is 0.8" in capsys.readouterr().err
    aligned = ["--align", "se3", "--require", "coverage_95>=0"]
    assert main([*words, *aligned]) == 1
    assert "an aligned estimate's covariance is not judged" in capsys.readouterr().err


def test_the_page_shows_pauses_and_every_trajectory(truth, estimate, tmp_path, capsys):
    ref = write_tum(tmp_path / "truth.tum", truth)
    halting = estimate.rows(np.r_[10:40, 60:100])
    names = [
        str(write_tum(tmp_path / "whole.tum", estimate)),
        str(write_tum(tmp_path / "halting.tum", halting)),
    ]
    out = tmp_path / "page"
    assert main(["eval", "trajectory", *names, "--truth", str(ref), "--out", str(out)]) == 0
    assert f"page: {out / 'trajectory.html'}" in capsys.readouterr().out
    text = (out / "trajectory.html").read_text()
    assert "halting.tum" in text
    lines = re.findall(r'class="line run(\d)" d="([^"]+)"', text)
    # of the charts along the way: one stroke, and two where the estimate pauses for two seconds
    assert [(run, path.count("M")) for run, path in lines[:2]] == [("0", 1), ("1", 2)]
    starts = [float(path[1:].split()[0]) for _, path in lines[:2]]
    assert starts[1] > starts[0] + 50.0  # it begins 5 m later on the same axis
    content = json.loads((out / "trajectory.json").read_text())
    assert [row["pairs"] for row in content["trajectories"]] == [100, 70]
    assert (out / "trajectory.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["truth.tum", "--imagery", "absent.tif"], "there is no file absent.tif"),
        (["absent.tum"], "cannot read absent.tum: No such file"),
        (["truth.tum", "truth.tum"], "given twice"),
        (["truth.tum:/topic"], "is no recording, so it has no topic /topic"),
        (["truth.tum", "--tolerance", "-1"], "tolerance_s is -1"),
        (["truth.tum", "--origin", "1", "2"], "--origin is of no use"),
        (["truth.tum", "--origin", "91", "2"], "not a WGS84 position"),
        (["kitti.txt"], "has no stamps"),
        (["folder"], "no rosbag2 folder"),
        (["bag", "--axes", "camera"], "no --axes"),
        (["images"], "has no topic of type"),
    ],
)
def test_what_cannot_be_scored_is_one_line(truth, words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tum(tmp_path / "truth.tum", truth)
    write_kitti(tmp_path / "kitti.txt", truth)
    (tmp_path / "folder").mkdir()
    write_poses(tmp_path / "bag", truth, COV)
    with BagWriter(tmp_path / "images") as bag:
        bag.write_range("/height", START_NS, 3.0)
    assert main(["eval", "trajectory", *words, "--truth", "truth.tum"]) == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert "Traceback" not in shown


def test_a_folder_without_fixes_has_no_trajectory(tmp_path):
    run = write_run(tmp_path / "run", seconds=1.0)  # the cold start alone
    with pytest.raises(TrajectoryError, match="no frame is LOCALISED"):
        read_track(str(run))


def test_messages_without_a_claim_are_none():
    status = SimpleNamespace(status=-1)
    fix = SimpleNamespace(status=status, latitude=47.0, longitude=8.0, altitude=0.0)
    assert messages.fix(fix) is None
    fix.position_covariance_type, fix.position_covariance = 0, np.zeros(9)
    assert np.isnan(messages.fix_covariance(fix)).all()
    fix.position_covariance_type, fix.position_covariance = 2, np.diag([1.0, 4.0, 9.0]).ravel()
    assert messages.fix_covariance(fix).diagonal().tolist() == [1.0, 4.0, 9.0]
    with pytest.raises(BagError, match="other fields"):
        messages.covariance_pose(SimpleNamespace(pose=None))


def test_without_evo_the_error_says_what_to_install(truth, tmp_path):
    ref = write_tum(tmp_path / "truth.tum", truth)
    code = (
        "import sys; sys.modules['evo'] = None\n"
        "from geoloc_ros.cli.main import main\n"
        f"sys.exit(main(['eval', 'trajectory', {str(ref)!r}, '--truth', {str(ref)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install geoloc_ros[eval]" in done.stderr
