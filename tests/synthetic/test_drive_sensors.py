# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera rig and flights."""

import cv2
import numpy as np
import pytest

from geoloc_ros.errors import CameraError, ConfigError
from geoloc_ros.synthetic.drive import Area
from geoloc_ros.synthetic.flight import FlightSpec, barometer, plan_flight
from geoloc_ros.synthetic.sensor_rig import (
    AERIAL_CAMERA,
    CameraSpec,
    make_rig,
    mount,
    pixel_rays,
)

AREA = Area(-400.0, -400.0, 400.0, 400.0)


def ground(xy):
    return 5.0 * np.sin(xy[:, 0] / 90.0)


@pytest.mark.parametrize(
    "spec", [CameraSpec(), AERIAL_CAMERA, CameraSpec(width_px=64, height_px=48)]
)
def test_rays_project_back_to_their_pixels(spec):
    rig = make_rig(spec, np.random.default_rng(0))
    rays = rig.rays()
    assert rays.shape == (spec.height_px, spec.width_px, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1.0)
    pixels, _ = cv2.projectPoints(
        rays.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), rig.K_true, rig.D
    )
    u, v = np.meshgrid(np.arange(spec.width_px), np.arange(spec.height_px))
    expected = np.stack([u, v], -1).reshape(-1, 2)
    np.testing.assert_allclose(pixels.reshape(-1, 2), expected, atol=1e-3)


def test_published_and_true_mount():
    errors = []
    for seed in range(100):
        rig = make_rig(CameraSpec(), np.random.default_rng(seed))
        errors.append(rig.error_rpy_deg)
        np.testing.assert_array_equal(rig.T_base_camera, mount(CameraSpec(), np.zeros(3)))
        turned = rig.T_base_camera[:3, :3].T @ rig.T_base_camera_true[:3, :3]
        angle = np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)))
        assert angle == pytest.approx(np.linalg.norm(rig.error_rpy_deg), rel=0.05, abs=0.01)
        assert abs(rig.K_true[0, 0] / rig.K[0, 0] - 1) < 0.009
    assert np.abs(errors).max() <= 1.0
    assert 0.35 < np.std(errors) < 0.6


def test_the_camera_looks_ahead_and_down():
    axis = mount(CameraSpec(pitch_deg=30.0), np.zeros(3))[:3, :3] @ [0.0, 0.0, 1.0]
    np.testing.assert_allclose(axis, [np.cos(np.pi / 6), 0.0, -0.5], atol=1e-12)
    right = mount(CameraSpec(), np.zeros(3))[:3, :3] @ [1.0, 0.0, 0.0]
    np.testing.assert_allclose(right, [0.0, -1.0, 0.0], atol=1e-12)


def test_impossible_cameras():
    with pytest.raises(CameraError, match="hfov_deg is 190"):
        CameraSpec(hfov_deg=190.0)
    with pytest.raises(CameraError, match="cannot be inverted"):
        pixel_rays(
            np.array([[20.0, 0, 32], [0, 20.0, 24], [0, 0, 1]]),
            np.array([-3.0, 0, 0, 0, 0]),
            64,
            48,
        )


def test_flight_stays_in_its_area_and_heights():
    for seed in range(5):
        spec = FlightSpec(height_m=(60.0, 90.0))
        truth = plan_flight(ground, np.random.default_rng(seed), 1200.0, AREA, spec)
        assert np.all(AREA.contains(truth.position_m[:, :2]))
        takeoff = ground(truth.position_m[:1, :2])[0]
        above = truth.position_m[:, 2] - takeoff
        assert above.min() > 55.0
        assert above.max() < 95.0
        assert truth.distance_m()[-1] == pytest.approx(1200.0, rel=0.02)
        assert np.abs(np.diff(truth.speed_mps)).max() * 100 < 6.0
        turn = np.abs(np.diff(truth.rpy_rad[:, 2])) * 100
        assert turn.max() < np.radians(120)
        np.testing.assert_array_equal(
            truth.position_m,
            plan_flight(ground, np.random.default_rng(seed), 1200.0, AREA, spec).position_m,
        )


def test_barometer_is_near_the_height_above_take_off():
    truth = plan_flight(ground, np.random.default_rng(0), 800.0, AREA)
    times = np.arange(0.0, truth.duration_s, 0.1)
    error = [
        barometer(truth, ground, np.random.default_rng(k), times)
        - (
            np.interp(times, truth.time_s, truth.position_m[:, 2])
            - ground(truth.position_m[:1])[0]
        )
        for k in range(50)
    ]
    assert 0.6 < np.std(error) < 2.5
    assert abs(np.mean(error)) < 0.6


def test_impossible_flights():
    with pytest.raises(ConfigError, match="flight height"):
        FlightSpec(height_m=(90.0, 50.0))
    with pytest.raises(ConfigError, match="flight speed"):
        FlightSpec(speed_mps=(0.0, 5.0))
