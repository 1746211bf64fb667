# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which stamps are believed: one from the future would hold up everything until it is reached."""

from __future__ import annotations

from geoloc_ros.datatypes import Reason
from geoloc_ros.ros.node_config import LocalizerConfig

NS = 1_000_000_000


def refusal(node: LocalizerConfig, stamp_ns: int, now_ns: int) -> Reason | None:
    """Why a message of a stamp is not taken at a time, None if it is.

    Args:
        node: `max_image_age_s` and `max_image_lead_s` are used; 0 switches one off.
        stamp_ns: of the message.
        now_ns: 0 while simulated time has not begun; then only stamps that are none are refused.
    """
    if stamp_ns <= 0:
        return Reason.BAD_STAMP
    if now_ns == 0:
        return None
    age_s = (now_ns - stamp_ns) / NS
    if 0.0 < node.max_image_age_s < age_s:
        return Reason.STALE_FRAME
    if 0.0 < node.max_image_lead_s < -age_s:
        return Reason.BAD_STAMP
    return None
