# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which queries are worth looking at: the clearest finds and the worst failures."""

from __future__ import annotations

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import DatasetError
from geoloc_ros.evaluation.examples import Example, ExampleGroup, Shown
from geoloc_ros.evaluation.retrieval import Found, IntArray
from geoloc_ros.training.datasets.base import Split
from geoloc_ros.training.datasets.evaluate import Evaluated
from geoloc_ros.training.datasets.preparation import Preparation
from geoloc_ros.training.datasets.score import distance_m, has_places, percentages

PER_GROUP = 4
FINDS = 5


def example_groups(evaluated: Evaluated) -> tuple[ExampleGroup, ...]:
    """The best and the worst queries of a search, each query once.

    Raises:
        DatasetError: nothing was searched, or a picture is unreadable.
    """
    found, preparation = evaluated.found, evaluated.preparation
    if found is None or preparation is None:
        raise DatasetError("positions that were given show no finds: there is no gallery of them")
    taken: set[int] = set()
    groups = []
    for title, text, score in _reasons(preparation.split, found, evaluated.error_m):
        rows = [row for row in np.argsort(-score, kind="stable").tolist() if row not in taken]
        rows = [row for row in rows if np.isfinite(score[row])][:PER_GROUP]
        taken.update(rows)
        if rows:
            examples = tuple(_example(preparation, found, row) for row in rows)
            groups.append(ExampleGroup(title, text, examples))
    return tuple(groups)


def _reasons(
    split: Split, found: Found, error_m: FloatArray | None
) -> list[tuple[str, str, FloatArray]]:
    """(title, text, score per query); the highest finite scores are shown."""
    first = found.similarity[:, 0].astype(np.float64)
    if not split.positives.counts.any():
        off = np.zeros(len(found)) if error_m is None else error_m
        return [
            ("Nearest", "First finds that lie nearest to the truth.", -off),
            ("Furthest", "First finds that lie furthest from the truth.", off),
        ]
    second = found.similarity[:, 1] if found.top.shape[1] > 1 else first
    misled = np.where(found.negatives_before > 0, first, np.nan)
    return [
        (
            "Clear finds",
            "The right reference first, ordered by how far the next one falls behind.",
            np.where(found.rank == 0, first - second, np.nan),
        ),
        (
            "Led astray",
            "A wrong reference before the right one, ordered by how alike the first looks.",
            misled,
        ),
        (
            "Furthest down",
            "The right reference far down the list.",
            np.where(found.rank > 0, found.rank.astype(np.float64), np.nan),
        ),
    ]


def _example(preparation: Preparation, found: Found, row: int) -> Example:
    split, picture = preparation.split, preparation.reference_for_people
    right = split.positives[row].tolist()
    aside = set(split.semi_positives[row].tolist())
    finds = tuple(
        Shown(
            picture(reference),
            _caption(split, row, reference, f"{place} · {similarity:.3f}"),
            True if reference in right else None if reference in aside or not right else False,
        )
        for place, (reference, similarity) in enumerate(
            zip(found.top[row, :FINDS].tolist(), found.similarity[row].tolist(), strict=False),
            start=1,
        )
    )
    truth = None
    if right:
        text = f"right · place {found.rank[row] + 1} of {found.references}"
        truth = Shown(picture(right[0]), _caption(split, row, right[0], text), True)
    return Example(Shown(split.queries.load(row), split.queries.ids[row], None), truth, finds)


def _caption(split: Split, query: int, reference: int, text: str) -> str:
    """What stands below a reference, with its distance where places are known."""
    asked, given = split.queries.places, split.references.places
    if asked is None or given is None or not has_places(split):
        return text
    off = float(distance_m(asked, _row(query), given, _row(reference))[0])
    return f"{text} · {off / 1e3:,.0f} km" if off >= 1e4 else f"{text} · {off:.0f} m"


def _row(row: int) -> IntArray:
    return np.array([row], dtype=np.int64)


def headline(evaluated: Evaluated) -> str:
    """One line of what the whole run came to."""
    split, result = evaluated.opened.split, evaluated.result
    shares = ", ".join(f"{name} {value:.1f} %" for name, value in percentages(result).items())
    counts = f"{len(split.queries)} queries, {len(split.references)} references"
    return f"{result.get('model', '')}: {shares}; {counts}"
