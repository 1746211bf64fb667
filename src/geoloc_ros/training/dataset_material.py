# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A published data set to train on, with validation on places held out of its training split."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.digest import digest
from geoloc_ros.encoders.package import Calibration, ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.config import TrainConfig
from geoloc_ros.training.datasets.base import Split
from geoloc_ros.training.datasets.preparation import Preparation
from geoloc_ros.training.datasets.registry import Opened, find_dataset, open_split
from geoloc_ros.training.evaluate import describe_references, describe_views, ranks_of, recall
from geoloc_ros.training.importing.sample4geo import RECIPES
from geoloc_ros.training.pair import CONVNEXTS, EncoderPair, card_from, card_of
from geoloc_ros.training.picture_pairs import PicturePairs, positions_m
from geoloc_ros.training.place_split import (
    HELD_OUT,
    TRAIN,
    SplitConfig,
    buffer_needed_m,
    split_by_place,
)
from geoloc_ros.training.recipe import Lessons
from geoloc_ros.training.sources import MinedSource
from geoloc_ros.training.teacher import look_of

IntArray = npt.NDArray[np.int64]
# Of the training split, for early stopping; the data set's own test split is left alone.
SPLIT = SplitConfig(block_m=500.0, share=0.05, buffer_m=100.0)
_MOST_PAIRS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetMaterial:
    """A split of a data set.

    Attributes:
        kind: of the encoders, one of `pair.KINDS`.
        dataset: name of the data set.
        root: its folder.
        split: to train on; empty: the first whose name says train.
        hold_out: how much of it is held out.
        start: package that the training begins with; its card is kept.
        teacher: package that teaches; pictures are made for its size where it is larger.
    """

    kind: str
    dataset: str
    root: Path
    split: str = ""
    hold_out: SplitConfig = SPLIT
    start: ModelPackage | None = None
    teacher: ModelPackage | None = None
    _opened: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Opened:
        """The split, checked.

        Raises:
            DatasetError: everything that is missing or wrong in the folder.
            TrainingError: the data set has no training split.
        """
        if "split" not in self._opened:
            self._opened["split"] = open_split(self.dataset, self.root, self._split_name())
        opened: Opened = self._opened["split"]
        return opened

    def _split_name(self) -> str:
        names = find_dataset(self.dataset).splits
        chosen = self.split or next((name for name in names if "train" in name), "")
        if not chosen:
            raise TrainingError(
                f"{self.dataset} has no split to train on, only {', '.join(names)}; name one "
                "with --split, or another data set"
            )
        return chosen

    def card(self) -> ModelPackage:
        """What the encoders look at."""
        if self.start is not None:
            return card_from(self.start)
        return dataset_card(self.kind, self.opened().split)

    def prepare(self) -> str:
        """Check the folder; answers what there is."""
        opened, parts = self.opened(), self.parts()
        Preparation(self.card(), opened.split)  # refuses what the encoders cannot be given
        split, title = opened.split, find_dataset(self.dataset).title
        lines = [
            f"{title}, {split.name}: {len(split.queries)} queries, {len(split.references)} "
            f"references; {int((parts == TRAIN).sum())} pairs to train on, "
            f"{int((parts == HELD_OUT).sum())} held out",
            *opened.notes,
        ]
        return "\n".join(lines)

    def samples(self) -> int:
        """How many pairs there are to train on."""
        return int((self.parts() == TRAIN).sum())

    def identity(self) -> str:
        """A digest of the pairs and of which are held out."""
        split = self.opened().split
        pairs = hashlib.sha256(np.ascontiguousarray(split.pairs).tobytes()).hexdigest()
        return digest([self.dataset, split.name, pairs, dataclasses.asdict(self.hold_out)])

    def parts(self) -> IntArray:
        """Part (P,) of each pair: by place where the data set tells it, else by reference."""
        split, places = self.opened().split, self._places()
        if places is not None:
            given = self.hold_out.buffer_m
            buffer_m = buffer_needed_m(self.card()) if given is None else given
            return split_by_place(places[0], self.hold_out, buffer_m, places[1])
        references = np.unique(split.pairs[:, 1])
        rng = np.random.default_rng([self.hold_out.seed, 8])
        count = round(self.hold_out.share * len(references))
        chosen = rng.choice(references, count, replace=False)
        return np.where(np.isin(split.pairs[:, 1], chosen), HELD_OUT, TRAIN).astype(np.int64)

    def load(self, train: TrainConfig) -> Lessons:
        """Make ready to read pictures."""
        split, card, parts = self.opened().split, self.card(), self.parts()
        preparation = Preparation(look_of(card, self.teacher), split)
        pairs = PicturePairs(preparation, split.pairs[parts == TRAIN])
        unseen = split.pairs[parts == HELD_OUT]
        if len(unseen) > _MOST_PAIRS:
            rng = np.random.default_rng([self.hold_out.seed, 9])
            unseen = unseen[np.sort(rng.choice(len(unseen), _MOST_PAIRS, replace=False))]
        if train.patience and not len(unseen):
            raise TrainingError(
                f"no pair of {self.dataset} is held out, so nothing can tell when to stop; train "
                "with --patience 0"
            )
        judge = Preparation(card, split)

        def evaluate(pair: EncoderPair, final: bool) -> dict[str, float]:
            return evaluate_pairs(pair, judge, unseen) if len(unseen) else {}

        source = MinedSource(pairs, card.descriptor_dim)
        return Lessons(source, evaluate, (self._protocol(),) * 2, self._provenance(parts))

    def finish(self, package: ModelPackage) -> ModelPackage:
        """Nothing to add: what a similarity is worth, only drives can tell."""
        return dataclasses.replace(package, calibration=Calibration.none())

    # -- inside -------------------------------------------------------------------------------

    def _places(self) -> tuple[FloatArray, FloatArray] | None:
        """Where all pairs were taken, for blocks and for distances; None if not of every pair."""
        split = self.opened().split
        flat, points = (positions_m(split, split.pairs, flat=f) for f in (True, False))
        if flat is None or points is None or not np.isfinite(points).all():
            return None
        return flat, points

    def _protocol(self) -> str:
        split = self.opened().split
        known = self._places() is not None
        how = f"blocks of {self.hold_out.block_m:g} m" if known else "references drawn at random"
        return (
            f"queries of {how} held out of {self.dataset} {split.name}, searched among the "
            "references of those; semi-positives do not count"
        )

    def _provenance(self, parts: IntArray) -> dict[str, Any]:
        split = self.opened().split
        return {
            "dataset": self.dataset,
            "split": split.name,
            "data": f"{int((parts == TRAIN).sum())} pairs of {find_dataset(self.dataset).title}, "
            f"{split.name}; its terms of use hold for the weights, too",
            "recipe": "symmetric InfoNCE, neighbours on the ground, then in the descriptor; pairs "
            "mirrored and turned as a whole (Sample4Geo, arXiv 2303.11851)",
        }


def dataset_card(kind: str, split: Split) -> ModelPackage:
    """What encoders of a kind look at in a data set.

    Raises:
        TrainingError: encoders of this kind cannot be given such pictures.
    """
    own, published = card_of(kind), RECIPES.get(split.dataset)
    view = split.queries.view
    if kind not in (*CONVNEXTS, "panorama"):
        return own
    if view == "panorama":
        vfov_deg = split.queries.vfov_deg or (published.query.vfov_deg if published else 0.0)
        if not vfov_deg:
            raise TrainingError(
                f"nobody says how high the panoramas of {split.dataset} are in degrees; train "
                "another kind"
            )
        query = dataclasses.replace(own.query, vfov_deg=vfov_deg, alignment="north")
        if kind in CONVNEXTS and published is not None:
            query = published.query
    elif kind in CONVNEXTS and published is not None:
        query = published.query
    else:
        raise TrainingError(
            f"{kind} encoders take panoramas, the queries of {split.dataset} are of the kind "
            f"{view}; choose another --kind or --dataset"
        )
    extent_m = published.extent_m if published else _extent_m(split)
    reference = dataclasses.replace(own.reference, extent_m=extent_m)
    return dataclasses.replace(own, query=query, reference=reference)


def _extent_m(split: Split) -> float:
    """Side of the references on the ground, as far as the data set tells it."""
    gsd_m = split.references.gsd_m
    if gsd_m is None:
        raise TrainingError(
            f"nobody says how large the references of {split.dataset} are on the ground; train "
            "another kind, or import published weights"
        )
    columns = split.references.load(0).shape[1]
    return float(round(float(np.median(gsd_m)) * columns, 1))


class _Prepared:
    """Prepared pictures of one side, read where they are looked at."""

    def __init__(self, preparation: Preparation, rows: IntArray, queries: bool) -> None:
        self._read = preparation.query if queries else preparation.reference
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: slice) -> Image:
        return np.stack([self._read(int(row)) for row in self._rows[at]])


def evaluate_pairs(
    pair: EncoderPair, preparation: Preparation, pairs: IntArray
) -> dict[str, float]:
    """Recall of queries among the references of pairs (P, 2), and mean similarities.

    A query counts once; references that are neither right nor wrong are passed over.
    """
    queries, references = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
    q = describe_views(pair, _Prepared(preparation, queries, True))
    r = describe_references(pair, _Prepared(preparation, references, False))
    similarity = q @ r.T
    split = preparation.split
    right = np.stack([np.isin(references, split.positives[row]) for row in queries])
    passed = np.stack([np.isin(references, split.semi_positives[row]) for row in queries])
    scores = recall(ranks_of(similarity, right, passed))
    wrong = ~right & ~passed
    scores["matched"] = float(similarity[right].mean())
    scores["background"] = float(similarity[wrong].mean()) if wrong.any() else float("nan")
    scores["entries"] = float(len(references))
    return scores
