#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Adds the unprivileged user geoloc, and the directory where it keeps its state.
#
# usage: add_user.sh UID STATE
set -euo pipefail

readonly uid="$1" state="$2"
# Ubuntu's images come with a user of id 1000
if taken="$(getent passwd "$uid")"; then
  userdel --remove "${taken%%:*}"
fi
# the group video may use a Jetson's devices
useradd --uid "$uid" --create-home --groups video --shell /bin/bash geoloc
install -d -o geoloc -g geoloc "$state"
