#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the package and its messages with colcon.
#
# usage: build_workspace.sh SOURCE VENV [COLCON BUILD ARGUMENTS]
# environment: ROS_SETUP, the setup.bash of ROS
set -eo pipefail

source_dir="$(realpath "$1")"
python="$(realpath --no-symlinks "$2")/bin/python"
shift 2
# shellcheck source=/dev/null
source "$ROS_SETUP"
cd "$source_dir/ros2_ws"
export COLCON_DEFAULTS_FILE="$PWD/colcon_defaults.yaml"
# executables get the interpreter that runs colcon: it must be the one that has the packages
"$python" -c 'import sys; from colcon_core.command import main; sys.exit(main())' build "$@"
