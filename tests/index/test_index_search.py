# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import shutil

import numpy as np
import pytest
from made_place import DIM
from made_vectors import unit, walks

from geoloc_ros.datatypes import Region
from geoloc_ros.errors import IndexMismatchError
from geoloc_ros.index import sharded_index
from geoloc_ros.index.manifest import NAME, ImageryRecord, Manifest, load_manifest
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.index.search import SEARCHES
from geoloc_ros.index.shard import open_shard, write_shard
from geoloc_ros.index.sharded_index import ShardedIndex


@pytest.fixture(scope="module", params=sorted(SEARCHES))
def scattered(request, tmp_path_factory, built):
    """20,000 descriptors along paths in four shards, written and read back."""
    root = tmp_path_factory.mktemp("scattered")
    (root / "shards").mkdir()
    rng = np.random.default_rng(1)
    records = []
    for cell in ((3, 0, 0), (3, 0, 1), (3, 1, 0), (3, 1, 1)):
        descriptors = walks(5000, DIM, seed=len(records))
        xy = (rng.uniform(size=(5000, 2)) + cell[1:]) * 500.0
        poses = np.column_stack([xy, rng.uniform(-np.pi, np.pi, 5000)])
        records.append(write_shard(root, cell, poses, descriptors, "int12", request.param))
    template = ShardedIndex.open(built).manifest
    values = {name: getattr(template, name) for name in Manifest.__dataclass_fields__}
    search = {"kind": request.param, **SEARCHES[request.param].PARAMETERS}
    manifest = Manifest(**{**values, "search": search, "shards": tuple(records)})
    return ShardedIndex(manifest, lambda number: open_shard(root, records[number], manifest))


def every_vector(index):
    return index.vectors(np.arange(len(index)))


def queries(index, count=200):
    rng = np.random.default_rng(2)
    picked = index.vectors(rng.integers(0, len(index), count))
    return unit(picked + 0.1 * rng.normal(size=picked.shape))


def test_graph_recall_against_brute_force(scattered):
    hits = 0
    for query in queries(scattered):
        exact = scattered.search_exact(query, 10)
        found = scattered.search(query, 10)
        assert np.all(np.diff(found.similarity) <= 0.0)
        hits += len(np.intersect1d(exact.entry_ids, found.entry_ids))
    assert hits / 2000 >= 0.99


def test_exact_search_is_the_textbook(scattered):
    query = queries(scattered, 1)[0]
    similarity = every_vector(scattered).astype(np.float64) @ query.astype(np.float64)
    order = np.argsort(-similarity)[:7]
    found = scattered.search_exact(query, 7)
    assert np.array_equal(found.entry_ids, order)
    assert np.allclose(found.similarity, similarity[order], atol=1e-4)
    assert np.array_equal(found.poses, scattered.anchors(order))


@pytest.mark.parametrize("limit", [0, 10**6])
def test_filtered_search_equals_filtered_brute_force(scattered, monkeypatch, limit):
    monkeypatch.setattr(sharded_index, "EXACT_LIMIT", limit)
    region = Region(500.0, 500.0, 350.0)
    hits = 0
    for query in queries(scattered, 50):
        found = scattered.search(query, 10, region)
        away = np.hypot(found.poses[:, 0] - 500.0, found.poses[:, 1] - 500.0)
        assert len(found) == 10
        assert (away <= 350.0).all()
        hits += len(
            np.intersect1d(found.entry_ids, scattered.search_exact(query, 10, region).entry_ids)
        )
    assert hits / 500 >= 0.98


@pytest.mark.parametrize("limit", [0, 10**6])
def test_filter_with_nothing_allowed(scattered, monkeypatch, limit):
    monkeypatch.setattr(sharded_index, "EXACT_LIMIT", limit)
    here, elsewhere, nowhere = (500.0, 500.0), (9e4, 0.0), (np.nan, 0.0)
    for place, radius_m in ((elsewhere, 10.0), (here, 0.0), (here, -350.0), (nowhere, 1.0)):
        region = Region(*place, radius_m)
        found = scattered.search(queries(scattered, 1)[0], 10, region)
        assert len(found) == 0
        assert found.poses.shape == (0, 3)


@pytest.mark.parametrize("limit", [0, 10**6])
def test_filter_allowing_fewer_than_k(scattered, monkeypatch, limit):
    monkeypatch.setattr(sharded_index, "EXACT_LIMIT", limit)
    region = Region(500.0, 500.0, 12.0)
    inside = np.hypot(*(scattered.entries()[1][:, :2] - 500.0).T) <= 12.0
    found = scattered.search(queries(scattered, 1)[0], 1000, region)
    assert 0 < len(found) == inside.sum() < 1000


def test_k_beyond_the_population_and_below_one(opened, scattered):
    for index in (opened, scattered):
        query = index.vectors(np.array([0]))[0]
        found = index.search(query, len(index) + 5)
        assert len(found) == len(index)
        assert len(np.unique(found.entry_ids)) == len(index)
        assert len(index.search(query, 0)) == 0
        assert len(index.search(query, -3)) == 0


def test_an_entry_finds_itself(opened):
    for entry in range(0, len(opened), 97):
        found = opened.search(opened.vectors(np.array([entry]))[0], 3)
        assert found.similarity[0] == pytest.approx(1.0, abs=1e-3)
        assert entry in found.entry_ids


@pytest.mark.parametrize(
    "query",
    [np.ones(DIM + 1), np.ones((1, DIM)), np.full(DIM, np.nan), np.zeros(0)],
)
def test_wrong_queries_are_refused(opened, query):
    for ask in (
        lambda: opened.search(query, 3),
        lambda: opened.search_exact(query, 3),
        lambda: opened.similarity_at(query, np.zeros((1, 3))),
    ):
        with pytest.raises(IndexMismatchError, match=f"length {DIM}"):
            ask()


def test_coverage_follows_the_roads(opened):
    inside = opened.coverage(np.array([[0.0, 0.0], [-300.0, 3.0], [2.0, 450.0]]))
    assert inside.all()
    outside = np.array([[250.0, 250.0], [-300.0, 40.0], [1e9, 0.0], [np.nan, 0.0], [540.0, 0.0]])
    assert not opened.coverage(outside).any()
    assert opened.coverage(np.zeros((0, 2))).shape == (0,)


def test_it_keeps_the_protocol(opened):
    assert isinstance(opened, PlaceIndex)
    assert isinstance(opened.manifest.imagery, ImageryRecord)
    assert opened.manifest.count == len(opened)


def test_an_index_that_was_built_with_other_numbers_is_read(built, tmp_path):
    root = shutil.copytree(built, tmp_path / "index")
    manifest = load_manifest(root)
    other = dataclasses.replace(manifest, search={**manifest.search, "rounds": 7})
    (root / NAME).write_text(other.render(), encoding="utf-8")
    assert len(ShardedIndex.open(root)) == manifest.count
