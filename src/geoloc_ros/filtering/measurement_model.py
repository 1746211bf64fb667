# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Measurement model: what a similarity says for a pose, against being anywhere else."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.encoders.package import Calibration


class MeasurementModel:
    """Similarity to log-likelihood ratio, with a share of images that say nothing.

    The ratio is log p(image | this pose) - log p(image | some other place). With likelihood
    proportional to exp(similarity / temperature) and similarities of wrong places distributed as
    N(background, background_sigma^2), the average over wrong places is
    exp(background / T + background_sigma^2 / (2 T^2)); dividing by it makes a wrong place's
    expected ratio 1. The pivot, where an image says nothing, is kept between the two levels
    whatever was fitted.

    Attributes:
        background: similarity of wrong places.
        gap: how far the similarity of right ones lies above it.
        best: log-likelihood ratio of an image a deviation better than right ones are on average.
        usual_level: normalised similarity that right places stay above on average.

    Args:
        calibration: levels and temperature of the encoder.
        outlier_share: share of images that look like no place (occluded, dazzled).
    """

    def __init__(self, calibration: Calibration, outlier_share: float) -> None:
        self.background = calibration.background
        self.gap = max(calibration.matched - calibration.background, 1e-3)
        self._temperature = max(calibration.temperature, 1e-4)
        pivot = calibration.background_sigma**2 / (2.0 * self._temperature)
        self._pivot = self.background + float(np.clip(pivot, 0.3 * self.gap, 0.6 * self.gap))
        self._outlier = outlier_share
        # One deviation of a right image below the mean of right images.
        self.usual_level = float(np.clip(1.0 - calibration.matched_sigma / self.gap, 0.5, 0.9))
        self.best = (
            calibration.matched + calibration.matched_sigma - self._pivot
        ) / self._temperature

    def log_ratio(self, similarity: FloatArray, supported: npt.NDArray[np.bool_]) -> FloatArray:
        """Log-likelihood ratio of poses against anywhere else, for one independent image.

        Args:
            similarity: (N,) at each pose.
            supported: (N,) False where the index has nothing near the pose.

        Returns:
            (N,), bounded below by log(outlier_share), which unsupported poses get.
        """
        return _log_ratio(similarity, supported, self._pivot, self._temperature, self._outlier)

    def normalised(self, similarity: FloatArray) -> FloatArray:
        """Similarities on the scale where wrong places average 0 and right ones 1."""
        return (similarity - self.background) / self.gap


@compiled
def _log_ratio(
    similarity: FloatArray, supported: Mask, pivot: float, temperature: float, outlier: float
) -> FloatArray:
    """Log-likelihood ratio (N,) of an image.

    Args:
        similarity: (N,); what is not finite counts as not supported.
        supported: (N,).
        pivot: similarity at which an image says nothing.
        temperature: of the likelihood.
        outlier: share of images that look like no place.
    """
    ratio = np.empty(len(similarity))
    free, least = math.log1p(-outlier), math.log(outlier)
    for i in range(len(similarity)):
        ratio[i] = least
        if supported[i] and math.isfinite(similarity[i]):
            good = (similarity[i] - pivot) / temperature + free
            ratio[i] = max(good, least) + math.log1p(math.exp(-abs(good - least)))
    return ratio
