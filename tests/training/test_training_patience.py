# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Early stopping keeps what was best on the held-out part, which may be what one began with."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from test_training_start import trained  # noqa: E402
from test_training_train import toy_pairs  # noqa: E402
from training_toy import toy_shard  # noqa: E402

from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.config import Running, TrainConfig  # noqa: E402
from geoloc_ros.training.draws import Part  # noqa: E402
from geoloc_ros.training.pair import EncoderPair  # noqa: E402
from geoloc_ros.training.sources import MinedSource  # noqa: E402
from geoloc_ros.training.train import Row, Trainer  # noqa: E402


def small_trainer(folder: Path, **changes: Any) -> Trainer:
    """An epoch of one small batch."""
    config = TrainConfig(
        kind="perspective", batch=8, extra=0, cluster=4, layout_weight=0.0, **changes
    )
    source = MinedSource(toy_pairs(toy_shard(1, 8)), 128)
    return Trainer(config, source, Running(work=folder, threads=1))


class Judge:
    """Gives scores from a list, and remembers what it was shown and what was exported."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = scores
        self.shown: list[dict[str, Any]] = []
        self.exported: list[int] = []

    def evaluate(self, pair: EncoderPair, final: bool) -> dict[str, float]:
        self.shown.append({k: v.clone() for k, v in pair.state_dict().items()})
        return {"r1": self._scores[len(self.shown) - 1]}

    def export(self, pair: EncoderPair, row: Row) -> None:
        self.exported.append(row["epoch"])


def test_training_stops_when_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    judge = Judge([0.2, 0.5, 0.4, 0.3, 0.9])
    trainer = small_trainer(tmp_path, epochs=9, patience=2)
    assert trainer.run(judge.evaluate, judge.export) == {"r1": 0.5}
    assert trainer.epoch == 4
    assert judge.exported == [1, 2]
    kept = trainer.kept_model().state_dict()
    assert all(torch.equal(v, judge.shown[1][k]) for k, v in kept.items())


def test_what_one_began_with_is_kept_if_training_makes_it_worse(tmp_path: Path) -> None:
    _, package = trained("perspective", tmp_path / "model")
    judge = Judge([0.8, 0.3, 0.2])
    trainer = small_trainer(tmp_path / "run", epochs=9, patience=2, start=package.encoder_sha256)
    trainer.start(package)
    assert trainer.run(judge.evaluate, judge.export) == {"r1": 0.8}
    assert judge.exported == [0]
    assert trainer.kept()["epoch"] == 0


def test_a_finished_run_that_is_resumed_stays_finished(tmp_path: Path) -> None:
    judge = Judge([0.5, 0.4, 0.3])
    settings = {"epochs": 9, "patience": 2}
    small_trainer(tmp_path, **settings).run(judge.evaluate, judge.export)
    again = small_trainer(tmp_path, **settings)
    again.resume()
    assert again.run(judge.evaluate, judge.export) == {"r1": 0.5}
    assert len(judge.shown) == 3
    kept = again.kept_model().state_dict()
    assert all(torch.equal(v, judge.shown[0][k]) for k, v in kept.items())


def test_without_patience_the_last_is_kept(tmp_path: Path) -> None:
    judge = Judge([0.5, 0.4])
    trainer = small_trainer(tmp_path, epochs=2)
    assert trainer.run(judge.evaluate, judge.export) == {"r1": 0.4}
    assert judge.exported == [1, 2]


def blended_trainer(folder: Path, tmp_path: Path, **changes: Any) -> Trainer:
    """One that began with a package, and will be blended with it."""
    _, package = trained("perspective", tmp_path / "model")
    trainer = small_trainer(
        folder, blend=True, learning_rate=0.01, start=package.encoder_sha256, **changes
    )
    trainer.start(package)
    return trainer


def test_the_held_out_part_chooses_the_blend_with_what_one_began_with(tmp_path: Path) -> None:
    judge = Judge([0.5, 0.6, 0.55, 0.7, 0.65])  # start, an epoch, a quarter, half, three quarters
    trainer = blended_trainer(tmp_path / "run", tmp_path, epochs=1, patience=2)
    assert trainer.run(judge.evaluate, judge.export) == {"r1": 0.7}
    assert judge.exported == [0, 1, 1]
    assert trainer.kept()["share"] == 0.5
    before, after = judge.shown[:2]
    learnt = [
        k for k, v in after.items() if v.is_floating_point() and not torch.equal(v, before[k])
    ]
    assert len(learnt) > 10
    kept = trainer.kept_model().state_dict()
    for key in learnt:
        halfway = before[key] + 0.5 * (after[key] - before[key])
        torch.testing.assert_close(kept[key], halfway, atol=1e-6, rtol=1e-5)


def test_without_patience_half_of_each_is_kept_and_a_resumed_run_does_not_blend_again(
    tmp_path: Path,
) -> None:
    judge = Judge([0.5, 0.1])
    trainer = blended_trainer(tmp_path / "run", tmp_path, epochs=1)
    assert trainer.run(judge.evaluate, judge.export) == {"r1": 0.1}
    assert [row["share"] for row in trainer.history] == [1.0, 0.5]
    again = blended_trainer(tmp_path / "run", tmp_path, epochs=1)
    again.resume()
    assert again.run(judge.evaluate, judge.export) == {"r1": 0.1}
    assert len(judge.shown) == 2
    kept = again.kept_model().state_dict()
    assert all(torch.equal(v, judge.shown[1][k]) for k, v in kept.items())


def test_a_run_that_is_interrupted_is_not_blended_yet(tmp_path: Path) -> None:
    judge = Judge([0.5, 0.4, 0.3, 0.2])
    trainer = blended_trainer(tmp_path / "run", tmp_path, epochs=2)
    trainer.running = Running(work=tmp_path / "run", threads=1, stop_after=1)
    trainer.run(judge.evaluate, judge.export)
    assert [row["share"] for row in trainer.history] == [1.0]
    again = blended_trainer(tmp_path / "run", tmp_path, epochs=2)
    again.resume()
    again.run(judge.evaluate, judge.export)
    assert [row["share"] for row in again.history] == [1.0, 1.0, 0.5]


def test_what_was_best_is_blended_not_what_came_after(tmp_path: Path) -> None:
    judge = Judge([0.1, 0.6, 0.2, 0.2, 0.55, 0.7, 0.65])  # start, three epochs, three blends
    trainer = blended_trainer(tmp_path / "run", tmp_path, epochs=9, patience=2)
    assert trainer.run(judge.evaluate, judge.export) == {"r1": 0.7}
    before, best, _, last = judge.shown[:4]
    kept = trainer.kept_model().state_dict()
    learnt = [k for k, v in best.items() if v.is_floating_point()]
    assert any(not torch.allclose(best[k], last[k], atol=1e-4) for k in learnt)
    for key in learnt:
        halfway = before[key].lerp(best[key], 0.5)
        torch.testing.assert_close(kept[key], halfway, atol=1e-6, rtol=1e-5)


def test_with_patience_all_epochs_are_judged_alike(tmp_path: Path) -> None:
    asked: list[bool] = []

    def evaluate(pair: EncoderPair, final: bool) -> dict[str, float]:
        asked.append(final)
        return {"r1": 0.5}

    small_trainer(tmp_path / "a", epochs=2).run(evaluate, lambda pair, row: None)
    small_trainer(tmp_path / "b", epochs=2, patience=2).run(evaluate, lambda pair, row: None)
    assert asked == [False, True, False, False]


def test_other_processes_neither_judge_nor_export_a_resumed_run(tmp_path: Path) -> None:
    judge = Judge([0.5, 0.4, 0.3, 0.2])
    trainer = blended_trainer(tmp_path / "run", tmp_path, epochs=1)
    trainer.running = Running(work=tmp_path / "run", threads=1)
    trainer.run(judge.evaluate, judge.export)
    again = blended_trainer(tmp_path / "run", tmp_path, epochs=1)
    again.crew = dataclasses.replace(again.crew, part=Part(1, 1))
    shown = len(judge.shown)
    again.resume()
    assert again.run(judge.evaluate, judge.export) == {}
    assert len(judge.shown) == shown
    assert again.kept() is None


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    trainer = small_trainer(tmp_path, epochs=3)
    with torch.no_grad():
        next(trainer.lesson.model.parameters()).fill_(torch.nan)
    judge = Judge([])
    with pytest.raises(TrainingError, match=r"loss of step 1 of epoch 1 is nan.*--learning-rate"):
        trainer.run(judge.evaluate, judge.export)


def test_a_file_that_is_no_checkpoint_of_ours_is_one_clear_error(tmp_path: Path) -> None:
    torch.save({"model": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="no checkpoint of a training"):
        small_trainer(tmp_path, epochs=1).resume()


def test_a_run_does_not_go_on_with_other_material(tmp_path: Path) -> None:
    judge = Judge([0.1] * 9)
    small_trainer(tmp_path, epochs=1, material="these").run(judge.evaluate, judge.export)
    with pytest.raises(TrainingError, match=r"other settings \(material\)"):
        small_trainer(tmp_path, epochs=1, material="others").resume()
