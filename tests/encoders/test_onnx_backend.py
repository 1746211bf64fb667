# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The ONNX Runtime back end against tiny models made here."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from geoloc_ros.encoders.base import Encoder
from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import (
    ModelPackage,
    QuerySpec,
    ReferenceSpec,
    file_sha256,
    load_package,
)
from geoloc_ros.errors import ModelError

DIM = 5
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
WEIGHTS = np.random.default_rng(0).normal(size=(3, DIM)).astype(np.float32)


def write_model(path, normalise=True, names=("image", "descriptor"), dim=DIM, size=("h", "w")):
    """Mean of each channel, projected, to unit length if asked."""
    weights = np.resize(WEIGHTS, (3, dim)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", [names[0]], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], [names[1]], axis=1, p=2)
        if normalise
        else helper.make_node("Identity", ["raw"], [names[1]]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, ["n", 3, *size])],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, ["n", dim])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def make_package(root, **changes) -> ModelPackage:
    names = [name for name in ("query.onnx", "reference.onnx") if (root / name).is_file()]
    values = {
        "root": root,
        "name": "tiny",
        "version": "1",
        "query": QuerySpec(view="perspective", height_px=6, width_px=10, hfov_deg=90.0),
        "reference": ReferenceSpec(size_px=8, extent_m=56.0, offset_forward_m=22.0),
        "mean": MEAN,
        "std": STD,
        "descriptor_dim": DIM,
        "files": {name: file_sha256(root / name) for name in names},
    }
    return ModelPackage(**{**values, **changes})


@pytest.fixture
def package(tmp_path):
    write_model(tmp_path / "query.onnx")
    write_model(tmp_path / "reference.onnx")
    return make_package(tmp_path)


def pictures(count, height, width, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def by_hand(images):
    pixels = images.astype(np.float64) / 255.0
    pooled = ((pixels - MEAN) / STD).mean(axis=(1, 2))
    raw = pooled @ WEIGHTS
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def test_descriptors_are_the_textbook(package):
    encoder = OnnxEncoder(package)
    views, crops = pictures(3, 6, 10), pictures(4, 8, 8)
    assert np.allclose(encoder.encode_query(views), by_hand(views), atol=1e-5)
    assert np.allclose(encoder.encode_reference(crops), by_hand(crops), atol=1e-5)
    assert encoder.encode_query(views).dtype == np.float32


def test_normalisation_is_the_textbook(package):
    images = pictures(2, 6, 10)
    wanted = ((images / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2)
    found = OnnxEncoder(package).normalise(images)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.abs(found - wanted).max() < 1e-5


def test_views_into_larger_arrays_are_fine(package):
    large = pictures(2, 12, 20)
    part = large[:, ::2, ::2]
    assert np.allclose(OnnxEncoder(package).encode_query(part), by_hand(part), atol=1e-5)
    flipped = pictures(1, 6, 10)[..., ::-1]
    assert np.allclose(OnnxEncoder(package).encode_query(flipped), by_hand(flipped), atol=1e-5)


def test_no_images_no_descriptors(package):
    assert OnnxEncoder(package).encode_query(pictures(0, 6, 10)).shape == (0, DIM)


def test_the_vehicle_never_loads_the_reference_encoder(package):
    (package.root / "reference.onnx").write_bytes(b"not a model")
    encoder = OnnxEncoder(package)
    assert len(encoder.encode_query(pictures(1, 6, 10))) == 1
    with pytest.raises(ModelError, match=r"cannot load .*reference\.onnx"):
        encoder.encode_reference(pictures(1, 8, 8))


@pytest.mark.parametrize(
    "images",
    [
        pictures(1, 6, 9),
        pictures(1, 10, 6),
        pictures(1, 6, 10)[0],
        pictures(1, 6, 10)[..., :1],
        pictures(1, 6, 10).astype(np.float32),
        np.zeros((0,), np.uint8),
    ],
)
def test_wrong_shapes_and_types_are_refused(package, images):
    with pytest.raises(ModelError, match=r"takes \(N, 6, 10, 3\) uint8 RGB, got"):
        OnnxEncoder(package).encode_query(images)


def test_vectors_not_of_unit_length_are_refused(tmp_path):
    write_model(tmp_path / "query.onnx", normalise=False)
    with pytest.raises(ModelError, match=r"descriptor of length .*, expected 1"):
        OnnxEncoder(make_package(tmp_path)).encode_query(pictures(2, 6, 10))


def test_not_a_number_is_refused(tmp_path):
    """A picture of exactly the mean colour: the length to divide by is zero."""
    write_model(tmp_path / "query.onnx")
    package = make_package(tmp_path, mean=(0.0, 0.0, 0.0))
    black = np.zeros((1, 6, 10, 3), np.uint8)
    with pytest.raises(ModelError, match="expected 1"):
        OnnxEncoder(package).encode_query(black)


def test_another_length_than_promised_is_refused(tmp_path):
    write_model(tmp_path / "query.onnx", dim=7)
    with pytest.raises(ModelError, match=r"gave \(1, 7\), its model card promises \(1, 5\)"):
        OnnxEncoder(make_package(tmp_path)).encode_query(pictures(1, 6, 10))


@pytest.mark.parametrize("names", [("picture", "descriptor"), ("image", "vector")])
def test_other_inputs_and_outputs_are_refused(tmp_path, names):
    write_model(tmp_path / "query.onnx", names=names)
    with pytest.raises(ModelError, match="expected inputs image"):
        OnnxEncoder(make_package(tmp_path)).encode_query(pictures(1, 6, 10))


def test_a_missing_file_is_named(tmp_path):
    write_model(tmp_path / "query.onnx")
    encoder = OnnxEncoder(make_package(tmp_path))
    with pytest.raises(ModelError, match=r"has no reference\.onnx; its card lists query\.onnx"):
        encoder.encode_reference(pictures(1, 8, 8))


def test_one_encoder_in_the_place_of_the_other_is_one_line(tmp_path):
    write_model(tmp_path / "reference.onnx", size=(6, 10))
    with pytest.raises(ModelError, match=r"reference\.onnx failed: .*is it the file") as caught:
        OnnxEncoder(make_package(tmp_path)).encode_reference(pictures(1, 8, 8))
    assert "\n" not in str(caught.value)


def test_package_round_trip_and_altered_files(package):
    package.save()
    assert load_package(package.root) == package
    content = bytearray((package.root / "query.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (package.root / "query.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="was altered"):
        load_package(package.root)


def test_identity_depends_on_files_and_preprocessing(package):
    other = dataclasses.replace(package, mean=(0.1, 0.1, 0.1))
    assert other.encoder_sha256 == package.encoder_sha256
    assert other.preprocessing_sha256 != package.preprocessing_sha256
    other = dataclasses.replace(package, files={"query.onnx": "0" * 64})
    assert other.encoder_sha256 != package.encoder_sha256


def test_both_encoders_keep_the_protocol(package):
    assert isinstance(OnnxEncoder(package), Encoder)
    assert isinstance(FakeEncoder(), Encoder)


def test_the_fake_tells_pictures_apart_and_forgives_noise():
    encoder = FakeEncoder(32)
    small = pictures(20, 8, 8)
    images = small.repeat(4, axis=1).repeat(4, axis=2)
    found = encoder.encode_query(images)
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    noise = np.random.default_rng(3).normal(size=images.shape) * 10.0
    noisy = np.clip(images + noise, 0, 255).astype(np.uint8)
    similarity = encoder.encode_reference(noisy) @ found.T
    assert np.array_equal(similarity.argmax(axis=1), np.arange(20))
    assert np.diag(similarity).min() > 0.95
    plain = np.full((1, 32, 32, 3), 90, np.uint8)
    assert np.linalg.norm(encoder.encode_query(plain)) == pytest.approx(1.0, abs=1e-5)


def test_one_file_serves_both_sides(tmp_path):
    write_model(tmp_path / "encoder.onnx")
    files = {"encoder.onnx": file_sha256(tmp_path / "encoder.onnx")}
    package = make_package(tmp_path, files=files)
    package.save()
    assert load_package(tmp_path) == package
    encoder = OnnxEncoder(package)
    views, crops = pictures(3, 6, 10), pictures(4, 8, 8)
    assert np.allclose(encoder.encode_query(views), by_hand(views), atol=1e-5)
    assert np.allclose(encoder.encode_reference(crops), by_hand(crops), atol=1e-5)
    assert encoder.session(package.query_file) is encoder.session(package.reference_file)


def test_a_shared_file_beside_a_pair_is_refused(package):
    write_model(package.root / "encoder.onnx")
    dataclasses.replace(package, files={**package.files, "encoder.onnx": "0" * 64}).save()
    with pytest.raises(ModelError, match=r"files is .*encoder\.onnx, or query\.onnx and"):
        load_package(package.root)
