# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From one local plane to another: positions through the ellipsoid, headings by convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.geo.wgs84 import LocalFrame

FloatArray = npt.NDArray[np.float64]

_STEP_M = 1.0


@dataclass(frozen=True, slots=True)
class PlaneChange:
    """Takes poses from one local plane to another.

    The scale of both planes is taken as one: within the range that `LocalFrame` allows, 50 km, it
    differs by at most 3e-5.
    """

    source: LocalFrame
    target: LocalFrame

    def poses(self, poses: FloatArray) -> FloatArray:
        """Poses (N, 3) of the source plane in the target plane.

        Raises:
            GeodesyError: one lies beyond the range of a plane.
        """
        if self.source == self.target or not len(poses):
            return poses
        ahead = np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])]) * _STEP_M
        start, end = self._xy(poses[:, :2]), self._xy(poses[:, :2] + ahead)
        yaw = np.arctan2(*(end - start).T[::-1])
        return np.column_stack([start, wrap_angle(yaw)])

    def pose_and_covariance(
        self, pose: FloatArray, cov_xy_yaw: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """One pose (3,) with its covariance (3, 3) in the target plane.

        Raises:
            GeodesyError: it lies beyond the range of a plane.
        """
        if self.source == self.target or not np.isfinite(pose).all():
            return pose, cov_xy_yaw
        moved = self.poses(pose[None])[0]
        turn = moved[2] - pose[2]
        rotation = np.eye(3)
        rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        return moved, rotation @ cov_xy_yaw @ rotation.T

    def _xy(self, xy_m: FloatArray) -> FloatArray:
        return self.target.to_xy(*self.source.to_latlon(xy_m))
