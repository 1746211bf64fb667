# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which frames are paired with motion, in which order, and which are let go."""

import numpy as np
import pytest

from geoloc_ros.config import Config
from geoloc_ros.datatypes import Odometry
from geoloc_ros.synchronizer import Synchronizer

MS = 1_000_000


@pytest.fixture
def pairs() -> Synchronizer:
    return Synchronizer(Config())


def drive_until(pairs: Synchronizer, stamp_ms: int, start_ms: int = 0) -> None:
    for ms in range(start_ms, stamp_ms + 1, 20):
        pairs.add_odometry(Odometry(ms * MS, np.array([0.01 * ms, 0.0, 0.0])))


def test_every_frame_waits_for_its_odometry_and_carries_the_motion_since_the_last(pairs) -> None:
    pairs.add_frame(100 * MS, "a")
    pairs.add_frame(200 * MS, "b")
    assert list(pairs.ready()) == []
    drive_until(pairs, 150)
    assert [p.payload for p in pairs.ready()] == ["a"]
    drive_until(pairs, 210, 150)
    (second,) = pairs.ready()
    assert second.motion.increment[0] == pytest.approx(1.0)


def test_only_the_newest_frame_counts_live_and_the_motion_spans_what_was_dropped(pairs) -> None:
    drive_until(pairs, 420)
    pairs.add_frame(100 * MS, "a")
    assert pairs.newest().payload == "a"
    for ms in (200, 300, 400):
        pairs.add_frame(ms * MS, str(ms))
    newest = pairs.newest()
    assert newest.payload == "400"
    assert newest.motion.increment[0] == pytest.approx(3.0)
    assert pairs.counts.dropped == 2
    assert pairs.newest() is None


def test_a_frame_that_waits_for_odometry_is_not_overtaken_by_dropping(pairs) -> None:
    drive_until(pairs, 200)
    pairs.add_frame(100 * MS, "a")
    pairs.add_frame(300 * MS, "b")
    assert pairs.newest().payload == "a"
    assert pairs.newest() is None
    drive_until(pairs, 320, 200)
    assert pairs.newest().payload == "b"
    assert pairs.counts.dropped == 0


def test_cameras_of_one_instant_are_all_heard_and_late_ones_sorted_in(pairs) -> None:
    drive_until(pairs, 400)
    assert pairs.add_frame(100 * MS, "front", "front")
    assert pairs.add_frame(100 * MS, "rear", "rear")
    assert pairs.add_frame(210 * MS, "rear 2", "rear")
    assert pairs.add_frame(200 * MS, "front 2", "front")
    assert [p.payload for p in pairs.ready()] == ["front", "rear", "front 2", "rear 2"]
    assert not pairs.add_frame(205 * MS, "too late", "front")
    assert not pairs.add_frame(210 * MS, "twice", "rear")
    assert pairs.counts.stale == 2


def test_the_newest_of_each_camera_is_kept(pairs) -> None:
    drive_until(pairs, 400)
    for ms in (100, 200, 300):
        pairs.add_frame(ms * MS, f"front {ms}", "front")
        pairs.add_frame(ms * MS + 5 * MS, f"rear {ms}", "rear")
    assert [pairs.newest().payload, pairs.newest().payload] == ["front 300", "rear 300"]
    assert pairs.newest() is None
    assert pairs.counts.dropped == 4


def test_frames_from_before_a_clock_jump_do_not_block_those_after_it(pairs) -> None:
    drive_until(pairs, 100)
    pairs.add_frame(100_000 * MS, "before")  # its odometry never comes
    pairs.add_frame(50 * MS, "after")
    pairs.add_odometry(Odometry(60 * MS, np.zeros(3)))
    assert [(p.payload, p.reset) for p in pairs.ready()] == [("before", False), ("after", True)]
