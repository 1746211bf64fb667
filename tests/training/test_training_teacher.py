# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a teacher says: of a large encoder, and of oneself with the whole view."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_training_start import trained  # noqa: E402
from test_training_train import no_evaluation, no_export, toy_pairs  # noqa: E402
from training_toy import toy_shard  # noqa: E402

from geoloc_ros.encoders.onnx_backend import OnnxEncoder  # noqa: E402
from geoloc_ros.encoders.package import QuerySpec  # noqa: E402
from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.config import Running, TrainConfig  # noqa: E402
from geoloc_ros.training.draws import Draws, Part  # noqa: E402
from geoloc_ros.training.field_of_view import hidden, window  # noqa: E402
from geoloc_ros.training.losses import relation_loss  # noqa: E402
from geoloc_ros.training.pair import card_of  # noqa: E402
from geoloc_ros.training.sources import MinedSource  # noqa: E402
from geoloc_ros.training.teacher import (  # noqa: E402
    ModuleTeacher,
    PackageTeacher,
    check_same_view,
)
from geoloc_ros.training.train import Trainer  # noqa: E402

NONE = torch.zeros(5, 7, dtype=torch.bool)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=1)


def test_the_relation_loss_is_the_textbook_divergence() -> None:
    q, r, tq, tr = unit(5, 8), unit(7, 8, seed=1), unit(5, 16, seed=2), unit(7, 16, seed=3)
    scale = torch.tensor(9.0)
    found = float(relation_loss((q, r), (tq, tr), scale, NONE))

    def divergence(said: np.ndarray, meant: np.ndarray) -> float:
        p = np.exp(meant) / np.exp(meant).sum(axis=1, keepdims=True)
        s = np.exp(said) / np.exp(said).sum(axis=1, keepdims=True)
        return float((p * np.log(p / s)).sum(axis=1).mean())

    said, meant = (9.0 * (a @ b.T).numpy().astype(float) for a, b in ((q, r), (tq, tr)))
    expected = 0.5 * (divergence(said, meant) + divergence(said[:, :5].T, meant[:, :5].T))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    q, r = unit(5, 8).requires_grad_(), unit(7, 8, seed=1).requires_grad_()
    loss = relation_loss((q, r), (q.detach(), r.detach()), torch.tensor(20.0), NONE)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(q.grad.abs().max()) < 1e-6


def test_pairs_that_are_ignored_are_not_compared() -> None:
    q, r, t = unit(5, 8), unit(7, 8, seed=1), unit(7, 8, seed=4)
    ignore = NONE.clone()
    ignore[:, 6] = True
    other = torch.cat([r[:6], t[6:]])
    scale = torch.tensor(9.0)
    losses = [float(relation_loss((q, a), (q, b), scale, ignore)) for a, b in ((r, r), (other, r))]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert np.isfinite(losses).all()


def test_a_package_teaches_as_it_describes_onboard(tmp_path: Path) -> None:
    _, package = trained("perspective", tmp_path)
    batch = toy_pairs(toy_shard(1, 12)).batch(np.arange(4), Draws(1, 0, 0), Part(), 2)
    query, reference = PackageTeacher(package).describe(batch.query, batch.reference)
    encoder = OnnxEncoder(package)
    np.testing.assert_array_equal(query, encoder.encode_query(batch.query))
    np.testing.assert_array_equal(reference, encoder.encode_reference(batch.reference))


def test_a_teacher_may_take_larger_pictures_of_the_same_view() -> None:
    own = card_of("perspective")
    large = dataclasses.replace(own.query, height_px=192, width_px=384)
    check_same_view((large, own.reference), (own.query, own.reference))

    class Pool(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[2:] in ((192, 384), (144, 144))
            return x.mean(dim=(2, 3))

    teacher = ModuleTeacher(Pool(), Pool(), (large, own.reference), own.mean, own.std)
    pictures = np.random.default_rng(0).integers(0, 255, (3, 96, 192, 3)).astype(np.uint8)
    crops = np.zeros((4, 144, 144, 3), np.uint8)
    query, reference = teacher.describe(pictures, crops)
    assert query.shape == (3, 3)
    assert torch.allclose(reference.norm(dim=1), torch.ones(4))


def test_a_teacher_that_looks_elsewhere_is_refused() -> None:
    own = card_of("perspective")
    narrow = dataclasses.replace(own.query, hfov_deg=60.0)
    with pytest.raises(TrainingError, match=r"field of view.* 60.*90.*--teacher"):
        check_same_view((narrow, own.reference), (own.query, own.reference))


def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    _, package = trained("perspective", tmp_path / "teacher")
    config = TrainConfig(
        kind="perspective", epochs=4, batch=16, extra=0, cluster=4, warm_up=1, layout_weight=0.0,
        teacher=package.encoder_sha256, teacher_weight=5.0, precision="float32",
    )  # fmt: skip
    source = MinedSource(toy_pairs(toy_shard(1, 34)), 128)
    running = Running(work=tmp_path / "run", threads=1)
    trainer = Trainer(config, source, running, teacher=PackageTeacher(package))
    trainer.run(no_evaluation, no_export)
    losses = [row["losses"]["teacher"] for row in trainer.history]
    assert losses[-1] < 0.8 * losses[0]


PANORAMA = QuerySpec(view="panorama", height_px=8, width_px=60, hfov_deg=360.0, vfov_deg=90.0)


def test_a_window_of_a_panorama_is_one_piece_that_may_wrap_around() -> None:
    widths, wrapped = [], 0
    for seed in range(200):
        seen = window(PANORAMA, np.random.default_rng(seed))
        changes = int((seen != seen[(np.arange(60) - 1) % 60]).sum())
        assert changes == 2
        widths.append(int(seen.sum()))
        wrapped += bool(seen[0] and seen[-1])
    assert min(widths) == 20
    assert max(widths) == 30
    assert 40 < wrapped < 120


def test_a_window_of_a_camera_lies_inside_its_picture() -> None:
    spec = card_of("perspective").query
    for seed in range(50):
        seen = window(spec, np.random.default_rng(seed))
        edges = np.flatnonzero(np.diff(seen.astype(int)))
        assert len(edges) <= 2
        assert not (len(edges) == 2 and seen[0])
        assert 96 <= seen.sum() <= 144


def test_what_is_hidden_is_the_mean_colour_and_each_process_hides_its_own() -> None:
    pictures = torch.ones(6, 3, 8, 60)
    whole = hidden(pictures, PANORAMA, Draws(1, 0, 0), Part())
    assert set(whole.unique().tolist()) == {0.0, 1.0}
    parts = [hidden(pictures[:3], PANORAMA, Draws(1, 0, 0), Part(rank, 2)) for rank in range(2)]
    assert torch.equal(whole, torch.cat(parts))


def test_overhead_patches_have_no_bearings_to_hide() -> None:
    with pytest.raises(TrainingError, match="--self-distil"):
        window(card_of("ground_plane").query, np.random.default_rng(0))
