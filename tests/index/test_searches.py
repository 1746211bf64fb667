# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Every way to find entries, by the same tests."""

import threading

import numpy as np
import pytest
from made_vectors import nearest, unit, views, walks

from geoloc_ros.index.clusters import CENTRES, EDGES
from geoloc_ros.index.codes import Codes
from geoloc_ros.index.graph import DEGREES, LINKS
from geoloc_ros.index.search import SEARCHES

KINDS = sorted(SEARCHES)
every = pytest.mark.parametrize("kind", KINDS)


def made(kind, vectors, storage="int12"):
    order, arrays = SEARCHES[kind].build(vectors)
    assert np.array_equal(np.sort(order), np.arange(len(vectors)))
    codes = Codes.encode(vectors[order], storage)
    return codes, SEARCHES[kind].load(arrays, codes), vectors[order]


def find(codes, finder, query, k):
    numbers, rows, similarity = finder.find([(codes, finder)], query, k)
    assert not numbers.any()
    return rows, similarity


@pytest.fixture(scope="module", params=KINDS)
def many(request):
    return made(request.param, walks(12_000, 48))


def test_recall_against_brute_force(many):
    codes, finder, vectors = many
    queries = views(vectors, 200)
    hits = 0
    for query, exact in zip(queries, nearest(vectors, queries, 10), strict=True):
        rows, similarity = find(codes, finder, query, 10)
        assert len(rows) == len(np.unique(rows)) == 10
        assert (np.diff(similarity) <= 0.0).all()
        assert np.allclose(similarity, vectors[rows] @ query, atol=3e-3)
        hits += len(np.intersect1d(rows, exact))
    assert hits >= 0.97 * 2000


def test_recall_of_a_search_in_many_small_shards_that_have_no_structure():
    vectors = unit(np.random.default_rng(4).normal(size=(40_000, 24)))
    orders, parts = [], []
    for begin in range(0, len(vectors), 2500):
        order, arrays = SEARCHES["clusters"].build(vectors[begin : begin + 2500])
        codes = Codes.encode(vectors[begin + order], "int12")
        orders.append(begin + order)
        parts.append((codes, SEARCHES["clusters"].load(arrays, codes)))
    queries, hits = views(vectors, 100), 0
    for query, exact in zip(queries, nearest(vectors, queries, 10), strict=True):
        numbers, rows, _ = SEARCHES["clusters"].find(parts, query, 10)
        found = [orders[number][row] for number, row in zip(numbers, rows, strict=True)]
        hits += len(np.intersect1d(found, exact))
    assert hits >= 0.92 * 1000


def test_the_same_question_has_the_same_answer_in_any_thread(many):
    codes, finder, vectors = many
    queries = views(vectors, 40, seed=3)
    wanted = [find(codes, finder, query, 5) for query in queries]
    wrong = []

    def ask():
        for query, (rows, similarity) in zip(queries, wanted, strict=True):
            found = find(codes, finder, query, 5)
            if not (np.array_equal(found[0], rows) and np.array_equal(found[1], similarity)):
                wrong.append(query)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("k", [1, 31, 500, 11_999, 12_000, 50_000])
def test_as_many_as_are_asked_for_are_found(many, k):
    codes, finder, vectors = many
    rows, similarity = find(codes, finder, vectors[17], k)
    assert len(rows) == len(similarity) == len(np.unique(rows)) == min(k, 12_000)
    assert rows[0] == 17
    assert 0 <= rows.min() <= rows.max() < 12_000


@pytest.mark.parametrize("k", [0, -3])
def test_nothing_is_found_where_nothing_is_asked_for(many, k):
    codes, finder, vectors = many
    rows, similarity = find(codes, finder, vectors[0], k)
    assert (len(rows), len(similarity)) == (0, 0)


@every
@pytest.mark.parametrize("storage", ["int8", "int12", "float16"])
def test_several_parts_are_searched_as_one(kind, storage):
    vectors = walks(9000, 32)
    pieces = np.split(vectors, [400, 401, 5000])
    parts, starts, sorted_ = [], [], []
    for piece in pieces:
        codes, finder, rows = made(kind, piece, storage)
        starts.append(sum(map(len, sorted_)))
        parts.append((codes, finder))
        sorted_.append(rows)
    together = np.concatenate(sorted_)
    hits = 0
    for query in views(vectors, 100):
        numbers, rows, similarity = parts[0][1].find(parts, query, 10)
        assert (np.diff(similarity) <= 0.0).all()
        for number, row, value in zip(numbers, rows, similarity, strict=True):
            wanted = parts[number][0].similarity(query, np.array([row]))[0]
            assert value == pytest.approx(wanted, abs=1e-6)
        exact = np.argsort(-(together @ query))[:10]
        hits += len(np.intersect1d(np.array(starts)[numbers] + rows, exact))
    assert hits >= (0.95 if storage == "int8" else 0.97) * 1000
    numbers, rows, _ = parts[0][1].find(parts, vectors[0], 20_000)
    assert len(np.unique(np.array(starts)[numbers] + rows)) == 9000


@every
@pytest.mark.parametrize("count", [1, 2, 15, 17, 40])
@pytest.mark.parametrize("storage", ["int8", "float32"])
def test_few_entries_are_all_found(kind, count, storage):
    codes, finder, vectors = made(kind, walks(count, 5), storage)
    rows, similarity = find(codes, finder, vectors[-1], count + 3)
    assert np.array_equal(np.sort(rows), np.arange(count))
    assert similarity[0] == pytest.approx(1.0, abs=2e-3)


@every
def test_entries_that_are_all_the_same(kind):
    vectors = np.repeat(walks(1, 24), 3000, axis=0)
    codes, finder, _ = made(kind, vectors)
    for k in (1, 10, 2500):
        rows, similarity = find(codes, finder, vectors[0], k)
        assert len(np.unique(rows)) == k
        assert np.allclose(similarity, 1.0, atol=1e-3)
        assert np.array_equal(rows, np.sort(rows)), "among equals the first"


@every
def test_many_copies_of_few_entries(kind):
    vectors = np.repeat(walks(60, 24, steps=1), 50, axis=0)
    codes, finder, vectors = made(kind, vectors)
    for query in walks(60, 24, steps=1):
        _, similarity = find(codes, finder, query, 40)
        assert np.allclose(similarity, 1.0, atol=1e-3)


@every
@pytest.mark.parametrize("query", ["opposite", "zero", "not finite"])
def test_odd_queries_find_something(kind, query):
    codes, finder, vectors = made(kind, walks(2000, 16))
    asked = {"opposite": -vectors[0], "zero": 0 * vectors[0], "not finite": np.nan * vectors[0]}
    rows, _ = find(codes, finder, asked[query], 10)
    assert len(np.unique(rows)) == 10


@every
def test_two_builds_are_the_same(kind):
    one, other = (SEARCHES[kind].build(walks(3000, 20)) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    for part in SEARCHES[kind].PARTS:
        assert np.array_equal(one[1][part], other[1][part])


@every
def test_files_are_as_announced(kind):
    search = SEARCHES[kind]
    _, arrays = search.build(walks(700, 12))
    shapes = search.shapes(700, 12)
    assert set(arrays) == set(search.PARTS) == set(shapes)
    for part, (dtype, shape) in shapes.items():
        assert arrays[part].dtype == dtype
        assert arrays[part].ndim == len(shape)
        for length, wanted in zip(arrays[part].shape, shape, strict=True):
            assert wanted in (None, length)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


CRAFTED = {
    "clusters": [
        lambda a: {**a, EDGES: a[EDGES][:1]},
        lambda a: {**a, EDGES: a[EDGES][:0]},
        lambda a: {**a, EDGES: a[EDGES][:-1]},
        lambda a: {**a, EDGES: changed(a[EDGES], 0, 1)},
        lambda a: {**a, EDGES: changed(a[EDGES], -1, 2**32 - 1)},
        lambda a: {**a, EDGES: changed(a[EDGES], 3, a[EDGES][2])},
        lambda a: {**a, EDGES: changed(a[EDGES], 3, 2**31)},
        lambda a: {**a, EDGES: a[EDGES][::-1]},
        lambda a: {**a, CENTRES: a[CENTRES][1:]},
        lambda a: {**a, CENTRES: changed(a[CENTRES], (0, 0), np.nan)},
        lambda a: {**a, CENTRES: changed(a[CENTRES], (0, 0), np.inf)},
        lambda a: {**a, CENTRES: changed(a[CENTRES], (0, 0), 1000.0)},
    ],
    "hnsw": [
        lambda a: {**a, LINKS: changed(a[LINKS], 0, 700)},
        lambda a: {**a, LINKS: changed(a[LINKS], -1, 65_535)},
        lambda a: {**a, LINKS: a[LINKS][1:]},
        lambda a: {**a, LINKS: a[LINKS][:0]},
        lambda a: {**a, DEGREES: changed(a[DEGREES], 0, 255)},
        lambda a: {**a, DEGREES: 0 * a[DEGREES]},
    ],
}


@pytest.mark.parametrize(
    ("kind", "number"), [(k, n) for k in KINDS for n in range(len(CRAFTED[k]))]
)
def test_crafted_files_are_refused(kind, number):
    vectors = walks(700, 12)
    order, arrays = SEARCHES[kind].build(vectors)
    codes = Codes.encode(vectors[order], "int8")
    with pytest.raises(ValueError, match=r"divide|centres|links"):
        SEARCHES[kind].load(CRAFTED[kind][number](arrays), codes)


@pytest.mark.parametrize("degree", [0, 32])
def test_a_graph_without_or_with_odd_links_is_followed_to_its_end(degree):
    """Sound in its bounds, whoever made it: no search leaves the arrays or goes on for ever."""
    vectors = walks(300, 8)
    rng = np.random.default_rng(0)
    arrays = {
        LINKS: rng.integers(0, 300, 300 * degree).astype(np.uint16),
        DEGREES: np.full(300, degree, dtype=np.uint8),
    }
    codes = Codes.encode(vectors, "int12")
    rows, _ = find(codes, SEARCHES["hnsw"].load(arrays, codes), vectors[3], 299)
    assert len(np.unique(rows)) == 299


def test_similar_centres_of_no_length_do_no_harm():
    vectors = unit(np.ones((100, 6)) * np.array([1, 1, 1, -1, -1, -1]))
    order, arrays = SEARCHES["clusters"].build(vectors)
    codes = Codes.encode(vectors[order], "int12")
    finder = SEARCHES["clusters"].load({**arrays, CENTRES: 0 * arrays[CENTRES]}, codes)
    assert len(find(codes, finder, vectors[0], 7)[0]) == 7
