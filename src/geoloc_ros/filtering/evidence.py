# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evidence: what the images of a drive have said for and against each mode."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.compiled import compiled
from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.filtering.particles import Modes

LOW_SIMILARITY = 0.35
SUPPORT_SIMILARITY = 0.5
LEVEL_OVER_M = 15.0
RECOVERY_RATE = 1.5
BLOCKED_OVER_M = 20.0


def record(
    modes: Modes,
    log_ratio: FloatArray,
    most: FloatArray,
    level: FloatArray,
    driven_m: FloatArray,
    moved_m: float,
    config: FilterConfig,
) -> None:
    """Book one image for every mode.

    A view once blocked stays so for a while: a two-state hidden Markov model per mode (seen,
    blocked), forward algorithm (Rabiner, A tutorial on hidden Markov models, 1989, section
    III.A); a blocked view says nothing. Without it a lorry that hides the view for 20 m would
    count as four independent images against the truth.

    The image that gave birth to a mode chose it among thousands and therefore proves nothing: it
    counts for the mass, not for evidence or support. `low_m` is a one-sided cumulative sum (Page,
    Continuous inspection schemes, 1954) of driving against the images.

    Args:
        modes: brought up to date.
        log_ratio: (M,) evidence of the image, were the view free.
        most: (M,) evidence that one image may give.
        level: (M,) normalised similarity, wrong places 0, right ones 1.
        driven_m: (M,) driving since the last image, seen or not, as far as it counts.
        moved_m: driving since the last image that was seen.
        config: thresholds.
    """
    _book(
        log_ratio,
        most,
        level,
        driven_m,
        float(np.exp(-moved_m / BLOCKED_OVER_M)),
        config.outlier_share,
        config.decorrelation_m,
        config.lost_after_m,
        modes.required,
        (modes.log_mass, modes.evidence, modes.support_m, modes.low_m, modes.level),
        modes.blocked,
        modes.born,
    )


@compiled
def _book(
    log_ratio: FloatArray,
    most: FloatArray,
    level: FloatArray,
    driven_m: FloatArray,
    stays: float,
    outlier: float,
    decorrelation_m: float,
    lost_after_m: float,
    required: FloatArray,
    sums: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
    blocked: FloatArray,
    born: Mask,
) -> None:
    """`record` on the arrays of the modes, (M,) each."""
    log_mass, evidence, support_m, low_m, usual = sums
    for mode in range(len(log_ratio)):
        before = outlier
        if not born[mode]:
            before += (blocked[mode] - outlier) * stays
        free, hidden = math.log1p(-before) + log_ratio[mode], math.log(before)
        total = max(free, hidden) + math.log1p(math.exp(-abs(free - hidden)))
        blocked[mode] = min(max(math.exp(hidden - total), 1e-9), 1.0 - 1e-9)
        image = min(total, most[mode])
        log_mass[mode] += image
        clipped = min(max(level[mode], -0.5), 1.5)
        if born[mode]:
            born[mode] = False
            evidence[mode] = low_m[mode] = support_m[mode] = 0.0
            usual[mode] = clipped
            continue
        driven = driven_m[mode]
        grown = evidence[mode] + image
        evidence[mode] = min(max(grown, 0.0), 2.0 * required[mode])
        against = (LOW_SIMILARITY - level[mode]) / LOW_SIMILARITY
        against *= 1.0 if against > 0.0 else RECOVERY_RATE
        low_m[mode] = min(max(low_m[mode] + driven * against, 0.0), lost_after_m)
        if level[mode] >= SUPPORT_SIMILARITY:
            support_m[mode] += min(driven, decorrelation_m)
        usual[mode] -= math.expm1(-driven / LEVEL_OVER_M) * (clipped - usual[mode])


def unseen(modes: Modes, driven_m: float, config: FilterConfig) -> None:
    """Driving blind counts against every mode."""
    modes.low_m = np.minimum(modes.low_m + driven_m, config.lost_after_m)


def give_up(modes: Modes, config: FilterConfig) -> None:
    """Modes contradicted for too long have to prove themselves again."""
    lost = modes.low_m >= config.lost_after_m
    modes.support_m[lost] = 0.0
    modes.evidence[lost] = 0.0
    modes.confirmed[lost] = False
