#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command in the environment of ROS and of the workspace.
# environment: ROS_SETUP, the setup.bash of ROS; GEOLOC_SOURCE, the repository
set -eo pipefail

# shellcheck source=/dev/null
source "$ROS_SETUP"
# shellcheck source=/dev/null
source "$GEOLOC_SOURCE/ros2_ws/install/local_setup.bash"
exec "$@"
