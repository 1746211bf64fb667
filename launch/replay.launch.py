# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A recording played into the localizer.

ros2 launch geoloc_ros replay.launch.py bag:=DIRECTORY index:=DIRECTORY

Topics default to those that 'geoloc synth make' and 'geoloc bag from-frames' write.
"""

from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch_ros.actions import Node

from geoloc_ros.ros.launching import declared, flag, given, nodes
from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).absolute().parents[1] / "config"


def _play(context: LaunchContext) -> list[Any]:
    command = ["ros2", "bag", "play", given(context, "bag"), "--clock", "100"]
    command += ["--rate", given(context, "rate"), "--delay", given(context, "delay")]
    if given(context, "loop").lower() == "true":
        command.append("--loop")
    return [ExecuteProcess(cmd=command, output="screen", name="play")]


def _rviz(context: LaunchContext) -> list[Any]:
    if not flag(context, "use_rviz"):
        return []
    image, odom = given(context, "image"), given(context, "odom")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(CONFIG / "geoloc.rviz")],
            parameters=[{"use_sim_time": True}],
            remappings=[
                ("/image", image),
                ("/image/compressed", f"{image}/compressed"),
                ("/odom", odom),
            ],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """What is started."""
    own = [
        DeclareLaunchArgument("bag", description="recording to play, a rosbag2 directory"),
        DeclareLaunchArgument("rate", default_value="1.0", description="speed of playing"),
        DeclareLaunchArgument("delay", default_value="5.0", description="wait before playing, s"),
        DeclareLaunchArgument("loop", default_value="false", description="play again and again"),
        DeclareLaunchArgument("use_rviz", default_value="false", description="start RViz"),
    ]
    common = declared(
        use_sim_time="true",
        image_transport="compressed",
        image="/camera/image",
        camera_info="/camera/camera_info",
        odom="/odom",
    )
    start = [OpaqueFunction(function=function) for function in (nodes, _play, _rviz)]
    return LaunchDescription([*own, *common, *start])
