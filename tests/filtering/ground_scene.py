# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a textured plane seen by a drone: made images for odometry and self-calibration."""

import cv2
import numpy as np

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, transform

GSD_M = 0.25


def texture(seed: int, size: int = 1200) -> np.ndarray:
    """Ground with structure at every scale, (size, size, 3) uint8, `GSD_M` per pixel."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    for cells in (8, 24, 72, 200, 500):
        noise = rng.random((cells, cells), dtype=np.float32)
        total += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    image = cv2.normalize(total, None, 40, 215, cv2.NORM_MINMAX).astype(np.uint8)
    for _ in range(250):
        x, y = rng.integers(0, size, 2)
        w, h = rng.integers(6, 50, 2)
        cv2.rectangle(
            image, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(256)), -1
        )
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def mount(pitch_deg: float, roll_deg: float = 0.0, lever=(0.0, 0.0, 0.0)) -> np.ndarray:
    rotation = matrix_from_rpy(np.radians(roll_deg), np.radians(pitch_deg), 0.0)
    return transform(rotation @ R_BODY_OPTICAL, np.array(lever))


def look(ground, camera: CameraModel, T_base_camera, pose, height_m: float) -> np.ndarray:
    """The picture from base pose (x, y, yaw); x east along columns, y north up, origin centre."""
    rays = camera.rays().reshape(-1, 3) @ T_base_camera[:3, :3].T
    reach = height_m / np.maximum(-rays[:, 2], 1e-3)
    forward = rays[:, 0] * reach + T_base_camera[0, 3]
    left = rays[:, 1] * reach + T_base_camera[1, 3]
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    x = pose[0] + cos * forward - sin * left
    y = pose[1] + sin * forward + cos * left
    middle = (ground.shape[0] - 1) / 2
    shape = camera.height, camera.width
    columns = (x / GSD_M + middle).astype(np.float32).reshape(shape)
    rows = (middle - y / GSD_M).astype(np.float32).reshape(shape)
    return cv2.remap(ground, columns, rows, cv2.INTER_LINEAR, borderValue=(90, 90, 90))
