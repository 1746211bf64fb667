# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files have in common: their arguments, and lifecycle nodes that start up."""

from __future__ import annotations

from typing import Any

from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from launch import LaunchContext

#: name, default, what it means; the first seven as in nav2's bringup
COMMON = (
    ("namespace", "", "namespace of the nodes"),
    ("params_file", "", "YAML file with ros__parameters; empty: defaults"),
    ("use_sim_time", "false", "take time from /clock, as a played recording needs"),
    ("autostart", "true", "configure and activate the nodes; false: something else does"),
    ("use_respawn", "false", "start a node again when its process has died"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("use_vlm", "false", "start the vision-language node, too"),
    ("index", "", "directory of the index; empty: as params_file says"),
    ("model", "", "model package; empty: the one the index was built with"),
    ("image_transport", "", "raw or compressed; empty: as params_file says"),
    ("odometry_source", "", "topic, tf or images; empty: as params_file says"),
    ("publish_tf", "", "publish map to odom; empty: as params_file says"),
    ("image", "image", "image topic of the camera, without /compressed"),
    ("camera_info", "camera_info", "CameraInfo topic of the camera"),
    ("odom", "odom", "odometry topic"),
    ("height", "height", "topic of the height above ground; when set, heights are expected"),
)
_OF_LOCALIZER = ("index", "model", "image_transport", "odometry_source")


def declared(**defaults: str) -> list[DeclareLaunchArgument]:
    """The common arguments, some with other defaults."""
    return [
        DeclareLaunchArgument(name, default_value=defaults.get(name, default), description=doc)
        for name, default, doc in COMMON
    ]


def given(context: LaunchContext, name: str) -> str:
    """Value of an argument."""
    return str(LaunchConfiguration(name).perform(context))


def nodes(context: LaunchContext) -> list[Any]:
    """The localizer, and the vision-language node if it is wanted."""
    parameters: dict[str, Any] = {name: given(context, name) for name in _OF_LOCALIZER}
    parameters = {name: value for name, value in parameters.items() if value}
    if given(context, "publish_tf"):
        parameters["publish_tf"] = _flag(context, "publish_tf")
    if given(context, "height") != "height":
        parameters["use_height"] = True
    image = given(context, "image")
    remappings = [
        ("image", image),
        ("image/compressed", f"{image}/compressed"),
        ("camera_info", given(context, "camera_info")),
        ("odom", given(context, "odom")),
        ("height", given(context, "height")),
        ("prior", "geoloc_vlm/prior"),
    ]
    found = _node(context, "geoloc_localizer", parameters, remappings)
    if _flag(context, "use_vlm"):
        transport = {"image_transport": parameters.get("image_transport", "raw")}
        found += _node(context, "geoloc_vlm", transport, remappings[:3])
    return found


def _flag(context: LaunchContext, name: str) -> bool:
    return given(context, name).lower() in ("true", "1", "yes", "on")


def _node(
    context: LaunchContext,
    name: str,
    parameters: dict[str, Any],
    remappings: list[tuple[str, str]],
) -> list[Any]:
    """A lifecycle node and what takes it to active, at every start of its process."""
    file = given(context, "params_file")
    sources: list[Any] = [file] if file else []
    texts = {k: ParameterValue(v, value_type=type(v)) for k, v in parameters.items()}
    sources.append({**texts, "use_sim_time": _flag(context, "use_sim_time")})
    node = LifecycleNode(
        package="geoloc_ros",
        executable=name,
        name=name,
        namespace=given(context, "namespace"),
        parameters=sources,
        remappings=remappings,
        respawn=_flag(context, "use_respawn"),
        respawn_delay=2.0,
        output="screen",
        emulate_tty=True,
        arguments=["--ros-args", "--log-level", given(context, "log_level")],
    )
    wanted = IfCondition(LaunchConfiguration("autostart"))
    configure = RegisterEventHandler(
        OnProcessStart(
            target_action=node,
            on_start=[_transition(node, Transition.TRANSITION_CONFIGURE)],
        ),
        condition=wanted,
    )
    activate = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[_transition(node, Transition.TRANSITION_ACTIVATE)],
        ),
        condition=wanted,
    )
    return [configure, activate, node]


def _transition(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(
        event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    )
