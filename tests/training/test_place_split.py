# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ground is held out, not frames."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from geoloc_ros.errors import ConfigError, TrainingError
from geoloc_ros.training.place_split import (
    BUFFER,
    HELD_OUT,
    TRAIN,
    SplitConfig,
    blocks_of,
    split_by_place,
)


def streets(seed: int = 0) -> np.ndarray:
    """Two drives along the same streets, some way apart."""
    rng = np.random.default_rng(seed)
    along = np.arange(0.0, 3000.0, 2.0)
    first = np.column_stack([along, 40.0 * np.sin(along / 200.0)])
    return np.concatenate([first, first[::-1] + rng.normal(0, 1.0, first.shape)])


def test_no_training_view_lies_near_a_held_out_one() -> None:
    xy = streets()
    config = SplitConfig(block_m=200.0, share=0.2)
    parts = split_by_place(xy, config, 50.0)
    nearest = cdist(xy[parts == TRAIN], xy[parts == HELD_OUT]).min()
    assert nearest >= 50.0
    assert cdist(xy[parts == BUFFER], xy[parts == HELD_OUT]).min(axis=1).max() < 50.0
    assert 0.18 <= (parts == HELD_OUT).mean() <= 0.22


def test_a_block_is_held_out_whole_whichever_drive_went_through() -> None:
    xy = streets()
    config = SplitConfig()
    parts = split_by_place(xy, config, 50.0)
    blocks = blocks_of(xy, config.block_m)
    held_out = {tuple(b) for b in blocks[parts == HELD_OUT]}
    assert not held_out & {tuple(b) for b in blocks[parts != HELD_OUT]}


def test_the_seed_decides_which() -> None:
    xy = streets()
    same = [split_by_place(xy, SplitConfig(seed=s), 50.0).tolist() for s in (1, 1, 2)]
    assert same[0] == same[1]
    assert same[0] != same[2]


def test_nothing_is_held_out_of_nothing_asked_for() -> None:
    assert (split_by_place(streets(), SplitConfig(share=0.0), 50.0) == TRAIN).all()


def test_a_drive_too_short_to_be_shared_out_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"138 m .* none is left for train; .* --buffer"):
        split_by_place(streets()[:40], SplitConfig(), 138.0)


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_block_that_holds_most_views_is_not_held_out(seed: int) -> None:
    xy = np.zeros((100, 2))
    xy[:15] += [10_000.0, 0.0]
    assert (split_by_place(xy, SplitConfig(seed=seed), 50.0) == HELD_OUT).sum() == 15


@pytest.mark.parametrize("seed", range(1, 7))
def test_what_is_held_out_comes_close_to_the_share_wanted(seed: int) -> None:
    """Blocks of 5, 10, ... 60 views: some are larger than the share, some would overshoot it."""
    sizes = np.arange(5, 65, 5)
    xy = np.repeat(np.column_stack([np.arange(12) * 1000.0, np.zeros(12)]), sizes, axis=0)
    parts = split_by_place(xy, SplitConfig(seed=seed, block_m=500.0), 50.0)
    assert 0.15 <= (parts == HELD_OUT).mean() <= 0.25


def test_a_single_block_that_could_be_held_out_is() -> None:
    xy = np.repeat([[0.0, 0.0], [10_000.0, 0.0]], 50, axis=0)
    assert (split_by_place(xy, SplitConfig(share=0.05), 50.0) == HELD_OUT).sum() == 50


def test_the_buffer_is_measured_where_distances_are_right() -> None:
    """Two views far apart in the coordinates of blocks, but not on the ground."""
    xy = np.array([[0.0, 0.0], [9000.0, 0.0], [20_000.0, 0.0]])
    points = np.array([[0.0, 0.0, 0.0], [22.0, 0.0, 0.0], [9000.0, 0.0, 0.0]])
    for seed in range(1, 7):
        parts = split_by_place(xy, SplitConfig(seed=seed, share=0.3), 100.0, points)
        assert sorted(parts[:2].tolist()) != [TRAIN, HELD_OUT]


def test_settings_out_of_bounds_are_refused() -> None:
    with pytest.raises(ConfigError, match="block_m"):
        SplitConfig(block_m=1.0)
    with pytest.raises(ConfigError, match=r"buffer_m is -1; it must lie in \[0, 10000\]"):
        SplitConfig(buffer_m=-1.0)
