# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Altered, truncated, foreign and crafted index files: each refused, none loaded."""

import dataclasses
import hashlib
import json
import shutil
import struct

import numpy as np
import pytest
from made_place import DIM, build, make_package

from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import IndexCorruptError, IndexMismatchError
from geoloc_ros.index.hnsw_file import check_graph
from geoloc_ros.index.manifest import NAME, load_manifest, record_file
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.shard import M, build_graph
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.verify import verify_index

FILES = 1 + 4 * 3


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "index")


def files_of(root):
    found = sorted(path for path in root.rglob("*") if path.is_file())
    assert len(found) == FILES
    return found


@pytest.mark.parametrize("number", range(FILES))
def test_flipped_bits_anywhere_are_refused(copy, number):
    path = files_of(copy)[number]
    original = path.read_bytes()
    rng = np.random.default_rng(number)
    places = [0, 7, len(original) // 2, len(original) - 1, *rng.integers(0, len(original), 6)]
    for place in places:
        damaged = bytearray(original)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises((IndexCorruptError, IndexMismatchError)):
            ShardedIndex.open(copy)
        assert not verify_index(copy).sound
    path.write_bytes(original)
    assert verify_index(copy).sound


def test_every_bit_of_the_manifest_counts(built, tmp_path):
    original = (built / NAME).read_bytes()
    for place in range(0, len(original), 7):
        damaged = bytearray(original)
        damaged[place] ^= 1 << (place % 8)
        (tmp_path / NAME).write_bytes(damaged)
        with pytest.raises((IndexCorruptError, IndexMismatchError)):
            load_manifest(tmp_path)


@pytest.mark.parametrize("number", range(FILES))
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_truncated_files_are_refused(copy, number, keep):
    path = files_of(copy)[number]
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(IndexCorruptError, match="index"):
        ShardedIndex.open(copy)


@pytest.mark.parametrize("number", range(FILES))
def test_missing_and_longer_files_are_refused(copy, number):
    path = files_of(copy)[number]
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    with pytest.raises(IndexCorruptError):
        ShardedIndex.open(copy)
    path.unlink()
    with pytest.raises(IndexCorruptError):
        ShardedIndex.open(copy)


def test_swapped_shards_are_refused(copy):
    first, second = sorted(copy.glob("shards/*.hnsw"))[:2]
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(IndexCorruptError):
        ShardedIndex.open(copy)


def test_no_index_at_all(tmp_path):
    with pytest.raises(IndexCorruptError, match="geoloc index build"):
        ShardedIndex.open(tmp_path / "nowhere")
    (tmp_path / NAME).mkdir()
    with pytest.raises(IndexCorruptError, match="no usable index"):
        ShardedIndex.open(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"schema": 1, "manifest_sha256": ""}', "[" * 100_000]
)
def test_nonsense_manifests(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(IndexCorruptError):
        load_manifest(tmp_path)


def test_a_manifest_of_another_schema(copy):
    content = json.loads((copy / NAME).read_text())
    (copy / NAME).write_text(json.dumps({**content, "schema": 99}, indent=1) + "\n")
    with pytest.raises(IndexMismatchError, match="schema 99"):
        ShardedIndex.open(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"files": {"query.onnx": "e" * 64, "reference.onnx": "b" * 64}}, "encoder"),
        ({"descriptor_dim": DIM * 2}, f"descriptor length {DIM}"),
        ({"metric": "l2"}, "metric"),
        ({"mean": (0.5, 0.5, 0.5)}, "preprocessing"),
        (
            {"query": QuerySpec(view="ground_plane", height_px=64, width_px=64, extent_m=40.0)},
            "preprocessing",
        ),
    ],
)
def test_another_model_is_refused_before_anything_is_loaded(copy, tmp_path, change, says):
    for path in copy.glob("shards/*"):
        path.unlink()
    with pytest.raises(IndexMismatchError, match=says):
        ShardedIndex.open(copy, make_package(tmp_path, **change))


def test_the_right_model_is_accepted(built, tmp_path):
    assert len(ShardedIndex.open(built, make_package(tmp_path))) > 1000


def forge(root, part, change):
    """Alter a file and make the manifest vouch for it, as an attacker would."""
    manifest = load_manifest(root)
    record = manifest.shards[0]
    path = record.path(root, part)
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content) or content)
    files = {**record.files, part: record_file(path)}
    shards = (dataclasses.replace(record, files=files), *manifest.shards[1:])
    (root / NAME).write_text(dataclasses.replace(manifest, shards=shards).render())
    return record


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("encoder_sha256",), "who knows"),
        (("encoder_sha256",), 7),
        (("model",), None),
        (("dim",), 10**400),
        (("metric",), "l2"),
        (("storage",), "float7"),
        (("cell_m",), -1),
        (("query", "view"), []),
        (("query", "width_px"), -4),
        (("reference", "extent_m"), "wide"),
        (("policy", "headings"), 4.5),
        (("roads_sha256",), ""),
        (("roads_sha256",), "a street"),
        (("schema",), 1),
        (("policy", "spacing_m"), "1"),
        (("origin", "lat_deg"), 91.0),
        (("hnsw", "M"), -1),
        (("hnsw",), []),
        (("imagery", "gsd_m"), "0.5"),
        (("imagery", "source"), []),
        (("shards", 0, "bounds_m", 0), float("nan")),
        (("shards", 0, "bounds_m", 0), 1e300),
        (("shards", 0, "bounds_m", 0), 10**400),
        (("shards", 0, "cell"), [-1, 0]),
        (("shards", 0, "cell", 0), float("inf")),
        (("shards", 0, "cell", 0), 10**30),
        (("shards", 0, "count"), -5),
        (("shards", 0, "files", "hnsw", "sha256"), 3),
        (("shards", 0, "files", "hnsw", "bytes"), "many"),
    ],
)
def test_nonsense_that_the_hash_vouches_for_is_refused(copy, keys, value):
    content = json.loads((copy / NAME).read_text())
    del content["manifest_sha256"]
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    assert inner[keys[-1]] != value
    inner[keys[-1]] = value
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (copy / NAME).write_text(json.dumps({**content, "manifest_sha256": digest}, indent=1) + "\n")
    with pytest.raises(IndexCorruptError, match=r"is damaged .*; build the index again"):
        load_manifest(copy)
    assert not verify_index(copy).sound


def poke(place, kind, value):
    def change(content):
        struct.pack_into(kind, content, place, value)

    return change


ELEMENT = 4 + 2 * M * 4 + DIM * 4 + 8


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (poke(8, "<Q", 10**9), "header"),
        (poke(16, "<Q", 3), "header"),
        (poke(24, "<Q", 8), "header"),
        (poke(32, "<Q", 0), "header"),
        (poke(52, "<I", 10**6), "entry point"),
        (poke(48, "<i", 1000), "entry point"),
        (poke(48, "<i", 3), "entry point|top level"),
        (poke(96, "<H", 5000), "link list is too long"),
        (poke(100, "<I", 10**6), "out of bounds"),
        (poke(96 + ELEMENT - 8, "<Q", 10**9), "labels"),
        (poke(96 + ELEMENT - 8, "<Q", 1), "labels"),
        (lambda content: content[:-4], "bytes|link lists"),
        (lambda content: content + b"\0\0\0\0", "left over"),
        (lambda content: content + b"\0", "left over"),
        (lambda content: content[:100], "bytes"),
        (lambda content: content[:0] or b"\0", "bytes"),
    ],
)
def test_crafted_graphs_never_reach_hnswlib(copy, change, says, monkeypatch):
    forge(copy, "hnsw", change)
    monkeypatch.setattr("hnswlib.Index", None)
    with pytest.raises(IndexCorruptError, match=says):
        ShardedIndex.open(copy)


def test_crafted_upper_links(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 8)).astype(np.float32)
    path = tmp_path / "graph"
    build_graph(vectors).save_index(str(path))
    check_graph(path, 500, 8, M)
    sound = path.read_bytes()
    start = 96 + 500 * (4 + 2 * M * 4 + 8 * 4 + 8)
    words = np.frombuffer(sound[start:], dtype="<u4")
    first = int(np.flatnonzero(words)[0])  # the first element on an upper level
    for offset, value, says in (
        (0, 7, "odd size"),
        (0, 40 * (4 + 4 * M), "odd size"),
        (0, 2 * int(words[first]), "link|bytes|level"),
        (1, 1000, "out of bounds"),
        (2, 500, "out of bounds"),
        (2, int(np.flatnonzero(words[:first] == 0)[0]), "not on that level"),
    ):
        crafted = bytearray(sound)
        struct.pack_into("<I", crafted, start + 4 * (first + offset), value)
        path.write_bytes(crafted)
        with pytest.raises(IndexCorruptError, match=says):
            check_graph(path, 500, 8, M)


def test_wrong_dimension_is_refused_even_with_matching_hashes(copy):
    def other(content):
        return np_bytes(np.ones((3, DIM // 2), np.float32))

    forge(copy, "descriptors.npy", other)
    with pytest.raises(IndexCorruptError, match=rf"expected float32 \(\d+, {DIM}\)"):
        ShardedIndex.open(copy)


def np_bytes(array, **options):
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_pickles_are_never_loaded(copy):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    forge(copy, "poses.npy", lambda _: np_bytes(np.array([Bomb()], object), allow_pickle=True))
    with pytest.raises(IndexCorruptError, match="no array"):
        ShardedIndex.open(copy)


def test_values_that_are_no_descriptors_or_poses(copy):
    forge(copy, "descriptors.npy", lambda content: content[:-4] + struct.pack("<f", np.nan))
    with pytest.raises(IndexCorruptError, match="unit length"):
        ShardedIndex.open(copy)


def test_ef_is_set_after_loading(opened):
    for _, shard in opened._graphs:
        assert shard.graph.ef >= 100


def test_verify_reports_everything_that_is_wrong(copy, tmp_path):
    sound = verify_index(copy, make_package(tmp_path))
    assert sound.sound
    assert sound.recall >= 0.99
    (copy / "shards" / "note.txt").write_text("hello")
    paths = sorted(copy.glob("shards/*.npy"))
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:-1])
    found = verify_index(copy, make_package(tmp_path, descriptor_dim=3))
    text = "\n".join(found.problems)
    assert "note.txt does not belong" in text
    assert "descriptor length" in text
    assert sum(path.name in text for path in paths) >= 1
    assert len(found.problems) >= 3


def test_grid_index_opens_and_interpolates(tmp_path):
    policy = SamplingPolicy(kind="grid", pitch_m=50.0, headings=4)
    manifest = build(tmp_path / "index", policy=policy)
    index = ShardedIndex.open(tmp_path / "index")
    assert manifest.count == len(index) > 1000
    similarity, supported = index.similarity_at(index.descriptors[5], index.poses[5:6])
    assert supported.all()
    assert similarity[0] > 0.8
