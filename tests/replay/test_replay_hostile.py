# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line or a status with its reason; no traceback, no hang, no wrong pose."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from made_flight import STEP_NS, camera_info, record, write_model

from geoloc_ros.cli.main import main
from geoloc_ros.evaluation import tables

NS = 1_000_000_000


def replay(made, bag, out, *more) -> int:
    words = ["replay", bag, "--index", made.index, "--model", made.model, "--out", out]
    return main([str(word) for word in (*words, "--no-report", *more)])


def one_line(capsys) -> str:
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("geoloc: ")]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]


def run(made, tmp_path, hook):
    """Replay a spoiled recording; estimates, and which LOCALISED ones are wrong by 3 sigma."""
    bag = record(made, tmp_path / "bag", hook)
    assert replay(made, bag, tmp_path / "out", "--truth", "/ground_truth/pose") == 0
    estimates = tables.read_estimates(tmp_path / "out")
    result = json.loads((tmp_path / "out/result.json").read_text())
    return estimates, result


def never_wrong(result) -> None:
    assert (result["confidently_wrong"] or 0.0) < 0.05


def test_undecodable_jpegs(made, tmp_path) -> None:
    def spoil(tick):
        return dataclasses.replace(tick, jpeg=b"\xff\xd8nonsense") if tick.number > 90 else tick

    estimates, result = run(made, tmp_path, spoil)
    assert "bad_image" in estimates.reasons[-1]
    assert estimates.status[-1] != "LOCALISED"
    never_wrong(result)


def test_frames_of_another_size(made, tmp_path) -> None:
    import cv2

    def spoil(tick):
        if tick.number <= 90:
            return tick
        image = np.full((50, 96, 3), 90, np.uint8)
        return dataclasses.replace(tick, jpeg=cv2.imencode(".jpg", image)[1].tobytes())

    estimates, result = run(made, tmp_path, spoil)
    assert "frame_size_changed" in estimates.reasons[-1]
    never_wrong(result)


def test_height_that_stops_or_is_nan(made, tmp_path) -> None:
    def spoil(tick):
        heights = (None, float("nan"), -3.0)
        return (
            dataclasses.replace(tick, height_m=heights[tick.number % 3])
            if tick.number > 80
            else tick
        )

    estimates, result = run(made, tmp_path, spoil)
    assert "no_height" in estimates.reasons[-1]
    never_wrong(result)


def test_nan_odometry(made, tmp_path) -> None:
    def spoil(tick):
        nan = np.full(3, np.nan)
        return dataclasses.replace(tick, odometry=nan) if 60 < tick.number < 90 else tick

    estimates, result = run(made, tmp_path, spoil)
    assert any("bad_odometry" in reason for reason in estimates.reasons[60:92])
    assert np.isfinite(estimates.poses[-1]).all()
    never_wrong(result)


def test_odometry_that_claims_to_be_perfect(made, tmp_path, monkeypatch) -> None:
    """Covariances of zero, while the odometry drifts by 20 degrees per 100 m."""
    from geoloc_ros.bags.writer import BagWriter

    def claim(self, topic, stamp_ns, pose, twist):
        whole(self, topic, stamp_ns, pose, twist, pose_sigma=(0.0, 0.0, 0.0))

    def drift(tick):
        bent = np.add(tick.odometry, (0.0, 0.0, np.radians(0.3) * tick.number))
        return dataclasses.replace(tick, odometry=bent)

    whole = BagWriter.write_odometry
    monkeypatch.setattr(BagWriter, "write_odometry", claim)
    estimates, result = run(made, tmp_path, drift)
    assert np.linalg.eigvalsh(estimates.cov_xy_yaw[-1]).min() > 0.0
    never_wrong(result)


def test_odometry_that_stops(made, tmp_path) -> None:
    def spoil(tick):
        return dataclasses.replace(tick, odometry=None) if tick.number > 70 else tick

    estimates, result = run(made, tmp_path, spoil)
    assert "no_odometry" in estimates.reasons[-1]
    assert estimates.status[-1] != "LOCALISED"
    never_wrong(result)


def test_odometry_that_leaps(made, tmp_path) -> None:
    def spoil(tick):
        if tick.number > 70:
            return dataclasses.replace(tick, odometry=np.add(tick.odometry, (5000.0, 0.0, 0.0)))
        return tick

    estimates, result = run(made, tmp_path, spoil)
    assert any("bad_odometry" in reason for reason in estimates.reasons)
    assert estimates.status[-1] == "LOCALISED"
    never_wrong(result)


def test_a_clock_that_jumps_a_day_resets_the_belief(made, tmp_path) -> None:
    def spoil(tick):
        late = tick.stamp_ns + 86_400 * NS
        return dataclasses.replace(tick, stamp_ns=late) if tick.number > 65 else tick

    bag = record(made, tmp_path / "bag", spoil)
    assert replay(made, bag, tmp_path / "out") == 0
    estimates = tables.read_estimates(tmp_path / "out")
    after = int(np.argmax(np.diff(estimates.stamp_ns))) + 1
    assert estimates.status[after] != "LOCALISED"
    assert estimates.status[-1] == "LOCALISED"


def test_a_clock_that_goes_back_resets_the_belief(made, tmp_path) -> None:
    def spoil(tick):
        early = tick.stamp_ns - 40 * NS
        return dataclasses.replace(tick, stamp_ns=early) if tick.number > 65 else tick

    bag = record(made, tmp_path / "bag", spoil)
    assert replay(made, bag, tmp_path / "out") == 0
    estimates = tables.read_estimates(tmp_path / "out")
    # the reader orders by log time, so the early part comes first
    assert len(estimates) == 130
    assert "LOCALISED" in set(estimates.status)


def test_a_frame_out_of_order_is_dropped_and_counted(made, tmp_path) -> None:
    from geoloc_ros.config import Config
    from geoloc_ros.synchronizer import Synchronizer

    pairs = Synchronizer(Config(), use_odometry=False)
    for stamp in (NS, NS + STEP_NS, NS + STEP_NS // 2, NS + 2 * STEP_NS):
        pairs.add_frame(stamp, None)
    stamps = [pair.stamp_ns for pair in pairs.ready()]
    assert stamps == [NS, NS + STEP_NS, NS + 2 * STEP_NS]
    assert pairs.counts.stale == 1


def test_truncated_recording_gives_what_it_has(made, tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)

    def fat(tick):  # decoders ignore what follows a JPEG; the recording gets several chunks
        return dataclasses.replace(tick, jpeg=tick.jpeg + rng.bytes(60_000))

    broken = record(made, tmp_path / "bag", fat)
    storage = next(broken.glob("*.mcap"))
    data = storage.read_bytes()
    storage.write_bytes(data[: len(data) * 3 // 4])
    assert replay(made, broken, tmp_path / "out") == 2
    assert "cut off or damaged" in one_line(capsys)
    assert 40 < len(tables.read_estimates(tmp_path / "out")) < 130


def test_bit_rot_in_a_recording_gives_what_is_before_it(made, tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)

    def fat(tick):
        return dataclasses.replace(tick, jpeg=tick.jpeg + rng.bytes(60_000))

    damaged = record(made, tmp_path / "bag", fat)
    storage = next(damaged.glob("*.mcap"))
    data = bytearray(storage.read_bytes())
    place = data.rindex(b"\xff\xd8\xff\xe0")  # within the last picture
    data[place + 500] ^= 1
    storage.write_bytes(data)
    assert replay(made, damaged, tmp_path / "out") == 2
    assert "of bag.mcap fails its checksum" in one_line(capsys)
    assert 40 < len(tables.read_estimates(tmp_path / "out")) < 130


def test_empty_recording(made, tmp_path, capsys) -> None:
    from geoloc_ros.bags.writer import BagWriter

    with BagWriter(tmp_path / "bag"):
        pass
    assert replay(made, tmp_path / "bag", tmp_path / "out") == 2
    assert "no messages" in one_line(capsys)


def test_recording_without_camera(made, tmp_path, capsys) -> None:
    bag = record(made, tmp_path / "bag", camera=False)
    assert replay(made, bag, tmp_path / "out") == 2
    assert "sensor_msgs/msg/Image" in one_line(capsys)


def test_camera_info_that_describes_no_camera(made, tmp_path, capsys) -> None:
    bag = record(made, tmp_path / "bag", info=camera_info(K=np.zeros((3, 3))))
    assert replay(made, bag, tmp_path / "out") == 2
    one_line(capsys)


def test_missing_recording_and_missing_index(made, bag, tmp_path, capsys) -> None:
    assert replay(made, tmp_path / "none", tmp_path / "out") == 2
    assert "no recording" in one_line(capsys)
    words = ["replay", bag, "--index", tmp_path / "none", "--out", tmp_path / "out2"]
    assert main([str(word) for word in words]) == 2
    one_line(capsys)


def test_index_of_another_encoder(made, bag, tmp_path, capsys) -> None:
    write_model(tmp_path / "model", seed=9)
    words = ["replay", bag, "--index", made.index, "--model", tmp_path / "model"]
    assert main([str(word) for word in (*words, "--out", tmp_path / "out")]) == 2
    assert "encoder" in one_line(capsys)


def test_flipped_bit_in_any_file_of_the_index(made, bag, tmp_path, capsys) -> None:
    for path in sorted(p for p in made.index.rglob("*") if p.is_file()):
        broken = tmp_path / "index"
        shutil.copytree(made.index, broken)
        target = broken / path.relative_to(made.index)
        data = bytearray(target.read_bytes())
        data[len(data) // 2] ^= 0x10
        target.write_bytes(data)
        words = ["replay", bag, "--index", broken, "--model", made.model]
        assert main([str(word) for word in (*words, "--out", tmp_path / "out")]) == 2, path
        one_line(capsys)
        shutil.rmtree(broken)


@pytest.mark.parametrize("override", ["filter.particels=3", "filter.particles=1", "a", "b.c=1"])
def test_bad_configuration(made, bag, tmp_path, capsys, override) -> None:
    assert replay(made, bag, tmp_path / "out", "--set", override) == 2
    one_line(capsys)


def test_a_height_that_comes_after_its_frame_is_waited_for() -> None:
    from geoloc_ros.config import Config
    from geoloc_ros.synchronizer import Synchronizer

    pairs = Synchronizer(Config(), use_odometry=False, use_height=True)
    heights = []
    for second in range(1, 4):
        pairs.add_frame(second * NS, None)
        heights += [pair.height_m for pair in pairs.ready()]
        if second != 2:  # one height never comes
            pairs.add_height(second * NS, 10.0 * second)
        heights += [pair.height_m for pair in pairs.ready()]
    assert heights == [10.0, None, 30.0]


def test_no_height_at_all_gives_no_pose(made, tmp_path) -> None:
    def spoil(tick):
        return dataclasses.replace(tick, height_m=None, odometry=None)

    estimates, _ = run(made, tmp_path, spoil)
    assert {"UNINITIALISED"} == set(estimates.status)
    assert "no_height" in estimates.reasons[-1]
