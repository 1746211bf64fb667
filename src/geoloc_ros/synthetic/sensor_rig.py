# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The cameras of a made vehicle: what is published about them, and what they really are.

Lens: plumb_bob with a little barrel distortion. The truth differs from what CameraInfo and
/tf_static say: the mount by up to a degree about each axis and centimetres, the focal length by
0.3 %. Rays are found by undistorting every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, transform
from geoloc_ros.messages import CameraInfoData

FRAME_ID = "camera_optical"


@dataclass(frozen=True)
class CameraSpec:
    """What one asks for.

    Attributes:
        width_px: image width.
        height_px: image height.
        hfov_deg: horizontal field of view of the undistorted pinhole.
        distortion: k1, k2, p1, p2, k3.
        rate_hz: frames per second.
        forward_m: camera ahead of the base origin.
        height_m: camera above the base origin.
        pitch_deg: nominal tilt, positive down.
        mount_error_deg: bound of the unknown mount error about each axis.
        jpeg_quality: 1-100.
        yaw_deg: direction from the vehicle's front, left positive.
        left_m: camera left of the base origin.
        name: of one among several; the only camera has none.
    """

    width_px: int = 640
    height_px: int = 360
    hfov_deg: float = 95.0
    distortion: tuple[float, float, float, float, float] = (-0.055, 0.012, 4e-4, -3e-4, 0.0)
    rate_hz: float = 10.0
    forward_m: float = 1.4
    height_m: float = 1.5
    pitch_deg: float = 3.0
    mount_error_deg: float = 1.0
    jpeg_quality: int = 85
    yaw_deg: float = 0.0
    left_m: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a camera that cannot be built.

        Raises:
            CameraError: a value out of bounds.
        """
        limits = {
            "width_px": (16, 8192),
            "height_px": (16, 8192),
            "hfov_deg": (5.0, 150.0),
            "rate_hz": (0.1, 60.0),
            "pitch_deg": (-90.0, 90.0),
            "yaw_deg": (-360.0, 360.0),
            "mount_error_deg": (0.0, 10.0),
            "jpeg_quality": (10, 100),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise CameraError(f"camera {name} is {value}; it must lie in [{low}, {high}]")


#: Gimbal camera of a small drone.
AERIAL_CAMERA = CameraSpec(
    hfov_deg=73.7,
    distortion=(-0.02, 0.004, 0.0, 0.0, 0.0),
    rate_hz=5.0,
    forward_m=0.1,
    height_m=-0.05,
    pitch_deg=45.0,
    mount_error_deg=1.5,
)


#: Cameras all round stand on a ring of this radius on the roof, around the base origin.
RING_M = 0.5
ROOF_M = 1.7
OVERLAP_DEG = 30.0
SURROUND = (3, 12)


def surround(count: int, spec: CameraSpec | None = None) -> tuple[CameraSpec, ...]:
    """Cameras evenly all round, the first one ahead, the others following to the left.

    Args:
        count: how many.
        spec: what they have in common; None: a camera that reaches `OVERLAP_DEG` into what its
            neighbours see, on the roof.

    Raises:
        CameraError: fewer or more than `SURROUND`.
    """
    low, high = SURROUND
    if not low <= count <= high:
        raise CameraError(f"{count} cameras all round; there must be {low} to {high}")
    spec = spec or CameraSpec(hfov_deg=360.0 / count + OVERLAP_DEG, height_m=ROOF_M)
    away = np.radians(np.arange(count) * 360.0 / count)
    return tuple(
        replace(
            spec,
            forward_m=RING_M * float(np.cos(angle)),
            left_m=RING_M * float(np.sin(angle)),
            yaw_deg=float(np.degrees(angle)),
            name=f"camera_{number}",
        )
        for number, angle in enumerate(away)
    )


@dataclass(frozen=True)
class CameraRig:
    """A camera as published and as it is.

    Attributes:
        spec: what was asked for.
        K: (3, 3) published intrinsics, px.
        D: (5,) published distortion, plumb_bob; also the true one.
        K_true: (3, 3) true intrinsics, px.
        T_base_camera: (4, 4) published mount of the optical frame.
        T_base_camera_true: (4, 4) true mount.
        error_rpy_deg: (3,) true minus published roll, pitch, yaw of the camera body.
    """

    spec: CameraSpec
    K: FloatArray
    D: FloatArray
    K_true: FloatArray
    T_base_camera: FloatArray
    T_base_camera_true: FloatArray
    error_rpy_deg: FloatArray

    @property
    def frame_id(self) -> str:
        """Optical frame."""
        return f"{self.spec.name}_optical" if self.spec.name else FRAME_ID

    def info(self) -> CameraInfoData:
        """The CameraInfo that is published."""
        return CameraInfoData(
            width=self.spec.width_px,
            height=self.spec.height_px,
            distortion_model="plumb_bob",
            D=self.D,
            K=self.K,
            P=np.column_stack([self.K, np.zeros(3)]),
            R=np.eye(3),
            frame_id=self.frame_id,
        )

    def rays(self) -> FloatArray:
        """(H, W, 3) unit directions in the true optical frame."""
        return pixel_rays(self.K_true, self.D, self.spec.width_px, self.spec.height_px)


def pixel_rays(K: FloatArray, D: FloatArray, width_px: int, height_px: int) -> FloatArray:
    """Unit viewing directions of all pixels, by fixed-point inversion of the plumb_bob model.

    (x, y) -> (x radial + 2 p1 x y + p2 (r2 + 2 x x), y radial + p1 (r2 + 2 y y) + 2 p2 x y) with
    radial = 1 + k1 r2 + k2 r4 + k3 r6 (Brown 1966, as in OpenCV's camera model).

    Args:
        K: (3, 3) intrinsics, px.
        D: (5,) plumb_bob coefficients.
        width_px: image width.
        height_px: image height.

    Returns:
        (H, W, 3) in the optical frame.

    Raises:
        CameraError: the distortion folds over within the image.
    """
    u, v = np.meshgrid(np.arange(width_px, dtype=np.float64), np.arange(height_px, dtype=float))
    x_seen, y_seen = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
    k1, k2, p1, p2, k3 = D
    x, y = x_seen, y_seen
    for _ in range(60):
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        x_next = (x_seen - 2.0 * p1 * x * y - p2 * (r2 + 2.0 * x * x)) / radial
        y_next = (y_seen - p1 * (r2 + 2.0 * y * y) - 2.0 * p2 * x * y) / radial
        moved = max(float(np.abs(x_next - x).max()), float(np.abs(y_next - y).max()))
        x, y = x_next, y_next
        if moved < 1e-12:
            break
    else:
        if not moved < 1e-6:
            raise CameraError(
                f"distortion {np.asarray(D).tolist()} cannot be inverted over {width_px}x"
                f"{height_px} px; use smaller coefficients or a narrower field of view"
            )
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True), dtype=np.float64)


def mount(
    spec: CameraSpec, error_rpy_deg: FloatArray, shift_m: FloatArray | None = None
) -> FloatArray:
    """T_base_camera (4, 4) of the optical frame.

    Args:
        spec: nominal mount.
        error_rpy_deg: (3,) added to roll 0, the pitch (down positive) and the yaw.
        shift_m: (3,) added to the position.
    """
    nominal = np.array([0.0, spec.pitch_deg, spec.yaw_deg])
    roll, pitch, yaw = np.radians(nominal + error_rpy_deg)
    position = np.array([spec.forward_m, spec.left_m, spec.height_m])
    position = position if shift_m is None else position + shift_m
    return transform(matrix_from_rpy(roll, pitch, yaw) @ R_BODY_OPTICAL, position)


def make_rig(spec: CameraSpec, rng: np.random.Generator) -> CameraRig:
    """A camera with a mount and focal length that are not quite what is published."""
    focal = 0.5 * spec.width_px / np.tan(np.radians(spec.hfov_deg) / 2.0)
    centre = (0.5 * (spec.width_px - 1), 0.5 * (spec.height_px - 1))
    K = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
    K_true = K.copy()
    K_true[[0, 1], [0, 1]] *= 1.0 + float(np.clip(rng.normal(0.0, 0.003), -0.008, 0.008))
    K_true[:2, 2] += rng.uniform(-1.0, 1.0, 2)
    bound = spec.mount_error_deg
    error = np.clip(rng.normal(0.0, 0.5 * bound, 3), -bound, bound)
    shift = np.clip(rng.normal(0.0, 0.02, 3), -0.05, 0.05)
    return CameraRig(
        spec=spec,
        K=K,
        D=np.array(spec.distortion),
        K_true=K_true,
        T_base_camera=mount(spec, np.zeros(3)),
        T_base_camera_true=mount(spec, error, shift),
        error_rpy_deg=error,
    )
