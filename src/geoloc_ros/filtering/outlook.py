# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a belief is spread over places, and what is different after it was told something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.filtering import kernels


@dataclass(frozen=True, slots=True)
class Outlook:
    """A belief at one moment; what the hypotheses leave is the probability of none of them.

    Attributes:
        means: (M, 3) mean pose of each hypothesis.
        mass: (M,) its probability.
        radius_m: how near two hypotheses are that are the same place.
        yaw_rad: the same for heading.
    """

    means: FloatArray
    mass: FloatArray
    radius_m: float
    yaw_rad: float

    def best(self) -> FloatArray | None:
        """Pose (3,) of the likeliest hypothesis, None if there is none."""
        return self.means[np.argmax(self.mass)] if len(self.mass) else None

    def at(self, pose: FloatArray) -> float:
        """Probability of the place of a pose (3,)."""
        same = kernels.near(self.means, pose[None], self.radius_m, self.yaw_rad)[:, 0]
        return float(self.mass[same].sum())


@dataclass(frozen=True, slots=True)
class Shift:
    """What is different at once in a belief that was told something.

    Attributes:
        moved: share of the probability that went from some hypotheses, or none of them, to
            others, 0..1.
        best_before: probability of the likeliest place before, NaN if there was none.
        best_after: of the same place now.
        best_stays: whether it is the likeliest still.
    """

    moved: float = float("nan")
    best_before: float = float("nan")
    best_after: float = float("nan")
    best_stays: bool = True


def shift(before: Outlook, after: Outlook) -> Shift:
    """Compare a belief with itself.

    Args:
        before: then.
        after: now; the hypotheses are the same, in the same order.
    """
    change = after.mass - before.mass
    moved = 0.5 * float(np.abs(change).sum() + abs(change.sum()))
    then, now = before.best(), after.best()
    if then is None or now is None:
        return Shift(moved)
    stays = kernels.near(now[None], then[None], before.radius_m, before.yaw_rad)
    return Shift(moved, before.at(then), after.at(then), bool(stays[0, 0]))
