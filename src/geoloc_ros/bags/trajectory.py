# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The estimated trajectory as an MCAP file, for any tool that reads PoseWithCovarianceStamped."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.datatypes import FloatArray, PoseEstimate
from geoloc_ros.geo.rotations import matrix_from_rpy, transform

POSE_TOPIC = "/geoloc/pose"
#: variance of what a planar estimate does not know: z in m^2, roll and pitch in rad^2
UNKNOWN_VARIANCE = 1e6


def covariance_6x6(cov_xy_yaw: FloatArray) -> FloatArray:
    """Row-major (6, 6) covariance over x, y, z, roll, pitch, yaw (REP-103) of a planar one."""
    full = np.diag(np.full(6, UNKNOWN_VARIANCE))
    planar = (0, 1, 5)
    full[np.ix_(planar, planar)] = cov_xy_yaw
    return full


def write_trajectory(path: Path, estimates: Sequence[PoseEstimate]) -> None:
    """Write all estimates that have a pose to one MCAP file, replacing an earlier one."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        bag = Path(folder) / "trajectory"
        with BagWriter(bag) as writer:
            for estimate in estimates:
                if np.isfinite(estimate.pose).all():
                    x_m, y_m, yaw_rad = estimate.pose
                    matrix = transform(matrix_from_rpy(0.0, 0.0, yaw_rad), (x_m, y_m, 0.0))
                    writer.write_pose_with_covariance(
                        POSE_TOPIC, estimate.stamp_ns, matrix, covariance_6x6(estimate.cov_xy_yaw)
                    )
        next(bag.glob("*.mcap")).replace(path)
