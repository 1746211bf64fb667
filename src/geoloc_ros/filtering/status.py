# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Status: what the belief entitles us to say, as a pure function with the last word as memory."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Reason, Status

STAY_SHARE = 0.8
RETURN_SHARE = 0.9
HOLD_SHARE = 0.5
TWO_MODES_SHARE = 0.15
RECOVERED_M = 2.0
TRACKING = (Status.LOCALISED, Status.DEGRADED)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status is decided from.

    Attributes:
        frames: images weighed since the last reset.
        share: posterior of the dominant mode.
        second_share: posterior of the next one.
        sigma_m: largest position sigma of the dominant mode.
        evidence: its log-likelihood ratio against anywhere else, collected after birth.
        required: how much of it the mode needs.
        support_m: driving during which images supported it.
        low_m: driving for which images have contradicted it.
        level: running mean of the normalised similarity (wrong places 0, right ones 1).
        usual_level: what right places rarely stay below.
        supported: share of its particles inside the index.
        confirmed: whether the mode has ever passed the tests of a place.
        odometry: what is wrong with the odometry lately.
    """

    frames: int
    share: float
    second_share: float
    sigma_m: float
    evidence: float
    required: float
    support_m: float
    low_m: float
    level: float
    usual_level: float
    supported: float
    confirmed: bool = False
    odometry: tuple[Reason, ...] = ()


def decide(
    facts: Facts, previous: Status, config: FilterConfig
) -> tuple[Status, tuple[Reason, ...]]:
    """The status after one frame.

    Args:
        facts: the belief in numbers.
        previous: status of the frame before.
        config: thresholds.

    Returns:
        Status and its reasons, sorted. LOCALISED is reached only through a confirmed, dominant,
        narrow mode that the images support; it is kept with hysteresis.
    """
    if facts.frames == 0:
        return Status.UNINITIALISED, (Reason.NO_FRAME_YET,)
    reasons = _doubts(facts, previous, config)
    if not reasons:
        return Status.LOCALISED, ()
    ordered = tuple(sorted(reasons))
    tracking = previous in TRACKING
    held = (
        facts.confirmed
        and facts.share >= HOLD_SHARE
        and facts.low_m < config.lost_after_m
        and facts.sigma_m <= 5.0 * config.localised_sigma_m
    )
    if tracking and held:
        return Status.DEGRADED, ordered
    if Reason.TWO_MODES in reasons:
        return Status.AMBIGUOUS, ordered
    if tracking or previous is Status.LOST:
        return Status.LOST, ordered
    return Status.SEARCHING, ordered


def passes(facts: Facts, config: FilterConfig) -> bool:
    """Whether the dominant mode has proved to be a place, on evidence gathered after its birth."""
    return (
        facts.share >= config.localised_share
        and facts.evidence >= facts.required
        and facts.support_m >= config.confirm_m
        and facts.level >= facts.usual_level
    )


def _doubts(facts: Facts, previous: Status, config: FilterConfig) -> set[Reason]:
    """Everything that speaks against LOCALISED."""
    localised = previous is Status.LOCALISED
    reasons = set(facts.odometry)
    if facts.low_m > (config.degraded_after_m if localised else RECOVERED_M):
        reasons.add(Reason.LOW_SIMILARITY)
    if facts.supported < 0.5:
        reasons.add(Reason.OUTSIDE_INDEX)
    if facts.sigma_m > config.localised_sigma_m * (1.0 if localised else 0.8):
        reasons.add(Reason.WIDE_SPREAD)
    if facts.second_share > TWO_MODES_SHARE:
        reasons.add(Reason.TWO_MODES)
    limit = config.localised_share
    if previous in TRACKING:
        limit = min(limit, STAY_SHARE if localised else RETURN_SHARE)
    if facts.share < limit or not facts.confirmed:
        reasons.add(Reason.UNCONFIRMED)
    return reasons
