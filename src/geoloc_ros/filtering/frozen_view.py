# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A view that does not change although the vehicle drives: a covered lens, a camera that hangs.

Such a picture may resemble some street, and would say so again and again; it must not be counted
as one independent witness after another.
"""

from __future__ import annotations

from geoloc_ros.config import ViewConfig
from geoloc_ros.datatypes import Float32Array


class FrozenView:
    """Watches how far the vehicle drove while descriptors stayed the same.

    Args:
        config: what counts as the same, and for how long that may last.
    """

    def __init__(self, config: ViewConfig) -> None:
        self._config = config
        self._since: tuple[Float32Array, float] | None = None

    def check(self, descriptor: Float32Array, distance_m: float) -> bool:
        """Whether the view counts as frozen.

        Args:
            descriptor: (D,) unit vector of the image.
            distance_m: driven so far.
        """
        if self._since is not None:
            first, at_m = self._since
            if float(first @ descriptor) >= self._config.frozen_similarity:
                return distance_m - at_m >= self._config.frozen_after_m
        self._since = (descriptor, distance_m)
        return False
