# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card: what is written survives, what makes no sense is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from geoloc_ros.encoders.package import (
    ModelPackage,
    QuerySpec,
    ReferenceSpec,
    file_sha256,
    load_package,
)
from geoloc_ros.errors import ModelError


def make_package(root: Path, version: str = "1") -> ModelPackage:
    (root / "query.onnx").write_bytes(b"any bytes do here")
    return ModelPackage(
        root=root,
        name="tiny",
        version=version,
        query=QuerySpec(view="perspective", height_px=6, width_px=10, hfov_deg=90.0),
        reference=ReferenceSpec(size_px=8, extent_m=56.0, offset_forward_m=22.0),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.25, 0.3),
        descriptor_dim=5,
        files={"query.onnx": file_sha256(root / "query.onnx")},
    )


def test_a_full_disk_leaves_the_earlier_card_as_it_was(tmp_path: Path) -> None:
    make_package(tmp_path).save()
    before = (tmp_path / "model.json").read_bytes()
    (tmp_path / "model.partial").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"cannot write .*model\.json: No space left"):
        make_package(tmp_path, version="2").save()
    assert (tmp_path / "model.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "query.onnx"]
    make_package(tmp_path, version="2").save()
    assert load_package(tmp_path).version == "2"


def write_changed(root: Path, field: str, value: object) -> None:
    """A sound card but for one field; a dot leads into a group."""
    make_package(root).save()
    content: dict[str, Any] = json.loads((root / "model.json").read_text())
    *groups, name = field.split(".")
    node = content
    for group in groups:
        node = node[group]
    node[name] = value
    (root / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("calibration.covariance_scale", -1, "is -1; it must be a finite number above 0"),
        ("calibration.covariance_scale", float("nan"), "is nan; it must be a finite number"),
        ("calibration.covariance_scale", 0.0, "above 0"),
        ("calibration.confirm_evidence", float("-inf"), "is -inf; .* at least 0"),
        ("calibration.confirm_evidence", -3.0, "at least 0"),
        ("calibration.temperature", 0, "above 0"),
        ("calibration.temperature", True, "is True"),
        ("calibration.background", float("inf"), "a finite number"),
        ("calibration.matched", "0.6", "is '0.6'"),
        ("calibration.matched_sigma", None, "is None"),
        ("calibration.fitted_on", 3, "text"),
        ("calibration.background", 10**400, "a finite number"),
        ("std", [0.2, 0.0, 0.2], "3 finite numbers above 0"),
        ("std", [0.2, 0.2], "3 finite numbers"),
        ("mean", "abc", "3 numbers in 0..1"),
        ("mean", [0.1, 0.2, float("nan")], "3 numbers in 0..1"),
        ("mean", 0.5, "incomplete"),
        ("channel_order", "BGR", "is 'BGR'; it must be RGB"),
        ("metric", "euclidean", "it must be cosine"),
        ("query.view", "fisheye", "perspective or ground_plane"),
        ("query.view", ["perspective"], "perspective or ground_plane"),
        ("query.view", "ground_plane", r"query\.extent_m is 0.0; .* above 0"),
        ("query.height_px", 6.0, "a whole number in 1..10000"),
        ("query.width_px", True, "is True"),
        ("query.hfov_deg", 180, "below 180 degrees"),
        ("query.hfov_deg", "90", "is '90'"),
        ("query.extent_m", float("nan"), "a finite number"),
        ("reference.size_px", 0, "is 0"),
        ("reference.extent_m", -56.0, "above 0"),
        ("reference.offset_forward_m", float("inf"), "a finite number"),
        ("descriptor_dim", 10**9, "1..10000"),
        ("files", ["query.onnx"], "64 hex digits"),
        ("files", {"query.onnx": "abc"}, "64 hex digits"),
        ("files", {"query.onnx": 7}, "64 hex digits"),
        ("files", {"../query.onnx": "0" * 64}, "without folders"),
        ("name", "two\nlines", "one line"),
        ("scores", [1], "a mapping"),
        ("reference", 3, "incomplete"),
        ("query.colour\nblue", 3, "unknown keys"),
    ],
)
def test_values_that_make_no_sense_are_named(
    tmp_path: Path, field: str, value: object, words: str
) -> None:
    write_changed(tmp_path, field, value)
    with pytest.raises(ModelError, match=words) as caught:
        load_package(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "1" * 5000 + "}", "\0", "[1]"])
def test_a_card_no_program_can_read_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        load_package(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    make_package(tmp_path).save()
    (tmp_path / "query.onnx").unlink()
    (tmp_path / "query.onnx").symlink_to("/proc/self/mem")
    with pytest.raises(ModelError, match=r"cannot read .*query\.onnx: "):
        load_package(tmp_path)


@pytest.mark.parametrize("name", ["perspective", "ground_plane", "ground_structure"])
def test_the_shipped_cards_are_sound(name: str) -> None:
    assert load_package(Path(__file__).parents[2] / "models" / name).files
