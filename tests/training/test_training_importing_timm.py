# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks of timm; where timm is not installed, what the command says."""

import importlib.util

import pytest

torch = pytest.importorskip("torch")

from importing_toy import checkpoint, write_card  # noqa: E402

from geoloc_ros.cli.main import main  # noqa: E402
from geoloc_ros.errors import ModelError  # noqa: E402
from geoloc_ros.training.importing.card import read_card  # noqa: E402
from geoloc_ros.training.importing.made import made_weights  # noqa: E402
from geoloc_ros.training.importing.packing import Options  # noqa: E402
from geoloc_ros.training.importing.timm_net import import_timm  # noqa: E402

HERE = importlib.util.find_spec("timm") is not None
TWO = Options(images=2)
SQUARE = {
    "query": {"view": "ground_plane", "height_px": 96, "width_px": 96, "extent_m": 96.0},
    "reference": {"size_px": 96, "extent_m": 96.0, "offset_forward_m": 0.0},
}


@pytest.mark.skipif(HERE, reason="timm is installed")
def test_without_timm_the_command_says_what_to_install(tmp_path, capsys):
    card = str(write_card(tmp_path / "card.yaml"))
    path = str(checkpoint(tmp_path / "w.pth"))
    out = str(tmp_path / "out")
    command = ["model", "import", "timm", "resnet18", path, "--card", card, "--out", out]
    assert main(command) == 2
    assert "pip install 'geoloc_ros[timm]'" in capsys.readouterr().err


@pytest.mark.skipif(not HERE, reason="timm is not installed: it has no build beside this torch")
class TestWithTimm:
    """Small networks that timm keeps for its own tests."""

    @pytest.mark.parametrize(
        ("name", "changes", "precision"),
        [
            ("test_convnext.r160_in1k", {}, "fp32"),
            ("test_resnet.r160_in1k", {}, "fp32"),
            ("test_efficientnet.r160_in1k", SQUARE, "fp16"),
            ("test_vit.r160_in1k", SQUARE, "fp32"),
            ("test_vit.r160_in1k", SQUARE, "fp16"),
        ],
    )
    def test_a_package_says_what_timm_says(self, tmp_path, name, changes, precision):
        import timm

        size = {"img_size": 96} if "vit" in name else {}
        net = timm.create_model(name, pretrained=False, num_classes=0, **size)
        weights = made_weights(net, 2)
        torch.save({f"model.{k}": v for k, v in weights.items()}, tmp_path / "w.pth")
        package = import_timm(
            name,
            tmp_path / "w.pth",
            read_card(write_card(tmp_path / "card.yaml", **changes)),
            tmp_path / "out",
            Options(images=2, precision=precision),
            prefix="model.",
        )
        print(name, precision, package.training["parity"])
        assert package.training["parity"]["cosine_min"] >= 0.9999
        assert package.training["network"].startswith(f"timm {timm.__version__}, {name}")

    def test_a_network_that_bears_one_size_only_is_refused_two(self, tmp_path):
        import timm

        net = timm.create_model("test_vit", num_classes=0, img_size=(32, 64))
        torch.save(net.state_dict(), tmp_path / "w.pth")
        card = read_card(write_card(tmp_path / "card.yaml"))
        with pytest.raises(ModelError, match="One file had to take two sizes of pictures"):
            import_timm("test_vit", tmp_path / "w.pth", card, tmp_path / "out", TWO)

    def test_an_unknown_name_gets_near_ones(self, tmp_path):
        card = read_card(write_card(tmp_path / "card.yaml"))
        with pytest.raises(ModelError, match="no network 'convnext_bas'; near ones: convnext"):
            import_timm("convnext_bas", tmp_path / "w.pth", card, tmp_path / "out", TWO)
