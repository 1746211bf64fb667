# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a package of a vision-language model promises is checked before llama.cpp sees it."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="gguf is not installed")

from tiny_vlm import make_tiny, random_weights, text_spec, text_weights, vision_spec

from geoloc_ros.encoders.registry import find_model, find_model_by_sha
from geoloc_ros.errors import ConfigError, ModelError, TrainingError
from geoloc_ros.training.gguf_export import write_projector, write_text_model
from geoloc_ros.vlm.answerer import check_answerer, make_answerer
from geoloc_ros.vlm.gguf_header import read_header
from geoloc_ros.vlm.opening import open_vlm, pack
from geoloc_ros.vlm.package import VlmPackage, find_vlm, load_vlm, read_card
from geoloc_ros.vlm.questions import load_questions


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> VlmPackage:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def root(original: VlmPackage, tmp_path: Path) -> Path:
    shutil.copytree(original.root, tmp_path / "models" / "tiny")
    return tmp_path / "models" / "tiny"


def test_a_package_reads_as_it_was_written(original: VlmPackage, root: Path) -> None:
    assert load_vlm(root) == dataclasses.replace(original, root=root)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 128},
        {"image_fit": "at_most"},
        {"image_tokens": 9},
        {"template": "chat"},
        {"asked_by": "name"},
        {"temperature": {"ground": {"trees_left": 2.0}}},
    ],
)
def test_all_that_decides_the_answers_makes_the_identity(
    original: VlmPackage, change: dict[str, Any]
) -> None:
    assert dataclasses.replace(original, **change).sha256 != original.sha256
    assert dataclasses.replace(original, name="other", licence="").sha256 == original.sha256


def test_a_model_that_was_exchanged_does_not_answer_for_the_old_one(root: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    was = load_vlm(root)
    make_answerer(str(root), 1, sha256=was.sha256)
    dataclasses.replace(was, temperature={"ground": {"trees_left": 2.0}}).save()
    with pytest.raises(ModelError, match="holds another model by now"):
        make_answerer(str(root), 1, sha256=was.sha256)


def test_it_is_found_by_name_and_never_taken_for_an_encoder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOLOC_MODELS", str(root.parent))
    assert find_vlm("tiny").root == root
    with pytest.raises(ModelError, match=r"no encoder package 'tiny'; found here: .*perspective"):
        find_model("tiny")
    with pytest.raises(ModelError, match="the index was built with encoder"):
        find_model_by_sha("0" * 64)
    with pytest.raises(ModelError, match="no vlm package 'perspective'"):
        find_vlm("perspective")


@pytest.mark.parametrize("name", ["text.gguf", "mmproj.gguf"])
def test_a_file_cut_in_half_is_refused(root: Path, name: str) -> None:
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=rf"{name} is cut off: {len(data) // 2} bytes, .*fetch"):
        load_vlm(root)
    with pytest.raises(ModelError, match="is cut off"):
        read_header(root / name)


def test_an_altered_or_missing_file_is_refused(root: Path) -> None:
    data = bytearray((root / "text.gguf").read_bytes())
    data[-1] ^= 1
    (root / "text.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=r"text.gguf was altered: sha256 \w{12}, .* says"):
        load_vlm(root)
    (root / "text.gguf").unlink()
    with pytest.raises(ModelError, match=r"lacks .*text.gguf"):
        load_vlm(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(architecture="qwen2"), "architecture is 'qwen2', the file's is 'llam"),
        (lambda c: c.update(projector="mlp"), "projector is 'mlp', the file's is 'janus_pro'"),
        (lambda c: c.update(kind="encoder"), "no package of a vision-language model"),
        (lambda c: c.update(schema=2), "not of schema 1"),
        (lambda c: c.update(extra=1), "incomplete or has unknown keys"),
        (lambda c: c.pop("files"), "incomplete or has unknown keys"),
        (
            lambda c: c["files"]["text"].update(name="../text.gguf"),
            "1 to 200, and no folder",
        ),
        (lambda c: c["files"]["text"].update(bytes="1"), "make no sense"),
        (lambda c: c.update(image_size=5), "image_size is 5; it must lie in 16..8192"),
        (lambda c: c.update(template="poem"), "template is 'poem'; choose from plain, chat"),
        (lambda c: c.update(asked_by="mail"), "asked_by is 'mail'; choose from words, name"),
        (lambda c: c.update(image_fit="crop"), "image_fit is 'crop'; choose from square, at_most"),
        (lambda c: c.update(temperature={"ground": {"slope": 0.0}}), "temperature must map"),
        (lambda c: c.update(reliability={"below": {}}), "reliability must map"),
        (lambda c: c.update(scores=[]), "scores is"),
        (lambda c: c.update(name=3), "name is 3; it must be text"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(
    root: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    content = json.loads((root / "model.json").read_text())
    change(content)
    (root / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        load_vlm(root)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_card_that_is_none_is_refused(root: Path, text: str) -> None:
    (root / "model.json").write_text(text)
    with pytest.raises(ModelError, match="package"):
        read_card(root)


def test_swapped_files_are_told_apart(root: Path) -> None:
    with pytest.raises(ModelError, match=r"mmproj.gguf is a vision tower \(mmproj\); name the"):
        open_vlm(str(root / "mmproj.gguf"))
    with pytest.raises(ModelError, match=r"text.gguf is a language model \('llama'\), no mmproj"):
        open_vlm(str(root / "text.gguf"), root / "text.gguf")


def test_a_lone_language_model_is_told_what_it_lacks(root: Path) -> None:
    (root / "mmproj.gguf").rename(root / "eyes.gguf")
    with pytest.raises(ModelError, match=r"needs its eyes, .* name it with --mmproj"):
        open_vlm(str(root / "text.gguf"))
    for name in ("mmproj-a.gguf", "b-mmproj.gguf"):
        shutil.copy(root / "eyes.gguf", root / name)
    with pytest.raises(ModelError, match=r"2 files .*b-mmproj.gguf, mmproj-a.gguf"):
        open_vlm(str(root / "text.gguf"))
    package = open_vlm(str(root / "text.gguf"), root / "mmproj-a.gguf")
    assert (package.template, package.image_fit) == ("plain", "at_most")


def test_bare_files_become_a_package(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is there already"):
        pack(open_vlm(str(root / "text.gguf")), "mine")
    (root / "model.json").unlink()
    package = open_vlm(str(root / "text.gguf"))
    assert load_vlm(pack(package, "mine")).name == "mine"
    elsewhere = tmp_path / "mmproj.gguf"
    shutil.copy(root / "mmproj.gguf", elsewhere)
    (root / "model.json").unlink()
    with pytest.raises(ModelError, match="must lie beside"):
        pack(open_vlm(str(root / "text.gguf"), elsewhere), "mine")


@pytest.mark.parametrize("size", [0, 3, 4, 10, 23, 24, 30, 100, 1000, 5000])
def test_a_head_that_ends_early_is_no_gguf(root: Path, size: int) -> None:
    path = root / "text.gguf"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match="GGUF"):
        read_header(path)


@pytest.mark.parametrize("place", [4, 8, 16, 24])
def test_a_head_with_absurd_numbers_is_no_gguf(root: Path, place: int) -> None:
    path = root / "text.gguf"
    data = bytearray(path.read_bytes())
    data[place : place + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(ModelError, match="GGUF"):
        read_header(path)


def test_a_model_for_other_questions_is_refused(original: VlmPackage) -> None:
    other = dataclasses.replace(original, question_set={"version": 7, "sha256": "ab" * 32})
    with pytest.raises(ModelError, match=r"answers version 7 of the questions \(abababababab\)"):
        other.check_questions(load_questions())
    original.check_questions(load_questions())


def test_without_llama_cpp_the_next_step_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "llama_cpp":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ConfigError, match=r"pip install llama-cpp-python==0\.3\.36"):
        make_answerer(str(root))


def test_an_answerer_can_be_checked_without_being_made(root: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    check_answerer("rules")
    check_answerer(str(root))
    with pytest.raises(ConfigError, match="answerer is ''; known: rules"):
        check_answerer("")
    (root / "text.gguf").unlink()
    with pytest.raises(ModelError, match="lacks"):
        check_answerer(str(root))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("output_norm.weight"), "weights are missing: output_norm.weight"),
        (lambda w: w.update(lm_head=w["output_norm.weight"]), "no weights of these names: lm_he"),
        (lambda w: w.update({"output_norm.weight": w["token_embd.weight"]}), "it must be"),
        (lambda w: w["output_norm.weight"].fill(float("nan")), "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_not_written(
    tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    spec = text_spec()
    weights = text_weights(spec)
    change(weights)
    with pytest.raises(TrainingError, match=message):
        write_text_model(tmp_path / "text.gguf", spec, weights)


def test_eight_bits_take_a_third_of_the_room(tmp_path: Path) -> None:
    text, eyes = text_spec(), vision_spec()
    sizes = {}
    for kind in ("Q8_0", "F32"):
        write_text_model(tmp_path / "text.gguf", text, text_weights(text), kind)
        write_projector(tmp_path / "mmproj.gguf", eyes, random_weights(eyes.shapes(), 1), kind)
        sizes[kind] = sum((tmp_path / n).stat().st_size for n in ("text.gguf", "mmproj.gguf"))
        assert read_header(tmp_path / "text.gguf").tensors == tuple(text.shapes())
    assert sizes["Q8_0"] < 0.5 * sizes["F32"]
