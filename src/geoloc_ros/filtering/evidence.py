# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evidence: what the images of a drive have said for and against each mode."""

from __future__ import annotations

import numpy as np

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.filtering.particles import Modes

LOW_SIMILARITY = 0.35
SUPPORT_SIMILARITY = 0.5
LEVEL_OVER_M = 15.0
RECOVERY_RATE = 1.5
BLOCKED_OVER_M = 20.0


def unblock(
    modes: Modes, log_ratio: FloatArray, moved_m: float, outlier_share: float
) -> FloatArray:
    """Evidence of an image, given that a view once blocked stays so for a while.

    A two-state hidden Markov model per mode (seen, blocked), forward algorithm (Rabiner, A
    tutorial on hidden Markov models, 1989, section III.A); a blocked view says nothing. Without
    it a lorry that hides the view for 20 m would count as four independent images against the
    truth.

    Args:
        modes: their `blocked` is brought up to date.
        log_ratio: (M,) of the image, were the view free.
        moved_m: driving since the last image.
        outlier_share: share of blocked views in the long run.

    Returns:
        (M,) log-likelihood ratio.
    """
    stays = np.exp(-moved_m / BLOCKED_OVER_M)
    before = outlier_share + np.where(modes.born, 0.0, modes.blocked - outlier_share) * stays
    total = np.logaddexp(np.log1p(-before) + log_ratio, np.log(before))
    modes.blocked = np.clip(np.exp(np.log(before) - total), 1e-9, 1.0 - 1e-9)
    return np.asarray(total)


def record(
    modes: Modes,
    log_ratio: FloatArray,
    level: FloatArray,
    driven_m: FloatArray,
    config: FilterConfig,
) -> None:
    """Book one image for every mode.

    The image that gave birth to a mode chose it among thousands and therefore proves nothing: it
    counts for the mass, not for evidence or support. `low_m` is a one-sided cumulative sum (Page,
    Continuous inspection schemes, 1954) of driving against the images.

    Args:
        modes: brought up to date.
        log_ratio: (M,) evidence of the image.
        level: (M,) normalised similarity, wrong places 0, right ones 1.
        driven_m: (M,) driving since the last image, seen or not, as far as it counts.
        config: thresholds.
    """
    old = ~modes.born
    modes.log_mass = modes.log_mass + log_ratio
    grown = np.clip(modes.evidence + log_ratio, 0.0, 2.0 * modes.required)
    modes.evidence = np.where(old, grown, 0.0)
    against = (LOW_SIMILARITY - level) / LOW_SIMILARITY
    against = np.where(against > 0.0, against, RECOVERY_RATE * against)
    low = np.clip(modes.low_m + driven_m * against, 0.0, config.lost_after_m)
    modes.low_m = np.where(old, low, 0.0)
    along = np.minimum(driven_m, config.decorrelation_m)
    gained = np.where(level >= SUPPORT_SIMILARITY, along, 0.0)
    modes.support_m = np.where(old, modes.support_m + gained, 0.0)
    share = np.where(old, -np.expm1(-driven_m / LEVEL_OVER_M), 1.0)
    modes.level = modes.level + share * (np.clip(level, -0.5, 1.5) - modes.level)
    modes.born = np.zeros(len(modes), dtype=bool)


def unseen(modes: Modes, driven_m: float, config: FilterConfig) -> None:
    """Driving blind counts against every mode."""
    modes.low_m = np.minimum(modes.low_m + driven_m, config.lost_after_m)


def give_up(modes: Modes, config: FilterConfig) -> None:
    """Modes contradicted for too long have to prove themselves again."""
    lost = modes.low_m >= config.lost_after_m
    modes.support_m = np.where(lost, 0.0, modes.support_m)
    modes.evidence = np.where(lost, 0.0, modes.evidence)
    modes.confirmed = modes.confirmed & ~lost
