# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evidence: what the images of a drive have said for and against each mode."""

from __future__ import annotations

import math

import numpy as np

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering import kernels
from geoloc_ros.filtering.measurement_model import MeasurementModel
from geoloc_ros.filtering.particles import Modes

LOW_SIMILARITY = 0.35
SUPPORT_SIMILARITY = 0.5
LEVEL_OVER_M = 15.0
RECOVERY_RATE = 1.5
BLOCKED_OVER_M = 20.0
MAX_IMAGE_EVIDENCE = 8.0


def needed(calibration: Calibration, entries: int) -> float:
    """Evidence a strange place must collect among so many entries.

    The largest of N exponential tails grows with the logarithm of N. Below a tenth of the entries
    of the calibration no less is asked for.
    """
    more = calibration.confirm_scale * math.log(max(entries / calibration.confirm_entries, 0.1))
    return max(calibration.confirm_evidence + more, 0.0)


def weigh_image(
    modes: Modes,
    similarity: FloatArray,
    supported: Mask,
    model: MeasurementModel,
    driven_m: tuple[float, float],
    log_null: float,
    config: FilterConfig,
) -> tuple[float, int, float, float]:
    """Weigh the particles and the modes by one image.

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
        similarity: (N,) of the image at each particle.
        supported: (N,) whether the index says anything there.
        model: similarity to likelihood.
        driven_m: driving since the last image that was weighed, and since the last frame that
            ought to have been.
        log_null: log mass of the null.
        config: thresholds.

    Returns:
        Log mass of the null; the heaviest mode, its mean similarity and its supported share.
    """
    modes.log_weights, modes.weights, log_null, lead, level, inside = kernels.weigh_image(
        modes.log_weights,
        modes.counts,
        model.log_ratio(similarity, supported),
        similarity,
        supported,
        (
            model.background,
            model.gap,
            min(1.0, driven_m[0] / config.decorrelation_m),
            min(model.best, MAX_IMAGE_EVIDENCE),
            driven_m[1],
        ),
        (
            math.exp(-driven_m[0] / BLOCKED_OVER_M),
            config.outlier_share,
            config.decorrelation_m,
            config.lost_after_m,
            LOW_SIMILARITY,
            SUPPORT_SIMILARITY,
            RECOVERY_RATE,
            LEVEL_OVER_M,
        ),
        log_null,
        modes.required,
        (modes.log_mass, modes.evidence, modes.support_m, modes.low_m, modes.level, modes.blocked),
        modes.born,
        modes.confirmed,
    )
    return log_null, lead, level, inside


def unseen(modes: Modes, driven_m: float, config: FilterConfig) -> None:
    """Driving blind counts against every mode."""
    modes.low_m = np.minimum(modes.low_m + driven_m, config.lost_after_m)
