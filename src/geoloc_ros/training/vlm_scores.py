# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How good answers are: accuracy against the commonest answer, and whether probabilities hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_ros.vlm.questions import VIEWS, QuestionSet

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BINS = 10
_TEMPERATURES = np.geomspace(0.25, 6.0, 120)


@dataclass(frozen=True)
class Said:
    """What a model answered to pictures whose truth is known.

    Attributes:
        probabilities: (N, Q, most options) over each question's options, 0 where there is none.
        answers: (N, Q) right option, negative where not asked.
        views: (N,) number of the view in `VIEWS`.
        towns: (N,) number of the town.
    """

    probabilities: Float32Array
    answers: IntArray
    views: IntArray
    towns: IntArray


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """One question asked of one view.

    Attributes:
        question: its identifier.
        view: ground or satellite.
        count: pictures.
        accuracy: share answered rightly.
        majority: share that the commonest answer would have got right.
        ece: expected calibration error of the probabilities as they come.
        ece_fitted: the same after a temperature that was fitted in other towns.
    """

    question: str
    view: str
    count: int
    accuracy: float
    majority: float
    ece: float
    ece_fitted: float


def expected_calibration_error(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> float:
    """Mean distance of confidence and share of right answers over ten bins of equal width."""
    if not len(right):
        return float("nan")
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    gap = np.bincount(bins, confidence - right, BINS)
    return float(np.abs(gap).sum() / count.sum())


def tempered(probabilities: Float32Array, temperature: FloatArray | float) -> Float32Array:
    """Probabilities (..., options) raised to 1 / temperature and normalised again."""
    inverse = 1.0 / np.asarray(temperature, np.float64)[..., None]
    raised = np.power(np.asarray(probabilities, np.float64), inverse)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def fit_temperature(probabilities: Float32Array, answers: IntArray) -> float:
    """Temperature under which the right answers (N,) are likeliest; 1 where there are none.

    Args:
        probabilities: (N, options), 0 where there is no option.
        answers: (N,) right option, negative where not asked.
    """
    asked = answers >= 0
    if not asked.any():
        return 1.0
    rows = np.asarray(probabilities[asked], np.float64)
    there = rows.max(axis=0) > 0.0
    logs = np.log(np.maximum(rows, 1e-9))
    taken = logs[np.arange(len(rows)), answers[asked]]
    losses = [
        (np.log(np.exp(logs[:, there] / t).sum(axis=1)) - taken / t).mean() for t in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 3)


def fit_temperatures(said: Said) -> FloatArray:
    """One temperature per view and question (V, Q)."""
    out = np.ones((len(VIEWS), said.answers.shape[1]))
    for view, row in enumerate(out):
        rows = said.views == view
        for q in range(len(row)):
            row[q] = fit_temperature(said.probabilities[rows, q], said.answers[rows, q])
    return out


def held_out_tempered(said: Said) -> Float32Array:
    """Probabilities under temperatures that were fitted in other towns.

    Even towns are judged by what odd ones say and the other way round; one town is judged by its
    own.
    """
    out = np.empty_like(said.probabilities)
    odd = said.towns % 2 == 1
    for part in (odd, ~odd):
        fit = ~part if (~part).any() else part
        others = Said(*(getattr(said, name)[fit] for name in Said.__dataclass_fields__))
        out[part] = tempered(said.probabilities[part], fit_temperatures(others)[said.views[part]])
    return out


def score_questions(said: Said, questions: QuestionSet) -> list[QuestionScore]:
    """Every question of every view it is asked of, in their order."""
    fitted = held_out_tempered(said)
    scores = []
    for q, question in enumerate(questions.questions):
        for view in question.views:
            rows = (said.views == VIEWS.index(view)) & (said.answers[:, q] >= 0)
            if not rows.any():
                continue
            truth = said.answers[rows, q]
            raw, after = said.probabilities[rows, q], fitted[rows, q]
            right = raw.argmax(axis=1) == truth
            scores.append(
                QuestionScore(
                    question.id,
                    view,
                    int(rows.sum()),
                    float(right.mean()),
                    float(np.bincount(truth).max() / len(truth)),
                    expected_calibration_error(raw.max(axis=1).astype(np.float64), right),
                    expected_calibration_error(after.max(axis=1).astype(np.float64), right),
                )
            )
    return scores


def mean_scores(scores: Sequence[QuestionScore]) -> dict[str, float]:
    """Means over the questions of each view, and over all."""
    out = {}
    for view in VIEWS:
        rows = [s for s in scores if s.view == view]
        if rows:
            out[f"accuracy_{view}"] = float(np.mean([s.accuracy for s in rows]))
            out[f"majority_{view}"] = float(np.mean([s.majority for s in rows]))
    if scores:
        out["ece"] = float(np.mean([s.ece for s in scores]))
        out["ece_fitted"] = float(np.mean([s.ece_fitted for s in scores]))
    return out


def _curve(probabilities: Float32Array, answers: IntArray) -> tuple[FloatArray, FloatArray]:
    """Mean confidence and share of right answers of each bin that has a hundredth of all."""
    asked = answers >= 0
    confidence = probabilities.max(axis=-1)[asked]
    right = (probabilities.argmax(axis=-1) == answers)[asked]
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    used = count >= max(1, len(right) // 100)
    sums = (np.bincount(bins, values, BINS)[used] for values in (confidence, right))
    x, y = (total / count[used] for total in sums)
    return x, y


def write_reliability(said: Said, path: Path) -> None:
    """Draw how often answers are right against how sure the model is, for each view."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    fitted = held_out_tempered(said)
    for k, view in enumerate(VIEWS):
        axes = figure.add_subplot(1, len(VIEWS), k + 1)
        rows = said.views == k
        axes.plot([0, 1], [0, 1], color="#999999", lw=1)
        curves = (("as it comes", said.probabilities, "#D55E00"), ("tempered", fitted, "#0072B2"))
        for label, probabilities, colour in curves:
            if rows.any():
                x, y = _curve(probabilities[rows], said.answers[rows])
                axes.plot(x, y, "o-", color=colour, label=label)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the answer", title=view)
        axes.set_ylabel("share of right answers")
        axes.legend(loc="upper left")
    figure.savefig(path, metadata={"Software": None})
