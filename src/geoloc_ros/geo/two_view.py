# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Two pictures by a camera that keeps its tilt: yaw, direction of travel, depth below the camera.

A level vehicle, or a stabilised gimbal, turns about the vertical only, and its climb is known from
the barometer. Then the epipolar geometry of two frames (Hartley and Zisserman, Multiple View
Geometry, 2nd edition, chapter 9) has two unknowns, yaw and azimuth of travel, and needs no flat
ground: roofs, trees and slopes are seen where they are.

Rays are (N, 3), in levelled frames: x forward (the camera's azimuth), y left, z up, one frame per
picture. A point seen along `a` from the first and along `b` from the second camera satisfies
`lambda a = t + mu Rz(yaw) b`, with the translation t in the first levelled frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PlanarMotion:
    """Motion of a camera between two pictures, up to scale.

    Attributes:
        yaw_rad: turn of the levelled frame, counter-clockwise.
        azimuth_rad: direction of travel in the first levelled frame.
        rise: climb per horizontal distance travelled.
    """

    yaw_rad: float
    azimuth_rad: float
    rise: float = 0.0

    @property
    def direction(self) -> FloatArray:
        """Translation (3,) of horizontal length 1."""
        return np.array([np.cos(self.azimuth_rad), np.sin(self.azimuth_rad), self.rise])


def rotate_z(yaw_rad: float) -> FloatArray:
    """Rotation matrix (3, 3) about the vertical."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def sampson_error(
    a: FloatArray, b: FloatArray, yaw_rad: float, translation: FloatArray
) -> FloatArray:
    """Signed first-order distances (N,) of ray pairs to the epipolar geometry.

    Sampson's approximation (Hartley and Zisserman, eq. 11.9), on the unit sphere: both rays are
    corrected.

    Args:
        a: (N, 3) unit rays of the first picture.
        b: (N, 3) unit rays of the second.
        yaw_rad: turn.
        translation: (3,) any length but zero.

    Returns:
        Angles, rad.
    """
    t = translation / np.linalg.norm(translation)
    turned = b @ rotate_z(yaw_rad).T
    normal_a = np.cross(t, a)
    normal_b = np.cross(t, turned)
    error = np.sum(normal_a * turned, axis=1)
    weight = np.sum(normal_a**2, axis=1) + np.sum(normal_b**2, axis=1) - 2.0 * error**2
    return np.asarray(error / np.sqrt(np.maximum(weight, 1e-12)))


def triangulate(
    a: FloatArray, b: FloatArray, yaw_rad: float, translation: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Points seen by both cameras.

    Args:
        a: (N, 3) unit rays of the first picture.
        b: (N, 3) unit rays of the second.
        yaw_rad: turn.
        translation: (3,) in the unit wanted for the points.

    Returns:
        Points (N, 3) in the first levelled frame, on the first ray; and the parallax angle (N,) in
        rad. A point behind a camera or at infinity is NaN.
    """
    turned = b @ rotate_z(yaw_rad).T
    cross = np.cross(a, turned)
    square = np.sum(cross**2, axis=1)
    parallax = np.arcsin(np.clip(np.sqrt(square), 0.0, 1.0))
    safe = np.maximum(square, 1e-18)
    t = np.broadcast_to(translation, a.shape)
    along_a = np.sum(np.cross(t, turned) * cross, axis=1) / safe
    along_b = np.sum(np.cross(t, a) * cross, axis=1) / safe
    bad = (square < 1e-12) | (along_a <= 0.0) | (along_b <= 0.0)
    points = a * along_a[:, None]
    points[bad] = np.nan
    return points, parallax


def lift(rays: FloatArray, depth_m: float) -> FloatArray:
    """Where rays meet the plane `depth_m` below the camera: (N, 2), NaN towards the horizon."""
    down = -rays[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(down > 0.02, depth_m / down, np.nan)
    return np.asarray(rays[:, :2] * reach[:, None])


def rigid_from_two(p: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Planar motions that take pairs of points q to pairs p, many at a time.

    Args:
        p: (M, 2, 2) two points each, in the first frame.
        q: (M, 2, 2) the same two in the second frame.

    Returns:
        yaw (M,), translation (M, 2) with p = R(yaw) q + translation at the pair's middle, and the
        relative mismatch (M,) of the pair's lengths.
    """
    dp, dq = p[:, 1] - p[:, 0], q[:, 1] - q[:, 0]
    yaw = np.arctan2(dp[:, 1], dp[:, 0]) - np.arctan2(dq[:, 1], dq[:, 0])
    cos, sin = np.cos(yaw), np.sin(yaw)
    middle = q.mean(axis=1)
    turned = np.stack(
        [cos * middle[:, 0] - sin * middle[:, 1], sin * middle[:, 0] + cos * middle[:, 1]], axis=-1
    )
    length_p, length_q = np.linalg.norm(dp, axis=1), np.linalg.norm(dq, axis=1)
    mismatch = np.abs(length_p - length_q) / np.maximum(length_p + length_q, 1e-9)
    return yaw, p.mean(axis=1) - turned, mismatch
