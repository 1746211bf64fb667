# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From deserialised ROS messages (1 or 2) to this package's values: pure functions, no ROS.

Messages come from the `rosbags` library, whose ROS 1 and ROS 2 classes differ only in the case of
a few CameraInfo fields. Odometry that makes no sense (NaN position, a quaternion without length)
is *returned*, as a sample whose pose is NaN: whether a bad sample may be bridged is the belief's
decision, and a recording must not end because of one. A message that lacks a field, because the
recording's definition of its type is damaged or not that of ROS, raises BagError.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image, Odometry
from geoloc_ros.errors import BagError, GeodesyError, ImageDecodeError, first_line
from geoloc_ros.geo.rotations import matrix_from_quat_xyzw, transform, yaw_from_quat_xyzw
from geoloc_ros.geo.wgs84 import LatLon

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO_TYPES = ("sensor_msgs/msg/CameraInfo",)
ODOMETRY_TYPES = ("nav_msgs/msg/Odometry",)
TF_TYPES = ("tf2_msgs/msg/TFMessage",)
FIX_TYPES = ("sensor_msgs/msg/NavSatFix",)
POSE_TYPES = ("geometry_msgs/msg/PoseStamped",)
COVARIANCE_POSE_TYPES = ("geometry_msgs/msg/PoseWithCovarianceStamped", *ODOMETRY_TYPES)
RANGE_TYPES = ("sensor_msgs/msg/Range",)

_JPEG = b"\xff\xd8"
_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

Transforms = dict[tuple[str, str], FloatArray]

P = ParamSpec("P")
T = TypeVar("T")


def _of_ros(convert: Callable[P, T]) -> Callable[P, T]:
    """Turn what Python says of a message with other fields than ROS's into a BagError."""

    @functools.wraps(convert)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return convert(*args, **kwargs)
        except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
            kind = getattr(args[0], "__msgtype__", type(args[0]).__name__)
            raise BagError(
                f"a {kind} has other fields than in ROS ({first_line(error)}); the recording's "
                "definition of the type is damaged or its own"
            ) from error

    return checked


@dataclass(frozen=True)
class CameraInfoData:
    """A sensor_msgs/CameraInfo as plain values.

    Attributes:
        width: image width, px.
        height: image height, px.
        distortion_model: as published, for example ``plumb_bob``.
        D: (n,) distortion coefficients.
        K: (3, 3) intrinsics of the raw image, px.
        P: (3, 4) projection of the rectified image, px.
        R: (3, 3) rectification.
        frame_id: optical frame.
    """

    width: int
    height: int
    distortion_model: str
    D: FloatArray
    K: FloatArray
    P: FloatArray
    R: FloatArray
    frame_id: str


def stamp_ns(message: object, log_ns: int) -> int:
    """Capture time: the header's stamp, or the log time where there is none or it is zero."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    if stamp is None:
        return log_ns
    capture = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
    return capture if capture != 0 else log_ns


@_of_ros
def image_rgb(message: Any) -> Image:  # noqa: ANN401 - rosbags makes the classes at run time
    """Pixels of a sensor_msgs Image or CompressedImage.

    Sixteen-bit images are scaled by the smallest of 8, 10, 12, 14 or 16 bits that holds the
    frame's largest value.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageDecodeError: undecodable bytes, unknown encoding or too little data.
    """
    if hasattr(message, "format"):
        return decode_image(np.asarray(message.data, dtype=np.uint8))
    return _raw_rgb(message)


def reduced_rgb(message: Any, factor: int) -> tuple[Image, int]:  # noqa: ANN401
    """Like `image_rgb`, but a JPEG's sides are shorter by a factor 2, 4 or 8, rounded up.

    Returns:
        (H, W, 3) uint8 RGB and its reduction, which is 1 for all but JPEG.

    Raises:
        ImageDecodeError: undecodable bytes, unknown encoding or too little data.
    """
    if factor == 1 or not hasattr(message, "format"):
        return image_rgb(message), 1
    data = np.asarray(message.data, dtype=np.uint8)
    if data[:2].tobytes() != _JPEG:
        return decode_image(data), 1
    return decode_image(data, _REDUCED[factor]), factor


def decode_image(data: npt.NDArray[np.uint8], flags: int = cv2.IMREAD_COLOR) -> Image:
    """RGB pixels of a JPEG or PNG file held in memory.

    Args:
        data: the file's bytes.
        flags: of OpenCV, for a colour picture.

    Raises:
        ImageDecodeError: the bytes are no image.
    """
    try:
        bgr = cv2.imdecode(data.reshape(-1), flags) if data.size else None
    except cv2.error:
        bgr = None
    if bgr is None:
        raise ImageDecodeError(f"{data.size} bytes are no decodable image (JPEG, PNG)")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


#: encoding -> (bytes per pixel, OpenCV conversion to RGB or None if it already is).
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "8uc3": (3, cv2.COLOR_BGR2RGB),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8uc4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8uc1": (1, cv2.COLOR_GRAY2RGB),
    # ROS names the pattern by its first two pixels, OpenCV by the second row's.
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
    "mono16": (2, cv2.COLOR_GRAY2RGB),
    "16uc1": (2, cv2.COLOR_GRAY2RGB),
}


def _raw_rgb(message: Any) -> Image:  # noqa: ANN401
    encoding = str(message.encoding)
    known = _ENCODINGS.get(encoding.lower())
    if known is None:
        raise ImageDecodeError(
            f"image encoding {encoding!r} is not supported; known: {', '.join(_ENCODINGS)}"
        )
    channels, conversion = known
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.asarray(message.data, dtype=np.uint8).reshape(-1)
    step = step or width * channels
    if height < 1 or width < 1 or step < width * channels or data.size < height * step:
        raise ImageDecodeError(
            f"image of {width}x{height} px, {encoding}, step {step} needs {height * step} bytes; "
            f"the message has {data.size}"
        )
    rows = data[: height * step].reshape(height, step)[:, : width * channels]
    if encoding.lower() in ("mono16", "16uc1"):
        pixels = _sixteen_to_eight(rows, bool(message.is_bigendian))
    else:
        pixels = np.ascontiguousarray(rows).reshape(height, width, channels)
    if conversion is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)
    except cv2.error as error:
        raise ImageDecodeError(f"cannot convert {width}x{height} px {encoding}: {error}") from None


def _sixteen_to_eight(rows: npt.NDArray[np.uint8], big_endian: bool) -> npt.NDArray[np.uint8]:
    values = np.ascontiguousarray(rows).view(">u2" if big_endian else "<u2")
    bits = int(values.max(initial=0)).bit_length()
    shift = next(depth for depth in (8, 10, 12, 14, 16) if bits <= depth) - 8
    return np.asarray(values >> shift, dtype=np.uint8)


@_of_ros
def camera_info(message: Any) -> CameraInfoData:  # noqa: ANN401
    """Plain values of a sensor_msgs/CameraInfo, of ROS 1 (upper case) or ROS 2 (lower case)."""

    def get(name: str) -> FloatArray:
        value = getattr(message, name, None)
        found = value if value is not None else getattr(message, name.lower())
        return np.array(found, dtype=np.float64)

    return CameraInfoData(
        width=int(message.width),
        height=int(message.height),
        distortion_model=str(message.distortion_model),
        D=get("D"),
        K=get("K").reshape(3, 3),
        P=get("P").reshape(3, 4),
        R=get("R").reshape(3, 3),
        frame_id=frame_name(message.header.frame_id),
    )


@_of_ros
def odometry(message: Any, log_ns: int) -> Odometry:  # noqa: ANN401
    """Planar dead reckoning of a nav_msgs/Odometry.

    A sample without usable position or orientation comes back with a pose of NaN. The twist is
    taken as given in the child frame (REP-105); NaN stays NaN.
    """
    pose, twist = message.pose.pose, message.twist.twist
    xyz = _xyz(pose.position)
    planar = np.array([xyz[0], xyz[1], yaw_of(pose.orientation)])
    if not np.all(np.isfinite(planar)):
        planar = np.full(3, np.nan)
    return Odometry(
        stamp_ns=stamp_ns(message, log_ns),
        pose=planar,
        speed_mps=float(twist.linear.x),
        yaw_rate_radps=float(twist.angular.z),
    )


@_of_ros
def static_transforms(message: Any) -> Transforms:  # noqa: ANN401
    """Transforms of a tf2_msgs/TFMessage as {(parent, child): T_parent_child (4, 4)}.

    Raises:
        BagError: a transform is no rigid motion.
    """
    return {(parent, child): matrix for _, parent, child, matrix in stamped_transforms(message)}


@_of_ros
def stamped_transforms(message: Any) -> list[tuple[int, str, str, FloatArray]]:  # noqa: ANN401
    """Transforms of a tf2_msgs/TFMessage: stamp in ns, parent, child, T_parent_child (4, 4).

    Raises:
        BagError: a transform is no rigid motion.
    """
    found = []
    for item in message.transforms:
        parent, child = frame_name(item.header.frame_id), frame_name(item.child_frame_id)
        try:
            rotation = matrix_from_quat_xyzw(_quat(item.transform.rotation))
        except GeodesyError as error:
            raise BagError(f"transform {parent} -> {child} is broken: {error}") from None
        moved = _xyz(item.transform.translation)
        if not np.isfinite(moved).all():
            raise BagError(f"transform {parent} -> {child} is broken: moves by {moved} m")
        found.append((stamp_ns(item, 0), parent, child, transform(rotation, moved)))
    return found


def find_transform(transforms: Transforms, target: str, source: str) -> FloatArray:
    """Chain static transforms into T_target_source (4, 4).

    Raises:
        BagError: the two frames are not connected.
    """
    target, source = frame_name(target), frame_name(source)
    reached: dict[str, FloatArray] = {target: np.eye(4)}
    waiting = [target]
    while waiting and source not in reached:
        here = waiting.pop()
        for (parent, child), matrix in transforms.items():
            if parent == here and child not in reached:
                reached[child] = reached[here] @ matrix
                waiting.append(child)
            elif child == here and parent not in reached:
                reached[parent] = reached[here] @ np.linalg.inv(matrix)
                waiting.append(parent)
    if source not in reached:
        known = ", ".join(f"{parent}->{child}" for parent, child in transforms) or "none"
        raise BagError(f"no static transform from {target} to {source}; the bag has: {known}")
    return reached[source]


@_of_ros
def fix(message: Any) -> tuple[LatLon, float] | None:  # noqa: ANN401
    """Position and altitude (m, may be NaN) of a NavSatFix, None where it has no fix."""
    if int(message.status.status) < 0:
        return None
    try:
        position = LatLon(float(message.latitude), float(message.longitude))
    except GeodesyError:
        return None
    return position, float(message.altitude)


@_of_ros
def pose_matrix(message: Any) -> FloatArray | None:  # noqa: ANN401
    """T_frame_body (4, 4) of a PoseStamped, None where it is not finite."""
    try:
        rotation = matrix_from_quat_xyzw(_quat(message.pose.orientation))
    except GeodesyError:
        return None
    matrix = transform(rotation, _xyz(message.pose.position))
    return matrix if np.all(np.isfinite(matrix)) else None


@_of_ros
def covariance_pose(message: Any) -> tuple[FloatArray, FloatArray] | None:  # noqa: ANN401
    """Pose and covariance of a PoseWithCovarianceStamped or of an Odometry.

    Returns:
        T_frame_body (4, 4), and the (6, 6) covariance over x, y, z, roll, pitch, yaw (REP-103),
        which may be anything; None where the pose is not finite.
    """
    matrix = pose_matrix(message.pose)
    if matrix is None:
        return None
    return matrix, np.array(message.pose.covariance, dtype=np.float64).reshape(6, 6)


@_of_ros
def fix_covariance(message: Any) -> FloatArray:  # noqa: ANN401
    """(3, 3) covariance of a NavSatFix, east, north, up, m^2; NaN where its type is unknown."""
    if int(message.position_covariance_type) == 0:
        return np.full((3, 3), np.nan)
    return np.array(message.position_covariance, dtype=np.float64).reshape(3, 3)


@_of_ros
def height_m(message: Any) -> float:  # noqa: ANN401
    """Height of a sensor_msgs/Range in metres, NaN for infinite readings (nothing in range)."""
    value = float(message.range)
    return value if np.isfinite(value) else float("nan")


def frame_name(name: str) -> str:
    """A frame id without the leading slash of tf 1."""
    return str(name).lstrip("/")


def yaw_of(quaternion: Any) -> float:  # noqa: ANN401
    """Yaw of a geometry_msgs/Quaternion, rad; NaN where it is no rotation."""
    try:
        return yaw_from_quat_xyzw(_quat(quaternion))
    except GeodesyError:
        return float("nan")


def _xyz(vector: Any) -> FloatArray:  # noqa: ANN401
    return np.array([vector.x, vector.y, vector.z], dtype=np.float64)


def _quat(quaternion: Any) -> FloatArray:  # noqa: ANN401
    return np.array([quaternion.x, quaternion.y, quaternion.z, quaternion.w], dtype=np.float64)
