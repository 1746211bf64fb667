# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Random damage to every file of an index: none is taken for the index, none does any harm."""

import dataclasses
import hashlib
import logging
import shutil

import numpy as np
import pytest
from made_place import build
from test_index_describe import describe

from geoloc_ros.errors import IndexCorruptError, IndexError_
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.records import FileRecord, part_path
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.verify import verify_index

DAMAGED, VOUCHED = 5000, 1000  # rounds, for each kind of index
KINDS = {"int12-clusters": ("int12", "clusters"), "float16-hnsw": ("float16", "hnsw")}


def place(out, spacing_m, **options):
    """An index of a road from the west to the east, north of the origin."""
    along = np.linspace(-400.0, 400.0, 11)
    road = Road(np.stack([along, np.full_like(along, 50.0)], axis=1))
    policy = SamplingPolicy(spacing_m=spacing_m)
    return build(out, roads=[road], policy=policy, **options)


@pytest.fixture(scope="module", params=KINDS)
def small(request, tmp_path_factory):
    """A described index of two shards."""
    storage, search = KINDS[request.param]
    out = tmp_path_factory.mktemp("small") / "index"
    place(out, 4.0, storage=storage, search=search)
    describe(out)
    return out


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """Files of another state of the same place."""
    out = tmp_path_factory.mktemp("older") / "index"
    place(out, 4.5)
    return [path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()]


def flipped(rng, content):
    for place in rng.integers(0, len(content), rng.integers(1, 4)):
        content[place] ^= 1 << int(rng.integers(8))


def overwritten(rng, content):
    begin = int(rng.integers(len(content)))
    size = len(content[begin : begin + int(rng.integers(1, 200))])
    content[begin : begin + size] = bytes(size) if rng.random() < 0.5 else rng.bytes(size)


def truncated(rng, content):
    del content[int(rng.integers(len(content))) :]


def extended(rng, content):
    content += rng.bytes(int(rng.integers(1, 100)))


def moved(rng, content):
    begin, size = int(rng.integers(len(content))), int(rng.integers(1, 9))
    content[begin:begin] = content[:size]
    del content[-size:]


WAYS = (flipped, flipped, overwritten, truncated, extended, moved)


def damaged(rng, files, older, path):
    """Other bytes than a file has: damaged ones, or those of another file."""
    found = bytearray(files[path])
    while found == files[path]:
        if rng.random() < 0.2:
            others = older if rng.random() < 0.5 else list(files.values())
            found = bytearray(others[rng.integers(len(others))])
        else:
            WAYS[rng.integers(len(WAYS))](rng, found)
    return found


def files_of(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*.*")) if path.is_file()}


def write(path, content):
    """In place, which spares the disk."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def test_no_damage_is_taken_for_the_index(small, older, tmp_path):
    root = shutil.copytree(small, tmp_path / "index")
    files, rng = files_of(root), np.random.default_rng(1)
    paths = list(files)
    assert len(paths) == 1 + 2 * 8
    for _ in range(DAMAGED):
        path = paths[rng.integers(len(paths))]
        content = damaged(rng, files, older, path)
        write(path, content)
        with pytest.raises(IndexError_, match="index"):
            ShardedIndex.open(root)
        assert not verify_index(root).sound
        write(path, files[path])
    assert verify_index(root).sound


def test_damage_that_is_met_on_the_way_leaves_the_other_shards(small, older, tmp_path, caplog):
    """With shards read when they are needed, what is damaged is left out and nothing else."""
    caplog.set_level(logging.CRITICAL)
    root = shutil.copytree(small, tmp_path / "index")
    files, rng, manifest = files_of(root), np.random.default_rng(2), load_manifest(root)
    whole = ShardedIndex.open(root)
    ids, poses = whole.entries()
    query = whole.vectors(ids[:1])[0]
    of = {
        record.path(root, part): number
        for number, record in enumerate(manifest.shards)
        for part in record.files
    }
    starts = np.cumsum([0, *(record.count for record in manifest.shards)])
    for _ in range(300):
        path = list(of)[rng.integers(len(of))]
        content = damaged(rng, files, older, path)
        write(path, content)
        if len(content) != len(files[path]):
            with pytest.raises(IndexCorruptError, match="bytes, the manifest says"):
                ShardedIndex.open(root, budget_mb=0.0)
        else:
            index = ShardedIndex.open(root, budget_mb=0.0)
            first, last = starts[of[path] : of[path] + 2]
            sound = np.flatnonzero((ids < first) | (ids >= last))
            found = index.search_exact(query, len(ids))
            assert np.array_equal(np.sort(found.entry_ids), sound)
            assert set(index.search_approximate(query, 20).entry_ids) <= set(sound)
            assert np.isfinite(index.similarity_at(query, poses)[0]).all()
            assert not index.vectors(ids[first:last]).any()
            assert not index.descriptions(ids[first:last]).any()
        write(path, files[path])


def test_damage_that_the_manifest_vouches_for_does_no_harm(small, older, tmp_path):
    """As of somebody who computes hashes: refused, or an index that answers sanely."""
    root = shutil.copytree(small, tmp_path / "index")
    files, rng, manifest = files_of(root), np.random.default_rng(3), load_manifest(root)
    query = ShardedIndex.open(root).vectors(np.array([0]))[0]
    refused = 0
    for _ in range(VOUCHED):
        record = manifest.shards[0]
        part = list(record.files)[rng.integers(len(record.files))]
        content = damaged(rng, files, older, record.path(root, part))
        file = FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        path = part_path(root, record.stem, part, file)
        path.write_bytes(content)
        forged = dataclasses.replace(record, files={**record.files, part: file})
        shards = (forged, *manifest.shards[1:])
        write(root / NAME, dataclasses.replace(manifest, shards=shards).render().encode())
        try:
            index = ShardedIndex.open(root)
        except IndexCorruptError:
            refused += 1
        else:
            assert len(index) == manifest.count
            for found in (index.search_approximate(query, 10), index.search_exact(query, 10)):
                assert len(found) == 10
                assert ((found.entry_ids >= 0) & (found.entry_ids < len(index))).all()
                assert np.isfinite(found.poses).all()
                assert (np.abs(found.similarity) < 1.2).all()
            similarity, _ = index.similarity_at(query, found.poses)
            assert np.isfinite(similarity).all()
            assert np.isfinite(index.descriptions(found.entry_ids)).all()
        path.unlink()
    assert 0.3 * VOUCHED < refused < VOUCHED
