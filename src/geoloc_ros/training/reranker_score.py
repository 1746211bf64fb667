# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of rerankers on lists: recall at 1 before and after, with and without the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.training.reranker_lists import Lists
from geoloc_ros.training.reranker_nets import Judge
from geoloc_ros.training.reranker_train import Told, first_right, judged

#: share of recall at 1 that answers to other views may cost
MOST_HARM = 0.03
#: no confidence reaches it
NEVER = 1.5
_THRESHOLDS = (*np.round(np.arange(0.02, 0.99, 0.02), 2).tolist(), 0.99, 0.995)
_TEMPERATURES = np.exp(np.linspace(np.log(0.005), np.log(20.0), 80))


@dataclass(frozen=True, slots=True)
class Scores:
    """One row of the ablation table; `same`: training towns, held-out views; `cross`: other towns.

    Attributes:
        name: of the row.
        same_before: recall at 1 of the encoder's order.
        same_after: of the reranker's order, always taken.
        same_gated: of the reranker's order where the gate lets it.
        cross_before: as above.
        cross_after: as above.
        cross_gated: as above.
        moved: share of lists where the gate lets it change the first.
    """

    name: str
    same_before: float
    same_after: float
    same_gated: float
    cross_before: float
    cross_after: float
    cross_gated: float
    moved: float

    @property
    def same_gain(self) -> float:
        """Relative gain of recall at 1, gated."""
        return self.same_gated / max(self.same_before, 1e-9) - 1.0

    @property
    def cross_gain(self) -> float:
        """Relative gain of recall at 1, gated."""
        return self.cross_gated / max(self.cross_before, 1e-9) - 1.0


def scored(name: str, judge: Judge, threshold: float, same: Told, cross: Told) -> Scores:
    """Figures of one reranker.

    Args:
        name: of the row.
        judge: scorer and gate.
        threshold: confidence from which its order is taken.
        same: held-out views of training towns.
        cross: views of other towns.
    """
    shares_of, moved = [], []
    for told in (same, cross):
        score, confidence = judged(judge, told)
        shares_of.append(shares(score, confidence, threshold, told.lists))
        moved.append((confidence >= threshold) & (np.argmax(score, axis=1) != 0))
    (a, b, c), (d, e, f) = shares_of
    return Scores(name, a, b, c, d, e, f, float(np.concatenate(moved).mean()))


def shares(
    score: Float32Array, confidence: Float32Array, threshold: float, lists: Lists
) -> tuple[float, float, float]:
    """Recall at 1 of the encoder's order, of the reranker's, and of the gated one."""
    old, new = lists.correct[:, 0], first_right(score, lists)
    gated = np.where(confidence >= threshold, new, old)
    return float(old.mean()), float(new.mean()), float(gated.mean())


def choose_threshold(judge: Judge, parts: Sequence[Told], seed: int = 1) -> float:
    """The threshold with the highest recall at 1, the highest of equals.

    Only thresholds count at which answers to other views cost next to nothing; if there is none,
    the reranker never speaks.

    Args:
        judge: scorer and gate.
        parts: validation lists.
        seed: of the shuffling.
    """
    heard = [(*judged(judge, told), told.lists) for told in parts]
    wrong = [(*judged(judge, other), other.lists) for other in (t.shuffled(seed) for t in parts)]
    before = float(np.mean([lists.correct[:, 0].mean() for _, _, lists in heard]))

    def gated(said: list[tuple[Float32Array, Float32Array, Lists]], threshold: float) -> float:
        return float(np.mean([shares(s, c, threshold, lists)[2] for s, c, lists in said]))

    harmless = [t for t in _THRESHOLDS if gated(wrong, t) >= (1.0 - MOST_HARM) * before]
    if not harmless:
        return NEVER
    return float(max(harmless, key=lambda t: (round(gated(heard, t), 4), t)))


def fit_temperature(scores: Float32Array, lists: Lists) -> float:
    """Temperature at which softmax(score / T) is the chance of each candidate to be right.

    Args:
        scores: (N, K).
        lists: those without a right candidate do not count.
    """
    known = lists.correct.any(axis=1)
    values, right = np.asarray(scores, np.float64)[known], lists.correct[known]
    values = values - values.max(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        chance = np.exp(values / temperature)
        chance /= chance.sum(axis=1, keepdims=True)
        return float(-np.log((chance * right).sum(axis=1) + 1e-12).mean())

    return float(min(_TEMPERATURES, key=loss))


def table_text(rows: Sequence[Scores]) -> str:
    """The ablation table as Markdown."""
    head = (
        "| reranker | same: R@1 | ungated | gated | gain | cross: R@1 | ungated | gated | gain | "
        "first changed |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {row.name} | {row.same_before:.3f} | {row.same_after:.3f} | {row.same_gated:.3f} | "
        f"{100 * row.same_gain:+.1f} % | {row.cross_before:.3f} | {row.cross_after:.3f} | "
        f"{row.cross_gated:.3f} | {100 * row.cross_gain:+.1f} % | {100 * row.moved:.0f} % |"
        for row in rows
    ]
    return "\n".join([head, *lines])
