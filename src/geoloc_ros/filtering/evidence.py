# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evidence: what the images of a drive have said for and against each mode."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.compiled import compiled
from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering.particles import Modes

LOW_SIMILARITY = 0.35
SUPPORT_SIMILARITY = 0.5
LEVEL_OVER_M = 15.0
RECOVERY_RATE = 1.5
BLOCKED_OVER_M = 20.0


def needed(calibration: Calibration, entries: int) -> float:
    """Evidence a strange place must collect among so many entries.

    The largest of N exponential tails grows with the logarithm of N. Below a tenth of the entries
    of the calibration no less is asked for.
    """
    more = calibration.confirm_scale * math.log(max(entries / calibration.confirm_entries, 0.1))
    return max(calibration.confirm_evidence + more, 0.0)


def record(
    modes: Modes,
    log_ratio: FloatArray,
    level: FloatArray,
    inside: FloatArray,
    seen_m: tuple[float, float],
    most: float,
    config: FilterConfig,
) -> None:
    """Book one image for every mode.

    A view once blocked stays so for a while: a two-state hidden Markov model per mode (seen,
    blocked), forward algorithm (Rabiner, A tutorial on hidden Markov models, 1989, section
    III.A); a blocked view says nothing. Without it a lorry that hides the view for 20 m would
    count as four independent images against the truth.

    The image that gave birth to a mode chose it among thousands and therefore proves nothing: it
    counts for the mass, not for evidence or support. `low_m` is a one-sided cumulative sum (Page,
    Continuous inspection schemes, 1954) of driving against the images; a known place outside the
    index is not contradicted by them. Modes contradicted for too long have to prove themselves
    again.

    Args:
        modes: brought up to date.
        log_ratio: (M,) evidence of the image, were the view free.
        level: (M,) normalised similarity, wrong places 0, right ones 1.
        inside: (M,) share of the mode inside the index.
        seen_m: driving since the last image that was weighed, and since the last frame that
            ought to have been.
        most: evidence that one independent image may give.
        config: thresholds.
    """
    moved_m, driven_m = seen_m
    _book(
        log_ratio,
        level,
        inside,
        driven_m,
        (
            most,
            min(1.0, moved_m / config.decorrelation_m),
            math.exp(-moved_m / BLOCKED_OVER_M),
            config.outlier_share,
            config.decorrelation_m,
            config.lost_after_m,
        ),
        modes.required,
        (modes.log_mass, modes.evidence, modes.support_m, modes.low_m, modes.level, modes.blocked),
        (modes.born, modes.confirmed),
    )


@compiled
def _book(
    log_ratio: FloatArray,
    levels: FloatArray,
    inside: FloatArray,
    driven_m: float,
    settings: tuple[float, float, float, float, float, float],
    required: FloatArray,
    sums: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
    flags: tuple[Mask, Mask],
) -> None:
    """`record` on the arrays of the modes, (M,) each."""
    most, tempered, stays, outlier, decorrelation_m, lost_after_m = settings
    log_mass, evidence, support_m, low_m, usual, blocked = sums
    born, confirmed = flags
    for mode in range(len(log_ratio)):
        before = outlier
        if not born[mode]:
            before += (blocked[mode] - outlier) * stays
        free, hidden = math.log1p(-before) + log_ratio[mode], math.log(before)
        total = max(free, hidden) + math.log1p(math.exp(-abs(free - hidden)))
        blocked[mode] = min(max(math.exp(hidden - total), 1e-9), 1.0 - 1e-9)
        image = min(total, most * (1.0 if born[mode] else tempered))
        log_mass[mode] += image
        level = levels[mode]
        clipped = min(max(level, -0.5), 1.5)
        if born[mode]:
            born[mode] = False
            evidence[mode] = low_m[mode] = support_m[mode] = 0.0
            usual[mode] = clipped
            continue
        driven = driven_m if inside[mode] >= 0.5 or not confirmed[mode] else 0.0
        evidence[mode] = min(max(evidence[mode] + image, 0.0), 2.0 * required[mode])
        against = (LOW_SIMILARITY - level) / LOW_SIMILARITY
        against *= 1.0 if against > 0.0 else RECOVERY_RATE
        low_m[mode] = min(max(low_m[mode] + driven * against, 0.0), lost_after_m)
        if level >= SUPPORT_SIMILARITY:
            support_m[mode] += min(driven, decorrelation_m)
        usual[mode] -= math.expm1(-driven / LEVEL_OVER_M) * (clipped - usual[mode])
        if low_m[mode] >= lost_after_m:
            support_m[mode] = evidence[mode] = 0.0
            confirmed[mode] = False


def unseen(modes: Modes, driven_m: float, config: FilterConfig) -> None:
    """Driving blind counts against every mode."""
    modes.low_m = np.minimum(modes.low_m + driven_m, config.lost_after_m)
