# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Overhead patches against lights at known places on level ground."""

from functools import lru_cache

import numpy as np
import pytest

from geoloc_ros.cameras.ground_plane import GroundPlaneView, overhead
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.cameras.views import make_views
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.rotations import matrix_from_rpy, transform

SPEC = QuerySpec(view="ground_plane", height_px=112, width_px=112, extent_m=96.0)
GSD = 96.0 / 112.0
PINHOLE = CameraModel.from_hfov(640, 360, 73.7)
BARREL = CameraModel.from_camera_info(
    640, 360, "plumb_bob", [-0.15, 0.03, 0.001, -0.001, 0.0], [430, 0, 322, 0, 431, 178, 0, 0, 1]
)


@lru_cache(maxsize=4)
def rays_of(camera):
    return camera.rays()


def ground_of_pixels(camera, mount, height_m, attitude=(0.0, 0.0)):
    """Ground point (H, W, 2) as forward, left of every pixel; NaN above the horizon."""
    level = matrix_from_rpy(*attitude, 0.0)
    rays = rays_of(camera) @ (level @ mount[:3, :3]).T
    with np.errstate(divide="ignore"):
        distance = np.where(rays[..., 2] < -1e-3, -height_m / rays[..., 2], np.nan)
    return rays[..., :2] * distance[..., None] + (level @ mount[:3, 3])[:2]


def lights(ground, places, sigma_m):
    """A picture with a soft light at each place."""
    picture = np.zeros(ground.shape[:2])
    for place in places:
        squared = ((ground - place) ** 2).sum(axis=-1)
        picture += np.nan_to_num(250.0 * np.exp(-0.5 * squared / sigma_m**2))
    return np.repeat(np.rint(np.minimum(picture, 255.0))[..., None], 3, axis=2).astype(np.uint8)


def centroid_near(image, row, column, radius=6):
    r0, c0 = max(round(row) - radius, 0), max(round(column) - radius, 0)
    part = image[r0 : r0 + 2 * radius + 1, c0 : c0 + 2 * radius + 1, 0].astype(float)
    part[part < 20] = 0.0
    r, c = np.mgrid[r0 : r0 + part.shape[0], c0 : c0 + part.shape[1]]
    return np.array([(r * part).sum(), (c * part).sum()]) / part.sum()


def rows_columns(place, centre, gsd=GSD, size=112):
    return 0.5 * (size - 1) - (np.asarray(place) - centre) / gsd


@pytest.mark.parametrize("camera", [PINHOLE, BARREL], ids=["pinhole", "barrel"])
@pytest.mark.parametrize("pitch_deg", [30.0, 45.0, 60.0, 75.0, 90.0])
def test_a_ground_point_lands_at_its_metric_place(camera, pitch_deg):
    mount = mount_from_pitch(0.0, pitch_deg, yaw_deg=4.0, roll_deg=-3.0)
    height = 100.0
    builder = GroundPlaneView(camera, mount, SPEC, fill_rgb=(0, 0, 0))
    ground = ground_of_pixels(camera, mount, height)
    centre = np.array(builder.build(lights(ground, [], 1.0), height).anchor_offset_m)
    places = [centre + np.array([f, s]) for f in (-24.0, 0.0, 24.0) for s in (-24.0, 0.0, 24.0)]
    view = builder.build(lights(ground, places, 2.5), height)
    checked = 0
    for place in places:
        row, column = rows_columns(place, centre)
        around = view.mask[round(row) - 6 : round(row) + 7, round(column) - 6 : round(column) + 7]
        if around.all():
            found = centroid_near(view.image, row, column)
            # Half a pixel for the warp; maps are kept for heights within 0.2 %.
            np.testing.assert_allclose(found, (row, column), atol=0.5)
            checked += 1
    assert checked >= 5


def test_attitude_is_taken_out():
    mount, attitude = mount_from_pitch(0.0, 60.0), (np.radians(4.0), np.radians(-5.0))
    ground = ground_of_pixels(PINHOLE, mount, 100.0, attitude)
    builder = GroundPlaneView(PINHOLE, mount, SPEC)
    centre = np.array(builder.build(lights(ground, [], 1.0), 100.0, attitude).anchor_offset_m)
    place = centre + np.array([10.0, -12.0])
    view = builder.build(lights(ground, [place], 2.5), 100.0, attitude)
    expected = rows_columns(place, centre)
    np.testing.assert_allclose(centroid_near(view.image, *expected), expected, atol=0.5)


def test_the_lever_arm_of_the_mount_counts():
    mount = mount_from_pitch(2.0, 35.0)
    mount[:3, 3] = (1.5, -0.5, 2.0)
    spec = QuerySpec(view="ground_plane", height_px=112, width_px=112, extent_m=8.0)
    ground = ground_of_pixels(PINHOLE, mount, 2.0)
    builder = GroundPlaneView(PINHOLE, mount, spec)
    assert not builder.needs_height
    centre = np.array(builder.build(lights(ground, [], 1.0)).anchor_offset_m)
    view = builder.build(lights(ground, [centre], 0.2))
    expected = rows_columns(centre, centre, 8.0 / 112)
    np.testing.assert_allclose(centroid_near(view.image, *expected), expected, atol=0.5)


def test_nadir_patch_is_centred_below_the_camera_and_oblique_one_ahead():
    black = np.zeros((360, 640, 3), np.uint8)
    nadir = GroundPlaneView(PINHOLE, mount_from_pitch(0.0, 90.0), SPEC)
    for height in (40.0, 80.0, 150.0):
        assert nadir.build(black, height).anchor_offset_m == (0.0, 0.0)
    oblique = GroundPlaneView(PINHOLE, mount_from_pitch(0.0, 45.0), SPEC).build(black, 50.0)
    assert 50.0 <= oblique.anchor_offset_m[0] <= 75.0
    assert oblique.anchor_offset_m[1] == 0.0
    assert oblique.mask.mean() > 0.9
    left = GroundPlaneView(PINHOLE, mount_from_pitch(0.0, 45.0, yaw_deg=90.0), SPEC)
    forward, sideways = left.build(black, 50.0).anchor_offset_m
    assert forward == 0.0
    assert sideways == pytest.approx(oblique.anchor_offset_m[0])


def test_the_offset_stays_put_while_the_height_trembles():
    black = np.zeros((360, 640, 3), np.uint8)
    builder = GroundPlaneView(PINHOLE, mount_from_pitch(0.0, 45.0), SPEC)
    offsets = {builder.build(black, 50.0 + h).anchor_offset_m for h in np.linspace(-0.3, 0.3, 13)}
    assert len(offsets) == 1


def test_a_view_depends_on_its_own_frame_only():
    mount = mount_from_pitch(0.0, 45.0)
    picture = np.random.default_rng(3).integers(0, 255, (360, 640, 3), dtype=np.uint8)
    used = GroundPlaneView(PINHOLE, mount, SPEC)
    for height in (50.0, 50.04, 61.0, 47.0, 120.0):
        used.build(picture, height)
    again, fresh = used.build(picture, 50.03), GroundPlaneView(PINHOLE, mount, SPEC)
    first = fresh.build(picture, 50.03)
    assert again.anchor_offset_m == first.anchor_offset_m
    np.testing.assert_array_equal(again.image, first.image)


def test_grazing_ground_and_sky_are_unseen():
    mount = mount_from_pitch(0.0, 10.0)
    view = GroundPlaneView(PINHOLE, mount, SPEC, fill_rgb=(1, 2, 3), max_nadir_deg=70.0).build(
        np.full((360, 640, 3), 255, np.uint8), 30.0
    )
    f = view.anchor_offset_m[0] + (55.5 - np.arange(112)) * GSD
    left = (55.5 - np.arange(112)) * GSD
    ground_range = np.hypot(f[:, None], left[None, :])
    assert not view.mask[ground_range > 30.0 * np.tan(np.radians(70.5))].any()
    assert (view.image[~view.mask] == (1, 2, 3)).all()
    assert view.mask.any()


def test_dense_texture_is_averaged_not_aliased():
    v, u = np.mgrid[0:1080, 0:1920]
    checker = np.repeat(((((u // 2) + (v // 2)) % 2) * 255)[..., None], 3, axis=2).astype(np.uint8)
    camera = CameraModel.from_hfov(1920, 1080, 73.7)
    view = GroundPlaneView(camera, mount_from_pitch(0.0, 45.0), SPEC).build(checker, 50.0)
    assert view.image[view.mask].astype(float).std() < 12.0


def test_overhead_places_pixels_by_its_ranges():
    mount = mount_from_pitch(0.0, 50.0, yaw_deg=-6.0)
    ground = ground_of_pixels(PINHOLE, mount, 60.0)
    place = np.array([55.0, 7.0])
    image, mask = overhead(
        lights(ground, [place], 2.0), PINHOLE, mount, 60.0, (20.0, 80.0), (-25.0, 25.0), 0.5
    )
    assert image.shape == (120, 100, 3)
    assert mask.shape == (120, 100)
    expected = (80.0 - 55.0) / 0.5 - 0.5, (25.0 - 7.0) / 0.5 - 0.5
    np.testing.assert_allclose(centroid_near(image, *expected, radius=14), expected, atol=0.5)


@pytest.mark.parametrize("height", [None, 0.0, -3.0, float("nan"), float("inf"), 9000.0])
def test_no_usable_height_is_refused(height):
    builder = GroundPlaneView(PINHOLE, mount_from_pitch(0.0, 45.0), SPEC)
    assert builder.needs_height
    with pytest.raises(CameraError, match="height"):
        builder.build(np.zeros((360, 640, 3), np.uint8), height)


def test_a_camera_that_sees_no_ground_is_refused():
    builder = GroundPlaneView(PINHOLE, mount_from_pitch(0.0, -60.0), SPEC)
    with pytest.raises(CameraError, match="sees no ground"):
        builder.build(np.zeros((360, 640, 3), np.uint8), 50.0)


@pytest.mark.parametrize("gsd", [0.0, -1.0, float("nan"), 1000.0, 1e-4])
def test_impossible_overhead_resolution_is_refused(gsd):
    with pytest.raises(CameraError, match="overhead patch"):
        overhead(
            np.zeros((360, 640, 3), np.uint8),
            PINHOLE,
            mount_from_pitch(0.0, 45.0),
            50.0,
            (0.0, 50.0),
            (-20.0, 20.0),
            gsd,
        )


def test_models_get_their_own_view_in_their_own_mean_colour(tmp_path):
    package = ModelPackage(
        root=tmp_path,
        name="made",
        version="0",
        query=SPEC,
        reference=ReferenceSpec(size_px=112, extent_m=96.0, offset_forward_m=0.0),
        mean=(0.2, 0.4, 0.6),
        std=(0.2, 0.2, 0.2),
        descriptor_dim=128,
        files={},
    )
    builder = make_views(PINHOLE, mount_from_pitch(0.0, 90.0), package)
    view = builder.build(np.zeros((360, 640, 3), np.uint8), 50.0)
    assert (view.image[~view.mask] == (51, 102, 153)).all()
    assert not view.mask.all()


def test_a_mount_is_a_plain_transform():
    mount = mount_from_pitch(1.5, 90.0)
    down = mount @ transform(np.eye(3), (0.0, 0.0, 1.0))
    np.testing.assert_allclose(down[:3, 3], (0.0, 0.0, 0.5), atol=1e-12)
    ahead = mount_from_pitch(1.5, 0.0, yaw_deg=90.0)[:3, :3] @ (0.0, 0.0, 1.0)
    np.testing.assert_allclose(ahead, (0.0, 1.0, 0.0), atol=1e-12)
