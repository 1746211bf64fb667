# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several indexes searched together: softly chosen by a prior, none left out, always the same."""

import dataclasses
import shutil

import numpy as np
import pytest
from made_place import build, make_package, make_picture, make_roads

from geoloc_ros.errors import ConfigError, IndexCorruptError, IndexMismatchError
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index.atlas import LEAST_EFFORT, Atlas
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex

ORIGINS = (LatLon(46.5, 6.6), LatLon(46.55, 6.65), LatLon(-33.9, 151.2), LatLon(-17.0, 179.99))
POLICY = SamplingPolicy(spacing_m=12.0)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Four towns that look alike, of different sizes, one on the antimeridian."""
    root, picture = tmp_path_factory.mktemp("atlas"), make_picture()
    found = []
    for number, origin in enumerate(ORIGINS):
        place = dataclasses.replace(picture, frame=LocalFrame(origin))
        policy = dataclasses.replace(POLICY, seed=number)
        roads = make_roads()[: 4 - number % 2]
        build(root / f"town{number}", picture=place, roads=roads, policy=policy)
        found.append(root / f"town{number}")
    return found


@pytest.fixture
def atlas(paths) -> Atlas:
    return Atlas(paths)


def vector(index: ShardedIndex, entry: int) -> np.ndarray:
    return index.vectors(np.array([entry]))[0]


def towards(town: int, share: float = 0.9) -> PlaceMixture:
    at = ORIGINS[town]
    return PlaceMixture.of([at.lat_deg], [at.lon_deg], [2000.0], [share], "test")


def test_towns_are_opened_when_they_are_searched(paths) -> None:
    atlas = Atlas(paths)
    assert len(atlas) == 4
    assert not atlas._open
    query = vector(atlas.town(2), 7)
    assert list(atlas._open) == [2]
    found = atlas.search(query, 5)
    assert sorted(atlas._open) == [0, 1, 2, 3]
    assert (found.towns[0], found.similarity[0]) == (2, pytest.approx(1.0, abs=1e-4))
    assert found.lat_deg[0] == pytest.approx(-33.9, abs=0.01)
    assert found.lon_deg[0] == pytest.approx(151.2, abs=0.01)


def test_without_a_prior_it_is_the_best_of_every_towns_own_search(atlas) -> None:
    query = vector(atlas.town(0), 31)
    found = atlas.search(query, 3)
    assert np.bincount(found.towns).tolist() == [3, 3, 3, 3]
    assert (np.diff(found.similarity) <= 0.0).all()
    for number in range(4):
        best = atlas.town(number).search_exact(query, 1)
        mine = np.flatnonzero(found.towns == number)[0]
        assert found.entry_ids[mine] == best.entry_ids[0]
    assert found.compared == sum(manifest.count for manifest in atlas.manifests)


def test_the_likelier_town_is_searched_more_closely_and_no_town_is_left_out(atlas) -> None:
    counts = np.array([manifest.count for manifest in atlas.manifests])
    for town in range(4):
        shares = atlas.shares(towards(town))
        assert shares.sum() == pytest.approx(1.0, abs=1e-4)
        assert shares.argmax() == town
        assert (shares > 0.0).all()
        found = atlas.search(vector(atlas.town(town), 5), 4, towards(town))
        named = np.bincount(found.towns, minlength=4)
        assert named[town] == 4
        assert (named >= 1).all()
        least = counts[town] + LEAST_EFFORT * (counts.sum() - counts[town])
        assert least <= found.compared < 0.9 * counts.sum()
        assert found.towns[0] == town


def test_a_wrong_prior_still_finds_the_right_town(atlas) -> None:
    query = vector(atlas.town(0), 0)
    found = atlas.search(query, 4, towards(3, 1.0))
    assert (found.towns[0], found.similarity[0]) == (0, pytest.approx(1.0, abs=1e-4))


def test_the_prior_of_candidates_is_bounded_and_knows_the_towns(atlas) -> None:
    found = atlas.search(vector(atlas.town(0), 5), 2)
    log_prior = atlas.log_prior(towards(3), found)
    assert np.isfinite(log_prior).all()
    assert set(found.towns[np.argsort(-log_prior)[:2]]) == {3}  # across the antimeridian, too
    assert log_prior.min() == pytest.approx(np.log(0.1), abs=1e-6)
    far = PlaceMixture.of([80.0], [0.0], [1e4], [0.9], "test")
    assert atlas.log_prior(far, found) == pytest.approx(np.zeros(len(found)))


def test_the_same_search_gives_the_same_bytes(paths) -> None:
    def once() -> bytes:
        atlas = Atlas(paths, most_open=2)
        query = vector(atlas.town(1), 9)
        parts = [atlas.search(query, 3, towards(0)) for _ in range(3)]
        return b"".join(p.similarity.tobytes() + p.entry_ids.tobytes() for p in parts)

    assert once() == once()


def test_towns_beyond_the_memory_have_their_turn(paths) -> None:
    atlas = Atlas(paths, most_open=2)
    query = vector(atlas.town(3), 0)
    seen = []
    for _ in range(3):
        found = atlas.search(query, 2, towards(0))
        seen.append(sorted(set(found.towns.tolist())))
        assert len(atlas._open) == 2
    assert seen == [[0, 1], [0, 2], [0, 3]]
    with pytest.raises(ConfigError, match="at least 2"):
        Atlas(paths, most_open=1)


def test_a_sparse_search_compares_entries_all_over_the_town(atlas) -> None:
    index = atlas.town(0)
    found = index.search_sparse(vector(index, 0), 1000, 25)
    assert len(found) == 25
    assert np.ptp(np.sort(np.diff(np.sort(found.entry_ids)))) <= 1
    everything = index.search_sparse(vector(index, 0), 5, 10**9).entry_ids
    assert everything.tolist() == index.search_exact(vector(index, 0), 5).entry_ids.tolist()


def test_what_makes_no_atlas_is_refused(paths, tmp_path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Atlas([])
    with pytest.raises(ConfigError, match="twice"):
        Atlas([paths[0], paths[1], paths[0]])
    with pytest.raises(IndexCorruptError):
        Atlas([paths[0], tmp_path / "nowhere"])
    other = make_package(tmp_path, files={"query.onnx": "c" * 64, "reference.onnx": "d" * 64})
    build(tmp_path / "other", package=other, policy=POLICY)
    with pytest.raises(IndexMismatchError, match="one model"):
        Atlas([paths[0], tmp_path / "other"])
    with pytest.raises(IndexMismatchError, match="encoder"):
        Atlas(paths, other)


def test_a_town_damaged_on_disk_is_noticed_when_it_is_opened(paths, tmp_path) -> None:
    copy = tmp_path / "town"
    shutil.copytree(paths[1], copy)
    victim = next((copy / "shards").glob("*.codes.npy"))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    atlas = Atlas([paths[0], copy])
    query = vector(atlas.town(0), 0)
    with pytest.raises(IndexCorruptError):
        atlas.search(query, 1)


def test_a_prior_that_says_nothing_changes_nothing(atlas) -> None:
    query = vector(atlas.town(1), 3)
    nowhere = PlaceMixture.of([80.0], [0.0], [1e4], [0.9], "test")
    plain = atlas.search(query, 4)
    for prior in (PlaceMixture.nothing("test"), nowhere):
        found = atlas.search(query, 4, prior)
        assert found.compared == plain.compared
        assert found.towns.tolist() == plain.towns.tolist()
        assert found.entry_ids.tolist() == plain.entry_ids.tolist()


def test_what_a_sparse_search_missed_is_found_around_it(atlas) -> None:
    town = atlas.town(0)
    between = 5  # not among every tenth
    found = atlas.search(vector(town, between), 4, towards(3, 1.0))
    mine = found.poses[found.towns == 0][0]
    coarse = town.search_sparse(vector(town, between), 1, len(town) // 10).similarity[0]
    assert found.similarity[found.towns == 0][0] >= coarse
    assert np.isfinite(mine).all()


def test_searches_out_of_bounds_are_refused(atlas) -> None:
    with pytest.raises(ConfigError):
        atlas.search(np.zeros(64, np.float32), 0)
    with pytest.raises(IndexMismatchError):
        atlas.search(np.full(64, np.nan, np.float32), 1)
