# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Half precision trains what single precision does, and a scaled loss is the same loss."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_training_train import perspective_trainer  # noqa: E402

from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.data import Batch  # noqa: E402
from geoloc_ros.training.draws import WHOLE, Draws  # noqa: E402
from geoloc_ros.training.precision import precision_on  # noqa: E402
from geoloc_ros.training.train import Trainer  # noqa: E402


def small_trainer(folder: Path, precision: str, rows: int = 4) -> tuple[Trainer, Batch]:
    """A trainer and a small batch: float16 is slow where the processor does not have it."""
    trainer = perspective_trainer(folder, precision=precision, extra=0, layout_weight=0.0)
    draws = Draws(1, 0, 0)
    return trainer, trainer.source.make(np.arange(rows), trainer.config, draws, WHOLE)


def gradients(folder: Path, precision: str) -> tuple[torch.Tensor, dict[str, float]]:
    """All gradients of one step as one vector, before they are used, and the losses."""
    trainer, batch = small_trainer(folder, precision)
    trainer.lesson.model.train()
    taken = trainer.lesson.take(batch, Draws(1, 0, 0), 0.0)
    found = [p.grad.flatten() for p in trainer.lesson.model.parameters()]
    return torch.cat(found), taken.losses


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.Tensor, dict[str, float]]:
    return gradients(tmp_path_factory.mktemp("single"), "float32")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_finds_about_the_same_gradient(
    precision: str, tmp_path: Path, single: tuple[torch.Tensor, dict[str, float]]
) -> None:
    found, losses = gradients(tmp_path, precision)
    cosine = float(torch.nn.functional.cosine_similarity(found, single[0], dim=0))
    assert cosine > 0.9
    # The scale of float16's loss has been taken back before the gradient is used.
    assert float(found.norm() / single[0].norm()) == pytest.approx(1.0, abs=0.15)
    assert losses["loss"] == pytest.approx(single[1]["loss"], rel=0.02)


def test_a_gradient_that_overflows_is_passed_over(tmp_path: Path) -> None:
    trainer, batch = small_trainer(tmp_path, "float16", 2)
    before = {k: v.clone() for k, v in trainer.lesson.model.named_parameters()}
    trainer.lesson.scaler.scale(torch.ones(1))
    trainer.lesson.scaler.update(2.0**40)
    trainer.lesson.take(batch, Draws(1, 0, 0), 1e-3)
    for name, value in trainer.lesson.model.named_parameters():
        assert torch.equal(value, before[name]), name
    assert trainer.lesson.scaler.get_scale() == 2.0**39


def test_the_scale_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    trainer = perspective_trainer(tmp_path, precision="float16")
    trainer.lesson.scaler.scale(torch.ones(1))
    trainer.lesson.scaler.update(2.0**7)
    trainer.save()
    again = perspective_trainer(tmp_path, precision="float16")
    again.resume()
    again.lesson.scaler.scale(torch.ones(1))
    assert again.lesson.scaler.get_scale() == 2.0**7


def test_a_precision_nobody_knows_is_refused() -> None:
    with pytest.raises(TrainingError, match="bfloat16"):
        precision_on(torch.device("cpu"), "float8")
