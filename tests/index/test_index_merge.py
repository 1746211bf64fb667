# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Joining districts of a city, and telling indexes apart."""

import dataclasses
import itertools
import os
import re
import shutil
from pathlib import Path

import pytest
from made_place import build
from pulling import (
    EAST,
    NORTH_EAST,
    SOUTH,
    WEST,
    bring,
    cells,
    content,
    files_in,
    shards_in,
    touch,
)

from geoloc_ros.errors import IndexBuildError, IndexCorruptError, IndexMismatchError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.index.descriptions import DescriptionRecord
from geoloc_ros.index.diff import difference, report
from geoloc_ros.index.manifest import NAME, ImageryRecord, load_manifest, parse, search_record
from geoloc_ros.index.merge import check_same_build, joined_imagery, merge_indexes
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.verify import verify_index


@pytest.fixture
def part_of(built, tmp_path):
    """Parts of the index, with other headers if asked."""
    numbers = itertools.count()

    def make(region, name="", **header):
        out = tmp_path / (name or f"part{next(numbers)}")
        bring(built, out, region)
        if header:
            changed = dataclasses.replace(load_manifest(out), **header)
            (out / NAME).write_text(changed.render())
        return out

    return make


def picture(root, **values):
    return dataclasses.replace(load_manifest(root).imagery, **values)


# -- merge ----------------------------------------------------------------------------------


def test_districts_become_the_city(built, part_of, tmp_path):
    out = tmp_path / "city.index"
    done = merge_indexes([part_of(EAST), part_of(WEST)], out, progress=False)
    assert content(out) == content(built)
    assert (done.twice, done.preferred) == (0, 0)
    assert done.manifest == load_manifest(built)
    assert verify_index(out).sound
    assert len(ShardedIndex.open(out)) == load_manifest(built).count


def test_districts_may_be_built_with_other_numbers_of_their_search(built, part_of, tmp_path):
    older = search_record("clusters") | {"per_cluster": 32}
    out = tmp_path / "city.index"
    merge_indexes([part_of(EAST), part_of(WEST, search=older)], out, progress=False)
    assert verify_index(out).sound
    assert len(ShardedIndex.open(out)) == load_manifest(built).count


def test_what_both_have_is_there_once(built, part_of, tmp_path):
    out = tmp_path / "city.index"
    done = merge_indexes([part_of(EAST), part_of(SOUTH), part_of(WEST)], out, progress=False)
    assert content(out) == content(built)
    assert done.twice == len(shards_in(built, SOUTH))


def test_files_are_shared_where_the_disk_can(built, part_of, tmp_path, monkeypatch):
    parts = [part_of(EAST), part_of(WEST)]
    merge_indexes(parts, tmp_path / "a", progress=False)
    shards = list((tmp_path / "a" / "shards").iterdir())
    assert len(shards) == files_in(built)
    assert all(path.stat().st_nlink == 2 for path in shards)

    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    merge_indexes(parts, tmp_path / "b", progress=False)
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "b" / "shards").iterdir())
    assert content(tmp_path / "b") == content(built)


def test_an_index_can_grow_in_its_place(built, part_of):
    out = part_of(EAST, "my.index")
    merge_indexes([out, part_of(WEST)], out, progress=False)
    assert content(out) == content(built)


def test_different_shards_of_a_cell_are_refused_unless_one_is_preferred(part_of, tmp_path):
    one, two = part_of(EAST, "one"), part_of(NORTH_EAST, "two")
    cell, _ = touch(two)
    out = tmp_path / "city.index"
    with pytest.raises(IndexBuildError) as caught:
        merge_indexes([one, two], out, progress=False)
    for word in (str(cell), str(one), str(two), "--prefer first, last", "geoloc index diff"):
        assert word in str(caught.value)
    assert not out.exists()
    assert not (tmp_path / "city.index.partial").exists()
    for prefer, root in (("first", one), ("last", two), (str(one), one), (str(two), two)):
        done = merge_indexes([one, two], out, prefer, progress=False)
        assert done.preferred == 1
        taken = next(record for record in done.manifest.shards if record.cell == cell)
        assert taken == next(r for r in load_manifest(root).shards if r.cell == cell)
        assert cells(out) == cells(one) | cells(two)
    third = part_of(WEST, "third")
    with pytest.raises(IndexBuildError, match="1 cells have different shards"):
        merge_indexes([one, two, third], out, str(third), progress=False)
    with pytest.raises(IndexBuildError, match="--prefer is 'newest'; it must be first, last"):
        merge_indexes([one, two], out, "newest", progress=False)


DESCRIBED = DescriptionRecord(
    questions_version=1, questions_sha256="a" * 64, options=3, vlm="x", vlm_sha256="b" * 64,
    within_m=1.0, within_deg=5.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoder_sha256": "c" * 64}, "encoder_sha256 .*cccccccccccc"),
        ({"preprocessing_sha256": "c" * 64}, "preprocessing_sha256"),
        ({"dim": 65}, r"dim \(64, 65\)"),
        ({"origin": LatLon(46.6, 6.6)}, r"origin\.lat_deg \(46\.5, 46\.6\)"),
        ({"storage": "float32"}, r"storage \('int12', 'float32'\)"),
        ({"policy": SamplingPolicy(spacing_m=2.0)}, r"policy\.spacing_m"),
    ],
)
def test_indexes_that_were_built_otherwise_are_refused(part_of, tmp_path, change, says):
    one, two = part_of(EAST), part_of(WEST, **change)
    with pytest.raises(IndexMismatchError, match=f"were not built alike: .*{says}"):
        merge_indexes([one, two], tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"descriptions": DESCRIBED}, r"descriptions\.vlm \(nothing, 'x'\)"),
        ({"search": search_record("hnsw")}, r"search\.kind \('clusters', 'hnsw'\)"),
    ],
)
def test_indexes_of_other_files_are_not_alike(built, change, says):
    manifest = load_manifest(built)
    other = dataclasses.replace(manifest, **change)
    with pytest.raises(IndexMismatchError, match=says):
        check_same_build(manifest, other, "A", "B")


def test_cells_that_are_divided_otherwise_are_disputed(built, divided, part_of, tmp_path):
    out, whole = tmp_path / "city.index", load_manifest(built).shards[-1].cell
    with pytest.raises(IndexBuildError, match=rf"1 cells .*: {re.escape(str(whole))} of .* and "):
        merge_indexes([built, divided], out, progress=False)
    for prefer, root in (("first", built), ("last", divided), (str(divided), divided)):
        done = merge_indexes([built, divided], out, prefer, progress=False)
        assert (done.preferred, done.twice) == (1, len(cells(built)) - 1)
        assert done.manifest.shards == load_manifest(root).shards
        assert done.manifest.updates == 1
        assert verify_index(out).sound
    # those that lie beside each other are not disputed
    east, west = tmp_path / "east", part_of(WEST)
    bring(divided, east, EAST)
    assert merge_indexes([east, west], out, progress=False).preferred == 0
    assert cells(out) == cells(divided)


def test_whose_imagery_it_is_travels_along(part_of, tmp_path):
    base = {"licence": "CC-BY-4.0", "attribution": "© East; roads © OSM"}
    east = part_of(EAST)
    one = part_of(EAST, imagery=picture(east, source="east.tif", **base))
    west = {"licence": "dl-de/by-2-0", "attribution": "© West; roads © OSM"}
    two = part_of(
        WEST, imagery=picture(east, source="west.tif", sha256="d" * 64, gsd_m=2.0, **west)
    )
    out = tmp_path / "city.index"
    done = merge_indexes([one, two], out, progress=False)
    imagery = load_manifest(out).imagery
    assert imagery == done.manifest.imagery
    assert imagery.source == "east.tif; west.tif"
    assert imagery.licence == "CC-BY-4.0; dl-de/by-2-0"
    assert imagery.attribution == "© East; roads © OSM; © West"
    assert imagery.gsd_m == 2.0
    assert len(imagery.sha256) == 64
    assert imagery.sha256 not in ("d" * 64, load_manifest(one).imagery.sha256)
    assert parse((out / NAME).read_text(), out) == done.manifest
    assert verify_index(out).sound
    # and again, when the merged index is merged
    more = merge_indexes([out, two], tmp_path / "again", progress=False).manifest.imagery
    assert (more.source, more.licence) == (imagery.source, imagery.licence)


@pytest.mark.parametrize("what", ["licence", "attribution"])
def test_a_licence_that_one_does_not_state_is_not_lost(part_of, tmp_path, what):
    east = part_of(EAST)
    stated = {"licence": "CC0", "attribution": "me"}
    one = part_of(EAST, imagery=picture(east, **stated))
    two = part_of(WEST, imagery=picture(east, source="b.tif", **{**stated, what: ""}))
    with pytest.raises(IndexMismatchError, match=f"{two} states no {what} .*geoloc imagery imp"):
        merge_indexes([one, two], tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_records_of_imagery_join_in_any_number():
    def record(number, **values):
        said = {"source": f"{number}.tif", "sha256": str(number) * 64, "gsd_m": 0.5}
        return ImageryRecord(**{**said, "licence": "CC0", "attribution": "me", **values})

    assert joined_imagery({"a": record(1), "b": record(1)}) == record(1)
    joined = joined_imagery({"a": record(1), "b": record(2), "c": record(3)})
    assert joined.source == "1.tif; 2.tif; 3.tif"
    assert (joined.licence, joined.attribution) == ("CC0", "me")
    turned = joined_imagery({"a": record(3), "b": record(2), "c": record(1)})
    assert turned.sha256 == joined.sha256
    silent = {"licence": "", "attribution": ""}
    joined = joined_imagery({"a": record(1, **silent), "b": record(2, **silent)})
    assert (joined.licence, joined.attribution) == ("", "")


def test_road_layers_join(part_of, tmp_path):
    one, two = part_of(EAST), part_of(WEST, roads_sha256="e" * 64)
    roads = merge_indexes([one, two], tmp_path / "a", progress=False).manifest.roads_sha256
    assert len(roads) == 64
    assert roads not in ("e" * 64, load_manifest(one).roads_sha256)
    turned = merge_indexes([two, one], tmp_path / "b", progress=False).manifest.roads_sha256
    assert turned == roads


def test_a_damaged_part_is_not_merged(part_of, tmp_path):
    one, two = part_of(EAST), part_of(WEST)
    record = load_manifest(two).shards[0]
    path = record.path(two, next(iter(record.files)))
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    out = tmp_path / "city.index"
    shutil.copytree(one, out)
    before = content(out)
    with pytest.raises(IndexCorruptError, match="was altered"):
        merge_indexes([one, two], out, progress=False)
    assert content(out) == before
    path.unlink()
    with pytest.raises(IndexCorruptError, match="cannot read"):
        merge_indexes([one, two], out, progress=False)
    with pytest.raises(IndexCorruptError, match="no usable index"):
        merge_indexes([one, tmp_path / "nowhere"], out, progress=False)


def test_merges_that_make_no_sense(part_of, tmp_path):
    one = part_of(EAST)
    for roots in ([one], [one, one], [one, one.parent / "." / one.name], []):
        with pytest.raises(IndexBuildError, match="at least two indexes, and none of them twice"):
            merge_indexes(roots, tmp_path / "out", progress=False)
    with pytest.raises(IndexBuildError, match="--out is"):
        merge_indexes([one, part_of(WEST)], Path(), progress=False)


# -- diff -----------------------------------------------------------------------------------


def test_the_same_is_no_difference(built, tmp_path):
    one, two = load_manifest(built), load_manifest(shutil.copytree(built, tmp_path / "b"))
    found = difference(one, two)
    assert found.nothing
    assert found.same == one.shards
    assert report(found, "A", "B")["same"] is True


def test_differences_are_found_one_by_one(built, part_of):
    one, two = part_of(EAST, "one"), part_of(WEST, "two")
    found = difference(load_manifest(one), load_manifest(two))
    assert {record.cell for record in found.only_old} == cells(one)
    assert {record.cell for record in found.only_new} == cells(two)
    assert (found.header, found.changed, found.same) == ((), (), ())

    cell, part = touch(one)
    found = difference(load_manifest(built), load_manifest(one))
    assert [(change.new.cell, change.parts) for change in found.changed] == [(cell, (part,))]
    assert {record.cell for record in found.only_old} == cells(two)
    assert len(found.same) == len(cells(one)) - 1
    said = report(found, "A", "B")["shards"]
    assert said["changed"]["parts"] == [[part]]
    assert said["only_old"]["count"] == len(cells(two))
    assert said["only_old"]["bytes"] == sum(
        path.stat().st_size for path in (two / "shards").iterdir()
    )


def test_headers_differ_by_their_fields(built):
    one = load_manifest(built)
    two = dataclasses.replace(
        one, imagery=dataclasses.replace(one.imagery, licence="CC0"), descriptions=DESCRIBED,
        search={**one.search, "rounds": 7, "\x1b[2J": 1},
    )  # fmt: skip
    fields = {field.name: (field.old, field.new) for field in difference(one, two).header}
    assert fields["imagery.licence"] == ("", "CC0")
    assert fields["search.rounds"] == (5, 7)
    assert fields["descriptions.vlm"] == (None, "x")
    assert all(name.isprintable() for name in fields)
    assert "imagery.source" not in fields


def test_cells_of_another_plane_are_other_places(built):
    one = load_manifest(built)
    found = difference(one, dataclasses.replace(one, origin=LatLon(46.5001, 6.6)))
    assert (found.only_old, found.only_new) == (one.shards, one.shards)
    assert (found.same, found.changed) == ((), ())


def test_indexes_of_other_sampling_differ_everywhere(built, tmp_path):
    build(tmp_path / "b", policy=SamplingPolicy(spacing_m=4.0))
    found = difference(load_manifest(built), load_manifest(tmp_path / "b"))
    assert [field.name for field in found.header] == ["policy.spacing_m"]
    assert len(found.changed) == len(cells(built))
    assert all(len(change.parts) == len(change.new.files) for change in found.changed)
