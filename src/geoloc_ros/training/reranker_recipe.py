# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From rendered towns to a reranker's package: lists, answers, all variants, the best exported."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.rerank.package import RerankerPackage
from geoloc_ros.rerank.text import TextEmbedder, fit_embedder, sentences
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.training.reranker_answers import AnswerSource
from geoloc_ros.training.reranker_export import Provenance, export_variant
from geoloc_ros.training.reranker_lists import joined, town_lists
from geoloc_ros.training.reranker_nets import Judge, NetSpec, blocks_of
from geoloc_ros.training.reranker_score import Scores, choose_threshold, scored
from geoloc_ros.training.reranker_train import Fit, FitConfig, Told, first_right, judged
from geoloc_ros.training.worlds import HELD_OUT_SEED, VALIDATION_SEED, WorldConfig, render_towns
from geoloc_ros.vlm.questions import QuestionSet

LOG = logging.getLogger(__name__)
FIRST_SEED = 1100
LEFT_OUT = ("uk_terrace", "es_coast", "jp_dense")
#: what is left of a training town's views to learn from; the others validate
LEARN_SHARE = 0.75
TEXT_DIM = 64
TEXTS_FITTED = 2000


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the ablation table.

    Attributes:
        name: of the row.
        fusion: see `reranker_nets`.
        text: `answers` or `template`.
        shuffled: learn and be tested with the answers to other views.
    """

    name: str
    fusion: str
    text: str = "answers"
    shuffled: bool = False


VARIANTS = (
    Variant("sum", "sum"),
    Variant("concat", "concat"),
    Variant("pairwise", "pairwise"),
    Variant("no_text", "no_text"),
    Variant("sum_template", "sum", "template"),
    Variant("concat_template", "concat", "template"),
    Variant("pairwise_template", "pairwise", "template"),
    Variant("pairwise_shuffled", "pairwise", shuffled=True),
    Variant("sum_shuffled", "sum", shuffled=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerRecipe:
    """One `geoloc train reranker` command.

    Attributes:
        encoder: retrieves the candidates.
        questions: what is asked.
        source: who answers.
        fit: settings of each training.
        world: what is rendered of each town.
        towns: training towns: the first seeds from `first_seed` whose style is not left out.
        first_seed: of the training towns; the encoder should not have learnt from these.
        validation_towns: towns never trained on, seeds from 2000, of all styles.
        left_out: styles that no training town has.
        top: candidates per list.
        data: where towns are rendered.
        work: where lists, answers, checkpoints and all variants are kept.
        out: model directory.
        workers: processes that render.
        threads: of encoder and training.
    """

    encoder: ModelPackage
    questions: QuestionSet
    source: AnswerSource
    fit: FitConfig = field(default_factory=FitConfig)
    world: WorldConfig = field(
        default_factory=lambda: WorldConfig(seasons=1, views=200, drone_views=1)
    )
    towns: int = 36
    first_seed: int = FIRST_SEED
    validation_towns: int = 6
    left_out: tuple[str, ...] = LEFT_OUT
    top: int = 10
    data: Path = Path("out/train/reranker/towns")
    work: Path = Path("out/train/reranker/run")
    out: Path = Path("models/reranker")
    workers: int = 2
    threads: int = 2

    def seeds(self) -> tuple[list[int], list[int]]:
        """Training and validation seeds.

        Raises:
            TrainingError: a style is unknown, all are left out, or seeds overlap.
        """
        styles = list(STYLES)
        unknown = sorted(set(self.left_out) - set(styles))
        if unknown or set(self.left_out) >= set(styles):
            raise TrainingError(
                f"styles left out: {', '.join(unknown or self.left_out)}; choose some, not all, "
                f"of {', '.join(styles)}"
            )
        train: list[int] = []
        seed = self.first_seed
        while len(train) < self.towns:
            if styles[seed % len(styles)] not in self.left_out:
                train.append(seed)
            seed += 1
        validation = list(range(VALIDATION_SEED, VALIDATION_SEED + self.validation_towns))
        if train[0] < 0 or train[-1] >= HELD_OUT_SEED or set(train) & set(validation):
            raise TrainingError(
                f"training seeds {train[0]}..{train[-1]} must be 0 or more, must not touch "
                f"validation seeds {validation[0]}..{validation[-1]} nor reach {HELD_OUT_SEED}"
            )
        return train, validation


@dataclass(frozen=True)
class Split:
    """Lists to learn from, of held-out views of the same towns, and of other towns."""

    train: Told
    same: Told
    cross: Told

    def each(self, change: Callable[[Told], Told]) -> Split:
        """The split with every part changed."""
        return Split(change(self.train), change(self.same), change(self.cross))


def told_lists(recipe: RerankerRecipe, seeds: Sequence[int]) -> Told:
    """Lists of towns, rendered where missing, with what the source says of them."""
    folders = render_towns(seeds, recipe.world, recipe.data, recipe.workers)
    parts = []
    for folder in folders:
        cache = recipe.work / "lists"
        lists = town_lists(folder, recipe.encoder, recipe.top, cache, recipe.threads)
        query, texts = recipe.source.describe(folder, lists)
        parts.append(Told(lists, query, texts))
        LOG.info(
            "%s: %d lists, first right in %.3f, any in %.3f", folder.name, len(lists),
            lists.correct[:, 0].mean(), lists.correct.any(axis=1).mean(),
        )  # fmt: skip
    return Told(
        joined([part.lists for part in parts]),
        np.concatenate([part.query for part in parts]),
        np.concatenate([part.texts for part in parts]),
    )


def make_split(recipe: RerankerRecipe) -> Split:
    """All lists, split: the last views of each training town validate."""
    train_seeds, validation_seeds = recipe.seeds()
    everything = told_lists(recipe, train_seeds)
    learn = everything.lists.rows < LEARN_SHARE * recipe.world.views
    return Split(
        everything.pick(np.flatnonzero(learn)),
        everything.pick(np.flatnonzero(~learn)),
        told_lists(recipe, validation_seeds),
    )


def train_reranker(
    recipe: RerankerRecipe, command: str, resume: bool = False
) -> tuple[RerankerPackage, list[Scores]]:
    """Run a recipe.

    Args:
        recipe: what to do.
        command: the command line, for the model card.
        resume: go on from the checkpoints in `recipe.work`.

    Returns:
        The exported package, and the ablation table.

    Raises:
        TrainingError: nothing to learn from, or a checkpoint of other settings.
    """
    torch.set_num_threads(recipe.threads)
    split = make_split(recipe)
    embedder = _embedder(recipe, split.train)
    made: dict[Variant, tuple[Judge, float, Split]] = {}
    table: list[Scores] = []
    for variant in VARIANTS:
        part = _view(recipe, variant, split, embedder)
        judge = _fit(recipe, variant, part, embedder, resume)
        threshold = choose_threshold(judge, [part.same, part.cross])
        made[variant] = judge, threshold, part
        table.append(scored(variant.name, judge, threshold, part.same, part.cross))
        LOG.info("%s", table[-1])
    chosen = _best(table)
    judge, threshold, part = made[chosen]
    shuffled = part.each(lambda told: told.shuffled(recipe.fit.seed))
    table.append(scored("best_shuffled", judge, threshold, shuffled.same, shuffled.cross))
    provenance = _provenance(recipe, command, split, table)

    def export(variant: Variant, out: Path) -> RerankerPackage:
        judge, threshold, part = made[variant]
        seen = [part.same, part.cross]
        kind = variant.fusion, variant.text
        return export_variant(judge, *kind, embedder, threshold, seen, provenance, out)

    for variant in VARIANTS:
        export(variant, recipe.work / "variants" / variant.name)
    return export(chosen, recipe.out), table


def _best(table: Sequence[Scores]) -> Variant:
    """The variant to ship: the best on validation of those that use true answers."""
    rows = dict(zip(VARIANTS, table, strict=True))
    able = [v for v in VARIANTS if not v.shuffled and v.fusion != "no_text"]
    return max(able, key=lambda v: rows[v].same_gated + rows[v].cross_gated)


def _fit(
    recipe: RerankerRecipe, variant: Variant, part: Split, embedder: TextEmbedder, resume: bool
) -> Judge:
    blocks = blocks_of(recipe.questions) if variant.text == "answers" else (embedder.dim,)
    spec = NetSpec(
        fusion=variant.fusion, descriptor_dim=recipe.encoder.descriptor_dim, blocks=blocks
    )
    recipe.work.mkdir(parents=True, exist_ok=True)
    fit = Fit(spec, recipe.fit, part.train, recipe.work / f"{variant.name}.pt")

    def share(judge: Judge) -> float:
        found = [
            float(first_right(judged(judge, told)[0], told.lists).mean())
            for told in (part.same, part.cross)
        ]
        return float(np.mean(found))

    return fit.run(share, resume)


def _view(recipe: RerankerRecipe, variant: Variant, split: Split, embedder: TextEmbedder) -> Split:
    """The split as a variant sees it."""
    if variant.text == "template":
        split = split.each(lambda told: in_words(told, recipe.questions, embedder))
    if variant.shuffled:
        split = split.each(lambda told: told.shuffled(recipe.fit.seed))
    return split


def in_words(told: Told, questions: QuestionSet, embedder: TextEmbedder) -> Told:
    """The same lists with embedded sentences in place of probabilities."""

    def embed(answers: Float32Array) -> Float32Array:
        flat = answers.reshape(-1, answers.shape[-1])
        said, where = np.unique([sentences(row, questions) for row in flat], return_inverse=True)
        found = embedder([str(text) for text in said])[where.reshape(-1)]
        return np.asarray(found.reshape(*answers.shape[:-1], -1), dtype=np.float32)

    return Told(told.lists, embed(told.query), embed(told.texts))


def _embedder(recipe: RerankerRecipe, train: Told) -> TextEmbedder:
    flat = np.concatenate([train.query, train.texts.reshape(-1, train.texts.shape[-1])])
    rng = np.random.default_rng([recipe.fit.seed, 7])
    chosen = rng.permutation(len(flat))[:TEXTS_FITTED]
    return fit_embedder([sentences(row, recipe.questions) for row in flat[chosen]], TEXT_DIM)


def _provenance(
    recipe: RerankerRecipe, command: str, split: Split, table: list[Scores]
) -> Provenance:
    train, validation = recipe.seeds()
    seen = sorted(set(train) & set(recipe.encoder.training.get("train_seeds", [])))
    training: dict[str, Any] = {
        "command": command,
        "settings": dataclasses.asdict(recipe.fit),
        "world": dataclasses.asdict(recipe.world),
        "train_seeds": train,
        "validation_seeds": validation,
        "left_out_styles": list(recipe.left_out),
        "lists": {"train": len(split.train), "same": len(split.same), "cross": len(split.cross)},
        "encoder": f"{recipe.encoder.name} {recipe.encoder.version}",
        "towns_the_encoder_learnt_from": seen,
    }
    return Provenance(
        encoder=recipe.encoder,
        questions=recipe.questions,
        vlm=recipe.source.name,
        vlm_sha256=recipe.source.sha256,
        top=recipe.top,
        training=training,
        table=tuple(table),
    )
