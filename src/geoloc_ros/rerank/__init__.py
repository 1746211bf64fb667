# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Putting retrieved candidates into a better order: by place, by what was said."""
