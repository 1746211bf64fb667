# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card: what is written survives, what makes no sense is refused in one line."""

from pathlib import Path

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
