# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Order candidates by how they look and by where a prior expects the vehicle.

Waheed et al. (arXiv 2507.17455) order by distance to the place a model names. Here both sides are
log-likelihoods: the image's, similarity over the encoder's temperature, and the prior's, which is
bounded on both sides, so that a wrong prior costs a clearly better image little.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import PriorError


def geographic_scores(
    similarity: npt.ArrayLike, log_prior: npt.ArrayLike, temperature: float, weight: float = 1.0
) -> FloatArray:
    """Log-posterior of candidates, up to a constant.

    Args:
        similarity: (K,) to the image; one that is not finite puts its candidate last.
        log_prior: (K,) log of how much likelier the prior makes each than an even share.
        temperature: likelihood grows as exp(similarity / temperature).
        weight: of the prior; 0 leaves the order by similarity.

    Returns:
        (K,).

    Raises:
        PriorError: lengths differ, a prior is not finite, or temperature or weight out of bounds.
    """
    looks = np.asarray(similarity, dtype=np.float64)
    expected = np.asarray(log_prior, dtype=np.float64)
    if looks.ndim != 1 or looks.shape != expected.shape:
        raise PriorError(f"{looks.shape} similarities and {expected.shape} priors; one each")
    if not np.isfinite(expected).all():
        raise PriorError("a candidate's prior is not finite; it must be the log of a density")
    if not (0.0 < temperature < np.inf and 0.0 <= weight < np.inf):
        raise PriorError(
            f"temperature is {temperature}, weight {weight}; the first must be above 0, the "
            "second not negative"
        )
    scores = looks / temperature + weight * expected
    return np.where(np.isfinite(looks), scores, -np.inf)


def geographic_order(
    similarity: npt.ArrayLike, log_prior: npt.ArrayLike, temperature: float, weight: float = 1.0
) -> npt.NDArray[np.int64]:
    """Indices (K,) of candidates, best first; equals keep their order. See `geographic_scores`.

    Raises:
        PriorError: see `geographic_scores`.
    """
    scores = geographic_scores(similarity, log_prior, temperature, weight)
    return np.argsort(-scores, kind="stable").astype(np.int64)
