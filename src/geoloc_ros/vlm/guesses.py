# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Guesses of place as knowledge the filter takes in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoloc_ros.datatypes import FloatArray, GeoPrior
from geoloc_ros.geo.far import far_xy
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.vlm.answerer import PlaceGuess

SOURCE = "vlm"
#: what a picture looks like tells a street at best, never a spot in it
LEAST_SIGMA_M = 50.0
#: variance of a heading about which nothing is known
YAW_UNKNOWN_RAD2 = float(np.pi**2)


def covariance(guess: PlaceGuess) -> FloatArray:
    """Covariance (3, 3) of x, y, yaw of a guess."""
    variance = max(guess.sigma_m, LEAST_SIGMA_M) ** 2
    return np.diag([variance, variance, YAW_UNKNOWN_RAD2])


def geo_prior(
    stamp_ns: int, guesses: Sequence[PlaceGuess], plane: LocalFrame, source: str = SOURCE
) -> GeoPrior:
    """The mixture of some guesses in a plane, however far from it they lie.

    Args:
        stamp_ns: of the frame they are about.
        guesses: at least one.
        plane: in which the vehicle is looked for.
        source: who guesses.
    """
    lat = [guess.position.lat_deg for guess in guesses]
    lon = [guess.position.lon_deg for guess in guesses]
    means = np.column_stack([far_xy(plane, lat, lon), np.zeros(len(guesses))])
    covs = np.stack([covariance(guess) for guess in guesses])
    shares = np.array([guess.share for guess in guesses])
    return GeoPrior(stamp_ns, means, covs, shares, source)
