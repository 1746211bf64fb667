# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From this package's values to ROS messages: pure functions.

Frames follow REP-103 and REP-105: poses are in the map frame (x east, y north at its origin),
stamps are those of capture, 6x6 covariances are row-major in x, y, z, roll, pitch, yaw.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseWithCovarianceStamped,
    Quaternion,
    TransformStamped,
    Vector3,
)
from sensor_msgs.msg import NavSatFix, NavSatStatus
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from geoloc_ros.datatypes import Candidates, FloatArray, PoseEstimate
from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.rotations import yaw_from_quat_xyzw
from geoloc_ros.ros.node_config import LocalizerConfig

NS = 1_000_000_000
#: variances of what is not estimated: height m^2, roll and pitch rad^2
UNKNOWN_Z_M2, UNKNOWN_TILT_RAD2 = 1e4, 1.0
_XY_YAW = np.ix_((0, 1, 5), (0, 1, 5))


def time_of(stamp_ns: int) -> Time:
    """A stamp as a builtin_interfaces/Time."""
    return Time(sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def header(stamp_ns: int, frame_id: str) -> Header:
    """A header."""
    return Header(stamp=time_of(stamp_ns), frame_id=frame_id)


def quaternion(yaw_rad: float) -> Quaternion:
    """A turn about the vertical."""
    return Quaternion(x=0.0, y=0.0, z=math.sin(0.5 * yaw_rad), w=math.cos(0.5 * yaw_rad))


def planar_pose(pose: npt.ArrayLike) -> Pose:
    """Pose of (3,) x_m, y_m, yaw_rad."""
    x_m, y_m, yaw_rad = (float(v) for v in np.asarray(pose))
    return Pose(position=Point(x=x_m, y=y_m, z=0.0), orientation=quaternion(yaw_rad))


def covariance_6x6(cov_xy_yaw: FloatArray) -> npt.NDArray[np.float64]:
    """Row-major (36,) of a covariance (3, 3) of x, y, yaw; the rest is said to be unknown."""
    full = np.diag([0.0, 0.0, UNKNOWN_Z_M2, UNKNOWN_TILT_RAD2, UNKNOWN_TILT_RAD2, 0.0])
    full[_XY_YAW] = 0.5 * (cov_xy_yaw + cov_xy_yaw.T)
    return full.reshape(36)


def planar_covariance(covariance: npt.ArrayLike) -> FloatArray:
    """Covariance (3, 3) of x, y, yaw of a row-major (36,), made symmetric."""
    found = np.asarray(covariance, dtype=np.float64).reshape(6, 6)[_XY_YAW]
    return np.asarray(0.5 * (found + found.T))


def planar_pose_of(pose: Pose) -> FloatArray:
    """(3,) x_m, y_m, yaw_rad of a pose.

    Raises:
        GeodesyError: its quaternion is no rotation.
    """
    turn = pose.orientation
    yaw_rad = yaw_from_quat_xyzw([turn.x, turn.y, turn.z, turn.w])
    return np.array([pose.position.x, pose.position.y, yaw_rad])


def initial_pose(
    message: PoseWithCovarianceStamped, map_frame: str
) -> tuple[FloatArray, FloatArray]:
    """Mean (3,) and covariance (3, 3) of a pose somebody gives.

    Raises:
        ConfigError: it is in another frame than the map's.
        GeodesyError: its quaternion is no rotation.
    """
    frame = message.header.frame_id.lstrip("/")
    if frame != map_frame:
        raise ConfigError(f"the initial pose is in frame {frame!r}; it must be in {map_frame!r}")
    return planar_pose_of(message.pose.pose), planar_covariance(message.pose.covariance)


def pose_message(estimate: PoseEstimate, map_frame: str) -> PoseWithCovarianceStamped:
    """The pose of an estimate that holds a place."""
    message = PoseWithCovarianceStamped(header=header(estimate.stamp_ns, map_frame))
    message.pose.pose = planar_pose(estimate.pose)
    message.pose.covariance = covariance_6x6(estimate.cov_xy_yaw)
    return message


def fix_message(
    estimate: PoseEstimate, node: LocalizerConfig, frame_id: str, usable: bool
) -> NavSatFix:
    """The fix of an estimate; NO_FIX, without a position, unless it is usable.

    The covariance's axes are those of the map, which differ from east and north by the meridian
    convergence: at most 0.8 degrees (see `geo.wgs84`).
    """
    message = NavSatFix(header=header(estimate.stamp_ns, frame_id))
    message.status.service = NavSatStatus.SERVICE_GPS
    if not usable or estimate.position is None:
        message.status.status = NavSatStatus.STATUS_NO_FIX
        message.latitude = message.longitude = message.altitude = math.nan
        message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_UNKNOWN
        return message
    message.status.status = NavSatStatus.STATUS_FIX
    message.latitude = estimate.position.lat_deg
    message.longitude = estimate.position.lon_deg
    message.altitude = node.altitude_m if node.altitude_mode == "fixed" else math.nan
    covariance = np.diag([0.0, 0.0, UNKNOWN_Z_M2])
    covariance[:2, :2] = 0.5 * (estimate.cov_xy_yaw + estimate.cov_xy_yaw.T)[:2, :2]
    message.position_covariance = covariance.reshape(9)
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
    return message


def map_to_odom(T_map_odom: FloatArray, stamp_ns: int, node: LocalizerConfig) -> TransformStamped:
    """The transform from map to odom, dated ahead by the tolerance, as AMCL does."""
    ahead_ns = stamp_ns + int(node.transform_tolerance_s * NS)
    message = TransformStamped(header=header(ahead_ns, node.map_frame))
    message.child_frame_id = node.odom_frame
    x_m, y_m, yaw_rad = T_map_odom.tolist()
    message.transform.translation = Vector3(x=x_m, y=y_m, z=0.0)
    message.transform.rotation = quaternion(yaw_rad)
    return message


def markers(candidates: Candidates, stamp_ns: int, map_frame: str) -> MarkerArray:
    """An arrow per candidate, green for the most similar to red for the least."""
    found = MarkerArray(markers=[Marker(action=Marker.DELETEALL)])
    best = max(float(candidates.similarity.max(initial=0.0)), 1e-6)
    for i, (pose, similarity) in enumerate(
        zip(candidates.poses, candidates.similarity, strict=True)
    ):
        marker = Marker(header=header(stamp_ns, map_frame), ns="candidates", id=i)
        marker.type, marker.action = Marker.ARROW, Marker.ADD
        marker.pose = planar_pose(pose)
        marker.scale = Vector3(x=8.0, y=1.5, z=1.5)
        share = float(np.clip(similarity / best, 0.0, 1.0))
        marker.color = ColorRGBA(r=1.0 - share, g=share, b=0.1, a=0.9 if i == 0 else 0.5)
        found.markers.append(marker)
    return found
