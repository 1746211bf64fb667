# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Entries that are added to an index, replaced and removed, while others read it."""

import dataclasses
import errno
import fcntl
import os
import shutil

import numpy as np
import pytest
from made_place import DIM, build
from pulling import content
from test_index_describe import Describer, describe

from geoloc_ros import durable
from geoloc_ros.errors import IndexBuildError, IndexMismatchError
from geoloc_ros.index import quadtree
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.updates import add_entries, collect, remove_entries, replace_shard
from geoloc_ros.index.verify import verify_index

NORTH_EAST = (0, 0, 0)


@pytest.fixture
def root(built, tmp_path):
    return shutil.copytree(built, tmp_path / "index")


def made(count, low, high, seed=0):
    """Poses (count, 3) in a square from low to high, m, and descriptors for them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    poses = np.column_stack([rng.uniform(low, high, (count, 2)), rng.uniform(-3, 3, count)])
    return poses, vectors.astype(np.float32)


def every(index):
    """Poses and descriptors of all entries, in an order that depends on the poses only."""
    ids, poses = index.entries()
    order = np.lexsort(np.round(poses, 2).T)
    return poses[order], index.vectors(ids[order])


def test_entries_are_added_to_their_cells_and_to_new_ones(built, root):
    old = load_manifest(root)
    poses, vectors = made(50, 10.0, 300.0)
    far, far_vectors = made(5, 9000.0, 9100.0, seed=1)
    manifest = add_entries(root, np.vstack([poses, far]), np.vstack([vectors, far_vectors]))
    assert manifest == load_manifest(root)
    assert (manifest.count, manifest.updates) == (old.count + 55, 1)
    assert {record.cell for record in manifest.shards} == {
        *(record.cell for record in old.shards),
        (0, 2, 2),
    }
    before = {record.cell: record for record in old.shards}
    for record in manifest.shards:
        if record.cell not in (NORTH_EAST, (0, 2, 2)):
            assert record == before[record.cell]
    index, was = ShardedIndex.open(root), ShardedIndex.open(built)
    for pose, vector in zip(poses[:9], vectors[:9], strict=True):
        found = index.search(vector, 1)
        assert np.allclose(found.poses[0], pose, atol=1e-3)
        assert found.similarity[0] > 0.999
    query = was.vectors(np.array([3]))[0]
    assert np.allclose(
        index.search(query, 5).similarity, was.search(query, 5).similarity, atol=0.01
    )
    assert index.coverage(far[:, :2]).all()
    assert verify_index(root).sound


def test_a_shard_is_replaced_and_the_others_are_not_touched(root):
    files = content(root / "shards")
    poses, vectors = made(40, 5.0, 60.0)
    manifest = replace_shard(root, NORTH_EAST, poses, vectors)
    index = ShardedIndex.open(root)
    mine = next(record for record in manifest.shards if record.cell == NORTH_EAST)
    assert mine.count == 40
    ids, found = index.entries()
    inside = (found[:, :2] >= 0.0).all(axis=1)
    assert inside.sum() == 40
    wanted = vectors[np.lexsort(np.round(poses, 2).T)]
    rows = ids[inside][np.lexsort(np.round(found[inside], 2).T)]
    assert ((index.vectors(rows) * wanted).sum(axis=1) > 0.999).all()
    there = content(root / "shards")
    assert all(there[name] == files[name] for name in files)  # for whoever has it open
    assert len(there) == len(files) + len(mine.files)
    assert replace_shard(root, (0, 3, 3), *made(3, 12_001.0, 12_900.0)).count == index_count(root)
    empty = made(0, 0.0, 1.0)
    assert NORTH_EAST not in [s.cell for s in replace_shard(root, NORTH_EAST, *empty).shards]
    assert verify_index(root).sound


def index_count(root):
    return len(ShardedIndex.open(root))


def test_entries_are_removed_where_somebody_says_so(built, root):
    was = every(ShardedIndex.open(built))
    manifest = remove_entries(root, lambda poses: poses[:, 0] > 100.0)
    now = every(ShardedIndex.open(root))
    kept = was[0][:, 0] <= 100.0
    assert manifest.count == np.count_nonzero(kept) == len(now[0])
    assert np.allclose(now[0], was[0][kept], atol=1e-3)
    assert ((now[1] * was[1][kept]).sum(axis=1) > 0.999).all()
    assert verify_index(root).sound
    again = remove_entries(root, lambda poses: poses[:, 0] > 100.0)
    assert again == manifest  # nothing to do is no update
    with pytest.raises(IndexBuildError, match=r"nothing would be left .*; remove the folder"):
        remove_entries(root, lambda poses: np.ones(len(poses), dtype=bool))
    assert load_manifest(root) == manifest


def test_cells_that_become_too_full_are_split(root, monkeypatch):
    monkeypatch.setattr(quadtree.divided, "__defaults__", (800,))
    old = load_manifest(root)
    manifest = add_entries(root, *made(1500, 1.0, 3900.0))
    mine = [record for record in manifest.shards if record.bounds_m[0] >= 0 < record.bounds_m[1]]
    assert len(mine) > 4
    assert all(record.count <= 800 for record in mine)
    assert sum(record.count for record in mine) == old.shards[-1].count + 1500
    # and once more: those that are split already stay what they are
    again = add_entries(root, *made(10, 3000.0, 3100.0))
    assert {record.cell for record in again.shards} == {record.cell for record in manifest.shards}
    assert verify_index(root).sound


@pytest.mark.parametrize("storage", ["int8", "int12", "float16", "float32"])
@pytest.mark.parametrize("search", ["clusters", "hnsw"])
def test_what_is_stored_otherwise_is_changed_like_it(tmp_path, storage, search):
    policy = SamplingPolicy(spacing_m=8.0)
    build(tmp_path / "index", storage=storage, search=search, policy=policy)
    poses, vectors = made(30, 10.0, 300.0)
    manifest = add_entries(tmp_path / "index", poses, vectors)
    assert (manifest.storage, manifest.search["kind"]) == (storage, search)
    index = ShardedIndex.open(tmp_path / "index")
    assert np.allclose(index.search_approximate(vectors[4], 1).poses[0], poses[4], atol=1e-3)
    assert verify_index(tmp_path / "index").sound


def test_whoever_has_it_open_reads_on(root):
    """With shards that are read when they are needed, which they are after the update."""
    old, whole = ShardedIndex.open(root, budget_mb=0.0), every(ShardedIndex.open(root))
    replace_shard(root, NORTH_EAST, *made(40, 5.0, 60.0))
    remove_entries(root, lambda poses: poses[:, 1] < -100.0)
    for one, other in zip(every(old), whole, strict=True):
        assert np.array_equal(one, other)
    size = sum(len(data) for data in content(root).values())
    freed = collect(root)
    assert freed > 0
    assert sum(len(data) for data in content(root).values()) == size - freed
    assert collect(root) == 0
    assert verify_index(root).sound
    assert len(every(old)[0]) < len(whole[0])  # now they are gone, which is no crash


def test_descriptions_stay_with_their_entries(root):
    describe(root)
    was = ShardedIndex.open(root)
    ids, poses = was.entries()
    said = was.descriptions(ids)
    new, vectors = made(20, 10.0, 300.0)
    add_entries(root, new, vectors)
    remove_entries(root, lambda poses: poses[:, 1] < -250.0)
    replace_shard(root, (0, 3, 3), *made(6, 12_001.0, 12_900.0, seed=4))  # all of it silent
    index = ShardedIndex.open(root)
    now, there = index.entries()
    near = np.abs(there[:, None, :] - poses[None]).max(axis=2)
    known = near.min(axis=1) < 2e-3
    assert np.count_nonzero(~known) == 26
    found = index.descriptions(now)
    assert not found[~known].any()
    assert np.array_equal(found[known], said[near.argmin(axis=1)[known]])
    assert verify_index(root).sound


def test_only_cells_with_new_entries_are_described_again(root):
    describe(root, first := Describer())
    new, vectors = made(20, 10.0, 300.0)
    add_entries(root, new, vectors)
    describe(root, again := Describer())
    assert 0 < again.seen < first.seen
    index = ShardedIndex.open(root)
    assert index.descriptions(index.entries()[0]).any(axis=1).all()


def test_the_search_of_an_older_build_becomes_that_of_now(root):
    now = load_manifest(root)
    older = dataclasses.replace(now, search=now.search | {"per_cluster": 32})
    (root / NAME).write_text(older.render())
    poses, vectors = made(9, 10.0, 300.0)
    assert add_entries(root, poses, vectors).search == now.search


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p, v: (p[:, :2], v), r"poses \(9, 2\)"),
        (lambda p, v: (p, v[:, :-1]), rf"descriptors \(9, {DIM - 1}\) .* \(N, {DIM}\) are needed"),
        (lambda p, v: (p[:-1], v), r"are no entries of this index"),
        (lambda p, v: (p * np.nan, v), r"pose \[nan, nan, nan\] of entry 0 is none"),
        (
            lambda p, v: (np.add(p, (6e4, 0, 0)), v),
            "of entry 0 is none: x and y lie within 50000 m",
        ),
        (lambda p, v: (p * 1e30, v), "of entry 0 is none"),
        (lambda p, v: (np.add(p, (0, 0, 150)), v), "yaw within 100 rad; leave it out"),
        (lambda p, v: (p, 2.0 * v), "not of unit length"),
        (lambda p, v: (p, v * np.nan), "not of unit length"),
    ],
)
def test_what_are_no_entries_of_it_are_refused(root, change, says):
    before = content(root)
    poses, vectors = change(*made(9, 10.0, 300.0))
    with pytest.raises(IndexMismatchError, match=says):
        add_entries(root, poses, vectors)
    with pytest.raises(IndexMismatchError, match=says):
        replace_shard(root, NORTH_EAST, poses, vectors)
    assert content(root) == before


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ((1, 0, 0), "overlaps those of"),
        ((-1, 0, 0), "overlaps those of"),
        ((0, -1, 0), "poses lie outside cell"),
        ((0, 500, 0), "overlaps those of"),
    ],
)
def test_cells_that_do_not_fit_are_refused(root, cell, says):
    before = content(root)
    with pytest.raises(IndexBuildError, match=says):
        replace_shard(root, cell, *made(9, 10.0, 300.0))
    assert content(root) == before


def test_two_at_once(root):
    handle = os.open(root / "shards", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(IndexBuildError, match=r"another command is changing .*; wait for it"):
            remove_entries(root, lambda poses: poses[:, 0] > 100.0)
    finally:
        os.close(handle)
    remove_entries(root, lambda poses: poses[:, 0] > 100.0)


@pytest.mark.parametrize("after", range(9))
def test_a_stop_at_any_moment_leaves_the_old_or_the_new(built, root, monkeypatch, after):
    """By a disk that is full from the n-th file on: six files of a shard, then the manifest."""
    written, once = [], durable.write_bytes

    def full(path, data):
        written.append(path)
        if len(written) > after:
            path.write_bytes(bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        once(path, data)

    monkeypatch.setattr(durable, "write_bytes", full)
    poses, vectors = made(40, 5.0, 60.0)
    if after < 7:
        with pytest.raises(IndexBuildError, match=r"No space .* The index is as it was"):
            replace_shard(root, NORTH_EAST, poses, vectors)
        assert load_manifest(root) == load_manifest(built)
    else:
        replace_shard(root, NORTH_EAST, poses, vectors)
    assert verify_index(root).sound
    monkeypatch.setattr(durable, "write_bytes", once)
    replace_shard(root, NORTH_EAST, poses, vectors)
    assert verify_index(root).sound
    collect(root)
    names = {path.name for path in (root / "shards").iterdir()}
    assert len(names) == sum(len(record.files) for record in load_manifest(root).shards)
    assert sorted(path.name for path in root.iterdir()) == [NAME, "shards"]
