# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from test_training_train import perspective_trainer  # noqa: E402

from geoloc_ros.encoders.package import ModelPackage  # noqa: E402
from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training import nets, start  # noqa: E402
from geoloc_ros.training.export import export_package  # noqa: E402
from geoloc_ros.training.pair import EncoderPair  # noqa: E402


def trained(kind: str, folder: Path) -> tuple[EncoderPair, ModelPackage]:
    """A pair whose normalisation layers all do something, and its package."""
    torch.manual_seed(3)
    pair = EncoderPair(kind)
    with torch.no_grad():
        for module in pair.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2.0)
    pair.eval()
    return pair, export_package(pair, folder, name="toy", version="0", training={}, scores={})


@pytest.mark.parametrize("kind", ["perspective", "ground_plane"])
def test_a_training_starts_with_what_the_package_answers(kind: str, tmp_path: Path) -> None:
    old, package = trained(kind, tmp_path)
    new = EncoderPair(kind)
    start.start_from(new, package)
    new.eval()
    spec = package.query
    image = torch.randn(4, 3, spec.height_px, spec.width_px)
    with torch.no_grad():
        expected, found = old.query(image), new.query(image)
        assert float((expected - found).abs().max()) < 1e-4
        start.settle(new.query, torch.randn(32, 3, spec.height_px, spec.width_px) * 1.5 + 0.3)
        new.eval()
        assert float((expected - new.query(image)).abs().max()) < 1e-4
    first = next(m for m in new.query.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert float((first.running_var - 1.0).abs().min()) > 1e-3


def test_heads_grow_with_the_picture() -> None:
    column = torch.rand(5, 7, 6, 1)
    grown = start._fit(column, torch.Size((5, 7, 8, 1)))
    assert grown.shape == (5, 7, 8, 1)
    # A picture that is the same everywhere gets the same code.
    torch.testing.assert_close(grown.sum(2), column.sum(2), rtol=0.05, atol=0.05)
    projection = torch.rand(3, 5 * 12)
    wide = start._fit_columns(projection, torch.Size((3, 5 * 16)), 5)
    sums = wide.unflatten(1, (5, 16)).sum(2), projection.unflatten(1, (5, 12)).sum(2)
    torch.testing.assert_close(*sums, rtol=0.05, atol=0.05)


def test_a_trainer_starts_its_average_too(tmp_path: Path) -> None:
    _, package = trained("perspective", tmp_path / "model")
    trainer = perspective_trainer(tmp_path / "run", start=package.encoder_sha256)
    trainer.start(package)
    lesson = trainer.lesson
    ours, average = lesson.model.state_dict(), lesson.average.model.state_dict()
    assert all(torch.equal(value, average[name]) for name, value in ours.items())
    trainer.save()
    with pytest.raises(TrainingError, match="start"):
        perspective_trainer(tmp_path / "run").resume()


def test_another_kind_or_architecture_is_refused(tmp_path: Path) -> None:
    _, package = trained("ground_plane", tmp_path)
    with pytest.raises(TrainingError, match="is a ground_plane model"):
        start.start_from(EncoderPair("perspective"), package)
    other = EncoderPair("ground_plane")
    other.query.features = nets.backbone(nets.NetSpec(widths=(40, 80, 168), blocks=(1, 2, 2)))
    with pytest.raises(TrainingError, match="same architecture"):
        start.start_from(other, package)
    other.query.features = nets.backbone(nets.NetSpec(widths=(40, 80, 160), blocks=(1, 2, 3)))
    with pytest.raises(TrainingError, match=r"has 15 layers.*same architecture"):
        start.start_from(other, package)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    _, package = trained("ground_plane", tmp_path)
    (tmp_path / package.query_file).write_bytes(b"no network" * 50)
    with pytest.raises(Exception, match="export the model again"):
        start.start_from(EncoderPair("ground_plane"), package)
