# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Builds: reproducible bytes, interruption, full disks, nothing to index, what is replaced."""

import errno
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from made_place import DIM, build, make_package, make_picture, make_roads

from geoloc_ros import durable
from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.errors import IndexBuildError, IndexMismatchError
from geoloc_ros.index import workplace
from geoloc_ros.index.build import is_current
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


class Stopping(FakeEncoder):
    """Is interrupted after some batches."""

    def __init__(self, batches):
        super().__init__(DIM)
        self.left = batches
        self.encoded = 0

    def encode_reference(self, crops):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.encoded += len(crops)
        return super().encode_reference(crops)


def test_two_builds_have_the_same_bytes(built, tmp_path):
    build(tmp_path / "again", workers=3)
    assert content(tmp_path / "again") == content(built)


def test_what_is_indexed_is_what_the_encoder_says(opened):
    from geoloc_ros.imagery.crops import crops

    package = make_package(Path())
    some = np.arange(0, len(opened), 131)
    images, _ = crops(
        make_picture(),
        opened.anchors(some),
        package.reference,
        tuple(255.0 * value for value in package.mean),
    )
    wanted = FakeEncoder(DIM).encode_reference(images)
    assert np.abs((opened.vectors(some) * wanted).sum(axis=1) - 1.0).max() < 1e-5


def test_manifest_tells_the_provenance(opened):
    manifest = opened.manifest
    assert manifest.imagery.source == "made.tif"
    assert manifest.imagery.attribution == "nobody"
    assert manifest.policy == SamplingPolicy()
    assert manifest.encoder_sha256 == make_package(Path()).encoder_sha256
    west, south, east, north = manifest.bounds_m
    x, y = opened.entries()[1][:, :2].T
    assert (west, south, east, north) == (x.min(), y.min(), x.max(), y.max())


def test_interrupted_build_continues_to_the_same_bytes(built, tmp_path):
    out = tmp_path / "index"
    with pytest.raises(KeyboardInterrupt):
        build(out, encoder=Stopping(88))
    assert not out.exists()
    done = list((tmp_path / "index.partial" / "done").iterdir())
    assert 1 <= len(done) < 4
    second = Stopping(-1)
    build(out, encoder=second)
    assert second.encoded < ShardedIndex.open(built).manifest.count
    assert content(out) == content(built)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_killed_build_continues_to_the_same_bytes(built, tmp_path):
    """SIGKILL between two shards."""
    out = tmp_path / "index"
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from made_place import build
        from geoloc_ros.index import workplace
        keep = workplace.Workplace.keep
        calls = []
        def dying(self, record):
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            calls.append(1)
            keep(self, record)
        workplace.Workplace.keep = dying
        build(Path({str(out)!r}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert done.returncode == -9
    assert not out.exists()
    build(out)
    assert content(out) == content(built)


def test_a_damaged_finished_shard_is_done_again(built, tmp_path):
    out = tmp_path / "index"
    with pytest.raises(KeyboardInterrupt):
        build(out, encoder=Stopping(88))
    for path in (tmp_path / "index.partial" / "shards").iterdir():
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
    build(out)
    assert content(out) == content(built)


@pytest.mark.parametrize("change", ["policy", "model", "picture", "roads"])
def test_left_overs_of_another_build_are_not_used(tmp_path, change):
    out = tmp_path / "index"
    with pytest.raises(KeyboardInterrupt):
        build(out, encoder=Stopping(88))
    other = {
        "policy": {"policy": SamplingPolicy(seed=5)},
        "model": {"package": make_package(tmp_path, files={"query.onnx": "c" * 64})},
        "picture": {"picture": make_picture(hole=(-300, -20, -200, 20))},
        "roads": {"roads": [Road(road.xy_m + 0.25, road.oneway) for road in make_roads()]},
    }[change]
    counting = Stopping(-1)
    manifest = build(out, encoder=counting, **other)
    assert counting.encoded >= manifest.count


OTHER_ROADS = {
    "a vertex": lambda roads: [Road(roads[0].xy_m + 0.01), *roads[1:]],
    "a flag": lambda roads: [Road(roads[0].xy_m, oneway=True), *roads[1:]],
    "the order": lambda roads: roads[::-1],
    "a direction": lambda roads: [*roads[:3], Road(roads[3].xy_m[::-1], oneway=True)],
    "one less": lambda roads: roads[:-1],
    "none": lambda roads: None,
}


@pytest.mark.parametrize("what", OTHER_ROADS)
def test_an_index_of_other_roads_is_not_current(built, what):
    arguments = (built, make_picture(), make_package(Path()), SamplingPolicy())
    assert is_current(*arguments, make_roads())
    jitter = [Road(road.xy_m + 1e-9, road.oneway) for road in make_roads()]
    assert is_current(*arguments, jitter), "another machine's last digit is no other road"
    assert not is_current(*arguments, OTHER_ROADS[what](make_roads()))


@pytest.mark.parametrize("change", [{"storage": "float16"}, {"search": "hnsw"}])
def test_an_index_that_is_stored_or_searched_otherwise_is_not_current(built, tmp_path, change):
    arguments = (make_picture(), make_package(Path()), SamplingPolicy(), make_roads())
    assert not is_current(built, *arguments, **change)
    build(tmp_path / "index", **change)
    assert is_current(tmp_path / "index", *arguments, **change)
    assert not is_current(tmp_path / "index", *arguments)
    index, usual = ShardedIndex.open(tmp_path / "index"), ShardedIndex.open(built)
    query = usual.vectors(np.array([40]))[0]
    one, other = index.search_approximate(query, 5), usual.search_exact(query, 5)
    assert np.allclose(one.poses, other.poses, atol=1e-3)
    assert np.allclose(one.similarity, other.similarity, atol=3e-3)


@pytest.mark.parametrize("schema", [1, 2, 3, 5])
def test_an_index_of_another_schema_is_refused_and_built_anew(built, tmp_path, schema):
    root = shutil.copytree(built, tmp_path / "index")
    text = json.loads((root / "manifest.json").read_text())
    old = {key: text[key] for key in text if key != "manifest_sha256"} | {"schema": schema}
    digest = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()
    (root / "manifest.json").write_text(
        json.dumps({**old, "manifest_sha256": digest}, indent=1) + "\n"
    )
    with pytest.raises(IndexMismatchError, match=f"schema {schema}, .* and build it again"):
        ShardedIndex.open(root, make_package(Path()))
    arguments = (make_picture(), make_package(Path()), SamplingPolicy())
    assert not is_current(root, *arguments, make_roads())
    build(root)
    assert content(root) == content(built)


def test_files_of_another_schema_are_left_to_whoever_wrote_them(built, tmp_path):
    root = shutil.copytree(built, tmp_path / "index")
    text = (root / "manifest.json").read_text().replace('"schema": 4', '"schema": 2')
    (root / "manifest.json").write_text(text)
    (root / "shards" / "x+000y+000.hnsw").write_text("a graph")
    with pytest.raises(IndexBuildError, match=r"hnsw and is of schema 2, not 4; .* or remove it"):
        build(root)


def test_a_grid_has_no_roads(tmp_path):
    policy = SamplingPolicy(kind="grid", pitch_m=200.0, headings=1)
    manifest = build(tmp_path / "index", policy=policy)
    assert manifest.roads_sha256 == ""
    arguments = (tmp_path / "index", make_picture(), make_package(tmp_path), policy)
    assert is_current(*arguments)
    assert is_current(*arguments, make_roads())


def test_interruption_leaves_the_old_index(built, tmp_path):
    out = tmp_path / "index"
    build(out)
    before = content(out)
    with pytest.raises(KeyboardInterrupt):
        build(out, encoder=Stopping(5), policy=SamplingPolicy(spacing_m=3.0))
    assert content(out) == before
    ShardedIndex.open(out)
    manifest = build(out, policy=SamplingPolicy(spacing_m=3.0))
    assert ShardedIndex.open(out).manifest == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_stop_between_the_two_renames_is_mended(built, tmp_path):
    out = tmp_path / "index"
    build(out)
    before = content(out)
    partial = tmp_path / "index.partial"
    partial.mkdir()
    (partial / workplace._LOCK).touch()
    out.rename(partial / "replaced")
    with pytest.raises(KeyboardInterrupt):
        build(out, encoder=Stopping(0), policy=SamplingPolicy(spacing_m=3.0))
    assert content(out) == before


def test_a_stop_after_the_two_renames_is_mended(built, tmp_path):
    out = tmp_path / "index"
    shutil.copytree(built, out)
    shutil.copytree(built, out / "replaced")
    (out / workplace._LOCK).touch()
    build(out)
    assert content(out) == content(built)


def test_the_place_is_held_until_the_new_index_is_there(built, tmp_path, monkeypatch):
    out = tmp_path / "index"
    shutil.copytree(built, out)
    rename, seen = Path.rename, []

    def watched(self, target):
        with pytest.raises(IndexBuildError, match="another command is writing"):
            build(out)
        seen.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    build(out)
    assert seen == [tmp_path / "index.partial" / "replaced", out]
    assert content(out) == content(built)


@pytest.mark.parametrize("part", ["poses.npy", "fine.npy", "edges.npy", "manifest.json", ".json"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_disk_full_keeps_the_old_index_and_the_finished_shards(
    built, tmp_path, monkeypatch, part, code
):
    out = tmp_path / "index"
    build(out, policy=SamplingPolicy(spacing_m=3.0))
    before = content(out)
    write, written = durable.write_bytes, []

    def full(path, data):
        if path.name.endswith(part):
            written.append(path)
            if len(written) > (part not in ("manifest.json",)):
                raise OSError(code, os.strerror(code), str(path))
        write(path, data)

    monkeypatch.setattr(durable, "write_bytes", full)
    with pytest.raises(IndexBuildError, match=r"disk full .* old index, if any, is untouched"):
        build(out)
    assert content(out) == before
    monkeypatch.undo()
    build(out)
    assert content(out) == content(built)


def test_a_file_that_the_disk_takes_a_part_of_is_noticed(tmp_path):
    """By a real limit on file size."""
    script = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from made_place import build
        from geoloc_ros.errors import IndexBuildError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            build(Path({str(tmp_path / "index")!r}))
        except IndexBuildError as error:
            print(error)
    """
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert "disk full while building" in done.stdout
    assert "finished shards are kept" in done.stdout
    assert not (tmp_path / "index").exists()


def test_too_little_space_is_said_before_any_work(tmp_path, monkeypatch):
    usage = workplace.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(workplace.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    encoder = Stopping(-1)
    with pytest.raises(IndexBuildError, match=r"needs about 0\.\d+ MB, .* has 0\.001 MB"):
        build(tmp_path / "index", encoder=encoder)
    assert encoder.encoded == 0


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexBuildError, match=r"cannot write .* choose another --out"):
        build(tmp_path / "file" / "index")


def test_crops_without_imagery_are_left_out(tmp_path):
    """A hole that leaves anchors on imagery but takes most of their crop."""
    hole = (-320, 3, -200, 120)
    manifest = build(tmp_path / "index", picture=make_picture(hole))
    index = ShardedIndex.open(tmp_path / "index")
    whole = build(tmp_path / "whole")
    assert manifest.count < whole.count
    x, y = index.entries()[1][:, :2].T
    assert not ((x > -290) & (x < -230) & (y > 2.5) & (y < 110)).any()


def test_a_cell_without_any_imagery_is_no_shard(tmp_path):
    manifest = build(tmp_path / "index", picture=make_picture((-560, -560, 0, 0)))
    assert (0, -1, -1) not in [shard.cell for shard in manifest.shards]
    assert len(manifest.shards) == 3


def test_nothing_to_index(tmp_path):
    far = [Road(np.array([[9000.0, 0.0], [9100.0, 0.0]]))]
    with pytest.raises(IndexBuildError, match="nothing to index: no roads anchor"):
        build(tmp_path / "index", roads=far)
    with pytest.raises(IndexBuildError, match="nothing to index: no roads anchor"):
        build(tmp_path / "index", picture=make_picture((-560, -560, 560, 560)))
    # anchors on a strip of imagery too narrow for any crop
    strip = make_picture()
    strip.valid[:] = False
    strip.valid[558:562] = True
    with pytest.raises(IndexBuildError, match="no crop shows enough imagery"):
        build(tmp_path / "index", picture=strip)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("thesis.txt", "all of it", "it holds thesis.txt"),
        ("shards/note.txt", "mine", "it holds shards/note.txt"),
        ("manifest.json", '{"name": "web app"}', "its manifest.json is not an index's"),
        ("manifest.json", "[" * 100_000, "its manifest.json is not an index's"),
    ],
)
def test_something_else_at_the_place_is_not_replaced(built, tmp_path, name, text, says):
    out = tmp_path / "precious"
    shutil.copytree(built, out)
    (out / name).write_text(text)
    before = content(tmp_path)
    with pytest.raises(IndexBuildError, match=f"exists and is no index: {says}; choose another"):
        build(out)
    assert content(tmp_path) == before


def test_a_file_at_the_place_is_not_replaced(tmp_path):
    (tmp_path / "index").write_text("mine")
    with pytest.raises(IndexBuildError, match="is no index: it is a file"):
        build(tmp_path / "index")


def test_neighbours_with_similar_names_are_not_touched(built, tmp_path):
    out, partial = tmp_path / "maps", tmp_path / "maps.partial"
    shutil.copytree(built, tmp_path / "maps.old")
    partial.mkdir()
    (partial / "fingerprint.txt").write_text("of my thumb")
    before = content(tmp_path)
    with pytest.raises(IndexBuildError, match=r"maps.partial, .* exists and no build made it"):
        build(out)
    assert content(tmp_path) == before
    shutil.rmtree(partial)
    build(out)
    build(out)
    assert content(tmp_path / "maps.old") == content(built)


def test_a_link_is_followed_and_kept(built, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "index").symlink_to("disk/index")
    with pytest.raises(IndexBuildError, match="link that leads nowhere"):
        build(tmp_path / "index")
    (tmp_path / "disk" / "index").mkdir()
    build(tmp_path / "index")
    assert (tmp_path / "index").is_symlink()
    assert content(tmp_path / "disk" / "index") == content(built)
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["index"]


@pytest.mark.parametrize("name", ["", ".", "/", "somewhere/.."])
def test_a_place_without_a_name_is_refused(name):
    with pytest.raises(IndexBuildError, match=r"--out is '.*', which is no folder of its own"):
        build(Path(name), package=make_package(Path()))


@pytest.mark.parametrize("name", [os.fsdecode(b"z\xfcrich"), "zürich", "a b\n"])
def test_any_name_will_do(built, tmp_path, name):
    build(tmp_path / name)
    assert content(tmp_path / name) == content(built)
    assert len(ShardedIndex.open(tmp_path / name)) > 1000


def test_two_builds_at_once(tmp_path):
    out = tmp_path / "index"

    class Nested(FakeEncoder):
        def encode_reference(self, crops):
            with pytest.raises(IndexBuildError, match="another command is writing"):
                build(out)
            return super().encode_reference(crops)

    build(out, encoder=Nested(DIM), roads=make_roads()[:1], policy=SamplingPolicy(spacing_m=50.0))


def test_an_encoder_that_breaks_its_promise(tmp_path):
    with pytest.raises(IndexBuildError, match=f"length {DIM + 1}, its model card says {DIM}"):
        build(tmp_path / "index", encoder=FakeEncoder(DIM + 1))
