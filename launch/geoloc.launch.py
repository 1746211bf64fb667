# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The localizer on a vehicle: ros2 launch geoloc_ros geoloc.launch.py index:=/data/city.index."""

from launch.actions import OpaqueFunction

from geoloc_ros.ros.launching import declared, nodes
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """What is started."""
    return LaunchDescription([*declared(), OpaqueFunction(function=nodes)])
