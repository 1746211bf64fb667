# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""WGS84, the local ENU plane, rotations and SE(2): each conversion exists once."""
