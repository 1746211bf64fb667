# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans of an epoch: which samples meet in which batch, first by place, then by confusion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.errors import TrainingError
from geoloc_ros.training.data import Batch, PerspectiveData
from geoloc_ros.training.sampling import (
    clustered_batches,
    geographic_neighbours,
    similarity_neighbours,
)
from geoloc_ros.training.train import TrainConfig

IntArray = npt.NDArray[np.int64]
NEIGHBOURS = 32


class PerspectiveSource:
    """Batches of camera views and crops; remembers the last descriptors of every sample.

    Mining uses the descriptors seen while training, so it costs no extra pass.
    """

    def __init__(self, data: PerspectiveData, dim: int = 128) -> None:
        self.data = data
        self._query = np.zeros((len(data), dim), np.float32)
        self._reference = np.zeros((len(data), dim), np.float32)
        self._wide = False
        self._near = geographic_neighbours(data.poses, data.towns, NEIGHBOURS)

    def epoch(self, number: int, config: TrainConfig, rng: np.random.Generator) -> list[IntArray]:
        """Sample numbers of each batch of one epoch."""
        self._wide = number >= config.wide_from
        neighbours = self._near
        if number >= config.geographic_epochs and self._query.any():
            alike = similarity_neighbours(
                self._query, self._reference, self.data.poses, self.data.towns, NEIGHBOURS
            )
            # Half of the samples keep their street: the filter needs to tell metres apart.
            keep = rng.random(len(alike)) < 0.4
            alike[keep, :] = self._near[keep, : alike.shape[1]]
            neighbours = alike
        return clustered_batches(neighbours, config.batch, config.cluster, rng)

    def make(self, plan: IntArray, config: TrainConfig, rng: np.random.Generator) -> Batch:
        """Pixels of one batch."""
        return self.data.batch(plan, rng, config.extra, self._wide)

    def learned(self, plan: IntArray, query: Tensor, reference: Tensor) -> None:
        """Remember descriptors for mining."""
        self._query[plan] = query.float().numpy()
        self._reference[plan] = reference[: len(plan)].float().numpy()

    def state(self) -> dict[str, Tensor]:
        """The remembered descriptors."""
        return {
            "query": torch.from_numpy(self._query),
            "reference": torch.from_numpy(self._reference),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back remembered descriptors.

        Raises:
            TrainingError: they belong to other data.
        """
        if state["query"].shape != self._query.shape:
            raise TrainingError(
                f"the checkpoint remembers {len(state['query'])} samples, the data has "
                f"{len(self._query)}; train without --resume or with the same towns"
            )
        self._query, self._reference = state["query"].numpy(), state["reference"].numpy()
