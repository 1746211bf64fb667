# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rotations in three dimensions. Quaternions are (x, y, z, w), as in ROS messages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import GeodesyError

FloatArray = npt.NDArray[np.float64]

#: Rotation that takes points of a camera's optical frame (z forward, x right, y down) to the
#: body-like camera frame (x forward, y left, z up) of REP-103.
R_BODY_OPTICAL: FloatArray = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def matrix_from_quat_xyzw(quat_xyzw: npt.ArrayLike) -> FloatArray:
    """Rotation matrix (3, 3) of a quaternion (4,), normalised first.

    Raises:
        GeodesyError: the quaternion is not finite or has no length.
    """
    q = np.asarray(quat_xyzw, dtype=np.float64)
    norm = float(np.linalg.norm(q))
    if q.shape != (4,) or not np.isfinite(norm) or norm < 1e-6:
        raise GeodesyError(f"not a rotation: quaternion {q.tolist()} has no direction")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quat_xyzw_from_matrix(rotation: npt.ArrayLike) -> FloatArray:
    """Quaternion (4,) with w >= 0 of a rotation matrix (3, 3) (Shepperd, JGCD 1978)."""
    m = np.asarray(rotation, dtype=np.float64)
    diagonal = np.array([m[0, 0], m[1, 1], m[2, 2], np.trace(m)])
    largest = int(np.argmax(diagonal))
    q = np.empty(4)
    if largest == 3:
        q[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1 + diagonal[3]
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q[i] = 1 - diagonal[3] + 2 * m[i, i]
        q[j] = m[j, i] + m[i, j]
        q[k] = m[k, i] + m[i, k]
        q[3] = m[k, j] - m[j, k]
    q /= np.linalg.norm(q)
    return q if q[3] >= 0 else -q


def matrix_from_rpy(roll_rad: float, pitch_rad: float, yaw_rad: float) -> FloatArray:
    """Rotation matrix of fixed-axis roll, pitch, yaw (REP-103): Rz(yaw) Ry(pitch) Rx(roll).

    With x forward, y left, z up a positive pitch turns the nose down.
    """
    cr, sr = np.cos(roll_rad), np.sin(roll_rad)
    cp, sp = np.cos(pitch_rad), np.sin(pitch_rad)
    cy, sy = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def turns_about_z(yaw_rad: FloatArray) -> FloatArray:
    """Rotation matrices (N, 3, 3) of yaw angles (N,)."""
    turns = np.zeros((len(yaw_rad), 3, 3))
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(yaw_rad)
    turns[:, 1, 0] = np.sin(yaw_rad)
    turns[:, 0, 1] = -turns[:, 1, 0]
    turns[:, 2, 2] = 1.0
    return turns


def rpy_from_matrix(rotation: npt.ArrayLike) -> tuple[float, float, float]:
    """Roll, pitch, yaw in radians of a rotation matrix (3, 3); inverse of `matrix_from_rpy`."""
    m = np.asarray(rotation, dtype=np.float64)
    pitch = float(np.arcsin(np.clip(-m[2, 0], -1.0, 1.0)))
    return float(np.arctan2(m[2, 1], m[2, 2])), pitch, float(np.arctan2(m[1, 0], m[0, 0]))


def yaw_from_quat_xyzw(quat_xyzw: npt.ArrayLike) -> float:
    """Yaw in radians, counter-clockwise from the parent's x axis."""
    return rpy_from_matrix(matrix_from_quat_xyzw(quat_xyzw))[2]


def transform(rotation: npt.ArrayLike, translation_m: npt.ArrayLike) -> FloatArray:
    """Homogeneous (4, 4) matrix of a rotation (3, 3) and a translation (3,) in metres."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation_m
    return matrix
