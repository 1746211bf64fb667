# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the odom frame is on the map: the last seconds of odometry exactly as it was published.

The filter mends odometry that restarts or jumps; the transform from map to odom must answer to
what others see, so this keeps the raw poses.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from geoloc_ros.datatypes import FloatArray, Odometry
from geoloc_ros.filtering.odometry import interpolate_increment
from geoloc_ros.geo import se2

KEPT = 1000
GAP_NS = 500_000_000


class OdometryTrail:
    """The last samples of odometry, in order of their stamps."""

    def __init__(self) -> None:
        self._samples: deque[Odometry] = deque(maxlen=KEPT)

    def add(self, sample: Odometry) -> float:
        """Keep one sample; those without a pose and those out of order are left out.

        Returns:
            Metres since the sample before.
        """
        if not np.isfinite(sample.pose).all():
            return 0.0
        if self._samples and sample.stamp_ns <= self._samples[-1].stamp_ns:
            if self._samples[-1].stamp_ns - sample.stamp_ns < GAP_NS:
                return 0.0
            self._samples.clear()
        last = self._samples[-1].pose if self._samples else sample.pose
        self._samples.append(sample)
        return float(np.hypot(*(sample.pose - last)[:2]))

    def at(self, stamp_ns: int) -> FloatArray | None:
        """Pose (3,) in the odom frame at a stamp; None further than 0.5 s from any sample."""
        before = after = None
        for sample in reversed(self._samples):
            if sample.stamp_ns <= stamp_ns:
                before = sample
                break
            after = sample
        near = min(
            (abs(s.stamp_ns - stamp_ns) for s in (before, after) if s is not None), default=None
        )
        if near is None or near > GAP_NS:
            return None
        if before is None or after is None:
            only = before or after
            return None if only is None else only.pose
        share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        step = interpolate_increment(se2.between(before.pose, after.pose), share)
        return se2.compose(before.pose, step)

    def map_to_odom(self, stamp_ns: int, pose: FloatArray) -> FloatArray | None:
        """Pose (3,) of the odom frame in the map frame, given that of the vehicle at a stamp."""
        odom = self.at(stamp_ns)
        return None if odom is None else se2.compose(pose, se2.inverse(odom))
