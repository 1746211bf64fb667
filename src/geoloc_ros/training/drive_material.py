# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One's own drives to train on, with validation on ground that no training view lies near."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.digest import digest
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.words import NO_CALIBRATION
from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.imagery.windows import Cutter, Imagery, cutter_of, open_ground
from geoloc_ros.training.config import TrainConfig
from geoloc_ros.training.drive_report import text, write_report
from geoloc_ros.training.evaluate import driven_anchors, evaluate_areas, grid_near
from geoloc_ros.training.held_out_calibration import with_similarity
from geoloc_ros.training.mining import Mined, MiningConfig, Places, Target, mine
from geoloc_ros.training.pair import EncoderPair, card_from, card_of
from geoloc_ros.training.place_split import (
    HELD_OUT,
    NAMES,
    TRAIN,
    SplitConfig,
    buffer_needed_m,
    crop_centres,
    shared,
    split_by_place,
)
from geoloc_ros.training.posed_pairs import Area, PosedPairs
from geoloc_ros.training.recipe import Lessons
from geoloc_ros.training.rows import Rows
from geoloc_ros.training.sources import MinedSource
from geoloc_ros.training.teacher import look_of

LOG = logging.getLogger(__name__)
IntArray = npt.NDArray[np.int64]

#: squares of large imagery kept in memory while training, of about 20 MB each
KEPT_SQUARES = 64
# Of a validation: held-out views, and anchors they are searched among.
_MOST_VIEWS, _MOST_ENTRIES = 1000, 20_000
#: what counts as found, by what the views are
RADIUS_M = {"perspective": 8.0, "ground_plane": 15.0, "panorama": 8.0}


@dataclass(frozen=True)
class CutGround:
    """Imagery as training cuts crops from it: as an index does.

    Attributes:
        cutters: one per imagery of the same ground.
    """

    cutters: tuple[Cutter, ...]

    @property
    def seasons(self) -> int:
        """How many pictures of the same ground there are."""
        return len(self.cutters)

    def crops(self, poses: FloatArray, season: int = 0) -> Image:
        """Crops (N, S, S, 3) at poses (N, 3)."""
        return self.cutters[season].cut(poses)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveMaterial:
    """Recordings and the imagery of where they were driven.

    Attributes:
        kind: of the encoders, one of `pair.KINDS`.
        drives: recordings.
        imagery: of the same ground; the first is the one that is validated on.
        mining: how recordings become pairs.
        split: which ground is held out.
        folder: where pairs and report are kept.
        start: package that the training begins with; its card and calibration are gone on from.
        teacher: package that teaches; pictures are made for its size where it is larger.
    """

    kind: str
    drives: tuple[Path, ...]
    imagery: tuple[Path, ...]
    mining: MiningConfig
    split: SplitConfig
    folder: Path
    start: ModelPackage | None = None
    teacher: ModelPackage | None = None
    _opened: dict[str, Any] = field(default_factory=dict)

    def card(self) -> ModelPackage:
        """What the encoders look at."""
        return card_from(self.start) if self.start else card_of(self.kind)

    def made_for(self) -> ModelPackage:
        """What views and crops are made for: the encoders, or a teacher with a sharper eye."""
        return look_of(self.card(), self.teacher)

    def prepare(self) -> str:
        """Mine what is missing, share out the ground and write the report."""
        mined = self._mine()
        parts = self.parts(mined)
        split = dataclasses.replace(self.split, buffer_m=self.buffer_m())
        ground = self._grounds()[0]
        content = write_report(self.folder, ground, mined, parts, split, self._centres(mined))
        self._warn_of_shared(mined, parts)
        return f"{text(content)}\nmap: {self.folder / 'drives.png'}"

    def samples(self) -> int:
        """How many views there are to train on; after `prepare`."""
        return int((np.concatenate(self.parts(self._mine())) == TRAIN).sum())

    def identity(self) -> str:
        """A digest of the pairs, the imagery and the split."""
        pairs = [m.meta["key"] for m in self._mine()]
        imagery = [str(g.provenance.get("sha256", "")) for g in self._grounds()]
        return digest([pairs, imagery, dataclasses.asdict(self.split)])

    def parts(self, mined: Sequence[Mined]) -> list[IntArray]:
        """Part of the ground of each view of each drive."""
        everything = split_by_place(self._centres(mined), self.split, self.buffer_m())
        ends = np.cumsum([len(m.poses) for m in mined])
        return list(np.split(everything, ends[:-1]))

    def buffer_m(self) -> float:
        """Middles of crops trained on lie so far from those held out: as given, or as needed."""
        given = self.split.buffer_m
        return buffer_needed_m(self.card()) if given is None else given

    def load(self, train: TrainConfig) -> Lessons:
        """Read the pairs."""
        mined = self._mine()
        parts = self.parts(mined)
        pairs = PosedPairs([self.area(TRAIN)], self.made_for())
        source = MinedSource(pairs, self.card().descriptor_dim)
        unseen = _thinned(self.area(HELD_OUT))
        if train.patience and not len(unseen.poses):
            raise TrainingError(
                "early stopping needs ground that is held out; make --hold-out larger than 0, or "
                "train with --patience 0"
            )
        anchors = self.anchors(mined)
        self._opened["held_out"] = unseen, anchors
        if self.start is None or self.start.calibration.missing:
            LOG.warning(
                "nothing says how much evidence a strange place needs, and drives cannot: with "
                "what is trained here %s",
                NO_CALIBRATION,
            )

        def evaluate(pair: EncoderPair, final: bool) -> dict[str, float]:
            if not len(unseen.poses):
                return {}
            return evaluate_areas(pair, [unseen], [anchors], RADIUS_M[self._view()], joint=True)

        return Lessons(source, evaluate, (self._protocol(),) * 2, self._provenance(mined, parts))

    def area(self, part: int) -> Area:
        """The views on a part of the ground, `TRAIN`, `HELD_OUT` or `BUFFER`."""
        mined = self._mine()
        return _part_of(mined, self.parts(mined), part, self._ground())

    def plane(self) -> LocalFrame:
        """The plane that poses are given on."""
        return self._grounds()[0].frame

    def anchors(self, mined: Sequence[Mined]) -> FloatArray:
        """Index-like anchors (M, 3) along everything that was driven, held out or not."""
        tracks = [m.poses for m in mined]
        if self._view() == "ground_plane":
            return grid_near(np.concatenate(tracks), 15.0, 16, 60.0)
        return driven_anchors(tracks, _MOST_ENTRIES)

    def finish(self, package: ModelPackage) -> ModelPackage:
        """Fit what a similarity is worth on the ground held out."""
        unseen, anchors = self._opened["held_out"]
        before = self.start.calibration if self.start else None
        return with_similarity(package, unseen, anchors, before)

    # -- inside -------------------------------------------------------------------------------

    def _view(self) -> str:
        """What the encoders look at: perspective, ground_plane or panorama."""
        return self.card().query.view

    def _centres(self, mined: Sequence[Mined]) -> FloatArray:
        """Where the crops of all views have their middles, (N, 2)."""
        return crop_centres(np.concatenate([m.poses for m in mined]), self.card().reference)

    def _warn_of_shared(self, mined: Sequence[Mined], parts: Sequence[IntArray]) -> None:
        """Say what training sees of the ground held out, where the buffer given is too small."""
        needed_m, part = buffer_needed_m(self.card()), np.concatenate(parts)
        if self.buffer_m() >= needed_m or not (part == HELD_OUT).any():
            return
        poses = np.concatenate([m.poses for m in mined])
        share = shared(poses[part == TRAIN], poses[part == HELD_OUT], self.card().reference)
        LOG.warning(
            "--buffer %g m is less than the %g m by which the middles of crops must lie apart: "
            "views to train on show %.0f %% of the ground in held-out crops, and crops that are "
            "moved for training more, so validation flatters; leave --buffer out, or judge on "
            "other drives",
            self.buffer_m(), needed_m, 100.0 * share,
        )  # fmt: skip

    def _grounds(self) -> list[Imagery]:
        if "grounds" not in self._opened:
            first = open_ground(self.imagery[0])
            others = [open_ground(path, frame=first.frame) for path in self.imagery[1:]]
            self._opened["grounds"] = [first, *others]
        grounds: list[Imagery] = self._opened["grounds"]
        return grounds

    def _ground(self) -> CutGround:
        if "cut" not in self._opened:
            package = self.made_for()
            red, green, blue = (255.0 * channel for channel in package.mean)
            cutters = tuple(
                cutter_of(g, package.reference, (red, green, blue), KEPT_SQUARES)
                for g in self._grounds()
            )
            self._opened["cut"] = CutGround(cutters)
        ground: CutGround = self._opened["cut"]
        return ground

    def _mine(self) -> list[Mined]:
        """Pairs of all drives; a drive is mined once, in the order given."""
        if "mined" not in self._opened:
            cutters = self._ground().cutters
            target = Target(
                self.made_for(),
                self.plane(),
                lambda poses: np.min([cutter.cut(poses)[1] for cutter in cutters], axis=0),
                " ".join(str(ground.provenance["sha256"]) for ground in self._grounds()),
            )
            places = Places()
            self._opened["mined"] = [
                mine(bag, target, self.mining, places, self.folder / f"drive_{number:03d}")
                for number, bag in enumerate(self.drives)
            ]
        mined: list[Mined] = self._opened["mined"]
        return mined

    def _protocol(self) -> str:
        where = (
            "on a 15 m grid of 16 headings, 60 m around all ground flown over"
            if self._view() == "ground_plane"
            else "along all ground driven, an anchor per 1.5 m and direction, scattered as in an "
            "index"
        )
        return (
            f"views of held-out blocks, within {RADIUS_M[self._view()]:g} m and 22.5 degrees, "
            f"searched {where}"
        )

    def _provenance(self, mined: Sequence[Mined], parts: Sequence[IntArray]) -> dict[str, Any]:
        counts = Counter(NAMES[part] for part in np.concatenate(parts).tolist())
        imagery = [g.provenance for g in self._grounds()]
        credit = "; ".join(filter(None, {str(p.get("attribution") or "") for p in imagery}))
        return {
            "drives": [{"name": m.name, "views": len(m.poses), "from": m.meta["made_from"]["bag"]}
                       for m in mined],
            "imagery": [{"sha256": p.get("sha256", ""), "attribution": p.get("attribution", "")}
                        for p in imagery],
            "truth_topic": self.mining.truth_topic,
            "split": {
                **dataclasses.asdict(self.split), "buffer_m": self.buffer_m(), **counts
            },
            "data": f"{counts['train']} views of {len(mined)} drives over imagery"
            + (f" of {credit}" if credit else "")
            + f"; {counts['held_out']} views of held-out blocks of {self.split.block_m:g} m, "
            f"{counts['buffer']} with crops within {self.buffer_m():g} m of theirs not used",
            "recipe": "symmetric InfoNCE (arXiv 2303.11851), batches of neighbours on the ground, "
            "later of places that look alike",
        }  # fmt: skip


def _thinned(area: Area) -> Area:
    """An area with no more views than a validation can bear, evenly spread over it."""
    count = len(area.poses)
    if count <= _MOST_VIEWS:
        return area
    rows = np.linspace(0, count - 1, _MOST_VIEWS).astype(np.int64)
    images = np.stack([area.images[int(row)] for row in rows])
    return dataclasses.replace(area, images=images, poses=area.poses[rows], masks=None)


def _part_of(
    mined: Sequence[Mined], parts: Sequence[IntArray], part: int, ground: CutGround
) -> Area:
    """The views of all drives that lie on a part of the ground; one plane, so one area."""
    chosen = [np.flatnonzero(p == part) for p in parts]
    poses = [m.poses[rows] for m, rows in zip(mined, chosen, strict=True)]
    images = Rows([m.views for m in mined], chosen)
    full = all(m.full for m in mined)
    masks = None if full else Rows([m.masks for m in mined], chosen)
    return Area(images, np.concatenate(poses), ground, masks=masks)
