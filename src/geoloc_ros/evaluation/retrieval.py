# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Search all references for all queries, a block of the similarity matrix at a time.

What is kept of a query's row is small: the most similar references and where the right ones stand.
`retrieval_metrics` turns that into the figures of the papers.

Ties: a wrong reference that is as similar as the right one stands before it. (Published programs
count only what is more similar; an encoder that says the same of every picture then finds all.)
A descriptor that is not finite is refused: with NaN every comparison is false, and nothing would
stand before the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.errors import ModelError

IntArray = npt.NDArray[np.int64]
#: numbers of the similarity matrix in memory at a time; each takes four bytes
BLOCK = 32_000_000


class Rows(Protocol):
    """Of each query, the rows of some references."""

    def __len__(self) -> int:
        """How many queries."""

    def __getitem__(self, row: int, /) -> IntArray:
        """The references (K,) of one query, each once; K may be 0."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Which references count.

    Attributes:
        positives: the right ones.
        semi_positives: neither right nor wrong where a hit is judged; Q empty rows elsewhere.
        near: distance in metres -> the references within it.
    """

    positives: Rows
    semi_positives: Rows
    near: dict[float, Rows]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found. A rank counts the references that stand before: 0 is best.

    Attributes:
        top: (Q, K) most similar references, best first; of equally similar ones the first row.
        similarity: (Q, K) of them.
        rank: (Q,) of the best right reference; `references` where there is none.
        negatives_before: (Q,) how many of those before it are not semi-positive.
        average_precision: (Q,), 0 where there is no right reference.
        near_rank: distance -> (Q,) rank of the best reference within it, as `rank`.
        references: how many were searched.
    """

    top: IntArray
    similarity: Float32Array
    rank: IntArray
    negatives_before: IntArray
    average_precision: FloatArray
    near_rank: dict[float, IntArray]
    references: int

    def __len__(self) -> int:
        """How many queries."""
        return len(self.top)


def search(
    query: Float32Array,
    reference: Float32Array,
    truth: Truth,
    top: int = 10,
    tell: Callable[[int], object] = lambda done: None,
    block: int = BLOCK,
) -> Found:
    """Compare every query with every reference.

    Args:
        query: (Q, D) descriptors.
        reference: (R, D) descriptors, R at least 1.
        truth: of Q queries.
        top: how many of the most similar references to keep, at most R.
        tell: is told how many queries were done since the last time.
        block: numbers of the similarity matrix held at a time.

    Raises:
        ModelError: a descriptor is not finite.
    """
    for name, descriptors in (("query", query), ("reference", reference)):
        _finite(name, descriptors)
    count, references = len(query), len(reference)
    kept = min(top, references)
    found = Found(
        top=np.empty((count, kept), dtype=np.int64),
        similarity=np.empty((count, kept), dtype=np.float32),
        rank=np.full(count, references, dtype=np.int64),
        negatives_before=np.full(count, references, dtype=np.int64),
        average_precision=np.zeros(count),
        near_rank={m: np.full(count, references, dtype=np.int64) for m in truth.near},
        references=references,
    )
    step = max(1, block // references)
    for start in range(0, count, step):
        similarity = query[start : start + step] @ reference.T
        for row, values in enumerate(similarity, start=start):
            _judge(row, values, truth, found)
        tell(len(similarity))
    return found


def _finite(name: str, descriptors: Float32Array) -> None:
    """Refuse descriptors that cannot be compared."""
    for start in range(0, len(descriptors), 4096):
        good = np.isfinite(descriptors[start : start + 4096]).all(axis=1)
        if not good.all():
            raise ModelError(
                f"the descriptor of {name} {start + int(np.argmin(good))} is not finite; the "
                "encoder failed on that picture: look at it, and export the model again"
            )


def _judge(row: int, values: Float32Array, truth: Truth, found: Found) -> None:
    """Fill in what one query's similarities (R,) say."""
    found.top[row] = best_first(values, found.top.shape[1])
    found.similarity[row] = values[found.top[row]]
    right = truth.positives[row]
    if len(right):
        ahead, best = standing_before(values, right)
        found.rank[row] = ahead
        aside = np.setdiff1d(truth.semi_positives[row], right)
        found.negatives_before[row] = ahead - int((values[aside] >= best).sum())
        ranks = np.array([ahead]) if len(right) == 1 else _ranks(values, right)
        found.average_precision[row] = average_precision(ranks)
    for distance, rows in truth.near.items():
        if len(near := rows[row]):
            found.near_rank[distance][row] = standing_before(values, near)[0]


def best_first(values: Float32Array, count: int) -> IntArray:
    """Rows of the largest values (R,), largest first, equal ones in their order."""
    least = np.partition(values, len(values) - count)[len(values) - count]
    rows = np.flatnonzero(values >= least)
    return rows[np.argsort(-values[rows], kind="stable")][:count]


def standing_before(values: Float32Array, rows: IntArray) -> tuple[int, float]:
    """How many others stand before the best of some references, and its similarity.

    Args:
        values: (R,) similarities.
        rows: (K,) of them, at least one.
    """
    own = values[rows]
    best = own.max()
    return int((values >= best).sum() - (own >= best).sum()), float(best)


def _ranks(values: Float32Array, rows: IntArray) -> IntArray:
    """Ranks (K,) of some references, ascending; equal ones of the others stand before them."""
    own = np.sort(values[rows])[::-1]
    others = np.sort(np.delete(values, rows))
    before = len(others) - np.searchsorted(others, own, side="left")
    return np.asarray(before + np.arange(len(own)), dtype=np.int64)


def average_precision(ranks: IntArray) -> float:
    """Area under precision over recall by trapezoids, 0..1.

    As the evaluation of University-1652 (github.com/layumi/University1652-Baseline,
    `evaluate_gpu.py`) computes it, which goes back to Oxford5k (Philbin et al., CVPR 2007): recall
    rises by 1 / K at each right reference; there precision is (i + 1) / (r_i + 1), just before it
    i / r_i, or 1 if nothing stands before.

    Args:
        ranks: (K,) of all right references, ascending from 0.
    """
    found = np.arange(len(ranks))
    after = (found + 1) / (ranks + 1)
    before = np.where(ranks > 0, found / np.maximum(ranks, 1), 1.0)
    return float(np.mean((before + after) / 2.0)) if len(ranks) else 0.0
