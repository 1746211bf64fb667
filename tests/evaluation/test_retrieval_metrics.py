# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval figures against cases computed by hand and against the formulas in plain loops."""

import naive_retrieval as naive
import numpy as np
import pytest

from geoloc_ros.errors import ModelError
from geoloc_ros.evaluation import recall_area, retrieval_metrics
from geoloc_ros.evaluation.retrieval import Truth, average_precision, best_first, search


def rows(*lists):
    return [np.array(row, dtype=np.int64) for row in lists]


def truth(positives, semi=None, near=None):
    semi = semi if semi is not None else [[] for _ in positives]
    near = {m: rows(*r) for m, r in (near or {}).items()}
    return Truth(rows(*positives), rows(*semi), near)


def found_in(similarity, positives, semi=None, near=None, **options):
    """Search with descriptors that have exactly these similarities."""
    similarity = np.asarray(similarity, dtype=np.float32)
    references = np.eye(similarity.shape[1], dtype=np.float32)
    return search(similarity, references, truth(positives, semi, near), **options)


# By hand: four references, three queries.
HAND = [
    [0.9, 0.8, 0.1, 0.2],  # right 1: second
    [0.3, 0.2, 0.7, 0.1],  # right 2: first
    [0.5, 0.6, 0.4, 0.7],  # right 0: third; 1 and 3 stand before it
]
RIGHT, SEMI = [[1], [2], [0]], [[0], [3], [1]]


def test_ranks_by_hand():
    found = found_in(HAND, RIGHT, SEMI)
    assert found.rank.tolist() == [1, 0, 2]
    assert found.negatives_before.tolist() == [0, 0, 1]
    assert found.top[:, 0].tolist() == [0, 2, 3]
    assert found.similarity[2, :2] == pytest.approx([0.7, 0.6])


def test_figures_by_hand():
    found = found_in(HAND, RIGHT, SEMI)
    shares = [retrieval_metrics.recall_at(found.rank, k) for k in (1, 2, 3)]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert retrieval_metrics.hit_rate(found) == pytest.approx(2 / 3)
    # second: (0/1 + 1/2) / 2, first: 1, third: (0/2 + 1/3) / 2
    wanted = (0.25 + 1.0 + 1 / 6) / 3
    assert retrieval_metrics.mean_average_precision(found) == pytest.approx(wanted)


def test_average_precision_by_hand():
    # right ones at positions 1, 3 and 6 of the list
    by_hand = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3
    assert average_precision(np.array([0, 2, 5])) == pytest.approx(by_hand)
    assert average_precision(np.array([0, 1, 2])) == 1.0
    assert average_precision(np.array([], dtype=np.int64)) == 0.0


@pytest.mark.parametrize(("references", "wanted"), [(3, 1), (199, 1), (200, 2), (8884, 88)])
def test_one_percent(references, wanted):
    assert retrieval_metrics.one_percent(references) == wanted


def test_sdm_by_hand():
    # found exactly, and 1/5000 degree off: (2 * 1 + 1 / e) / 3
    offsets = np.array([[[0.0, 0.0], [2e-4, 0.0]]])
    wanted = (2.0 + np.exp(-1.0)) / 3.0
    assert retrieval_metrics.spatial_distance_metric(offsets, 2) == pytest.approx(wanted)


def test_along_and_across_by_hand():
    # heading east, 3 m east and 4 m south of the truth
    parts = retrieval_metrics.along_and_across(np.array([[3.0, -4.0]]), np.array([90.0]))
    assert parts == pytest.approx(np.array([[3.0, 4.0]]))


def test_share_within_includes_the_limit_and_not_nan():
    shares = retrieval_metrics.share_within(np.array([1000.0, 1000.1, np.nan, 0.0]), (1000.0,))
    assert shares == {1000.0: 0.5}


def test_area_by_hand():
    found = found_in(HAND, RIGHT)
    area = recall_area.area_to_truth_km2(found, 5000.0)
    assert area == pytest.approx([0.01, 0.005, 0.015])
    assert recall_area.recall_by_area(area, (0.005, 0.01)) == pytest.approx(
        {0.005: 1 / 3, 0.01: 2 / 3}
    )


# Ties and what is missing.


def test_an_encoder_that_says_always_the_same_finds_nothing():
    found = found_in(np.ones((3, 5)), [[0], [2], [4]], [[1], [3], [0]])
    assert found.rank.tolist() == [4, 4, 4]
    assert retrieval_metrics.recall_at(found.rank, 1) == 0.0
    assert retrieval_metrics.hit_rate(found) == 0.0
    assert found.negatives_before.tolist() == [3, 3, 3]


def test_ties_among_right_references_do_no_harm():
    found = found_in([[0.5, 0.5, 0.1]], [[0, 1]])
    assert found.rank.tolist() == [0]
    assert found.average_precision[0] == 1.0


def test_equal_references_keep_their_order():
    assert best_first(np.array([1, 3, 3, 2, 3], dtype=np.float32), 2).tolist() == [1, 2]
    assert best_first(np.array([1, 3, 3, 2, 3], dtype=np.float32), 5).tolist() == [1, 2, 4, 3, 0]


def test_a_query_without_a_right_reference_counts_as_not_found():
    found = found_in(HAND, [[1], [], [0]])
    assert found.rank.tolist() == [1, 4, 2]
    assert retrieval_metrics.recall_at(found.rank, 4) == pytest.approx(2 / 3)
    assert retrieval_metrics.hit_rate(found) == 0.0
    assert np.isinf(recall_area.area_to_truth_km2(found, 1.0)[1])


def test_more_is_asked_for_than_there_is():
    assert found_in(HAND, RIGHT, top=99).top.shape == (3, 4)
    assert len(found_in(np.zeros((0, 4)), [])) == 0


@pytest.mark.parametrize("side", ["query", "reference"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_descriptor_that_is_not_finite_is_refused(side, value):
    pair = {"query": np.eye(3, dtype=np.float32), "reference": np.eye(3, dtype=np.float32)}
    pair[side][1, 2] = value
    with pytest.raises(ModelError, match=f"descriptor of {side} 1 is not finite"):
        search(pair["query"], pair["reference"], truth([[0], [1], [2]]))


# Against the formulas in plain loops.


def random_case(seed, coarse):
    """Twelve queries, thirty references, up to four right ones, ties if coarse."""
    rng = np.random.default_rng(seed)
    similarity = rng.normal(size=(12, 30))
    similarity = np.round(similarity * 2) / 2 if coarse else similarity
    positives = [rng.permutation(30)[: rng.integers(0, 5)].tolist() for _ in range(12)]
    semi = [[r for r in rng.permutation(30)[:6].tolist() if r not in right] for right in positives]
    places = rng.uniform(0, 100, (42, 2))
    return similarity, positives, semi, places[:12], places[12:]


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_against_plain_loops(seed, coarse):
    similarity, positives, semi, query_xy, reference_xy = random_case(seed, coarse)
    gap = np.linalg.norm(query_xy[:, None] - reference_xy[None], axis=2)
    near = {25.0: [np.flatnonzero(row <= 25.0).tolist() for row in gap]}
    found = found_in(similarity, positives, semi, near, top=10, block=70)
    values = similarity.tolist()
    for k in (1, 3, 10):
        ours = retrieval_metrics.recall_at(found.rank, k)
        assert ours == pytest.approx(naive.recall(values, positives, k))
        ours = retrieval_metrics.distance_recall(found, 25.0, k)
        wanted = naive.distance_recall(values, query_xy.tolist(), reference_xy.tolist(), 25.0, k)
        assert ours == pytest.approx(wanted)
    ours = retrieval_metrics.hit_rate(found)
    assert ours == pytest.approx(naive.hit_rate(values, positives, semi))
    ours = retrieval_metrics.mean_average_precision(found)
    assert ours == pytest.approx(naive.mean_average_precision(values, positives))
    area = recall_area.area_to_truth_km2(found, 0.25e6)
    ours = recall_area.recall_by_area(area, (1.0, 2.5))
    assert ours == pytest.approx(
        {a: naive.within_area(values, positives, 0.25, a) for a in (1.0, 2.5)}
    )


@pytest.mark.parametrize("seed", range(3))
def test_sdm_against_plain_loops(seed):
    similarity, positives, _, query_xy, reference_xy = random_case(seed, coarse=False)
    query_deg, reference_deg = query_xy * 1e-5 + 30.0, reference_xy * 1e-5 + 30.0
    found = found_in(similarity, positives, top=5)
    offsets = reference_deg[found.top] - query_deg[:, None]
    for k in (1, 5):
        wanted = naive.sdm(similarity.tolist(), query_deg.tolist(), reference_deg.tolist(), k)
        assert retrieval_metrics.spatial_distance_metric(offsets, k) == pytest.approx(wanted)


def test_blocks_of_any_size_find_the_same():
    rng = np.random.default_rng(5)
    query = rng.normal(size=(23, 8)).astype(np.float32)
    reference = rng.normal(size=(17, 8)).astype(np.float32)
    told = []
    wanted = search(query, reference, truth([[i % 17] for i in range(23)]))
    small = search(
        query, reference, truth([[i % 17] for i in range(23)]), tell=told.append, block=50
    )
    assert np.array_equal(wanted.rank, small.rank)
    assert np.array_equal(wanted.top, small.top)
    assert sum(told) == 23
    assert max(told) == 2


# Submaps.


def around(places):
    return lambda row: places - places[row]


def test_submaps_of_a_line_of_places():
    """The encoder confuses places 40 m apart, so that only small circles tell them apart."""
    places = np.stack([10.0 * np.arange(16), np.zeros(16)], axis=1)
    alike = np.eye(4, dtype=np.float32)[np.arange(16) % 4]
    reference = alike + 0.01 * np.eye(16, 4, dtype=np.float32)  # the first four stand out a bit
    recall = recall_area.recall_in_submaps(
        alike, reference, rows(*[[i] for i in range(16)]), around(places), (5.0, 15.0, 1000.0)
    )
    areas = [np.pi * r**2 / 1e6 for r in (5.0, 15.0, 1000.0)]
    assert list(recall) == pytest.approx(areas)
    assert [recall[a] for a in areas[:2]] == [1.0, 1.0]
    assert recall[areas[2]] == 4 / 16


def test_submaps_are_drawn_by_seed():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 200, (40, 2))
    query, reference = (rng.normal(size=(40, 3)).astype(np.float32) for _ in range(2))
    case = query, reference, rows(*[[i] for i in range(40)]), around(places), (30.0, 60.0)
    once, again = (recall_area.recall_in_submaps(*case, seed=1) for _ in range(2))
    assert once == again


def test_a_submap_of_everything_is_no_submap():
    rng = np.random.default_rng(2)
    places = rng.uniform(0, 200, (40, 2))
    query, reference = (rng.normal(size=(40, 3)).astype(np.float32) for _ in range(2))
    positives = rows(*[[i] for i in range(40)])
    found = search(query, reference, truth([[i] for i in range(40)]))
    recall = recall_area.recall_in_submaps(query, reference, positives, around(places), (1e6,))
    assert list(recall.values()) == [retrieval_metrics.recall_at(found.rank, 1)]


def test_what_lies_outside_the_circle_is_not_found():
    places = np.array([[0.0, 0.0], [100.0, 0.0]])
    alike = np.eye(2, dtype=np.float32)
    far = rows([1], [0])  # the right reference of each is the other's place
    swapped = alike[::-1].copy()
    near, wide = (
        recall_area.recall_in_submaps(alike, swapped, far, around(places), (radius,))
        for radius in (20.0, 1000.0)
    )
    assert list(near.values()) == [0.0]
    assert list(wide.values()) == [1.0]
