# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the localizer publishes."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import NavSatFix
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from geoloc_ros.datatypes import PoseEstimate, Status
from geoloc_ros.filtering.status import TRACKING
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.ros import conversions, interfaces
from geoloc_ros.ros.conclusions import Conclusion
from geoloc_ros.ros.node_config import LocalizerConfig

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The localizer's publishers; they are silent while the node is not active.

    Args:
        node: that publishes.
        config: parameters of the node.
        base_frame: of the vehicle.
    """

    def __init__(self, node: LifecycleNode, config: LocalizerConfig, base_frame: str) -> None:
        self._node, self.config, self._base_frame = node, config, base_frame
        self._lock = threading.Lock()
        self._sent_tf: deque[tuple[int, int, float]] = deque(maxlen=200)
        self._sent_tf_ns = 0
        # rclpy looks after each event of each publisher whenever a message comes in. A subscriber
        # whose quality of service cannot be met is told so by events of its own.
        silent = PublisherEventCallbacks(use_default_callbacks=False)
        create = partial(node.create_lifecycle_publisher, event_callbacks=silent)
        self._pose = create(PoseWithCovarianceStamped, "~/pose", 10)
        self._relocalised = create(PoseWithCovarianceStamped, "~/relocalised", 1)
        self._fix = create(NavSatFix, "~/fix", 10)
        self._markers = create(MarkerArray, "~/candidates/markers", 1)
        self._tf = create(TFMessage, "/tf", 100) if config.publish_tf else None
        self._status = self._candidates = self._geopose = None
        if interfaces.geoloc_msgs is not None:
            self._status = create(interfaces.geoloc_msgs.LocalizationStatus, "~/status", _LATCHED)
            self._candidates = create(interfaces.geoloc_msgs.CandidateArray, "~/candidates", 1)
        if interfaces.geographic_msgs is not None:
            kind = interfaces.geographic_msgs.GeoPoseWithCovarianceStamped
            self._geopose = create(kind, "~/geopose", 10)

    def conclude(self, found: Conclusion, plane: LocalFrame) -> None:
        """Publish what a frame led to."""
        estimate = found.estimate
        if estimate.status in TRACKING:
            pose = conversions.pose_message(estimate, self.config.map_frame)
            self._pose.publish(pose)
            if found.anew:  # whoever fuses the pose must not go on from the place before
                self._relocalised.publish(pose)
            if self._geopose is not None:
                altitude_m = self.config.altitude_m
                self._geopose.publish(
                    interfaces.geopose_message(estimate, self.config.map_frame, altitude_m)
                )
        self.fix(estimate)
        if found.candidates is not None:
            self._publish_candidates(found, plane)

    def fix(self, estimate: PoseEstimate) -> None:
        """Publish the fix, or that there is none."""
        usable = estimate.status is Status.LOCALISED
        self._fix.publish(conversions.fix_message(estimate, self.config, self._base_frame, usable))

    def status(self, estimate: PoseEstimate, fix_age_s: float, counts: dict[str, int]) -> None:
        """Publish the state and its reasons."""
        if self._status is not None:
            frame = self.config.map_frame
            self._status.publish(interfaces.status_message(estimate, frame, fix_age_s, counts))

    def transform(self, T_map_odom: Any, now_ns: int) -> None:  # noqa: ANN401
        """Publish map to odom, if that is this node's business; (3,) planar.

        It holds from now on, whatever the age of the frame that told it. Nothing is published for
        a time that has been spoken about: buffers keep the first of two, and say so every time.
        """
        if self._tf is None:
            return
        with self._lock:
            if 0 <= self._sent_tf_ns - now_ns < conversions.NS:  # further back: time has jumped
                return
            self._sent_tf_ns = now_ns
            message = conversions.map_to_odom(T_map_odom, now_ns, self.config)
            self._sent_tf.append(_mark(message))
            self._tf.publish(TFMessage(transforms=[message]))

    def is_foreign(self, message: TransformStamped) -> bool:
        """Whether somebody else has published the transform that is this node's business."""
        ends = (message.header.frame_id.lstrip("/"), message.child_frame_id.lstrip("/"))
        if self._tf is None or ends != (self.config.map_frame, self.config.odom_frame):
            return False
        with self._lock:
            return _mark(message) not in self._sent_tf

    def close(self) -> None:
        """Take the publishers down."""
        for publisher in (
            self._pose,
            self._relocalised,
            self._fix,
            self._markers,
            self._tf,
            self._status,
            self._candidates,
            self._geopose,
        ):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _publish_candidates(self, found: Conclusion, plane: LocalFrame) -> None:
        assert found.candidates is not None  # noqa: S101 - the caller has asked
        stamp_ns, frame = found.estimate.stamp_ns, self.config.map_frame
        if self._markers.get_subscription_count():
            self._markers.publish(conversions.markers(found.candidates, stamp_ns, frame))
        if self._candidates is not None and self._candidates.get_subscription_count():
            self._candidates.publish(
                interfaces.candidates_message(found.candidates, stamp_ns, frame, plane)
            )


def _mark(message: TransformStamped) -> tuple[int, int, float]:
    """What tells one transform from another."""
    stamp = message.header.stamp
    return stamp.sec, stamp.nanosec, message.transform.translation.x
