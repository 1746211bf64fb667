# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card: what is written survives, what makes no sense is refused in one line."""

import dataclasses
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
        ("query.view", "fisheye", "perspective, ground_plane or panorama"),
        ("query.view", ["perspective"], "perspective, ground_plane or panorama"),
        ("query.view", "ground_plane", r"query\.extent_m is 0.0; .* above 0"),
        ("query.height_px", 6.0, "a whole number in 1..10000"),
        ("query.width_px", True, "is True"),
        ("query.hfov_deg", 180, "below 180 degrees"),
        ("query.hfov_deg", "90", "is '90'"),
        ("query.vfov_deg", 60.0, r"query\.vfov_deg is 60.0; it must be 0.0 but for panoramas"),
        ("query.alignment", "north", "it must be '' but for panoramas"),
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


PANORAMA: dict[str, Any] = {
    "view": "panorama",
    "height_px": 112,
    "width_px": 616,
    "hfov_deg": 360.0,
    "vfov_deg": 65.5,
    "centre_elevation_deg": -5.0,
    "centre_azimuth_deg": 180.0,
    "alignment": "north",
}


def panorama_package(root: Path, **changes: object) -> ModelPackage:
    centred = ReferenceSpec(size_px=112, extent_m=50.0, offset_forward_m=0.0)
    spec = QuerySpec(**{**PANORAMA, **changes})
    return dataclasses.replace(make_package(root), query=spec, reference=centred)


@pytest.mark.parametrize("alignment", ["north", "heading"])
def test_the_card_of_a_panorama_model_comes_back_as_it_was(tmp_path: Path, alignment: str) -> None:
    package = panorama_package(tmp_path, alignment=alignment)
    package.save()
    assert load_package(tmp_path) == package
    assert package.query.elevations_deg == (-37.75, 27.75)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hfov_deg": 90.0}, r"query\.hfov_deg is 90.0; it must be 360 degrees"),
        ({"vfov_deg": 0.0}, r"query\.vfov_deg is 0.0; .* above 0 and at most 180"),
        ({"vfov_deg": 181.0, "centre_elevation_deg": 0.0}, "at most 180"),
        ({"centre_elevation_deg": 60.0}, r"elevations_deg is \(27.25, 92.75\); .* -90..90"),
        ({"centre_elevation_deg": float("nan")}, "a finite number"),
        ({"centre_azimuth_deg": 360.0}, "0 to below 360"),
        ({"centre_azimuth_deg": -90.0}, "0 to below 360"),
        ({"alignment": ""}, "is ''; it must be north or heading"),
        ({"alignment": "south"}, "north or heading"),
    ],
)
def test_panoramas_that_make_no_sense_are_named(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    panorama_package(tmp_path, **changes).save()
    with pytest.raises(ModelError, match=words):
        load_package(tmp_path)


def test_the_tile_of_a_panorama_is_centred(tmp_path: Path) -> None:
    shifted = ReferenceSpec(size_px=112, extent_m=50.0, offset_forward_m=22.0)
    dataclasses.replace(panorama_package(tmp_path), reference=shifted).save()
    with pytest.raises(ModelError, match=r"offset_forward_m is 22\.0; it must be 0 m"):
        load_package(tmp_path)


def test_every_word_about_a_panorama_tells_models_apart(tmp_path: Path) -> None:
    changes: list[dict[str, object]] = [
        {"vfov_deg": 66.0},
        {"centre_elevation_deg": 0.0},
        {"centre_azimuth_deg": 0.0},
        {"alignment": "heading"},
    ]
    packages = [panorama_package(tmp_path, **change) for change in ({}, *changes)]
    assert len({package.preprocessing_sha256 for package in packages}) == 5


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("perspective", "934bc7a18013e6fa5a6cc03603c864bfa11a705c0955d8b23b64ad17fbd64cb9"),
        ("ground_plane", "5ead016e9dd26c5603697a756c1448344fbaddb51888903e3c32ddecb9ea3748"),
    ],
)
def test_older_models_keep_the_hash_that_their_indexes_carry(name: str, sha256: str) -> None:
    package = load_package(Path(__file__).parents[2] / "models" / name)
    assert package.preprocessing_sha256 == sha256


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
