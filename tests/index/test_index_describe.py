# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Descriptions of tiles: thinned, stored in bytes, verified like everything else of an index."""

import shutil

import numpy as np
import pytest
from made_place import build, make_package, make_picture

from geoloc_ros.errors import IndexBuildError, IndexCorruptError, IndexMismatchError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import is_current
from geoloc_ros.index.describe import describe_index
from geoloc_ros.index.descriptions import (
    ANSWERS,
    ROWS,
    DescriptionRecord,
    dequantise,
    quantise,
    representatives,
)
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.updates import add_entries, remove_entries, replace_shard
from geoloc_ros.index.verify import verify_index

OPTIONS = 7


def record(**changes):
    values = {
        "questions_version": 1,
        "questions_sha256": "c" * 64,
        "options": OPTIONS,
        "vlm": "mean-colours 1",
        "vlm_sha256": "d" * 64,
        "within_m": 4.0,
        "within_deg": 15.0,
    }
    return DescriptionRecord(**{**values, **changes})


def colours(crops):
    """A description that only depends on the crop."""
    mean = crops.reshape(len(crops), -1, 3).mean(axis=1) / 255.0
    return np.concatenate([mean, 1.0 - mean, mean[:, :1]], axis=1).astype(np.float32)


class Describer:
    def __init__(self, stop_after=None):
        self.seen, self.stop_after = 0, stop_after

    def __call__(self, batches):
        for crops in batches:
            if self.stop_after is not None and self.seen >= self.stop_after:
                raise KeyboardInterrupt
            self.seen += len(crops)
            yield colours(crops)


def half_mute(batches):
    """Of every other batch nothing is said."""
    for number, crops in enumerate(batches):
        yield np.zeros((len(crops), OPTIONS), np.float32) if number % 2 else colours(crops)


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "index")


def describe(root, describer=None, **changes):
    asked = record(**changes)
    return describe_index(
        root, make_picture(), make_package(root.parent), asked, describer or Describer(), False
    )


def test_entries_share_what_lies_within_the_tolerance():
    rng = np.random.default_rng(3)
    poses = np.column_stack([rng.uniform(0, 60, (900, 2)), rng.uniform(-np.pi, np.pi, 900)])
    speaker = representatives(poses, 4.0, 15.0)
    chosen = poses[speaker]
    assert np.hypot(*(poses - chosen)[:, :2].T).max() <= 4.0
    assert np.abs(np.degrees(wrap_angle(poses[:, 2] - chosen[:, 2]))).max() <= 15.0
    assert (speaker[speaker] == speaker).all()
    assert len(np.unique(speaker)) < 0.8 * len(poses)
    assert (representatives(poses, 0.0, 15.0) == np.arange(900)).all()
    assert len(representatives(poses[:0], 4.0, 15.0)) == 0


def test_bytes_are_near_enough():
    answers = np.random.default_rng(0).dirichlet(np.ones(5), 100).astype(np.float32)
    assert np.abs(dequantise(quantise(answers)) - answers).max() <= 1 / 510 + 1e-6


def test_described_entries_answer_what_their_tile_shows(copy):
    before = load_manifest(copy)
    manifest = describe(copy)
    assert manifest.sha256 != before.sha256
    assert manifest.count == before.count
    index = ShardedIndex.open(copy)
    ids = np.array([0, 5, len(index) - 1, 5])
    found = index.descriptions(ids)
    assert found.shape == (4, OPTIONS)
    assert found.dtype == np.float32
    assert (found[1] == found[3]).all()
    assert verify_index(copy).sound
    assert is_current_of(copy)
    count = len(np.load(next((copy / "shards").glob(f"*.{ANSWERS}"))))
    assert 0 < count < 0.6 * manifest.shards[0].count


def is_current_of(root):
    from made_place import make_roads

    package = make_package(root.parent)
    return is_current(root, make_picture(), package, SamplingPolicy(), make_roads())


def test_every_entry_can_have_its_own(copy):
    describe(copy, within_m=0.0)
    index = ShardedIndex.open(copy)
    from geoloc_ros.imagery.crops import crops

    package = make_package(copy.parent)
    ids = np.arange(0, len(index), 97)
    tiles = crops(make_picture(), index.anchors(ids), package.reference, (102.0, 102.0, 102.0))[0]
    assert np.abs(index.descriptions(ids) - colours(tiles)).max() < 0.003


def test_an_index_without_descriptions_is_as_before(built, opened):
    assert opened.descriptions(np.array([0, 1])) is None
    assert '"descriptions": null' in (built / "manifest.json").read_text()


def test_an_interrupted_run_goes_on(copy, tmp_path):
    whole = shutil.copytree(copy, tmp_path / "whole")
    describe(whole)
    before = load_manifest(copy)
    first = Describer(stop_after=900)
    with pytest.raises(KeyboardInterrupt):
        describe(copy, first)
    assert load_manifest(copy) == before
    assert ShardedIndex.open(copy).descriptions(np.array([0])) is None
    second = Describer()
    manifest = describe(copy, second)
    everything = sum(len(np.load(p)) for p in (copy / "shards").glob(f"*.{ANSWERS}"))
    assert second.seen < everything
    assert manifest == load_manifest(whole)


def test_what_is_described_alike_is_kept(copy):
    first = describe(copy)
    again = Describer()
    assert describe(copy, again) == first
    assert again.seen == 0
    assert verify_index(copy).sound


def test_another_name_of_the_same_model_keeps_what_it_said(copy):
    describe(copy)
    again = Describer()
    renamed = describe(copy, again, vlm="mean-colours 2").descriptions
    assert (again.seen, renamed.vlm) == (0, "mean-colours 2")


def test_only_silent_entries_are_asked_about_again(copy):
    asked = Describer()
    describe(copy, lambda batches: half_mute(counted(asked, batches)))
    before = said_of(copy)
    again = Describer()
    describe(copy, again)
    assert 0 < again.seen < asked.seen
    after, silent = said_of(copy), ~before.any(axis=1)
    assert silent.any()
    assert after[silent].any(axis=1).all()
    assert (after[~silent] == before[~silent]).all()
    assert verify_index(copy).sound


def counted(describer, batches):
    """The batches as they are; the describer notes how many crops there were."""
    for crops in batches:
        list(describer([crops]))
        yield crops


def said_of(root):
    index = ShardedIndex.open(root)
    return index.descriptions(np.arange(len(index)))


def test_silence_about_new_entries_leaves_what_was_said_of_the_old(copy, caplog):
    describe(copy)
    old = ShardedIndex.open(copy)
    poses = old.anchors(np.arange(3)) + np.array([0.5, 0.5, 0.1])
    descriptors = np.eye(3, old.manifest.dim, dtype=np.float32)
    add_entries(copy, poses, descriptors)
    mute = lambda batches: (np.zeros((len(b), OPTIONS), np.float32) for b in batches)  # noqa: E731
    describe(copy, mute)
    assert "nothing usable was said of the 3 tiles asked about" in caplog.text
    assert said_of(copy).any(axis=1).sum() == len(old)
    healed = Describer()
    describe(copy, healed)
    assert healed.seen == 3
    assert said_of(copy).any(axis=1).all()


def test_an_index_is_not_changed_while_it_is_described(copy):
    def describer(batches):
        with pytest.raises(IndexBuildError, match="another command is changing"):
            remove_entries(copy, lambda poses: np.arange(len(poses)) < 5)
        yield from Describer()(batches)

    count = load_manifest(copy).count
    assert describe(copy, describer).count == count
    assert remove_entries(copy, lambda poses: np.arange(len(poses)) < 5).count < count


def test_a_cell_that_was_changed_after_an_interrupted_run_is_described_as_it_is_now(copy):
    with pytest.raises(KeyboardInterrupt):
        describe(copy, Describer(stop_after=900))
    old = load_manifest(copy)
    index = ShardedIndex.open(copy)
    other = np.random.default_rng(4).normal(size=(len(index), old.dim))
    other = (other / np.linalg.norm(other, axis=1, keepdims=True)).astype(np.float32)
    start = 0
    for shard in old.shards:  # the same poses with other descriptors
        rows = np.arange(start, start + shard.count)
        replace_shard(copy, shard.cell, index.anchors(rows), other[rows])
        start += shard.count
    changed = load_manifest(copy)
    described = describe(copy)
    for now, then in zip(described.shards, changed.shards, strict=True):
        assert {part: now.files[part] for part in then.files} == then.files
    assert verify_index(copy).sound


def test_a_model_that_says_nothing_replaces_nothing(copy, caplog):
    seen = []

    def mute(batches):
        for crops in batches:
            seen.extend(crops)
            yield np.zeros((len(crops), OPTIONS), np.float32)

    good = describe(copy)
    for _ in range(2):  # nor is its silence taken for an answer the next time
        with pytest.raises(IndexBuildError, match="nothing usable of any tile; the index is left"):
            describe(copy, mute, vlm_sha256="e" * 64)
    assert caplog.text.count("nothing usable was said of the first 256 tiles") == 2
    assert load_manifest(copy) == good
    healed = Describer()
    assert describe(copy, healed, vlm_sha256="e" * 64).descriptions.vlm_sha256 == "e" * 64
    assert healed.seen == len(seen) / 2


def test_a_cell_of_which_nothing_is_said_may_be_the_first(copy):
    asked = []

    def mute_at_first(batches):
        asked.append(0)
        first = len(asked) == 1
        for crops in batches:
            yield np.zeros((len(crops), OPTIONS), np.float32) if first else colours(crops)

    describe(copy, mute_at_first)
    assert len(asked) > 1
    index = ShardedIndex.open(copy)
    assert 0.0 < index.descriptions(np.arange(len(index))).any(axis=1).mean() < 1.0


def test_describing_again_replaces(copy):
    first = describe(copy)
    second = describe(copy, vlm_sha256="e" * 64)
    assert second.descriptions.vlm_sha256 == "e" * 64
    assert first.sha256 != second.sha256
    assert verify_index(copy).sound


def test_tiles_of_which_nothing_was_said_are_known(copy):
    describe(copy, half_mute)
    index = ShardedIndex.open(copy)
    silent = ~index.descriptions(np.arange(len(index))).any(axis=1)
    assert 0.2 < silent.mean() < 0.8


def test_the_index_can_be_built_anew_in_place(copy):
    describe(copy)
    build(copy)
    assert ShardedIndex.open(copy).descriptions(np.array([0])) is None


@pytest.mark.parametrize("part", [ANSWERS, ROWS])
def test_altered_descriptions_are_refused(copy, part):
    describe(copy)
    path = next((copy / "shards").glob(f"*.{part}"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexCorruptError, match="altered"):
        ShardedIndex.open(copy)
    path.unlink()
    assert not verify_index(copy).sound


@pytest.mark.parametrize("width", [OPTIONS - 1, 0])
def test_descriptions_of_another_shape_are_refused(copy, width):
    with pytest.raises(IndexBuildError, match=f"{OPTIONS} finite"):
        describe(copy, lambda batches: (np.zeros((len(b), width), np.float32) for b in batches))
    assert ShardedIndex.open(copy).descriptions(np.array([0])) is None


def test_other_imagery_is_refused(copy):
    whole = make_picture()
    other = OrthoImage(
        255 - whole.rgb, whole.valid, whole.frame, whole.west_m, whole.north_m, whole.gsd_m
    )
    with pytest.raises(IndexMismatchError, match="other imagery"):
        describe_index(other_root := copy, other, make_package(other_root.parent), record(),
                       Describer(), False)  # fmt: skip


def test_another_model_is_refused(copy):
    with pytest.raises(IndexMismatchError, match="encoder"):
        describe_index(
            copy,
            make_picture(),
            make_package(copy.parent, files={"query.onnx": "e" * 64}),
            record(),
            Describer(),
            False,
        )
