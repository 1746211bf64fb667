# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A short name for what something was made from."""

from __future__ import annotations

import hashlib
import json


def digest(content: object) -> str:
    """The sha256 of anything that JSON can say, in one spelling."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
