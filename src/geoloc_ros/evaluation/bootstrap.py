# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How far a difference of two runs may be chance: a paired bootstrap over blocks of the way.

Frames that follow each other err alike, so they are no independent draws; pieces of the way a good
deal longer than errors last nearly are. The way is cut into blocks of one length. A resample draws
as many blocks as there are, with replacement, and takes *all* frames of a drawn block, of *both*
runs: what a place does to both stays out of their difference. The figure is taken of all frames
drawn, for each run, and the difference of the two is one draw of what another drive like this one
might have shown. Its interval is that between the quantiles of the draws (percentile interval).

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 8.6 (blocks of
dependent data) and 13.3 (percentile interval); Carlstein, The use of subseries values for
estimating the variance of a general statistic from a stationary sequence, Annals of Statistics
14(3), 1986 (blocks that do not overlap); Kuensch, The jackknife and the bootstrap for general
stationary observations, Annals of Statistics 17(3), 1989.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.checked import Checked, param
from geoloc_ros.datatypes import FloatArray

MIN_BLOCKS = 10
"""Fewer blocks give no interval: their quantiles would be those of a handful of places."""

MIN_DRAWN = 0.9
"""Least share of the resamples that must give a figure for it to have an interval."""

Rows = npt.NDArray[np.intp]
Statistic = Callable[[Rows], FloatArray]
"""Figures (M,) of some frames, given by their rows; NaN where these frames give none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling(Checked):
    """How the bootstrap draws."""

    block_m: float = param(50.0, "length of a block of the way, m", ge=0.1, le=1e5)
    resamples: int = param(2000, "number of resamples", ge=100, le=1_000_000)
    level: float = param(0.95, "share of the draws within the interval", ge=0.5, le=0.999)
    seed: int = param(0, "of the draws", ge=0, le=2**32 - 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """Figures with the intervals of the draws, all (M,).

    Attributes:
        value: of all frames.
        low: lower end, NaN where there is none.
        high: upper end, NaN where there is none.
        blocks: how many blocks were drawn from.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    blocks: int


def blocks_along(distance_m: FloatArray, block_m: float) -> list[Rows]:
    """Rows of the frames in each block of the way; blocks without frames are none.

    Args:
        distance_m: (N,) driven until each frame, m.
        block_m: length of a block, m.
    """
    number = np.floor(np.asarray(distance_m) / block_m).astype(np.int64)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order])) + 1
    return list(np.split(order, starts)) if len(order) else []


def bootstrap(
    statistic: Statistic, blocks: list[Rows], how: Resampling, name: str = ""
) -> Interval:
    """A statistic of all frames, with its interval.

    For the difference of two runs hand in a statistic that takes the same rows of both.

    Args:
        statistic: figures of some frames.
        blocks: rows of the frames of each block.
        how: the settings; the same seed gives the same interval.
        name: shown beside a progress bar; empty for none.
    """
    from tqdm import tqdm

    every = np.concatenate([np.empty(0, dtype=np.intp), *blocks])
    value = np.asarray(statistic(every), dtype=np.float64)
    nothing = np.full(len(value), np.nan)
    if len(blocks) < MIN_BLOCKS:
        return Interval(value, nothing, nothing, len(blocks))
    rng = np.random.default_rng(how.seed)
    draws = np.empty((how.resamples, len(value)))
    for row in tqdm(range(how.resamples), name, disable=not name, leave=False):
        drawn = rng.integers(0, len(blocks), len(blocks))
        draws[row] = statistic(np.concatenate([blocks[block] for block in drawn]))
    low, high = nothing.copy(), nothing.copy()
    tail = (1.0 - how.level) / 2.0
    for column in np.flatnonzero(np.isfinite(value)):
        found = draws[np.isfinite(draws[:, column]), column]
        if len(found) >= MIN_DRAWN * how.resamples:
            low[column], high[column] = np.quantile(found, [tail, 1.0 - tail])
    return Interval(value, low, high, len(blocks))
