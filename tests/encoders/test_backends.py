# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which back end is taken, and why the others are not, with a TensorRT that counts its builds."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from fake_engines import FakeTensorRT
from made_flight import write_model

from geoloc_ros.config import EncoderConfig
from geoloc_ros.encoders.backends import calibration, cuda, verdict
from geoloc_ros.encoders.backends.base import BATCHES, InParts, Job, Network
from geoloc_ros.encoders.backends.choosing import ON_CPU, Candidate, Chooser, cache_of
from geoloc_ros.encoders.backends.key import engine_key
from geoloc_ros.encoders.backends.native import NativeTensorRT
from geoloc_ros.encoders.backends.ort import OrtCpu, OrtCuda, OrtTensorRT, tensorrt_options
from geoloc_ros.encoders.backends.parity import check, compare, made_pictures
from geoloc_ros.encoders.backends.settled import settle, settled_encoder
from geoloc_ros.encoders.backends.verdict import Verdict
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError

TRT, FP16 = Candidate("tensorrt"), Candidate("tensorrt", "fp16")
GOOD = Verdict(
    pictures=100,
    kind="tiles",
    index_sha256="0" * 64,
    drift_mean=1e-5,
    drift_p99=1e-4,
    drift_max=1e-3,
    recall_1=(0.9, 0.895),
    recall_10=(0.99, 0.99),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> ModelPackage:
    return write_model(tmp_path_factory.mktemp("model") / "pooled")


@pytest.fixture
def fake(tmp_path) -> FakeTensorRT:
    return FakeTensorRT(tmp_path / "builds")


@pytest.fixture
def chooser_of(package, tmp_path):
    def make(*backends, **wanted) -> Chooser:
        config = EncoderConfig(engine_dir=str(tmp_path / "engines"), **wanted)
        return Chooser(Network(package, "query"), config, 1, (*backends, OrtCpu()))

    return make


def quietly(steps) -> None:
    for _ in steps:
        pass


def build_now(chooser: Chooser, fake: FakeTensorRT, candidate: Candidate = TRT):
    """The engine of a candidate, built in this process."""
    job = chooser.job(candidate)
    key = engine_key(fake, job)
    chooser.cache.build(key, lambda folder: fake.build(job, folder, lambda *_: None), 0)
    return chooser.cache.open(key)


# -- choosing -----------------------------------------------------------------------------------


def test_this_machine_runs_on_the_cpu_and_says_why_not_on_more(package, tmp_path):
    config = EncoderConfig(engine_dir=str(tmp_path / "engines"))
    chooser = Chooser(Network(package, "query"), config, 1)
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        assert chooser.choose().candidate == ON_CPU
        assert "TensorRT cannot be imported" in chooser.rejected[TRT]
        for name, provider in (("ort-tensorrt", "TensorrtE"), ("ort-cuda", "CUDAE")):
            assert f"compiled without {provider}" in chooser.rejected[Candidate(name)]


def test_without_an_engine_it_is_the_cpu_and_the_engine_is_waited_for(chooser_of, fake):
    chosen = chooser_of(fake).choose()
    assert (chosen.candidate, chosen.waiting) == (ON_CPU, TRT)
    assert fake.count == 0


def test_with_an_engine_it_is_tensorrt(chooser_of, fake):
    chooser = chooser_of(fake)
    build_now(chooser, fake)
    chosen = chooser.choose()
    assert (chosen.candidate, chosen.waiting) == (TRT, None)
    assert not chooser.rejected


def test_what_is_not_installed_is_passed_over(chooser_of, fake):
    chooser = chooser_of(dataclasses.replace(fake, missing="no GPU"))
    assert chooser.choose().candidate == ON_CPU
    assert chooser.rejected == {TRT: "no GPU"}


def test_an_engine_that_says_something_else_is_rejected_with_figures(chooser_of, fake):
    chooser = chooser_of(dataclasses.replace(fake, noise=0.05))
    build_now(chooser, fake)
    assert chooser.choose().candidate == ON_CPU
    assert "differ from the CPU's by 0.0" in chooser.rejected[TRT]
    assert "fp32 explains 0.0001" in chooser.rejected[TRT]


def test_an_engine_that_does_not_open_is_rejected_and_its_folder_named(chooser_of, fake):
    class Refusing(FakeTensorRT):
        def open(self, job, engine=None):
            raise ModelError("TensorRT does not take it")

    chooser = chooser_of(Refusing(fake.log))
    folder = build_now(chooser, fake).folder
    assert chooser.choose().candidate == ON_CPU
    assert f"remove {folder} to have it built again" in chooser.rejected[TRT]


@pytest.mark.parametrize("method", ["trouble", "machine", "open"])
def test_a_library_that_raises_anything_is_passed_over(chooser_of, fake, monkeypatch, method):
    chooser = chooser_of(fake)
    build_now(chooser, fake)

    def raises(*_: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(FakeTensorRT, method, raises)
    assert chooser.choose().candidate == ON_CPU
    assert "TypeError: pybind11::init()" in chooser.rejected[TRT]


def test_a_back_end_that_is_named_must_work(chooser_of, fake):
    chooser = chooser_of(dataclasses.replace(fake, missing="no GPU"), backend="tensorrt")
    with pytest.raises(ModelError, match=r"backend is tensorrt and .*tensorrt fp32: no GPU"):
        chooser.choose()


def test_a_back_end_that_is_named_may_begin_on_the_cpu(chooser_of, fake):
    chosen = chooser_of(fake, backend="tensorrt").choose()
    assert (chosen.candidate, chosen.waiting) == (ON_CPU, TRT)


def test_the_cpu_may_be_named(chooser_of, fake):
    chooser = chooser_of(fake, backend="ort-cpu")
    build_now(chooser, fake)
    assert chooser.choose().candidate == ON_CPU


# -- precision ----------------------------------------------------------------------------------


def test_less_than_fp32_needs_figures(chooser_of, fake):
    chooser = chooser_of(fake, precision="fp16")
    assert chooser.choose().waiting == TRT, "fp32 meanwhile"
    assert "no engine of fp16 was built; 'geoloc model build-engine" in chooser.rejected[FP16]
    chooser = chooser_of(fake, precision="fp16")
    lease = build_now(chooser, fake, FP16)
    chooser.choose()
    assert "never measured" in chooser.rejected[FP16]
    verdict.write_verdict(lease, GOOD)
    assert chooser_of(fake, precision="fp16").choose().candidate == FP16


def test_a_precision_that_a_back_end_does_not_have_is_told_and_fp32_taken(chooser_of, fake):
    class OnlyExact(FakeTensorRT):
        precisions = ("fp32",)

    chooser = chooser_of(OnlyExact(fake.log), precision="int8")
    build_now(chooser, fake)
    assert chooser.choose().candidate == TRT
    assert chooser.rejected == {Candidate("tensorrt", "int8"): "it runs in fp32, not in int8"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drift_p99": 0.02}, r"on 100 tiles of the area: drift 0.02 \(encoder.max_drift is 0.01"),
        ({"recall_1": (0.9, 0.88)}, r"recall@1 0.880 instead of 0.900 .*max_recall_loss is 0.01"),
        ({"drift_p99": float("nan")}, "drift nan"),
    ],
)
def test_figures_beyond_the_limits_are_told(chooser_of, fake, changes, words):
    chooser = chooser_of(fake, precision="fp16")
    verdict.write_verdict(build_now(chooser, fake, FP16), dataclasses.replace(GOOD, **changes))
    assert chooser.choose().candidate == ON_CPU
    assert re.search(words, chooser.rejected[FP16]), chooser.rejected[FP16]


def test_figures_of_another_engine_do_not_count(chooser_of, fake):
    chooser = chooser_of(fake, precision="fp16")
    lease = build_now(chooser, fake, FP16)
    verdict.write_verdict(lease, GOOD)
    lease.manifest["files"]["engine.plan"]["sha256"] = "0" * 64
    with pytest.raises(ModelError, match="about another engine"):
        verdict.read_verdict(lease)


@pytest.mark.parametrize("text", ["", "[]", '{"files": {}}', "[" * 100_000])
def test_figures_that_cannot_be_read_do_not_count(chooser_of, fake, text):
    chooser = chooser_of(fake, precision="fp16")
    (build_now(chooser, fake, FP16).folder / verdict.FILE).write_text(text)
    assert chooser.choose().candidate == ON_CPU
    assert FP16 in chooser.rejected


def test_int8_is_found_by_the_pictures_it_was_calibrated_on(chooser_of, fake, package):
    chooser = chooser_of(fake, precision="int8")
    pictures = made_pictures(chooser.network, 16)
    digest = calibration.identity(pictures)
    assert digest != calibration.identity(pictures[::-1])
    candidate = Candidate("tensorrt", "int8")
    assert chooser.job(candidate).calibration == ""
    chooser.cache.open(engine_key(fake, chooser.job(candidate)))  # makes the folder
    calibration.make_current(chooser.cache.root, chooser.network, digest)
    assert chooser.job(candidate).calibration == digest
    assert chooser.job(TRT).calibration == ""
    other = Network(package, "reference")
    assert calibration.current(chooser.cache.root, other) == ""


# -- keys ---------------------------------------------------------------------------------------


def test_everything_that_matters_is_in_the_key(package, tmp_path, fake):
    network = Network(package, "query")
    job = Job(network=network)
    moved = dataclasses.replace(package, root=tmp_path)
    files = dict.fromkeys(package.files, "1" * 64)
    other = {
        "the ONNX file": (
            fake,
            Job(network=Network(dataclasses.replace(package, files=files), "query")),
        ),
        "shapes": (fake, Job(network=Network(package, "reference"))),
        "precision": (fake, Job(network=network, precision="fp16")),
        "memory": (fake, Job(network=network, workspace_mb=99)),
        "calibration": (fake, Job(network=network, calibration="1" * 64)),
        "the GPU": (dataclasses.replace(fake, gpu="Thor"), job),
    }
    digests = {what: engine_key(*pair).digest for what, pair in other.items()}
    first = engine_key(fake, job)
    assert len({first.digest, *digests.values()}) == len(other) + 1
    assert engine_key(fake, Job(network=Network(moved, "query"), threads=3)) == first
    assert first.content["shapes"] == {"image": [[n, 3, 32, 32] for n in (1, *BATCHES["query"])]}


def test_the_cache_is_the_users_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_of(EncoderConfig()).root == tmp_path / "geoloc_ros" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_of(EncoderConfig()).root == tmp_path / ".cache" / "geoloc_ros" / "engines"
    assert cache_of(EncoderConfig(engine_dir="~/e")).root == tmp_path / "e"


# -- parity -------------------------------------------------------------------------------------


class Saying:
    def __init__(self, answer):
        self.answer = answer

    def run(self, outputs, inputs):
        return [self.answer(len(inputs["image"]))]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: np.zeros((n, 7), np.float32), r"gave \(4, 7\) with 0 numbers"),
        (lambda n: np.full((n, 48), np.nan, np.float32), "192 numbers that are not finite"),
        (lambda n: 1 / 0, "its self-test failed: division by zero"),
    ],
)
def test_what_is_no_descriptor_fails_the_self_test(chooser_of, answer, words):
    chooser = chooser_of()
    with pytest.raises(ModelError, match=words):
        check(Saying(answer), chooser.cpu(), chooser.network, "fp32")


def test_the_same_session_passes_and_the_pictures_are_pictures(chooser_of):
    chooser = chooser_of()
    found = compare(chooser.cpu(), chooser.cpu(), chooser.network)
    assert found.drift < 1e-6
    assert found.difference == 0.0
    pictures = made_pictures(chooser.network, 3)
    assert pictures.shape == (3, 32, 32, 3)
    assert np.array_equal(pictures, made_pictures(chooser.network, 3))
    assert pictures.std() > 20.0


def test_rounding_to_half_precision_passes_as_fp16_only(chooser_of):
    chooser = chooser_of()
    rng = np.random.default_rng(0)

    class Rounded:
        def run(self, outputs, inputs):
            (found,) = chooser.cpu().run(outputs, inputs)
            return [found + 0.005 * rng.normal(size=found.shape).astype(np.float32)]

    assert check(Rounded(), chooser.cpu(), chooser.network, "fp16").drift < 2e-3
    with pytest.raises(ModelError, match="fp32 explains"):
        check(Rounded(), chooser.cpu(), chooser.network, "fp32")


# -- sessions -----------------------------------------------------------------------------------


def test_large_batches_are_done_in_parts(package):
    asked = []

    class Small:
        def run(self, outputs, inputs):
            asked.append(len(inputs["image"]))
            return [inputs["image"][:, 0, 0, :2]]

    batch = np.arange(10 * 3 * 4 * 4, dtype=np.float32).reshape(10, 3, 4, 4)
    (found,) = InParts(Small(), 4).run(["descriptor"], {"image": batch})
    assert asked == [4, 4, 2]
    assert np.array_equal(found, batch[:, 0, 0, :2])


def test_a_side_goes_on_with_another_session(package):
    encoder = OnnxEncoder(package)
    views = made_pictures(Network(package, "query"))
    before = encoder.encode_query(views)
    other = np.zeros((1, 48), np.float32)
    other[0, 0] = 1.0
    encoder.use("query", Saying(lambda n: other.repeat(n, axis=0)))
    assert np.array_equal(encoder.encode_query(views), other.repeat(4, axis=0))
    assert np.array_equal(encoder.encode_reference(views), before), "the other side does not"


# -- settled ------------------------------------------------------------------------------------


def test_a_replay_runs_on_the_cpu_unless_something_is_named(package, tmp_path, fake):
    config = EncoderConfig(engine_dir=str(tmp_path / "engines"))
    assert settled_encoder(package, config, 1, (fake, OrtCpu())).runs_on == "ort-cpu"
    assert fake.count == 0


def test_what_is_named_is_built_before_the_first_picture(package, tmp_path, fake, capfd):
    config = EncoderConfig(engine_dir=str(tmp_path / "engines"), backend="tensorrt")
    found = settled_encoder(package, config, 1, (fake, OrtCpu()))
    assert found.runs_on == "tensorrt fp32"
    assert fake.count == 1
    assert "%" in capfd.readouterr().err
    views = made_pictures(Network(package, "query"), 20)
    exact = OnnxEncoder(package).encode_query(views)
    assert np.allclose(found.encoder.encode_query(views), exact, atol=1e-6)
    assert settled_encoder(package, config, 1, (fake, OrtCpu())).runs_on == "tensorrt fp32"
    assert fake.count == 1


def test_what_is_named_and_cannot_be_built_is_an_error(package, tmp_path, fake):
    config = EncoderConfig(engine_dir=str(tmp_path / "engines"), backend="tensorrt")
    broken = dataclasses.replace(fake, ends="raises")
    with pytest.raises(ModelError, match=r"cannot build: no kernel for GridSample"):
        settled_encoder(package, config, 1, (broken, OrtCpu()))


def test_an_engine_that_is_gone_right_after_it_was_built_is_not_built_for_ever(
    chooser_of, fake, monkeypatch
):
    chooser = chooser_of(fake, backend="tensorrt")
    monkeypatch.setattr(type(chooser.cache), "open", lambda self, key: None)
    with pytest.raises(ModelError, match="was built and is gone or damaged"):
        settle(chooser, quietly)
    assert fake.count == 1


# -- the thin ones ------------------------------------------------------------------------------


def test_options_of_onnx_runtimes_tensorrt(package):
    job = Job(network=Network(package, "reference"), precision="fp16", workspace_mb=512)
    assert tensorrt_options(job) == {
        "device_id": "0",
        "trt_engine_cache_enable": "True",
        "trt_fp16_enable": "True",
        "trt_max_workspace_size": str(512 * 2**20),
        "trt_profile_min_shapes": "image:1x3x32x32",
        "trt_profile_opt_shapes": "image:16x3x32x32",
        "trt_profile_max_shapes": "image:32x3x32x32",
    }


@pytest.mark.parametrize("backend", [OrtCuda(), OrtTensorRT(), NativeTensorRT()])
def test_a_back_end_that_is_not_there_fails_in_one_line(package, backend, tmp_path):
    if backend.trouble() == "":
        pytest.skip("it is there")
    assert "\n" not in backend.trouble()


def test_without_a_gpu_cuda_says_why() -> None:
    """Where CUDA's runtime is installed without a driver, these are its own words."""
    try:
        found = cuda.gpu()
    except ModelError:
        for call in (cuda.gpu, cuda.Stream, lambda: cuda.DeviceArray(16)):
            with pytest.raises(ModelError, match=r"^CUDA(: | is not installed: )"):
                call()
    else:
        assert all(found[name] for name in ("gpu", "compute_capability", "cuda"))


def test_the_release_of_the_driver_is_one_line(tmp_path: Path) -> None:
    missing, empty, said = tmp_path / "missing", tmp_path / "empty", tmp_path / "said"
    empty.write_text("")
    said.write_text("# R36 (release), REVISION: 4.0\nmore\n")
    assert cuda.driver_release((missing, empty, said)) == "# R36 (release), REVISION: 4.0"
    assert cuda.driver_release((missing,)) == ""


def test_int8_flags_allow_fp16_and_never_tf32(package):
    job = Job(network=Network(package, "query"), precision="int8")
    flags = NativeTensorRT().flags(job)
    assert flags == {"tf32": False, "fp16": True, "int8": True, "workspace_mb": 1024}
    assert not NativeTensorRT().flags(dataclasses.replace(job, precision="fp32"))["fp16"]


def test_calibration_takes_whole_batches_of_the_networks_pictures(package, tmp_path):
    from geoloc_ros.encoders.backends.native import CALIBRATION_BATCH, calibration_batches

    network = Network(package, "query")
    path = tmp_path / "pictures.npy"
    pictures = made_pictures(network, 2 * CALIBRATION_BATCH + 3)
    np.save(path, pictures)
    following = calibration_batches(Job(network=network, precision="int8", images=path))
    first = following()
    assert np.array_equal(first, OnnxEncoder(package).normalise(pictures[:CALIBRATION_BATCH]))
    assert following().shape == (CALIBRATION_BATCH, 3, 32, 32)
    assert following() is None
    np.save(path, pictures[:, 1:])
    with pytest.raises(ModelError, match=r"holds .* uint8; \(N, 32, 32, 3\) uint8 is needed"):
        calibration_batches(Job(network=network, precision="int8", images=path))
    with pytest.raises(ModelError, match="int8 needs pictures of the area"):
        calibration_batches(Job(network=network, precision="int8"))
