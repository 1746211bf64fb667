# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera models against OpenCV's formulas, and what CameraInfo must not get away with."""

import cv2
import numpy as np
import pytest

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.errors import CameraError

K = [400.0, 0.0, 318.0, 0.0, 402.0, 181.0, 0.0, 0.0, 1.0]
LENSES = {
    "plumb_bob": [-0.25, 0.07, 0.001, -0.002, -0.01],
    "rational_polynomial": [0.2, 0.05, 0.001, 0.002, 0.003, 0.4, 0.1, 0.01],
    "equidistant": [0.05, -0.01, 0.002, -0.001],
}


def camera(model="plumb_bob", D=None, K=K, width=640, height=360):
    return CameraModel.from_camera_info(
        width, height, model, LENSES[model] if D is None else D, np.array(K)
    )


def opencv_project(model, points):
    matrix, D = np.array(K).reshape(3, 3), np.array(LENSES[model])
    zero = np.zeros(3)
    if model == "equidistant":
        uv, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, matrix, D)
    else:
        uv, _ = cv2.projectPoints(points[:, None], zero, zero, matrix, D)
    return uv[:, 0]


@pytest.mark.parametrize("model", LENSES)
def test_projection_agrees_with_opencv(model):
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-0.7, 0.7, (500, 2)), np.ones(500)])
    points *= rng.uniform(0.1, 50.0, (500, 1))
    uv, seen = camera(model).project(points)
    assert seen.mean() > 0.5
    np.testing.assert_allclose(uv[seen], opencv_project(model, points)[seen], atol=1e-8)


@pytest.mark.parametrize("model", LENSES)
def test_rays_lead_back_to_their_pixels(model):
    lens = camera(model)
    rays = lens.rays()
    assert rays.shape == (360, 640, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1.0, atol=1e-12)
    uv, seen = lens.project(rays.reshape(-1, 3) * 7.0)
    v, u = np.mgrid[0:360, 0:640]
    assert seen.all()
    np.testing.assert_allclose(uv, np.stack([u.ravel(), v.ravel()], axis=-1), atol=1e-4)


def test_what_is_behind_is_not_seen():
    points = [[0.0, 0.0, -1.0], [0.1, 0.0, -5.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    for model in LENSES:
        assert not camera(model).project(points)[1].any()
    assert not CameraModel.from_hfov(640, 360, 90.0).project(points)[1].any()


def test_a_fisheye_sees_sideways_and_backwards():
    lens = camera("equidistant", [0.0] * 4, [80.0, 0, 320, 0, 80.0, 180, 0, 0, 1], 640, 360)
    uv, seen = lens.project([[1.0, 0.0, 0.0], [1.0, 0.0, -0.2]])
    assert seen.all()
    np.testing.assert_allclose(uv[0], [320.0 + 80.0 * np.pi / 2, 180.0], atol=1e-9)


def test_points_beyond_the_fold_of_the_lens_formula_are_not_seen():
    lens = camera("plumb_bob", [-0.3, 0.0, 0.0, 0.0])
    # r (1 - 0.3 r^2) grows up to r = 1 / sqrt(0.9), then comes back into the picture.
    fold = 1.0 / np.sqrt(0.9)
    assert lens.distortion.field_limit == pytest.approx(fold, rel=0.01)
    points = np.array([[0.0, 0.4, 1.0], [1.7, 0.0, 1.0]])
    assert abs(opencv_like(points[1], -0.3) - 318.0) < 320.0
    assert lens.project(points)[1].tolist() == [True, False]


def opencv_like(point, k1):
    r = point[0] / point[2]
    return 400.0 * r * (1.0 + k1 * r * r) + 318.0


def test_field_of_view_is_measured_between_outer_edges():
    wide = CameraModel.from_hfov(192, 96, 90.0)
    assert wide.hfov_deg == pytest.approx(90.0)
    edge = wide.unproject([[-0.5, 47.5]])[0]
    np.testing.assert_allclose(edge, [-np.sqrt(0.5), 0.0, np.sqrt(0.5)], atol=1e-12)


@pytest.mark.parametrize("hfov", [0.0, 180.0, float("nan"), -90.0])
def test_impossible_field_of_view(hfov):
    with pytest.raises(CameraError, match="field of view"):
        CameraModel.from_hfov(192, 96, hfov)


def test_a_resized_camera_sees_the_same_at_scaled_pixels():
    points = np.array([[0.1, -0.2, 1.0], [-0.5, 0.1, 1.0]])
    full, half = camera(), camera().scaled(320, 180)
    uv, _ = full.project(points)
    uv_half, seen = half.project(points)
    assert seen.all()
    np.testing.assert_allclose(uv_half, (uv + 0.5) / 2 - 0.5, atol=1e-9)


@pytest.mark.parametrize("size", [(640, 480), (480, 360), (360, 640), (8, 4)])
def test_a_cropped_frame_is_refused(size):
    with pytest.raises(CameraError, match=f"{size[0]}x{size[1]}"):
        camera().scaled(*size)


def changed(**index_value):
    values = list(K)
    for index, value in index_value.items():
        values[int(index[1:])] = value
    return values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"K": [0.0] * 9}, "uncalibrated"),
        ({"K": [400.0] * 4}, "9 are needed"),
        ({"K": changed(k0=float("nan"))}, "finite"),
        ({"K": changed(k0=-400.0)}, "positive"),
        ({"K": changed(k4=0.0)}, "positive"),
        ({"K": changed(k0=10.0)}, "implausible"),
        ({"K": changed(k0=1e6, k4=1e6)}, "implausible"),
        ({"K": changed(k4=1500.0)}, "implausible"),
        ({"K": changed(k2=900.0)}, "principal point"),
        ({"K": changed(k5=-3.0)}, "principal point"),
        ({"K": changed(k8=0.0)}, "K\\[8\\]"),
        ({"width": 0}, "size"),
        ({"height": -1}, "size"),
        ({"D": [0.1, 0.2, 0.3]}, "coefficients"),
        ({"model": "equidistant", "D": [0.1] * 5}, "coefficients"),
        ({"model": "rational_polynomial", "D": [0.1] * 5}, "coefficients"),
        ({"D": [float("inf"), 0, 0, 0]}, "finite"),
        ({"D": [-5.0, 0, 0, 0]}, "folds back"),
        ({"model": "rational_polynomial", "D": [0.1] * 12}, "thin prism"),
    ],
)
def test_wrong_camera_info_is_refused(arguments, message):
    with pytest.raises(CameraError, match=message):
        camera(**arguments)


@pytest.mark.parametrize("model", ["thin_plate", "", "PLUMB_BOB"])
def test_unknown_distortion_model_is_refused(model):
    with pytest.raises(CameraError, match="known: plumb_bob"):
        CameraModel.from_camera_info(640, 360, model, [0.1] * 5, K)


def test_a_simulator_without_distortion_is_accepted():
    lens = CameraModel.from_camera_info(640, 360, "", [], K)
    uv, _ = lens.project([[0.25, 0.5, 2.0]])
    np.testing.assert_allclose(uv, [[400 * 0.125 + 318, 402 * 0.25 + 181]])


def test_intrinsics_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        camera().K[0, 0] = 1.0


def test_an_off_centre_principal_point_is_worth_a_word(caplog):
    camera()
    assert not caplog.messages
    camera(width=1280, height=720)
    assert "another resolution" in caplog.text


def test_a_panorama_shows_every_direction_once_where_it_belongs():
    lens = CameraModel.from_camera_info(720, 360, "equirectangular", [], np.zeros(9))
    assert lens.hfov_deg == pytest.approx(360.0)
    # ahead, right, left, just left of straight back, 45 degrees down
    points = [[0, 0, 1], [2, 0, 0], [-3, 0, 0], [-0.001, 0, -1], [0, 5, 5]]
    uv, seen = lens.project(points)
    middle = np.array([359.5, 179.5])
    wanted = middle + np.array([[0, 0], [180, 0], [-180, 0], [-360, 0], [0, 90]])
    np.testing.assert_allclose(uv, wanted, atol=0.2)
    assert seen.all()
    rays = lens.rays().reshape(-1, 3)
    back, seen = lens.project(3.0 * rays)
    assert seen.all()
    v, u = np.mgrid[0:360, 0:720]
    np.testing.assert_allclose(back, np.stack([u.ravel(), v.ravel()], axis=-1), atol=1e-6)


def test_a_strip_of_a_panorama_sees_no_more_than_it_shows():
    strip = CameraModel.all_round(720, 100)  # 50 degrees high
    at_deg = np.array([-26.0, -24.0, 0.0, 24.0, 26.0])
    up = np.radians(at_deg)
    _, seen = strip.project(np.column_stack([np.cos(up), -np.sin(up), np.zeros(5)]))
    assert seen.tolist() == [False, True, True, True, False]
    smaller = strip.scaled(360, 50)
    assert smaller.hfov_deg == pytest.approx(360.0)
    assert smaller.project([[0.0, 0.0, 1.0]])[0][0] == pytest.approx([179.5, 24.5])


@pytest.mark.parametrize(
    ("K", "words"),
    [
        (np.diag([100.0, 114.0, 1.0]), "412.5 x 180.9 degrees"),
        (np.diag([114.6, 100.0, 1.0]), "360.0 x 206.3 degrees"),
        (np.array([[114.6, 1.0, 0.0], [0.0, 114.6, 0.0], [0.0, 0.0, 1.0]]), "with skew 1"),
    ],
)
def test_a_panorama_that_shows_a_direction_twice_is_refused(K, words):
    K = K.copy()
    K[:2, 2] = 359.5, 179.5
    with pytest.raises(CameraError, match=words):
        CameraModel.from_camera_info(720, 360, "equirectangular", [], K)
