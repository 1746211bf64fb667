# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Imagery of every projection lands where it belongs; imagery of no known place is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from raster_factory import LAT, LON, affine_around, lights, write_raster
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from geoloc_ros.errors import ImageDecodeError, ImageryError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery import grid
from geoloc_ros.imagery.files import read_rgb
from geoloc_ros.imagery.ortho import OrthoImage

FIXTURES = Path(__file__).parents[3] / "shared" / "data" / "geotiff"
PLACES = [(LAT + 0.0003, LON - 0.0004), (LAT - 0.00035, LON + 0.0003), (LAT, LON)]
GREY = np.full((3, 64, 64), 120, np.uint8)


def found_xy(ortho, near_xy):
    """Centroid, on the plane, of the light nearest to a place."""
    column = (near_xy[0] - ortho.west_m) / ortho.gsd_m - 0.5
    row = (ortho.north_m - near_xy[1]) / ortho.gsd_m - 0.5
    radius = 12
    r0, c0 = round(row) - radius, round(column) - radius
    weight = ortho.rgb[r0 : r0 + 25, c0 : c0 + 25, 1].astype(float) - 45.0
    weight = np.maximum(weight, 0.0)
    r, c = np.mgrid[r0 : r0 + 25, c0 : c0 + 25]
    r, c = (r * weight).sum() / weight.sum(), (c * weight).sum() / weight.sum()
    return ortho.west_m + (c + 0.5) * ortho.gsd_m, ortho.north_m - (r + 0.5) * ortho.gsd_m


@pytest.mark.parametrize("rotation_deg", [0.0, 33.0, -120.0])
@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32632", "EPSG:4326", "EPSG:2056"])
def test_lights_land_at_their_latitude_and_longitude(tmp_path, crs, rotation_deg):
    size = 320
    affine = affine_around(crs, 0.5, size, rotation_deg)
    path = write_raster(tmp_path / "a.tif", lights(crs, affine, size, PLACES), crs, affine)
    ortho = OrthoImage.open(path, gsd_m=0.5)
    for lat, lon in PLACES:
        expected = ortho.frame.to_xy(lat, lon)[0]
        np.testing.assert_allclose(found_xy(ortho, expected), expected, atol=0.1)
    if rotation_deg:
        assert 0.3 < ortho.valid.mean() < 0.95
        assert not ortho.valid[0, 0]
    else:
        assert ortho.valid.mean() > 0.9


def test_a_raster_stored_south_up_is_read_right(tmp_path):
    up = affine_around("EPSG:32632", 0.5, 320)
    flipped = rasterio.Affine(up.a, 0.0, up.c, 0.0, -up.e, up.f + up.e * 320)
    image = lights("EPSG:32632", flipped, 320, PLACES)
    ortho = OrthoImage.open(write_raster(tmp_path / "a.tif", image, "EPSG:32632", flipped))
    for lat, lon in PLACES:
        expected = ortho.frame.to_xy(lat, lon)[0]
        np.testing.assert_allclose(found_xy(ortho, expected), expected, atol=0.1)


def test_a_part_of_a_raster_wider_than_the_plane(tmp_path):
    """200 km of imagery at 8 m, of which 1 km near one end is asked for."""
    wide = np.full((1, 128, 25_000), 90, np.uint8)
    to_utm = affine_around("EPSG:32632", 8.0, 128)
    affine = rasterio.Affine(8.0, 0.0, to_utm.c, 0.0, -8.0, to_utm.f)
    path = write_raster(tmp_path / "a.tif", wide, "EPSG:32632", affine, tiled=True)
    frame = LocalFrame(LatLon(LAT, LON))
    ortho = OrthoImage.open(path, frame=frame, bounds_m=(-400.0, -400.0, 400.0, 400.0))
    assert ortho.gsd_m == pytest.approx(8.0, rel=0.01)
    assert ortho.valid.mean() > 0.9
    with pytest.raises(ImageryError, match="50000 m"):
        OrthoImage.open(path, frame=frame)


def test_frame_is_the_rounded_centre_and_can_be_given(tmp_path):
    path = write_raster(tmp_path / "a.tif", GREY)
    own = OrthoImage.open(path)
    assert own.frame.origin == LatLon(round(LAT, 5), round(LON, 5))
    assert own.gsd_m == pytest.approx(0.5, rel=1e-3)
    moved = LocalFrame(LatLon(LAT + 0.01, LON))
    other = OrthoImage.open(path, frame=moved)
    assert other.frame is moved
    assert other.north_m - own.north_m == pytest.approx(-0.01 * 111_170.0, abs=2.0)


def test_area_and_resolution_can_be_chosen(tmp_path):
    v, u = np.mgrid[0:400, 0:400]
    checker = np.repeat(((((u + v) % 2) * 200)[None]).astype(np.uint8), 3, axis=0)
    path = write_raster(tmp_path / "a.tif", checker)
    ortho = OrthoImage.open(path, gsd_m=2.0, bounds_m=(-40.0, -20.0, 40.0, 20.0))
    assert ortho.rgb.shape == (20, 40, 3)
    assert ortho.bounds_m == (-40.0, -20.0, 40.0, 20.0)
    assert ortho.valid.all()
    assert np.abs(ortho.rgb.astype(float) - 100.0).max() < 12.0


@pytest.mark.parametrize("gsd", [0.4, 0.5, 0.8, 1.3, 2.7])
def test_every_resolution_keeps_the_place(tmp_path, gsd):
    affine = affine_around("EPSG:3857", 0.4, 400)
    image = lights("EPSG:3857", affine, 400, PLACES[2:], sigma_px=10.0)
    path = write_raster(tmp_path / "a.tif", image, "EPSG:3857", affine)
    ortho = OrthoImage.open(path, gsd_m=gsd)
    expected = ortho.frame.to_xy(*PLACES[2])[0]
    np.testing.assert_allclose(found_xy(ortho, expected), expected, atol=0.15 * gsd + 0.05)


def test_nodata_holes_are_invalid_and_do_not_bleed(tmp_path):
    bands = GREY.copy()
    bands[:, 20:40, 20:40] = 0
    ortho = OrthoImage.open(write_raster(tmp_path / "a.tif", bands, nodata=0))
    hole = np.zeros_like(ortho.valid)
    centre = ortho.valid.shape[0] // 2, ortho.valid.shape[1] // 2
    hole[centre[0] - 8 : centre[0] + 4, centre[1] - 8 : centre[1] + 4] = True
    assert not ortho.valid[hole].any()
    assert 0.8 < ortho.valid.mean() < 0.95
    assert np.abs(ortho.rgb[ortho.valid].astype(int) - 120).max() <= 2
    assert (ortho.rgb[~ortho.valid] == 0).all()


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masks_and_alpha_are_respected(tmp_path, kind):
    mask = np.full((64, 64), 255, np.uint8)
    mask[:, :32] = 0
    if kind == "mask":
        path = write_raster(tmp_path / "a.tif", GREY, mask=mask)
    else:
        bands = np.concatenate([GREY, mask[None]])
        path = write_raster(tmp_path / "a.tif", bands, photometric="RGB", alpha="yes")
        with rasterio.open(path) as dataset:
            assert dataset.colorinterp[3] == ColorInterp.alpha
    ortho = OrthoImage.open(path)
    assert 0.4 < ortho.valid.mean() < 0.55
    width = ortho.valid.shape[1]
    assert not ortho.valid[:, : width // 2 - 3].any()


def test_grey_palette_and_infrared_rasters(tmp_path):
    grey = OrthoImage.open(write_raster(tmp_path / "g.tif", GREY[:1]))
    assert np.abs(grey.rgb[grey.valid].astype(int) - 120).max() <= 1
    index = np.full((1, 64, 64), 7, np.uint8)
    path = write_raster(tmp_path / "p.tif", index, colormap={7: (10, 200, 90, 255)})
    palette = OrthoImage.open(path)
    middle = palette.rgb.shape[0] // 2
    assert tuple(palette.rgb[middle, middle]) == (10, 200, 90)
    bands = np.stack([np.full((64, 64), value, np.uint8) for value in (10, 20, 30, 240)])
    infrared = OrthoImage.open(
        write_raster(tmp_path / "n.tif", bands, photometric="RGB", alpha="no")
    )
    assert tuple(infrared.rgb[middle, middle]) == (10, 20, 30)
    assert infrared.valid.mean() > 0.9


def test_16_bit_values_are_stretched_by_a_stated_rule(tmp_path):
    ramp = np.linspace(1000, 5000, 64 * 64).reshape(1, 64, 64).astype(np.uint16)
    ortho = OrthoImage.open(write_raster(tmp_path / "a.tif", ramp))
    assert ortho.provenance["value_scaling"] == "1040..4959 to 0..255"
    values = ortho.rgb[ortho.valid]
    assert values.min() == 0
    assert values.max() == 255


def test_provenance_tells_where_it_came_from(tmp_path):
    path = write_raster(tmp_path / "a.tif", GREY)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ATTRIBUTION="made by a test")
    provenance = OrthoImage.open(path).provenance
    assert provenance["crs"] == "EPSG:32632"
    assert provenance["attribution"] == "made by a test"
    assert len(provenance["sha256"]) == 64
    west, south, east, north = provenance["bounds_lonlat_deg"]
    assert west < LON < east
    assert south < LAT < north


def test_raster_without_crs_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", GREY, crs=None)
    with pytest.raises(ImageryError, match=r"no CRS.*gdal_translate"):
        OrthoImage.open(path)


def test_raster_without_geotransform_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", GREY, affine=rasterio.Affine.identity())
    with pytest.raises(ImageryError, match="no geotransform"):
        OrthoImage.open(path)


def test_ground_control_points_alone_are_refused(tmp_path):
    points = [
        GroundControlPoint(row=r, col=c, x=LON + c * 1e-5, y=LAT - r * 1e-5)
        for r in (0, 63)
        for c in (0, 63)
    ]
    path = write_raster(
        tmp_path / "a.tif", GREY, crs="EPSG:4326", affine=rasterio.Affine.identity(), gcps=points
    )
    with pytest.raises(ImageryError, match="control points"):
        OrthoImage.open(path)


def test_heights_are_no_picture(tmp_path):
    path = write_raster(tmp_path / "a.tif", GREY.astype(np.float32))
    with pytest.raises(ImageryError, match=r"float32.*gdal_translate -ot Byte"):
        OrthoImage.open(path)


def test_nodata_everywhere_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros_like(GREY), nodata=0)
    with pytest.raises(ImageryError, match="no valid pixel"):
        OrthoImage.open(path)


def test_files_that_are_no_raster_are_refused(tmp_path):
    with pytest.raises(ImageryError, match="no imagery at"):
        OrthoImage.open(tmp_path / "missing.tif")
    with pytest.raises(ImageryError, match="no imagery at"):
        OrthoImage.open(tmp_path)
    for name, data in {"empty.tif": b"", "text.tif": b"not a picture" * 50}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageryError, match="no readable raster"):
            OrthoImage.open(tmp_path / name)


def test_a_truncated_raster_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (3, 256, 256), dtype=np.uint8)
    path = write_raster(tmp_path / "a.tif", noise, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageryError, match=r"a\.tif"):
        OrthoImage.open(path)


def test_areas_that_make_no_sense_are_refused(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "a.tif", GREY)
    with pytest.raises(ImageryError, match="do not overlap"):
        OrthoImage.open(path, bounds_m=(500.0, 500.0, 600.0, 600.0))
    with pytest.raises(ImageryError, match="holds no pixel"):
        OrthoImage.open(path, bounds_m=(10.0, -10.0, -10.0, 10.0))
    for area in ((0.0, 0.0, float("nan"), 5.0), (0.0, 0.0, 5.0)):
        with pytest.raises(ImageryError, match="area"):
            OrthoImage.open(path, gsd_m=0.5, bounds_m=area)
    for gsd in (0.0, 0.0001, -1.0, 100.0, float("nan")):
        with pytest.raises(ImageryError, match="pixel size"):
            OrthoImage.open(path, gsd_m=gsd)
    far = LocalFrame(LatLon(0.0, 0.0))
    with pytest.raises(ImageryError, match="50000 m"):
        OrthoImage.open(path, frame=far)
    monkeypatch.setattr(grid, "MAX_PIXELS", 1000)
    with pytest.raises(ImageryError, match="million pixels"):
        OrthoImage.open(path)


def test_degenerate_values_are_refused():
    frame = LocalFrame(LatLon(LAT, LON))
    image, valid = np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool)
    for rgb, mask in [(image[..., 0], valid), (image, valid[:2]), (image.astype(float), valid)]:
        with pytest.raises(ImageryError, match="needed"):
            OrthoImage(rgb, mask, frame, 0.0, 0.0, 0.5)
    with pytest.raises(ImageryError, match="pixel size"):
        OrthoImage(image, valid, frame, 0.0, 0.0, 0.0)


def test_pictures_from_files(tmp_path):
    ok, data = cv2.imencode(".png", np.full((5, 7, 3), (0, 0, 255), np.uint8))
    assert ok
    (tmp_path / "a.png").write_bytes(data.tobytes())
    assert tuple(read_rgb(tmp_path / "a.png")[0, 0]) == (255, 0, 0)
    for name, content in {"b.png": b"", "c.png": data.tobytes()[:20], "d.jpg": b"x" * 99}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageDecodeError, match=name):
            read_rgb(tmp_path / name)
    with pytest.raises(ImageDecodeError, match="cannot read"):
        read_rgb(tmp_path / "missing.png")


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/data/geotiff is absent")
@pytest.mark.parametrize(
    ("name", "valid_share"),
    [("cog_rgb.tif", 0.98), ("cog_rgb_mask.tif", 0.96), ("pix4d_alpha_nodata.tif", 0.87)],
)
def test_real_rasters_open(name, valid_share):
    ortho = OrthoImage.open(FIXTURES / name)
    assert ortho.valid.mean() == pytest.approx(valid_share, abs=0.02)
    with rasterio.open(FIXTURES / name) as dataset:
        lon, lat = dataset.lnglat()
    np.testing.assert_allclose(ortho.frame.to_xy(lat, lon), 0.0, atol=1.0)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/data/geotiff is absent")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cog_gcps.tif", "control points"),
        ("cog.tif", "pixel size"),
        ("web.tif", "pixel size"),
        ("noweb.tif", "pixel size"),
        ("rgb.tif", "pixel size"),
    ],
)
def test_real_rasters_that_are_of_no_use_are_refused(name, message):
    with pytest.raises(ImageryError, match=message):
        OrthoImage.open(FIXTURES / name)
