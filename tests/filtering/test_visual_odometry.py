# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from ground_scene import look, mount, texture

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.datatypes import Reason
from geoloc_ros.errors import OdometryError
from geoloc_ros.filtering.visual_odometry import PlanarVisualOdometry
from geoloc_ros.geo import se2

SECOND = 1_000_000_000
HEIGHT_M = 50.0
CAMERA = CameraModel.from_hfov(480, 270, 70.0)
MOUNT = mount(50.0, 2.0, (0.4, 0.1, 0.0))


@pytest.fixture(scope="module")
def ground():
    return texture(3)


def drive(ground, increments, heights=None, seed_pose=(-30.0, -20.0, 0.4)):
    """Motions seen along a chain of increments."""
    odometry = PlanarVisualOdometry(CAMERA, MOUNT)
    pose = np.array(seed_pose)
    heights = heights or [HEIGHT_M] * (len(increments) + 1)
    seen = [odometry.step(SECOND, look(ground, CAMERA, MOUNT, pose, heights[0]), heights[0])]
    assert seen[0] is None
    for k, increment in enumerate(increments):
        pose = se2.compose(pose, increment)
        rgb = look(ground, CAMERA, MOUNT, pose, heights[k + 1])
        seen.append(odometry.step((k + 2) * SECOND, rgb, heights[k + 1]))
    return seen[1:], odometry


def test_straight_and_turning_flight_is_measured(ground):
    truth = [(8.0, 0.0, 0.0), (7.0, 1.0, 0.2), (6.0, -0.5, -0.35), (9.0, 0.3, 0.05)]
    seen, odometry = drive(ground, truth)
    for motion, increment in zip(seen, truth, strict=True):
        assert motion.reasons == ()
        np.testing.assert_allclose(motion.increment[:2], increment[:2], atol=0.25)
        assert abs(motion.increment[2] - increment[2]) < np.radians(0.3)
        error = motion.increment - increment
        assert error @ np.linalg.solve(motion.cov_xy_yaw, error) < 25.0
    assert odometry.ground_depth_m == pytest.approx(HEIGHT_M, rel=0.03)


@pytest.mark.parametrize("pitch_deg", [0.0, 20.0, 90.0])
def test_how_steeply_the_camera_looks_down(pitch_deg):
    odometry = PlanarVisualOdometry(CAMERA, mount(pitch_deg, 0.0, (1.0, 0.0, 2.0)))
    assert odometry.below_horizon_deg == pytest.approx(pitch_deg, abs=0.01)


def test_hover_is_no_motion_and_says_how_sure(ground):
    seen, _ = drive(ground, [(0.0, 0.0, 0.0)] * 3)
    for motion in seen:
        assert motion.reasons == ()
        assert np.hypot(*motion.increment[:2]) < 0.05
        assert abs(motion.increment[2]) < np.radians(0.1)
        assert (np.diag(motion.cov_xy_yaw) > 0.0).all()


def test_slow_drift_is_not_swallowed(ground):
    # each step shifts the picture by a pixel or two: too little to see a direction
    steps = [(0.35, 0.0, 0.0)] * 8
    seen, _ = drive(ground, steps)
    total = np.zeros(3)
    for motion in seen:
        total = se2.compose(total, motion.increment)
    assert total[0] == pytest.approx(8 * 0.35, abs=0.8)


def test_turning_on_the_spot(ground):
    seen, _ = drive(ground, [(0.0, 0.0, 0.4), (0.0, 0.0, -0.5)])
    for motion, yaw in zip(seen, (0.4, -0.5), strict=True):
        assert motion.reasons == ()
        assert motion.increment[2] == pytest.approx(yaw, abs=np.radians(0.5))
        assert np.hypot(*motion.increment[:2]) < 0.7


def test_climbing_while_flying(ground):
    seen, _ = drive(ground, [(7.0, 0.0, 0.05)] * 3, [50.0, 53.0, 56.0, 59.0])
    for motion in seen:
        np.testing.assert_allclose(motion.increment[:2], (7.0, 0.0), atol=0.4)


def test_a_frame_that_shows_nothing_is_reported_not_invented(ground):
    odometry = PlanarVisualOdometry(CAMERA, MOUNT)
    pose = np.array([-30.0, -20.0, 0.4])
    odometry.step(SECOND, look(ground, CAMERA, MOUNT, pose, HEIGHT_M), HEIGHT_M)
    pose = se2.compose(pose, (8.0, 0.0, 0.0))
    odometry.step(2 * SECOND, look(ground, CAMERA, MOUNT, pose, HEIGHT_M), HEIGHT_M)
    black = np.zeros((270, 480, 3), np.uint8)
    blind = odometry.step(3 * SECOND, black, HEIGHT_M)
    undecoded = odometry.step(4 * SECOND, None, HEIGHT_M)
    for motion in (blind, undecoded):
        assert motion.reasons == (Reason.BAD_ODOMETRY,)
        assert motion.increment[0] > 3.0
        assert np.sqrt(motion.cov_xy_yaw[0, 0]) > 5.0
    assert (blind.from_ns, blind.to_ns) == (2 * SECOND, 3 * SECOND)
    odometry.step(5 * SECOND, look(ground, CAMERA, MOUNT, pose, HEIGHT_M), HEIGHT_M)
    pose = se2.compose(pose, (6.0, 0.0, 0.1))
    again = odometry.step(6 * SECOND, look(ground, CAMERA, MOUNT, pose, HEIGHT_M), HEIGHT_M)
    assert again.reasons == ()
    np.testing.assert_allclose(again.increment, (6.0, 0.0, 0.1), atol=0.3)


def test_jump_to_another_place_is_not_a_motion(ground):
    seen, _ = drive(ground, [(8.0, 0.0, 0.0), (-75.0, 60.0, 2.5)])
    assert seen[1].reasons == (Reason.BAD_ODOMETRY,)


def test_same_pictures_same_motions(ground):
    first, _ = drive(ground, [(8.0, 0.0, 0.1)] * 2)
    second, _ = drive(ground, [(8.0, 0.0, 0.1)] * 2)
    for a, b in zip(first, second, strict=True):
        assert a.increment.tobytes() == b.increment.tobytes()


def test_bad_input_is_named(ground):
    with pytest.raises(OdometryError, match=r"\(4, 4\)"):
        PlanarVisualOdometry(CAMERA, np.eye(3))
    odometry = PlanarVisualOdometry(CAMERA, MOUNT)
    rgb = look(ground, CAMERA, MOUNT, np.zeros(3), HEIGHT_M)
    with pytest.raises(OdometryError, match="height"):
        odometry.step(SECOND, rgb, None)
    odometry.step(SECOND, rgb, HEIGHT_M)
    with pytest.raises(OdometryError, match="not after"):
        odometry.step(SECOND, rgb, HEIGHT_M)
    odometry.reset()
    assert odometry.step(SECOND, rgb, HEIGHT_M) is None
