# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The contract of a split: columns that fit, truth that names what is there."""

from pathlib import Path

import numpy as np
import pytest

from geoloc_ros.errors import DatasetError, TrainingError
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split, subset


def pictures(count, **changes):
    names = tuple(f"p{i}" for i in range(count))
    values = {"paths": tuple(Path(name) for name in names), "ids": names, "view": "any"}
    return Pictures(**{**values, **changes})


def split(queries=3, references=4, positives=((0,), (1, 2), ()), semi=((1,), (), (3,))):
    return Split(
        dataset="made",
        name="all",
        root=Path(),
        queries=pictures(queries, heading_deg=np.arange(float(queries))),
        references=pictures(
            references,
            places=Places(np.arange(2.0 * references).reshape(-1, 2), "m", "made"),
            gsd_m=np.arange(float(references)),
        ),
        positives=Related(positives),
        semi_positives=Related(semi),
    )


def test_related_rows():
    related = Related([[2, 5], [], [7]])
    assert len(related) == 3
    assert related.counts.tolist() == [2, 0, 1]
    assert related[0].tolist() == [2, 5]
    assert related[1].tolist() == []
    assert related.pairs.tolist() == [[0, 2], [0, 5], [2, 7]]
    assert [row.tolist() for row in related] == [[2, 5], [], [7]]
    assert len(Related([])) == 0
    assert Related([]).pairs.shape == (0, 2)


@pytest.mark.parametrize("row", [-1, 3])
def test_related_rows_that_are_none(row):
    with pytest.raises(IndexError):
        Related([[1], [2], [3]])[row]


def test_pairs_are_queries_and_their_right_references():
    assert split().pairs.tolist() == [[0, 0], [1, 1], [1, 2]]


def test_a_part_of_a_split():
    part = subset(split(), np.array([True, False, True]), np.array([True, False, True, True]))
    assert part.queries.ids == ("p0", "p2")
    assert part.queries.heading_deg.tolist() == [0.0, 2.0]
    assert part.references.ids == ("p0", "p2", "p3")
    assert part.references.gsd_m.tolist() == [0.0, 2.0, 3.0]
    assert part.references.places.values.tolist() == [[0, 1], [4, 5], [6, 7]]
    assert part.pairs.tolist() == [[0, 0]]
    assert [row.tolist() for row in part.semi_positives] == [[], [2]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pictures(3, ids=("a", "b")), "3 pictures, but 2 ids"),
        (lambda: pictures(2, ids=("a", "a")), "'a'"),
        (lambda: pictures(2, heading_deg=np.zeros(3)), "3 heading_deg"),
        (lambda: pictures(1, places=Places(np.zeros((2, 2)), "deg", "x")), "2 places"),
        (lambda: Places(np.zeros(4), "m", "x"), r"must be \(N, 2\)"),
        (lambda: Places(np.array([[0.0, 0.0], [139.7, 35.7]]), "deg", "x"), "swapped"),
        (lambda: split(positives=((0,), (1,))), "2 rows of positives of 3 queries"),
        (lambda: split(positives=((0,), (4,), ())), "name reference 4; there are 4"),
        (lambda: split(semi=((-1,), (), ())), "name reference -1"),
    ],
)
def test_what_does_not_fit_is_refused(make, says):
    with pytest.raises(DatasetError, match=says) as error:
        make()
    assert isinstance(error.value, TrainingError)


def test_unknown_places_may_be_nan():
    places = Places(np.array([[46.5, 6.6], [np.nan, np.nan]]), "deg", "WGS84")
    assert len(places) == 2
