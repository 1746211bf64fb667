# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Differences of trajectories whose stamps are not the same."""

import numpy as np
import pytest

from geoloc_ros.evaluation.bootstrap import Resampling
from geoloc_ros.evaluation.compare_tracks import compare_tracks
from geoloc_ros.evaluation.track_score import TrackErrors
from geoloc_ros.evaluation.tracks import within_gaps

SECOND = 10**9
HOW = Resampling(resamples=200, block_m=20.0)


def errors(error_m, rate_hz=1.0, seconds=300, yaw_deg=1.0):
    """A drive of 2 m/s whose errors are a number, or a function of the time in seconds."""
    t = np.arange(0.0, seconds, 1.0 / rate_hz)
    value = np.array([error_m(s) for s in t]) if callable(error_m) else np.full(len(t), error_m)
    stamps = (t * SECOND).astype(np.int64)
    return TrackErrors(stamps, 2.0 * t, value, np.full(len(t), yaw_deg), np.zeros((len(t), 2)))


def median(first, other, max_gap_s=1.0, how=HOW):
    """The difference of the medians."""
    found = compare_tracks(["a", "b"], [first, other], max_gap_s, how)
    return found["differences"]["b"]["position_error_m"]["median"]


def test_a_known_difference_comes_out_at_different_rates():
    found = compare_tracks(["a", "b"], [errors(1.0), errors(3.0, 5.0, yaw_deg=4.0)], 1.0, HOW)
    entry = found["differences"]["b"]
    assert (entry["frames"], entry["other_frames"]) == (300, 1496)  # none after the last of a
    assert entry["position_error_m"]["median"]["low"] == 2.0
    assert entry["position_error_m"]["p95"]["verdict"] == "worse"
    assert entry["yaw_error_deg"]["median"]["difference"] == 3.0
    assert found["blocks"]["count"] == 30
    assert found["notes"] == []


def test_silence_where_it_is_hard_earns_no_better_error():
    hard = errors(lambda s: 9.0 if 100 <= s < 200 else 1.0)
    keep = (hard.stamp_ns < 100 * SECOND) | (hard.stamp_ns >= 200 * SECOND)
    silent = errors(1.0).rows(keep)
    assert median(hard, silent)["difference"] == 0.0
    assert median(silent, hard)["difference"] == 0.0
    assert median(hard, silent, max_gap_s=200.0)["baseline"] == 1.0


def test_what_places_do_to_both_stays_out_of_the_difference():
    """Errors go up and down by 5 m along the way; one is always 0.1 m worse."""
    first = errors(lambda s: 6.0 + 5.0 * np.sin(s / 15.0), 10.0)
    other = errors(lambda s: 6.1 + 5.0 * np.sin(s / 15.0), 20.0)
    found = median(first, other)  # the interval of one median alone is 5 m wide
    assert 0.05 < found["low"] < 0.1 < found["high"] < 0.15


def test_few_blocks_are_said():
    how = Resampling(resamples=100, block_m=200.0)
    found = compare_tracks(["a", "b"], [errors(1.0), errors(2.0)], 1.0, how)
    assert "3 blocks of 200 m" in found["notes"][0]
    assert found["differences"]["b"]["position_error_m"]["median"]["low"] is None


def test_trajectories_that_are_never_there_together_have_no_difference():
    first, other = errors(1.0, seconds=100), errors(2.0, seconds=100)
    late = TrackErrors(other.stamp_ns + 10**12, *(getattr(other, n) for n in other.__slots__[1:]))
    found = compare_tracks(["a", "b"], [first, late], 1.0, HOW)
    assert found["differences"]["b"]["frames"] == 0
    assert found["differences"]["b"]["position_error_m"]["median"]["difference"] is None


@pytest.mark.parametrize(("gap_s", "known"), [(1.0, [0, 1, 2, 6]), (5.0, [0, 1, 2, 3, 4, 5, 6])])
def test_stamps_within_gaps(gap_s, known):
    own = SECOND * np.array([0, 1, 2, 6])
    asked = SECOND * np.arange(-1, 8)
    assert (asked[within_gaps(own, asked, gap_s)] // SECOND).tolist() == known
