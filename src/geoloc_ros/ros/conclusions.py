# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What frames led to, and how things stand between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geoloc_ros.datatypes import Candidates, FloatArray, PoseEstimate
from geoloc_ros.tracker import Tracked

#: a place this far from where odometry has led is another one, m
LEAP_M = 5.0


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a frame led to, in the map frame.

    Attributes:
        estimate: with pose and covariance in the map frame.
        candidates: vehicle poses that were retrieved, None if the frame was not searched.
        T_map_odom: (3,) planar transform, None where odometry does not reach the frame.
        tracked: the frame, and the estimate in the index's own plane.
        anew: whether a place is held now and none was before, or one more than `LEAP_M` away.
    """

    estimate: PoseEstimate
    candidates: Candidates | None
    T_map_odom: FloatArray | None
    tracked: Tracked
    anew: bool


@dataclass(slots=True)
class Said:
    """The state of affairs between frames.

    Attributes:
        estimate: the latest, in the map frame; None before the first frame.
        fix_stamp_ns: stamp of the latest LOCALISED frame.
        used: frames used.
        held: whether a place was held at the latest frame.
        coverage: share of the latest view that its cameras saw; NaN before any.
    """

    estimate: PoseEstimate | None = None
    fix_stamp_ns: int | None = None
    used: int = 0
    held: bool = False
    coverage: float = math.nan
