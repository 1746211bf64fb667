# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""'What the model said': its answers to pictures beside what it said of their tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Heard
from geoloc_ros.evaluation.metrics import position_error_m, yaw_error_deg
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.report.gallery import cut, pick, true_pose, vehicle_place, view_url
from geoloc_ros.report.run_data import RunData
from geoloc_ros.report.said_words import Line, changed, lines_of, prior_words, summary
from geoloc_ros.vlm.answerer import Outcome
from geoloc_ros.vlm.questions import load_questions
from geoloc_ros.vlm.vectors import vector

#: answers shown as bars; the others are folded
TOP = 8
#: a belief that moved less did not move
LEAST_MOVED = 0.005
#: so many answers say whether a picture is like its tile
LEAST_COMPARED = 5
ALONG = 3


@dataclass(frozen=True, slots=True)
class Place:
    """The tile beside a picture.

    Attributes:
        url: inline picture, None where there is no imagery.
        vehicle: (right, down) place of the vehicle as shares of the crop, None if outside it.
        claimed: whether a pose was claimed there; else it is the best of the nearest search.
        off_m: distance to the truth, NaN if unknown.
        off_deg: heading difference to the truth, NaN if unknown.
        right: whether that counts as a hit, None if unknown.
    """

    url: str | None
    vehicle: tuple[float, float] | None
    claimed: bool
    off_m: float
    off_deg: float
    right: bool | None


@dataclass(frozen=True, slots=True)
class Card:
    """One frame that was asked about.

    Attributes:
        lines: the answers that set this picture apart from the others of the drive most.
        rest: all others.
        same: how many answers are the tile's, too.
        compared: how many could be compared.
        changed: what became of the belief, in words.
        prior: where in the world it was said to be, in words, with shares.
    """

    url: str
    time_s: float
    status: str
    took_ms: float
    place: Place | None
    lines: tuple[Line, ...]
    rest: tuple[Line, ...]
    same: int
    compared: int
    changed: str
    prior: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Cards chosen for one reason."""

    title: str
    text: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """The whole part of the page.

    Attributes:
        notes: what became of all questions, a paragraph each.
        groups: frames worth a look.
        described: whether any tile has a description to compare with.
    """

    notes: tuple[str, ...]
    groups: tuple[Group, ...]
    described: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """An answered question with its place in the run."""

    heard: Heard
    row: int
    time_s: float
    lines: tuple[Line, ...]
    place: Place | None

    @property
    def compared(self) -> int:
        return sum(line.same is not None for line in self.lines)

    @property
    def same(self) -> int:
        return sum(line.same is True for line in self.lines)


def said(run: RunData, ortho: OrthoImage | None, manifest: Manifest | None) -> Said | None:
    """What the model said, None where none was asked.

    Args:
        run: the run.
        ortho: imagery to cut tiles from.
        manifest: of the index, which says how tiles are cut and who described them.
    """
    if not run.heard:
        return None
    rows = _rows(run)
    record = manifest.descriptions if manifest is not None else None
    pairs = [(row.same, row.compared, row.place.right if row.place else None) for row in rows]
    notes = summary(run, [row.heard.shift for row in rows], pairs, record.vlm if record else "")
    reference = manifest.reference if manifest is not None else None

    def card(row: _Row) -> Card:
        return _card(run, row, ortho, reference)

    shown = [row for row in rows if tables.frame_path(run.out_dir, row.heard.stamp_ns).exists()]
    return Said(notes, _groups(shown, card), any(row.compared for row in rows))


def _rows(run: RunData) -> list[_Row]:
    answered = [row for row in run.heard if row.outcome == Outcome.OK.name.lower()]
    places = {stamp: i for i, stamp in reversed(list(enumerate(run.estimates.stamp_ns.tolist())))}
    questions = load_questions()
    vectors = [vector(row.reply, questions) for row in answered]
    usual = np.mean(vectors, axis=0) if vectors else np.zeros(questions.total_options)
    return [
        _Row(
            row,
            places[row.stamp_ns],
            float(run.time_s[places[row.stamp_ns]]),
            lines_of(row.reply, row.tile.said, questions, usual),
            _place(run, row, places[row.stamp_ns]),
        )
        for row in answered
        if row.stamp_ns in places
    ]


def _place(run: RunData, row: Heard, at: int) -> Place | None:
    """Where the tile lies; its picture is cut when it is shown."""
    if row.tile.entry_id < 0:
        return None
    pose, true = np.array([row.tile.pose]), true_pose(run, row.stamp_ns)[None]
    off_m, off_deg = float(position_error_m(pose, true)[0]), float(yaw_error_deg(pose, true)[0])
    turned = off_deg <= run.hit.recall_yaw_deg or not np.isfinite(off_deg)
    right = off_m <= run.hit.recall_radius_m and turned if np.isfinite(off_m) else None
    claimed = str(run.estimates.status[at]) in ("LOCALISED", "DEGRADED")
    return Place(None, None, claimed, off_m, off_deg, right)


def _groups(rows: Sequence[_Row], card: Callable[[_Row], Card]) -> tuple[Group, ...]:
    moved = [row.heard.shift.moved for row in rows]
    alike = [row.same / row.compared if row.compared >= LEAST_COMPARED else np.nan for row in rows]
    spread = set(np.linspace(0, len(rows) - 1, ALONG + 2).round()[1:-1].astype(int).tolist())
    reasons = (
        (
            "Moved the belief most",
            "The answers that changed most at once what was believed.",
            [v if v >= LEAST_MOVED else np.nan for v in moved],
        ),
        (
            "Most unlike the tile",
            "The answers to the picture that the tile's description contradicts most often.",
            [-v for v in alike],
        ),
        (
            "Most like the tile",
            "The answers that the tile's description shares most often.",
            alike,
        ),
        (
            "Along the drive",
            "Some more, evenly spaced.",
            [1.0 if i in spread else np.nan for i in range(len(rows))],
        ),
    )
    taken: set[float] = set()
    groups = []
    for title, text, score in reasons:
        chosen = pick([row.time_s for row in rows], score, taken)
        if chosen:
            groups.append(Group(title, text, tuple(card(rows[i]) for i in chosen)))
    return tuple(groups)


def _card(
    run: RunData, row: _Row, ortho: OrthoImage | None, reference: ReferenceSpec | None
) -> Card:
    heard, place = row.heard, row.place
    if place is not None:
        pose: FloatArray = np.array([heard.tile.pose])
        url = cut(run, pose, ortho, reference)[0]
        place = replace(place, url=url, vehicle=vehicle_place(run, reference))
    return Card(
        url=view_url(run, heard.stamp_ns),
        time_s=row.time_s,
        status=str(run.estimates.status[row.row]),
        took_ms=heard.took_ms,
        place=place,
        lines=row.lines[:TOP],
        rest=row.lines[TOP:],
        same=row.same,
        compared=row.compared,
        changed=changed(heard, run.retrieval),
        prior=prior_words(heard.reply.guesses, load_questions()),
    )
