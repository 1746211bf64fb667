# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From nothing to the package of the vision-language model: render, train, measure, write."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.training.checkpoint import read_checkpoint
from geoloc_ros.training.data import Shard, read_shard
from geoloc_ros.training.vlm_card import DIAGRAM, vlm_card
from geoloc_ros.training.vlm_data import VlmData, find_truths
from geoloc_ros.training.vlm_evaluate import (
    ask_files,
    ask_torch,
    quantization_loss,
    some_rows,
)
from geoloc_ros.training.vlm_export import describe_package, with_figures, write_files
from geoloc_ros.training.vlm_nets import TinyVlm
from geoloc_ros.training.vlm_prompts import Prompts
from geoloc_ros.training.vlm_scores import mean_scores, score_questions, write_reliability
from geoloc_ros.training.vlm_train import VlmTrainConfig, VlmTrainer
from geoloc_ros.training.worlds import TRAIN_SEED, WorldConfig, render_split, split_seeds
from geoloc_ros.vlm.package import VlmPackage, load_vlm
from geoloc_ros.vlm.questions import QuestionSet, load_questions

LOG = logging.getLogger(__name__)
#: pictures of each view: between epochs, in the last measurement, and to compare precisions
QUICK, FULL, PRECISION = 200, 1000, 150
WORDS_KEYS = ("accuracy_ground", "accuracy_satellite")


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmRecipe:
    """One `geoloc train vlm` command.

    Attributes:
        train: the training's own settings.
        world: what is rendered of each town.
        towns: training towns, seeds from `first_seed`.
        validation_towns: validation towns, seeds from 2000.
        first_seed: seed of the first training town.
        data: where shards are cached; the same as those of `geoloc train encoder`.
        work: where checkpoint and log lie.
        out: model directory.
        workers: processes that render.
        stop_after: interrupt the run after this many epochs; None runs it to the end.
        teacher: perspective encoders to learn from besides; None for none.
        start: checkpoint of another run whose weights the run begins with; None for random ones.
    """

    train: VlmTrainConfig
    world: WorldConfig = dataclasses.field(default_factory=WorldConfig)
    towns: int = 64
    validation_towns: int = 4
    first_seed: int = TRAIN_SEED
    data: Path = Path("out/train/towns")
    work: Path = Path("out/train/vlm")
    out: Path = Path("models/vlm-tiny")
    workers: int = 2
    stop_after: int | None = None
    teacher: ModelPackage | None = None
    start: Path | None = None

    def seeds(self) -> tuple[range, range]:
        """Training and validation seeds.

        Raises:
            TrainingError: they are negative, overlap or reach the held-out seeds.
        """
        return split_seeds(self.first_seed, self.towns, self.validation_towns)


def render_vlm(recipe: VlmRecipe) -> tuple[list[Path], list[Path]]:
    """Render what is missing and answer all questions there.

    Returns:
        Shards of training and of validation towns.
    """
    train, validation = recipe.seeds()
    shards = render_split(train, validation, recipe.world, recipe.data, recipe.workers)
    find_truths([*shards[1], *shards[0]], load_questions(), recipe.world.size_m, recipe.workers)
    return shards


def train_vlm(recipe: VlmRecipe, command: str, resume: bool) -> dict[str, float]:
    """Run a recipe; the package is written after every epoch, so it can be used early.

    Args:
        recipe: what to do.
        command: the command line, for the model card.
        resume: continue from the checkpoint in `recipe.work`.

    Returns:
        The last validation figures.

    Raises:
        TrainingError: no data, unusable shards or checkpoint.
    """
    cv2.setNumThreads(1)
    prompts = Prompts(load_questions())
    paths = render_vlm(recipe)
    shards = [[read_shard(path, "perspective") for path in part] for part in paths]
    train, unseen = (
        _join(recipe, found, part, prompts.questions)
        for found, part in zip(shards, paths, strict=True)
    )
    if not resume:
        (recipe.work / "log.csv").unlink(missing_ok=True)
    trainer = VlmTrainer(recipe.train, train, prompts, recipe.work, recipe.teacher)
    if resume:
        trainer.resume()
    elif recipe.start is not None:
        trainer.start(recipe.start)
    writer = _Writer(recipe, prompts, unseen, _provenance(recipe, command, train))
    scores = trainer.run(writer.evaluate, writer.export, recipe.stop_after)
    if not scores and trainer.epoch == recipe.train.epochs:
        scores = writer.evaluate(trainer.average.model, True)
        writer.export(trainer.average.model, scores, trainer.epoch)
    return scores


def measure_vlm(recipe: VlmRecipe) -> dict[str, float]:
    """Measure the package at `recipe.out` again in the validation towns and write its card anew.

    Returns:
        Its figures.

    Raises:
        ModelError: there is no usable package.
        TrainingError: unusable shards.
    """
    cv2.setNumThreads(1)
    package = load_vlm(recipe.out)
    prompts = Prompts(load_questions())
    package.check_questions(prompts.questions)
    paths = render_vlm(dataclasses.replace(recipe, towns=0))[1]
    shards = [read_shard(path, "perspective") for path in paths]
    unseen = _join(recipe, shards, paths, prompts.questions, package.image_size)
    kept = {k: v for k, v in package.scores.items() if isinstance(v, float | int)}
    return _measured(package, prompts, unseen, FULL, recipe.workers, kept)


def _join(
    recipe: VlmRecipe,
    shards: Sequence[Shard],
    paths: Sequence[Path],
    questions: QuestionSet,
    image_px: int | None = None,
) -> VlmData:
    truths = find_truths(paths, questions, recipe.world.size_m, recipe.workers)
    return VlmData(shards, truths, questions, image_px or recipe.train.image_px)


def _measured(
    package: VlmPackage,
    prompts: Prompts,
    unseen: VlmData,
    each: int,
    threads: int,
    figures: dict[str, float],
) -> dict[str, float]:
    """Ask the files of a package, and write model.json, README.md and the diagram."""
    files = package.text_path, package.mmproj_path
    rows = some_rows(unseen, each)
    said, seconds = ask_files(files, prompts, unseen, rows, threads)
    means = mean_scores(score_questions(said, prompts.questions))
    figures = {**figures, **means, "pictures": len(rows), "seconds_per_picture": seconds}
    package = with_figures(package, said, prompts.questions, figures)
    package.save()
    write_reliability(said, package.root / DIAGRAM)
    (package.root / "README.md").write_text(vlm_card(package), encoding="utf-8")
    return figures


def _provenance(recipe: VlmRecipe, command: str, train: VlmData) -> dict[str, Any]:
    seeds, unseen = recipe.seeds()
    return {
        "command": command,
        "settings": dataclasses.asdict(recipe.train),
        "world": dataclasses.asdict(recipe.world),
        "train_seeds": list(seeds),
        "validation_seeds": list(unseen),
        "train_images": train.views,
        "train_crops": train.crops,
        "threads": recipe.train.threads,
        "start": _ancestor(recipe.start),
    }


def _ancestor(start: Path | None) -> dict[str, Any]:
    """What is known of the run that a run began with."""
    if start is None:
        return {}
    state = read_checkpoint(start, "--start")
    steps = {name: state[name] for name in ("step", "pictures")}
    return {"settings": state["config"], **steps}


class _Writer:
    """Measures and writes a model after each epoch."""

    def __init__(
        self, recipe: VlmRecipe, prompts: Prompts, unseen: VlmData, provenance: dict[str, Any]
    ) -> None:
        self._recipe, self._prompts, self._unseen = recipe, prompts, unseen
        self._provenance = provenance

    def evaluate(self, model: TinyVlm, final: bool) -> dict[str, float]:
        """Accuracy and calibration of a model in training, on a few hundred pictures."""
        rows = some_rows(self._unseen, QUICK)
        by_name, in_words = (
            mean_scores(
                score_questions(
                    ask_torch(model, self._prompts, self._unseen, rows, wording),
                    self._prompts.questions,
                )
            )
            for wording in ("name", "words")
        )
        words = {f"words_{key}": in_words[key] for key in WORDS_KEYS}
        return {**by_name, **words}

    def export(self, model: TinyVlm, scores: dict[str, float], epoch: int) -> None:
        """Write the package, measured through llama.cpp."""
        started = time.monotonic()
        recipe, final = self._recipe, epoch == self._recipe.train.epochs
        threads = recipe.train.threads
        loss = quantization_loss(
            model, self._prompts, self._unseen, PRECISION if final else QUICK // 4, threads
        )
        figures = {
            "accuracy_f32": loss.accuracy_f32,
            "accuracy_q8": loss.accuracy_q8,
            "answers_changed": loss.changed,
            "probability_shift": loss.shifted,
            "quantization_pictures": loss.pictures,
            **{key: value for key, value in scores.items() if key.startswith("words_")},
        }
        files = write_files(model, recipe.out, "Q8_0")
        training = {**self._provenance, "epochs_done": epoch}
        package = describe_package(model, files, self._prompts.questions, training)
        each = FULL if final else QUICK
        _measured(package, self._prompts, self._unseen, each, threads, figures)
        LOG.info("wrote %s, epoch %d, in %.0f s", recipe.out, epoch, time.monotonic() - started)
