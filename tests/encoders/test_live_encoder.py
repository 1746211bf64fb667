# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The encoder of a vehicle: the CPU meanwhile, then the engine, the CPU again if that fails."""

import dataclasses
import time

import numpy as np
import pytest
from fake_engines import FakeTensorRT
from made_flight import write_model

from geoloc_ros.config import EncoderConfig
from geoloc_ros.encoders.backends.base import Network
from geoloc_ros.encoders.backends.live import LiveEncoder
from geoloc_ros.encoders.backends.ort import OrtCpu
from geoloc_ros.encoders.backends.parity import made_pictures
from geoloc_ros.encoders.base import Encoder
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> ModelPackage:
    return write_model(tmp_path_factory.mktemp("model") / "pooled")


@pytest.fixture(scope="module")
def views(package):
    return made_pictures(Network(package, "query"))


@pytest.fixture
def fake(tmp_path) -> FakeTensorRT:
    return FakeTensorRT(tmp_path / "builds", breaks_at=tmp_path / "broken")


@pytest.fixture
def encoder_of(package, tmp_path):
    made = []

    def make(fake: FakeTensorRT, **wanted) -> LiveEncoder:
        config = EncoderConfig(engine_dir=str(tmp_path / "engines"), **wanted)
        made.append(LiveEncoder(package, config, 1, (fake, OrtCpu())))
        return made[-1]

    yield make
    for encoder in made:
        encoder.close()


def wait_for(condition, within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_it_begins_on_the_cpu_and_goes_on_on_the_engine(encoder_of, fake, package, views):
    exact = OnnxEncoder(package).encode_query(views)
    encoder = encoder_of(dataclasses.replace(fake, takes_s=0.5))
    assert isinstance(encoder, Encoder)
    assert encoder.state.in_use == "ort-cpu"
    assert encoder.state.building.startswith("tensorrt fp32")
    assert np.array_equal(encoder.encode_query(views), exact)
    wait_for(lambda: "% done" in encoder.state.building)
    wait_for(lambda: encoder.state.in_use == "tensorrt fp32")
    assert np.allclose(encoder.encode_query(views), exact, atol=1e-6)
    state = encoder.state
    assert (state.building, state.rejected, state.fault) == ("", {}, "")
    assert encoder_of(fake).state.in_use == "tensorrt fp32", "the second start finds it"
    assert fake.count == 1


def test_frames_are_described_all_the_while(encoder_of, fake, views):
    encoder = encoder_of(dataclasses.replace(fake, takes_s=0.5))
    seen = set()
    end = time.monotonic() + 60.0
    while encoder.state.in_use == "ort-cpu" and time.monotonic() < end:
        assert encoder.encode_query(views[:1]).shape == (1, 48)
        seen.add(encoder.state.in_use)
    assert seen >= {"ort-cpu"}
    assert encoder.state.in_use == "tensorrt fp32"


def test_an_engine_that_cannot_be_built_leaves_it_on_the_cpu(encoder_of, fake, views):
    encoder = encoder_of(dataclasses.replace(fake, ends="raises"))
    wait_for(lambda: not encoder.state.building)
    assert encoder.state.in_use == "ort-cpu"
    assert "no kernel" in encoder.state.rejected["tensorrt fp32"]
    assert encoder.state.fault == "", "with auto the CPU is as good as any"
    assert len(encoder.encode_query(views)) == len(views)


def test_one_that_is_named_and_cannot_be_built_is_a_fault(encoder_of, fake, views):
    encoder = encoder_of(dataclasses.replace(fake, ends="raises"), backend="tensorrt")
    wait_for(lambda: not encoder.state.building)
    assert encoder.state.in_use == "ort-cpu"
    assert "no kernel" in encoder.state.fault
    assert len(encoder.encode_query(views)) == len(views)


def test_one_that_is_named_and_not_there_is_an_error(encoder_of, fake):
    with pytest.raises(ModelError, match="does not work here: tensorrt fp32: no GPU"):
        encoder_of(dataclasses.replace(fake, missing="no GPU"), backend="tensorrt")


def test_an_engine_that_fails_its_self_test_is_not_switched_to(encoder_of, fake, package, views):
    exact = OnnxEncoder(package).encode_query(views)
    encoder = encoder_of(dataclasses.replace(fake, noise=0.1))
    wait_for(lambda: not encoder.state.building)
    assert encoder.state.in_use == "ort-cpu"
    assert "differ from the CPU's" in encoder.state.rejected["tensorrt fp32"]
    assert np.array_equal(encoder.encode_query(views), exact)
    again = encoder_of(dataclasses.replace(fake, noise=0.1))
    assert (again.state.building, fake.count) == ("", 1), "nor built again at the next start"


def test_a_session_that_fails_on_the_way_is_given_up_for_the_cpu(
    encoder_of, fake, package, views, tmp_path
):
    exact = OnnxEncoder(package).encode_query(views)
    encoder = encoder_of(fake)
    wait_for(lambda: encoder.state.in_use == "tensorrt fp32")
    (tmp_path / "broken").touch()
    assert np.array_equal(encoder.encode_query(views), exact), "not one frame is lost"
    assert encoder.state.in_use == "ort-cpu"
    assert "illegal memory access" in encoder.state.fault
    (tmp_path / "broken").unlink()
    encoder.encode_query(views)
    assert encoder.state.in_use == "ort-cpu", "for good"


def test_pictures_of_the_wrong_size_are_nobodys_fault(encoder_of, fake, views):
    encoder = encoder_of(fake)
    wait_for(lambda: encoder.state.in_use == "tensorrt fp32")
    with pytest.raises(ModelError, match="takes"):
        encoder.encode_query(views[:, 1:])
    assert encoder.state.in_use == "tensorrt fp32"


def test_closing_ends_a_build(encoder_of, fake):
    encoder = encoder_of(dataclasses.replace(fake, ends="hangs"))
    wait_for(lambda: fake.count == 1)
    begun = time.monotonic()
    encoder.close()
    assert time.monotonic() - begun < 5.0
    assert not encoder._builder.is_alive()
