# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a vehicle was when it took a picture: fixes and odometry, as far as they agree.

Around each frame the way that odometry has measured is laid on the fixes by a rigid motion. That
tells position and heading better than a single fix does, and where no motion fits, a fix has
jumped or odometry has slipped: such frames are not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Odometry
from geoloc_ros.evaluation.columns import Truth
from geoloc_ros.evaluation.trajectory import MAX_SPEED_MPS, interpolate_truth
from geoloc_ros.geo.se2 import compose, wrap_angle
from geoloc_ros.training.fixes import Fixes, Gate

IntArray = npt.NDArray[np.int64]

# To the nearest trusted fix, of which there is one before and one after a frame: receivers that
# give one a second do so about once a second.
NEAREST_FIX_S = 1.5
# Odometry that pauses for longer has not seen what happened; one a second is late now and then.
ODOMETRY_GAP_S = 1.5
# The window around a frame grows by these until its fixes tell the heading.
WIDER = (1.0, 1.5, 2.0, 3.0, 4.0)
# A pose's yaw and the one that fixes and odometry give may differ by so much, and three of the
# latter's deviations: half of what is taken for the same direction.
MAX_YAW_OFF_DEG = 11.25
# A fix agrees with odometry within three of its deviations, half a metre of registration in time,
# and a fiftieth of the way between them.
_SIGMAS, _LEEWAY_M, _DRIFT = 3.0, 0.5, 0.02
# Of the fixes around a frame so many may disagree, each alone.
_STRAYS = 0.1
_LEAST_FIXES = 4
# Fixes of a vehicle that stands tell no heading and err alike: so many of one place will do.
_PLACE_M, _PER_PLACE = 0.5, 8


class DeadReckoning:
    """The way of a drive as odometry measured it, cut where odometry has jumped or paused.

    Attributes:
        stamp_ns: (K,) strictly ascending.
        poses: (K, 3) in the odometry's own frame.
        along_m: (K,) way driven.
        stretch: (K,) number of the uninterrupted stretch.
    """

    def __init__(self, samples: list[Odometry]) -> None:
        good = {s.stamp_ns: s.pose for s in samples if np.isfinite(s.pose).all()}
        order = sorted(good)
        self.stamp_ns = np.array(order, dtype=np.int64)
        self.poses = np.array([good[stamp] for stamp in order]).reshape(-1, 3)
        seconds = np.diff(self.stamp_ns) * 1e-9
        step_m = np.hypot(*np.diff(self.poses[:, :2], axis=0).T)
        broken = (seconds > ODOMETRY_GAP_S) | (step_m > MAX_SPEED_MPS * seconds + 0.5)
        step_m[broken] = 0.0
        if len(order):
            self.stretch = np.concatenate([[0], np.cumsum(broken)])
            self.along_m = np.concatenate([[0.0], np.cumsum(step_m)])
        else:
            self.stretch, self.along_m = np.zeros(0, np.int64), np.zeros(0)

    def __len__(self) -> int:
        """How many samples."""
        return len(self.stamp_ns)

    def at(self, stamp_ns: IntArray) -> tuple[FloatArray, FloatArray, IntArray]:
        """Poses (N, 3), way driven (N,) and stretch (N,) at stamps; stretch -1 where unknown."""
        if len(self) < 2:
            return (
                np.full((len(stamp_ns), 3), np.nan),
                np.zeros(len(stamp_ns)),
                np.full(len(stamp_ns), -1),
            )
        after = np.clip(np.searchsorted(self.stamp_ns, stamp_ns, "left"), 1, len(self) - 1)
        before = after - 1
        span = (self.stamp_ns[after] - self.stamp_ns[before]).astype(np.float64)
        share = (stamp_ns - self.stamp_ns[before]) / span
        step = self.poses[after] - self.poses[before]
        step[:, 2] = wrap_angle(step[:, 2])
        poses = self.poses[before] + share[:, None] * step
        along = self.along_m[before] + share * (self.along_m[after] - self.along_m[before])
        inside = (share >= 0.0) & (share <= 1.0) & (self.stretch[after] == self.stretch[before])
        return poses, along, np.where(inside, self.stretch[before], -1)


@dataclass(frozen=True, slots=True)
class Laid:
    """A way laid on fixes.

    Attributes:
        turn_rad: from the odometry's frame to the plane.
        shift_m: (2,) of the turned way.
        sigma_rad: standard deviation of the turn.
        strays: share of the fixes that do not fit.
    """

    turn_rad: float
    shift_m: FloatArray
    sigma_rad: float
    strays: float


def lay(way_m: FloatArray, fixes_m: FloatArray, sigma_m: FloatArray, leeway_m: FloatArray) -> Laid:
    """Lay a way on fixes, without those that stray, the farthest first, until too many do.

    Least squares over rotation and translation (Umeyama, IEEE PAMI 1991, without scale); the
    deviation of the turn is that of a line through the points.

    Args:
        way_m: (M, 2) where odometry says the fixes were taken.
        fixes_m: (M, 2).
        sigma_m: (M,) of the fixes.
        leeway_m: (M,) how far each may lie off besides.
    """
    kept = np.ones(len(way_m), np.bool_)
    for _ in range(len(way_m)):
        weight = np.where(kept, 1.0 / sigma_m**2, 0.0)
        total = weight.sum()
        a_mean, b_mean = weight @ way_m / total, weight @ fixes_m / total
        a, b = way_m - a_mean, fixes_m - b_mean
        across = weight @ (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        turn = float(np.arctan2(across, weight @ (a * b).sum(axis=1)))
        shift = b_mean - turned(a_mean, turn)
        excess = np.hypot(*(turned(way_m, turn) + shift - fixes_m).T) - _SIGMAS * sigma_m
        excess -= leeway_m
        worst = int(np.argmax(np.where(kept, excess, -np.inf)))
        if excess[worst] <= 0.0 or kept.sum() <= _LEAST_FIXES or (~kept).mean() > _STRAYS:
            break
        kept[worst] = False
    spread = float(weight @ (a**2).sum(axis=1))
    sigma = 1.0 / np.sqrt(spread) if spread > 0.0 else np.inf
    strays = float((~kept | (excess > 0.0)).mean())
    return Laid(turn, shift, float(sigma), strays)


def turned(xy_m: FloatArray, angle_rad: float) -> FloatArray:
    """Points (..., 2) turned about the origin, counter-clockwise."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    x, y = xy_m[..., 0], xy_m[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


class FramePoses:
    """Answers the pose of a frame, or why there is none."""

    def __init__(self, fixes: Fixes, odometry: DeadReckoning, gate: Gate) -> None:
        self._fixes, self._gate = fixes, gate
        self._odometry = odometry
        self._truth = Truth(fixes.stamp_ns, np.column_stack([fixes.xy_m, fixes.yaw_rad]))
        poses, along_m, stretch = odometry.at(fixes.stamp_ns)
        rows = _few_of_a_place(poses[:, :2], stretch)
        rows = rows[stretch[rows] >= 0]
        antenna = np.array([*fixes.antenna_m, 0.0])
        self._antenna = compose(poses[rows], antenna)[:, :2]
        self._along_m, self._stretch = along_m[rows], stretch[rows]
        self._xy_m, self._sigma_m = fixes.xy_m[rows], fixes.sigma_m[rows]

    def at(self, stamp_ns: int) -> FloatArray | str:
        """The base's pose (3,) on the plane at a stamp, or the reason why it is not known."""
        stamp = np.array([stamp_ns])
        if self._nearest_s(stamp_ns) > NEAREST_FIX_S:
            return "no_trusted_fix"
        if self._fixes.know_heading:
            pose, known = interpolate_truth(self._truth, stamp, max_gap_s=NEAREST_FIX_S)
            if not known[0]:
                return "no_trusted_fix"
            if len(self._odometry) and (why := self._contradiction(stamp, float(pose[0, 2]))):
                return why
            offset = turned(self._fixes.antenna_m, float(pose[0, 2]))
            return np.array([*(pose[0, :2] - offset), pose[0, 2]])
        laid = self._laid(stamp)
        if isinstance(laid, str):
            return laid
        if not self._sure(laid):
            return "heading_unsure"
        way = self._odometry.at(stamp)[0][0]
        xy = turned(way[:2], laid.turn_rad) + laid.shift_m
        return np.array([*xy, float(wrap_angle(way[2] + laid.turn_rad))])

    def _nearest_s(self, stamp_ns: int) -> float:
        """Time to the nearer of the two fixes around a stamp; infinite outside of all."""
        stamps = self._fixes.stamp_ns
        after = int(np.searchsorted(stamps, stamp_ns, "left"))
        if after < len(stamps) and stamps[after] == stamp_ns:
            return 0.0
        if after in (0, len(stamps)):
            return np.inf
        return float(min(stamps[after] - stamp_ns, stamp_ns - stamps[after - 1]) * 1e-9)

    def way(self, stamp_ns: int) -> tuple[float, int]:
        """Way driven at a stamp, m, and the stretch it belongs to; stretch -1 where unknown."""
        _, along, stretch = self._odometry.at(np.array([stamp_ns]))
        return float(along[0]), int(stretch[0])

    def _contradiction(self, stamp: IntArray, yaw_rad: float) -> str:
        """What odometry and fixes have against a pose with this yaw; empty if nothing."""
        laid = self._laid(stamp)
        if isinstance(laid, str):
            return laid if laid == "contradicted" else ""
        way = self._odometry.at(stamp)[0][0]
        off = abs(float(wrap_angle(way[2] + laid.turn_rad - yaw_rad)))
        limit = np.radians(MAX_YAW_OFF_DEG) + _SIGMAS * laid.sigma_rad
        return "heading_contradicted" if off > limit else ""

    def _laid(self, stamp: IntArray) -> Laid | str:
        """The way around a stamp laid on its fixes, or why it cannot be.

        The window is widened until the fixes in it tell the heading.
        """
        _, along, stretch = self._odometry.at(stamp)
        if stretch[0] < 0:
            return "no_odometry"
        found: Laid | str = "too_few_fixes"
        for factor in WIDER:
            window = np.array([-1.0, 1.0]) * self._gate.window_m * factor
            first, last = np.searchsorted(self._along_m, along[0] + window)
            near = first + np.flatnonzero(self._stretch[first:last] == stretch[0])
            if len(near) < _LEAST_FIXES:
                continue
            leeway = _LEEWAY_M + _DRIFT * np.abs(self._along_m[near] - along[0])
            found = lay(self._antenna[near], self._xy_m[near], self._sigma_m[near], leeway)
            if found.strays > _STRAYS:
                return "contradicted"
            if self._sure(found):
                break
        return found

    def _sure(self, laid: Laid) -> bool:
        return bool(laid.sigma_rad <= np.radians(self._gate.max_yaw_sigma_deg))


def _few_of_a_place(xy_m: FloatArray, stretch: IntArray) -> IntArray:
    """Rows of fixes (M, 2), in their order, that remain if few are taken of each place."""
    starts: list[int] = []
    for row, place in enumerate(xy_m):
        if starts and stretch[row] == stretch[starts[-1]]:
            away = place - xy_m[starts[-1]]
            if np.hypot(away[0], away[1]) < _PLACE_M:
                continue
        starts.append(row)
    chosen = [
        np.unique(np.linspace(first, last - 1, min(last - first, _PER_PLACE)).astype(np.int64))
        for first, last in zip(starts, [*starts[1:], len(xy_m)], strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int64), *chosen])
