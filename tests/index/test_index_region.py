# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Shards that a region touches, compared with the plain way: many points of each shard."""

import dataclasses

import numpy as np
import pytest
from pyproj import Geod

from geoloc_ros.errors import IndexPullError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.region import Box, Disc, Everywhere, area_text, overlap

GEOD = Geod(ellps="WGS84")
NAN = float("nan")


@pytest.fixture
def manifest_at(built):
    """The manifest of an index with 6 x 5 shards somewhere else on the globe."""
    manifest = load_manifest(built)

    def make(lat, lon, side_m=1000.0):
        rng = np.random.default_rng(3)
        shards = []
        for column in range(-3, 3):
            for row in range(-2, 3):
                low, high = np.sort(rng.uniform(0.02, 0.98, (2, 2)), axis=0) * side_m
                corner = np.array([column, row]) * side_m
                bounds = (*(corner + low), *(corner + high))
                record = dataclasses.replace(
                    manifest.shards[0], cell=(2, column, row), bounds_m=bounds
                )
                shards.append(record)
        return dataclasses.replace(manifest, origin=LatLon(lat, lon), shards=tuple(shards))

    return make


def points_of(manifest, count=41):
    """Latitudes and longitudes (N, P) of a lattice over each shard."""
    share = np.linspace(0.0, 1.0, count)
    xs, ys = (axis.ravel() for axis in np.meshgrid(share, share))
    found = []
    for shard in manifest.shards:
        west, south, east, north = shard.bounds_m
        xy = np.column_stack([west + xs * (east - west), south + ys * (north - south)])
        found.append(manifest.frame.to_latlon(xy))
    return np.array([lat for lat, _ in found]), np.array([lon for _, lon in found])


PLACES = [(46.5, 6.6), (-33.9, -70.6), (65.0, 179.97), (0.0, 0.0), (-80.0, 30.0)]


@pytest.mark.parametrize(("lat", "lon"), PLACES)
def test_a_box_touches_what_has_points_in_it(manifest_at, lat, lon):
    manifest = manifest_at(lat, lon)
    lats, lons = points_of(manifest)
    turned = (lons - lon + 180.0) % 360.0 - 180.0
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(60):
        south, north = lat + np.sort(rng.uniform(-0.03, 0.03, 2))
        west, east = np.sort(rng.uniform(turned.min() * 1.2, turned.max() * 1.2, 2))
        names = [(edge + lon + 180.0) % 360.0 - 180.0 for edge in (west, east)]
        box = Box(names[0], south, names[1], north)
        inside = ((lats >= south) & (lats <= north) & (turned >= west) & (turned <= east)).any(1)
        touched = box.touches(manifest)
        assert not (inside & ~touched).any()
        # what is touched beyond that lies within a step of the lattice, and the turn of the plane
        slack = 0.003, 0.003 / np.cos(np.radians(lat))
        near = (
            (lats >= south - slack[0]) & (lats <= north + slack[0])
            & (turned >= west - slack[1]) & (turned <= east + slack[1])
        ).any(axis=1)  # fmt: skip
        assert not (touched & ~near).any()
        seen += int(touched.sum())
    assert seen > 100


@pytest.mark.parametrize(("lat", "lon"), PLACES)
def test_a_disc_touches_what_is_near_enough(manifest_at, lat, lon):
    manifest = manifest_at(lat, lon)
    lats, lons = points_of(manifest, 13)
    rng = np.random.default_rng(2)
    for _ in range(15):
        x, y = rng.uniform(-4000.0, 4000.0, 2)
        centre = manifest.frame.position(x, y)
        radius = float(rng.uniform(50.0, 3000.0))
        away = GEOD.inv(
            np.full_like(lons, centre.lon_deg), np.full_like(lats, centre.lat_deg), lons, lats
        )[2].min(axis=1)
        touched = Disc(centre, radius).touches(manifest)
        clear = np.abs(away - radius) > 80.0  # a step of the lattice
        assert (touched == (away <= radius))[clear].all()


def test_a_disc_may_begin_beyond_the_plane(manifest_at):
    manifest = manifest_at(46.5, 6.6)
    lon, lat, _ = GEOD.fwd(6.6, 46.5, 90.0, 60_000.0)
    assert not Disc(LatLon(lat, lon), 50_000.0).touches(manifest).any()
    found = Disc(LatLon(lat, lon), 58_500.0).touches(manifest)
    assert 0 < found.sum() < len(found)
    assert Disc(LatLon(lat, lon), 90_000.0).touches(manifest).all()
    assert not Disc(LatLon(-lat, lon), 90_000.0).touches(manifest).any()


def test_boxes_around_the_whole_globe_touch_all(manifest_at):
    for lat, lon in PLACES:
        manifest = manifest_at(lat, lon)
        assert Everywhere().touches(manifest).all()
        for west, east in ((-180.0, 180.0), (10.0, 9.9), (-170.0, -170.1)):
            assert Box(west, -90.0, east, 90.0).touches(manifest).all(), (lat, lon, west)
        assert not Box(-180.0, 85.0, 180.0, 90.0).touches(manifest).any()


@pytest.mark.parametrize(
    "edges",
    [(1, 2, 1, 3), (1, 3, 2, 2), (1, 3, 2, 3), (-181, 0, 1, 1), (0, 0, 181, 1), (0, -91, 1, 0),
     (0, 0, 1, 91), (NAN, 0, 1, 1), (0, NAN, 1, 1), (0, 0, NAN, 1), (0, 0, 1, NAN)],
)  # fmt: skip
def test_boxes_that_are_none(edges):
    with pytest.raises(IndexPullError, match="west, south, east, north are needed"):
        Box(*edges)


@pytest.mark.parametrize("radius", [0.0, -5.0, NAN, float("inf"), 1e6])
def test_discs_that_are_none(radius):
    with pytest.raises(IndexPullError, match=r"radius is .* m; it must lie in 1\.\.200000 m"):
        Disc(LatLon(0.0, 0.0), radius)


def test_overlap(manifest_at):
    shards = manifest_at(46.5, 6.6).shards
    assert overlap(shards, shards).all()
    assert not overlap(shards, ()).any()
    alone = overlap(shards, [shards[7]])
    assert alone.sum() == 1
    assert alone[7]
    west, south, east, north = shards[7].bounds_m
    other = dataclasses.replace(
        shards[7], cell=(2, 90, 90), bounds_m=(west - 9, south - 9, west, north)
    )
    assert (overlap(shards, [other]) == alone).all()
    apart = dataclasses.replace(other, bounds_m=(9e3, 9e3, 9e3, 9e3))
    assert not overlap(shards, [apart]).any()
    same_name = dataclasses.replace(apart, cell=shards[7].cell)
    assert (overlap(shards, [same_name]) == alone).all()
    assert east > west


def test_where_an_index_lies_is_said_in_degrees(built):
    manifest = load_manifest(built)
    west, south, east, north = manifest.bounds_m
    place = manifest.frame.position(west, south)
    assert f"lat {place.lat_deg:.5f}.." in area_text(manifest)
    assert f"lon {place.lon_deg:.5f}.." in area_text(manifest)
    assert (east, north) > (west, south)
