# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The local vision-language model: what is asked, who answers, the process it lives in."""
