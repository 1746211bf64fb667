# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Re-ranking of candidates by what a vision-language model says of place and scene."""
