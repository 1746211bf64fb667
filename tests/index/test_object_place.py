# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Building on object storage: files first, manifest last, and nothing is replaced."""

import errno

import pytest
from made_place import DIM, build
from test_index_build import Stopping, content

from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.shelf import ObjectFolder

fsspec = pytest.importorskip(
    "fsspec", reason="fsspec is not installed: pip install 'geoloc_ros[cluster]'"
)


@pytest.fixture
def storage():
    """Objects in memory, which know no folders and cannot be renamed."""
    found = fsspec.filesystem("memory")
    found.store.clear()
    found.pseudo_dirs[:] = [""]
    yield found
    found.store.clear()
    found.pseudo_dirs[:] = [""]


def held(storage, root, tmp_path):
    """What lies under a name, copied to a folder."""
    there = tmp_path / "copy"
    storage.get(root, str(there), recursive=True)
    return content(there)


def test_the_bytes_are_those_of_a_folder(built, storage, tmp_path):
    build("memory://bucket/town.index/")
    assert held(storage, "/bucket/town.index", tmp_path) == content(built)
    assert not storage.exists("/bucket/town.index.partial")


def test_a_stopped_build_goes_on_and_reads_its_notes(built, storage, tmp_path, caplog):
    url = "memory://bucket/town.index"
    with pytest.raises(KeyboardInterrupt):
        build(url, encoder=Stopping(88))
    assert not storage.exists("/bucket/town.index/manifest.json")
    notes = storage.ls("/bucket/town.index.partial/done", detail=False)
    assert 1 <= len(notes) < 4
    cut = storage.find("/bucket/town.index/shards")[0]
    storage.pipe_file(cut, storage.cat_file(cut)[:-1])
    counting = Stopping(-1)
    build(url, encoder=counting)
    assert "is done again: not whole" in caplog.text
    whole = Stopping(-1)
    build("memory://bucket/whole.index", encoder=whole)
    assert 0 < counting.encoded < whole.encoded
    assert held(storage, "/bucket/town.index", tmp_path) == content(built)


def test_a_note_that_cannot_be_read_is_made_again(built, storage, tmp_path, caplog):
    url = "memory://bucket/town.index"
    with pytest.raises(KeyboardInterrupt):
        build(url, encoder=Stopping(88))
    for note in storage.ls("/bucket/town.index.partial/done", detail=False):
        storage.pipe_file(note, b"{")
    build(url)
    assert "is done again" in caplog.text
    assert held(storage, "/bucket/town.index", tmp_path) == content(built)


def test_what_is_there_is_not_touched(storage):
    url = "memory://bucket/town.index"
    build(url, policy=SamplingPolicy(spacing_m=20.0))
    before = dict(storage.store)
    with pytest.raises(IndexBuildError, match=r"holds an index already, .* remove it"):
        build(url)
    assert dict(storage.store) == before


def test_an_unfinished_build_of_another_index_is_not_touched(storage):
    url = "memory://bucket/town.index"
    with pytest.raises(KeyboardInterrupt):
        build(url, encoder=Stopping(88))
    before = {name: file.getvalue() for name, file in storage.store.items()}
    with pytest.raises(IndexBuildError, match="unfinished build of another index; remove both"):
        build(url, policy=SamplingPolicy(seed=5))
    assert {name: file.getvalue() for name, file in storage.store.items()} == before


def test_shards_of_nobody_are_not_touched(storage):
    storage.pipe_file("/bucket/town.index/shards/0_0.poses.npy", b"precious")
    with pytest.raises(IndexBuildError, match="no build that goes on made it"):
        build("memory://bucket/town.index")
    assert storage.cat_file("/bucket/town.index/shards/0_0.poses.npy") == b"precious"


def test_an_upload_that_arrives_in_part_stops_the_build(storage, monkeypatch):
    put = type(storage).put_file
    monkeypatch.setattr(
        type(storage),
        "put_file",
        lambda self, source, name: put(self, source, name) or self.pipe_file(name, b"half"),
    )
    with pytest.raises(IndexBuildError, match=r"has 4 bytes after an upload of .* again"):
        build("memory://bucket/town.index")
    assert not storage.exists("/bucket/town.index/manifest.json")


def test_a_storage_that_refuses_says_so(storage, monkeypatch):
    def full(self, desk, record):
        raise OSError(errno.ENOSPC, "quota exceeded")

    monkeypatch.setattr(ObjectFolder, "take", full)
    with pytest.raises(IndexBuildError, match=r"disk full .* quota exceeded.* shards are kept in"):
        build("memory://bucket/town.index")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nowhere://bucket/a", "cannot be opened"),
        ("memory://", "names no place"),
        ("memory://bucket", "names no place"),
    ],
)
def test_urls_that_make_no_sense_are_refused(url, said, storage):
    with pytest.raises(IndexBuildError, match=said):
        build(url, encoder=FakeEncoder(DIM))
    assert not storage.store
