# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What nav2.launch.py starts beside our nodes: nav2's lifecycle manager, robot_localization.

An EKF publishes map to odom from its first measurement on, wherever that leaves the vehicle. So
the one of the map is started when the first pose has come, at that pose: before, as with AMCL,
there is no map frame.

'ros2 launch' runs in ROS's own Python, which need not have the libraries of this package: nothing
that needs them is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from geometry_msgs.msg import PoseWithCovarianceStamped
from launch.actions import LogInfo
from launch.events import IncludeLaunchDescription
from launch_ros.actions import Node
from launch_ros.ros_adapters import get_ros_node
from tf2_msgs.msg import TFMessage

from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.rotations import yaw_from_quat_xyzw
from geoloc_ros.ros.launching import flag, given, node_names
from launch import Action, LaunchContext, LaunchDescription

_STATES = (
    *("x", "y", "z", "roll", "pitch", "yaw"),
    *("vx", "vy", "vz", "vroll", "vpitch", "vyaw"),
    *("ax", "ay", "az"),
)


class WhenHeard(Action):
    """Starts something at the first message that is a reason to.

    Args:
        kind: of the messages.
        topic: where they come from, under the launch file's namespace unless it begins with '/'.
        make: answers what to start, given a message; nothing: the next one is waited for.
    """

    def __init__(self, kind: type, topic: str, make: Callable[[Any], list[Action]]) -> None:
        super().__init__()
        self._kind, self._topic, self._make = kind, topic, make
        self._subscription: Any = None

    def execute(self, context: LaunchContext) -> None:
        """Listen."""
        node, loop = get_ros_node(context), context.asyncio_loop
        namespace = given(context, "namespace").strip("/")
        topic = self._topic if self._topic[0] == "/" else f"/{namespace}/{self._topic}"

        def take(message: object) -> None:
            loop.call_soon_threadsafe(start, message)

        def start(message: object) -> None:
            if self._subscription is None:
                return
            found = self._make(message)
            if found:
                subscription, self._subscription = self._subscription, None
                node.destroy_subscription(subscription)
                context.emit_event_sync(IncludeLaunchDescription(LaunchDescription(found)))

        topic = topic.replace("//", "/")
        self._subscription = node.create_subscription(self._kind, topic, take, 10)


def when_located(context: LaunchContext, file: Path, fix: bool) -> WhenHeard:
    """Starts the EKF of the map at the first pose; then, if fixes are fused, navsat_transform.

    Without a transform from map to base_link navsat_transform takes every fix for one at the map's
    origin (robot_localization 3.8.3), which the EKF would believe; with one it never does.
    """

    def is_placed(message: TFMessage) -> list[Action]:
        pairs = {(t.header.frame_id, t.child_frame_id) for t in message.transforms}
        return [navsat_transform(context, file)] if ("map", "odom") in pairs else []

    def found(pose: PoseWithCovarianceStamped) -> list[Action]:
        said = LogInfo(msg="the vehicle is located: the EKF of the map is started")
        then = [WhenHeard(TFMessage, "/tf", is_placed)] if fix else []
        return [said, *then, map_ekf(context, file, pose)]

    return WhenHeard(PoseWithCovarianceStamped, "geoloc_localizer/pose", found)


def managers(context: LaunchContext) -> list[Node]:
    """nav2's lifecycle managers, one for each node of `launching.nodes`.

    A manager takes all of its nodes down when one fails, and the localizer shall not go down with
    the vision-language node.
    """
    own = {
        "autostart": flag(context, "autostart"),
        "bond_timeout": float(given(context, "bond_timeout")),
        "attempt_respawn_reconnection": flag(context, "use_respawn"),
        "bond_respawn_max_duration": 60.0,  # a node imports its libraries before it can be asked
    }
    kind = ("nav2_lifecycle_manager", "lifecycle_manager")
    return [
        _node(context, *kind, {**own, "node_names": [name]}, [], f"manager_of_{name}")
        for name in node_names(context)
    ]


def local_ekf(context: LaunchContext, file: Path) -> Node:
    """An EKF that makes odom to base_link of velocities, for a vehicle without one."""
    remappings = [("odom", given(context, "odom")), ("odometry/filtered", "odometry/local")]
    return _node(context, "robot_localization", "ekf_node", {}, remappings, "ekf_local", file)


def map_ekf(context: LaunchContext, file: Path, pose: PoseWithCovarianceStamped) -> Node:
    """The EKF that makes map to odom, at a pose."""
    place, turn = pose.pose.pose.position, pose.pose.pose.orientation
    yaw_rad = yaw_from_quat_xyzw([turn.x, turn.y, turn.z, turn.w])
    state = {"x": place.x, "y": place.y, "yaw": yaw_rad}
    own = {"initial_state": [state.get(name, 0.0) for name in _STATES]}
    remappings = [
        ("odom", given(context, "odom")),
        ("odometry/filtered", "odometry/map"),
        ("set_pose", "geoloc_localizer/relocalised"),
    ]
    return _node(context, "robot_localization", "ekf_node", own, remappings, "ekf_map", file)


def navsat_transform(context: LaunchContext, file: Path) -> Node:
    """The node that makes a position on the map of the localizer's fix."""
    own = {"wait_for_datum": True, "datum": [*map_origin(context), 0.0]}
    remappings = [("gps/fix", "geoloc_localizer/fix"), ("odometry/filtered", "odometry/map")]
    name = "navsat_transform"
    return _node(context, "robot_localization", f"{name}_node", own, remappings, name, file)


def map_origin(context: LaunchContext) -> tuple[float, float]:
    """Latitude and longitude of the map's origin, degrees: argument `datum`, or the index's.

    Raises:
        ConfigError: neither is given, or what is given says no place.
    """
    text = given(context, "datum")
    index = given(context, "index") or _index_of(given(context, "params_file"))
    if not text and not index:
        raise ConfigError(
            "mode fix must know where the map is: give index:=DIRECTORY, or datum:=LAT,LON"
        )
    try:
        if text:
            lat_deg, lon_deg = (float(part) for part in text.split(","))
        else:
            manifest = json.loads((Path(index) / "manifest.json").read_text(encoding="utf-8"))
            lat_deg, lon_deg = (float(manifest["origin"][key]) for key in ("lat_deg", "lon_deg"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"no origin of the map in {f'datum:={text}' if text else index}: {error}"
        ) from error
    return lat_deg, lon_deg


def _index_of(params_file: str) -> str:
    if not params_file:
        return ""
    content = yaml.safe_load(Path(params_file).read_text(encoding="utf-8")) or {}
    for name, entry in content.items():
        if name.endswith("geoloc_localizer") and isinstance(entry, dict):
            return str(entry.get("ros__parameters", {}).get("index", ""))
    return ""


def _node(
    context: LaunchContext,
    package: str,
    executable: str,
    parameters: dict[str, Any],
    remappings: list[tuple[str, str]],
    name: str,
    file: Path | None = None,
) -> Node:
    sim_time = {"use_sim_time": flag(context, "use_sim_time")}
    return Node(
        package=package,
        executable=executable,
        name=name,
        namespace=given(context, "namespace"),
        parameters=[*([str(file)] if file else []), {**sim_time, **parameters}],
        remappings=remappings,
        output="screen",
        arguments=["--ros-args", "--log-level", given(context, "log_level")],
    )
