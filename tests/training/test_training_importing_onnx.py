# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ONNX encoders of others, and the card a person writes for them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")

from importing_toy import card_content, write_card

from geoloc_ros.cli.main import main
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import file_sha256, load_package
from geoloc_ros.errors import ModelError
from geoloc_ros.training.importing.card import read_card, template
from geoloc_ros.training.importing.onnx_file import import_onnx
from geoloc_ros.training.importing.packing import Options
from geoloc_ros.training.importing.parity import Probe

TWO = Options(images=2)
DIM = 6
KERNEL = np.random.default_rng(3).normal(size=(DIM, 3, 5, 5)).astype(np.float32)


def write_net(
    path,
    *,
    names=("image", "descriptor"),
    shape=("n", 3, "h", "w"),
    unit=True,
    half=False,
    flat=True,
    outputs=(),
    gain=1.0,
):
    """A convolution, its mean over the picture and, if asked, unit length."""
    kind, cast = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    nodes = [
        helper.make_node("Conv", [names[0], "kernel"], ["seen"], strides=[3, 3]),
        helper.make_node("Relu", ["seen"], ["kept"]),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
    ]
    last = "pooled"
    if flat:
        nodes.append(helper.make_node("Flatten", [last], ["row"], axis=1))
        last = "row"
    if unit:
        nodes.append(helper.make_node("LpNormalization", [last], ["one"], axis=1, p=2))
        last = "one"
    nodes.append(helper.make_node("Identity", [last], [names[1]]))
    sides = [shape[0], DIM] if flat else [shape[0], DIM, 1, 1]
    given = [helper.make_tensor_value_info(names[1], kind, sides)]
    given += [helper.make_tensor_value_info(name, kind, list("abcd")) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(names[0], kind, shape)],
        given,
        [numpy_helper.from_array((gain * KERNEL).astype(cast), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def by_hand(images, card):
    pixels = (images / 255.0 - card.draft.mean) / np.array(card.draft.std)
    rows = []
    for picture in pixels:
        height, width = ((side - 5) // 3 + 1 for side in picture.shape[:2])
        seen = np.zeros((height, width, DIM))
        for i in range(5):
            for j in range(5):
                part = picture[i : i + 3 * height : 3, j : j + 3 * width : 3]
                seen += part[:height, :width] @ KERNEL[:, :, i, j].T
        rows.append(np.maximum(seen, 0.0).mean(axis=(0, 1)))
    return np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def card(tmp_path):
    return read_card(write_card(tmp_path / "card.yaml"))


def test_a_file_that_fits_is_copied_as_it_is(tmp_path, card):
    path = write_net(tmp_path / "net.onnx")
    package = import_onnx(path, None, card, tmp_path / "out", TWO)
    assert package.files == {"encoder.onnx": file_sha256(path)}
    assert load_package(tmp_path / "out") == package
    assert package.calibration.missing
    assert (package.name, package.licence, package.resize) == ("mine", "MIT", "pillow_bicubic")


@pytest.mark.parametrize(
    ("net", "tolerance"),
    [
        ({"names": ("pixels", "embedding")}, 1e-5),
        ({"unit": False}, 1e-5),
        ({"shape": (1, 3, "h", "w")}, 1e-5),
        ({"flat": False, "unit": False}, 1e-5),
        ({"half": True, "names": ("descriptor", "image")}, 2e-3),
        ({"half": True, "unit": False, "flat": False, "shape": (2, 3, "h", "w")}, 2e-3),
    ],
)
def test_what_differs_in_names_types_and_lengths_is_mended(tmp_path, card, net, tolerance):
    path = write_net(tmp_path / "net.onnx", **net)
    package = import_onnx(path, None, card, tmp_path / "out", TWO)
    probe = Probe.of(package, 3, seed=5)
    encoder = OnnxEncoder(package)
    found = encoder.encode_query(probe.views)
    assert np.abs(found - by_hand(probe.views, card)).max() < tolerance
    found = encoder.encode_reference(probe.crops)
    assert np.abs(found - by_hand(probe.crops, card)).max() < tolerance


def test_two_files_describe_a_side_each(tmp_path, card):
    query = write_net(tmp_path / "q.onnx", shape=("n", 3, 32, 64))
    reference = write_net(tmp_path / "r.onnx", shape=("n", 3, 48, 48), unit=False)
    package = import_onnx(query, reference, card, tmp_path / "out", TWO)
    assert sorted(package.files) == ["query.onnx", "reference.onnx"]
    assert package.files["query.onnx"] == file_sha256(query)
    assert len(package.training["weights"]) == 2


def test_weights_beside_the_file_come_along(tmp_path, card):
    path = write_net(tmp_path / "net.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    package = import_onnx(path, None, card, tmp_path / "out", TWO)
    (tmp_path / "net.data").unlink()
    probe = Probe.of(package, 2, seed=5)
    found = OnnxEncoder(package).encode_query(probe.views)
    assert np.abs(found - by_hand(probe.views, card)).max() < 1e-5


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ({"shape": ("n", "h", "w", 3)}, r"shape \? x \? x \? x 3; it must be \(N, 3, H, W\)"),
        ({"shape": ("n", 3, 64, 64)}, "takes pictures of 64 x 64 px, the card says 32 x 64"),
        ({"outputs": ("seen",)}, "has 2 outputs: descriptor, seen; name the right one"),
        ({"gain": 0.0, "unit": False}, "no direction"),
        ({"gain": 0.0, "unit": True}, "no direction"),
    ],
)
def test_files_that_are_no_such_encoder_are_refused(tmp_path, card, net, words):
    path = write_net(tmp_path / "net.onnx", **net)
    with pytest.raises(ModelError, match=words):
        import_onnx(path, None, card, tmp_path / "out", TWO)
    assert not list(tmp_path.glob("out*"))


def test_the_card_names_input_and_output(tmp_path):
    path = write_net(tmp_path / "net.onnx", outputs=("seen",))
    for name, words in (("seen", "a descriptor is one row"), ("other", "no output 'other'")):
        card = read_card(write_card(tmp_path / "card.yaml", onnx={"output": name}))
        with pytest.raises(ModelError, match=words):
            import_onnx(path, None, card, tmp_path / "out", TWO)
    card = read_card(write_card(tmp_path / "card.yaml", onnx={"output": "descriptor"}))
    assert import_onnx(path, None, card, tmp_path / "out", TWO).descriptor_dim == DIM


def test_a_file_that_is_no_network_is_one_line(tmp_path, card):
    for content in (b"", b"hello" * 100):
        (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="is no ONNX file that can be used") as caught:
            import_onnx(tmp_path / "net.onnx", None, card, tmp_path / "out", TWO)
        assert "\n" not in str(caught.value)


def test_the_command_prints_what_came_out(tmp_path, capsys):
    write_net(tmp_path / "net.onnx")
    write_card(tmp_path / "card.yaml")
    files = [str(tmp_path / name) for name in ("net.onnx", "card.yaml", "out")]
    command = ["model", "import", "onnx", files[0], "--card", files[1], "--out", files[2]]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert (
        "parity       fp32, 8 made pictures beside the network itself: largest difference" in out
    )
    assert "next: geoloc calibrate" in out
    assert "calibration  none: no place is believed" in out
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err


def test_the_template_is_a_card(tmp_path, capsys):
    assert main(["model", "template"]) == 0
    text = capsys.readouterr().out
    assert text == template()
    path = tmp_path / "card.yaml"
    path.write_text(text)
    assert read_card(path).draft.query.view == "perspective"
    # the blocks that are commented out are cards, too
    for view in ("ground_plane", "panorama"):
        lines = text.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("query:"))
        end = next(i for i, line in enumerate(lines) if line.startswith("# ---- the satellite"))
        block = lines[start:end]
        first = next(i for i, line in enumerate(block) if f"#   view: {view}" in line)
        chosen = []
        for line in block[first:]:
            if not line.startswith("  #   "):
                break
            chosen.append(line.replace("#   ", "", 1))
        content = [*lines[:start], "query:", *chosen, *lines[end:]]
        changed = "\n".join(content).replace("offset_forward_m: 30.0", "offset_forward_m: 0.0")
        path.write_text(changed)
        assert read_card(path).draft.query.view == view


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": [0.5, 0.5]}, "mean is .* 3 numbers in 0..1; 'geoloc model template'"),
        ({"mean": "abc"}, "3 numbers"),
        ({"mean": 0.5}, "makes no sense|3 numbers"),
        ({"std": None}, "makes no sense|3 finite"),
        ({"colour": "RGB"}, "has unknown colour"),
        ({"resize": "nearest"}, "resize is 'nearest'; it must be one of area, linear"),
        ({"query": {"view": "perspective"}}, r"lacks query\.height_px, query\.width_px;"),
        ({"query": [3]}, "query is .*; it must hold keys"),
        ({"onnx": {"inputs": "x"}}, r"has unknown onnx\.inputs"),
        ({"source": ""}, "source is ''"),
        ({"version": 1.0}, "version is 1.0; it must be one line"),
    ],
)
def test_cards_that_make_no_sense_are_one_line(tmp_path, changes, words):
    path = write_card(tmp_path / "card.yaml", **changes)
    with pytest.raises(ModelError, match=words) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "name: !!python/object:os.system x", "\0"])
def test_what_is_no_card_is_one_line(tmp_path, text):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(ModelError, match="card") as caught:
        read_card(tmp_path / "card.yaml")
    assert "\n" not in str(caught.value)


def test_every_missing_key_is_named(tmp_path):
    content = card_content()
    del content["licence"], content["source"]
    import yaml

    (tmp_path / "card.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match="lacks licence, source; "):
        read_card(tmp_path / "card.yaml")
