#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Installs ROS 2 ($ROS_DISTRO) and what the nodes use of it, as root, on Ubuntu.
# Arguments: further ROS packages, without the prefix ros-DISTRO-.
set -euo pipefail

# the package that brings the keys and the address of packages.ros.org
readonly SOURCE_VERSION=1.2.0
declare -rA SOURCE_SHA256=(
  [jammy]=767884cf4ed03116b9d64438930a832ed854147ae435279a7924dfdf60f94433
  [noble]=0804d9b13db770eb87019be414cd78378835228ad5fa801fc88758596dd8f7e5
)
readonly PACKAGES=(
  ros-base
  bondpy
  geographic-msgs
  nav2-msgs
  rmw-cyclonedds-cpp
  rosbag2-storage-mcap
)

add_source() {
  local codename deb url
  # shellcheck source=/dev/null
  codename="$(source "${OS_RELEASE:-/etc/os-release}" && echo "$VERSION_CODENAME")"
  if [[ -z ${SOURCE_SHA256[$codename]:-} ]]; then
    echo "install_ros.sh: no ROS 2 packages for '$codename'; known: ${!SOURCE_SHA256[*]}" >&2
    return 1
  fi
  deb="$(mktemp --suffix=.deb)"
  url=https://github.com/ros-infrastructure/ros-apt-source/releases/download
  url+="/$SOURCE_VERSION/ros2-apt-source_$SOURCE_VERSION.${codename}_all.deb"
  apt-get install -y --no-install-recommends ca-certificates curl
  curl -fsSL --retry 3 -o "$deb" "$url"
  echo "${SOURCE_SHA256[$codename]}  $deb" | sha256sum --check --strict
  dpkg -i "$deb"
  rm "$deb"
  apt-get update
}

export DEBIAN_FRONTEND=noninteractive
apt-get update
if ! apt-cache show "ros-$ROS_DISTRO-ros-base" >/dev/null 2>&1; then
  add_source
fi
names=("${PACKAGES[@]}" "$@")
apt-get install -y --no-install-recommends \
  build-essential python3-colcon-common-extensions python3-dev python3-venv \
  "${names[@]/#/ros-$ROS_DISTRO-}"
