# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers, priors and what they changed, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.evaluation.columns import Heard, Retrieval
from geoloc_ros.filtering.outlook import Shift
from geoloc_ros.report.run_data import RunData
from geoloc_ros.vlm.answerer import UNPARSEABLE, Answer, PlaceGuess, Reply
from geoloc_ros.vlm.questions import CANNOT_TELL, REGION, Question, QuestionSet

#: the view that tiles are described in
SATELLITE = "satellite"
#: guesses of place that are named
MOST_GUESSES = 3
LEAST_SHARE = 0.01
#: poses of one candidate in two files
SAME_M = 1e-3


@dataclass(frozen=True, slots=True)
class Bar:
    """One answer: words, and its probability 0..1."""

    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Line:
    """One question.

    Attributes:
        question: in words.
        seen: answer to the picture.
        tile: answer to the tile when the index was described, None if there is none.
        same: whether both are the same, None where one of them says nothing.
    """

    question: str
    seen: Bar
    tile: Bar | None
    same: bool | None


def lines_of(
    seen: Reply, tile: Reply, questions: QuestionSet, usual: FloatArray
) -> tuple[Line, ...]:
    """All answers, those first that set the picture apart from the others of the drive.

    Args:
        seen: said of the picture.
        tile: said of the tile.
        questions: their words; what is not among them is called by its identifier.
        usual: (T,) mean probabilities over the drive.
    """
    words = {question.id: question for question in questions.questions}
    below = {answer.question: answer for answer in tile.answers}
    rows = []
    for answer in seen.answers:
        question = words.get(answer.question)
        other = below.get(answer.question)
        if question is not None and SATELLITE not in question.views:
            other = None
        line = Line(
            question.text if question else answer.question,
            _bar(answer, question),
            None if other is None else _bar(other, question),
            same_answer(answer, other),
        )
        apart = 0.0
        if question is not None and len(answer.probabilities) == len(question.options):
            apart = _apart(answer, usual[questions.slices[question.id]])
        rows.append((_tells(answer), apart, answer.probability, line))
    rows.sort(key=lambda row: row[:3], reverse=True)
    return tuple(row[3] for row in rows)


def same_answer(one: Answer, other: Answer | None) -> bool | None:
    """Whether two answers to a question are the same, None where one of them says nothing."""
    if other is None or not (_tells(one) and _tells(other)):
        return None
    return one.answer == other.answer


def _tells(answer: Answer) -> bool:
    return answer.answer not in (CANNOT_TELL, UNPARSEABLE)


def _bar(answer: Answer, question: Question | None) -> Bar:
    if answer.answer == UNPARSEABLE:
        return Bar("no answer that could be read", 0.0)
    names = {option.id: option.text for option in question.options} if question else {}
    return Bar(names.get(answer.answer, answer.answer), answer.probability)


def _apart(answer: Answer, usual: FloatArray | Float32Array) -> float:
    """Relative entropy of an answer to the drive's mean."""
    p = np.maximum(np.array(answer.probabilities), 1e-6)
    return float(np.sum(p * np.log(p / np.maximum(usual, 1e-6))))


def prior_words(
    guesses: Sequence[PlaceGuess], questions: QuestionSet
) -> tuple[tuple[str, float], ...]:
    """The likeliest guesses of place by name, and what is left for anywhere, with shares."""
    names = {option.id: option.text for option in questions[REGION].options}
    known = {(r.lat_deg, r.lon_deg): names[key] for key, r in questions.regions.items()}
    best = sorted(guesses, key=lambda guess: -guess.share)[:MOST_GUESSES]
    rows = []
    for guess in best:
        at = guess.position
        name = known.get((at.lat_deg, at.lon_deg), f"{at.lat_deg:.3f}, {at.lon_deg:.3f}")
        if guess.share >= LEAST_SHARE:
            rows.append((f"{name} ± {_distance(guess.sigma_m)}", guess.share))
    if rows:
        rows.append(("anywhere else", max(0.0, 1.0 - sum(share for _, share in rows))))
    return tuple(rows)


def _distance(metres: float) -> str:
    return f"{metres / 1000:.0f} km" if metres >= 2000 else f"{metres:.0f} m"


def _percent(share: float | np.floating[Any]) -> str:
    return f"{100.0 * share:.1f} %"


def changed(row: Heard, retrieval: Retrieval | None) -> str:
    """What one answer changed."""
    if row.heard_ns < 0:
        return "Nobody heard it any more: the drive was over, or the clock was set back."
    return " ".join((_moved(row), _reranked(row, retrieval))).strip()


def _moved(row: Heard) -> str:
    shift = row.shift
    if not np.isfinite(shift.best_before):
        return "Nothing was believed yet that it could have changed."
    if not (row.reply.guesses or row.places):
        return (
            "It changed nothing: it names no region that its card vouches for, and no reranker "
            "was asked or sure."
        )
    text = (
        f"The likeliest place went from {_percent(shift.best_before)} to "
        f"{_percent(shift.best_after)}; {_percent(shift.moved)} of the belief moved."
    )
    return text if shift.best_stays else text + " Another place is the likeliest now."


def _reranked(row: Heard, retrieval: Retrieval | None) -> str:
    if not row.places:
        return ""
    each = sorted(zip(row.shares, row.places, strict=True), reverse=True)[:MOST_GUESSES]
    named = [f"{_rank(place, retrieval)} {_percent(share)}" for share, place in each]
    return f"Reranked: {', '.join(named)}; {_percent(1.0 - sum(row.shares))} kept back."


def _rank(place: Sequence[float], retrieval: Retrieval | None) -> str:
    """A candidate by its rank in the search it is from."""
    if retrieval is not None:
        off = np.abs(retrieval.poses - np.array(place)).max(axis=1)
        off = np.where(np.isfinite(off), off, np.inf)
        if len(off) and off.min() <= SAME_M:
            return f"candidate {int(retrieval.rank[off.argmin()])}"
    return "a place"


def summary(
    run: RunData,
    shifts: Iterable[Shift],
    pairs: Sequence[tuple[int, int, bool | None]],
    described_by: str,
) -> tuple[str, ...]:
    """What became of all questions, a paragraph each.

    Args:
        run: the run.
        shifts: what each answer changed.
        pairs: of each answer, how many of the tile's answers are the same, how many could be
            compared, and whether the tile is the true place.
        described_by: name of the model that described the index; empty if none.
    """
    notes = [_counts(run)]
    heard = [shift for shift in shifts if np.isfinite(shift.moved)]
    if heard:
        moved = [shift.moved for shift in heard]
        turned = sum(not shift.best_stays for shift in heard)
        notes.append(
            f"An answer moved {_percent(np.median(moved))} of the belief in the median and "
            f"{_percent(max(moved))} at most at once; {turned} of {len(heard)} made another place "
            "the likeliest. What they change later, by making new candidates likelier, is not in "
            "these figures."
        )
    if described_by:
        notes.append(_agreement(pairs, described_by))
    else:
        notes.append(
            "The index is not described, so answers cannot be compared with tiles; 'geoloc index "
            "describe' lets the model describe them."
        )
    return tuple(notes)


def _counts(run: RunData) -> str:
    outcomes = Counter(row.outcome for row in run.heard)
    took = [row.took_ms for row in run.heard if row.outcome == "ok"]
    speed = f" in {np.median(took):.0f} ms (median on this machine)" if took else ""
    others = [
        f"{count} {name.replace('_', ' ')}" for name, count in outcomes.items() if name != "ok"
    ]
    failed = f"; {', '.join(others)}" if others else ""
    why = Counter(row.why for row in run.heard if row.outcome != "ok" and row.why)
    reason = f" Mostly: {why.most_common(1)[0][0]}." if why else ""
    return (
        f"{run.vlm.model} was asked about {len(run.heard)} frames and answered {outcomes['ok']}"
        f"{speed}{failed}. Answers are heard {run.vlm.latency_s:g} s of the drive after their "
        f"frame.{reason}"
    )


def _agreement(pairs: Sequence[tuple[int, int, bool | None]], described_by: str) -> str:
    def share(wanted: Sequence[tuple[int, int, bool | None]]) -> str:
        same, compared = sum(p[0] for p in wanted), sum(p[1] for p in wanted)
        return f"{_percent(same / compared)} of {compared} answers" if compared else ""

    whole = share(pairs)
    if not whole:
        return f"No answer could be compared with what {described_by} said of the tiles."
    parts = [f"Picture and tile (described by {described_by}) have {whole} in common"]
    right, wrong = (share([p for p in pairs if p[2] is wanted]) for wanted in (True, False))
    if right:
        parts.append(f"where the tile is the true place: {right}")
    if wrong:
        parts.append(f"where it is not: {wrong}")
    return "; ".join(parts) + "."
