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
    config = SplitConfig(block_m=200.0, share=0.2, buffer_m=50.0)
    parts = split_by_place(xy, config)
    nearest = cdist(xy[parts == TRAIN], xy[parts == HELD_OUT]).min()
    assert nearest >= 50.0
    assert cdist(xy[parts == BUFFER], xy[parts == HELD_OUT]).min(axis=1).max() < 50.0
    assert 0.2 <= (parts == HELD_OUT).mean() < 0.35


def test_a_block_is_held_out_whole_whichever_drive_went_through() -> None:
    xy = streets()
    config = SplitConfig()
    parts = split_by_place(xy, config)
    blocks = blocks_of(xy, config.block_m)
    held_out = {tuple(b) for b in blocks[parts == HELD_OUT]}
    assert not held_out & {tuple(b) for b in blocks[parts != HELD_OUT]}


def test_the_seed_decides_which() -> None:
    xy = streets()
    same = [split_by_place(xy, SplitConfig(seed=s)).tolist() for s in (1, 1, 2)]
    assert same[0] == same[1]
    assert same[0] != same[2]


def test_nothing_is_held_out_of_nothing_asked_for() -> None:
    assert (split_by_place(streets(), SplitConfig(share=0.0)) == TRAIN).all()


def test_a_drive_too_short_to_be_shared_out_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"none is left for train; make --block"):
        split_by_place(streets()[:40], SplitConfig())


def test_settings_out_of_bounds_are_refused() -> None:
    with pytest.raises(ConfigError, match="block_m"):
        SplitConfig(block_m=1.0)
