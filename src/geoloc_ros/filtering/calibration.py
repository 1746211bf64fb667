# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Calibration: what validation drives say about similarities and about covariances."""

from __future__ import annotations

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.errors import TrainingError

CHI2_95_3DOF = 7.814727903251179
MIN_SAMPLES = 30
#: by chance alone, one wrong place in e^10 collects as much
LEAST_EVIDENCE = 10.0
#: how often a wrong place may be believed
FALSE_FIXES_PER_KM = 1e-3


def fit_similarity(
    matched: FloatArray,
    background: FloatArray,
    *,
    covariance_scale: float = 1.0,
    fitted_on: str = "",
) -> Calibration:
    """Temperature and levels of an encoder from similarities of known poses.

    The temperature maximises the likelihood of the true pose among the true one and the wrong
    ones of the same image: a softmax over similarity / temperature, as in training with InfoNCE
    (van den Oord, Li, Vinyals, Representation learning with contrastive predictive coding, 2018,
    equation 4), here fitted after the fact (temperature scaling: Guo et al., On calibration of
    modern neural networks, ICML 2017). Where the true pose wins in nearly every image that
    likelihood has no maximum short of zero; the temperature is therefore never below the one at
    which exp(similarity / temperature) grows as the ratio of two Gaussians, fitted to right and
    wrong poses, does where it is equally many deviations from both.

    Args:
        matched: (I,) similarity of each image at its true pose.
        background: (I, K) similarity of the same image at K poses drawn from the whole index.
        covariance_scale: passed on.
        fitted_on: command and seeds, for the record.

    Returns:
        The calibration.

    Raises:
        TrainingError: shapes that do not fit, too few or non-finite samples.
    """
    right = np.asarray(matched, dtype=np.float64)
    wrong = np.asarray(background, dtype=np.float64)
    if right.ndim != 1 or wrong.ndim != 2 or len(wrong) != len(right) or wrong.shape[1] < 2:
        raise TrainingError(
            f"matched must be (I,) and background (I, K >= 2), got {right.shape} and {wrong.shape}"
        )
    if len(right) < MIN_SAMPLES:
        raise TrainingError(f"{len(right)} images are too few to calibrate; drive {MIN_SAMPLES}")
    if not (np.all(np.isfinite(right)) and np.all(np.isfinite(wrong))):
        raise TrainingError("similarities to calibrate on are not finite; drop those images")
    gap = max(float(right.mean() - wrong.mean()), 1e-3)
    steepest = float(right.std() * wrong.std()) / gap
    return Calibration(
        temperature=max(_fit_temperature(right, wrong), steepest),
        background=float(wrong.mean()),
        background_sigma=float(wrong.std()),
        matched=float(right.mean()),
        matched_sigma=float(right.std()),
        covariance_scale=covariance_scale,
        fitted_on=fitted_on,
    )


def _fit_temperature(right: FloatArray, wrong: FloatArray) -> float:
    """Golden-section search on log temperature; the loss is quasi-convex in 1 / temperature."""
    everything = np.concatenate([right[:, None], wrong], axis=1)

    def loss(log_temperature: float) -> float:
        logits = everything / np.exp(log_temperature)
        return float(np.mean(np.logaddexp.reduce(logits, axis=1) - logits[:, 0]))

    golden = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.log(0.002), np.log(2.0)
    for _ in range(40):
        left, middle = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(middle):
            high = middle
        else:
            low = left
    return float(np.exp(0.5 * (low + high)))


def fit_evidence(most: FloatArray, driven_km: float) -> tuple[float, float]:
    """Evidence that a wrong place collects no oftener than `FALSE_FIXES_PER_KM`.

    Peaks over a threshold (Pickands, Statistical inference using extreme order statistics, 1975,
    with an exponential tail, which the likelihood ratios of a sequential test have): above the
    threshold u they are u + Exp(scale), met at a rate of so many per kilometre. The threshold is
    the median of those drives in which a wrong place passed every other test at all, but at least
    `LEAST_EVIDENCE`.

    Args:
        most: (N,) largest evidence of any wrong place in each of N drives, 0 where none passed.
        driven_km: length of the drives together.

    Returns:
        The evidence, never less than the largest seen, and the scale of its tail.
    """
    passed = most[most > 0.0]
    threshold = max(float(np.median(passed)), LEAST_EVIDENCE) if len(passed) else LEAST_EVIDENCE
    above = most[most > threshold]
    if not len(above):
        return threshold, 1.0
    scale = max(float(np.mean(above - threshold)), 1.0)
    rate_per_km = len(above) / driven_km
    rare = threshold + scale * float(np.log(max(rate_per_km / FALSE_FIXES_PER_KM, 1.0)))
    return max(rare, float(above.max())), scale


def nees(errors: FloatArray, covs: FloatArray) -> FloatArray:
    """Normalised estimation error squared.

    Args:
        errors: (N, 3) estimate minus truth, yaw wrapped.
        covs: (N, 3, 3).

    Returns:
        (N,). Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and
        Navigation, 2001, section 5.4.
    """
    solved = np.linalg.solve(covs, errors[..., None])[..., 0]
    return np.asarray(np.einsum("ni,ni->n", errors, solved))


def fit_covariance(
    errors: FloatArray, covs: FloatArray, coverage: float = 0.95, beyond_3_sigma: float = 0.007
) -> float:
    """Factor on published covariances that makes them hold the errors they promise to hold.

    The larger of two factors: the one that lays the wanted quantile of the NEES on the 95 % bound
    of chi-square, and the one that leaves the allowed share of positions beyond three sigma (a
    Gaussian leaves 1.1 %, so this one binds where the errors' tails are heavier).

    Args:
        errors: (N, 3) of LOCALISED frames of validation drives.
        covs: (N, 3, 3) as published with covariance_scale 1.
        coverage: wanted share of frames inside the 95 % region of (x, y, yaw).
        beyond_3_sigma: allowed share of positions with a Mahalanobis distance above 3.

    Returns:
        The factor, at least 0.25.

    Raises:
        TrainingError: shapes that do not fit, too few samples, non-finite values.
    """
    deviations = np.asarray(errors, dtype=np.float64)
    spreads = np.asarray(covs, dtype=np.float64)
    if deviations.shape[1:] != (3,) or spreads.shape != (len(deviations), 3, 3):
        raise TrainingError(
            f"errors must be (N, 3) and covs (N, 3, 3), got {deviations.shape}, {spreads.shape}"
        )
    if len(deviations) < MIN_SAMPLES:
        raise TrainingError(f"{len(deviations)} estimates are too few; {MIN_SAMPLES} are needed")
    if not (np.all(np.isfinite(deviations)) and np.all(np.isfinite(spreads))):
        raise TrainingError("errors or covariances are not finite; keep LOCALISED frames only")
    whole = np.quantile(nees(deviations, spreads), coverage) / CHI2_95_3DOF
    position = nees(deviations[:, :2], spreads[:, :2, :2])
    tails = np.quantile(position, 1.0 - beyond_3_sigma) / 9.0
    return max(float(whole), float(tails), 0.25)
