# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc model bench` and `build-engine`, with a TensorRT that counts its builds."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_engines import FakeTensorRT
from made_flight import Made, make, record

from geoloc_ros.bags.drive_views import _northwards, drive_views
from geoloc_ros.cli.main import main
from geoloc_ros.config import Config
from geoloc_ros.datatypes import View
from geoloc_ros.encoders.backends import choosing
from geoloc_ros.encoders.backends.ort import OrtCpu, OrtTensorRT
from geoloc_ros.encoders.package import load_package
from geoloc_ros.errors import BagError
from geoloc_ros.geo import se2
from geoloc_ros.index.manifest import load_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return make(tmp_path_factory.mktemp("flight"))


@pytest.fixture(scope="module")
def bag(made) -> Path:
    return record(made, made.root / "bag")


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeTensorRT:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = FakeTensorRT(tmp_path / "builds")
    use(monkeypatch, fake)
    return fake


def use(monkeypatch, fake: FakeTensorRT) -> None:
    monkeypatch.setattr(choosing, "all_backends", lambda: (fake, OrtTensorRT(), OrtCpu()))


def engines(tmp_path: Path) -> list[str]:
    found = (tmp_path / "geoloc_ros" / "engines").glob("*/manifest.json")
    return [json.loads(path.read_text())["key"]["precision"] for path in found]


def test_bench_compares_all_and_writes_json(made, fake, tmp_path, capsys):
    out = tmp_path / "bench.json"
    command = ["model", "bench", str(made.model), "--seconds", "0.05", "--batches", "1", "20"]
    assert main([*command, "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "pooled, query" in lines[0]
    assert lines[1].split() == [
        *("back", "end", "precision", "drift", "p50", "ms", "p95", "ms"),
        *("/s", "of", "1", "/s", "of", "20"),
    ]
    assert "no: no engine of fp16 was built" in lines[3]
    rows = {(r["backend"], r["precision"]): r for r in json.loads(out.read_text())["backends"]}
    assert list(rows) == [
        *(("tensorrt", precision) for precision in ("fp32", "fp16", "int8")),
        *(("ort-tensorrt", precision) for precision in ("fp32", "fp16")),
        ("ort-cpu", "fp32"),
    ]
    for name in (("tensorrt", "fp32"), ("ort-cpu", "fp32")):
        assert rows[name]["works"]
        assert 0.0 < rows[name]["p50_ms"] <= rows[name]["p95_ms"]
        assert set(rows[name]["images_per_s"]) == {"1", "20"}
    assert not rows["tensorrt", "fp16"]["works"]
    assert fake.count == 1


def test_bench_on_this_machine_as_it_is(made, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["model", "bench", str(made.model), "--seconds", "0.01", "--batches", "1"]
    assert main([*command, "--side", "reference"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ort-cpu") and " no: " not in line for line in lines)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--batches", "0"], "--batches has 0"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--set", "encoder.backend=gpu"], "choose one of auto, tensorrt"),
    ],
)
def test_bench_refuses_what_makes_no_sense(made, capsys, option, words):
    assert main(["model", "bench", str(made.model), *option]) == 2
    assert words in capsys.readouterr().err


def test_fp32_is_built_once(made, fake, tmp_path, capsys):
    for _ in range(2):
        assert main(["model", "build-engine", str(made.model)]) == 0
        assert "built in" in capsys.readouterr().out
    assert fake.count == 1
    assert engines(tmp_path) == ["fp32"]


def test_int8_is_calibrated_measured_and_accepted(made, fake, tmp_path, capsys):
    command = ["model", "build-engine", str(made.model), "--precision", "int8", "--json"]
    area = ["--calibrate", str(made.index), "--imagery", str(made.imagery), "--pictures", "100"]
    assert main([*command, *area]) == 0
    found = json.loads(capsys.readouterr().out)
    assert fake.log.read_text().split()[1:] == ["int8", "48"], "whole batches of the one half"
    assert found["pictures"] == 50
    assert found["kind"] == "tiles"
    assert found["index_sha256"] == load_manifest(made.index).sha256
    assert found["recall_1"][0] == found["recall_1"][1] > 0.5
    assert found["drift_max"] < 1e-6
    bench = ["model", "bench", str(made.model), "--seconds", "0.01", "--batches", "1"]
    assert main([*bench, "--set", "encoder.precision=int8"]) == 0
    assert re.search(r"^tensorrt +int8 +\d", capsys.readouterr().out, re.MULTILINE)


def test_less_than_the_limits_is_refused_with_figures_and_removed(
    made, fake, tmp_path, capsys, monkeypatch
):
    use(monkeypatch, dataclasses.replace(fake, noise=0.03))
    command = ["model", "build-engine", str(made.model), "--precision", "fp16"]
    area = ["--calibrate", str(made.index), "--imagery", str(made.imagery), "--pictures", "64"]
    loose = ["--set", "encoder.max_recall_loss=1"]
    # noise of 0.03 on each of 48 numbers turns a unit vector by 0.03 * sqrt(48) = 0.2 rad
    monkeypatch.setitem(choosing.parity.TOLERANCE, "fp16", 0.2)
    assert main([*command, *area, *loose]) == 2
    said = capsys.readouterr().err
    assert "the fp16 engine is refused and removed: on 32 tiles of the area: drift 0.0" in said
    assert "encoder.max_drift is 0.01" in said
    assert engines(tmp_path) == []
    assert main([*command, *area, *loose, "--set", "encoder.max_drift=0.2"]) == 0
    assert engines(tmp_path) == ["fp16"]
    assert fake.count == 2


def test_views_of_a_drive_are_measured_with_and_without_truth(made, bag, fake, capsys):
    command = ["model", "build-engine", str(made.model), "--precision", "fp16", "--json"]
    area = ["--calibrate", str(made.index), "--drive", str(bag), "--pictures", "64"]
    assert main([*command, *area]) == 0
    blind = json.loads(capsys.readouterr().out)
    assert blind["kind"] == "views"
    assert blind["recall_1"] == [1.0, 1.0], "where fp32 finds itself"
    assert main([*command, *area, "--truth", "/ground_truth/fix"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["pictures"] == blind["pictures"]
    assert fake.count == 1, "the second time it is only measured"


def test_views_lie_where_the_vehicle_was(made, bag):
    index = load_manifest(made.index)
    found = drive_views(
        bag, load_package(made.model), Config(), index, 20, truth_topic="/ground_truth/pose"
    )
    assert 15 <= len(found) <= 20
    assert found.images.shape[1:] == (32, 32, 3)
    away = abs(found.anchors[:, None, :2] - made.poses[None, :, :2]).sum(axis=2).min(axis=1)
    assert away.max() < 1.0
    north = dataclasses.replace(index, policy=dataclasses.replace(index.policy, north_up=True))
    with pytest.raises(BagError, match="turned to the north only if the heading is known"):
        drive_views(bag, load_package(made.model), Config(), north, 20)


@pytest.mark.parametrize("yaw_rad", [-3.0, -0.4, 0.0, 0.5, 1.6, 3.1])
def test_a_panorama_is_turned_to_the_north_by_whole_columns(yaw_rad: float) -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 64, 1).repeat(4, axis=0).repeat(3, axis=2)
    view = View(image=image, mask=np.ones((4, 64), dtype=np.bool_))
    found = _northwards(view, np.array([5.0, 6.0, yaw_rad]))
    off = se2.wrap_angle(yaw_rad + found.anchor_yaw_rad - np.pi / 2.0)
    assert abs(off) <= np.pi / 64 + 1e-9
    assert sorted(found.image[0, :, 0]) == list(range(64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "fp16"], "fp16 is measured on the area before it is accepted"),
        (["--precision", "int8", "--calibrate", "i"], "either its --imagery or a --drive"),
        (["--calibrate", "i"], "fp32 is not calibrated"),
        (["--backend", "ort-tensorrt", "--precision", "int8"], "fp16, not int8"),
    ],
)
def test_options_that_do_not_fit_are_told(made, fake, capsys, options, words):
    area = [] if "--calibrate" in options else ["--calibrate", "i", "--imagery", "t"]
    if words.startswith("fp16 is"):
        area = []
    arguments = [*options, *area]
    assert main(["model", "build-engine", str(made.model), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert fake.count == 0


def test_other_imagery_is_refused(made, fake, capsys, tmp_path):
    from made_flight import write_imagery

    write_imagery(tmp_path / "other.tif", seed=9)
    area = ["--calibrate", str(made.index), "--imagery", str(tmp_path / "other.tif")]
    command = ["model", "build-engine", str(made.model), "--precision", "fp16"]
    assert main([*command, *area]) == 2
    assert "was built from other imagery" in capsys.readouterr().err


def test_without_tensorrt_it_is_one_line(made, fake, capsys, monkeypatch):
    use(monkeypatch, dataclasses.replace(fake, missing="no GPU"))
    assert main(["model", "build-engine", str(made.model)]) == 2
    assert "tensorrt cannot be used here: no GPU" in capsys.readouterr().err


def test_a_replay_names_its_back_end_and_repeats_to_the_byte(made, bag, fake, tmp_path, capsys):
    options = ["replay", str(bag), "--index", str(made.index), "--model", str(made.model)]
    options += ["--no-report"]
    found = {}
    for name in ("auto", "tensorrt", "ort-cpu"):
        out = tmp_path / name
        chosen = ["--set", f"encoder.backend={name}"] if name != "auto" else []
        assert main([*options, "--out", str(out), *chosen]) == 0
        versions = json.loads((out / "versions.json").read_text())
        found[name] = versions["encoder_backend"], (out / "estimates.parquet").read_bytes()
    assert found["auto"][0] == found["ort-cpu"][0] == "ort-cpu"
    assert found["tensorrt"][0] == "tensorrt fp32"
    assert found["auto"][1] == found["ort-cpu"][1]
    assert fake.count == 1
    absent = ["--set", "encoder.backend=ort-tensorrt", "--out", str(tmp_path / "none")]
    assert main([*options, *absent]) == 2
    assert "encoder.backend is ort-tensorrt and does not work here" in capsys.readouterr().err
