# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the cameras of a rig took at about the same time becomes one shot.

A shot begins with the first image of a moment and takes the image of every other camera whose
stamp lies within a tolerance. It is complete when all cameras are in it that still send; it is
closed without those that are late when a camera of it sends its next image. So it never waits for
a camera that has failed, longer than for one more image, and not at all once that camera has been
silent for a second. All this depends on stamps and their order alone, never on a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

SILENT_NS = 1_000_000_000

Payload = TypeVar("Payload")


@dataclass(frozen=True, slots=True)
class Shot(Generic[Payload]):
    """One moment of a rig.

    Attributes:
        stamp_ns: of the leading camera, or of the first of the others if that one is missing.
        payloads: by camera, in the order of the rig.
    """

    stamp_ns: int
    payloads: dict[str, Payload]


class Rig(Generic[Payload]):
    """Gathers shots.

    Attributes:
        shots: how many were complete or closed.
        missing: how many of them a camera was missing from, by camera.
        absent: the cameras that the latest one lacked.
        late: images that came after their shot was closed.

    Args:
        tolerance_ns: images further apart are of different moments.
        jump_ns: an image so much older than the shot under way is of a clock that was set back.
    """

    def __init__(self, tolerance_ns: int, jump_ns: int) -> None:
        self._tolerance_ns, self._jump_ns = tolerance_ns, jump_ns
        self._names: tuple[str, ...] = ()
        self.shots = 0
        self.missing: Counter[str] = Counter()
        self.absent: tuple[str, ...] = ()
        self.late = 0
        self.restart()

    def restart(self) -> None:
        """Forget the shot under way and when cameras were heard; the counts go on."""
        self._open: dict[str, tuple[int, Payload]] = {}
        self._heard_ns: dict[str, int] = {}
        self._begun_ns: int | None = None
        self._closed_ns: int | None = None

    def set_cameras(self, names: Iterable[str]) -> None:
        """Wait for these cameras, the leading one first."""
        self._names = tuple(names)
        self._open = {name: item for name, item in self._open.items() if name in self._names}

    def add(self, stamp_ns: int, payload: Payload, camera: str) -> Iterator[Shot[Payload]]:
        """Take an image of one of the cameras; gives the shots that it completes or closes."""
        first_ns = min((stamp for stamp, _ in self._open.values()), default=stamp_ns)
        if stamp_ns < first_ns - self._jump_ns:
            yield from self.flush()
            self.restart()
        elif self._is_late(stamp_ns, first_ns):
            self.late += 1
            self._heard_ns[camera] = stamp_ns  # it is there, and will be waited for
            return
        elif camera in self._open or stamp_ns > first_ns + self._tolerance_ns:
            yield from self.flush()
        if self._begun_ns is None:
            self._begun_ns = stamp_ns
        self._heard_ns[camera] = stamp_ns
        self._open[camera] = stamp_ns, payload
        if all(name in self._open for name in self._awaited(stamp_ns)):
            yield from self.flush()

    def flush(self) -> Iterator[Shot[Payload]]:
        """Close the shot under way; it is lost if it has less than half of the cameras there are.

        A lonely image that came late would pass for a rig that is almost blind.
        """
        if not self._open:
            return
        order = [name for name in self._names if name in self._open]
        stamps = [self._open[name][0] for name in order]
        awaited = self._awaited(max(stamps))
        if 2 * len(order) >= len(awaited):
            self.shots += 1
            self.absent = tuple(name for name in self._names if name not in self._open)
            self.missing.update(self.absent)
            yield Shot(stamps[0], {name: self._open[name][1] for name in order})
        self._closed_ns = max(stamps)
        self._open = {}

    def _is_late(self, stamp_ns: int, first_ns: int) -> bool:
        closed_ns = self._closed_ns
        passed = closed_ns is not None and closed_ns - self._jump_ns <= stamp_ns <= closed_ns
        return passed or stamp_ns < first_ns - self._tolerance_ns

    def _awaited(self, stamp_ns: int) -> list[str]:
        """Cameras that have been heard lately, or may yet be for the first time."""
        begun_ns = stamp_ns if self._begun_ns is None else self._begun_ns
        heard = ((name, self._heard_ns.get(name, begun_ns)) for name in self._names)
        return [name for name, heard_ns in heard if stamp_ns - heard_ns <= SILENT_NS]
