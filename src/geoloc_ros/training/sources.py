# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans of an epoch: which samples meet in which batch, first by place, then by confusion."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.datatypes import Mask
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.config import TrainConfig
from geoloc_ros.training.data import Batch
from geoloc_ros.training.draws import Draws, Part, Rng
from geoloc_ros.training.sampling import clustered_batches, similarity_neighbours

IntArray = npt.NDArray[np.int64]


class Pairs(Protocol):
    """Samples of a query and a reference each, of which batches can be made."""

    def __len__(self) -> int:
        """How many."""

    def near(self, count: int) -> IntArray:
        """For each sample its nearest others that are elsewhere (N, count); -1 where none is."""

    def same(self, rows: IntArray) -> Mask:
        """Which samples (n, N) show the same place as some (n,)."""

    def batch(
        self, rows: IntArray, draws: Draws, part: Part, extra: int, wide: bool = False
    ) -> Batch:
        """A process's part of the batch of some samples (n,)."""


class MinedSource:
    """Batches of pairs; remembers the last descriptors of every sample.

    Mining uses the descriptors seen while training, so it costs no extra pass.
    """

    def __init__(self, pairs: Pairs, dim: int) -> None:
        self.pairs = pairs
        self._query = np.zeros((len(pairs), dim), np.float32)
        self._reference = np.zeros((len(pairs), dim), np.float32)
        self._wide = False
        self._near: IntArray | None = None
        self._plan: tuple[int, list[IntArray]] = (-1, [])

    def epoch(self, number: int, config: TrainConfig, rng: Rng) -> list[IntArray]:
        """Sample numbers of each batch of one epoch.

        The plan depends on what was remembered when the epoch began, so it is kept until the next.
        """
        self._wide = number >= config.wide_from
        if self._plan[0] != number:
            neighbours = self._neighbours(number, config, rng)
            batches: list[IntArray] = []
            for _ in range(config.passes):
                batches += clustered_batches(neighbours, config.batch, config.cluster, rng)
            self._plan = number, batches
        return self._plan[1]

    def _neighbours(self, number: int, config: TrainConfig, rng: Rng) -> IntArray:
        if self._near is None or self._near.shape[1] != config.pool:
            self._near = self.pairs.near(config.pool)
        if number < config.geographic_epochs or not self._query.any():
            return self._near
        alike = similarity_neighbours(self._query, self._reference, self.pairs.same, config.pool)
        # Some samples keep their street: the filter needs to tell metres apart.
        keep = rng.random(len(alike)) < config.street
        alike[keep, :] = self._near[keep, : alike.shape[1]]
        return alike

    def make(self, plan: IntArray, config: TrainConfig, draws: Draws, part: Part) -> Batch:
        """Pixels of a process's part of one batch."""
        return self.pairs.batch(plan, draws, part, config.extra, self._wide)

    def learned(self, plan: IntArray, query: Tensor, reference: Tensor) -> None:
        """Remember descriptors for mining."""
        self._query[plan] = query.float().cpu().numpy()
        self._reference[plan] = reference[: len(plan)].float().cpu().numpy()

    def state(self) -> dict[str, Tensor]:
        """The remembered descriptors and the plan of the epoch."""
        number, batches = self._plan
        plan = np.stack(batches) if batches else np.zeros((0, 0), np.int64)
        return {
            "query": torch.from_numpy(self._query),
            "reference": torch.from_numpy(self._reference),
            "plan": torch.from_numpy(plan),
            "epoch": torch.tensor(number),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back remembered descriptors and the plan.

        Raises:
            TrainingError: they belong to other data.
        """
        if state["query"].shape != self._query.shape:
            raise TrainingError(
                f"the checkpoint remembers {len(state['query'])} samples, the data has "
                f"{len(self._query)}; train without --resume or with the same data"
            )
        self._query, self._reference = state["query"].numpy(), state["reference"].numpy()
        self._plan = int(state["epoch"]), list(state["plan"].numpy())
