# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Areas and their tiles against mercantile and pyproj, also across 180 degrees and far north."""

import mercantile
import numpy as np
import pyproj
import pytest

from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery.tile_span import Area, TileSpan, metres_per_pixel
from geoloc_ros.imagery.tiles import MAX_LAT_DEG

AREAS = {
    "lausanne": (6.58, 46.49, 6.66, 46.53),
    "sydney": (151.1, -33.95, 151.3, -33.8),
    "origin": (-0.01, -0.01, 0.01, 0.01),
    "svalbard": (15.5, 78.2, 15.7, 78.25),
    "top": (10.0, 84.9, 11.0, MAX_LAT_DEG),
    "fiji": (179.9, -17.0, -179.9, -16.8),
    "edge": (179.0, 10.0, 180.0, 11.0),
}


@pytest.mark.parametrize("zoom", [0, 3, 11, 15])
@pytest.mark.parametrize("name", AREAS)
def test_tiles_of_an_area_are_mercantiles(name, zoom):
    span = TileSpan.covering(Area(*AREAS[name]), zoom)
    expected = {(t.z, t.x, t.y) for t in mercantile.tiles(*AREAS[name], zoom)}
    found = [(t.zoom, t.x, t.y) for t in span]
    assert len(found) == len(set(found)) == len(span)
    assert set(found) == expected


def test_an_area_of_whole_tiles_is_those_tiles_and_no_neighbours():
    for tile in (mercantile.Tile(135_890, 92_760, 18), mercantile.Tile(0, 0, 4)):
        west, south, east, north = mercantile.bounds(tile)
        span = TileSpan.covering(Area(west, south, east, min(north, MAX_LAT_DEG)), tile.z)
        assert [(t.x, t.y, t.zoom) for t in span] == [(tile.x, tile.y, tile.z)]
        found = span.area
        np.testing.assert_allclose(
            (found.west, found.south, found.east, found.north),
            (west, south, east, north),
            atol=1e-6,
        )


def test_the_rectangle_around_scattered_columns_may_cross_the_antimeridian():
    side = 1 << 10
    assert TileSpan.around(10, [7, 5, 9], (3, 4)) == TileSpan(10, 5, 3, 5, 2)
    crossing = TileSpan.around(10, [side - 2, 1, 0], (3, 3))
    assert crossing == TileSpan(10, side - 2, 3, 4, 1)
    assert crossing.crosses_antimeridian
    assert [t.x for t in crossing] == [side - 2, side - 1, 0, 1]
    assert crossing.area.west > crossing.area.east
    assert TileSpan.around(0, [0], (0, 0)) == TileSpan(0, 0, 0, 1, 1)
    assert TileSpan.around(10, [4], (0, 0)) == TileSpan(10, 4, 0, 1, 1)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((6.0, 46.0, 6.1, 86.0), "85.05 degrees of latitude"),
        ((6.0, -90.0, 6.1, 0.0), "85.05 degrees of latitude"),
        ((6.0, 46.1, 6.1, 46.0), "no extent"),
        ((6.0, 46.0, 6.0, 46.1), "no extent"),
        ((6.0, 46.0, 186.0, 46.1), r"-180\.\.180"),
        ((float("nan"), 46.0, 6.0, 46.1), "finite"),
    ],
)
def test_areas_that_have_no_tiles_are_refused(box, says):
    with pytest.raises(ImageryError, match=says):
        Area(*box)


@pytest.mark.parametrize("lat", [0.0, 46.5, -33.9, 78.2])
@pytest.mark.parametrize("lon", [6.6, 179.995, -179.995])
def test_the_area_around_a_place_holds_the_circle(lat, lon):
    area = Area.around(LatLon(lat, lon), 1000.0)
    geod = pyproj.Geod(ellps="WGS84")
    for azimuth, edge in ((0, area.north), (180, area.south)):
        assert geod.fwd(lon, lat, azimuth, 1000.0)[1] == pytest.approx(edge, abs=2e-6)
    width = (area.east - area.west) % 360.0
    assert width == pytest.approx(2 * 1000.0 / (111_320.0 * np.cos(np.radians(lat))), rel=0.01)
    assert (area.west > area.east) == (abs(lon) > 179.99)
    assert area.centre.lat_deg == pytest.approx(lat, abs=1e-4)


@pytest.mark.parametrize(
    ("lat", "radius_m", "says"),
    [
        (46.5, 0.0, "radius"),
        (46.5, 60_000.0, "radius"),
        (85.04, 5000.0, "85.05"),
        (90.0, 500.0, "85.05"),
        (46.5, float("nan"), "radius"),
    ],
)
def test_circles_without_tiles_are_refused(lat, radius_m, says):
    with pytest.raises(ImageryError, match=says):
        Area.around(LatLon(lat, 6.6), radius_m)


def test_zooms_that_do_not_exist_are_refused():
    for zoom in (-1, 24):
        with pytest.raises(ImageryError, match=r"0\.\.23"):
            TileSpan.covering(Area(*AREAS["lausanne"]), zoom)


@pytest.mark.parametrize("lat", [0.0, 46.5, 78.2])
def test_ground_resolution_agrees_with_the_ellipsoid(lat):
    geod = pyproj.Geod(ellps="WGS84")
    east = 360.0 / (1 << 18) / 256
    _, _, width_m = geod.inv(6.6, lat, 6.6 + 1000 * east, lat)
    assert metres_per_pixel(18, lat) == pytest.approx(width_m / 1000, rel=0.007)
