# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Imports keep every pixel and its place, join and cut, need whose imagery it is."""

import numpy as np
import pytest
import rasterio
from raster_factory import LAT, LON, affine_around, write_raster
from rasterio.windows import Window
from tile_files import CREDIT, ZOOM, encode, span_at, tiles_of, write_mbtiles, write_pmtiles

from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery import raster_import
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.raster_import import import_rasters
from geoloc_ros.imagery.tile_import import import_tiles
from geoloc_ros.imagery.tile_span import Area, TileSpan
from geoloc_ros.imagery.tile_store import Credit, open_store
from geoloc_ros.imagery.tiles import Tile

WHOSE = Credit("© a test", "CC0-1.0")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks even of small rasters."""
    monkeypatch.setattr(raster_import, "_BLOCK_PX", 100)


def noise(size=320, seed=0, bands=3, dtype=np.uint8):
    values = np.random.default_rng(seed).integers(1, 255, (bands, size, size))
    return values.astype(dtype)


def whole(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask(), dataset.transform


@pytest.mark.parametrize("rotation_deg", [0.0, 25.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_raster_is_copied_to_the_bit(tmp_path, dtype, rotation_deg):
    affine = affine_around("EPSG:32632", 0.5, 320, rotation_deg)
    bands, mask = noise(dtype=dtype), np.full((320, 320), 255, np.uint8)
    mask[50:90, 10:60] = 0
    path = write_raster(tmp_path / "a.tif", bands, affine=affine, mask=mask)
    assert import_rasters([path], tmp_path / "out.tif", WHOSE, progress=False) == (320, 320)
    values, there, transform = whole(tmp_path / "out.tif")
    np.testing.assert_array_equal(there, mask)
    np.testing.assert_array_equal(values[:, mask > 0], bands[:, mask > 0])
    assert transform.almost_equals(affine, 1e-6)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags()["ATTRIBUTION"] == WHOSE.attribution
        assert dataset.tags()["TERMS"] == WHOSE.terms
        assert dataset.crs.to_epsg() == 32632
    if dtype == np.uint8:
        ortho = OrthoImage.open(tmp_path / "out.tif")
        assert ortho.provenance["licence"] == WHOSE.terms
        np.testing.assert_array_equal(ortho.rgb, OrthoImage.open(path).rgb)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "out.tif"]


def test_large_rasters_get_overviews(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_import, "_BLOCK_PX", 1024)
    path = write_raster(tmp_path / "a.tif", noise(1200, bands=1))
    import_rasters([path], tmp_path / "out.tif", WHOSE, progress=False)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.overviews(1) == [2, 4]


def test_odd_pixels_become_plain_ones(tmp_path):
    index = np.random.default_rng(0).integers(0, 4, (1, 64, 64)).astype(np.uint8)
    colours = {0: (0, 0, 0, 255), 1: (200, 10, 20, 255), 2: (5, 90, 7, 255), 3: (9, 9, 250, 255)}
    path = write_raster(tmp_path / "a.tif", index, colormap=colours)
    import_rasters([path], tmp_path / "p.tif", WHOSE, progress=False)
    values, _, _ = whole(tmp_path / "p.tif")
    table = np.array([colours[k][:3] for k in range(4)])
    np.testing.assert_array_equal(values.transpose(1, 2, 0), table[index[0]])
    nodata = noise(64)
    nodata[:, :10] = 0
    import_rasters(
        [write_raster(tmp_path / "n.tif", nodata, nodata=0)],
        tmp_path / "m.tif",
        WHOSE,
        progress=False,
    )
    _, mask, _ = whole(tmp_path / "m.tif")
    assert (mask[:10] == 0).all()
    assert (mask[10:] == 255).all()


def test_rasters_of_one_grid_are_joined_and_the_first_is_on_top(tmp_path):
    affine = affine_around("EPSG:32632", 0.5, 320)
    big = noise()
    parts = []
    for number, (column, row) in enumerate([(0, 0), (150, 0), (150, 200)]):
        moved = rasterio.windows.transform(Window(column, row, 1, 1), affine)
        part = big[:, row : row + 120, column : column + 170].copy()
        part[0] = number
        parts.append(write_raster(tmp_path / f"{number}.tif", part, affine=moved))
    assert import_rasters(parts, tmp_path / "out.tif", WHOSE, progress=False) == (320, 320)
    values, mask, transform = whole(tmp_path / "out.tif")
    assert transform.almost_equals(affine, 1e-6)
    assert (mask[130:, :140] == 0).all()
    assert (mask[:120, :320] == 255).all()
    assert (values[0, :120, 150:170] == 0).all()
    assert (values[0, :120, 170:] == 1).all()
    np.testing.assert_array_equal(values[1:, mask > 0], big[1:, mask > 0])


def test_only_the_area_asked_for_is_taken(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise())
    area = Area.around(LatLon(LAT, LON), 30.0)
    width, height = import_rasters([path], tmp_path / "out.tif", WHOSE, area, progress=False)
    assert width == pytest.approx(120, abs=4)
    assert height == pytest.approx(120, abs=4)
    values, _, transform = whole(tmp_path / "out.tif")
    with rasterio.open(path) as dataset:
        column, row = ~dataset.transform * (transform.c, transform.f)
        window = Window(round(column), round(row), width, height)
        np.testing.assert_array_equal(values, dataset.read(window=window))
    with pytest.raises(ImageryError, match="no pixel in"):
        import_rasters([path], tmp_path / "o.tif", WHOSE, Area(7.0, 46.0, 7.1, 46.1), False)


def test_rasters_that_do_not_fit_are_refused(tmp_path):
    first = write_raster(tmp_path / "a.tif", noise(64))
    affine = affine_around("EPSG:32632", 0.5, 64)
    for name, options, says in [
        ("crs", {"crs": "EPSG:2056", "affine": affine_around("EPSG:2056", 0.5, 64)}, "projection"),
        ("gsd", {"affine": affine_around("EPSG:32632", 0.6, 64)}, "pixel size"),
        ("off", {"affine": rasterio.Affine(*affine[:2], affine.c + 0.2, *affine[3:6])}, "off the"),
        ("bands", {"bands": noise(64, bands=1)}, "1 bands of uint8"),
    ]:
        bands = options.pop("bands", noise(64))
        path = write_raster(tmp_path / f"{name}.tif", bands, **options)
        with pytest.raises(ImageryError, match=says) as caught:
            import_rasters([first, path], tmp_path / "out.tif", WHOSE, progress=False)
        assert "gdal" in str(caught.value)
    assert not (tmp_path / "out.tif").exists()


def test_credit_is_required_and_may_come_from_the_source(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(64))
    out = tmp_path / "out.tif"
    with pytest.raises(
        ImageryError, match="attribution and terms; add --attribution TEXT and --t"
    ):
        import_rasters([path], out, Credit(), progress=False)
    with pytest.raises(ImageryError, match="state its terms; add --terms TEXT"):
        import_rasters([path], out, Credit("somebody"), progress=False)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ATTRIBUTION="the source", LICENSE="CC BY 4.0")
    import_rasters([path], out, Credit(terms="mine"), progress=False)
    with rasterio.open(out) as dataset:
        assert (dataset.tags()["ATTRIBUTION"], dataset.tags()["TERMS"]) == ("the source", "mine")
    with pytest.raises(ImageryError, match="into itself"):
        import_rasters([out], out, WHOSE, progress=False)


def test_a_damaged_raster_leaves_the_old_file(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(), compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (tmp_path / "out.tif").write_bytes(b"as it was")
    with pytest.raises(ImageryError, match=r"a\.tif"):
        import_rasters([path], tmp_path / "out.tif", WHOSE, progress=False)
    assert (tmp_path / "out.tif").read_bytes() == b"as it was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "out.tif"]


# -- tiles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [write_mbtiles, write_pmtiles])
def test_tiles_are_copied_to_the_bit(tmp_path, writer):
    span = span_at()
    tiles = tiles_of(span, holes={(1, 1)})
    coarse = TileSpan(ZOOM - 1, span.x // 2, span.y // 2, 1, 1)
    suffix = ".mbtiles" if writer is write_mbtiles else ".pmtiles"
    path = writer(tmp_path / f"a{suffix}", tiles | tiles_of(coarse))
    out = tmp_path / "new" / "out.mbtiles"
    with open_store(path) as store:
        found = import_tiles(store, out, store.credit, progress=False)
    assert (found.span, found.tiles, found.missing) == (span, 11, 1)
    with open_store(out) as store:
        assert store.counts == {ZOOM: 11}
        assert store.credit == Credit(CREDIT["attribution"], CREDIT["terms"])
        assert all(store.read(tile) == tiles.get(tile) for tile in span)
        assert store.metadata["format"] == "png"
    np.testing.assert_array_equal(OrthoImage.open(out).rgb, OrthoImage.open(path).rgb)
    assert [p.name for p in out.parent.iterdir()] == ["out.mbtiles"]


def test_a_folder_of_tiles_becomes_one_file(tmp_path):
    span = span_at(columns=2, rows=2)
    for tile, data in tiles_of(span, holes={(1, 0)}).items():
        path = tmp_path / "tiles" / f"{tile.zoom}" / f"{tile.x}" / f"{tile.y}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with open_store(tmp_path / "tiles") as store:
        found = import_tiles(store, tmp_path / "out.mbtiles", WHOSE, progress=False)
    assert (found.tiles, found.missing) == (3, 1)
    assert OrthoImage.open(tmp_path / "out.mbtiles").provenance["licence"] == WHOSE.terms


def test_only_the_tiles_of_an_area_and_a_zoom_are_taken(tmp_path):
    span = span_at(columns=6, rows=5)
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles_of(span))
    inner = TileSpan(ZOOM, span.x + 2, span.y + 1, 2, 3)
    with open_store(path) as store:
        found = import_tiles(
            store, tmp_path / "out.mbtiles", WHOSE, ZOOM, inner.area, progress=False
        )
        assert (found.span, found.tiles, found.missing) == (inner, 6, 0)
        for zoom, area, says in [
            (3, None, "no tile of zoom 3; it has 18"),
            (None, Area(7.0, 46.0, 7.01, 46.01), "no tile of zoom 18 in"),
            (None, Area(-170.0, -80.0, 170.0, 80.0), "tiles of zoom 18, at most"),
        ]:
            with pytest.raises(ImageryError, match=says):
                import_tiles(store, tmp_path / "no.mbtiles", WHOSE, zoom, area, progress=False)
        with pytest.raises(ImageryError, match="into itself"):
            import_tiles(store, path, WHOSE, progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mbtiles", "out.mbtiles"]


@pytest.mark.parametrize(
    "bad", [b"<html><title>no</title>", encode(np.zeros((512, 512, 3), np.uint8))]
)
def test_a_bad_tile_stops_the_import_and_leaves_the_old_file(tmp_path, bad):
    span = span_at(columns=2, rows=2)
    tiles = tiles_of(span) | {Tile(ZOOM, span.x + 1, span.y + 1): bad}
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles)
    (tmp_path / "out.mbtiles").write_bytes(b"as it was")
    with open_store(path) as store, pytest.raises(ImageryError, match="damaged tile"):
        import_tiles(store, tmp_path / "out.mbtiles", WHOSE, progress=False)
    assert (tmp_path / "out.mbtiles").read_bytes() == b"as it was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mbtiles", "out.mbtiles"]


def test_tiles_without_credit_are_refused(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles_of(span_at(columns=1, rows=1)), {})
    with open_store(path) as store, pytest.raises(ImageryError, match="add --attribution TEXT"):
        import_tiles(store, tmp_path / "out.mbtiles", store.credit, progress=False)
