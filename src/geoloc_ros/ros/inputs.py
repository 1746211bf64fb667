# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the localizer listens to while it is active. Every callback puts down and leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Range
from tf2_msgs.msg import TFMessage

from geoloc_ros import messages
from geoloc_ros.errors import ConfigError, GeolocError
from geoloc_ros.ros import conversions, interfaces
from geoloc_ros.ros.live import Live
from geoloc_ros.ros.node_config import LocalizerConfig
from geoloc_ros.ros.time_window import check_prior, is_ahead
from geoloc_ros.vlm.answerer import Outcome

_LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def sensor_data(depth: int) -> QoSProfile:
    """Quality of service of sensors: newest first, nothing sent again."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def image_topic(camera: str, transport: str) -> tuple[str, type]:
    """Name and type of a camera's image topic."""
    name = f"{camera}/image" if camera else "image"
    return (name, Image) if transport == "raw" else (f"{name}/compressed", CompressedImage)


def camera_names(cameras: str) -> list[str]:
    """The names in a comma separated list; one without a name if it is empty.

    Raises:
        ConfigError: a name is given twice, or is none for a topic.
    """
    names = [name.strip() for name in cameras.split(",") if name.strip()] or [""]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"cameras is {cameras!r}; {name} is given twice")
        check_camera(name)
    return names


def check_camera(name: str) -> None:
    """See that a camera's name can be that of topics; empty is one, too.

    Raises:
        ConfigError: it cannot.
    """
    if name and not _NAME.fullmatch(name):
        raise ConfigError(
            f"a camera is named {name!r}, which is no name for a topic: letters, digits, _"
        )


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")


class Inputs:
    """The localizer's subscriptions.

    Attributes:
        config: parameters of the node; live ones may be replaced.
        foreign_tf_ns: when a transform came that only this node may publish.

    Args:
        node: that listens.
        config: parameters of the node.
        base_frame: of the vehicle.
        live: takes what arrives.
        wake: called when something has arrived.
        is_foreign: whether a transform is one that only this node may publish.
    """

    def __init__(
        self,
        node: Node,
        config: LocalizerConfig,
        base_frame: str,
        live: Live,
        wake: Callable[[], None],
        is_foreign: Callable[[Any], bool],
    ) -> None:
        self._node, self.config, self._live, self._wake = node, config, live, wake
        self._base_frame = base_frame
        self._is_foreign = is_foreign
        self._group = MutuallyExclusiveCallbackGroup()
        self.foreign_tf_ns: int | None = None
        self._subscriptions: list[Any] = []
        try:
            self._listen()
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        config, live = self.config, self._live
        for camera in camera_names(config.cameras):
            self._camera(camera)
        self._subscribe(TFMessage, "/tf_static", live.transforms, _LATCHED)
        if config.odometry_source == "topic":
            self._subscribe(Odometry, "odom", self._odometry, sensor_data(100))
        if config.odometry_source == "tf" or config.publish_tf:
            self._subscribe(TFMessage, "/tf", self._transforms, sensor_data(100))
        if config.use_height:
            self._subscribe(Range, "height", self._height, sensor_data(20))
        self._subscribe(PoseWithCovarianceStamped, "initialpose", self._initial_pose, 1)
        if interfaces.geoloc_msgs is not None:
            self._subscribe(interfaces.geoloc_msgs.GeoPrior, "prior", self._prior, 10)
            if live.hears_scenes:
                kind = interfaces.geoloc_msgs.SceneDescription
                self._subscribe(kind, "scene", self._scene, 10)

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _camera(self, camera: str) -> None:
        self._live.cameras.expect(camera)
        topic, kind = image_topic(camera, self.config.image_transport)
        info = f"{camera}/camera_info" if camera else "camera_info"

        def on_image(message: Any) -> None:  # noqa: ANN401
            self._live.image(camera, message, self._now_ns())

        def on_info(message: CameraInfo) -> None:
            self._live.camera_info(camera, message)

        self._subscribe(kind, topic, on_image, sensor_data(5))
        self._subscribe(CameraInfo, info, on_info, sensor_data(5))

    def _subscribe(
        self, kind: type, topic: str, take: Callable[[Any], None], qos: QoSProfile | int
    ) -> None:
        def callback(message: Any) -> None:  # noqa: ANN401
            try:
                take(message)
            except GeolocError as error:
                self._node.get_logger().warning(f"{topic}: {error}", throttle_duration_sec=5.0)
            self._wake()

        self._subscriptions.append(
            self._node.create_subscription(
                kind,
                topic,
                callback,
                qos,
                callback_group=self._group,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        )

    def _now_ns(self) -> int:
        now: int = self._node.get_clock().now().nanoseconds
        return now

    def _odometry(self, message: Odometry) -> None:
        self._live.odometry(message, self._now_ns())

    def _height(self, message: Range) -> None:
        self._live.height(message, self._now_ns())

    def _transforms(self, message: TFMessage) -> None:
        ends = (self.config.odom_frame, self._base_frame)
        for item in message.transforms:
            if (item.header.frame_id.lstrip("/"), item.child_frame_id.lstrip("/")) == ends:
                if self.config.odometry_source == "tf":
                    self._live.odometry_transform(item, self._now_ns())
            elif self._is_foreign(item):
                self.foreign_tf_ns = self._now_ns()

    def _initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        now_ns = self._now_ns()
        stamp_ns = messages.stamp_ns(message, now_ns)
        if is_ahead(self.config, stamp_ns, now_ns):
            stamp_ns = now_ns  # an operator speaks of now, whatever the clock of his screen
        found = conversions.initial_pose(message, self.config.map_frame)
        self._live.initial_pose(stamp_ns, *found)

    def _prior(self, message: Any) -> None:  # noqa: ANN401
        now_ns = self._now_ns()
        stamp_ns = messages.stamp_ns(message, now_ns)
        check_prior(self.config, stamp_ns, now_ns)
        self._live.prior(interfaces.prior_of(message, stamp_ns, self._live.plane))

    def _scene(self, message: Any) -> None:  # noqa: ANN401
        if message.outcome == Outcome.OK.value:
            self._live.scene(interfaces.scene_of(message))
