# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Odometry samples in, motion between any two stamps out, with what was wrong with it.

Samples are chained into one clean track: a segment whose raw increment cannot be true (faster than
any vehicle) is replaced by coasting at the last good twist and remembered as bad, so an odometry
source that restarts at its origin costs one uncertain segment and nothing else.
"""

from __future__ import annotations

import bisect
import logging

import numpy as np

from geoloc_ros.config import FilterConfig, InputConfig
from geoloc_ros.datatypes import FloatArray, Motion, Odometry, Reason
from geoloc_ros.filtering.motion_model import increment_covariance, unknown_covariance
from geoloc_ros.geo import se2

logger = logging.getLogger(__name__)

WINDOW_NS = 60_000_000_000
REORDER_NS = 1_000_000_000
MAX_SPEED_MPS = 100.0
MAX_YAW_RATE_RADPS = 12.0


def interpolate_increment(increment: FloatArray, share: float) -> FloatArray:
    """The first part of a planar motion at constant twist.

    Args:
        increment: (3,) dx, dy, dyaw of the whole motion in the frame at its start.
        share: which part of it; beyond 1 extrapolates.

    Returns:
        (3,) increment. Source: exponential map of SE(2), Sola et al., A micro Lie theory for state
        estimation in robotics, 2018, equations 156-158.
    """
    yaw = float(increment[2])
    part = share * yaw
    if abs(yaw) < 1e-6:
        return np.array([share * increment[0], share * increment[1], part])
    whole_v = _left_jacobian(yaw)
    velocity = np.linalg.solve(whole_v, increment[:2])
    moved = share * (_left_jacobian(part) @ velocity)
    return np.array([moved[0], moved[1], part])


def _left_jacobian(yaw_rad: float) -> FloatArray:
    if abs(yaw_rad) < 1e-9:
        return np.eye(2)
    a = np.sin(yaw_rad) / yaw_rad
    b = (1.0 - np.cos(yaw_rad)) / yaw_rad
    return np.array([[a, -b], [b, a]])


class OdometryBuffer:
    """The last minute of odometry, answering what the vehicle did between two stamps.

    Args:
        input_config: when odometry counts as missing, when a clock has jumped.
        filter_config: the noise of the odometry.
    """

    def __init__(self, input_config: InputConfig, filter_config: FilterConfig) -> None:
        self._timeout_ns = int(input_config.odometry_timeout_s * 1e9)
        self._jump_ns = int(input_config.clock_jump_s * 1e9)
        self._noise = filter_config
        self.clear()

    def clear(self) -> None:
        """Forget every sample."""
        self._stamps: list[int] = []
        self._raw: list[FloatArray] = []
        self._clean: list[FloatArray] = []
        self._bad: list[bool] = []  # the segment that ends at this sample
        self._dropped_at: int | None = None
        self._jumped = False

    def __len__(self) -> int:
        """How many samples are kept."""
        return len(self._stamps)

    @property
    def latest_ns(self) -> int | None:
        """Stamp of the newest sample, None while there is none."""
        return self._stamps[-1] if self._stamps else None

    def add(self, sample: Odometry) -> None:
        """Take one sample; bad ones are remembered as a reason and dropped, late ones sorted in.

        Args:
            sample: pose in the odom frame.
        """
        pose = np.asarray(sample.pose, dtype=np.float64)
        if pose.shape != (3,) or not np.all(np.isfinite(pose)) or np.abs(pose[:2]).max() > 1e9:
            logger.warning("odometry at %d ns dropped: pose %s", sample.stamp_ns, pose)
            self._dropped_at = sample.stamp_ns
            return
        if self._stamps:
            step = sample.stamp_ns - self._stamps[-1]
            if step < -REORDER_NS or step > self._jump_ns:
                logger.warning("odometry clock jumped by %.3f s", step * 1e-9)
                self.clear()
                self._jumped = True
        at = bisect.bisect_left(self._stamps, sample.stamp_ns)
        if at < len(self._stamps) and self._stamps[at] == sample.stamp_ns:
            return
        self._stamps.insert(at, sample.stamp_ns)
        self._raw.insert(at, pose)
        self._clean.insert(at, pose)
        self._bad.insert(at, False)
        for index in range(at, len(self._stamps)):
            self._chain(index)
        self._forget()

    def motion(self, from_ns: int, to_ns: int) -> Motion:
        """What the vehicle did between two stamps.

        Args:
            from_ns: start, usually the previous frame.
            to_ns: end, usually this frame.

        Returns:
            The motion; its covariance is finite and positive definite in every case, and
            `reasons` says `no_odometry`, `bad_odometry` or `clock_jump` where they apply.
        """
        if self._jumped or to_ns < from_ns:
            self._jumped = False
            cov = unknown_covariance(0.0, 0.0)
            return Motion(from_ns, to_ns, np.zeros(3), cov, (Reason.CLOCK_JUMP,))
        reasons = set()
        start, unknown_before = self._at(from_ns)
        end, unknown_after = self._at(to_ns)
        unknown_ns = min(unknown_before + unknown_after, to_ns - from_ns)
        increment = se2.between(start, end)
        bad_ns = self._bad_overlap(from_ns, to_ns)
        gap_ns = self._gap_overlap(from_ns, to_ns)
        if bad_ns > 0 or (self._dropped_at is not None and from_ns < self._dropped_at <= to_ns):
            reasons.add(Reason.BAD_ODOMETRY)
        if unknown_ns > 0 or gap_ns > 0:
            reasons.add(Reason.NO_ODOMETRY)
        seconds = 1e-9 * (to_ns - from_ns)
        cov = increment_covariance(increment, seconds, self._noise)
        doubt_s = 1e-9 * (unknown_ns + bad_ns) + 0.2e-9 * gap_ns
        if doubt_s > 0.0:
            speed = float(np.hypot(increment[0], increment[1])) / max(seconds, 1e-3)
            cov = cov + unknown_covariance(doubt_s, speed)
        return Motion(from_ns, to_ns, increment, cov, tuple(sorted(reasons)))

    def _chain(self, index: int) -> None:
        """Recompute the clean pose of one sample from its predecessor."""
        if index == 0:
            self._clean[0], self._bad[0] = self._raw[0], False
            return
        seconds = 1e-9 * (self._stamps[index] - self._stamps[index - 1])
        step = se2.between(self._raw[index - 1], self._raw[index])
        slack = 0.5  # metres and radians of quantisation, so that close stamps are not accused
        self._bad[index] = bool(
            np.hypot(step[0], step[1]) > MAX_SPEED_MPS * seconds + slack
            or abs(step[2]) > MAX_YAW_RATE_RADPS * seconds + slack
        )
        if self._bad[index]:
            step = self._coast(index - 1, seconds)
        self._clean[index] = se2.compose(self._clean[index - 1], step)

    def _coast(self, index: int, seconds: float) -> FloatArray:
        """Increment at the twist that led to a sample."""
        if index == 0 or self._bad[index]:
            return np.zeros(3)
        before = 1e-9 * (self._stamps[index] - self._stamps[index - 1])
        last = se2.between(self._clean[index - 1], self._clean[index])
        return interpolate_increment(last, seconds / before)

    def _at(self, stamp_ns: int) -> tuple[FloatArray, int]:
        """Clean pose at a stamp, and for how many ns of it nothing is known."""
        if not self._stamps:
            return np.zeros(3), 1 << 62
        if stamp_ns <= self._stamps[0]:
            return self._clean[0], self._stamps[0] - stamp_ns
        last = self._stamps[-1]
        if stamp_ns >= last:
            coast_ns = min(stamp_ns - last, self._timeout_ns)
            step = self._coast(len(self._stamps) - 1, 1e-9 * coast_ns)
            return se2.compose(self._clean[-1], step), stamp_ns - last - coast_ns
        after = bisect.bisect_right(self._stamps, stamp_ns)
        begin, end = self._stamps[after - 1], self._stamps[after]
        step = se2.between(self._clean[after - 1], self._clean[after])
        part = interpolate_increment(step, (stamp_ns - begin) / (end - begin))
        return se2.compose(self._clean[after - 1], part), 0

    def _bad_overlap(self, from_ns: int, to_ns: int) -> int:
        return self._overlap(from_ns, to_ns, bad=True)

    def _gap_overlap(self, from_ns: int, to_ns: int) -> int:
        return self._overlap(from_ns, to_ns, bad=False)

    def _overlap(self, from_ns: int, to_ns: int, *, bad: bool) -> int:
        """Nanoseconds of the span that lie in bad segments, or in gaps between good samples."""
        total = 0
        first = max(bisect.bisect_left(self._stamps, from_ns), 1)
        for index in range(first, len(self._stamps)):
            begin, end = self._stamps[index - 1], self._stamps[index]
            if begin >= to_ns:
                break
            counts = self._bad[index] if bad else end - begin > self._timeout_ns
            if counts and not (not bad and self._bad[index]):
                total += max(0, min(end, to_ns) - max(begin, from_ns))
        return total

    def _forget(self) -> None:
        """Keep the last minute."""
        keep = bisect.bisect_left(self._stamps, self._stamps[-1] - WINDOW_NS)
        if keep > 0:
            del self._stamps[:keep], self._raw[:keep], self._clean[:keep], self._bad[:keep]
