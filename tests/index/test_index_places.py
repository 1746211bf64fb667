# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from geoloc_ros.datatypes import Candidates
from geoloc_ros.index.places import one_per_place


def candidates(*poses):
    count = len(poses)
    similarity = np.linspace(0.9, 0.5, count).astype(np.float32)
    return Candidates(np.arange(10, 10 + count), np.array(poses).reshape(count, 3), similarity)


def test_neighbours_of_a_better_entry_are_left_out():
    found = candidates((0, 0, 3.1), (3, 0, -3.1), (0, 0, 0), (8, 0, 3.1), (50, 9, 0))
    places = one_per_place(found)
    assert places.entry_ids.tolist() == [10, 12, 13, 14]
    assert np.array_equal(places.poses, found.poses[[0, 2, 3, 4]])
    assert np.array_equal(places.similarity, found.similarity[[0, 2, 3, 4]])


def test_what_was_left_out_hides_nothing():
    chain = candidates((0, 0, 0), (4, 0, 0), (8, 0, 0))
    assert one_per_place(chain).entry_ids.tolist() == [10, 12]


def test_no_more_places_than_asked_for():
    found = candidates(*((20.0 * i, 0, 0) for i in range(6)))
    assert one_per_place(found, 2).entry_ids.tolist() == [10, 11]
    assert len(one_per_place(candidates(), 2)) == 0
