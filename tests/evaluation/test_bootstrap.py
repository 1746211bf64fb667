# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Intervals of differences: against scipy's on independent draws, and as often right as promised
on errors that last."""

import numpy as np
import pytest
from scipy.signal import lfilter

from geoloc_ros.errors import ConfigError
from geoloc_ros.evaluation.bootstrap import MIN_BLOCKS, Resampling, blocks_along, bootstrap


def test_blocks_hold_the_frames_of_one_piece_of_the_way():
    blocks = blocks_along(np.array([0.0, 49.9, 50.0, 230.0, 20.0]), 50.0)
    assert [block.tolist() for block in blocks] == [[0, 1, 4], [2], [3]]
    assert blocks_along(np.empty(0), 50.0) == []


def test_independent_draws_give_the_interval_of_scipy():
    from scipy import stats

    rng = np.random.default_rng(1)
    a, b = rng.gamma(2.0, 1.0, 80), rng.gamma(2.2, 1.0, 80)
    found = bootstrap(
        lambda rows: np.array([np.median(b[rows]) - np.median(a[rows])]),
        blocks_along(np.arange(80.0), 1.0),
        Resampling(resamples=4000),
    )
    expected = stats.bootstrap(
        (a, b),
        lambda x, y: np.median(y) - np.median(x),
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert found.value[0] == np.median(b) - np.median(a)
    assert found.low[0] == pytest.approx(expected.low, abs=0.06)
    assert found.high[0] == pytest.approx(expected.high, abs=0.06)


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(3).normal(size=60)
    blocks = blocks_along(np.arange(60.0), 2.0)

    def ends(seed):
        how = Resampling(seed=seed, resamples=200)
        found = bootstrap(lambda rows: values[rows].mean(keepdims=True), blocks, how)
        return float(found.low[0]), float(found.high[0])

    assert ends(5) == ends(5)
    assert ends(5) != ends(6)


def test_blocks_are_right_more_often_than_frames_where_errors_last():
    """Nominal 0.95; errors last 10 m, runs are 1 km long, and share half of what they meet."""
    hits = {2.0: 0, 50.0: 0}
    runs, length = 40, 1000
    keep = np.exp(-1.0 / 10.0)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((3, length)) * np.sqrt(1.0 - keep**2)
        noise[:, 0] /= np.sqrt(1.0 - keep**2)
        place, first, second = lfilter([1.0], [1.0, -keep], noise, axis=1)
        a, b = place + first, place + second + 0.3
        for block_m in hits:
            found = bootstrap(
                lambda rows, a=a, b=b: np.array([b[rows].mean() - a[rows].mean()]),
                blocks_along(np.arange(float(length)), block_m),
                Resampling(block_m=block_m, resamples=120, seed=seed),
            )
            hits[block_m] += int(found.low[0] <= 0.3 <= found.high[0])
    assert hits[50.0] / runs > 0.8
    assert hits[2.0] / runs < 0.7


def test_few_blocks_give_no_interval():
    blocks = blocks_along(np.arange(MIN_BLOCKS - 1.0), 1.0)
    found = bootstrap(lambda rows: np.array([float(len(rows))]), blocks, Resampling())
    assert found.value[0] == MIN_BLOCKS - 1
    assert np.isnan([found.low[0], found.high[0]]).all()


def test_a_figure_that_most_draws_do_not_give_has_no_interval():
    values = np.full(20, np.nan)
    values[0] = 1.0

    def mean(rows):
        known = values[rows][np.isfinite(values[rows])]
        return np.array([known.mean() if len(known) else np.nan, 1.0])

    found = bootstrap(mean, blocks_along(np.arange(20.0), 1.0), Resampling(resamples=200))
    assert np.isnan(found.low[0])
    assert found.low[1] == found.high[1] == 1.0


@pytest.mark.parametrize(
    "wrong", [{"block_m": 0.0}, {"resamples": 10}, {"level": 1.0}, {"seed": -1}, {"block_m": "1"}]
)
def test_settings_have_bounds(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Resampling(**wrong)
