# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Crops against slices and slow sampling of the same imagery."""

import numpy as np
import pytest

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.crops import CropCutter, crops
from geoloc_ros.imagery.ortho import OrthoImage

FRAME = LocalFrame(LatLon(46.5, 6.6))
SPEC = ReferenceSpec(size_px=32, extent_m=16.0, offset_forward_m=6.0)
FILL = (10.0, 20.0, 30.0)


def noise(size=200, gsd=0.5, west=-50.0, north=50.0, valid=None):
    rgb = np.random.default_rng(5).integers(0, 255, (size, size, 3), dtype=np.uint8)
    valid = np.ones((size, size), bool) if valid is None else valid
    return OrthoImage(rgb, valid, FRAME, west, north, gsd)


def smooth(size=200, gsd=0.25):
    """Colours that tell the place: red grows east, green grows north."""
    west, north = -0.5 * size * gsd, 0.5 * size * gsd
    x = west + (np.arange(size) + 0.5) * gsd
    rgb = np.zeros((size, size, 3), np.uint8)
    rgb[..., 0] = np.rint(128 + 5.0 * x)[None, :]
    rgb[..., 1] = np.rint(128 + 5.0 * -x)[:, None]
    return OrthoImage(rgb, np.ones((size, size), bool), FRAME, west, north, gsd)


def test_heading_north_on_the_pixel_grid_is_a_plain_slice():
    ortho = noise()
    # Anchor at the origin, crop centre 6 m north of it, 32 px of 0.5 m: x -8..8, y -2..14.
    images, share = crops(ortho, [[0.0, 0.0, np.pi / 2]], SPEC)
    np.testing.assert_array_equal(images[0], ortho.rgb[72:104, 84:116])
    assert share.tolist() == [1.0]


@pytest.mark.parametrize(("yaw_deg", "turns"), [(0.0, 1), (180.0, -1), (270.0, 2)])
def test_other_headings_turn_the_slice_so_that_heading_is_up(yaw_deg, turns):
    ortho = noise()
    spec = ReferenceSpec(size_px=32, extent_m=16.0, offset_forward_m=0.0)
    images, _ = crops(ortho, [[0.0, 0.0, np.radians(yaw_deg)]], spec)
    expected = np.rot90(ortho.rgb[84:116, 84:116], turns)
    # OpenCV interpolates with 1/32 pixel steps: a rounded angle may shift by one of them.
    assert np.median(np.abs(images[0].astype(int) - expected.astype(int))) <= 4


@pytest.mark.parametrize("gsd_ratio", [0.5, 1.0, 2.0])
def test_every_pixel_shows_its_own_ground(gsd_ratio):
    ortho = smooth()
    spec = ReferenceSpec(size_px=24, extent_m=24 * 0.25 * gsd_ratio, offset_forward_m=3.0)
    rng = np.random.default_rng(2)
    anchors = np.column_stack([rng.uniform(-8, 8, (12, 2)), rng.uniform(-3, 3, 12)])
    images, share = crops(ortho, anchors, spec)
    assert share.tolist() == [1.0] * 12
    g = 0.25 * gsd_ratio
    steps = (11.5 - np.arange(24)) * g
    for (x, y, yaw), image in zip(anchors, images, strict=True):
        forward, left = 3.0 + steps[:, None], steps[None, :]
        east = x + forward * np.cos(yaw) - left * np.sin(yaw)
        north = y + forward * np.sin(yaw) + left * np.cos(yaw)
        red = image[..., 0] - (128 + 5.0 * east)
        green = image[..., 1] - (128 + 5.0 * north)
        # 5 levels per metre. Rounding to 8 bits moves both colours alike, a shift does not.
        assert max(np.abs(red).max(), np.abs(green).max()) <= 1.3
        assert abs(float(red.mean() - green.mean())) < 0.1


def test_fine_imagery_is_averaged_not_aliased():
    v, u = np.mgrid[0:1000, 0:1000]
    rgb = np.repeat((((u + v) % 2) * 200)[..., None], 3, axis=2).astype(np.uint8)
    ortho = OrthoImage(rgb, np.ones((1000, 1000), bool), FRAME, -50.0, 50.0, 0.1)
    images, _ = crops(ortho, [[0.0, 0.0, 0.3], [5.0, -7.0, 1.2]], SPEC)
    assert np.abs(images.astype(float) - 100.0).max() < 5.0


def test_ground_outside_and_in_holes_is_filled_and_counted():
    valid = np.ones((200, 200), bool)
    valid[:, :100] = False
    ortho = noise(valid=valid)
    spec = ReferenceSpec(size_px=32, extent_m=16.0, offset_forward_m=0.0)
    anchors = [[0.0, 0.0, np.pi / 2], [30.0, 0.0, 0.3], [-30.0, 0.0, 1.0], [50.0, 0.0, np.pi / 2]]
    anchors += [[500.0, 500.0, 0.0]]
    images, share = crops(ortho, anchors, spec, FILL)
    np.testing.assert_allclose(share, [0.5, 1.0, 0.0, 0.5, 0.0], atol=0.02)
    assert (images[0][:, :15] == FILL).all()
    assert (images[2] == FILL).all()
    assert (images[3][:, 17:] == FILL).all()
    assert (images[4] == FILL).all()
    np.testing.assert_array_equal(images[0][:, 17:], ortho.rgb[84:116, 101:116])


def test_small_holes_far_from_the_border_are_counted():
    valid = np.ones((200, 200), bool)
    valid[98:102, 98:102] = False
    spec = ReferenceSpec(size_px=32, extent_m=16.0, offset_forward_m=0.0)
    _, share = crops(noise(valid=valid), [[0.0, 0.0, 0.0], [20.0, 20.0, 0.0]], spec)
    assert share[0] == pytest.approx(1.0 - 16 / 1024, abs=0.01)
    assert share[1] == 1.0


def test_images_wider_than_opencv_coordinates():
    rgb = np.zeros((64, 40_000, 3), np.uint8)
    rgb[:, 39_000:] = 255
    ortho = OrthoImage(rgb, np.ones((64, 40_000), bool), FRAME, 0.0, 32.0, 0.5)
    spec = ReferenceSpec(size_px=16, extent_m=8.0, offset_forward_m=0.0)
    images, share = crops(ortho, [[19_400.0, 16.0, 0.0], [19_600.0, 16.0, 0.0]], spec)
    assert share.tolist() == [1.0, 1.0]
    assert images[0].max() == 0
    assert images[1].min() == 255


def test_another_fill_colour_is_another_kind_of_crop():
    ortho = noise(size=20, west=0.0, north=0.0)
    far = [[900.0, 0.0, 0.0]]
    for fill in (FILL, (1.0, 2.0, 3.0), FILL):
        assert (crops(ortho, far, SPEC, fill)[0] == fill).all()


def test_no_anchors_give_no_crops():
    images, share = crops(noise(), np.zeros((0, 3)), SPEC)
    assert images.shape == (0, 32, 32, 3)
    assert share.shape == (0,)


def test_bad_anchors_and_specs_are_refused():
    for anchors in ([[0.0, 0.0]], [0.0, 0.0, 0.0], [[np.nan, 0.0, 0.0]]):
        with pytest.raises(ImageryError, match="anchors"):
            crops(noise(), anchors, SPEC)
    for size, extent in ((0, 16.0), (32, 0.0), (32, float("nan"))):
        spec = ReferenceSpec(size_px=size, extent_m=extent, offset_forward_m=0.0)
        with pytest.raises(ImageryError, match="resolution"):
            CropCutter(noise(), spec)
