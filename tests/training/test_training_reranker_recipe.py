# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From lists to a package: the shipped encoder's lists, answers kept on disk, all variants."""

import argparse
import dataclasses

import numpy as np
import pytest
from rerank_toy import QUESTIONS, TOP, toy_encoder, toy_lists
from training_toy import toy_ortho

from geoloc_ros.cli.train import add_parser
from geoloc_ros.cli.train_reranker import _command
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import TrainingError
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.rerank.package import load_reranker
from geoloc_ros.training import reranker_recipe as recipes
from geoloc_ros.training.data import read_shard, write_shard
from geoloc_ros.training.reranker_answers import ModelSource, TruthSource, shared_tiles
from geoloc_ros.training.reranker_lists import joined, town_lists
from geoloc_ros.training.reranker_train import FitConfig

VIEWS, SEED = 6, 1100


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A shard of a town of random colours, with roads' worth of anchors."""
    folder = tmp_path_factory.mktemp("towns") / f"town_{SEED:06d}"
    rng = np.random.default_rng(0)
    anchors = np.column_stack([rng.uniform(-60, 60, (150, 2)), rng.uniform(-3, 3, 150)])
    arrays = {
        "perspective": rng.integers(0, 255, (VIEWS, 96, 192, 3), np.uint8),
        "perspective_poses": anchors[:VIEWS] + 0.1,
        "anchors": anchors,
        "layout": np.zeros((10, 10), np.uint8),
    }
    write_shard(folder, {"seed": SEED, "style": "toy"}, [toy_ortho(0)], arrays)
    return folder


@pytest.fixture(scope="module")
def lists(town):
    return town_lists(town, find_model("perspective"), 4, town.parent / "lists")


def test_lists_hold_the_places_most_like_each_view(town, lists):
    assert len(lists) == VIEWS
    assert lists.places.shape == (VIEWS, 4, 3)
    assert (np.diff(lists.similarity, axis=1) <= 0.0).all()
    found = np.einsum("nd,nkd->nk", lists.query, lists.descriptors)
    assert np.abs(found - lists.similarity).max() < 1e-5
    shard = read_shard(town, "perspective")
    assert (shard.anchors[lists.entries] == lists.places).all()
    away = np.hypot(*(lists.places - lists.poses[:, None])[..., :2].T).T
    assert (away[lists.correct] <= 8.0).all()
    again = town_lists(town, find_model("perspective"), 4, town.parent / "lists")
    assert (again.similarity == lists.similarity).all()


def test_too_small_a_town_is_refused(town, tmp_path):
    with pytest.raises(TrainingError, match="too small"):
        town_lists(town, find_model("perspective"), 160, tmp_path)


def test_places_close_together_share_a_tile(lists):
    poses, where = shared_tiles(lists)
    away = np.hypot(*(poses[where] - lists.places)[..., :2].reshape(-1, 2).T)
    assert away.max() <= 4.0
    assert where.shape == lists.entries.shape


def test_the_truth_is_as_right_as_asked(town, lists):
    exact = TruthSource(QUESTIONS, 1.0, 400.0)
    query, places = exact.describe(town, lists)
    assert query.shape == (VIEWS, QUESTIONS.total_options)
    assert places.shape == (VIEWS, 4, QUESTIONS.total_options)
    rough = TruthSource(QUESTIONS, 0.6, 400.0).describe(town, lists)[1]
    same = [
        (places[..., part].argmax(-1) == rough[..., part].argmax(-1)).mean()
        for part in QUESTIONS.slices.values()
    ]
    assert np.mean(same) == pytest.approx(0.6, abs=0.1)
    assert np.allclose(rough[..., QUESTIONS.slices["region"]].sum(axis=-1), 1.0, atol=1e-5)
    again = TruthSource(QUESTIONS, 0.6, 400.0).describe(town, lists)[1]
    assert (again == rough).all()
    with pytest.raises(TrainingError, match="accuracy"):
        TruthSource(QUESTIONS, 1.2, 400.0)


def test_a_models_answers_are_asked_for_once(town, lists, tmp_path):
    reference = find_model("perspective").reference
    source = ModelSource("rules", "rules", "a" * 64, QUESTIONS, reference, tmp_path)
    query, places = source.describe(town, lists)
    assert places.shape == (VIEWS, 4, QUESTIONS.total_options)
    kept = list(tmp_path.glob("*.npz"))
    assert len(kept) == 1
    broken = ModelSource("no_such", "rules", "a" * 64, QUESTIONS, reference, tmp_path)
    assert (broken.describe(town, lists)[0] == query).all()


def test_variants_are_trained_and_the_best_is_shipped(tmp_path, monkeypatch):
    told = toy_lists()
    split = recipes.Split(told, toy_lists(count=60, seed=5), toy_lists(count=60, seed=6))
    monkeypatch.setattr(recipes, "make_split", lambda recipe: split)
    monkeypatch.setattr(recipes, "TEXTS_FITTED", 200)
    names = ("pairwise", "no_text", "sum_template", "pairwise_shuffled")
    few = tuple(variant for variant in recipes.VARIANTS if variant.name in names)
    monkeypatch.setattr(recipes, "VARIANTS", few)
    recipe = recipes.RerankerRecipe(
        encoder=toy_encoder(),
        questions=QUESTIONS,
        source=TruthSource(QUESTIONS, 0.8, 400.0),
        fit=FitConfig(epochs=2, batch=120, gate_steps=60),
        top=TOP,
        work=tmp_path / "work",
        out=tmp_path / "out",
        threads=1,
    )
    package, table = recipes.train_reranker(recipe, "geoloc train reranker ...")
    assert package.fusion == "pairwise"
    rows = {row.name: row for row in table}
    assert set(rows) == {v.name for v in recipes.VARIANTS} | {"best_shuffled"}
    assert rows["pairwise"].same_gain > 0.3
    assert abs(rows["best_shuffled"].cross_gain) < 0.05
    assert rows["pairwise_shuffled"].cross_gain < 0.05
    loaded = load_reranker(recipe.out)
    assert loaded.vlm == "the made world's truth at 80 % accuracy"
    assert len(loaded.reliability) == len(QUESTIONS.questions)
    text = (recipe.out / "README.md").read_text()
    assert "| best_shuffled |" in text
    assert "geoloc train reranker ..." in text
    for variant in recipes.VARIANTS:
        LanguageReranker(load_reranker(recipe.work / "variants" / variant.name))


def test_lists_of_towns_are_joined(lists):
    both = joined([lists, lists])
    assert len(both) == 2 * VIEWS
    assert len(both.pick(np.array([0, 7]))) == 2
    assert all(len(getattr(both, f.name)) == 2 * VIEWS for f in dataclasses.fields(both))


@pytest.mark.parametrize(
    "wrong",
    [
        ("--truth", "1.5"), ("--truth", "0.5", "--towns", "0"), ("--vlm", "no_such"),
        ("--truth", "0.5", "--leave-out", "atlantis"), ("--truth", "0.5", "--encoder", "none"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line_give_errors_of_this_package(wrong, tmp_path):
    from geoloc_ros.errors import GeolocError

    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["train", "reranker", "--out", str(tmp_path / "out"), *wrong])
    with pytest.raises(GeolocError):
        parsed.run(parsed)


@pytest.mark.parametrize("who", [("--vlm", "vlm-tiny"), ("--truth", "0.5")])
@pytest.mark.parametrize("changed", [(), ("--towns", "4", "--epochs", "2")])
def test_the_card_says_what_was_typed_and_no_default(who, changed):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    words = ["train", "reranker", *who, "--out", "models/reranker", *changed]
    assert _command(parser.parse_args(words)) == " ".join(["geoloc", *words])
