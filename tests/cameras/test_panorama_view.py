# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The stitched panorama against the panorama written down from the world's directions."""

import dataclasses

import numpy as np
import pytest
from far_world import picture, psnr, rig, strip

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.cameras.panorama import PanoramaView, turned
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError

SPEC = QuerySpec(
    view="panorama", height_px=48, width_px=256, hfov_deg=360.0, vfov_deg=60.0,
    centre_elevation_deg=-5.0, alignment="heading",
)  # fmt: skip
PINHOLE = CameraModel.from_hfov(320, 200, 110.0)
FILL = (10.0, 20.0, 30.0)


def taken(cameras, rpy=(0.0, 0.0, 0.0)):
    return {name: (picture(*camera, rpy), 1) for name, camera in cameras.items()}


def fisheye():
    K = [[95.0, 0.0, 159.5], [0.0, 95.0, 119.5], [0.0, 0.0, 1.0]]
    return CameraModel(320, 240, np.array(K), "equidistant", np.array([0.02, -0.004, 0.0, 0.0]))


def barrel():
    K = [[120.0, 0.0, 161.0], [0.0, 120.0, 98.0], [0.0, 0.0, 1.0]]
    D = np.array([-0.055, 0.012, 4e-4, -3e-4, 0.0])
    return CameraModel(320, 200, np.array(K), "plumb_bob", D)


@pytest.mark.parametrize(
    ("count", "camera"), [(4, PINHOLE), (6, PINHOLE), (4, fisheye()), (6, barrel())]
)
def test_a_stitched_panorama_equals_one_written_down_from_the_world(count, camera):
    cameras = rig(count, camera)
    view = PanoramaView(cameras, SPEC, FILL).stitch(taken(cameras))
    wanted = strip(SPEC)
    assert view.mask.mean() > 0.9
    assert psnr(view.image[view.mask], wanted[view.mask]) > 40.0
    assert np.abs(view.image[view.mask].astype(float) - wanted[view.mask]).mean() < 1.0


def test_a_panorama_that_was_stitched_already_is_a_camera_like_any_other():
    camera = CameraModel.all_round(720, 360)
    mount = mount_from_pitch(1.7, 4.0, yaw_deg=100.0, roll_deg=3.0)
    views = PanoramaView({"": (camera, mount)}, SPEC)
    view = views.build(picture(camera, mount))
    assert view.mask.all()
    assert views.coverage == 1.0
    assert psnr(view.image, strip(SPEC)) > 40.0


def test_roll_and_pitch_are_taken_out():
    cameras = rig(6, PINHOLE)
    views = PanoramaView(cameras, SPEC, FILL)
    tilted = taken(cameras, rpy=(0.06, -0.09, 0.4))
    wanted = strip(SPEC, rpy=(0.0, 0.0, 0.4))
    level = views.stitch(tilted, attitude=(0.06, -0.09))
    assert psnr(level.image[level.mask], wanted[level.mask]) > 38.0
    crooked = views.stitch(tilted)
    assert psnr(crooked.image[crooked.mask], wanted[crooked.mask]) < 25.0


def test_the_middle_looks_where_the_model_wants_it():
    cameras = rig(4, PINHOLE)
    for azimuth_deg in (90.0, 180.0):
        spec = dataclasses.replace(SPEC, centre_azimuth_deg=azimuth_deg)
        view = PanoramaView(cameras, spec, FILL).stitch(taken(cameras))
        assert view.anchor_yaw_rad == 0.0
        assert psnr(view.image[view.mask], strip(spec)[view.mask]) > 40.0
        turned_away = strip(SPEC, ahead_rad=-np.radians(azimuth_deg))
        assert np.array_equal(strip(spec), turned_away)


def test_a_missing_camera_leaves_its_sector_to_its_neighbours_and_to_the_mean_colour():
    cameras = rig(4, PINHOLE)  # 110 degrees every 90: the middle 70 degrees of each are its own
    views = PanoramaView(cameras, SPEC, FILL)
    pictures = taken(cameras)
    del pictures["camera_1"]  # looks left
    view = views.stitch(pictures)
    wanted = strip(SPEC)
    columns = 90.0 + (np.arange(256) - 127.5) * 360.0 / 256.0  # 0: straight left
    gap = np.abs(columns) < 34.0
    kept = np.abs(columns) > 36.0
    horizon = slice(12, 36)
    assert not view.mask[:, gap].any()
    assert np.all(view.image[:, gap] == np.array(FILL, dtype=np.uint8))
    assert view.mask[horizon][:, kept].all()
    assert psnr(view.image[horizon][:, kept], wanted[horizon][:, kept]) > 40.0
    assert view.mask.mean() == pytest.approx(views.coverage - 70.0 / 360.0, abs=0.03)


def test_the_anchor_is_the_middle_of_the_rig():
    cameras = rig(6, PINHOLE)
    view = PanoramaView(cameras, SPEC).stitch(taken(cameras))
    assert view.anchor_offset_m == pytest.approx((0.6, 0.0), abs=1e-9)
    assert view.anchor_yaw_rad == 0.0


def test_large_pictures_may_be_decoded_smaller_and_give_the_same():
    camera = CameraModel.from_hfov(1600, 1000, 110.0)
    cameras = rig(4, camera)
    views = PanoramaView(cameras, SPEC, FILL)
    assert views.reduction == 8
    whole = taken(cameras)
    halved = {
        name: (rgb.reshape(250, 4, 400, 4, 3).mean(axis=(1, 3)).round().astype(np.uint8), 4)
        for name, (rgb, _) in whole.items()
    }
    assert views.reduction == 8
    assert psnr(views.stitch(halved).image, views.stitch(whole).image) > 40.0


@pytest.mark.parametrize("columns", [17.0, -40.0, 0.5, 100.25, -3.7])
def test_rolled_by_an_angle_it_equals_that_of_a_turned_vehicle(columns):
    yaw = columns * 2.0 * np.pi / 256.0
    cameras = rig(6, PINHOLE)
    views = PanoramaView(cameras, SPEC, FILL)
    view = turned(views.stitch(taken(cameras)), yaw)
    wanted = strip(SPEC, rpy=(0.0, 0.0, yaw))
    assert view.anchor_yaw_rad == pytest.approx(yaw)
    both = view.mask & (np.arange(48) > 4)[:, None]
    assert psnr(view.image[both], wanted[both]) > 38.0
    straight = turned(view, -yaw)
    assert psnr(straight.image[both], strip(SPEC)[both]) > 36.0


def test_whole_columns_are_moved_and_nothing_else():
    rng = np.random.default_rng(1)
    camera = CameraModel.all_round(256, 48)
    spec = dataclasses.replace(SPEC, vfov_deg=67.5, centre_elevation_deg=0.0)
    views = PanoramaView({"": (camera, mount_from_pitch(0.0, 0.0))}, spec)
    rgb = rng.integers(0, 256, (48, 256, 3), dtype=np.uint8)
    view = views.build(rgb)
    assert np.array_equal(view.image, rgb)
    left = turned(view, np.pi / 2)  # from a vehicle that looks left, what was left is ahead
    assert np.array_equal(left.image[:, 128:], rgb[:, 64:192])
    assert np.array_equal(turned(left, -np.pi / 2).image, rgb)
    assert np.array_equal(turned(view, 2.0 * np.pi).image, rgb)


def test_what_cannot_be_a_panorama_is_refused():
    flat = QuerySpec(view="perspective", height_px=48, width_px=96, hfov_deg=90.0)
    with pytest.raises(CameraError, match="model wants a perspective view"):
        PanoramaView(rig(4, PINHOLE), flat)
    with pytest.raises(CameraError, match="at least one camera"):
        PanoramaView({}, SPEC)
    down = CameraModel.from_hfov(320, 320, 40.0)
    with pytest.raises(CameraError, match="camera 'down' sees nothing between -35 and 25 degrees"):
        PanoramaView({**rig(4, PINHOLE), "down": (down, mount_from_pitch(1.0, 90.0))}, SPEC)
    cameras = rig(4, PINHOLE)
    with pytest.raises(CameraError, match="aspect ratios differ"):
        PanoramaView(cameras, SPEC).stitch({"camera_0": (np.zeros((90, 320, 3), np.uint8), 1)})
