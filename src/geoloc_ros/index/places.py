# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From entries to places: neighbours on the ground look alike and are one answer, not ten."""

from __future__ import annotations

import numpy as np

from geoloc_ros.datatypes import Candidates
from geoloc_ros.geo.se2 import wrap_angle

SAME_PLACE_M = 5.0
SAME_PLACE_RAD = float(np.deg2rad(25.0))


def one_per_place(found: Candidates, most: int | None = None) -> Candidates:
    """The best entry of each place (greedy non-maximum suppression), best first.

    Args:
        found: entries, best first.
        most: answer no more places than this.
    """
    x, y, yaw = np.asarray(found.poses, dtype=np.float64).T
    close = np.hypot(x[:, None] - x, y[:, None] - y) <= SAME_PLACE_M
    close &= np.abs(wrap_angle(yaw[:, None] - yaw)) <= SAME_PLACE_RAD
    taken = np.zeros(len(found), dtype=bool)
    best = []
    for i in range(len(found)):
        if not taken[i]:
            best.append(i)
            taken |= close[i]
    chosen = np.array(best[:most], dtype=np.int64)
    return Candidates(found.entry_ids[chosen], found.poses[chosen], found.similarity[chosen])
