# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where on Earth, softly: a mixture over the globe with a share that belongs to everywhere.

A component is a Gaussian on the sphere (von Mises-Fisher; Mardia and Jupp, Directional Statistics,
2000, section 9.3.2), of concentration (radius of the Earth / sigma)^2: for sigmas far below the
radius the plane's Gaussian with that sigma per axis, and a proper density for any sigma, at the
poles and across the antimeridian. What the components leave is spread evenly over the globe and
never falls below `LEAST_GLOBAL_SHARE`: whoever speaks may be wrong altogether. The Earth is taken
as a sphere, which moves distances by at most 0.6 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import PriorError, shown

EARTH_RADIUS_M = 6_371_008.8
EARTH_AREA_M2 = 4.0 * np.pi * EARTH_RADIUS_M**2
#: no source is ever trusted more than all but this
LEAST_GLOBAL_SHARE = 0.02
#: more are cut to the largest; what they held goes to the global share
MAX_COMPONENTS = 64
LEAST_SIGMA_M, MOST_SIGMA_M = 1.0, 10_000_000.0
MAX_LABEL = 120
_LEAST_SHARE = 1e-9  # a component with less is none

FloatArray = npt.NDArray[np.float64]


def unit_vectors(lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> FloatArray:
    """Directions (N, 3) from the Earth's centre.

    Args:
        lat_deg: (N,) or a number, within -90..90.
        lon_deg: likewise, any finite number of turns.

    Raises:
        PriorError: one is no position.
    """
    lat = np.atleast_1d(np.asarray(lat_deg, dtype=np.float64))
    lon = np.atleast_1d(np.asarray(lon_deg, dtype=np.float64))
    wrong = ~((np.abs(lat) <= 90.0) & np.isfinite(lon))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise PriorError(
            f"not a position: lat {lat[first]}, lon {lon[first]}; latitude must lie in -90..90 "
            "degrees and longitude must be finite"
        )
    north, east = np.radians(lat), np.radians(lon)
    level = np.cos(north)
    return np.stack([level * np.cos(east), level * np.sin(east), np.sin(north)], axis=-1)


def distance_m(
    lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike, lat: npt.ArrayLike, lon: npt.ArrayLike
) -> FloatArray:
    """Great-circle distances (A, B) from A places to B others, m."""
    chord = np.sqrt(_chord2(unit_vectors(lat_deg, lon_deg), unit_vectors(lat, lon)))
    return np.asarray(2.0 * EARTH_RADIUS_M * np.arcsin(np.minimum(0.5 * chord, 1.0)))


def _chord2(a: FloatArray, b: FloatArray) -> FloatArray:
    """Squared chords (A, B); by differences, which stay exact for neighbours."""
    delta = a[:, None, :] - b[None, :, :]
    return np.asarray(np.einsum("abi,abi->ab", delta, delta))


def _log_norm(kappa: FloatArray) -> FloatArray:
    """Log of the density's value at its centre, per steradian."""
    return np.asarray(np.log(kappa / (2.0 * np.pi * -np.expm1(-2.0 * kappa))))


def log_sum(values: FloatArray, axis: int = 0) -> FloatArray:
    """Log of the sum of exponentials along an axis; of nothing, minus infinity."""
    if values.shape[axis] == 0:
        return np.full(np.delete(values.shape, axis), -np.inf)
    return np.asarray(np.logaddexp.reduce(values, axis=axis))


@dataclass(frozen=True, slots=True, eq=False)
class PlaceMixture:
    """Gaussians on the globe, and a share for everywhere; make one with `of`.

    Attributes:
        lat_deg: (K,) centres.
        lon_deg: (K,) within -180..180.
        sigma_m: (K,) spread in each direction.
        shares: (K,) probabilities; they add up to at most 1 - `LEAST_GLOBAL_SHARE`.
        labels: K names for people, empty where there is none.
        source: who said it.
    """

    lat_deg: FloatArray
    lon_deg: FloatArray
    sigma_m: FloatArray
    shares: FloatArray
    labels: tuple[str, ...]
    source: str

    @classmethod
    def of(
        cls,
        lat_deg: npt.ArrayLike,
        lon_deg: npt.ArrayLike,
        sigma_m: npt.ArrayLike,
        shares: npt.ArrayLike,
        source: str,
        labels: Sequence[str] = (),
    ) -> PlaceMixture:
        """A mixture of checked components, largest first.

        Sigmas are brought into `LEAST_SIGMA_M`..`MOST_SIGMA_M`, shares scaled down where they
        leave less than `LEAST_GLOBAL_SHARE`; components of next to no share are left out.

        Args:
            lat_deg: (K,) centres, K may be 0.
            lon_deg: (K,), any number of turns.
            sigma_m: (K,), above 0.
            shares: (K,), none negative, adding up to at most 1.
            source: who says so.
            labels: K names, or none.

        Raises:
            PriorError: lengths differ, or a number is not finite or out of bounds.
        """
        lat, lon, sigma, share = (
            np.atleast_1d(np.asarray(v, dtype=np.float64))
            for v in (lat_deg, lon_deg, sigma_m, shares)
        )
        names = tuple(labels) or ("",) * len(share)
        if not all(v.shape == share.shape for v in (lat, lon, sigma)) or share.ndim != 1:
            raise PriorError(f"components of {source!r} differ in number: {lat.shape} latitudes")
        if len(names) != len(share):
            raise PriorError(f"{source!r} has {len(names)} labels for {len(share)} components")
        unit_vectors(lat, lon)
        bad = ~(np.isfinite(sigma) & (sigma > 0.0) & np.isfinite(share) & (share >= 0.0))
        total = float(share.sum())
        if bad.any() or total > 1.0 + 1e-6:
            raise PriorError(
                f"{source!r} is no mixture: sigmas {shown(sigma.tolist())} m must be above 0, "
                f"shares {shown(share.tolist())} must not be negative and add up to at most 1"
            )
        order = np.argsort(-share, kind="stable")[:MAX_COMPONENTS]
        order = order[share[order] >= _LEAST_SHARE]
        kept = float(share[order].sum())
        scale = min(1.0, (1.0 - LEAST_GLOBAL_SHARE) / kept) if kept > 0.0 else 1.0
        return cls(
            lat[order],
            np.where(np.abs(lon) <= 180.0, lon, (lon + 180.0) % 360.0 - 180.0)[order],
            np.clip(sigma[order], LEAST_SIGMA_M, MOST_SIGMA_M),
            share[order] * scale,
            tuple(names[i][:MAX_LABEL] for i in order),
            source[:MAX_LABEL],
        )

    @classmethod
    def nothing(cls, source: str) -> PlaceMixture:
        """Everywhere is as likely as anywhere."""
        return cls.of((), (), (), (), source)

    def __len__(self) -> int:
        """How many components."""
        return len(self.shares)

    @property
    def global_share(self) -> float:
        """Probability that none of the components is right."""
        return 1.0 - float(self.shares.sum())

    def component_log_density(
        self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike, widen_m: npt.ArrayLike = 0.0
    ) -> FloatArray:
        """Log density of each component without its share, per m2.

        Args:
            lat_deg: (N,) or a number.
            lon_deg: likewise.
            widen_m: spread of the places themselves, one sigma, (N,) or a number.

        Returns:
            (K, N).

        Raises:
            PriorError: a place is no position.
        """
        at = unit_vectors(lat_deg, lon_deg)
        sigma = np.hypot(self.sigma_m[:, None], np.atleast_1d(np.asarray(widen_m))[None])
        kappa = (EARTH_RADIUS_M / sigma) ** 2
        chord2 = _chord2(unit_vectors(self.lat_deg, self.lon_deg), at)
        return np.asarray(_log_norm(kappa) - 0.5 * kappa * chord2 - 2.0 * np.log(EARTH_RADIUS_M))

    def log_density(self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> FloatArray:
        """Log of the density at places, per m2; finite everywhere.

        Args:
            lat_deg: (N,) or a number.
            lon_deg: likewise.

        Returns:
            (N,).

        Raises:
            PriorError: a place is no position.
        """
        parts = np.log(self.shares)[:, None] + self.component_log_density(lat_deg, lon_deg)
        even = np.log(self.global_share / EARTH_AREA_M2)
        return np.asarray(np.logaddexp(log_sum(parts), even))

    def flattened(self, reliability: float) -> PlaceMixture:
        """The mixture of a source that is right only so often; the rest goes to everywhere.

        Args:
            reliability: learned on held-out data, 0..1.

        Raises:
            PriorError: it is not within 0..1.
        """
        if not 0.0 <= reliability <= 1.0:
            raise PriorError(f"reliability of {self.source!r} is {reliability}; it must be 0..1")
        shares = self.shares * reliability
        return PlaceMixture.of(
            self.lat_deg, self.lon_deg, self.sigma_m, shares, self.source, self.labels
        )

    def times(self, other: PlaceMixture) -> PlaceMixture:
        """What both say together, taken as independent: the normalised product of the densities.

        Flatten sources by their reliability first. Sources that looked at the same thing are not
        independent; what they share counts twice.
        """
        a, b = (unit_vectors(m.lat_deg, m.lon_deg) for m in (self, other))
        kappa_a = (EARTH_RADIUS_M / self.sigma_m[:, None]) ** 2
        kappa_b = (EARTH_RADIUS_M / other.sigma_m[None, :]) ** 2
        chord2, both = _chord2(a, b), kappa_a * kappa_b
        kappa = np.sqrt(np.maximum((kappa_a + kappa_b) ** 2 - both * chord2, 1e-3))
        overlap = _log_norm(kappa_a) + _log_norm(kappa_b) - _log_norm(kappa)
        overlap += np.log(4.0 * np.pi) - both * chord2 / (kappa + kappa_a + kappa_b)
        pair = np.log(self.shares)[:, None] + np.log(other.shares)[None, :] + overlap
        centre = kappa_a[..., None] * a[:, None] + kappa_b[..., None] * b[None]
        lat, lon = _degrees(centre.reshape(-1, 3))
        weights = np.concatenate(
            [
                np.log(self.shares * other.global_share),
                np.log(other.shares * self.global_share),
                pair.ravel(),
            ]
        )
        even = np.log(self.global_share * other.global_share)
        shares = np.exp(weights - np.logaddexp(log_sum(weights), even))
        names = [_joined(one, two) for one in self.labels for two in other.labels]
        return PlaceMixture.of(
            np.concatenate([self.lat_deg, other.lat_deg, lat]),
            np.concatenate([self.lon_deg, other.lon_deg, lon]),
            np.concatenate([self.sigma_m, other.sigma_m, EARTH_RADIUS_M / np.sqrt(kappa.ravel())]),
            shares,
            _joined(self.source, other.source),
            (*self.labels, *other.labels, *names),
        )


def _degrees(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Latitudes and longitudes of directions (N, 3) of any length."""
    x, y, z = vectors.T
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def _joined(one: str, two: str) -> str:
    return " & ".join(dict.fromkeys(name for name in (one, two) if name))


def mean_place(
    lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike, weights: npt.ArrayLike
) -> tuple[float, float, float]:
    """Weighted centre of places (N,) and their spread.

    Returns:
        Latitude and longitude in degrees, and root mean square distance per axis in m.

    Raises:
        PriorError: a place is no position, or there is no weight.
    """
    at, share = unit_vectors(lat_deg, lon_deg), np.asarray(weights, dtype=np.float64)
    if not share.sum() > 0.0:
        raise PriorError("no place has any weight; there is no centre")
    mean = (at * share[:, None]).sum(axis=0) / share.sum()
    lat, lon = _degrees(mean[None])
    away = distance_m(lat, lon, lat_deg, lon_deg)[0]
    spread = np.sqrt(0.5 * float((away**2 * share).sum() / share.sum()))
    return float(lat[0]), float(lon[0]), spread
