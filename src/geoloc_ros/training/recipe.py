# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From nothing to a model package: render towns, train, validate, export, write the card."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.training.augment import fill_colour
from geoloc_ros.training.card import model_card
from geoloc_ros.training.data import PerspectiveData, Shard, read_shard
from geoloc_ros.training.evaluate import (
    describe,
    evaluate_towns,
    first_hit,
    grid_anchors,
    recall,
)
from geoloc_ros.training.export import export_package
from geoloc_ros.training.nets import MEAN, REFERENCE_SPECS, EncoderPair
from geoloc_ros.training.overhead import (
    HELD_OUT_SITES,
    MaskBank,
    OverheadSource,
    Photo,
    read_photos,
    validation_pairs,
)
from geoloc_ros.training.sources import PerspectiveSource
from geoloc_ros.training.train import Evaluate, Export, Source, TrainConfig, Trainer
from geoloc_ros.training.worlds import (
    TRAIN_SEED,
    WorldConfig,
    render_split,
    split_seeds,
)

LOG = logging.getLogger(__name__)
VERSION = "0.1.0"
LESSONS = {
    "perspective": "batches of neighbours on the ground, later of places that look alike; both "
    "encoders also learn to say from their features what stands where ahead",
    "ground_plane": "batches of overlapping neighbours, made anew for every step",
}
# What `r1 r5 r10` mean in the last validation and between epochs.
PROTOCOLS = {
    ("perspective", True): "within 8 m and 22.5 degrees, all towns searched as one, an anchor per "
    "1.5 m of road and direction scattered as an index does",
    ("perspective", False): "within 8 m and 22.5 degrees, first town, an anchor per 3 m of road "
    "and direction",
    ("ground_plane", True): "within 15 m and 22.5 degrees, first town, a 15 m grid of 16 headings",
    ("ground_plane", False): "within 20 m and 22.5 degrees, among the true places of all drone "
    "views",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One `geoloc train encoder` command.

    Attributes:
        train: the training's own settings.
        world: what is rendered of each town.
        towns: training towns, seeds from `first_seed`.
        validation_towns: validation towns, seeds from 2000.
        first_seed: seed of the first training town.
        overhead_batches: batches per epoch of ground_plane, whose pairs are made anew each time.
        aerial: folder of aerial photos by site, for ground_plane; None for made towns only.
        data: where shards are cached.
        work: where checkpoint and log lie.
        out: model directory.
        workers: processes that render.
        stop_after: interrupt the run after this many epochs; None runs it to the end.
        start: package whose weights the run begins with; None for random ones.
    """

    train: TrainConfig
    world: WorldConfig = dataclasses.field(default_factory=WorldConfig)
    towns: int = 64
    validation_towns: int = 3
    first_seed: int = TRAIN_SEED
    overhead_batches: int = 150
    aerial: Path | None = None
    data: Path = Path("out/train/towns")
    work: Path = Path("out/train/run")
    out: Path = Path("models/perspective")
    workers: int = 2
    stop_after: int | None = None
    start: ModelPackage | None = None

    def seeds(self) -> tuple[range, range]:
        """Training and validation seeds.

        Raises:
            TrainingError: they are negative, overlap or reach the held-out seeds.
        """
        return split_seeds(self.first_seed, self.towns, self.validation_towns)


def render(recipe: Recipe) -> tuple[list[Path], list[Path]]:
    """Render what is missing; returns the shards of training and validation towns."""
    train, validation = recipe.seeds()
    return render_split(train, validation, recipe.world, recipe.data, recipe.workers)


def train_encoder(recipe: Recipe, command: str, resume: bool) -> dict[str, float]:
    """Run a recipe; the package is exported after every epoch, so it can be used early.

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
    train_paths, validation_paths = render(recipe)
    kind = recipe.train.kind
    view = "perspective" if kind == "perspective" else "oblique"
    train = [read_shard(p, view) for p in train_paths]
    validation = [read_shard(p, view) for p in validation_paths]
    photos = read_photos(recipe.aerial) if recipe.aerial and kind == "ground_plane" else []
    source, evaluate = _assemble(recipe, train, validation, photos)
    if not resume:
        (recipe.work / "log.csv").unlink(missing_ok=True)
    trainer = Trainer(recipe.train, source, recipe.work)
    if resume:
        trainer.resume()
    elif recipe.start is not None:
        trainer.start(recipe.start)
    provenance = _provenance(recipe, command, train, validation, photos)
    scores = trainer.run(evaluate, _exporter(recipe, provenance), recipe.stop_after)
    if not scores and trainer.epoch == recipe.train.epochs:
        scores = evaluate(trainer.average.model, True)
        _exporter(recipe, provenance)(trainer.average.model, scores, trainer.epoch)
    return scores


def _assemble(
    recipe: Recipe, train: list[Shard], validation: list[Shard], photos: list[Photo]
) -> tuple[Source, Evaluate]:
    spec = REFERENCE_SPECS[recipe.train.kind]
    if recipe.train.kind == "perspective":
        return (
            PerspectiveSource(PerspectiveData(train, spec)),
            lambda pair, final: validate_perspective(pair, validation, final),
        )
    fill = fill_colour(MEAN)
    held_out = read_photos(recipe.aerial, HELD_OUT_SITES) if recipe.aerial else []
    return (
        OverheadSource(photos, train, spec, fill, recipe.overhead_batches),
        lambda pair, final: validate_overhead(pair, validation, held_out, final),
    )


def validate_perspective(
    pair: EncoderPair, shards: Sequence[Shard], final: bool
) -> dict[str, float]:
    """Recall within 8 m and 22.5 degrees over all validation towns searched as one.

    Args:
        pair: encoders.
        shards: validation towns.
        final: use all towns and all index anchors (one per 1.5 m of road and direction); else
            the first town and every second anchor.
    """
    shards = shards if final else shards[:1]
    anchors = [s.anchors[:: 1 if final else 2] for s in shards]
    spec = REFERENCE_SPECS["perspective"]
    return evaluate_towns(pair, shards, spec, anchors, 8.0, joint=True)


def validate_overhead(
    pair: EncoderPair, shards: Sequence[Shard], held_out: Sequence[Photo], final: bool
) -> dict[str, float]:
    """Recall of drone views and of held-out photo pairs.

    Args:
        pair: encoders.
        shards: validation towns.
        held_out: photos of sites never trained on, may be empty.
        final: search the first town on a grid (15 m, 16 headings) within 15 m and 22.5 degrees;
            else only among the true places of all views, within 20 m.
    """
    spec = REFERENCE_SPECS["ground_plane"]
    if final:
        anchors = [grid_anchors(shards[0].orthos[0], 15.0, 16, 0.5 * spec.extent_m)]
        scores = evaluate_towns(pair, shards[:1], spec, anchors, 15.0, joint=False)
    else:
        scores = evaluate_towns(pair, shards, spec, [s.poses for s in shards], 20.0, joint=True)
    if held_out:
        masks = MaskBank([s.masks for s in shards])
        fill = fill_colour(MEAN)
        query, reference = validation_pairs(held_out, masks, spec, fill, 480, 5)
        a, b = describe(pair.query, query), describe(pair.reference, reference)
        ranks = first_hit(a, b, np.eye(len(a), dtype=bool))
        scores |= {f"photo_{k}": v for k, v in recall(ranks).items()}
    return scores


def _provenance(
    recipe: Recipe, command: str, train: list[Shard], validation: list[Shard], photos: list[Photo]
) -> dict[str, Any]:
    sites = sorted({p.site for p in photos})
    return {
        "command": command,
        "settings": dataclasses.asdict(recipe.train),
        "world": dataclasses.asdict(recipe.world),
        "train_seeds": [s.seed for s in train],
        "validation_seeds": [s.seed for s in validation],
        "train_images": int(sum(len(s.images) for s in train)),
        "aerial_sites": sites,
        "aerial_sites_held_out": list(HELD_OUT_SITES) if sites else [],
        "aerial_source": "OpenDroneMap sample sets, CC0; validation also BSD-2-Clause"
        if sites
        else "",
        "recipe": "symmetric InfoNCE (arXiv 2303.11851), " + LESSONS[recipe.train.kind],
        "start": _ancestor(recipe.start),
    }


def _ancestor(start: ModelPackage | None) -> dict[str, Any]:
    """What the card says about the package a run began with."""
    if start is None:
        return {}
    return {
        "query": start.query.content(),
        "encoder_sha256": start.encoder_sha256,
        "scores": start.scores,
        "training": start.training,
    }


def _exporter(recipe: Recipe, provenance: dict[str, Any]) -> Export:
    def export(pair: EncoderPair, scores: dict[str, float], epoch: int) -> None:
        started = time.monotonic()
        protocol = PROTOCOLS[recipe.train.kind, epoch == recipe.train.epochs]
        training = {**provenance, "epochs_done": epoch, "validation": protocol}
        package = export_package(
            pair, recipe.out, version=VERSION, training=training, scores=scores
        )
        (recipe.out / "README.md").write_text(model_card(package), encoding="utf-8")
        LOG.info("exported epoch %d in %.0f s", epoch, time.monotonic() - started)

    return export
