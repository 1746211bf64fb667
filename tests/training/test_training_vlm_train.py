# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vlm_toy import toy_config, toy_data, toy_prompts  # noqa: E402

from geoloc_ros.encoders.package import file_sha256  # noqa: E402
from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.vlm_nets import TinyVlm  # noqa: E402
from geoloc_ros.training.vlm_train import VlmTrainer, word_loss  # noqa: E402


def trainer(folder: Path, **changes: float | str) -> VlmTrainer:
    return VlmTrainer(toy_config(**changes), toy_data(), toy_prompts(), folder)


def no_evaluation(model: TinyVlm, final: bool) -> dict[str, float]:
    return {}


def no_export(model: TinyVlm, scores: dict[str, float], epoch: int) -> None:
    return None


def test_it_learns_what_it_is_shown(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=5, learning_rate=8e-3, words_every=1)
    run.run(no_evaluation, no_export)
    log = np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)
    assert log["words"][0] > 2.5  # among all tokens at first
    assert log["words"][-1] < 1.6
    assert log["direct"][-1] < log["direct"][0] - 0.1
    assert log["layout"][-1] < log["layout"][0] - 0.1


def test_an_interrupted_run_comes_to_the_same_weights(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", epochs=2)
    whole.run(no_evaluation, no_export)

    class Interrupted(Exception):
        pass

    broken = trainer(tmp_path / "broken", epochs=2, save_every=2)
    learn, count = broken._learn, 0

    def learn_four(step: object) -> tuple[float, ...]:
        nonlocal count
        count += 1
        if count > 5:  # in the middle of an epoch, and one step behind the checkpoint
            raise Interrupted
        return learn(step)

    broken._learn = learn_four
    with pytest.raises(Interrupted):
        broken.run(no_evaluation, no_export)
    again = trainer(tmp_path / "broken", epochs=2, save_every=2)
    again.resume()
    assert again.step == 4
    again.run(no_evaluation, no_export)
    for (name, a), b in zip(
        whole.model.state_dict().items(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(
        whole.average.model.parameters(), again.average.model.parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_stopping_after_an_epoch_leaves_the_rest_to_a_resumed_run(tmp_path: Path) -> None:
    first = trainer(tmp_path, epochs=2)
    first.run(no_evaluation, no_export, stop_after=1)
    assert first.epoch == 1
    again = trainer(tmp_path, epochs=2)
    again.resume()
    again.run(no_evaluation, no_export)
    assert again.epoch == 2


def test_other_settings_are_refused(tmp_path: Path) -> None:
    trainer(tmp_path).save()
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer(tmp_path, learning_rate=0.1).resume()
    trainer(tmp_path, epochs=9).resume()


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no full batch"):
        trainer(tmp_path, batch=128)


def test_the_right_letter_among_all_tokens_and_nothing_where_not_asked() -> None:
    said = torch.zeros(2, 2, 10)
    said[0, 0, 7] = 20.0
    letters = torch.tensor([6, 7, 8])
    answers = torch.tensor([[1, -1], [-1, -1]])
    assert float(word_loss(said, answers, letters)) == pytest.approx(0.0, abs=1e-6)
    answers[1, 1] = 2
    assert float(word_loss(said, answers, letters)) == pytest.approx(np.log(10) / 2, abs=1e-5)


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    first = trainer(tmp_path / "first", epochs=1)
    first.run(no_evaluation, no_export)
    second = trainer(tmp_path / "second", epochs=1, seed=2, start=file_sha256(first.checkpoint))
    second.start(first.checkpoint)
    assert second.step == 0
    for found, wanted in (
        (second.model, first.model), (second.average.model, first.average.model),
        (second.lessons, first.lessons),
    ):  # fmt: skip
        kept = wanted.state_dict()
        assert all(torch.equal(value, kept[name]) for name, value in found.state_dict().items())
    second.run(no_evaluation, no_export)
    again = trainer(tmp_path / "second", epochs=1, seed=2, start=second.config.start)
    again.resume()
    assert again.step == second.step


def test_a_start_of_other_sizes_or_another_file_is_refused(tmp_path: Path) -> None:
    first = trainer(tmp_path / "first", epochs=1)
    first.save()
    start = file_sha256(first.checkpoint)
    with pytest.raises(TrainingError, match="text_layers"):
        trainer(tmp_path / "b", text_layers=3, start=start).start(first.checkpoint)
    with pytest.raises(TrainingError, match="not the start"):
        trainer(tmp_path / "c").start(first.checkpoint)
