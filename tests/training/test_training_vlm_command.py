# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import argparse
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from training_toy import toy_shard
from vlm_toy import QUESTIONS, toy_config, toy_truth

from geoloc_ros.cli import train
from geoloc_ros.errors import TrainingError
from geoloc_ros.training import vlm_recipe
from geoloc_ros.training.data import write_shard
from geoloc_ros.training.vlm_data import truth_path, write_truth
from geoloc_ros.vlm.package import load_vlm


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["train", "vlm", *arguments])
    return int(parsed.run(parsed))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vlm_recipe.VlmRecipe:
    monkeypatch.setattr(vlm_recipe, "QUICK", 4)
    monkeypatch.setattr(vlm_recipe, "FULL", 6)
    monkeypatch.setattr(vlm_recipe, "PRECISION", 4)
    (tmp_path / "towns").mkdir()
    for seed in (1000, 2000):
        shard = toy_shard(seed, 16)
        arrays = {
            "perspective": shard.images, "perspective_poses": shard.poses,
            "anchors": shard.anchors, "layout": shard.layout,
        }  # fmt: skip
        meta = {"seed": seed, "style": "uk_terrace"}
        folder = tmp_path / "towns" / f"town_{seed:06d}"
        write_shard(folder, meta, shard.orthos, arrays)
        write_truth(truth_path(folder, QUESTIONS), toy_truth(shard))
    return vlm_recipe.VlmRecipe(
        train=toy_config(), towns=1, validation_towns=1, data=tmp_path / "towns",
        work=tmp_path / "run", out=tmp_path / "model", workers=1,
    )  # fmt: skip


def test_the_whole_recipe_makes_a_package_that_can_be_measured_again(
    recipe: vlm_recipe.VlmRecipe,
) -> None:
    scores = vlm_recipe.train_vlm(recipe, "geoloc train vlm --out models/vlm-tiny", resume=False)
    assert 0.0 <= scores["accuracy_ground"] <= 1.0
    package = load_vlm(recipe.out)
    package.check_questions(QUESTIONS)
    assert package.training["train_seeds"] == [1000]
    assert set(package.reliability["ground"]) == {q.id for q in QUESTIONS.questions}
    assert "slope" not in package.temperature["satellite"]
    assert package.scores["quantization_pictures"] == 8
    card = (recipe.out / "README.md").read_text()
    assert card.startswith("# geoloc-vlm-tiny")
    assert "| slope |" in card
    assert (recipe.out / "reliability.png").exists()
    figures = vlm_recipe.measure_vlm(recipe)
    assert figures["accuracy_ground"] == pytest.approx(package.scores["accuracy_ground"], abs=1e-4)
    assert figures["accuracy_f32"] == package.scores["accuracy_f32"]
    first = json.loads((recipe.out / "model.json").read_text())
    assert np.isfinite(first["scores"]["ece_fitted"])
    assert vlm_recipe.train_vlm(recipe, "", resume=True).keys() == scores.keys()


def test_held_out_towns_and_senseless_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="900000"):
        run("--out", str(tmp_path), "--first-seed", "900000", "--render-only")
    with pytest.raises(TrainingError, match="--batch is 0"):
        run("--out", str(tmp_path), "--batch", "0")
