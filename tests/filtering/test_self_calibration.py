# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from ground_scene import look, mount, texture

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.self_calibration import CalibrationOptions, self_calibrate
from geoloc_ros.errors import CameraError
from geoloc_ros.geo import se2

HEIGHT_M = 45.0
INCREMENTS = [
    (7.0, 0.0, 0.0),
    (6.0, 1.0, 0.25),
    (6.0, 0.5, 0.3),
    (7.0, -0.5, -0.2),
    (6.5, -1.0, -0.35),
    (7.0, 0.0, 0.05),
    (6.0, 0.8, 0.3),
    (6.0, 1.0, 0.35),
    (7.0, 0.2, 0.1),
    (6.0, -1.0, -0.3),
    (6.0, 0.0, 0.2),
    (6.5, 0.0, 0.3),
]


def flight(camera, T_base_camera):
    ground = texture(5)
    pose = np.array([-20.0, -30.0, 0.3])
    frames = [look(ground, camera, T_base_camera, pose, HEIGHT_M)]
    for increment in INCREMENTS:
        pose = se2.compose(pose, increment)
        frames.append(look(ground, camera, T_base_camera, pose, HEIGHT_M))
    return frames


@pytest.fixture(scope="module")
def frames():
    true_camera = CameraModel(
        480,
        270,
        np.array([[360.0, 0.0, 239.5], [0.0, 360.0, 134.5], [0.0, 0.0, 1.0]]),
        "plumb_bob",
        np.array([0.04, 0.0, 0.0, 0.0]),
    )
    return flight(true_camera, mount(48.0, -2.0)), true_camera


def test_tilt_and_lens_come_out_of_a_wrong_start(frames):
    pictures, true_camera = frames
    nominal = CameraModel.from_hfov(480, 270, 2 * np.degrees(np.arctan(240 / 335.0)))
    found = self_calibrate(pictures, nominal, mount(45.0), [HEIGHT_M] * len(pictures))
    assert np.degrees(found.pitch_rad) == pytest.approx(48.0, abs=0.7)
    assert np.degrees(found.roll_rad) == pytest.approx(-2.0, abs=0.5)
    assert found.camera.K[0, 0] == pytest.approx(true_camera.K[0, 0], rel=0.02)
    assert found.k1 == pytest.approx(0.04, abs=0.03)
    assert (found.sigma > 0.0).all()
    assert abs(np.degrees(found.pitch_rad) - 48.0) < 5.0 * np.degrees(found.sigma[2])
    np.testing.assert_allclose(found.T_base_camera, mount(48.0, -2.0), atol=0.015)


def test_calibrated_lens_is_left_alone(frames):
    pictures, true_camera = frames
    found = self_calibrate(pictures, true_camera, mount(45.0), [HEIGHT_M] * len(pictures))
    assert found.camera is true_camera
    assert found.focal_scale == pytest.approx(1.0, abs=1e-4)
    assert np.degrees(found.pitch_rad) == pytest.approx(48.0, abs=0.4)


def test_hover_gives_no_calibration(frames):
    pictures, true_camera = frames
    with pytest.raises(CameraError, match="at least 8"):
        self_calibrate([pictures[0]] * 12, true_camera, mount(45.0), [HEIGHT_M] * 12)


def test_heights_must_fit_frames(frames):
    pictures, true_camera = frames
    with pytest.raises(CameraError, match="one height per frame"):
        self_calibrate(pictures, true_camera, mount(45.0), [HEIGHT_M], CalibrationOptions())
