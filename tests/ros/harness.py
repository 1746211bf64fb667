# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A made vehicle that speaks ROS, and a localizer in the same process.

The vehicle owns the time: it publishes /clock and, frame by frame, waits for what the localizer
concludes, so that a test runs as fast as the machine allows and nothing is ever dropped by chance.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import rclpy
from geoloc_msgs.msg import LocalizationStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.srv import ChangeState
from made_flight import HEIGHT_M, MOUNT, Made, Tick, camera_info, record
from nav_msgs.msg import Odometry
from rclpy.executors import (
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, NavSatFix, Range
from tf2_msgs.msg import TFMessage

from geoloc_ros.geo.rotations import quat_xyzw_from_matrix
from geoloc_ros.ros.conversions import header, quaternion, time_of
from geoloc_ros.ros.localizer import Localizer

NS = 1_000_000_000
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STATES = [
    name for name in ("UNINITIALISED", "SEARCHING", "AMBIGUOUS", "LOCALISED", "DEGRADED", "LOST")
]
FAMILY = itertools.count()


def ticks_of(made: Made, path: Path) -> list[Tick]:
    """The frames of the made flight."""
    found: list[Tick] = []
    record(made, path, lambda tick: found.append(tick) or tick)
    return found


def wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


class Spinning:
    """A node with its executor in a thread."""

    def __init__(self, node: Node, threads: int) -> None:
        self.node = node
        context = node.context
        self.executor = (
            SingleThreadedExecutor(context=context)
            if threads == 1
            else MultiThreadedExecutor(num_threads=threads, context=context)
        )
        self.executor.add_node(node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=f"spin {node.get_name()}")
        self._thread.start()

    def _spin(self) -> None:
        while not self._ended.is_set():
            self.executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5.0)
        self.executor.shutdown(timeout_sec=5.0)
        self.node.destroy_node()


class Vehicle(Node):
    """Publishes what a vehicle does, listens to what the localizer says."""

    def __init__(self, made: Made, ticks: list[Tick], context: rclpy.Context, of: str) -> None:
        super().__init__("vehicle", context=context)
        self.made, self.ticks = made, ticks
        self.now_ns = ticks[0].stamp_ns - NS
        self.truth: dict[int, np.ndarray] = {}
        self.clock_of_localizer: Callable[[], int] | None = None
        self.info_silent = False
        self.info_changes: dict[str, object] = {}
        self.statuses: list[LocalizationStatus] = []
        self.poses: list[PoseWithCovarianceStamped] = []
        self.fixes: list[NavSatFix] = []
        self.transforms: list = []
        self.clock_out = self.create_publisher(Clock, "/clock", 10)
        self.image = self.create_publisher(CompressedImage, "image/compressed", 10)
        self.info = self.create_publisher(CameraInfo, "camera_info", 10)
        self.odom = self.create_publisher(Odometry, "odom", 100)
        self.height = self.create_publisher(Range, "height", 10)
        self.tf_static = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        self.listen(LocalizationStatus, f"{of}/status", self.statuses, LATCHED)
        self.listen(PoseWithCovarianceStamped, f"{of}/pose", self.poses)
        self.listen(NavSatFix, f"{of}/fix", self.fixes)
        self.create_subscription(
            TFMessage, "/tf", lambda m: self.transforms.extend(m.transforms), 100
        )

    def listen(self, kind: type, topic: str, into: list, qos: QoSProfile | int = 100) -> None:
        self.create_subscription(kind, topic, into.append, qos)

    def is_heard(self, timeout_s: float = 10.0) -> bool:
        """Whether somebody comes to listen to camera, odometry and height."""
        outs = (self.image, self.info, self.odom, self.height)
        return wait_until(lambda: all(out.get_subscription_count() for out in outs), timeout_s)

    # -- one message each -----------------------------------------------------------------------

    def tick_clock(self, stamp_ns: int) -> None:
        """Let time be, and wait until it is: late news of it could pass for a step back."""
        leaps = abs(stamp_ns - self.now_ns) > 0.2 * NS
        self.now_ns = stamp_ns
        self.clock_out.publish(Clock(clock=time_of(stamp_ns)))
        if self.clock_of_localizer is not None:
            assert wait_until(lambda: self.clock_of_localizer() == stamp_ns)
        elif leaps:
            time.sleep(0.5)

    def send_mount(self) -> None:
        from geometry_msgs.msg import TransformStamped

        found = TransformStamped(header=header(self.now_ns, "base_link"), child_frame_id="camera")
        x, y, z, w = quat_xyzw_from_matrix(MOUNT[:3, :3]).tolist()
        turn = found.transform.rotation
        turn.x, turn.y, turn.z, turn.w = x, y, z, w
        self.tf_static.publish(TFMessage(transforms=[found]))

    def send_info(self, stamp_ns: int) -> None:
        data = camera_info(**self.info_changes)
        message = CameraInfo(header=header(stamp_ns, data.frame_id))
        message.width, message.height = data.width, data.height
        message.distortion_model = data.distortion_model
        message.d = data.D.tolist()
        message.k, message.p, message.r = data.K.ravel(), data.P.ravel(), data.R.ravel()
        self.info.publish(message)

    def send_odom(self, stamp_ns: int, pose: np.ndarray) -> None:
        message = Odometry(header=header(stamp_ns, "odom"), child_frame_id="base_link")
        message.pose.pose.position.x, message.pose.pose.position.y = float(pose[0]), float(pose[1])
        message.pose.pose.orientation = quaternion(float(pose[2]))
        message.twist.twist.linear.x = 15.0
        self.odom.publish(message)

    def send_height(self, stamp_ns: int, height_m: float = HEIGHT_M) -> None:
        self.height.publish(Range(header=header(stamp_ns, "base_link"), range=height_m))

    def send_image(self, stamp_ns: int, jpeg: bytes) -> None:
        message = CompressedImage(header=header(stamp_ns, "camera"), format="jpeg")
        message.data = jpeg
        self.image.publish(message)

    # -- driving --------------------------------------------------------------------------------

    def frame(self, tick: Tick, shift_ns: int = 0) -> None:
        """Publish everything of one frame."""
        stamp = tick.stamp_ns + shift_ns
        self.truth[stamp] = self.made.poses[tick.number]
        self.tick_clock(stamp)
        if not self.info_silent:
            self.send_info(stamp)
        if tick.odometry is not None:
            self.send_odom(stamp, tick.odometry)
        if tick.height_m is not None:
            self.send_height(stamp, tick.height_m)
        self.send_image(stamp, tick.jpeg)

    def drive(
        self,
        numbers: Iterable[int],
        shift_ns: int = 0,
        answered: bool = True,
        pause_s: float = 0.0,
    ) -> list[LocalizationStatus]:
        """Frame after frame, each when the one before has been answered.

        Returns:
            The status after each frame.
        """
        found = []
        for number in numbers:
            tick = self.ticks[number]
            stamp = time_of(tick.stamp_ns + shift_ns)
            self.frame(tick, shift_ns)
            time.sleep(pause_s)
            if not answered:
                continue
            arrived = wait_until(lambda s=stamp: self.status_of(s) is not None)
            assert arrived, f"frame {number} was not answered; last: {self.last()}"
            found.append(self.status_of(stamp))
        return found

    def let_time_pass(self, seconds: float, rate_hz: float = 50.0) -> None:
        """The clock goes on at its usual pace, and nothing else happens."""
        for _ in range(int(seconds * rate_hz)):
            self.tick_clock(self.now_ns + int(NS / rate_hz))
            time.sleep(1.0 / rate_hz)

    def status_of(self, stamp: object) -> LocalizationStatus | None:
        """What was said of a frame; before the first one the time itself is the stamp."""
        said = (s for s in reversed(self.statuses) if s.header.stamp == stamp and s.frames_used)
        return next(said, None)

    def last(self) -> str:
        """The latest status in words."""
        return words(self.statuses[-1]) if self.statuses else "nothing"


def words(status: LocalizationStatus) -> str:
    """State and reasons."""
    return " ".join([STATES[status.state], *status.reasons])


class Stage:
    """A localizer, a vehicle, and the transitions of the one.

    Attributes:
        localizer: the node under test.
        vehicle: the other.
    """

    def __init__(self, made: Made, folder: Path, **parameters: object) -> None:
        self.made, self.folder = made, folder
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.name = f"localizer_{next(FAMILY)}"
        settings = {
            "index": str(made.index),
            "model": str(made.model),
            "image_transport": "compressed",
            "use_height": True,
            "use_sim_time": True,
            "saved_pose_file": str(folder / "saved.json"),
            "diagnostics_every_s": 0.2,
            **parameters,
        }
        self.localizer = Localizer(
            context=self.context,
            parameter_overrides=[Parameter(k, value=v) for k, v in settings.items()],
            cli_args=["--ros-args", "-r", f"__node:={self.name}"],
        )
        ticks = ticks_of(made, folder / "recorded")
        self.vehicle = Vehicle(made, ticks, self.context, f"/{self.name}")
        clock = self.localizer.get_clock()
        self.vehicle.clock_of_localizer = lambda: clock.now().nanoseconds
        self._spinning = [Spinning(self.localizer, 3), Spinning(self.vehicle, 1)]
        self.clients = {}

    def call(self, kind: type, name: str, request: object, timeout_s: float = 30.0):
        """Call a service of the localizer."""
        if name not in self.clients:
            self.clients[name] = self.vehicle.create_client(kind, f"/{self.name}/{name}")
        client = self.clients[name]
        assert client.wait_for_service(10.0), f"no service {name}"
        future = client.call_async(request)
        assert wait_until(future.done, timeout_s), f"{name} did not answer"
        return future.result()

    def change(self, transition: str) -> bool:
        """Ask for a lifecycle transition; answers whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = transition
        return self.call(ChangeState, "change_state", request, 60.0).success

    def up(self) -> None:
        """Configure and activate, and wait until the two have met."""
        assert self.change("configure")
        assert self.change("activate")
        self.meet()

    def set_parameter(self, name: str, value: object) -> bool:
        """Set one parameter of the localizer."""
        return self.localizer.set_parameters([Parameter(name, value=value)])[0].successful

    def wait_for_subscribers(self) -> None:
        """Wait until publishers and subscribers know each other."""
        assert self.vehicle.is_heard()
        self.vehicle.tick_clock(self.vehicle.now_ns)

    def up_without_images(self) -> None:
        """Configure and activate for a test that sends images of its own."""
        assert self.change("configure")
        assert self.change("activate")
        vehicle = self.vehicle
        outs = (vehicle.info, vehicle.odom, vehicle.height)
        assert wait_until(lambda: all(out.get_subscription_count() for out in outs))
        vehicle.tick_clock(vehicle.now_ns)

    def meet(self) -> None:
        """Wait until the two know each other; make the camera known."""
        self.wait_for_subscribers()
        self.vehicle.send_mount()

    def close(self) -> None:
        self.localizer.close()
        for spinning in self._spinning:
            spinning.close()
        rclpy.try_shutdown(context=self.context)
