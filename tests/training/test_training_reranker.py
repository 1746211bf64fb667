# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rerankers and their gates learn from lists; shuffled answers gain nothing."""

import dataclasses

import numpy as np
import pytest
import torch  # noqa: TID253
from rerank_toy import DIM, QUESTIONS, toy_lists

from geoloc_ros.errors import TrainingError
from geoloc_ros.rerank.text import fit_embedder, sentences
from geoloc_ros.training.reranker_export import export_judge
from geoloc_ros.training.reranker_nets import Judge, NetSpec, Scorer, blocks_of, ranking_loss
from geoloc_ros.training.reranker_recipe import RerankerRecipe, in_words
from geoloc_ros.training.reranker_score import choose_threshold, fit_temperature, scored
from geoloc_ros.training.reranker_train import Fit, FitConfig, first_right, judged

QUICK = FitConfig(epochs=4, batch=64, gate_steps=150)
HELD_OUT = {"count": 200, "seed": 9}


def spec(fusion, blocks=None):
    return NetSpec(
        fusion=fusion, descriptor_dim=DIM, blocks=blocks or blocks_of(QUESTIONS), width=16
    )


def fitted(fusion, folder, told, config=QUICK, resume=False, blocks=None):
    fit = Fit(spec(fusion, blocks), config, told, folder / f"{fusion}.pt")
    return fit.run(lambda judge: float(first_right(judged(judge, told)[0], told.lists).mean()),
                   resume)  # fmt: skip


def gain(judge, told):
    threshold = choose_threshold(judge, [told])
    row = scored("row", judge, threshold, told, told)
    return row.same_gain


@pytest.mark.parametrize("fusion", ["sum", "concat", "pairwise", "no_text"])
def test_an_untrained_net_keeps_the_encoders_order(fusion):
    told = toy_lists()
    score, _ = judged(Judge(Scorer(spec(fusion))), told)
    assert (np.argsort(-score, axis=1, kind="stable") == np.arange(score.shape[1])).all()


def test_pairwise_comparison_finds_what_was_said(tmp_path):
    judge = fitted("pairwise", tmp_path, toy_lists())
    told = toy_lists(**HELD_OUT)
    assert gain(judge, told) > 0.5
    assert gain(judge, told.shuffled(3)) < 0.02


def test_without_text_nothing_is_gained_from_answers(tmp_path):
    judge = fitted("no_text", tmp_path, toy_lists())
    told = toy_lists(**HELD_OUT)
    assert (judged(judge, told)[0] == judged(judge, told.shuffled(3))[0]).all()


def test_the_gate_tells_answers_that_are_worth_it(tmp_path):
    judge = fitted("pairwise", tmp_path, toy_lists())
    told = toy_lists(**HELD_OUT)
    good, bad = judged(judge, told)[1], judged(judge, told.shuffled(3))[1]
    assert np.median(good) > 0.6 > 0.4 > np.median(bad)


def test_training_resumed_is_the_same_training(tmp_path):
    whole = fitted("sum", tmp_path, toy_lists())
    broken = tmp_path / "broken"
    broken.mkdir()
    fit = Fit(spec("sum"), QUICK, toy_lists(), broken / "sum.pt")
    calls = []

    def stop(judge):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return float(first_right(judged(judge, toy_lists())[0], toy_lists().lists).mean())

    with pytest.raises(KeyboardInterrupt):
        fit.run(stop, False)
    again = fitted("sum", broken, toy_lists(), resume=True)
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    fitted("sum", tmp_path, toy_lists())
    other = dataclasses.replace(QUICK, seed=2)
    with pytest.raises(TrainingError, match="other settings"):
        fitted("sum", tmp_path, toy_lists(), other, resume=True)
    (tmp_path / "sum.pt").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot go on"):
        fitted("sum", tmp_path, toy_lists(), resume=True)


def test_lists_without_a_right_place_are_refused(tmp_path):
    told = toy_lists()
    none = dataclasses.replace(told.lists, correct=np.zeros_like(told.lists.correct))
    with pytest.raises(TrainingError, match="right and wrong"):
        Fit(spec("sum"), QUICK, dataclasses.replace(told, lists=none), tmp_path / "x.pt")


def test_the_loss_is_the_margin_that_is_missing():
    score = torch.tensor([[2.0, 0.5, 1.8]])
    right = torch.tensor([[True, False, False]])
    assert float(ranking_loss(score, right)) == pytest.approx((0.0 + 0.8) / 2)


def test_words_are_as_good_as_the_answers_they_are_made_of(tmp_path):
    told = toy_lists()
    embedder = fit_embedder([sentences(row, QUESTIONS) for row in told.query], 32)
    worded = in_words(told, QUESTIONS, embedder)
    assert worded.texts.shape == (*told.texts.shape[:2], embedder.dim)
    near = np.einsum("ne,nke->nk", worded.query, worded.texts)
    assert (np.argmax(near, axis=1) == np.argmax(told.lists.correct, axis=1)).mean() > 0.6
    fitted("sum", tmp_path, worded, blocks=(embedder.dim,))


@pytest.mark.parametrize("fusion", ["sum", "concat", "pairwise", "no_text"])
def test_onnx_agrees_with_torch_for_any_number_of_candidates(tmp_path, fusion):
    assert export_judge(Judge(Scorer(spec(fusion))), tmp_path / "x.onnx") < 1e-4


def test_temperature_is_that_of_the_chance():
    told = toy_lists()
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 6))
    chance = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum(axis=1, keepdims=True)
    right = np.array([rng.multinomial(1, row / row.sum()) for row in chance]).astype(bool)
    lists = dataclasses.replace(told.lists, correct=right)
    assert fit_temperature(scores.astype(np.float32), lists) == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"left_out": ("atlantis",)}, "atlantis"),
        ({"first_seed": 1990, "towns": 20}, "validation seeds"),
        ({"first_seed": 899_999}, "900000"),
    ],
)
def test_seeds_and_styles_that_make_no_sense_are_refused(changes, words):
    recipe = RerankerRecipe(encoder=None, questions=QUESTIONS, source=None, **changes)
    with pytest.raises(TrainingError, match=words):
        recipe.seeds()


def test_training_towns_have_no_style_that_is_left_out():
    from geoloc_ros.synthetic.styles import STYLES

    recipe = RerankerRecipe(encoder=None, questions=QUESTIONS, source=None)
    train, validation = recipe.seeds()
    styles = {list(STYLES)[seed % len(STYLES)] for seed in train}
    assert not styles & set(recipe.left_out)
    assert len(train) == recipe.towns
    assert len(validation) == recipe.validation_towns
