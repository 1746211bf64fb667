# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which views are trained on and which are held out: by where they were taken, not by when.

Frames of one drive, and drives along one street, show the same houses. If some of them were held
out at random, a network that had learnt the houses by heart would look like one that can compare
views with imagery. So blocks of ground are held out, and what lies near them is not used at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geoloc_ros.checked import Checked, param
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import TrainingError

IntArray = npt.NDArray[np.int64]
TRAIN, HELD_OUT, BUFFER = range(3)
NAMES = ("train", "held_out", "buffer")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig(Checked):
    """How ground is shared out between training and validation."""

    block_m: float = param(200.0, "side of a block of ground, m", ge=20.0, le=100_000.0)
    share: float = param(0.2, "of the views that is held out at least", ge=0.0, le=0.8)
    buffer_m: float = param(
        50.0, "views to train on lie at least so far from every held-out one, m",
        ge=0.0, le=10_000.0,
    )  # fmt: skip
    seed: int = param(1, "of the order in which blocks are held out", ge=0, le=2**31 - 1)


def blocks_of(xy_m: FloatArray, block_m: float) -> IntArray:
    """Column and row (N, 2) of the blocks that positions (N, 2 or more) lie in."""
    return np.floor(xy_m[:, :2] / block_m).astype(np.int64)


def split_by_place(xy_m: FloatArray, config: SplitConfig) -> IntArray:
    """Hold out whole blocks, in a random order, until the share is reached.

    Args:
        xy_m: (N, 2 or more) where views were taken, m, of all drives together.
        config: how.

    Returns:
        (N,) `TRAIN`, `HELD_OUT` or `BUFFER`.

    Raises:
        TrainingError: a part stays empty.
    """
    parts = np.full(len(xy_m), TRAIN, dtype=np.int64)
    if not config.share:
        return parts
    blocks, of_view, counts = np.unique(
        blocks_of(xy_m, config.block_m), axis=0, return_inverse=True, return_counts=True
    )
    order = np.random.default_rng([config.seed, 5]).permutation(len(blocks))
    needed = int(np.searchsorted(np.cumsum(counts[order]), config.share * len(xy_m))) + 1
    held_out = np.isin(of_view.reshape(-1), order[:needed])
    parts[held_out] = HELD_OUT
    if held_out.any():
        distance, _ = cKDTree(xy_m[held_out, :2]).query(xy_m[:, :2])
        parts[~held_out & (distance < config.buffer_m)] = BUFFER
    for part in (TRAIN, HELD_OUT):
        if not (parts == part).any():
            raise TrainingError(
                f"of {len(xy_m)} views in {len(blocks)} blocks of {config.block_m:g} m none is "
                f"left for {NAMES[part]}; make --block or --buffer smaller (each must be far "
                "below the way driven), or --hold-out 0 and judge on other drives"
            )
    return parts
