# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from geoloc_ros.geo import two_frame, two_view

PIXEL = 1.0 / 700.0


def scene(rng, count=300, noise_px=0.3, outliers=0.25, yaw=0.3, shift=(8.0, 1.0), rise=0.0):
    """Rays to points on hilly ground with roofs, from two cameras; a quarter of them wrong."""
    points = np.column_stack(
        [
            rng.uniform(15, 110, count),
            rng.uniform(-50, 50, count),
            -50.0 + rng.uniform(-10, 15, count),
        ]
    )
    t = np.array([shift[0], shift[1], rise])
    a = points.copy()
    b = (points - t) @ two_view.rotate_z(yaw)
    wrong = rng.random(count) < outliers
    b[wrong] = b[rng.permutation(count)][wrong]
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    b += rng.normal(0.0, noise_px * PIXEL, b.shape)
    return a, b / np.linalg.norm(b, axis=1, keepdims=True), points, wrong


def test_epipolar_error_is_zero_for_true_pairs_and_first_order_right():
    a, b, _, _ = scene(np.random.default_rng(0), noise_px=0.0, outliers=0.0)
    t = np.array([8.0, 1.0, 0.0])
    assert np.abs(two_view.sampson_error(a, b, 0.3, t)).max() < 1e-9
    # moving one ray by e across its epipolar plane leaves e / sqrt(2) when both are corrected
    normal = np.cross(t, a)
    normal = normal @ two_view.rotate_z(0.3)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    moved = b + 1e-4 * normal
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    error = np.abs(two_view.sampson_error(a, moved, 0.3, t))
    np.testing.assert_allclose(error, 1e-4 / np.sqrt(2.0), rtol=0.12)


def test_triangulation_finds_the_points():
    a, b, points, _ = scene(np.random.default_rng(1), noise_px=0.0, outliers=0.0)
    found, parallax = two_view.triangulate(a, b, 0.3, np.array([8.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, points, rtol=1e-6)
    assert (parallax > 0.0).all()


def test_points_behind_are_refused():
    a, b, _, _ = scene(np.random.default_rng(1), noise_px=0.0, outliers=0.0)
    found, _ = two_view.triangulate(a, b, 0.3, np.array([-8.0, -1.0, 0.0]))
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("yaw", "shift", "rise"),
    [(0.3, (8.0, 1.0), 0.0), (-0.6, (5.0, -2.0), 0.0), (0.0, (0.5, 6.0), 2.0)],
)
def test_solver_withstands_wrong_matches_and_relief(yaw, shift, rise):
    a, b, points, wrong = scene(np.random.default_rng(2), yaw=yaw, shift=shift, rise=rise)
    found = two_frame.solve(a, b, 50.0, rise, PIXEL, np.random.default_rng(0))
    assert found.motion is not None
    assert found.yaw_rad == pytest.approx(yaw, abs=np.radians(0.3))
    assert found.motion.azimuth_rad == pytest.approx(np.arctan2(*shift[::-1]), abs=np.radians(1.5))
    assert found.inliers[~wrong].mean() > 0.9
    metric = found.depth * np.hypot(*shift)
    good = ~wrong & np.isfinite(metric)
    assert np.median(np.abs(metric[good] + points[good, 2])) < 1.5


def test_standing_still_has_no_direction():
    a, b, _, _ = scene(np.random.default_rng(3), shift=(0.0, 0.0), outliers=0.1)
    found = two_frame.solve(a, b, 50.0, 0.0, PIXEL, np.random.default_rng(0))
    assert found.motion is None
    assert found.yaw_rad == pytest.approx(0.3, abs=np.radians(0.1))
    assert found.inliers.mean() > 0.8


def test_noise_is_no_motion():
    rng = np.random.default_rng(4)
    rays = rng.normal(size=(2, 200, 3)) + np.array([1.0, 0.0, -1.0])
    a, b = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    found = two_frame.solve(a, b, 50.0, 0.0, PIXEL, np.random.default_rng(0))
    assert found.inliers.mean() < 0.3
