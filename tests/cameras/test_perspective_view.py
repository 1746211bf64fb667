# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Views against pictures whose every pixel is known from geometry."""

import logging
from functools import lru_cache
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.cameras.perspective import PerspectiveView
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.rotations import matrix_from_rpy
from geoloc_ros.messages import reduced_rgb

SPEC = QuerySpec(view="perspective", height_px=96, width_px=192, hfov_deg=90.0)
PINHOLE = CameraModel.from_hfov(640, 360, 110.0)
BARREL = CameraModel.from_camera_info(
    640, 360, "plumb_bob", [-0.2, 0.04, 0.001, -0.001, 0.0], [260, 0, 322, 0, 260, 178, 0, 0, 1]
)
FISHEYE = CameraModel.from_camera_info(
    640, 360, "equidistant", [0.02, -0.005, 0, 0], [230, 0, 322, 0, 231, 178, 0, 0, 1]
)
MARKS_DEG = [(0, 0), (30, 5), (-30, -5), (10, -12), (-20, 14), (38, 0)]


def direction(left_deg, up_deg):
    a, e = np.radians([left_deg, up_deg])
    return np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])


@lru_cache(maxsize=4)
def rays_of(camera):
    return camera.rays()


def picture_of_mark(camera, mount, mark, attitude=(0.0, 0.0)):
    """What the camera sees of one soft light in the sky at a level direction."""
    level = rays_of(camera) @ (matrix_from_rpy(*attitude, 0.0) @ mount[:3, :3]).T
    angle = np.arccos(np.clip(level @ mark, -1.0, 1.0))
    light = 250.0 * np.exp(-0.5 * (angle / np.radians(1.5)) ** 2)
    return np.repeat(np.rint(light)[..., None], 3, axis=2).astype(np.uint8)


def centroid(image):
    weight = image[..., 0].astype(float)
    weight[weight < 25] = 0.0
    v, u = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]]
    return np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


def expected_pixel(mark):
    focal = 96.0 / np.tan(np.radians(45.0))
    return np.array([95.5 - focal * mark[1] / mark[0], 47.5 - focal * mark[2] / mark[0]])


@pytest.mark.parametrize("camera", [PINHOLE, BARREL, FISHEYE], ids=["pinhole", "barrel", "fish"])
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (8.0, -5.0, 3.0)], ids=["level", "tilted"])
def test_a_light_lands_where_a_level_pinhole_would_see_it(camera, angles):
    mount = mount_from_pitch(1.6, *angles)
    builder = PerspectiveView(camera, mount, SPEC)
    for left_deg, up_deg in MARKS_DEG:
        mark = direction(left_deg, up_deg)
        view = builder.build(picture_of_mark(camera, mount, mark))
        assert view.image.shape == (96, 192, 3)
        assert view.anchor_offset_m == (0.0, 0.0)
        np.testing.assert_allclose(centroid(view.image), expected_pixel(mark), atol=0.4)


def test_vehicle_roll_and_pitch_are_removed():
    mount, attitude = mount_from_pitch(1.6, 2.0), (np.radians(3.0), np.radians(-4.0))
    mark = direction(20.0, 4.0)
    picture = picture_of_mark(PINHOLE, mount, mark, attitude)
    builder = PerspectiveView(PINHOLE, mount, SPEC)
    corrected = centroid(builder.build(picture, attitude=attitude).image)
    np.testing.assert_allclose(corrected, expected_pixel(mark), atol=0.4)
    uncorrected = centroid(builder.build(picture).image)
    assert np.abs(uncorrected - expected_pixel(mark)).max() > 3.0


def test_unseen_pixels_are_masked_and_filled():
    narrow = CameraModel.from_hfov(640, 360, 60.0)
    view = PerspectiveView(narrow, mount_from_pitch(1.6, 0.0), SPEC, (10, 20, 30)).build(
        np.full((360, 640, 3), 200, np.uint8)
    )
    # tan(30) / tan(45) of the width is seen.
    assert view.mask[48].mean() == pytest.approx(np.tan(np.radians(30.0)), abs=0.02)
    assert (view.image[~view.mask] == (10, 20, 30)).all()
    assert (view.image[view.mask] == 200).all()


def test_fine_texture_is_averaged_not_aliased():
    v, u = np.mgrid[0:1080, 0:1920]
    checker = (((u // 2 + v // 2) % 2) * 255).astype(np.uint8)
    camera = CameraModel.from_hfov(1920, 1080, 100.0)
    view = PerspectiveView(camera, mount_from_pitch(1.6, 1.0), SPEC).build(
        np.repeat(checker[..., None], 3, axis=2)
    )
    assert np.abs(view.image[view.mask].astype(float) - 127.5).max() < 8.0


def test_a_resized_frame_is_noticed_once_and_gives_the_same_view(caplog):
    mount, mark = mount_from_pitch(1.6, 3.0), direction(12.0, 3.0)
    picture = picture_of_mark(PINHOLE, mount, mark)
    half = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA)
    builder = PerspectiveView(PINHOLE, mount, SPEC)
    with caplog.at_level(logging.WARNING):
        views = [builder.build(frame) for frame in (picture, half, half, picture, half)]
    assert sum("CameraInfo says 640x360" in message for message in caplog.messages) == 1
    for view in views:
        np.testing.assert_allclose(centroid(view.image), expected_pixel(mark), atol=0.4)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.zeros((360, 640), np.uint8),
        np.zeros((360, 640, 4), np.uint8),
        np.zeros((360, 640, 3), np.float32),
        np.zeros((0, 0, 3), np.uint8),
        None,
    ],
)
def test_frames_that_do_not_belong_to_the_camera_are_refused(frame):
    builder = PerspectiveView(PINHOLE, mount_from_pitch(1.6, 0.0), SPEC)
    with pytest.raises(CameraError, match="frame is"):
        builder.build(frame)


def test_bad_mounts_are_refused():
    for mount in (np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3), np.diag([1, 1, -1, 1])):
        with pytest.raises(CameraError, match="mount"):
            PerspectiveView(PINHOLE, mount, SPEC)


def test_a_camera_that_looks_straight_down_is_refused():
    with pytest.raises(CameraError, match="sees nothing"):
        PerspectiveView(PINHOLE, mount_from_pitch(1.6, 90.0), SPEC)


@pytest.mark.parametrize(
    ("yaw_deg", "looks_deg"), [(3.0, 0.0), (178.0, 180.0), (-93.0, -90.0), (45.0, 45.0)]
)
def test_a_view_looks_along_the_vehicles_axis_that_the_camera_is_meant_for(yaw_deg, looks_deg):
    mount = mount_from_pitch(1.6, 5.0, yaw_deg=yaw_deg)
    builder = PerspectiveView(PINHOLE, mount, SPEC)
    for left, up in MARKS_DEG:
        mark = direction(left + looks_deg, up)
        view = builder.build(picture_of_mark(PINHOLE, mount, mark))
        assert np.degrees(view.anchor_yaw_rad) == pytest.approx(looks_deg)
        assert np.abs(centroid(view.image) - expected_pixel(direction(left, up))).max() < 0.6


def test_the_wrong_view_for_a_model_is_refused():
    spec = QuerySpec(view="ground_plane", height_px=112, width_px=112, extent_m=96.0)
    with pytest.raises(CameraError, match="ground_plane"):
        PerspectiveView(PINHOLE, mount_from_pitch(1.6, 0.0), spec)


def test_non_finite_attitude_is_refused():
    builder = PerspectiveView(PINHOLE, mount_from_pitch(1.6, 0.0), SPEC)
    with pytest.raises(CameraError, match="attitude"):
        builder.build(np.zeros((360, 640, 3), np.uint8), attitude=(float("nan"), 0.0))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1277, 719)])
@pytest.mark.parametrize("reduction", [2, 4])
def test_a_reduced_picture_gives_the_same_view_without_a_word(caplog, width, height, reduction):
    camera = CameraModel.from_hfov(width, height, 110.0)
    mount, mark = mount_from_pitch(1.6, 3.0), direction(12.0, 3.0)
    file = cv2.imencode(".png", picture_of_mark(camera, mount, mark))[1]
    jpeg = cv2.imencode(".jpg", cv2.imdecode(file, cv2.IMREAD_COLOR))[1]
    rgb, reduced_by = reduced_rgb(SimpleNamespace(format="jpeg", data=jpeg.reshape(-1)), reduction)
    assert reduced_by == reduction
    assert rgb.shape == (-(-height // reduction), -(-width // reduction), 3)
    builder = PerspectiveView(camera, mount, SPEC)
    with caplog.at_level(logging.WARNING):
        view = builder.build(rgb, reduction=reduction)
    assert not caplog.messages
    np.testing.assert_allclose(centroid(view.image), expected_pixel(mark), atol=0.4)


@pytest.mark.parametrize(
    ("width", "reduction"), [(160, 1), (240, 1), (480, 2), (640, 4), (9600, 8)]
)
def test_a_view_says_how_much_of_a_picture_it_reads(width, reduction):
    """As many halvings as the warp would make itself, 8 at most."""
    camera = CameraModel.from_hfov(width, width * 9 // 16, 90.0)
    assert PerspectiveView(camera, mount_from_pitch(1.6, 0.0), SPEC).reduction == reduction


def test_reduction_follows_the_frames_where_camera_info_is_of_another_size():
    camera = CameraModel.from_hfov(1280, 720, 90.0)
    builder = PerspectiveView(camera, mount_from_pitch(1.6, 0.0), SPEC)
    asked = builder.reduction
    # frames are 640x360 really
    builder.build(np.zeros((360 // asked, 640 // asked, 3), np.uint8), reduction=asked)
    assert builder.reduction == asked // 2
