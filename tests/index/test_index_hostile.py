# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Altered, truncated, foreign and crafted index files: each refused, none loaded."""

import dataclasses
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_place import DIM, build, make_package

from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import IndexCorruptError, IndexMismatchError
from geoloc_ros.index import clusters
from geoloc_ros.index.arrays import to_bytes
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.records import FileRecord, part_path
from geoloc_ros.index.shard import open_shard
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.verify import verify_index

FILES = 1 + 4 * 6


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
    first, second = sorted(copy.glob("shards/*.codes.npy"))[:2]
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
    "text", ["", "null", "[]", "{}", '{"schema": 4, "manifest_sha256": ""}', "[" * 100_000]
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
    content = bytearray(record.path(root, part).read_bytes())
    changed = change(content)
    content = content if changed is None else changed
    file = FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    part_path(root, record.stem, part, file).write_bytes(content)
    record = dataclasses.replace(record, files={**record.files, part: file})
    shards = (record, *manifest.shards[1:])
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
        (("storage",), []),
        (("updates",), -1),
        (("query", "view"), []),
        (("query", "width_px"), -4),
        (("reference", "extent_m"), "wide"),
        (("policy", "headings"), 4.5),
        (("roads_sha256",), ""),
        (("roads_sha256",), "a street"),
        (("policy", "spacing_m"), "1"),
        (("origin", "lat_deg"), 91.0),
        (("search", "kind"), "guessing"),
        (("search", "kind"), []),
        (("search", "rounds"), 0),
        (("search", "per_cluster"), "many"),
        (("search",), []),
        (("search",), {"kind": "hnsw"}),
        (("search",), {"kind": "clusters"}),
        (("search",), {"kind": "clusters", "per_cluster": 20, "rounds": 5, "more": 1}),
        (("imagery", "gsd_m"), "0.5"),
        (("imagery", "source"), []),
        (("shards", 0, "bounds_m", 0), float("nan")),
        (("shards", 0, "bounds_m", 0), -4000.001),
        (("shards", 0, "bounds_m", 3), 0.0),
        (("shards", 0, "bounds_m", 0), 1e300),
        (("shards", 0, "bounds_m", 0), 10**400),
        (("shards", 0, "cell"), [0, -1, 0]),
        (("shards", 0, "cell"), [1, -2, -2]),
        (("shards", 0, "cell"), [1, 0, 0]),
        (("shards", 0, "cell"), [-1, 0]),
        (("shards", 0, "cell", 0), 7),
        (("shards", 0, "cell", 0), -1),
        (("shards", 0, "cell", 0), 10**30),
        (("shards", 0, "cell", 1), float("inf")),
        (("shards", 0, "cell", 1), 10**30),
        (("shards", 0, "count"), -5),
        (("shards", 0, "count"), 65_536),
        (("shards", 0, "files", "codes.npy", "sha256"), 3),
        (("shards", 0, "files", "codes.npy", "sha256"), "../../../etc/passwd"),
        (("shards", 0, "files", "codes.npy", "bytes"), "many"),
        (("shards", 0, "files"), {}),
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


def test_pickles_are_never_loaded(copy):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    pickled = io.BytesIO()
    np.save(pickled, np.array([Bomb()], object), allow_pickle=True)
    for part in PARTS:
        forge(copy, part, lambda _: pickled.getvalue())
        with pytest.raises(IndexCorruptError, match="holds no array of"):
            ShardedIndex.open(copy)


PARTS = ("poses.npy", "codes.npy", "scale.npy", "fine.npy", "centres.npy", "edges.npy")


def change_array(change):
    """A change of a file by a change of the array in it."""
    return lambda content: to_bytes(change(np.load(io.BytesIO(content))))


def put(value, *place):
    def change(array):
        array[place] = value
        return array

    return change_array(change)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "change",
    [
        change_array(lambda array: array[:-1]),
        change_array(lambda array: array[..., None]),
        change_array(lambda array: array.astype(np.float64)),
        change_array(lambda array: array.astype(array.dtype.newbyteorder(">"))
                     if array.itemsize > 1 else array.astype("?")),
        change_array(lambda array: np.concatenate([array, array])),
        change_array(lambda array: np.array(3.0, dtype=array.dtype)),
        lambda content: content + b"\0",
        lambda content: content[:-1],
        lambda content: content[:50],
        lambda content: b"\x93NUMPY\x02\x00" + content[8:],
        lambda content: b"\x93NUMPY\x01\x00\xff\xff" + content[10:],
        lambda content: content.replace(b"False", b"True "),
        lambda content: content.replace(b"(", b"(-"),
        lambda content: content.replace(b"(", b"(9"),
        lambda content: content.replace(b"{'descr'", b"{'dascr'"),
        lambda content: content.replace(b"'shape'", b"'shape' "),
        lambda content: b"",
        lambda content: b"hello",
    ],
)  # fmt: skip
def test_crafted_arrays_are_refused(copy, part, change):
    before = load_manifest(copy).shards[0].path(copy, part).read_bytes()
    record = forge(copy, part, change)
    assert record.path(copy, part).read_bytes() != before
    with pytest.raises(IndexCorruptError, match=r"holds .*; build the index again"):
        open_shard(copy, record, load_manifest(copy))


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("poses.npy", put(np.nan, 3, 0), "not in its cell of 4000 m"),
        ("poses.npy", put(np.inf, 3, 2), "not finite"),
        ("poses.npy", put(1e9, 3, 2), "not finite"),
        ("poses.npy", put(-0.001, 0, 1), "not in its cell"),
        ("poses.npy", put(4000.0, 0, 1), "not in its cell"),
        ("scale.npy", put(np.nan, 5), "steps out of bounds"),
        ("scale.npy", put(0.0, 5), "steps out of bounds"),
        ("scale.npy", put(-0.001, 5), "steps out of bounds"),
        ("scale.npy", put(np.inf, 5), "steps out of bounds"),
        ("scale.npy", put(0.9, 5), "not of unit length"),
        ("codes.npy", put(0, 7), "not of unit length"),
        ("codes.npy", put(-128, 7), "not of unit length"),
        ("edges.npy", put(1, 0), "do not divide"),
        ("edges.npy", put(2**32 - 1, -1), "do not divide"),
        ("edges.npy", put(2**31, 1), "do not divide"),
        ("edges.npy", put(0, 1), "do not divide"),
        ("centres.npy", put(np.nan, 1, 1), "centres"),
        ("centres.npy", put(2.0, 1, 1), "centres"),
    ],
)
def test_values_that_no_build_writes_are_refused(copy, part, change, says):
    record = forge(copy, part, change)
    with pytest.raises(IndexCorruptError, match=says):
        open_shard(copy, record, load_manifest(copy))


def test_a_file_longer_than_its_entries_is_not_read(copy):
    manifest = load_manifest(copy)
    first = manifest.shards[0]
    for part in manifest.parts:
        long = dataclasses.replace(first.files[part], bytes=2**40)
        path = first.path(copy, part)
        kept = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(2**40)  # takes no room on the disk
        files = dict(first.files) | {part: long}
        shards = (dataclasses.replace(first, files=files), *manifest.shards[1:])
        crafted = dataclasses.replace(manifest, shards=shards)
        with pytest.raises(IndexCorruptError, match=r"no array of .*build the index again"):
            open_shard(copy, crafted.shards[0], crafted)
        path.write_bytes(kept)


def test_entries_of_another_number_than_the_manifest_says(copy):
    manifest = load_manifest(copy)
    first = dataclasses.replace(manifest.shards[0], count=manifest.shards[0].count - 1)
    shards = (first, *manifest.shards[1:])
    (copy / NAME).write_text(dataclasses.replace(manifest, shards=shards).render())
    with pytest.raises(IndexCorruptError, match=r"no array of float32 \(681, 3\)"):
        ShardedIndex.open(copy)


def test_the_bytes_that_are_verified_are_the_ones_that_are_used(copy, monkeypatch):
    """A file that changes once it was looked at changes nothing; none is opened twice."""
    manifest = load_manifest(copy)
    record, opened = manifest.shards[0], []
    once = Path.open

    def watched(self, *arguments, **options):
        opened.append(self)
        return once(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", watched)
    shard = open_shard(copy, record, manifest)
    assert sorted(opened) == sorted(record.path(copy, part) for part in PARTS)
    before = shard.decode()
    for path in list(opened):
        path.write_bytes(b"\0" * path.stat().st_size)
    assert np.array_equal(shard.decode(), before)


def test_a_search_that_finds_too_little_is_told_of(built, monkeypatch):
    monkeypatch.setattr(clusters, "_PROBES", 1)
    monkeypatch.setattr(clusters, "_SHARE", 0.0)
    found = verify_index(built)
    assert found.recall < 0.95
    assert "of the ten nearest entries" in " ".join(found.problems)


def test_hnsw_links_are_checked(tmp_path):
    root = tmp_path / "index"
    build(root, search="hnsw", policy=SamplingPolicy(spacing_m=20.0))
    assert verify_index(root).sound
    for part, change in (
        ("links.npy", put(60_000, 3)),
        ("degrees.npy", put(255, 0)),
        ("links.npy", change_array(lambda array: array[1:])),
    ):
        there = shutil.copytree(root, tmp_path / "copy", dirs_exist_ok=True)
        forge(there, part, change)
        with pytest.raises(IndexCorruptError, match="links that are not between"):
            ShardedIndex.open(there)


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


def test_verify_of_an_index_without_its_shards(copy):
    shutil.rmtree(copy / "shards")
    found = verify_index(copy)
    assert len(found.problems) == 4
    assert all("cannot read" in problem for problem in found.problems)


def test_grid_index_opens_and_interpolates(tmp_path):
    policy = SamplingPolicy(kind="grid", pitch_m=50.0, headings=4)
    manifest = build(tmp_path / "index", policy=policy)
    index = ShardedIndex.open(tmp_path / "index")
    assert manifest.count == len(index) > 1000
    entry = np.array([5])
    similarity, supported = index.similarity_at(index.vectors(entry)[0], index.anchors(entry))
    assert supported.all()
    assert similarity[0] > 0.8
