# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera mounts, vehicle attitude, and frames that do not have the size CameraInfo tells.

A mount is `T_base_camera` (4, 4): it takes points of the camera's *optical* frame (z forward,
x right, y down; the frame a ROS image header names) to the vehicle's base frame (x forward,
y left, z up). The base origin is on the ground for ground vehicles, so that the mount's z is the
camera's height; aerial vehicles give the height with every frame.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.distortion import FloatArray
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.datatypes import Image
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, transform

_log = logging.getLogger(__name__)

#: Colour of pixels the camera did not see, unless the model says otherwise.
GREY = (127.0, 127.0, 127.0)

Attitude = tuple[float, float]


class FrameFitter:
    """The camera as it fits the frames at hand: detects resized frames, says so once per size."""

    def __init__(self, camera: CameraModel) -> None:
        """Start with the size CameraInfo tells."""
        self._original = camera
        self._by_size = {(camera.width, camera.height): camera}
        self._reduced: dict[tuple[int, int, int], CameraModel] = {}

    def camera_for(self, rgb: Image, reduction: int = 1) -> CameraModel:
        """The camera with intrinsics for this frame's size.

        Args:
            rgb: (H, W, 3) uint8.
            reduction: by how much its sides are shorter than those of the camera's frame, rounded
                up.

        Raises:
            CameraError: not (H, W, 3) uint8, or the size is no plain resize of CameraInfo's.
        """
        if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.shape[2:] != (3,):
            kind = f"{getattr(rgb, 'dtype', type(rgb))} {getattr(rgb, 'shape', '')}"
            raise CameraError(f"frame is {kind}; an (H, W, 3) uint8 RGB array is needed")
        size = rgb.shape[1], rgb.shape[0]
        if reduction == 1:
            return self._of_size(size)
        key = (*size, reduction)
        if key not in self._reduced:
            whole = size[0] * reduction, size[1] * reduction
            # what was rounded up is less than one reduced pixel
            sent = next(
                (known for known in self._by_size if _rounded_up(known, reduction) == size), whole
            )
            self._reduced[key] = self._of_size(sent).reduced(reduction)
        return self._reduced[key]

    def _of_size(self, size: tuple[int, int]) -> CameraModel:
        if size not in self._by_size:
            original = self._original
            self._by_size[size] = original.scaled(*size)
            _log.warning(
                "frames are %dx%d px, CameraInfo says %dx%d px: taken as resized, intrinsics "
                "scaled by %.4f",
                *size,
                original.width,
                original.height,
                size[0] / original.width,
            )
        return self._by_size[size]


def _rounded_up(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    return -(-size[0] // reduction), -(-size[1] // reduction)


def mount_from_pitch(
    height_m: float, pitch_down_deg: float, yaw_deg: float = 0.0, roll_deg: float = 0.0
) -> FloatArray:
    """`T_base_camera` of a camera above the base origin.

    Args:
        height_m: height over the base origin.
        pitch_down_deg: how far the optical axis points below the horizon; 90 is straight down.
        yaw_deg: to the left (counter-clockwise seen from above).
        roll_deg: about the viewing direction, positive lowers the right side of the camera.
    """
    angles = np.radians([roll_deg, pitch_down_deg, yaw_deg])
    rotation = matrix_from_rpy(*angles) @ R_BODY_OPTICAL
    return transform(rotation, (0.0, 0.0, height_m))


def checked_mount(T_base_camera: npt.ArrayLike) -> FloatArray:
    """The mount as a (4, 4) array, if it is a rigid motion.

    Raises:
        CameraError: wrong shape, not finite or not a rotation.
    """
    mount = np.asarray(T_base_camera, dtype=np.float64)
    if mount.shape != (4, 4) or not np.isfinite(mount).all():
        raise CameraError(f"camera mount has shape {mount.shape}; a finite 4x4 matrix is needed")
    rotation = mount[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > 1e-6 or np.linalg.det(rotation) < 0.0:
        raise CameraError(
            f"camera mount is no rigid motion: its rotation deviates by {error:.2g} from "
            "orthonormal (limit 1e-6) or is a reflection; check the transform tree"
        )
    return mount


def rotation_level_base(attitude: Attitude | None) -> FloatArray:
    """Rotation (3, 3) from the base frame to its level twin with the same heading.

    Raises:
        CameraError: an angle is not finite.
    """
    if attitude is None:
        return np.eye(3)
    if not np.isfinite(attitude).all():
        raise CameraError(f"attitude is {attitude} rad; roll and pitch must be finite")
    return matrix_from_rpy(attitude[0], attitude[1], 0.0)


def quantised_attitude(attitude: Attitude | None) -> Attitude | None:
    """The attitude rounded to 0.05 degrees, so that maps can be kept between frames."""
    if attitude is None or not np.isfinite(attitude).all():
        return attitude
    quantum = np.radians(0.05)
    roll, pitch = (float(np.rint(angle / quantum) * quantum) for angle in attitude)
    return None if roll == 0.0 and pitch == 0.0 else (roll, pitch)
