# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs each camera frame with the vehicle's motion since the frame before it.

Live node and replay share it, so that both hand the spine the same pairs. A frame waits until
odometry has reached its stamp, or until it is clear that none will come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from geoloc_ros.config import Config
from geoloc_ros.datatypes import Motion, Odometry, Reason
from geoloc_ros.filtering.odometry import OdometryBuffer

NS = 1_000_000_000

Payload = TypeVar("Payload")


@dataclass(slots=True)
class Counts:
    """What became of the frames."""

    received: int = 0
    stale: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Paired(Generic[Payload]):
    """A frame with what belongs to it.

    Attributes:
        stamp_ns: capture time.
        payload: whatever the caller put in: bytes, a message, pixels.
        camera: name of the camera.
        motion: since the previous frame; of zero length and no information for the first.
        height_m: latest height above ground at the stamp, None if there is none.
        reset: the clock jumped between the previous frame and this one.
    """

    stamp_ns: int
    payload: Payload
    camera: str
    motion: Motion
    height_m: float | None
    reset: bool


@dataclass(slots=True, eq=False)
class _Pending(Generic[Payload]):
    stamp_ns: int
    payload: Payload
    camera: str
    waits: bool = True


@dataclass(slots=True)
class _Heights:
    samples: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=2000))

    def at(self, stamp_ns: int, timeout_ns: int) -> float | None:
        best = min(self.samples, key=lambda item: abs(item[0] - stamp_ns), default=None)
        if best is None or abs(best[0] - stamp_ns) > timeout_ns:
            return None
        return best[1]


class Synchronizer(Generic[Payload]):
    """Holds frames until their odometry is there.

    Args:
        config: the tree; `input` and `filter` are used.
        use_odometry: False when motion comes from the images themselves: frames never wait and
            carry a motion of no information.
        use_height: True when heights are expected; a frame then waits for one of about its stamp.
    """

    def __init__(
        self, config: Config, use_odometry: bool = True, use_height: bool = False
    ) -> None:
        self.counts = Counts()
        self._timeout_ns = int(config.input.odometry_timeout_s * NS)
        self._jump_ns = int(config.input.clock_jump_s * NS)
        self._odometry = OdometryBuffer(config.input, config.filter) if use_odometry else None
        self._use_height = use_height
        self.restart()

    def restart(self) -> None:
        """Forget every frame and sample; the counts go on."""
        if self._odometry is not None:
            self._odometry.clear()
        self._heights = _Heights()
        self._pending: list[_Pending[Payload]] = []
        self._previous_ns: int | None = None
        self._newest_ns: dict[str, int] = {}
        self._latest_ns = 0

    def add_odometry(self, odometry: Odometry) -> None:
        """Take one odometry sample; samples may come late or out of order."""
        if self._odometry is not None:
            self._odometry.add(odometry)
        self._latest_ns = max(self._latest_ns, odometry.stamp_ns)

    def add_height(self, stamp_ns: int, height_m: float) -> None:
        """Take one height above ground; heights that are not finite and positive are ignored."""
        if np.isfinite(height_m) and height_m > 0.0:
            self._heights.samples.append((stamp_ns, height_m))
        self._latest_ns = max(self._latest_ns, stamp_ns)

    def add_frame(self, stamp_ns: int, payload: Payload, camera: str = "") -> bool:
        """Take one frame; one older than the last is counted as stale and dropped.

        Returns:
            Whether it was taken.
        """
        self.counts.received += 1
        newest, passed = self._newest_ns.get(camera), self._previous_ns
        repeated = newest is not None and newest - self._jump_ns <= stamp_ns <= newest
        overtaken = passed is not None and passed - self._jump_ns <= stamp_ns < passed
        if repeated or overtaken:
            self.counts.stale += 1
            return False
        if newest is not None and stamp_ns < newest:
            self._latest_ns = stamp_ns
            for item in self._pending:
                item.waits = item.waits and item.stamp_ns - self._jump_ns <= stamp_ns
        self._latest_ns = max(self._latest_ns, stamp_ns)
        self._newest_ns[camera] = stamp_ns
        at = len(self._pending)
        while at and self._pending[at - 1].waits and self._pending[at - 1].stamp_ns > stamp_ns:
            at -= 1
        self._pending.insert(at, _Pending(stamp_ns, payload, camera))
        return True

    def forget(self, camera: str) -> None:
        """Let go what waits of a camera."""
        self._pending = [item for item in self._pending if item.camera != camera]

    def ready(self, flush: bool = False) -> Iterator[Paired[Payload]]:
        """Frames whose motion is known, in order; all of them when `flush` is set."""
        while self._pending and (flush or self._is_ready(self._pending[0])):
            yield self._pair(self._pending.pop(0))

    def newest(self) -> Paired[Payload] | None:
        """The next frame whose motion is known, where only the newest of each camera counts.

        Older ones are dropped and counted.
        """
        able = [item for item in self._pending if self._is_ready(item)]
        newest = {item.camera: item for item in able}
        kept = [item for item in self._pending if item not in able or item in newest.values()]
        self.counts.dropped += len(self._pending) - len(kept)
        self._pending = kept
        if not newest:
            return None
        chosen = next(item for item in kept if item in newest.values())
        self._pending.remove(chosen)
        return self._pair(chosen)

    def _is_ready(self, item: _Pending[Payload]) -> bool:
        if not item.waits:
            return True
        stamp_ns = item.stamp_ns
        late = self._latest_ns >= stamp_ns + self._timeout_ns or len(self._pending) > 1000
        if self._use_height and not late and self._heights.at(stamp_ns, self._timeout_ns) is None:
            return False
        if self._odometry is None:
            return True
        reached = self._odometry.latest_ns
        return late or (reached is not None and reached >= stamp_ns)

    def _pair(self, pending: _Pending[Payload]) -> Paired[Payload]:
        stamp, previous, camera = pending.stamp_ns, self._previous_ns, pending.camera
        self._previous_ns = stamp
        height = self._heights.at(stamp, self._timeout_ns)
        if previous is None:
            return Paired(stamp, pending.payload, camera, _no_motion(stamp), height, False)
        back = stamp < previous
        if back and self._odometry is not None:
            self._odometry.clear()
        motion = (
            unknown_motion(previous, stamp)
            if self._odometry is None or back
            else self._odometry.motion(previous, stamp)
        )
        gap = stamp - previous > self._jump_ns and bool(motion.reasons)
        return Paired(stamp, pending.payload, camera, motion, height, back or gap)


def _no_motion(stamp_ns: int) -> Motion:
    return Motion(stamp_ns, stamp_ns, np.zeros(3), np.diag([1e-6, 1e-6, 1e-8]))


def unknown_motion(from_ns: int, to_ns: int) -> Motion:
    """A motion about which nothing is known yet: no increment and no reason to trust it."""
    return Motion(from_ns, to_ns, np.zeros(3), np.diag([1e-6, 1e-6, 1e-8]), (Reason.NO_ODOMETRY,))
