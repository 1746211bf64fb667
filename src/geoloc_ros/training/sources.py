# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans of an epoch: which samples meet in which batch, first by place, then by confusion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor  # noqa: TID253 - this room is torch; nothing onboard imports it

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

    Mining uses the descriptors seen while training, so it costs no extra pass. After a resume the
    first epoch falls back to geographic neighbours.
    """

    def __init__(self, data: PerspectiveData, dim: int = 128) -> None:
        self.data = data
        self._query = np.zeros((len(data), dim), np.float32)
        self._reference = np.zeros((len(data), dim), np.float32)
        self._near = geographic_neighbours(data.poses, data.towns, NEIGHBOURS)

    def epoch(self, number: int, config: TrainConfig, rng: np.random.Generator) -> list[IntArray]:
        """Sample numbers of each batch of one epoch."""
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
        return self.data.batch(plan, rng, config.extra)

    def learned(self, plan: IntArray, query: Tensor, reference: Tensor) -> None:
        """Remember descriptors for mining."""
        self._query[plan] = query.float().numpy()
        self._reference[plan] = reference[: len(plan)].float().numpy()
