# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Status: every way into LOCALISED is earned, every way out is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Reason, Status
from geoloc_ros.filtering.status import Facts, decide, passes

CONFIG = FilterConfig()
GOOD = Facts(
    frames=50,
    share=0.999,
    second_share=0.0,
    sigma_m=1.0,
    evidence=60.0,
    required=56.0,
    support_m=50.0,
    low_m=0.0,
    level=1.0,
    usual_level=0.8,
    supported=1.0,
    confirmed=True,
)


def test_a_confirmed_dominant_narrow_mode_is_localised():
    for previous in Status:
        assert decide(GOOD, previous, CONFIG) == (Status.LOCALISED, ())
    assert passes(GOOD, CONFIG)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"share": 0.9}, Reason.UNCONFIRMED),
        ({"confirmed": False}, Reason.UNCONFIRMED),
        ({"sigma_m": 20.0}, Reason.WIDE_SPREAD),
        ({"low_m": 20.0}, Reason.LOW_SIMILARITY),
        ({"supported": 0.1}, Reason.OUTSIDE_INDEX),
        ({"second_share": 0.4, "share": 0.6}, Reason.TWO_MODES),
        ({"odometry": (Reason.NO_ODOMETRY,)}, Reason.NO_ODOMETRY),
    ],
)
def test_each_doubt_keeps_a_searcher_from_localised(change, reason):
    status, reasons = decide(replace(GOOD, **change), Status.SEARCHING, CONFIG)
    assert status is not Status.LOCALISED
    assert reason in reasons
    assert list(reasons) == sorted(reasons)


@pytest.mark.parametrize(
    "change", [{"evidence": 3.0}, {"support_m": 5.0}, {"level": 0.4}, {"share": 0.9}]
)
def test_a_young_mode_does_not_pass(change):
    assert not passes(replace(GOOD, **change), CONFIG)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"low_m": 11.0}, Status.DEGRADED),
        ({"odometry": (Reason.BAD_ODOMETRY,)}, Status.DEGRADED),
        ({"supported": 0.0}, Status.DEGRADED),
        ({"low_m": 40.0}, Status.LOST),
        ({"share": 0.3}, Status.LOST),
        ({"share": 0.4, "second_share": 0.4}, Status.AMBIGUOUS),
        ({"sigma_m": 100.0}, Status.LOST),
        ({"confirmed": False}, Status.LOST),
    ],
)
def test_ways_out_of_localised(change, status):
    assert decide(replace(GOOD, **change), Status.LOCALISED, CONFIG)[0] is status


def test_hysteresis_on_share_and_similarity():
    for change in ({"share": 0.85}, {"low_m": 8.0}):
        facts = replace(GOOD, **change)
        assert decide(facts, Status.LOCALISED, CONFIG)[0] is Status.LOCALISED
        assert decide(facts, Status.SEARCHING, CONFIG)[0] is not Status.LOCALISED


def test_nothing_seen_yet():
    facts = replace(GOOD, frames=0)
    assert decide(facts, Status.UNINITIALISED, CONFIG) == (
        Status.UNINITIALISED,
        (Reason.NO_FRAME_YET,),
    )


def test_lost_stays_lost_until_something_is_found():
    assert decide(replace(GOOD, share=0.2), Status.LOST, CONFIG)[0] is Status.LOST
