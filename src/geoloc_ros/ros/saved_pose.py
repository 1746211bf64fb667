# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The last pose on disk, offered as a soft prior when the node starts again."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import GeoPrior, PoseEstimate, Status
from geoloc_ros.errors import GeodesyError
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.ros.node_config import LocalizerConfig, user_path

logger = logging.getLogger(__name__)

NOWHERE = "none"
TURNED_SIGMA_DEG = 10.0
#: what reading a file that somebody else has written may raise
_UNUSABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    RecursionError,
    GeodesyError,
)


class SavedPose:
    """One file with the latest LOCALISED pose.

    Args:
        node: parameters of the node; `saved_pose_file` says where.
        name: of the node, for the default place.
    """

    def __init__(self, node: LocalizerConfig, name: str) -> None:
        self._node = node
        home = Path(os.environ.get("ROS_HOME", Path.home() / ".ros"))
        default = home / "geoloc_ros" / f"{name.strip('/').replace('/', '_')}.json"
        given = node.saved_pose_file
        self.path = None if given == NOWHERE else user_path(given) if given else default
        self._kept_ns: int | None = None

    def keep(self, estimate: PoseEstimate | None) -> None:
        """Write a pose, if it is LOCALISED and newer than the one kept; never raises."""
        if self.path is None or estimate is None or estimate.position is None:
            return
        if estimate.status is not Status.LOCALISED or estimate.stamp_ns == self._kept_ns:
            return
        content = {
            "stamp_ns": estimate.stamp_ns,
            "lat_deg": estimate.position.lat_deg,
            "lon_deg": estimate.position.lon_deg,
            "yaw_rad": float(estimate.pose[2]),
            "cov_xy_yaw": estimate.cov_xy_yaw.tolist(),
        }
        part = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            part.replace(self.path)
            self._kept_ns = estimate.stamp_ns
        except OSError as error:
            logger.warning("the pose cannot be kept in %s: %s", self.path, error)

    def prior(self, plane: LocalFrame) -> GeoPrior | None:
        """The kept pose as a prior in a plane; None if there is none that could be right."""
        if self.path is None:
            return None
        try:
            if not self.path.is_file():
                return None
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            xy_m = plane.to_xy(float(kept["lat_deg"]), float(kept["lon_deg"]))[0]
            mean = np.array([*xy_m, float(kept["yaw_rad"])])
            cov = np.array(kept["cov_xy_yaw"], dtype=np.float64).reshape(3, 3)
        except _UNUSABLE as error:
            logger.warning("the pose kept in %s is of no use: %s", self.path, error)
            return None
        moved = self._node.saved_pose_sigma_m**2
        cov = cov + np.diag([moved, moved, math.radians(TURNED_SIGMA_DEG) ** 2])
        return GeoPrior.gaussian(0, mean, cov, self._node.saved_pose_share, "saved pose")
