# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The made vehicle at the pace of a clock, with the odometry, transforms and delays of one.

Filters that predict by the clock need one that runs; nothing here waits for an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from harness import NS, Vehicle
from made_flight import HEIGHT_M, START_NS, STEP_M, STEP_NS
from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from geoloc_ros.geo import se2
from geoloc_ros.geo.rotations import yaw_from_quat_xyzw
from geoloc_ros.ros.conversions import header, quaternion

RADIUS_M, SPEED = 65.0, STEP_M * NS / STEP_NS
#: its odometry reads 2 % too far and turns 0.3 degrees per second too much
SCALE, BIAS_RAD_S = 1.02, 0.005
STEP_OF_CLOCK_NS = 20_000_000
#: times real time
RATE = 2.0


def odometry(stamp_ns: int) -> np.ndarray:
    """Where its odometry believes it is, (3,) in the odom frame."""
    since_s, turn = (stamp_ns - START_NS) / NS, SPEED / RADIUS_M + BIAS_RAD_S
    radius, angle = SCALE * SPEED / turn, turn * since_s
    return np.array([radius * np.sin(angle), radius * (1.0 - np.cos(angle)), angle])


def stamp_ns(message: object) -> int:
    stamp = message.header.stamp
    return stamp.sec * NS + stamp.nanosec


@dataclass
class Errors:
    """Distances from the truth, m, at some stamps: of poses, and of odometry from the first on."""

    stamps: np.ndarray
    poses: np.ndarray
    reckoned: np.ndarray

    def __str__(self) -> str:
        def words(found: np.ndarray) -> str:
            return f"median {np.median(found):.2f} m, worst {found.max():.2f} m"

        return f"{len(self.poses)} poses: {words(self.poses)}; reckoned: {words(self.reckoned)}"


class LiveVehicle(Vehicle):
    """A vehicle that drives on, whoever listens.

    Attributes:
        fused: what an EKF of the map says.
        found: what the localizer says when it holds a place anew.
        carried: from which stamp on the vehicle is how much further back on its way.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.fused: list[Odometry] = []
        self.found: list[PoseWithCovarianceStamped] = []
        self.carried: list[tuple[int, int]] = [(0, 0)]
        self.listen(Odometry, "/odometry/map", self.fused)
        self.listen(PoseWithCovarianceStamped, "/geoloc_localizer/relocalised", self.found)
        self.tf = self.create_publisher(TFMessage, "/tf", 100)
        self._due: list[tuple[int, int, bytes]] = []

    def go(
        self,
        numbers: range,
        late_s: float = 0.0,
        publish_tf: bool = True,
        until: Callable[[], object] = lambda: False,
    ) -> range:
        """Frame after frame at twice real time; images arrive after they were taken.

        Where this process is held up, time is, too: hurrying after it would flood the others.

        Returns:
            Frames that are left when `until` comes true before one.
        """
        due = time.monotonic()
        for number in numbers:
            if until():
                return range(number, numbers.stop)
            frame_ns = self.ticks[number].stamp_ns + self.carried[-1][1]
            self._due.append((frame_ns + int(late_s * NS), frame_ns, self.ticks[number].jpeg))
            for now_ns in range(frame_ns, frame_ns + STEP_NS, STEP_OF_CLOCK_NS):
                due = max(due + STEP_OF_CLOCK_NS / NS / RATE, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
                self._step(now_ns, publish_tf, takes=now_ns == frame_ns)
        return range(0)

    def carry_back(self) -> None:
        """The vehicle is lifted to where it began; its odometry does not notice."""
        next_ns = self.now_ns + STEP_OF_CLOCK_NS
        self.carried.append((next_ns, next_ns - START_NS))

    def truth_at(self, stamp: int) -> np.ndarray:
        """Where the vehicle is, (3,) on the map."""
        behind_ns = next(back for since, back in reversed(self.carried) if stamp >= since)
        angle = (stamp - behind_ns - START_NS) / NS * SPEED / RADIUS_M
        place = RADIUS_M * np.cos(angle), RADIUS_M * np.sin(angle)
        return np.array([*place, se2.wrap_angle(angle + np.pi / 2)])

    def errors(self, messages: list) -> Errors:
        """How far off poses are that have a covariance, and odometry from the first of them."""
        said = [(stamp_ns(m), m.pose.pose.position) for m in list(messages)]
        stamps = np.array([stamp for stamp, _ in said])
        places = np.array([(place.x, place.y) for _, place in said])
        return self._errors(stamps, places)

    def errors_of_transforms(self) -> Errors:
        """The same for base_link on the map, as somebody who looks at /tf would have it."""
        said = [t for t in list(self.transforms) if t.header.frame_id == "map"]
        stamps = np.array([stamp_ns(t) for t in said])
        places = [se2.compose(planar(t), odometry(s))[:2] for t, s in zip(said, stamps, strict=1)]
        return self._errors(stamps, np.array(places))

    def apart(self, messages: list) -> np.ndarray:
        """Distances, m, of poses of an EKF from the localizer's, at the stamps of the latter."""
        fused, own = (
            np.array([(stamp_ns(m), m.pose.pose.position.x, m.pose.pose.position.y) for m in said])
            for said in (list(messages), list(self.poses))
        )
        own = own[(own[:, 0] > fused[0, 0] + NS) & (own[:, 0] < fused[-1, 0])]
        there = [np.interp(own[:, 0], fused[:, 0], fused[:, axis]) for axis in (1, 2)]
        return np.hypot(*(np.array(there) - own[:, 1:].T))

    def _errors(self, stamps: np.ndarray, places: np.ndarray) -> Errors:
        true = np.array([self.truth_at(stamp) for stamp in stamps])
        start = se2.compose(true[0], se2.inverse(odometry(stamps[0])))
        reckoned = np.array([se2.compose(start, odometry(stamp)) for stamp in stamps])
        return Errors(
            stamps,
            np.hypot(*(places - true[:, :2]).T),
            np.hypot(*(reckoned - true)[:, :2].T),
        )

    def _step(self, now_ns: int, publish_tf: bool, takes: bool) -> None:
        """What is published at one step of the clock; at some of them an image is taken."""
        self.tick_clock(now_ns)
        self._move(now_ns, publish_tf)
        if takes:
            self.send_info(now_ns)
            self.send_height(now_ns, HEIGHT_M)
        while self._due and self._due[0][0] <= now_ns:
            _, taken_ns, jpeg = self._due.pop(0)
            self.send_image(taken_ns, jpeg)

    def _move(self, now_ns: int, publish_tf: bool) -> None:
        pose = odometry(now_ns)
        message = Odometry(header=header(now_ns, "odom"), child_frame_id="base_link")
        message.pose.pose.position.x, message.pose.pose.position.y = pose[:2].tolist()
        message.pose.pose.orientation = quaternion(float(pose[2]))
        message.twist.twist.linear.x = SCALE * SPEED
        message.twist.twist.angular.z = SPEED / RADIUS_M + BIAS_RAD_S
        message.twist.covariance = np.diag([0.2, 0.02, 1.0, 1.0, 1.0, 3e-4]).ravel()
        message.pose.covariance = np.diag([1.0, 1.0, 1.0, 1.0, 1.0, 0.1]).ravel()
        self.odom.publish(message)
        if publish_tf:
            found = TransformStamped(header=message.header, child_frame_id="base_link")
            found.transform.translation.x, found.transform.translation.y = pose[:2].tolist()
            found.transform.rotation = message.pose.pose.orientation
            self.tf.publish(TFMessage(transforms=[found]))


def planar(transform: TransformStamped) -> np.ndarray:
    """(3,) of a transform."""
    place, turn = transform.transform.translation, transform.transform.rotation
    return np.array([place.x, place.y, yaw_from_quat_xyzw([turn.x, turn.y, turn.z, turn.w])])
