# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
from test_onnx_backend import make_package, write_model

from geoloc_ros.encoders.package import Calibration, ModelPackage, load_package
from geoloc_ros.encoders.registry import VARIABLE, find_model_by_sha
from geoloc_ros.errors import ModelError


def packed(root, name) -> ModelPackage:
    folder = root / name
    folder.mkdir()
    write_model(folder / "query.onnx", dim=3 + len(name))
    package = make_package(folder, name=name, descriptor_dim=3 + len(name))
    package.save()
    return package


def test_of_other_packages_only_the_card_is_read(tmp_path, monkeypatch):
    """They may be large; hashing them all would delay every start."""
    other, wanted = packed(tmp_path, "a"), packed(tmp_path, "bb")
    (other.root / "query.onnx").write_bytes(b"altered")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find_model_by_sha(wanted.encoder_sha256) == wanted
    (wanted.root / "query.onnx").write_bytes(b"altered")
    with pytest.raises(ModelError, match="was altered"):
        find_model_by_sha(wanted.encoder_sha256)
    with pytest.raises(ModelError, match=r"found here: a \("):
        find_model_by_sha("0" * 64)


def test_no_calibration_is_kept_as_such(tmp_path):
    package = dataclasses.replace(packed(tmp_path, "a"), calibration=Calibration.none(0.01))
    package.save()
    found = load_package(package.root).calibration
    assert found.missing
    assert found.temperature == 0.01
    assert not Calibration().missing
    # A similarity that is known is not enough: no place is believed without evidence needed.
    assert dataclasses.replace(found, fitted_on="held-out views").missing
