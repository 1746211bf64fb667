# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Random draws of a training that depend on where they are made, not on what was drawn before.

Every draw of a step comes from a generator named by (seed, epoch, step, row). So a run that is
resumed at any step draws what it would have drawn, batches may be made ahead and in any order, and
several processes can make parts of one batch that fit together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoloc_ros.errors import TrainingError

Rng = np.random.Generator
# First word of each generator's seed: what it is for.
_PLAN, _BATCH, _ROW, _TORCH = range(4)


def plan_generator(seed: int, epoch: int) -> Rng:
    """The generator that plans an epoch."""
    return np.random.default_rng([_PLAN, seed, epoch, 0, 0])


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of one step.

    Attributes:
        seed: of the run.
        epoch: number of the epoch.
        step: number of the step within it.
    """

    seed: int
    epoch: int
    step: int

    def batch(self) -> Rng:
        """The generator of what a whole batch shares."""
        return np.random.default_rng([_BATCH, self.seed, self.epoch, self.step, 0])

    def row(self, number: int) -> Rng:
        """The generator of one picture of the batch."""
        return np.random.default_rng([_ROW, self.seed, self.epoch, self.step, number])

    def torch_seed(self, rank: int) -> int:
        """What torch is seeded with in a process, for networks that draw (stochastic depth)."""
        words = [_TORCH, self.seed, self.epoch, self.step, rank]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a batch a process makes.

    Attributes:
        rank: number of the process.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> slice:
        """The rows of a batch of `count` that belong to this process.

        Raises:
            TrainingError: the rows cannot be shared out evenly.
        """
        if count % self.size:
            raise TrainingError(
                f"{count} rows of a batch cannot be shared out evenly among {self.size} "
                f"processes; choose a --batch that is a multiple of {self.size}"
            )
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)


WHOLE = Part()
