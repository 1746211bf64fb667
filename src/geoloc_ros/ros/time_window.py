# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which stamps are believed: one from the future would hold up everything until it is reached."""

from __future__ import annotations

from geoloc_ros.datatypes import Reason
from geoloc_ros.errors import PriorError
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
    return Reason.BAD_STAMP if is_ahead(node, stamp_ns, now_ns) else None


def is_ahead(node: LocalizerConfig, stamp_ns: int, now_ns: int) -> bool:
    """Whether a stamp is of a future that nobody can know; arguments as of `refusal`."""
    return now_ns > 0 and 0.0 < node.max_image_lead_s < (stamp_ns - now_ns) / NS


def check_prior(node: LocalizerConfig, stamp_ns: int, now_ns: int) -> None:
    """See that a prior is not about the future; it would shut out its source until then.

    Raises:
        PriorError: it is.
    """
    if is_ahead(node, stamp_ns, now_ns):
        raise PriorError(
            f"a prior is not heard: its stamp lies {(stamp_ns - now_ns) / NS:.1f} s in the "
            f"future, at most max_image_lead_s, {node.max_image_lead_s:g} s, are believed. It is "
            "of a time before the clock went back, or its sender's use_sim_time differs"
        )
