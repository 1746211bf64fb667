# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing rosbag2 recordings (mcap or sqlite3) that ROS 2 Humble and Jazzy play, without ROS.

Metadata is written in version 8: the last one whose QoS profiles Humble still parses, and one that
Jazzy reads as well. Static transforms are offered transient-local, as `ros2 bag play` needs. MCAP
files get checksums, so that a flipped bit is noticed when they are read.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.bags.mcap import write_checksums
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import BagError
from geoloc_ros.geo.rotations import matrix_from_rpy, quat_xyzw_from_matrix
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.messages import CameraInfoData

STORAGES = ("mcap", "sqlite3")
TRUTH_COV_ENU = np.eye(3) * 1e-4


class BagWriter:
    """Writes one recording; on an exception the unfinished directory is removed.

    Args:
        path: directory to create; must not exist.
        storage: ``mcap`` or ``sqlite3``.

    Raises:
        BagError: the directory exists or cannot be written, or the storage is unknown.
    """

    def __init__(self, path: str | Path, storage: str = "mcap") -> None:
        if storage not in STORAGES:
            raise BagError(f"storage {storage!r} is unknown; choose one of {', '.join(STORAGES)}")
        self.path = Path(path)
        self._storage = storage
        self._writer: Any = None
        self._store: Any = None
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        """Create the directory.

        Raises:
            BagError: it exists or cannot be created.
        """
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        if self.path.exists():
            raise BagError(f"{self.path} exists already; remove it or choose another --out")
        plugin = StoragePlugin.MCAP if self._storage == "mcap" else StoragePlugin.SQLITE3
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(self.path, version=8, storage_plugin=plugin)
        try:
            self._writer.open()
        except OSError as error:
            raise BagError(f"cannot create {self.path}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the recording, or remove it after an exception.

        Raises:
            BagError: the recording cannot be finished, for example because the disk is full.
        """
        if kind is not None:
            self._discard()
            return
        try:
            self._writer.close()
            for file in self.path.glob("*.mcap"):
                write_checksums(file)
        except OSError as failure:
            self._discard()
            raise BagError(f"cannot finish {self.path}: {failure.strerror}") from failure

    def write_compressed_image(
        self, topic: str, stamp_ns: int, data: bytes, frame_id: str, fmt: str = "jpeg"
    ) -> None:
        """Write a sensor_msgs/CompressedImage from the bytes of a JPEG or PNG file."""
        header = self._header(stamp_ns, frame_id)
        pixels = np.frombuffer(data, dtype=np.uint8)
        self._write(
            topic,
            stamp_ns,
            "sensor_msgs/msg/CompressedImage",
            {"header": header, "format": fmt, "data": pixels},
        )

    def write_image(
        self, topic: str, stamp_ns: int, rgb: npt.NDArray[np.uint8], frame_id: str
    ) -> None:
        """Write a sensor_msgs/Image, encoding rgb8, from pixels (H, W, 3)."""
        height, width = rgb.shape[:2]
        fields = {
            "header": self._header(stamp_ns, frame_id),
            "height": height,
            "width": width,
            "encoding": "rgb8",
            "is_bigendian": 0,
            "step": 3 * width,
            "data": np.ascontiguousarray(rgb).reshape(-1),
        }
        self._write(topic, stamp_ns, "sensor_msgs/msg/Image", fields)

    def write_camera_info(self, topic: str, stamp_ns: int, info: CameraInfoData) -> None:
        """Write a sensor_msgs/CameraInfo."""
        roi = self._make(
            "sensor_msgs/msg/RegionOfInterest",
            {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
        )
        fields = {
            "header": self._header(stamp_ns, info.frame_id),
            "height": info.height,
            "width": info.width,
            "distortion_model": info.distortion_model,
            "d": np.asarray(info.D, dtype=np.float64),
            "k": np.asarray(info.K, dtype=np.float64).reshape(9),
            "r": np.asarray(info.R, dtype=np.float64).reshape(9),
            "p": np.asarray(info.P, dtype=np.float64).reshape(12),
            "binning_x": 0,
            "binning_y": 0,
            "roi": roi,
        }
        self._write(topic, stamp_ns, "sensor_msgs/msg/CameraInfo", fields)

    def write_odometry(
        self,
        topic: str,
        stamp_ns: int,
        pose: npt.ArrayLike,
        twist: tuple[float, float],
        pose_sigma: tuple[float, float, float] = (0.1, 0.1, 0.02),
        frames: tuple[str, str] = ("odom", "base_link"),
    ) -> None:
        """Write a planar nav_msgs/Odometry.

        Args:
            topic: name.
            stamp_ns: time of validity.
            pose: (3,) x_m, y_m, yaw_rad in the odom frame.
            twist: forward speed (m/s) and turn rate (rad/s) in the base frame.
            pose_sigma: standard deviations of x, y (m) and yaw (rad).
            frames: parent and child frame.
        """
        x, y, yaw = (float(v) for v in np.asarray(pose, dtype=np.float64))
        covariance = np.zeros((6, 6))
        np.fill_diagonal(covariance[2:5, 2:5], 1e-3)
        for axis, sigma in zip((0, 1, 5), pose_sigma, strict=True):
            covariance[axis, axis] = sigma**2
        twist_covariance = np.diag([0.01, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5])
        twist_message = self._make(
            "geometry_msgs/msg/Twist",
            {"linear": self._vector(twist[0], 0.0, 0.0), "angular": self._vector(0, 0, twist[1])},
        )
        rotation = matrix_from_rpy(0.0, 0.0, yaw)
        fields = {
            "header": self._header(stamp_ns, frames[0]),
            "child_frame_id": frames[1],
            "pose": self._make(
                "geometry_msgs/msg/PoseWithCovariance",
                {
                    "pose": self._pose(rotation, np.array([x, y, 0.0])),
                    "covariance": covariance.reshape(36),
                },
            ),
            "twist": self._make(
                "geometry_msgs/msg/TwistWithCovariance",
                {"twist": twist_message, "covariance": twist_covariance.reshape(36)},
            ),
        }
        self._write(topic, stamp_ns, "nav_msgs/msg/Odometry", fields)

    def write_tf_static(
        self, stamp_ns: int, transforms: Mapping[tuple[str, str], FloatArray]
    ) -> None:
        """Write {(parent, child): T_parent_child (4, 4)} to /tf_static."""
        self.write_tf(stamp_ns, transforms, "/tf_static")

    def write_tf(
        self,
        stamp_ns: int,
        transforms: Mapping[tuple[str, str], FloatArray],
        topic: str = "/tf",
    ) -> None:
        """Write {(parent, child): T_parent_child (4, 4)} as one tf2_msgs/TFMessage."""
        items = []
        for (parent, child), matrix in transforms.items():
            x, y, z = (float(v) for v in matrix[:3, 3])
            motion = self._make(
                "geometry_msgs/msg/Transform",
                {
                    "translation": self._vector(x, y, z),
                    "rotation": self._quaternion(matrix[:3, :3]),
                },
            )
            items.append(
                self._make(
                    "geometry_msgs/msg/TransformStamped",
                    {
                        "header": self._header(stamp_ns, parent),
                        "child_frame_id": child,
                        "transform": motion,
                    },
                )
            )
        self._write(topic, stamp_ns, "tf2_msgs/msg/TFMessage", {"transforms": items})

    def write_fix(
        self,
        topic: str,
        stamp_ns: int,
        position: LatLon,
        altitude_m: float,
        frame_id: str = "base_link",
        cov_enu: npt.ArrayLike | None = TRUTH_COV_ENU,
        has_fix: bool = True,
    ) -> None:
        """Write a sensor_msgs/NavSatFix with a covariance (3, 3), m^2; None: of type unknown.

        The default, (1 cm)^2, is that of a truth.
        """
        values = {"status": 0 if has_fix else -1, "service": 1}
        status = self._make("sensor_msgs/msg/NavSatStatus", values)
        fields = {
            "header": self._header(stamp_ns, frame_id),
            "status": status,
            "latitude": position.lat_deg,
            "longitude": position.lon_deg,
            "altitude": float(altitude_m),
            "position_covariance": np.zeros(9)
            if cov_enu is None
            else np.array(cov_enu, np.float64).reshape(9),
            "position_covariance_type": 0 if cov_enu is None else 3,
        }
        self._write(topic, stamp_ns, "sensor_msgs/msg/NavSatFix", fields)

    def write_pose(
        self, topic: str, stamp_ns: int, matrix: FloatArray, frame_id: str = "map"
    ) -> None:
        """Write a geometry_msgs/PoseStamped from T_frame_body (4, 4)."""
        fields = {
            "header": self._header(stamp_ns, frame_id),
            "pose": self._pose(matrix[:3, :3], matrix[:3, 3]),
        }
        self._write(topic, stamp_ns, "geometry_msgs/msg/PoseStamped", fields)

    def write_pose_with_covariance(
        self,
        topic: str,
        stamp_ns: int,
        matrix: FloatArray,
        covariance: FloatArray,
        frame_id: str = "map",
    ) -> None:
        """Write a PoseWithCovarianceStamped from T_frame_body (4, 4) and a (6, 6) covariance."""
        fields = {
            "pose": self._pose(matrix[:3, :3], matrix[:3, 3]),
            "covariance": np.asarray(covariance, dtype=np.float64).reshape(36),
        }
        pose = self._make("geometry_msgs/msg/PoseWithCovariance", fields)
        self._write(
            topic,
            stamp_ns,
            "geometry_msgs/msg/PoseWithCovarianceStamped",
            {"header": self._header(stamp_ns, frame_id), "pose": pose},
        )

    def write_range(
        self,
        topic: str,
        stamp_ns: int,
        height_m: float,
        sigma_m: float = 0.5,
        frame_id: str = "base_link",
    ) -> None:
        """Write a height above ground as sensor_msgs/Range (m; sigma_m becomes its variance)."""
        fields = {
            "header": self._header(stamp_ns, frame_id),
            "radiation_type": 1,
            "field_of_view": 0.0,
            "min_range": 0.0,
            "max_range": 10_000.0,
            "range": float(height_m),
            "variance": sigma_m**2,
        }
        self._write(topic, stamp_ns, "sensor_msgs/msg/Range", fields)

    # -- inside -------------------------------------------------------------------------------

    def _write(self, topic: str, stamp_ns: int, kind: str, fields: dict[str, Any]) -> None:
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._writer.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=[_qos(topic)]
            )
            self._connections[topic] = connection
        data = self._store.serialize_cdr(self._make(kind, fields), kind)
        try:
            self._writer.write(connection, int(stamp_ns), data)
        except OSError as error:
            raise BagError(f"cannot write {self.path}: {error.strerror}") from error

    def _make(self, kind: str, fields: dict[str, Any]) -> Any:  # noqa: ANN401
        return self._store.types[kind](**fields)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:  # noqa: ANN401
        seconds, nanoseconds = divmod(int(stamp_ns), 1_000_000_000)
        stamp = self._make("builtin_interfaces/msg/Time", {"sec": seconds, "nanosec": nanoseconds})
        return self._make("std_msgs/msg/Header", {"stamp": stamp, "frame_id": frame_id})

    def _vector(self, x: float, y: float, z: float) -> Any:  # noqa: ANN401
        return self._make(
            "geometry_msgs/msg/Vector3", {"x": float(x), "y": float(y), "z": float(z)}
        )

    def _quaternion(self, rotation: FloatArray) -> Any:  # noqa: ANN401
        values = (float(v) for v in quat_xyzw_from_matrix(rotation))
        return self._make("geometry_msgs/msg/Quaternion", dict(zip("xyzw", values, strict=True)))

    def _pose(self, rotation: FloatArray, position: FloatArray) -> Any:  # noqa: ANN401
        x, y, z = (float(v) for v in position)
        point = self._make("geometry_msgs/msg/Point", {"x": x, "y": y, "z": z})
        return self._make(
            "geometry_msgs/msg/Pose",
            {"position": point, "orientation": self._quaternion(rotation)},
        )

    def _discard(self) -> None:
        self._writer.abort()
        shutil.rmtree(self.path, ignore_errors=True)


def _qos(topic: str) -> Any:  # noqa: ANN401 - rosbags Qos
    from rosbags import interfaces as ros

    lasting = topic == "/tf_static"
    forever = ros.QosTime(2147483647, 4294967295)
    return ros.Qos(
        ros.QosHistory.KEEP_LAST,
        1 if lasting else 10,
        ros.QosReliability.RELIABLE,
        ros.QosDurability.TRANSIENT_LOCAL if lasting else ros.QosDurability.VOLATILE,
        forever,
        forever,
        ros.QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
