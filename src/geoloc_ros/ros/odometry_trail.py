# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the odom frame is on the map: the last seconds of odometry exactly as it was published.

The filter mends odometry that restarts or jumps; the transform from map to odom must answer to
what others see, so this keeps the raw poses.
"""

from __future__ import annotations

import bisect
from collections import deque

import numpy as np

from geoloc_ros.datatypes import FloatArray, Odometry
from geoloc_ros.filtering.odometry import interpolate_increment
from geoloc_ros.geo import se2

KEPT_NS = 5_000_000_000
GAP_NS = 500_000_000


class OdometryTrail:
    """The last samples of odometry, in order of their stamps."""

    def __init__(self) -> None:
        self._samples: deque[Odometry] = deque()

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
        while self._samples[0].stamp_ns < sample.stamp_ns - KEPT_NS:
            self._samples.popleft()
        return float(np.hypot(*(sample.pose - last)[:2]))

    def at(self, stamp_ns: int) -> FloatArray | None:
        """Pose (3,) in the odom frame at a stamp; None where nothing is known of that time.

        Up to 0.5 s beyond the newest sample the vehicle is taken to go on as it did.
        """
        samples = list(self._samples)
        after = bisect.bisect_left([sample.stamp_ns for sample in samples], stamp_ns)
        if after < len(samples) and samples[after].stamp_ns == stamp_ns:
            return samples[after].pose
        beyond = after == len(samples)
        if after == 0 or (beyond and stamp_ns - samples[-1].stamp_ns > GAP_NS):
            return None
        if beyond and len(samples) == 1:
            return samples[0].pose
        begin, end = samples[-2:] if beyond else samples[after - 1 : after + 1]
        if end.stamp_ns - begin.stamp_ns > 2 * GAP_NS:
            return None
        share = (stamp_ns - begin.stamp_ns) / (end.stamp_ns - begin.stamp_ns)
        step = interpolate_increment(se2.between(begin.pose, end.pose), share)
        return se2.compose(begin.pose, step)

    def speed_mps(self) -> float:
        """Speed between the two newest samples, 0 before the second."""
        if len(self._samples) < 2:
            return 0.0
        begin, end = self._samples[-2], self._samples[-1]
        moved = float(np.hypot(*(end.pose - begin.pose)[:2]))
        return moved / (1e-9 * (end.stamp_ns - begin.stamp_ns))

    def map_to_odom(self, stamp_ns: int, pose: FloatArray) -> FloatArray | None:
        """Pose (3,) of the odom frame in the map frame, given that of the vehicle at a stamp."""
        odom = self.at(stamp_ns)
        return None if odom is None else se2.compose(pose, se2.inverse(odom))

    def leap_m(self, T_map_odom: FloatArray | None, stamp_ns: int, pose: FloatArray) -> float:
        """How far a pose (3,) lies from where odometry has led since map to odom was so, m."""
        odom = self.at(stamp_ns)
        if T_map_odom is None or odom is None:
            return 0.0
        return float(np.hypot(*(pose - se2.compose(T_map_odom, odom))[:2]))
