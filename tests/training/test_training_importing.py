# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights of others: what is refused, and that a package says what its network says."""

import dataclasses
import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from importing_toy import SMALL, checkpoint  # noqa: E402
from made_flight import write_imagery  # noqa: E402

from geoloc_ros.cameras.models import CameraModel  # noqa: E402
from geoloc_ros.cameras.mounts import mount_from_pitch  # noqa: E402
from geoloc_ros.cameras.panorama import PanoramaView  # noqa: E402
from geoloc_ros.cli.main import main  # noqa: E402
from geoloc_ros.encoders.onnx_backend import OnnxEncoder  # noqa: E402
from geoloc_ros.encoders.package import (  # noqa: E402
    ModelPackage,
    QuerySpec,
    ReferenceSpec,
    load_package,
)
from geoloc_ros.errors import ModelError, TrainingError  # noqa: E402
from geoloc_ros.imagery.ortho import OrthoImage  # noqa: E402
from geoloc_ros.index.build import build_index  # noqa: E402
from geoloc_ros.index.policy import SamplingPolicy  # noqa: E402
from geoloc_ros.index.sharded_index import ShardedIndex  # noqa: E402
from geoloc_ros.training.calibrate import calibrate  # noqa: E402
from geoloc_ros.training.card import update_calibration  # noqa: E402
from geoloc_ros.training.convnext import ConvNext, ConvNextSpec  # noqa: E402
from geoloc_ros.training.importing.made import made_weights  # noqa: E402
from geoloc_ros.training.importing.packing import Options, new_folder  # noqa: E402
from geoloc_ros.training.importing.parity import Parity, Probe  # noqa: E402
from geoloc_ros.training.importing.sample4geo import import_sample4geo  # noqa: E402
from geoloc_ros.training.importing.torch_net import pack_net  # noqa: E402
from geoloc_ros.training.importing.weights import abbreviated, read_weights  # noqa: E402
from geoloc_ros.yaw_hypotheses import YawHypotheses  # noqa: E402

TWO = Options(images=2)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Runs:
    """A pickle that makes a folder where it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    path, trace = tmp_path / "w.pth", tmp_path / "ran"
    torch.save({"model.stem.0.weight": Runs(trace)}, path)
    with pytest.raises(ModelError, match=r"refused: it is a pickle that wants to run \w+\.mkdir"):
        read_weights(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(
        ModelError, match=r"wants to run torch\.nn\.modules\.linear\.Linear"
    ) as caught:
        read_weights(path)
    assert not trace.exists()
    assert "weights_only" not in str(caught.value)  # no advice to load it all the same


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, "state_dict, epoch .* 'state_dict'"),
        ([torch.ones(2)], "holds list where a mapping"),
        ({}, "a mapping of names to tensors is expected"),
        ({"a.0.b": torch.tensor([1.0, float("nan")]), "a.1.b": torch.ones(1)}, "finite.*: a.0.b;"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=words):
        read_weights(tmp_path / "w.pth")


def test_damaged_files_are_one_line(tmp_path):
    path = checkpoint(tmp_path / "w.pth")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"<html>sign in to download</html>" * 9):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"w\.pth") as caught:
            read_weights(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="there is no file"):
        read_weights(tmp_path / "none.pth")


def test_names_that_differ_in_layer_numbers_are_told_once():
    names = ["stages.0.blocks.1.gamma", "stages.2.blocks.0.gamma", "head.norm.bias"]
    assert abbreviated(names) == "stages.*.blocks.*.gamma (2), head.norm.bias"


def test_every_weight_that_does_not_fit_is_listed(tmp_path):
    changes = {
        "model.head.fc.weight": torch.ones(10, 32),
        "temperature": torch.ones(1),
        "model.stem.0.weight": torch.ones(8, 4, 4, 4),
        "model.stages.2.blocks.0.gamma": None,
        "model.stages.2.blocks.1.gamma": None,
    }
    path = checkpoint(tmp_path / "w.pth", **changes)
    with pytest.raises(ModelError) as caught:
        import_sample4geo(path, "vigor", tmp_path / "out", TWO, net=SMALL)
    text = str(caught.value)
    assert "2 missing: model.stages.*.blocks.*.gamma (2)." in text
    assert "2 not expected: temperature, model.head.fc.weight." in text
    assert "1 of another shape: model.stem.0.weight 8x4x4x4 instead of 8x3x4x4." in text
    assert not list(tmp_path.glob("out*"))


def test_another_architecture_is_refused_in_words_of_moderate_length(tmp_path, capsys):
    path = checkpoint(tmp_path / "w.pth")
    out = ["--out", str(tmp_path / "out")]
    assert main(["model", "import", "sample4geo", str(path), "--dataset", "cvact", *out]) == 2
    text = capsys.readouterr().err
    assert "missing: " in text
    assert "of another shape: " in text
    assert len(text) < 4000
    assert "\n" not in text.strip()
    assert not (tmp_path / "out").exists()


def features(net, images, package):
    """Of pictures (N, H, W, 3), by the textbook."""
    pixels = (images / 255.0 - np.array(package.mean)) / np.array(package.std)
    with torch.no_grad():
        rows = net(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("dataset", "size", "vfov_deg"),
    [
        ("vigor", (384, 768), 180.0),
        ("cvusa", (140, 768), 65.45),
        ("cvact", (140, 768), 180.0),
        ("university", (384, 384), 0.0),
    ],
)
def test_a_package_says_what_the_network_says(tmp_path, dataset, size, vfov_deg):
    path = checkpoint(tmp_path / "weights_e1_0.5.pth")
    made = import_sample4geo(path, dataset, tmp_path / "out", TWO, net=SMALL, command="again")
    package = load_package(tmp_path / "out")
    assert package == made
    query = package.query
    assert (query.height_px, query.width_px) == size
    assert query.vfov_deg == pytest.approx(vfov_deg, abs=0.01)
    assert query.view == ("panorama" if vfov_deg else "ground_plane")
    assert query.alignment == ("north" if vfov_deg else "")
    assert (package.reference.size_px, package.reference.offset_forward_m) == (384, 0.0)
    assert package.mean == (0.485, 0.456, 0.406)
    assert package.std == (0.229, 0.224, 0.225)
    assert (package.resize, package.descriptor_dim) == ("linear_exact", 32)
    assert list(package.files) == ["encoder.onnx"]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert package.training["weights"] == {path.name: sha256}

    net = ConvNext(SMALL).eval()
    net.load_state_dict(made_weights(net, 1))
    probe = Probe.of(package, 3, seed=8)  # other pictures, another number of them
    encoder = OnnxEncoder(package)
    for images, found in (
        (probe.views, encoder.encode_query(probe.views)),
        (probe.crops, encoder.encode_reference(probe.crops)),
    ):
        assert np.abs(found - features(net, images, package)).max() < 1e-5


def test_an_import_is_not_calibrated_and_says_so(tmp_path, capsys):
    path = checkpoint(tmp_path / "w.pth")
    package = import_sample4geo(path, "vigor", tmp_path / "out", TWO, net=SMALL, extent_m=60.0)
    assert package.calibration.missing
    assert package.calibration.temperature == pytest.approx(np.exp(-4.6))
    assert package.reference.extent_m == 60.0
    readme = (package.root / "README.md").read_text()
    assert "None: no place is believed until `geoloc calibrate` has run." in readme
    assert "A satellite crop spans 60 m: given by --extent-m." in readme
    assert main(["model", "info", str(package.root)]) == 0
    assert "calibration  none: no place is believed" in capsys.readouterr().out
    with pytest.raises(TrainingError, match="has no calibration yet and one world cannot tell"):
        calibrate(package, [tmp_path], tmp_path, None)
    fitted = dataclasses.replace(package.calibration, fitted_on="worlds 1 2", confirm_evidence=9.0)
    update_calibration(dataclasses.replace(package, calibration=fitted))
    readme = (package.root / "README.md").read_text()
    assert "Fitted on: worlds 1 2." in readme
    assert "no place is believed" not in readme
    assert "## Limits" in readme


def test_an_imported_model_indexes_imagery_and_looks_all_round(tmp_path):
    """The card speaks to views, index and search alike; nothing is learnt, so nothing is found."""
    path = checkpoint(tmp_path / "w.pth")
    package = import_sample4geo(path, "cvusa", tmp_path / "out", TWO, net=SMALL)
    write_imagery(tmp_path / "city.tif")
    ortho, encoder = OrthoImage.open(tmp_path / "city.tif"), OnnxEncoder(package)
    policy = SamplingPolicy(kind="grid", pitch_m=70.0, north_up=True)
    build_index(ortho, package, encoder, tmp_path / "index", policy, progress=False)
    index = ShardedIndex.open(tmp_path / "index", package)
    lens, mount = CameraModel.all_round(640, 320), mount_from_pitch(1.7, 0.0)
    view = PanoramaView({"": (lens, mount)}, package.query).build(
        Probe.of(package, 1, seed=1).views[0][:, :640].repeat(3, axis=0)[:320]
    )
    assert view.image.shape == (140, 768, 3)
    yaws = YawHypotheses(90.0, package.query.width_px)
    views = yaws.views(view, None)
    descriptors = encoder.encode_query(np.stack([turned.image for turned in views]))
    found = yaws.search(index, views, descriptors, 5)
    assert descriptors.shape == (4, 32)
    assert found.poses.shape == (5, 3)
    assert np.isfinite(found.similarity).all()


def test_weights_without_a_scale_or_in_half_precision_are_fine(tmp_path):
    half = {k: v.half() for k, v in torch.load(checkpoint(tmp_path / "w.pth")).items()}
    del half["logit_scale"]
    torch.save(half, tmp_path / "w.pth")
    package = import_sample4geo(tmp_path / "w.pth", "cvact", tmp_path / "out", TWO, net=SMALL)
    assert package.calibration.temperature == 0.05


def test_half_precision_is_half_the_file_and_nearly_the_same(tmp_path):
    spec = ConvNextSpec(depths=(1, 1, 1, 1), widths=(32, 64, 96, 128))
    path = checkpoint(tmp_path / "w.pth", spec)
    options = Options(images=2, precision="fp16")
    half = import_sample4geo(path, "cvusa", tmp_path / "half", options, net=spec)
    full = import_sample4geo(path, "cvusa", tmp_path / "full", TWO, net=spec)
    sizes = [(p.root / "encoder.onnx").stat().st_size for p in (half, full)]
    assert 0.45 < sizes[0] / sizes[1] < 0.6
    parity = half.training["parity"]
    assert parity["cosine_min"] >= 0.9999
    assert 1e-6 < parity["max_abs"] < 1e-2
    assert half.training["precision"] == "fp16"


def test_parity_by_hand():
    a = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    b = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    parity = Parity.of(a, b)
    assert parity.images == 2
    assert parity.max_abs == pytest.approx(0.6)
    assert parity.mean_abs == pytest.approx(0.2)
    assert parity.cosine_min == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("max_abs", "cosine_min", "precision", "refused"),
    [
        (9.9e-5, 0.99995, "fp32", False),
        (1.1e-4, 0.99995, "fp32", True),
        (9.9e-5, 0.99985, "fp32", True),
        (1e-2, 0.99995, "fp16", False),
        (1e-5, 0.99985, "fp16", True),
        (float("nan"), 1.0, "fp32", True),
        (1e-2, float("nan"), "fp16", True),
    ],
)
def test_what_is_too_far_from_the_network_is_refused(max_abs, cosine_min, precision, refused):
    parity = Parity(images=8, max_abs=max_abs, mean_abs=1e-6, cosine_min=cosine_min)
    if not refused:
        parity.check(precision)
        return
    with pytest.raises(ModelError, match=r"describes otherwise .*cosine of 0\.9999 are asked"):
        parity.check(precision)


class Drifting(torch.nn.Module):
    """Answers otherwise the second time, as a wrong export would."""

    def __init__(self):
        super().__init__()
        self.net, self.asked = ConvNext(SMALL), 0
        self.net.load_state_dict(made_weights(self.net, 1))

    def forward(self, image):
        self.asked += 1
        out = self.net(image)
        return out if self.asked <= 4 else out + 0.05 * image.mean(dim=(2, 3))[:, :1]


def draft(root) -> ModelPackage:
    return ModelPackage(
        root=root,
        name="small",
        version="1",
        query=QuerySpec(view="perspective", height_px=64, width_px=96, hfov_deg=90.0),
        reference=ReferenceSpec(size_px=64, extent_m=72.0, offset_forward_m=30.0),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.25, 0.3),
        descriptor_dim=1,
        files={},
        training={"command": "geoloc model import", "source": "a test", "weights": {}},
    )


def test_an_export_that_says_something_else_leaves_nothing(tmp_path):
    with pytest.raises(ModelError, match="describes otherwise than the one it was made from"):
        pack_net(Drifting(), draft(tmp_path), tmp_path / "out", TWO)
    assert not list(tmp_path.iterdir())


def test_a_network_that_says_the_same_of_everything_is_refused(tmp_path):
    net = ConvNext(SMALL)
    weights = made_weights(net, 1)
    net.load_state_dict(weights | {"head.norm.weight": torch.zeros(32)})
    with pytest.raises(ModelError, match="2 different pictures alike"):
        pack_net(net, draft(tmp_path), tmp_path / "out", TWO)


def test_nothing_is_written_over(tmp_path):
    with pytest.raises(ModelError, match="is there already; remove it or name another"):
        pack_net(ConvNext(SMALL), draft(tmp_path), tmp_path, TWO)
    stale = tmp_path / "out.partial"
    stale.mkdir()
    (stale / "encoder.onnx").write_bytes(b"of an import that was killed")
    with new_folder(tmp_path / "out") as folder:
        assert not list(folder.iterdir())
        (folder / "x").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x"]
    assert not stale.exists()


@pytest.mark.parametrize("name", ["sample4geo", "onnx_file"])
def test_an_import_needs_nothing_that_makes_worlds(name):
    code = "import sys\n"
    code += "for gone in ('shapely', 'trimesh', 'timm'): sys.modules[gone] = None\n"
    code += f"import geoloc_ros.training.importing.{name}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_options_out_of_bounds_are_refused(tmp_path, capsys):
    command = ["model", "import", "sample4geo", "w.pth", "--dataset", "vigor", "--out", "o"]
    for more, words in (
        (["--images", "1"], "--images is 1; it must lie in 2..64"),
        (["--extent-m", "nan"], r"--extent-m is nan m; it must lie in 1\.\.10000 m"),
    ):
        assert main([*command, *more]) == 2
        assert re.search(words, capsys.readouterr().err)


def test_the_published_size_is_imported(tmp_path):
    """ConvNeXt-B with all of its names, through file, export and runtime; on small pictures."""
    weights = made_weights(ConvNext(), 3)
    net = ConvNext().eval()
    net.load_state_dict(weights, assign=True)
    package = pack_net(net, draft(tmp_path), tmp_path / "out", TWO)
    assert package.descriptor_dim == 1024
    assert (package.root / "encoder.onnx").stat().st_size > 350e6
    parity = package.training["parity"]
    print("ConvNeXt-B on small pictures:", parity)
    assert parity["max_abs"] <= 1e-4
    assert parity["cosine_min"] >= 0.9999
