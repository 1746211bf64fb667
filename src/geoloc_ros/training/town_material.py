# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made towns to train on, with validation in towns never trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.digest import digest
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.training.augment import fill_colour
from geoloc_ros.training.config import TrainConfig
from geoloc_ros.training.data import Shard, TownGround, read_shard
from geoloc_ros.training.evaluate import (
    describe_references,
    describe_views,
    evaluate_areas,
    first_hit,
    grid_anchors,
    recall,
)
from geoloc_ros.training.nets import MEAN, REFERENCE_SPECS
from geoloc_ros.training.overhead import (
    HELD_OUT_SITES,
    MaskBank,
    OverheadSource,
    Photo,
    read_photos,
    validation_pairs,
)
from geoloc_ros.training.pair import EncoderPair, card_of
from geoloc_ros.training.posed_pairs import Area, PosedPairs
from geoloc_ros.training.recipe import Lessons
from geoloc_ros.training.sources import MinedSource
from geoloc_ros.training.train import Evaluate, Source
from geoloc_ros.training.worlds import TRAIN_SEED, WorldConfig, render_split, split_seeds

LESSONS = {
    "perspective": "batches of neighbours on the ground, later of places that look alike; both "
    "encoders also learn to say from their features what stands where ahead",
    "ground_plane": "batches of overlapping neighbours, made anew for every step",
}
# What `r1 r5 r10` mean between epochs and in the last validation.
PROTOCOLS = {
    "perspective": (
        "within 8 m and 22.5 degrees, first town, an anchor per 3 m of road and direction",
        "within 8 m and 22.5 degrees, all towns searched as one, an anchor per 1.5 m of road and "
        "direction scattered as an index does",
    ),
    "ground_plane": (
        "within 20 m and 22.5 degrees, among the true places of all drone views",
        "within 15 m and 22.5 degrees, first town, a 15 m grid of 16 headings",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TownMaterial:
    """Made towns.

    Attributes:
        kind: perspective or ground_plane.
        world: what is rendered of each town.
        towns: training towns, seeds from `first_seed`.
        validation_towns: validation towns, seeds from 2000.
        first_seed: seed of the first training town.
        overhead_batches: batches per epoch of ground_plane, whose pairs are made anew each time.
        aerial: folder of aerial photos by site, for ground_plane; None for made towns only.
        data: where shards are cached.
        workers: processes that render.
    """

    kind: str
    world: WorldConfig = dataclasses.field(default_factory=WorldConfig)
    towns: int = 64
    validation_towns: int = 3
    first_seed: int = TRAIN_SEED
    overhead_batches: int = 150
    aerial: Path | None = None
    data: Path = Path("out/train/towns")
    workers: int = 2

    def seeds(self) -> tuple[range, range]:
        """Training and validation seeds.

        Raises:
            TrainingError: they are negative, overlap or reach the held-out seeds.
        """
        return split_seeds(self.first_seed, self.towns, self.validation_towns)

    def card(self) -> ModelPackage:
        """What the encoders look at."""
        return card_of(self.kind)

    def prepare(self) -> str:
        """Render what is missing."""
        train, validation = self._shards()
        return f"{len(train)} training and {len(validation)} validation towns in {self.data}"

    def samples(self) -> int:
        """How many views or pairs an epoch has, at most."""
        if self.kind == "ground_plane":
            return 1_000_000
        return self.towns * self.world.views

    def identity(self) -> str:
        """A digest of the towns and photos."""
        photos = sorted(p.name for p in self.aerial.rglob("*")) if self.aerial else []
        seeds = [list(part) for part in self.seeds()]
        return digest([dataclasses.asdict(self.world), seeds, self.overhead_batches, photos])

    def _shards(self) -> tuple[list[Path], list[Path]]:
        train, validation = self.seeds()
        return render_split(train, validation, self.world, self.data, self.workers)

    def load(self, train: TrainConfig) -> Lessons:
        """Read the towns' shards."""
        view = "perspective" if self.kind == "perspective" else "oblique"
        shards, unseen = ([read_shard(p, view) for p in paths] for paths in self._shards())
        photos = read_photos(self.aerial) if self.aerial and self.kind == "ground_plane" else []
        source, evaluate = self._assemble(shards, unseen, photos)
        provenance = self._provenance(shards, unseen, photos)
        return Lessons(source, evaluate, PROTOCOLS[self.kind], provenance)

    def finish(self, package: ModelPackage) -> ModelPackage:
        """Nothing to add: `geoloc calibrate` fits what a similarity is worth."""
        return package

    def _assemble(
        self, shards: list[Shard], unseen: list[Shard], photos: list[Photo]
    ) -> tuple[Source, Evaluate]:
        if self.kind == "perspective":
            pairs = PosedPairs([area_of(s, self.kind) for s in shards], self.card())
            source = MinedSource(pairs, self.card().descriptor_dim)
            return source, lambda p, final: validate_perspective(p, unseen, final)
        held_out = read_photos(self.aerial, HELD_OUT_SITES) if self.aerial else []
        return (
            OverheadSource(
                photos, shards, self.card().reference, fill_colour(MEAN), self.overhead_batches
            ),
            lambda p, final: validate_overhead(p, unseen, held_out, final),
        )

    def _provenance(
        self, shards: list[Shard], unseen: list[Shard], photos: list[Photo]
    ) -> dict[str, Any]:
        sites = sorted({p.site for p in photos})
        return {
            "world": dataclasses.asdict(self.world),
            "train_seeds": [s.seed for s in shards],
            "validation_seeds": [s.seed for s in unseen],
            "train_images": int(sum(len(s.images) for s in shards)),
            "aerial_sites": sites,
            "aerial_sites_held_out": list(HELD_OUT_SITES) if sites else [],
            "aerial_source": "OpenDroneMap sample sets, CC0; validation also BSD-2-Clause"
            if sites
            else "",
            "recipe": "symmetric InfoNCE (arXiv 2303.11851), " + LESSONS[self.kind],
        }


def area_of(shard: Shard, kind: str) -> Area:
    """A shard read with the views of a kind, as pairs of views and crops see it."""
    ground = TownGround(shard.orthos, REFERENCE_SPECS[kind])
    masks = shard.masks if kind == "ground_plane" else None
    return Area(shard.images, shard.poses, ground, shard.layout, masks)


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
    areas = [area_of(s, "perspective") for s in shards]
    return evaluate_areas(pair, areas, anchors, 8.0, joint=True)


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
    spec, areas = REFERENCE_SPECS["ground_plane"], [area_of(s, "ground_plane") for s in shards]
    if final:
        anchors = [grid_anchors(shards[0].orthos[0], 15.0, 16, 0.5 * spec.extent_m)]
        scores = evaluate_areas(pair, areas[:1], anchors, 15.0, joint=False)
    else:
        scores = evaluate_areas(pair, areas, [s.poses for s in shards], 20.0, joint=True)
    if held_out:
        masks = MaskBank([s.masks for s in shards])
        fill = fill_colour(MEAN)
        query, reference = validation_pairs(held_out, masks, spec, fill, 480, 5)
        a, b = describe_views(pair, query), describe_references(pair, reference)
        ranks = first_hit(a, b, np.eye(len(a), dtype=bool))
        scores |= {f"photo_{k}": v for k, v in recall(ranks).items()}
    return scores
