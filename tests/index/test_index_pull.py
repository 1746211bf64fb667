# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pulling from a folder and from a real server on loopback: a part, an update, a resumption."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from file_server import Reply, serving
from made_place import build
from pulling import (
    ALL,
    EAST,
    NORTH_EAST,
    SOUTH_WEST,
    WEST,
    biggest,
    bring,
    bytes_in,
    cells,
    content,
    files_in,
    record_file,
    shards_in,
    touch,
)

from geoloc_ros.errors import IndexBuildError, IndexMismatchError, IndexPullError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.index import pull_plan, workplace
from geoloc_ros.index.assembly import Assembly, fetched
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.pull_plan import make_plan
from geoloc_ros.index.region import Disc
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.source import open_source
from geoloc_ros.index.verify import verify_index

pytestmark = pytest.mark.usefixtures("impatient")


def assert_part(root, whole, count):
    """An index of its own: some shards of another, all else the same, nothing beside it."""
    manifest, origin = load_manifest(root), load_manifest(whole)
    assert len(manifest.shards) == count
    assert dataclasses.replace(manifest, shards=origin.shards) == origin
    assert (root / NAME).read_text() == manifest.render()
    assert set(manifest.shards[0].files) == set(origin.shards[0].files)
    assert verify_index(root).sound
    assert len(ShardedIndex.open(root)) == manifest.count
    beside = [path.name for path in root.parent.iterdir() if path.name.startswith(root.name)]
    assert beside == [root.name]


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """The same place, sampled otherwise."""
    out = tmp_path_factory.mktemp("sparse") / "index"
    build(out, policy=SamplingPolicy(spacing_m=4.0))
    return out


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The same place in large files."""
    out = tmp_path_factory.mktemp("large") / "index"
    build(out, storage="float32")
    return out


def altered(built, out, number=0, **header):
    """Another version of an index: one shard's poses are another file."""
    shutil.copytree(built, out)
    touch(out, number, **header)
    return out


# -- a part, an update ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["folder", "server"])
def test_a_part_is_an_index_of_its_own(built, tmp_path, how):
    out = tmp_path / "city" / "my.index"
    with serving(built) as server:
        where = server.url if how == "server" else built
        done = bring(where, out, NORTH_EAST)
        assert_part(out, built, len(shards_in(built, NORTH_EAST)))
        assert done.new
        assert done.files == files_in(built, NORTH_EAST)
        if how == "server":
            assert len(server.asked) == 1 + done.files
            assert all(h["User-Agent"].startswith("geoloc_ros/") for _, h in server.asked)
            assert all(h["Accept-Encoding"] == "identity" for _, h in server.asked)
        again = bring(where, out)
        assert (again.new, again.files) == (False, 0)
        assert bring(where, out, ALL).files == files_in(built) - done.files
        assert content(out) == content(built)
    assert verify_index(built).sound


def test_names_with_and_without_the_manifest_lead_to_the_same(built, tmp_path):
    assert bring(built / NAME, tmp_path / "a", NORTH_EAST).new
    with serving(built) as server:
        for number, end in enumerate(("/", f"/{NAME}", "?key=secret")):
            bring(server.url + end, tmp_path / f"b{number}", NORTH_EAST)
            assert content(tmp_path / f"b{number}") == content(tmp_path / "a")


def test_a_file_is_a_copy_of_its_own(built, tmp_path):
    bring(built, tmp_path / "a", ALL)
    assert all(p.stat().st_nlink == 1 for p in (tmp_path / "a").rglob("*") if p.is_file())


def test_an_update_brings_only_what_has_changed(built, tmp_path):
    out = tmp_path / "my.index"
    bring(built, out, ALL)
    inodes = {path: path.stat().st_ino for path in out.rglob("*") if path.is_file()}
    new = altered(built, tmp_path / "new")
    with serving(new) as server:
        assert bring(server.url, out).files == 1
        assert len(server.asked) == 2
    assert content(out) == content(new)
    assert sum(inodes.get(path) != path.stat().st_ino for path in out.rglob("*.*")) == 2


def test_an_update_follows_the_ground_that_is_there(built, sparse, tmp_path):
    out = tmp_path / "my.index"
    bring(built, out, WEST)
    before = cells(out)
    bring(sparse, out)
    assert cells(out) == before
    assert_part(out, sparse, len(shards_in(sparse, WEST)))
    with pytest.raises(
        IndexPullError, match=r"no index at .* to update; say what to pull.*46\.49"
    ):
        bring(sparse, tmp_path / "other")


def test_regions_replace_each_other_or_add_up(built, tmp_path):
    out = tmp_path / "my.index"
    bring(built, out, NORTH_EAST)
    first = cells(out)
    with serving(built) as server:
        assert bring(server.url, out, SOUTH_WEST, add=True).files == files_in(built, SOUTH_WEST)
        assert cells(out) > first
        assert_part(out, built, len(cells(out)))
        plan = make_plan(open_source(str(built)), out, SOUTH_WEST)
        assert {record.cell for record in plan.dropped} == first
        assert bring(server.url, out, SOUTH_WEST).files == 0
        assert not cells(out) & first
        assert_part(out, built, len(shards_in(built, SOUTH_WEST)))


def test_what_a_source_lacks_is_kept_if_it_is_of_the_same_build(built, sparse, tmp_path):
    east, west = tmp_path / "east", tmp_path / "west"
    bring(built, east, EAST)
    bring(built, west, WEST)
    out = tmp_path / "my.index"
    bring(east, out, ALL)
    bring(west, out, ALL, add=True)
    assert content(out) == content(built)

    with pytest.raises(IndexMismatchError, match=r"policy\.spacing_m \(1\.5, 4\.0\)"):
        bring(sparse, out, NORTH_EAST, add=True)
    assert content(out) == content(built)

    picture = dataclasses.replace(load_manifest(built).imagery, source="other.tif")
    other = altered(west, tmp_path / "other", imagery=picture)
    with pytest.raises(IndexPullError, match=r"nothing for \d shards.*imagery\.source.*merge"):
        bring(other, out, ALL, add=True)


def test_an_update_may_divide_cells_or_join_them(built, divided, tmp_path):
    out = tmp_path / "my.index"
    bring(built, out, EAST)
    plan = make_plan(open_source(str(divided)), out, None)
    assert not plan.dropped
    for add in (False, True):
        for source in (divided, built):
            bring(source, out, add=add)
            assert_part(out, source, len(shards_in(source, EAST)))
    # a part of what was one cell: the rest of its ground is gone, which is said
    one = load_manifest(divided).shards[-1]
    west, south, east, north = one.bounds_m
    there = load_manifest(divided).frame.position(0.5 * (west + east), 0.5 * (south + north))
    plan = make_plan(open_source(str(divided)), out, Disc(there, 1.0 + (east - west) / 4))
    assert load_manifest(built).shards[-1].cell in {record.cell for record in plan.dropped}


def test_an_index_with_superseded_files_is_pulled_without_them(divided, tmp_path):
    assert len(list((divided / "shards").iterdir())) > files_in(divided)
    out = tmp_path / "my.index"
    bring(divided, out, ALL)
    assert len(list((out / "shards").iterdir())) == files_in(divided)
    assert bring(out, shutil.copytree(divided, tmp_path / "other"), ALL).files == 0


def test_an_update_from_another_plane_is_refused(built, tmp_path):
    moved = altered(built, tmp_path / "moved", origin=LatLon(46.6, 6.6))
    out = tmp_path / "my.index"
    bring(built, out, ALL)
    with pytest.raises(IndexPullError, match="around another place"):
        bring(moved, out)
    bring(moved, out, ALL)
    assert content(out) == content(moved)


# -- interrupted ----------------------------------------------------------------------------

PULL = """
import sys
from geoloc_ros.cli.main import main
sys.exit(main(["index", "pull", {url!r}, {out!r}, "--all", "--yes", "--quiet"]))
"""


def start(server, out):
    code = PULL.format(url=server.url, out=str(out))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)


def size_of(built):
    return sum(len(data) for data in content(built).values())


@pytest.mark.parametrize(
    ("how", "ranges"),
    [(signal.SIGKILL, True), (signal.SIGKILL, False), (signal.SIGINT, True)],
)
def test_a_pull_that_is_killed_goes_on(large, tmp_path, how, ranges):
    out, total = tmp_path / "my.index", size_of(large)
    with serving(large, slow_s=0.02, ranges=ranges) as server:
        process = start(server, out)
        deadline = time.monotonic() + 120.0
        while server.sent < 0.5 * total:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(how)
        assert process.wait(timeout=60) != 0
        assert not out.exists()
        server.slow_s = 0.0
        bring(server.url, out, ALL)
        assert content(out) == content(large)
        assert any("Range" in headers for _, headers in server.asked)
        if ranges:  # twice came at most what was on its way, and the manifest
            assert server.sent < 1.1 * total + 4 * 2 * 65536
    assert [path.name for path in tmp_path.iterdir()] == ["my.index"]


@pytest.mark.parametrize("where", ["fetch", "share", "finish", "rename", "clear"])
def test_a_pull_that_dies_anywhere_goes_on(built, sparse, tmp_path, where):
    """SIGKILL in the middle of each step: there is an index all the time."""
    out = tmp_path / "my.index"
    bring(sparse, out, ALL)
    before = content(out)
    script = f"""
        import os, signal, sys
        from contextlib import closing
        from pathlib import Path
        from geoloc_ros.index import assembly, pull, workplace
        from geoloc_ros.index.pull_plan import make_plan
        from geoloc_ros.index.region import Everywhere
        from geoloc_ros.index.source import FolderSource, open_source
        calls = []
        def dying(function, after):
            def wrapped(*arguments, **named):
                if len(calls) == after:
                    os.kill(os.getpid(), signal.SIGKILL)
                calls.append(1)
                return function(*arguments, **named)
            return wrapped
        if {where!r} == "fetch":
            FolderSource.fetch = dying(FolderSource.fetch, 5)
        elif {where!r} == "share":
            assembly.share = dying(assembly.share, 7)
        elif {where!r} == "finish":
            workplace.shutil.rmtree = dying(workplace.shutil.rmtree, 2)
        elif {where!r} == "clear":
            workplace.shutil.rmtree = dying(workplace.shutil.rmtree, 3)
        else:
            Path.rename = dying(Path.rename, 1)
        with closing(open_source({str(built)!r})) as source:
            pull.pull(make_plan(source, Path({str(out)!r}), Everywhere()), progress=False)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=120
    )
    assert done.returncode == -9
    if where == "clear":  # the new one is there, and the old one not yet gone
        assert len(ShardedIndex.open(out)) == load_manifest(built).count
    else:
        assert content(workplace.current(out)) == before
    done = bring(built, out, ALL)
    assert content(out) == content(built)
    assert done.files <= (files_in(built) if where == "fetch" else 0)
    assert [path.name for path in tmp_path.iterdir()] == ["my.index"]


def test_what_an_earlier_pull_left_serves_another_region(built, tmp_path):
    out = tmp_path / "my.index"
    with serving(built) as server:
        server.script = lambda name, n: (
            (n or len(server.asked) > 0.7 * files_in(built)) and Reply(cut=10)
        )
        with pytest.raises(IndexPullError, match="has come is kept"):
            bring(server.url, out, ALL)
        server.script = lambda name, n: None
        left = {path.name for path in (tmp_path / "my.index.partial" / "fetched").iterdir()}
        assert len(left) >= 0.5 * files_in(built)
        bring(server.url, out, WEST)
        asked = server.names()
    assert_part(out, built, len(shards_in(built, WEST)))
    wanted = {f.sha256 for r in load_manifest(out).shards for f in r.files.values()}
    assert len(asked) >= 1 + len(wanted - left)


def test_what_was_damaged_meanwhile_comes_again(built, tmp_path, caplog):
    out = tmp_path / "my.index"
    bring(built, out, ALL)
    record = load_manifest(out).shards[1]
    path = record.path(out, next(iter(record.files)))
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(data)
    done = bring(built, out)
    assert (done.files, done.new) == (1, True)
    assert "comes again" in caplog.text
    assert content(out) == content(built)
    path.unlink()
    assert bring(built, out).files == 1
    (out / "shards" / "notes.txt").write_text("mine")
    with pytest.raises(IndexBuildError, match="is no index: it holds"):
        bring(built, out)


def test_a_damaged_manifest_at_the_place_costs_nothing_but_itself(built, tmp_path, caplog):
    out = tmp_path / "my.index"
    bring(built, out, ALL)
    text = (out / NAME).read_text()
    (out / NAME).write_text(text.replace("made.tif", "mode.tif"))
    with serving(built) as server:
        assert bring(server.url, out, ALL).files == 0
    assert "is replaced, it cannot be read" in caplog.text
    assert content(out) == content(built)


def test_a_beginning_of_another_version_is_thrown_away(built, tmp_path):
    out = tmp_path / "my.index"
    manifest = load_manifest(built)
    file = max(manifest.shards[0].files.values(), key=lambda file: file.bytes)
    place = Assembly(workplace.check_out(out), manifest)
    with place:
        place.part(file).write_bytes(b"\1" * 1000)
    with serving(built) as server:
        bring(server.url, out, ALL)
        ranges = [headers["Range"] for _, headers in server.asked if "Range" in headers]
    assert ranges == ["bytes=1000-"]
    assert content(out) == content(built)


# -- the place ------------------------------------------------------------------------------


def test_two_pulls_at_once(built, tmp_path):
    out = tmp_path / "my.index"
    with serving(built, slow_s=0.02) as server:
        first = threading.Thread(target=bring, args=(server.url, out, ALL))
        first.start()
        while len(server.asked) < 3:
            time.sleep(0.01)
        with pytest.raises(IndexBuildError, match="another command is writing"):
            bring(server.url, out, NORTH_EAST)
        first.join()
    assert content(out) == content(built)
    assert [path.name for path in tmp_path.iterdir()] == ["my.index"]


def test_an_unfinished_build_is_not_thrown_away(built, tmp_path):
    from test_index_build import Stopping

    out = tmp_path / "my.index"
    with pytest.raises(KeyboardInterrupt):
        build(out, encoder=Stopping(88))
    before = content(tmp_path)
    with pytest.raises(IndexBuildError, match="unfinished build"):
        bring(built, out, ALL)
    assert content(tmp_path) == before
    build(out)
    assert content(out) == content(built)


def test_the_index_that_is_there_is_of_use_all_the_time(built, sparse, tmp_path):
    out = tmp_path / "my.index"
    bring(sparse, out, ALL)
    before, seen = content(out), []

    def looking(name, attempt):
        seen.append(content(out) == before)

    with serving(built, looking) as server:
        bring(server.url, out, ALL)
    assert len(seen) == 1 + files_in(built)
    assert all(seen)
    assert content(out) == content(built)


@pytest.mark.parametrize("linked", ["DST", "a shard's file", "a beginning", "all that came"])
def test_links_lead_to_no_writing_elsewhere(built, tmp_path, linked):
    out, elsewhere = tmp_path / "my.index", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if linked == "DST":
        out.symlink_to(elsewhere / "real")
        with pytest.raises(IndexBuildError, match=r"DST .* is a link that leads nowhere"):
            bring(built, out, ALL)
        (elsewhere / "real").mkdir()
        bring(built, out, ALL)
        assert out.is_symlink()
        assert content(elsewhere / "real") == content(built)
        return
    file = load_manifest(built).shards[0].files
    part, record = next(iter(file.items()))
    if linked == "a shard's file":
        bring(built, out, NORTH_EAST)
        mine = load_manifest(out).shards[0].path(out, part)
        mine.rename(elsewhere / "file")
        mine.symlink_to(elsewhere / "file")
        bring(built, out, ALL)
        assert not mine.is_symlink()
        assert mine.stat().st_nlink <= 2
    else:
        place = Assembly(workplace.check_out(out), load_manifest(built))
        with place:
            if linked == "a beginning":
                place.part(record).symlink_to(elsewhere / "victim")
            else:
                place.part(record).parent.rmdir()
                place.part(record).parent.symlink_to(elsewhere)
        (elsewhere / "victim").write_text("dear")
        bring(built, out, ALL)
        assert (elsewhere / "victim").read_text() == "dear"
    assert content(out) == content(built)


def test_a_disk_without_hard_links(built, sparse, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    out = tmp_path / "my.index"
    bring(built, out, NORTH_EAST)
    monkeypatch.setattr(os, "link", refuse)
    bring(built, out, ALL)
    assert content(out) == content(built)
    bring(built, out, NORTH_EAST)
    assert_part(out, built, len(shards_in(built, NORTH_EAST)))


def test_too_little_space_is_said_before_anything_comes(built, tmp_path, monkeypatch):
    usage, free = shutil.disk_usage(tmp_path), bytes_in(built, NORTH_EAST) + 1000
    monkeypatch.setattr(pull_plan.shutil, "disk_usage", lambda _: usage._replace(free=free))
    with serving(built) as server:
        with pytest.raises(IndexPullError, match=r"\d\.\d MB are to come, .* has 0\.\d MB free"):
            bring(server.url, tmp_path / "a", ALL)
        assert server.names() == [NAME]
        bring(server.url, tmp_path / "b", NORTH_EAST)


def test_a_disk_that_is_full_ends_it_and_it_goes_on(built, sparse, tmp_path):
    out = tmp_path / "my.index"
    bring(sparse, out, ALL)
    before, limit = content(out), (built / biggest(built)).stat().st_size // 2
    script = f"""
        import resource, signal
        from contextlib import closing
        from pathlib import Path
        from geoloc_ros.errors import IndexPullError
        from geoloc_ros.index.pull import pull
        from geoloc_ros.index.pull_plan import make_plan
        from geoloc_ros.index.region import Everywhere
        from geoloc_ros.index.source import open_source
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        with closing(open_source({str(built)!r})) as source:
            try:
                pull(make_plan(source, Path({str(out)!r}), Everywhere()), progress=False)
            except IndexPullError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert "disk full while pulling" in done.stdout
    assert "run the same command again" in done.stdout
    assert content(out) == before
    assert bring(built, out, ALL).files < files_in(built)
    assert content(out) == content(built)


def test_a_file_that_is_there_under_another_name_does_not_come(built, tmp_path):
    """As where cells are numbered anew: the hash counts, not the name."""
    out = tmp_path / "my.index"
    bring(built, out, ALL)
    manifest = load_manifest(out)
    first, second, *others = manifest.shards
    turned = (
        dataclasses.replace(first, files=second.files),
        dataclasses.replace(second, files=first.files),
    )
    for part in first.files:  # each has the other's name
        first.path(out, part).rename(turned[1].path(out, part))
        second.path(out, part).rename(turned[0].path(out, part))
    (out / NAME).write_text(dataclasses.replace(manifest, shards=(*turned, *others)).render())
    with serving(built) as server:
        bring(server.url, out, ALL)
        assert server.names() == [NAME]
    assert content(out) == content(built)


def test_pulling_an_index_into_itself_leaves_the_region(built, tmp_path):
    out = Path(shutil.copytree(built, tmp_path / "my.index"))
    bring(out, out, NORTH_EAST)
    assert_part(out, built, len(shards_in(built, NORTH_EAST)))


def test_what_came_lies_beside_the_place(tmp_path):
    file = record_file(Path(__file__))
    assert fetched(tmp_path / "a.index", file).parent == tmp_path / "a.index.partial" / "fetched"
