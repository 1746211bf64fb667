# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Putting retrieved candidates into a better order: by place, and by what was said of the scene."""
