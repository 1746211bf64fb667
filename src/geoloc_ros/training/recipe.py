# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From material to a model package: prepare it, train, validate, export, write the card.

The material is made towns (`town_material`), one's own drives (`drive_material`) or a published
data set (`dataset_material`); all the rest is the same.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.training.card import model_card
from geoloc_ros.training.config import Running, TrainConfig
from geoloc_ros.training.crew import Crew, alone
from geoloc_ros.training.export import export_package
from geoloc_ros.training.pair import EncoderPair
from geoloc_ros.training.teacher import PackageTeacher
from geoloc_ros.training.train import Evaluate, Export, Row, Source, Trainer

LOG = logging.getLogger(__name__)
VERSION = "0.1.0"


@dataclass(frozen=True)
class Lessons:
    """What a training learns from, and how it is judged.

    Attributes:
        source: of the batches.
        evaluate: validation.
        protocol: what its figures mean, between epochs and in the end.
        provenance: about the data, for the model card.
    """

    source: Source
    evaluate: Evaluate
    protocol: tuple[str, str]
    provenance: dict[str, Any] = field(default_factory=dict)


class Material(Protocol):
    """What a training is made from."""

    def card(self) -> ModelPackage:
        """What the encoders look at, as the card of a package without files."""
        ...

    def prepare(self) -> str:
        """Render, mine or check what is missing; one process does. Answers what there is."""
        ...

    def samples(self) -> int:
        """How many pairs there are to train on; after `prepare`."""
        ...

    def identity(self) -> str:
        """A digest of the pairs and of what is held out; a run is gone on with on no other."""
        ...

    def load(self, train: TrainConfig) -> Lessons:
        """Read what was prepared."""
        ...

    def finish(self, package: ModelPackage) -> ModelPackage:
        """Add to the exported package what the material knows about it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One `geoloc train encoder` command.

    Attributes:
        train: what decides the outcome.
        running: how it is run.
        material: what it is made from.
        out: model directory.
        name: of the package.
        start: package whose weights the run begins with; None for random ones.
        teacher: package that teaches; None for none.
    """

    train: TrainConfig
    running: Running
    material: Material
    out: Path
    name: str
    start: ModelPackage | None = None
    teacher: ModelPackage | None = None


def train_encoder(
    recipe: Recipe, command: str, resume: bool, crew: Crew | None = None
) -> dict[str, float]:
    """Run a recipe; the package is exported as it gets better, so it can be used early.

    Args:
        recipe: what to do; its material has been prepared.
        command: the command line, for the model card.
        resume: continue from the checkpoint in the work folder.
        crew: this process among those that train together.

    Returns:
        The validation figures of the weights that are kept; empty in all processes but the first.

    Raises:
        TrainingError: no data, or it or the checkpoint is unusable.
    """
    crew = crew or alone()
    cv2.setNumThreads(1)
    lessons = recipe.material.load(recipe.train)
    teacher = PackageTeacher(recipe.teacher, recipe.running.threads) if recipe.teacher else None
    card = recipe.material.card()
    config = dataclasses.replace(recipe.train, material=recipe.material.identity())
    trainer = Trainer(config, lessons.source, recipe.running, crew, card, teacher)
    if resume:
        trainer.resume()
    elif recipe.start is not None:
        trainer.start(recipe.start)
    export = _exporter(recipe, command, lessons)
    scores = trainer.run(lessons.evaluate, export)
    kept = trainer.kept()
    if kept is None:
        return scores
    if not (recipe.out / "model.json").exists():  # a finished run, exported elsewhere
        export(trainer.kept_model(), kept)
    if kept["epoch"] == 0:
        LOG.warning(
            "no epoch was better on the held-out part than what the training began with; %s holds "
            "that: take more drives, or a smaller --learning-rate",
            recipe.out,
        )
    return scores


def _exporter(recipe: Recipe, command: str, lessons: Lessons) -> Export:
    provenance = {
        "command": command,
        "settings": dataclasses.asdict(recipe.train),
        **lessons.provenance,
        "start": _ancestor(recipe.start),
        "teacher": _ancestor(recipe.teacher),
    }

    def export(pair: EncoderPair, row: Row) -> None:
        started, epoch = time.monotonic(), row["epoch"]
        training = {
            **provenance,
            "epochs_done": epoch,
            "share": row["share"],
            "validation": lessons.protocol[recipe.train.judged_fully(epoch)],
        }
        package = export_package(
            pair, recipe.out, name=recipe.name, version=VERSION, training=training,
            scores=row["scores"],
        )  # fmt: skip
        package = recipe.material.finish(package)
        package.save()
        (recipe.out / "README.md").write_text(model_card(package), encoding="utf-8")
        LOG.info("exported epoch %d in %.0f s", epoch, time.monotonic() - started)

    return export


def _ancestor(package: ModelPackage | None) -> dict[str, Any]:
    """What the card says about another package that had a part in a training."""
    if package is None:
        return {}
    return {
        "name": package.name,
        "query": package.query.content(),
        "encoder_sha256": package.encoder_sha256,
        "scores": package.scores,
        "training": package.training,
    }
