# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""geoloc replay on a made flight, end to end on real files."""

import json

import numpy as np
import pytest
from made_flight import record

from geoloc_ros.bags.reader import BagReader
from geoloc_ros.cli.main import main
from geoloc_ros.evaluation import tables


def replay(made, bag, out, *more) -> int:
    words = ["replay", bag, "--index", made.index, "--model", made.model, "--out", out]
    return main([str(word) for word in (*words, "--no-report", *more)])


@pytest.fixture(scope="module")
def out(made, bag, tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "out"
    assert replay(made, bag, path, "--truth", "/ground_truth/pose") == 0
    return path


def test_result_holds_what_it_promises(out) -> None:
    result = json.loads((out / "result.json").read_text())
    assert result["frames"] == result["frames_used"] == 130
    assert result["availability"] > 0.9
    assert result["position_error_m"]["median"] < 2.0
    assert result["yaw_error_deg"]["median"] < 3.0
    assert result["confidently_wrong"] < 0.05
    assert result["recall"]["10"] > 0.8
    assert result["latency_ms"]["encode"]["p50"] > 0
    assert result["vlm"]["asked"] == 0


def test_output_directory_is_complete(out) -> None:
    names = {path.name for path in out.iterdir()}
    assert {"config.yaml", "versions.json", "estimates.parquet", "truth.parquet"} <= names
    assert {"result.json", "trajectory.mcap", "latency.parquet", "summary.json"} <= names
    with BagReader(out / "trajectory.mcap") as reader:
        topics = reader.topics()
        (stamp, _, message), *_ = reader.messages()
    assert topics[0].msgtype == "geometry_msgs/msg/PoseWithCovarianceStamped"
    cov = np.asarray(message.pose.covariance).reshape(6, 6)
    assert np.linalg.eigvalsh(cov).min() > 0
    estimates = tables.read_estimates(out)
    row = int(np.flatnonzero(estimates.stamp_ns == stamp)[0])
    assert message.pose.pose.position.x == pytest.approx(estimates.poses[row, 0])


def test_same_bag_same_seed_same_bytes(made, bag, out, tmp_path) -> None:
    assert replay(made, bag, tmp_path / "again") == 0
    first = (out / "estimates.parquet").read_bytes()
    assert (tmp_path / "again/estimates.parquet").read_bytes() == first
    assert replay(made, bag, tmp_path / "other", "--set", "random_seed=5") == 0
    assert (tmp_path / "other/estimates.parquet").read_bytes() != first


def test_shifted_truth_moves_no_byte(made, out, tmp_path) -> None:
    moved = record(made, tmp_path / "moved", truth_shift_m=1000.0)
    assert replay(made, moved, tmp_path / "out", "--truth", "/ground_truth/pose") == 0
    shifted = tmp_path / "out"
    assert (shifted / "estimates.parquet").read_bytes() == (out / "estimates.parquet").read_bytes()
    result = json.loads((shifted / "result.json").read_text())
    assert result["position_error_m"]["median"] > 900.0
    assert result["confidently_wrong"] == 1.0


def test_sqlite_recording_gives_the_same_bytes(made, out, tmp_path) -> None:
    other = record(made, tmp_path / "db3", storage="sqlite3")
    assert replay(made, other, tmp_path / "out") == 0
    first = (out / "estimates.parquet").read_bytes()
    assert (tmp_path / "out/estimates.parquet").read_bytes() == first


def test_motion_from_the_images_where_there_is_no_odometry(made, tmp_path) -> None:
    def without(tick):
        tick.odometry = None
        return tick

    blind = record(made, tmp_path / "bag", without)
    assert replay(made, blind, tmp_path / "out", "--truth", "/ground_truth/pose") == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["availability"] is not None
    assert result["availability"] > 0.5
    assert result["position_error_m"]["median"] < 4.0


def test_an_earlier_replay_is_not_overwritten(made, bag, out, capsys) -> None:
    assert replay(made, bag, out) == 2
    assert "--force" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_left_alone(made, bag, tmp_path, capsys) -> None:
    (tmp_path / "config.yaml").write_bytes(b"mine")
    assert replay(made, bag, tmp_path, "--force") == 2
    assert "config.yaml is there" in capsys.readouterr().err
    assert (tmp_path / "config.yaml").read_bytes() == b"mine"
    assert replay(made, bag, tmp_path / "config.yaml", "--force") == 2
    assert "is a file" in capsys.readouterr().err


def test_what_lies_beside_a_replay_stays(made, bag, tmp_path) -> None:
    (tmp_path / "measurements.parquet").write_bytes(b"mine")
    assert replay(made, bag, tmp_path) == 0
    assert replay(made, bag, tmp_path, "--force") == 0
    assert (tmp_path / "measurements.parquet").read_bytes() == b"mine"


def test_a_replay_that_cannot_start_costs_no_earlier_one(made, bag, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert replay(made, bag, out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert replay(made, tmp_path / "no_bag", out, "--force") == 2
    assert replay(made, bag, out, "--force", "--image-topic", "/nowhere") == 2
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert after == before


def test_truth_of_another_type_is_refused(made, bag, tmp_path, capsys) -> None:
    assert replay(made, bag, tmp_path / "out", "--truth", "/odom") == 2
    assert "--truth /ground_truth/fix" in capsys.readouterr().err


def test_what_the_report_should_show_is_looked_for_first(made, bag, tmp_path, capsys) -> None:
    for option in ("--imagery", "--events"):
        assert replay(made, bag, tmp_path / "out", option, tmp_path / "nothing") == 2
        assert "there is no file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_wrong_truth_topic_costs_no_drive(made, bag, tmp_path, capsys) -> None:
    assert replay(made, bag, tmp_path / "out", "--truth", "/ground_truht/pose") == 2
    assert "--truth /ground_truth/pose" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_lines_to_paste_back_can_be_pasted(made, bag, tmp_path, capsys) -> None:
    wrong = "input.camera_info_topic=/nowhere"
    assert replay(made, bag, tmp_path / "out", "--set", wrong) == 2
    assert "--set input.camera_info_topic=/camera/camera_info" in capsys.readouterr().err


def test_pictures_of_somebody_else_are_left_alone(made, bag, tmp_path, capsys) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "a.jpg").write_bytes(b"mine")
    assert replay(made, bag, tmp_path) == 2
    assert "frames is there" in capsys.readouterr().err
    assert (tmp_path / "frames" / "a.jpg").read_bytes() == b"mine"
