# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Belief over (x, y, yaw): motion model, measurement model, estimate, status."""
