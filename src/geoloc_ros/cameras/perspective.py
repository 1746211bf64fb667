# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The perspective view: a level pinhole camera that looks along the vehicle's heading."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.distortion import FloatArray
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import (
    GREY,
    Attitude,
    FrameFitter,
    checked_mount,
    quantised_attitude,
    rotation_level_base,
)
from geoloc_ros.cameras.warp import Warp, allowed_reduction
from geoloc_ros.datatypes import Image, View
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.rotations import matrix_from_rpy

#: a camera that looks along an axis of the vehicle to within this is taken as meant so
AXIS_WITHIN_DEG = 25.0


class PerspectiveView:
    """Rectified crop: distortion, mount roll, pitch and yaw removed; horizon in the middle row.

    The virtual camera stands where the real one stands, has the spec's horizontal field of view
    from outer edge to outer edge, square pixels, its principal point in the middle, and looks
    level along that axis of the vehicle (forward, left, back, right) which the real one looks
    along to within `AXIS_WITHIN_DEG`; else where the real one looks.
    """

    needs_height = False

    def __init__(
        self,
        camera: CameraModel,
        T_base_camera: npt.ArrayLike,
        spec: QuerySpec,
        fill_rgb: tuple[float, float, float] = GREY,
    ) -> None:
        """Keep the geometry; maps are made with the first frame.

        Args:
            camera: intrinsics.
            T_base_camera: (4, 4) mount, optical frame to base.
            spec: of a perspective model.
            fill_rgb: colour of unseen pixels, 0..255.

        Raises:
            CameraError: the spec is of another view, the mount is no rigid motion, or the camera
                sees nothing of the view.
        """
        if spec.view != "perspective":
            raise CameraError(f"model wants a {spec.view} view; this is the perspective view")
        self._fitter = FrameFitter(camera)
        self._mount = checked_mount(T_base_camera)[:3, :3]
        self._yaw_rad = _looks_along(self._mount)
        self._virtual = CameraModel.from_hfov(spec.width_px, spec.height_px, spec.hfov_deg)
        self._fill = fill_rgb
        self._warp: Warp | None = None
        self._key: tuple[CameraModel, Attitude | None] | None = None
        warp = self._make(camera, None)
        self.reduction = allowed_reduction(warp, 1)
        if not warp.mask.any():
            raise CameraError(
                f"the camera sees nothing within {spec.hfov_deg:g} degrees around the horizon "
                "where it looks; check the mount (it must be that of the optical frame, z forward)"
            )

    def build(
        self,
        rgb: Image,
        height_m: float | None = None,
        attitude: Attitude | None = None,
        reduction: int = 1,
    ) -> View:
        """The level crop of one frame; see `views.ViewBuilder.build`. The height plays no part."""
        del height_m
        key = self._fitter.camera_for(rgb, reduction), quantised_attitude(attitude)
        if self._warp is None or key != self._key:
            self._warp, self._key = self._make(*key), key
            self.reduction = allowed_reduction(self._warp, reduction)
        return View(self._warp.apply(rgb), self._warp.mask, anchor_yaw_rad=self._yaw_rad)

    def _make(self, camera: CameraModel, attitude: Attitude | None) -> Warp:
        directions = _level_directions(self._virtual)
        turned = matrix_from_rpy(0.0, 0.0, -self._yaw_rad) @ rotation_level_base(attitude)
        rotation_level_optical = turned @ self._mount
        uv, seen = camera.project(directions.reshape(-1, 3) @ rotation_level_optical)
        shape = directions.shape[:2]
        return Warp(
            uv.reshape(*shape, 2),
            seen.reshape(shape),
            (camera.width, camera.height),
            per_pixel=False,
            fill_rgb=self._fill,
        )


def _looks_along(rotation_base_optical: FloatArray) -> float:
    """Heading of a mounted camera in the base frame, rad, that of an axis if near one."""
    forward, left = rotation_base_optical[:2, 2]
    yaw_deg = float(np.degrees(np.arctan2(left, forward)))
    axis_deg = 90.0 * round(yaw_deg / 90.0)
    if abs(yaw_deg - axis_deg) <= AXIS_WITHIN_DEG:
        yaw_deg = axis_deg
    return float(np.radians(yaw_deg))


def _level_directions(virtual: CameraModel) -> FloatArray:
    """Directions (H, W, 3) of the virtual camera's pixels in the level frame x forward, z up."""
    v, u = np.mgrid[0.0 : virtual.height, 0.0 : virtual.width]
    left = -(u - virtual.K[0, 2]) / virtual.K[0, 0]
    up = -(v - virtual.K[1, 2]) / virtual.K[1, 1]
    return np.stack([np.ones_like(left), left, up], axis=-1)
