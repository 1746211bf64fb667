# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A prior over the globe, told to a vehicle that is at one of a few known places.

Compared with the whole Earth, any town an index covers is next to impossible, and a prior that is
wrong would rule the right town out for good. So a component's share is divided among the places
it reaches, and what is left, the share of components that reach none included, is divided evenly.
No place ever gets less than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import PriorError
from geoloc_ros.geo.place_mixture import EARTH_AREA_M2, FloatArray, PlaceMixture, log_sum

#: how much likelier than an even share one component may make a place
MAX_GAIN = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """Places the vehicle may be at: discs on the globe.

    Attributes:
        lat_deg: (S,) centres.
        lon_deg: (S,).
        radius_m: (S,), root mean square.
        weights: (S,) how much of what may be visited lies in each, adding up to one.
    """

    lat_deg: FloatArray
    lon_deg: FloatArray
    radius_m: FloatArray
    weights: FloatArray

    def __post_init__(self) -> None:
        """Refuse what is no support.

        Raises:
            PriorError: there is no place, or weights are not positive.
        """
        if not len(self.weights) or not (self.weights > 0.0).all():
            raise PriorError("no places to choose from; name at least one index with entries")

    def shares(self, mixture: PlaceMixture) -> FloatArray:
        """Probability (S,) of each place; none is zero, they add up to one."""
        reached, log_each, log_total = self._reached(mixture)
        held = mixture.shares[reached]
        within = np.exp(log_each[reached] - log_total[reached, None]) * self.weights
        total: FloatArray = (held[:, None] * within).sum(axis=0)
        return total + (1.0 - float(held.sum())) * self.weights

    def log_factor(
        self, mixture: PlaceMixture, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike
    ) -> FloatArray:
        """Log of how much likelier a prior makes positions than an even share would.

        Args:
            mixture: the prior.
            lat_deg: (N,) positions inside the support.
            lon_deg: (N,).

        Returns:
            (N,), at least the log of the share that is divided evenly, at most log `MAX_GAIN`.

        Raises:
            PriorError: a place is no position.
        """
        reached, _, log_total = self._reached(mixture)
        held = mixture.shares[reached]
        at = mixture.component_log_density(lat_deg, lon_deg)[reached]
        gain = np.exp(np.minimum(at - log_total[reached, None], np.log(MAX_GAIN)))
        even = 1.0 - float(held.sum())
        return np.asarray(np.log(even + (held[:, None] * gain).sum(axis=0)))

    def _reached(
        self, mixture: PlaceMixture
    ) -> tuple[npt.NDArray[np.bool_], FloatArray, FloatArray]:
        """Which components (K,) say more of these places than of anywhere; their log densities.

        Returns:
            The mask (K,), log densities at the places (K, S) and their weighted means (K,).
        """
        each = mixture.component_log_density(self.lat_deg, self.lon_deg, self.radius_m / 2.0**0.5)
        total = log_sum(each + np.log(self.weights), axis=1)
        return np.asarray(total > -np.log(EARTH_AREA_M2)), each, total
