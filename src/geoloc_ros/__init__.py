# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Visual geo-localization against cached satellite imagery. Read `pipeline.py` first."""

__version__ = "0.1.0"
