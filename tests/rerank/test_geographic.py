# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks and place decide together, within bounds."""

import math

import numpy as np
import pytest

from geoloc_ros.errors import PriorError
from geoloc_ros.rerank.geographic import geographic_order, geographic_scores


def test_a_prior_decides_between_lookalikes_only() -> None:
    similarity = [0.70, 0.69, 0.40]
    log_prior = np.log([0.1, 2.0, 50.0])
    assert geographic_order(similarity, log_prior, 0.025).tolist() == [1, 0, 2]
    assert geographic_order(similarity, log_prior, 0.025, weight=0.0).tolist() == [0, 1, 2]


def test_scores_are_log_posteriors() -> None:
    scores = geographic_scores([0.5, 0.4], np.log([0.2, 0.8]), 0.05, 1.0)
    posterior = np.exp(scores) / np.exp(scores).sum()
    wanted = np.array([0.2 * math.exp(0.5 / 0.05), 0.8 * math.exp(0.4 / 0.05)])
    assert posterior == pytest.approx(wanted / wanted.sum())


def test_equals_keep_their_order_and_what_cannot_be_compared_comes_last() -> None:
    similarity = [0.3, math.nan, 0.3, math.inf, 0.5]
    assert geographic_order(similarity, np.zeros(5), 0.05).tolist() == [4, 0, 2, 1, 3]
    assert geographic_order([], [], 0.05).tolist() == []


@pytest.mark.parametrize(
    ("similarity", "log_prior", "temperature", "weight"),
    [
        ([0.1, 0.2], [0.0], 0.05, 1.0),
        ([[0.1]], [[0.0]], 0.05, 1.0),
        ([0.1], [math.nan], 0.05, 1.0),
        ([0.1], [-math.inf], 0.05, 1.0),
        ([0.1], [0.0], 0.0, 1.0),
        ([0.1], [0.0], math.nan, 1.0),
        ([0.1], [0.0], 0.05, -1.0),
        ([0.1], [0.0], 0.05, math.inf),
    ],
)
def test_what_cannot_be_weighed_is_refused(similarity, log_prior, temperature, weight) -> None:
    with pytest.raises(PriorError):
        geographic_scores(similarity, log_prior, temperature, weight)
