# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files have in common: their arguments and the nodes they start."""

from __future__ import annotations

from typing import Any

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

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


def flag(context: LaunchContext, name: str) -> bool:
    """Value of an argument that is true or false."""
    return given(context, name).lower() in ("true", "1", "yes", "on")


def node_names(context: LaunchContext) -> list[str]:
    """Names of the nodes that `nodes` starts."""
    return ["geoloc_localizer", "geoloc_vlm"] if flag(context, "use_vlm") else ["geoloc_localizer"]


def nodes(context: LaunchContext, **forced: bool) -> list[LifecycleNode]:
    """The localizer, and the vision-language node if it is wanted.

    Args:
        context: with the arguments.
        forced: `autostart` or `publish_tf`, whatever the arguments say.
    """
    parameters: dict[str, Any] = {name: given(context, name) for name in _OF_LOCALIZER}
    parameters = {name: value for name, value in parameters.items() if value}
    if given(context, "publish_tf"):
        parameters["publish_tf"] = flag(context, "publish_tf")
    if "publish_tf" in forced:
        parameters["publish_tf"] = forced["publish_tf"]
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
        ("scene", "geoloc_vlm/scene"),
    ]
    autostart = forced.get("autostart", flag(context, "autostart"))
    found = [_node(context, "geoloc_localizer", parameters, remappings, autostart)]
    if "geoloc_vlm" in node_names(context):
        transport = {k: v for k, v in parameters.items() if k == "image_transport"}
        found.append(_node(context, "geoloc_vlm", transport, remappings[:3], autostart))
    return found


def _node(
    context: LaunchContext,
    name: str,
    parameters: dict[str, Any],
    remappings: list[tuple[str, str]],
    autostart: bool,
) -> LifecycleNode:
    file = given(context, "params_file")
    sources: list[Any] = [file] if file else []
    texts = {k: ParameterValue(v, value_type=type(v)) for k, v in parameters.items()}
    flags = {"use_sim_time": flag(context, "use_sim_time"), "autostart": autostart}
    return LifecycleNode(
        package="geoloc_ros",
        executable=name,
        name=name,
        namespace=given(context, "namespace"),
        parameters=[*sources, {**texts, **flags}],
        remappings=remappings,
        respawn=flag(context, "use_respawn"),
        respawn_delay=2.0,
        output="screen",
        emulate_tty=True,
        # the enclave counts only where SROS2 is enabled
        arguments=[
            *("--ros-args", "--enclave", f"/{name}"),
            *("--log-level", given(context, "log_level")),
        ],
    )
