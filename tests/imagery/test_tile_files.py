# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""MBTiles and PMTiles are read as imagery: every pixel at its place, no seams, holes are holes."""

import mercantile
import numpy as np
import pyproj
import pytest
from pmtiles.tile import tileid_to_zxy
from tile_files import (
    CREDIT,
    PLACE,
    WRITERS,
    ZOOM,
    encode,
    picture,
    span_at,
    tiles_of,
    write_mbtiles,
)

from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery import mbtiles
from geoloc_ros.imagery.geotiff import open_raster
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.pmtiles_file import hilbert_xy
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tile_store import Credit, open_store
from geoloc_ros.imagery.tiles import Tile

SUFFIXES = sorted(WRITERS)


def write(folder, suffix, tiles, **more):
    return WRITERS[suffix](folder / f"city{suffix}", tiles, **more)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_says_what_it_holds(tmp_path, suffix):
    span = span_at()
    coarse = TileSpan(ZOOM - 1, span.x // 2, span.y // 2, 1, 1)
    tiles = tiles_of(span, holes={(1, 1)}) | tiles_of(coarse)
    with open_store(write(tmp_path, suffix, tiles)) as store:
        assert store.spans == {ZOOM: span, ZOOM - 1: coarse}
        assert store.counts == {ZOOM: 11, ZOOM - 1: 1}
        assert store.credit == Credit(CREDIT["attribution"], CREDIT["terms"])
        assert store.to_come == 0
        for tile in span:
            assert store.read(tile) == tiles.get(tile)
        assert store.read(Tile(ZOOM, 0, 0)) is None
        assert store.read(Tile(3, 0, 0)) is None


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_come_back_as_they_are_and_missing_tiles_are_masked(tmp_path, suffix, side):
    span = span_at()
    path = write(tmp_path, suffix, tiles_of(span, side, holes={(2, 1)}))
    with open_raster(path) as raster:
        assert (raster.width, raster.height) == (4 * side, 3 * side)
        whole = window(0, 0, raster.width, raster.height)
        rgba, transform = raster.read_rgba(whole, (raster.height, raster.width))
        assert transform == raster.transform
        expected = np.concatenate(
            [
                np.concatenate(
                    [picture(Tile(ZOOM, span.x + c, span.y + r), side) for c in range(4)], axis=1
                )
                for r in range(3)
            ]
        )
        there = np.ones(expected.shape[:2], bool)
        there[side : 2 * side, 2 * side : 3 * side] = False
        np.testing.assert_array_equal(rgba[3] == 255, there)
        np.testing.assert_array_equal(rgba[:3].transpose(1, 2, 0)[there], expected[there])
        part = window(side - 10, side - 20, 100, 50)
        rgba, transform = raster.read_rgba(part, (50, 100))
        np.testing.assert_array_equal(
            rgba[:3].transpose(1, 2, 0), expected[side - 20 : side + 30, side - 10 : side + 90]
        )
        assert transform * (0, 0) == pytest.approx(raster.transform * (side - 10, side - 20))


def window(column, row, width, height):
    from rasterio.windows import Window

    return Window(column, row, width, height)


def test_the_raster_lies_where_mercantile_says(tmp_path):
    span = span_at()
    with open_raster(write(tmp_path, ".mbtiles", tiles_of(span))) as raster:
        first = mercantile.xy_bounds(span.x, span.y, ZOOM)
        last = mercantile.xy_bounds(span.x + 3, span.y + 2, ZOOM)
        np.testing.assert_allclose(raster.transform * (0, 0), (first.left, first.top), atol=1e-6)
        np.testing.assert_allclose(
            raster.transform * (raster.width, raster.height), (last.right, last.bottom), atol=1e-6
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_imagery_of_tiles_is_at_its_latitude_and_longitude_without_seams(tmp_path, suffix):
    span = span_at()
    ortho = OrthoImage.open(write(tmp_path, suffix, tiles_of(span)), gsd_m=0.4)
    assert_pattern(ortho, span)
    assert ortho.provenance["attribution"] == CREDIT["attribution"]
    assert ortho.provenance["licence"] == CREDIT["terms"]
    assert ortho.provenance["native_gsd_m"] == pytest.approx(
        0.5972 * np.cos(np.radians(46.5)), rel=0.005
    )
    west, _, east, north = ortho.provenance["bounds_lonlat_deg"]
    assert west < span.area.west + 1e-4
    assert north > span.area.north - 1e-4
    assert east - west == pytest.approx(span.area.east - span.area.west, rel=0.01)


def assert_pattern(ortho, span, side=256):
    """Colours must be the pattern's at the latitude and longitude of every valid pixel."""
    height, width = ortho.valid.shape
    rows, columns = np.mgrid[4 : height - 4 : 3, 4 : width - 4 : 3].reshape(2, -1)
    xy_m = np.stack(
        [ortho.west_m + (columns + 0.5) * ortho.gsd_m, ortho.north_m - (rows + 0.5) * ortho.gsd_m],
        axis=1,
    )
    lat, lon = ortho.frame.to_latlon(xy_m)
    to_mercator = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    x, y = to_mercator.transform(lon, lat)
    half = np.pi * 6_378_137.0
    scale = (1 << span.zoom) * side / (2 * half)
    u, v = ((x + half) * scale - 0.5), ((half - y) * scale - 0.5)
    red = 128.0 + 60.0 * np.sin(u * 2 * np.pi / 64) + 40.0 * np.cos(v * 2 * np.pi / 96)
    inside = ortho.valid[rows, columns]
    assert inside.mean() > 0.95
    wrong = np.abs(ortho.rgb[rows, columns, 0] - red)[inside]
    # 0.1 px of shift changes red by up to 60 * 2 pi / 64 * 0.1 = 0.6; rounding adds 1
    assert wrong.max() < 2.0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_imagery_across_the_antimeridian_is_whole(tmp_path, suffix):
    side = 1 << ZOOM
    row = span_at(LatLon(-16.9, 179.9)).y
    span = TileSpan(ZOOM, side - 2, row, 4, 3)
    path = write(tmp_path, suffix, tiles_of(span))
    with open_store(path) as store:
        assert store.spans == {ZOOM: span}
    ortho = OrthoImage.open(path, gsd_m=0.6)
    assert abs(ortho.frame.origin.lon_deg) > 179.99
    assert ortho.valid.mean() > 0.95
    width_m = ortho.bounds_m[2] - ortho.bounds_m[0]
    assert width_m == pytest.approx(4 * 256 * 0.5972 * np.cos(np.radians(16.9)), rel=0.01)
    assert_pattern(ortho, span)


@pytest.mark.parametrize("lat", [78.22, 84.9, -84.9])
def test_imagery_of_high_latitudes_keeps_its_scale(tmp_path, lat):
    span = span_at(LatLon(lat, 15.6), columns=3, rows=2)
    ortho = OrthoImage.open(write(tmp_path, ".mbtiles", tiles_of(span)))
    assert ortho.gsd_m == pytest.approx(0.5972 * np.cos(np.radians(lat)), rel=0.02)
    assert ortho.valid.mean() > 0.9


def test_reading_coarsely_averages_and_keeps_place(tmp_path):
    span = span_at()
    path = write(tmp_path, ".mbtiles", tiles_of(span, holes={(0, 0)}))
    with open_raster(path) as raster:
        rgba, transform = raster.read_rgba(window(0, 0, 1024, 768), (100, 130))
        assert rgba.shape == (4, 192, 256)
        assert transform * (256, 192) == pytest.approx(raster.transform * (1024, 768))
        tile = picture(Tile(ZOOM, span.x + 1, span.y)).reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(rgba[:3, :64, 64:128].transpose(1, 2, 0), tile, atol=0.51)
        assert (rgba[3, :64, :64] == 0).all()
    coarse = OrthoImage.open(path, gsd_m=3.0)
    fine = OrthoImage.open(path, gsd_m=0.5, frame=coarse.frame)
    assert coarse.valid.mean() == pytest.approx(fine.valid.mean(), abs=0.02)
    assert coarse.rgb[coarse.valid].mean() == pytest.approx(fine.rgb[fine.valid].mean(), abs=1.0)


def test_transparent_pixels_are_no_imagery(tmp_path):
    span = span_at(columns=1, rows=1)
    rgba = np.dstack([picture(next(iter(span))), np.full((256, 256), 255, np.uint8)])
    rgba[:, :128, 3] = 0
    rgba[:, :128, :3] = 255
    path = write_mbtiles(tmp_path / "a.mbtiles", {next(iter(span)): encode(rgba)})
    ortho = OrthoImage.open(path, gsd_m=0.4)
    assert ortho.valid.mean() == pytest.approx(0.5, abs=0.02)
    with open_raster(path) as raster:
        reduced, _ = raster.read_rgba(window(0, 0, 256, 256), (16, 16))
    edge = reduced[:3, :, 8]  # transparent white must not bleed into it
    assert edge.max() <= rgba[:, 128:144, :3].max()


def test_a_zoom_can_be_chosen(tmp_path):
    span = span_at()
    coarse = TileSpan(ZOOM - 1, span.x // 2, span.y // 2, 2, 2)
    path = write(tmp_path, ".mbtiles", tiles_of(span) | tiles_of(coarse))
    with open_raster(path) as raster:
        assert raster.span == span
    with open_raster(path, ZOOM - 1) as raster:
        assert raster.span == coarse
    says = r"no tile of zoom 9; it has 17 \(4 tiles\), 18"
    with pytest.raises(ImageryError, match=says), open_raster(path, 9):
        pass


def test_formats_may_be_mixed_and_grey(tmp_path):
    span = span_at(columns=3, rows=1)
    grey = picture(next(iter(span)))[..., 0]
    kinds = [encode(grey), encode(picture(Tile(ZOOM, span.x + 1, span.y)), "jpg", quality=95)]
    kinds.append(encode(picture(Tile(ZOOM, span.x + 2, span.y)), "webp", lossless=True))
    path = write_mbtiles(tmp_path / "a.mbtiles", dict(zip(span, kinds, strict=True)))
    with open_raster(path) as raster:
        rgba, _ = raster.read_rgba(window(0, 0, 768, 256), (256, 768))
    np.testing.assert_array_equal(rgba[1, :, :256], grey)
    assert (
        np.abs(
            rgba[0, :, 256:512].astype(int) - picture(Tile(ZOOM, span.x + 1, span.y))[..., 0]
        ).mean()
        < 3
    )
    np.testing.assert_array_equal(
        rgba[0, :, 512:], picture(Tile(ZOOM, span.x + 2, span.y))[..., 0]
    )


def test_what_is_written_is_read_and_one_file_remains(tmp_path):
    span = span_at(columns=2, rows=2)
    path = tmp_path / "out.mbtiles"
    writer = mbtiles.MbtilesWriter(path)
    tiles = tiles_of(span)
    for tile, data in tiles.items():
        writer.put(tile, data)
    credit = Credit("somebody", "CC BY 4.0")
    writer.describe(mbtiles.span_metadata(span, "out", "png", credit))
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mbtiles"]
    path.chmod(0o444)
    with open_store(path) as store:
        assert (store.spans, store.credit) == ({ZOOM: span}, credit)
        assert all(store.read(tile) == data for tile, data in tiles.items())
        west, south, east, north = map(float, store.metadata["bounds"].split(","))
    assert west < PLACE.lon_deg < east
    assert south < PLACE.lat_deg < north


def test_two_writers_do_not_write_one_file(tmp_path):
    first = mbtiles.MbtilesWriter(tmp_path / "a.mbtiles")
    with pytest.raises(ImageryError, match="in use by another command"):
        mbtiles.MbtilesWriter(tmp_path / "a.mbtiles")
    with pytest.raises(ImageryError, match="in use by another command"):
        open_store(tmp_path / "a.mbtiles")
    first.close()


def test_an_unfinished_fetch_is_refused(tmp_path):
    path = write(tmp_path, ".mbtiles", tiles_of(span_at()), **{mbtiles.TO_COME: "12"})
    with pytest.raises(ImageryError, match=r"unfinished fetch: 12 tiles.*run the same"):
        OrthoImage.open(path)


@pytest.mark.parametrize("zoom", [0, 1, 5, 18, 23])
def test_the_curve_of_pmtiles_agrees_with_its_library(zoom):
    count = 1 << 2 * zoom
    positions = np.unique(np.random.default_rng(zoom).integers(0, count, 50))
    x, y = hilbert_xy(positions, zoom)
    base = (count - 1) // 3
    expected = [tileid_to_zxy(int(base + position))[1:] for position in positions]
    np.testing.assert_array_equal(np.stack([x, y], axis=1), expected)


def test_leaf_directories_of_pmtiles_are_followed(tmp_path):
    """Enough tiles that the root directory points at leaves."""
    span = span_at(columns=120, rows=100)
    one = encode(picture(next(iter(span))))
    tiles = {tile: one + bytes(str(tile), "ascii") for tile in span}  # PNG ends before that
    path = write(tmp_path, ".pmtiles", tiles)
    with open_store(path) as store:
        assert store.spans == {ZOOM: span}
        assert store.counts == {ZOOM: 12_000}
        for tile in list(span)[::997]:
            assert store.read(tile) == tiles[tile]


def test_the_local_frame_may_be_given(tmp_path):
    path = write(tmp_path, ".mbtiles", tiles_of(span_at()))
    frame = LocalFrame(LatLon(46.49, 6.61))
    ortho = OrthoImage.open(path, frame=frame, gsd_m=0.5)
    assert ortho.frame == frame
    assert_pattern(ortho, span_at())
    with pytest.raises(ImageryError, match="do not overlap"):
        OrthoImage.open(path, bounds_m=(5000.0, 5000.0, 6000.0, 6000.0))
