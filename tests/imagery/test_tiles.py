# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiles against mercantile, and mosaics against their tiles."""

import cv2
import mercantile
import numpy as np
import pytest
import rasterio

from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.tiles import Tile, find_tiles, mosaic_tiles, tile_at

PLACES = [(46.5, 6.6), (-33.9, 151.2), (0.0, 0.0), (85.0, -179.999), (-85.0, 179.999), (64.1, -21)]


@pytest.mark.parametrize("zoom", [0, 1, 9, 18, 23])
@pytest.mark.parametrize(("lat", "lon"), PLACES)
def test_tile_maths_agrees_with_mercantile(lat, lon, zoom):
    expected = mercantile.tile(lon, lat, zoom)
    tile = tile_at(LatLon(lat, lon), zoom)
    assert (tile.x, tile.y, tile.zoom) == (expected.x, expected.y, expected.z)
    np.testing.assert_allclose(
        tile.bounds_mercator_m, tuple(mercantile.xy_bounds(expected)), atol=1e-6
    )


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (24, 0, 0), (3, 8, 0), (3, 0, -1), (0, 1, 0)])
def test_tiles_that_do_not_exist_are_refused(numbers):
    with pytest.raises(ImageryError, match="no tile"):
        Tile(*numbers)


def test_poles_have_no_tile():
    with pytest.raises(ImageryError, match="latitude"):
        tile_at(LatLon(88.0, 0.0), 5)


def write_tile(path, seed, side=256):
    rgb = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert ok
    path.write_bytes(data.tobytes())
    return rgb


@pytest.mark.parametrize("name", ["18_{x}_{y}.png", "18/{x}/{y}.png", "deep/18/{x}/{y}.png"])
def test_mosaic_holds_every_tile_at_its_place(tmp_path, name):
    base = tile_at(LatLon(46.5, 6.6), 18)
    there = {}
    for seed, (dx, dy) in enumerate([(0, 0), (1, 0), (0, 1)]):
        path = tmp_path / "tiles" / name.format(x=base.x + dx, y=base.y + dy)
        there[dx, dy] = write_tile(path, seed)
    (tmp_path / "tiles" / "readme.txt").write_text("not a tile")
    out = tmp_path / "new" / "out.tif"
    assert mosaic_tiles(tmp_path / "tiles", out, attribution="nobody") == (3, 1)
    with rasterio.open(out) as dataset:
        assert dataset.crs.to_epsg() == 3857
        west, south, east, north = (
            mercantile.xy_bounds(base.x, base.y, 18).left,
            mercantile.xy_bounds(base.x, base.y + 1, 18).bottom,
            mercantile.xy_bounds(base.x + 1, base.y, 18).right,
            mercantile.xy_bounds(base.x, base.y, 18).top,
        )
        np.testing.assert_allclose(dataset.bounds, (west, south, east, north), atol=1e-6)
        pixels, mask = dataset.read().transpose(1, 2, 0), dataset.dataset_mask()
    for (dx, dy), rgb in there.items():
        np.testing.assert_array_equal(
            pixels[dy * 256 : dy * 256 + 256, dx * 256 : dx * 256 + 256], rgb
        )
    assert (mask[256:, 256:] == 0).all()
    assert mask.mean() == pytest.approx(255 * 0.75)
    ortho = OrthoImage.open(out)
    assert ortho.provenance["attribution"] == "nobody"
    assert ortho.valid.mean() == pytest.approx(0.75, abs=0.02)
    assert ortho.gsd_m == pytest.approx(0.5972 * np.cos(np.radians(46.5)), rel=0.005)
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.tif"]


def test_several_zooms_need_a_choice(tmp_path):
    write_tile(tmp_path / "18_5_6.png", 0)
    write_tile(tmp_path / "17_5_6.png", 1)
    with pytest.raises(ImageryError, match=r"17 \(1 tiles\), 18 \(1 tiles\)"):
        find_tiles(tmp_path)
    assert list(find_tiles(tmp_path, zoom=17)) == [Tile(17, 5, 6)]
    with pytest.raises(ImageryError, match="of zoom 3"):
        find_tiles(tmp_path, zoom=3)


def test_one_tile_twice_is_refused(tmp_path):
    write_tile(tmp_path / "18_5_6.png", 0)
    write_tile(tmp_path / "18" / "5" / "6.png", 1)
    with pytest.raises(ImageryError, match="twice"):
        find_tiles(tmp_path)


def test_folders_without_tiles_are_refused(tmp_path):
    with pytest.raises(ImageryError, match="no folder"):
        find_tiles(tmp_path / "missing")
    (tmp_path / "a_b_c.png").write_bytes(b"")
    with pytest.raises(ImageryError, match="no tiles"):
        mosaic_tiles(tmp_path, tmp_path / "out.tif")


def test_damaged_or_odd_tiles_leave_no_file(tmp_path):
    folder, out = tmp_path / "tiles", tmp_path / "out.tif"
    write_tile(folder / "18_5_6.png", 0)
    (folder / "18_6_6.png").write_bytes(b"\x89PNG truncated")
    with pytest.raises(ImageryError, match="damaged tile"):
        mosaic_tiles(folder, out)
    write_tile(folder / "18_6_6.png", 0, side=512)
    with pytest.raises(ImageryError, match="512x512"):
        mosaic_tiles(folder, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiles"]


def test_stray_tiles_do_not_make_a_giant(tmp_path):
    write_tile(tmp_path / "18_5_6.png", 0)
    write_tile(tmp_path / "18_9005_9006.png", 1)
    with pytest.raises(ImageryError, match="stray"):
        mosaic_tiles(tmp_path, tmp_path / "out.tif")
