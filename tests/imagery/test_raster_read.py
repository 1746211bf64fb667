# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Windows of rasters, reduced: averages of what is there, at its place."""

import numpy as np
import pytest
from raster_factory import affine_around, write_raster
from rasterio.windows import Window
from tile_files import span_at, tiles_of, write_mbtiles

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery import raster_read
from geoloc_ros.imagery.geotiff import LocalMap, open_raster, read_coverage, read_grid
from geoloc_ros.imagery.grid import Grid
from geoloc_ros.imagery.raster_read import read_opacity, read_rgba, shrunk


def noise(size=240):
    return np.random.default_rng(5).integers(1, 255, (3, size, size)).astype(np.uint8)


def means(bands, factor):
    count, height, width = bands.shape
    blocks = bands.reshape(count, height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(2, 4))


@pytest.mark.parametrize("whole_pixels", [0, 10**9], ids=["by GDAL", "here"])
def test_a_reduced_window_holds_area_averages(tmp_path, monkeypatch, whole_pixels):
    monkeypatch.setattr(raster_read, "_WHOLE_PIXELS", whole_pixels)
    image = noise()
    path = write_raster(tmp_path / "a.tif", image)
    with open_raster(path) as dataset:
        rgba, transform, rule = read_rgba(dataset, path, Window(40, 20, 160, 200), (50, 40))
        assert transform @ (0, 0) == pytest.approx(dataset.transform @ (40, 20))
        assert transform @ (40, 50) == pytest.approx(dataset.transform @ (200, 220))
    assert rule == ""
    assert np.abs(rgba[:3] - means(image[:, 20:220, 40:200], 4)).max() <= 1.0
    assert (rgba[3] == 255).all()


def test_transparent_pixels_lend_no_colour():
    rgba = np.full((4, 8, 8), 255, np.uint8)
    rgba[0], rgba[1], rgba[2] = 200, 100, 50
    rgba[:, :, :3] = 0  # a hole that ends within the second pixel of four
    small = shrunk(rgba, (4, 4))
    np.testing.assert_array_equal(small[3, 0], [0, 128, 255, 255])
    np.testing.assert_array_equal(small[:3, 0, 1], [200, 100, 50])
    assert shrunk(small, (4, 4)) is small


def test_tiles_are_reduced_at_their_place(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles_of(span_at()))
    window = Window(100, 60, 600, 420)
    with open_raster(path) as tiles:
        whole, _, _ = read_rgba(tiles, path, Window(0, 0, tiles.width, tiles.height), (768, 1024))
        small, transform, _ = read_rgba(tiles, path, window, (140, 200))
        column, row = ~tiles.transform @ (transform @ (0, 0))
        scale = transform.a / tiles.transform.a
    assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-3)
    assert scale == pytest.approx(3.0, abs=0.05)
    for x, y in ((30, 40), (90, 100), (150, 20)):
        left, top = round(column + x * scale), round(row + y * scale)
        expected = whole[:3, top : top + 3, left : left + 3].mean(axis=(1, 2))
        assert np.abs(small[:3, y, x] - expected).max() < 12.0


@pytest.mark.parametrize(("kind", "decoded"), [("jpg", False), ("png", True)])
def test_holes_among_tiles_are_known_without_opaque_ones(tmp_path, monkeypatch, kind, decoded):
    tiles = tiles_of(span_at(), kind=kind, holes={(2, 1)})
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles, format=kind)
    seen = []
    with open_raster(path) as raster:
        decode = type(raster)._tile
        monkeypatch.setattr(
            type(raster), "_tile", lambda self, *at: seen.append(at) or decode(self, *at)
        )
        opacity, transform = read_opacity(raster, path, Window(0, 0, 1024, 768), (12, 16))
        scale = transform.a / raster.transform.a
    assert bool(seen) == decoded
    side = round(256 / scale)
    expected = np.full((3, 4), 255)
    expected[1, 2] = 0
    np.testing.assert_array_equal(opacity[0, ::side, ::side], expected)


def test_a_picture_without_holes_is_that_of_one_with_a_hole_beside_it(tmp_path):
    image, affine = noise(), affine_around("EPSG:32632", 0.5, 240)
    plain = write_raster(tmp_path / "plain.tif", image, affine=affine)
    opaque = np.full((240, 240), 255, np.uint8)
    opaque[72, 72] = 0  # it is read, but lies too far outside to be felt
    masked = write_raster(tmp_path / "masked.tif", image, affine=affine, mask=opaque)
    for gsd_m in (0.3, 0.5, 1.0):
        found = []
        for path in (plain, masked):
            with open_raster(path) as dataset:
                local = LocalMap(dataset, path, None)
                grid = Grid.covering((-20.0, -20.0, 20.0, 20.0), gsd_m)
                assert local.holds(grid)
                window = local.window(grid)
                held = read_rgba(dataset, path, window, (window.height, window.width))[0][3]
                assert (held == 255).all() == (path == plain)
                found.append(read_grid(dataset, local, grid)[:2])
        assert np.abs(found[0][0].astype(int) - found[1][0]).max() <= 1  # rounding
        assert found[0][1].all()
        assert found[1][1].all()


def test_the_edge_of_a_raster_is_felt(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise())
    with open_raster(path) as dataset:
        local = LocalMap(dataset, path, None)
        inside, across = (
            Grid.covering((east - 40.0, -20.0, east, 20.0), 0.5) for east in (50.0, 75.0)
        )
        assert local.holds(inside)
        assert not local.holds(across)
        valid = read_grid(dataset, local, across)[1]
        assert not valid[:, -20:].any()
        assert valid[:, :40].all()
        # 58 m is inside, but what is averaged into 10 m pixels there reaches beyond the edge
        assert not local.holds(Grid.covering((-38.0, -20.0, 58.0, 20.0), 10.0))


def test_coverage_is_that_of_the_picture(tmp_path):
    mask = np.full((240, 240), 255, np.uint8)
    mask[60:120, 100:180] = 0
    path = write_raster(tmp_path / "a.tif", noise(), mask=mask)
    with open_raster(path) as dataset:
        local = LocalMap(dataset, path, None)
        grid = Grid.over(local.bounds_m(), 2.0)
        coverage = read_coverage(dataset, local, grid)
        valid = read_grid(dataset, local, grid)[1]
        assert (coverage == valid).mean() > 0.97
        assert 0.85 < coverage.mean() < 0.95
        far = Grid.covering((5000.0, 5000.0, 5100.0, 5100.0), 2.0)
        with pytest.raises(ImageryError, match="do not overlap"):
            read_coverage(dataset, local, far)
