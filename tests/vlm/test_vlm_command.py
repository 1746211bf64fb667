# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc vlm` on a random tiny model."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

from tiny_vlm import make_tiny

from geoloc_ros.cli.main import main
from geoloc_ros.errors import ModelError
from geoloc_ros.vlm import trial
from geoloc_ros.vlm.package import VlmPackage, load_vlm
from geoloc_ros.vlm.questions import load_questions


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> VlmPackage:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "street.png"
    assert cv2.imwrite(str(path), trial.made_picture(0))
    return str(path)


def test_describe_answers_every_question(
    package: VlmPackage, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(package.root), "--threads", "1"]
    assert main(["vlm", "describe", picture, *model]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [question.id for question in load_questions().questions]
    assert [line.split()[0] for line in lines] == ["question", *names]
    assert main(["vlm", "describe", picture, *model, "--json", "--view", "satellite"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["question"] for answer in answers] == names
    assert main(["vlm", "describe", picture, *model, "--paraphrased", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) != answers


def test_check_says_what_a_model_can_do(
    package: VlmPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vlm", "check", str(package.root), "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "(llama, " in out
    assert "of 31 questions; they change with the picture" in out
    assert main(["vlm", "check", str(package.text_path), "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["looks"] is True


def test_two_files_of_a_cache_of_links_become_a_package(
    package: VlmPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "snapshots" / "abc"
    here.mkdir(parents=True)
    for number, name in enumerate((package.text_path, package.mmproj_path)):
        blob = tmp_path / "blobs" / str(number)
        blob.parent.mkdir(exist_ok=True)
        shutil.copy(name, blob)
        (here / name.name).symlink_to(blob)
    text = str(here / package.text_path.name)
    assert main(["vlm", "check", text, "--threads", "1", "--pack", "mine", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["packed"] == str(here / "model.json")
    assert said["threads"] == 1
    assert load_vlm(here).name == "mine"


def test_check_refuses_with_the_reason(
    package: VlmPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / "half.gguf"
    half.write_bytes(package.text_path.read_bytes()[:300_000])
    assert main(["vlm", "check", str(half), "--mmproj", str(package.mmproj_path)]) == 2
    assert "is cut off" in capsys.readouterr().err
    assert main(["vlm", "check", str(package.text_path), "--pack", "mine"]) == 2
    assert "is there already" in capsys.readouterr().err  # said before the model is tried
    assert main(["vlm", "check", str(package.text_path), "--pack", " "]) == 2
    assert "--pack is empty" in capsys.readouterr().err
    shy = make_tiny(tmp_path / "shy", eager=False)
    assert main(["vlm", "check", str(shy.root), "--threads", "1"]) == 2
    assert "questions was answered with a letter" in capsys.readouterr().err
    assert main(["vlm", "check", str(shy.root), "--threads", "0"]) == 2
    assert "--threads is 0" in capsys.readouterr().err


def test_a_model_that_ends_the_process_is_only_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'GGML_ASSERT(n > 0) failed' >&2\nkill -ABRT $$\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ModelError, match=r"with SIGABRT .*GGML_ASSERT\(n > 0\) failed"):
        trial.try_apart("any.gguf")


def test_bench_measures_both_ways_in_one_run(
    package: VlmPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["vlm", "bench", "--model", str(package.root), "--threads", "1", "--repeats", "2"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["encode_once_speedup"] == pytest.approx(found["separately_s"] / found["image_s"])
    assert found["difference"] < 1e-4
    assert main(arguments) == 0
    assert "speed-up" in capsys.readouterr().out
