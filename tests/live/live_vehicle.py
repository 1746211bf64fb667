# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A vehicle that speaks to a Live in plain objects."""

from types import SimpleNamespace as Message

import numpy as np
from made_flight import CAMERA, MOUNT

from geoloc_ros.config import Config
from geoloc_ros.datatypes import Status
from geoloc_ros.geo.rotations import quat_xyzw_from_matrix
from geoloc_ros.ros.live import Live
from geoloc_ros.ros.loading import Loaded
from geoloc_ros.ros.node_config import LocalizerConfig

NS = 10**9


def header(stamp_ns: int, frame_id: str) -> Message:
    return Message(stamp=Message(sec=stamp_ns // NS, nanosec=stamp_ns % NS), frame_id=frame_id)


def quaternion(x: float, y: float, z: float, w: float) -> Message:
    return Message(x=x, y=y, z=z, w=w)


class Drive:
    """A vehicle that speaks to a Live."""

    def __init__(self, loaded: Loaded, ticks: list, **node: object) -> None:
        self.ticks = ticks
        config = LocalizerConfig(use_height=True, **node)
        self.live = Live(config, Config(), loaded, loaded.index.manifest.frame)
        self.live.cameras.expect("")
        self.now_ns = ticks[0].stamp_ns
        self.concluded = []

    def mount(self, beside: Message | None = None) -> None:
        """Publish the camera's mount, and if asked another transform in the same message."""
        turns = {"camera": quaternion(*quat_xyzw_from_matrix(MOUNT[:3, :3]))}
        if beside is not None:
            turns = {"other": beside, **turns}
        zero = Message(x=0.0, y=0.0, z=0.0)
        items = [
            Message(
                header=header(0, "base_link"),
                child_frame_id=name,
                transform=Message(rotation=turn, translation=zero),
            )
            for name, turn in turns.items()
        ]
        self.live.transforms(Message(transforms=items))

    def info(self, **changes: object) -> None:
        fields = {
            "header": header(self.now_ns, "camera"),
            "width": CAMERA.width,
            "height": CAMERA.height,
            "distortion_model": "plumb_bob",
            "d": np.zeros(5),
            "k": CAMERA.K.ravel(),
            "p": np.zeros(12),
            "r": np.eye(3).ravel(),
        }
        self.live.camera_info("", Message(**(fields | changes)))

    def odometry(self, stamp_ns: int, pose: np.ndarray) -> None:
        yaw = pose[2]
        turn = quaternion(0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
        place = Message(x=pose[0], y=pose[1], z=0.0)
        twist = Message(linear=Message(x=15.0), angular=Message(z=0.2))
        self.live.odometry(
            Message(
                header=header(stamp_ns, "odom"),
                pose=Message(pose=Message(position=place, orientation=turn)),
                twist=Message(twist=twist),
            ),
            self.now_ns,
        )

    def image(self, stamp_ns: int, jpeg: bytes) -> None:
        data = np.frombuffer(jpeg, np.uint8)
        message = Message(header=header(stamp_ns, "camera"), format="jpeg", data=data)
        self.live.image("", message, self.now_ns)

    def frame(self, tick) -> None:
        self.now_ns = tick.stamp_ns
        self.odometry(tick.stamp_ns, tick.odometry)
        ranging = Message(header=header(tick.stamp_ns, "base_link"), range=tick.height_m)
        self.live.height(ranging, tick.stamp_ns)
        self.image(tick.stamp_ns, tick.jpeg)

    def work(self) -> None:
        while (found := self.live.work()) is not None:
            self.live.used_at_ns = self.now_ns
            self.concluded.append(found)

    def go(self, numbers) -> list[Status]:
        before = len(self.concluded)
        for number in numbers:
            self.frame(self.ticks[number])
            self.work()
        return [found.estimate.status for found in self.concluded[before:]]
