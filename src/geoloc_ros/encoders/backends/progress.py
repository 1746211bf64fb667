# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How far a build is, and when it will be done."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

#: before so much is done, nobody can say when the rest will be
_FIRST_GUESS = 0.02
#: a build is done when its files are written, not when the library says so
_ALMOST = 0.99


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is.

    Attributes:
        what: is being done.
        elapsed_s: since it began.
        done: share, 0..1; None where nobody knows.
    """

    what: str
    elapsed_s: float
    done: float | None = None

    @property
    def left_s(self) -> float | None:
        """How long it will take if it goes on as it went; None where nobody can say."""
        if self.done is None or self.done < _FIRST_GUESS:
            return None
        return self.elapsed_s * (1.0 - self.done) / self.done

    @property
    def words(self) -> str:
        """One line."""
        if self.done is None:
            return f"{self.what}, {_minutes(self.elapsed_s)} so far"
        left = "" if self.left_s is None else f", about {_minutes(self.left_s)} left"
        return f"{self.what}, {self.done:.0%} done{left}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90.0 else f"{seconds / 60.0:.0f} min"


@dataclass
class _Phase:
    parent: str | None
    steps: int
    completed: int = 0


@dataclass
class Phases:
    """The share of a build that is done, from phases that hold phases.

    A phase of n steps counts each completed one as 1/n; what is open inside it counts for the step
    it is at. The share never falls: phases that nobody announced come after the first ones.
    Several threads may report.
    """

    done: float = 0.0
    _open: dict[str, _Phase] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, inside another one if there is a parent."""
        with self._lock:
            self._open[name] = _Phase(parent or None, max(steps, 1))

    def step(self, name: str, number: int) -> None:
        """A step, counted from 0, is completed."""
        with self._lock:
            if name in self._open:
                phase = self._open[name]
                phase.completed = max(phase.completed, min(number + 1, phase.steps))
            self._count()

    def end(self, name: str) -> None:
        """A phase is over, with or without its last steps."""
        with self._lock:
            phase = self._open.pop(name, None)
            if phase is not None and phase.parent is None:
                self.done = _ALMOST
            self._count()

    def _count(self) -> None:
        roots = [name for name, phase in self._open.items() if phase.parent is None]
        share = max((self._share(name) for name in roots), default=0.0)
        self.done = min(max(self.done, share), _ALMOST)

    def _share(self, name: str) -> float:
        phase = self._open[name]
        inside = [child for child, other in self._open.items() if other.parent == name]
        within = max((self._share(child) for child in inside), default=0.0)
        return min((phase.completed + within) / phase.steps, 1.0)
