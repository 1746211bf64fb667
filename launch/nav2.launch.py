# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The localizer under nav2's lifecycle manager, in AMCL's place; see docs/nav2.md.

ros2 launch geoloc_ros nav2.launch.py index:=DIRECTORY mode:=tf

mode tf: the localizer publishes map to odom itself. mode pose: an EKF of robot_localization does,
fed by the localizer's pose and by odometry. mode fix: the same, fed by its fix through
navsat_transform. Somebody publishes odom to base_link: the vehicle, or with local_ekf:=true an
EKF over the velocities on the odometry topic.
"""

from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction

from geoloc_ros.ros import fusing
from geoloc_ros.ros.launching import declared, flag, given, nodes
from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).absolute().parents[1] / "config"

ARGUMENTS = (
    ("mode", "tf", "who publishes map to odom, see above"),
    ("local_ekf", "false", "an EKF publishes odom to base_link; only if the vehicle does not"),
    ("ekf_params_file", "", "of the EKF of the map; empty: config/nav2_MODE.yaml"),
    ("datum", "", "mode fix: origin of the map, LATITUDE,LONGITUDE; empty: that of the index"),
    (
        "bond_timeout",
        "10.0",
        "silence, s, after which a node is dead; longer than it starts",
    ),
)
MODES = ["tf", "pose", "fix"]


def _start(context: LaunchContext) -> list[Any]:
    mode = given(context, "mode")
    file = Path(given(context, "ekf_params_file") or CONFIG / f"nav2_{mode}.yaml")
    found: list[Any] = nodes(context, autostart=False, publish_tf=mode == "tf")
    found += fusing.managers(context)
    if flag(context, "local_ekf"):
        found.append(fusing.local_ekf(context, CONFIG / "nav2_local.yaml"))
    if mode != "tf":
        found.append(fusing.when_located(context, file, fix=mode == "fix"))
    return found


def generate_launch_description() -> LaunchDescription:
    """What is started."""
    own = [
        DeclareLaunchArgument(
            name,
            default_value=default,
            description=doc,
            choices=MODES if name == "mode" else None,
        )
        for name, default, doc in ARGUMENTS
    ]
    return LaunchDescription([*own, *declared(), OpaqueFunction(function=_start)])
