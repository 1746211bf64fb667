# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Imagery read by windows shows what imagery in memory shows."""

import numpy as np
import pytest
from raster_factory import write_raster
from tile_files import CREDIT, span_at, tiles_of, write_mbtiles

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery import windows
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.windows import OrthoWindows, cutter_of, open_ground

FILL = (120.0, 130.0, 140.0)
SPEC = ReferenceSpec(size_px=32, extent_m=40.0, offset_forward_m=20.0)


@pytest.fixture
def cells_of_100_m(monkeypatch):
    monkeypatch.setattr(windows, "_CELL_M", 100.0)
    monkeypatch.setattr(windows, "IN_MEMORY_PIXELS", 10_000)


@pytest.fixture
def path(tmp_path):
    return write_mbtiles(tmp_path / "a.mbtiles", tiles_of(span_at(), holes={(2, 1)}))


@pytest.mark.parametrize("gsd_m", [0.5, 1.25])
def test_crops_are_those_of_imagery_in_memory(path, gsd_m, cells_of_100_m):
    whole = OrthoImage.open(path, gsd_m=gsd_m)
    parts = open_ground(path, gsd_m)
    assert isinstance(parts, OrthoWindows)
    assert (parts.bounds_m, parts.frame, parts.gsd_m) == (whole.bounds_m, whole.frame, gsd_m)
    rng = np.random.default_rng(3)
    west, south, east, north = whole.bounds_m
    anchors = np.stack(
        [rng.uniform(west, east, 60), rng.uniform(south, north, 60), rng.uniform(-3, 3, 60)],
        axis=1,
    )
    expected, share = cutter_of(whole, SPEC, FILL).cut(anchors)
    found, found_share = cutter_of(parts, SPEC, FILL).cut(anchors)
    # imagery much finer than crops is read as coarsely as they are, and so are its edges
    np.testing.assert_allclose(found_share, share, atol=0.03 if gsd_m == 0.5 else 0.01)
    inner = share == 1.0
    assert 10 < inner.sum() < 60
    # the same ground, resampled from another first pixel
    assert np.abs(found[inner].astype(int) - expected[inner]).mean() < 2.0
    again, _ = cutter_of(parts, SPEC, FILL).cut(anchors[::-1])
    np.testing.assert_array_equal(again[::-1], found)


def test_every_square_is_a_leg_and_read_once(path, cells_of_100_m, monkeypatch):
    parts = open_ground(path, 0.5)
    rng = np.random.default_rng(3)
    west, south, east, north = parts.bounds_m
    anchors = np.stack(
        [rng.uniform(west, east, 60), rng.uniform(south, north, 60), rng.uniform(-3, 3, 60)],
        axis=1,
    )
    reads = []
    window = OrthoWindows.window
    monkeypatch.setattr(
        OrthoWindows, "window", lambda self, *at: reads.append(at) or window(self, *at)
    )
    cutter = cutter_of(parts, SPEC, FILL)
    legs = cutter.legs(anchors)
    assert sorted(np.concatenate(legs).tolist()) == list(range(60))
    squares = [np.unique(np.floor(anchors[leg, :2] / 100.0), axis=0) for leg in legs]
    assert {len(square) for square in squares} == {1}
    assert len(np.unique(np.concatenate(squares), axis=0)) == len(legs) > 6
    for number, leg in enumerate(legs, start=1):
        images, _ = cutter.prepare(anchors[leg]).cut(anchors[leg])
        np.testing.assert_array_equal(images, cutter.cut(anchors[leg])[0])
        assert len(reads) == number
    whole = OrthoImage.open(path, gsd_m=0.5)
    assert [leg.tolist() for leg in cutter_of(whole, SPEC, FILL).legs(anchors)] == [[*range(60)]]


def test_holes_are_known_without_reading_all(path, cells_of_100_m):
    whole, parts = OrthoImage.open(path, gsd_m=0.5), open_ground(path, 0.5)
    rng = np.random.default_rng(1)
    west, south, east, north = whole.bounds_m
    xy_m = np.stack([rng.uniform(west, east, 2000), rng.uniform(south, north, 2000)], axis=1)
    assert (whole.shown(xy_m) == parts.shown(xy_m)).mean() > 0.995
    assert 0.85 < parts.shown(xy_m).mean() < 0.95


def test_identity_is_that_of_file_and_grid(path, tmp_path, cells_of_100_m):
    one, same, other = (open_ground(path, gsd_m) for gsd_m in (0.5, 0.5, 0.6))
    assert one.pixels_sha256 == same.pixels_sha256 != other.pixels_sha256
    assert one.provenance["attribution"] == CREDIT["attribution"]
    second = write_mbtiles(tmp_path / "b.mbtiles", tiles_of(span_at()))
    assert open_ground(second, 0.5).pixels_sha256 != one.pixels_sha256


def test_imagery_that_fits_is_read_as_before(path):
    assert isinstance(open_ground(path, 0.5), OrthoImage)


def test_rasters_are_read_by_windows_too(tmp_path, cells_of_100_m):
    image = np.random.default_rng(0).integers(1, 255, (3, 400, 400)).astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", image)
    parts = open_ground(path, 0.5)
    assert isinstance(parts, OrthoWindows)
    whole = OrthoImage.open(path, gsd_m=0.5)
    window = parts.window((-40.0, -30.0, 20.0, 25.0))
    assert (window.west_m, window.north_m) == (-40.0, 25.0)
    row, column = round((whole.north_m - 25.0) / 0.5), round((-40.0 - whole.west_m) / 0.5)
    height, width = window.valid.shape
    expected = whole.rgb[row : row + height, column : column + width].astype(int)
    assert np.abs(window.rgb - expected).mean() < 1.0
    empty = write_raster(tmp_path / "e.tif", np.zeros_like(image), nodata=0)
    with pytest.raises(ImageryError, match="no valid pixel"):
        open_ground(empty)
    with pytest.raises(ImageryError, match="pixel size"):
        open_ground(path, 50.0)
