# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Shots of a rig: complete ones at once, incomplete ones soon, late images never."""

import pytest

from geoloc_ros.rig import Rig, Shot

MS = 1_000_000
NAMES = ("front", "left", "rear", "right")


def make(tolerance_ms=20, names=NAMES) -> Rig[str]:
    rig: Rig[str] = Rig(tolerance_ms * MS, 5_000 * MS)
    rig.set_cameras(names)
    return rig


def feed(rig: Rig[str], *images: tuple[float, str]) -> list[Shot[str]]:
    """Shots of images given as stamp in ms and camera; the payload tells both."""
    return [
        shot
        for ms, camera in images
        for shot in rig.add(round(ms * MS), f"{camera}@{ms:g}", camera)
    ]


def moment(ms: float, *names: str) -> list[tuple[float, str]]:
    return [(ms, name) for name in names or NAMES]


def test_a_shot_is_complete_with_its_last_camera_whatever_their_order():
    rig = make()
    assert not feed(rig, (103, "rear"), (100, "front"), (101, "left"))
    (shot,) = feed(rig, (98, "right"))
    assert shot.stamp_ns == 100 * MS  # the leading camera's
    assert list(shot.payloads) == list(NAMES)
    assert shot.payloads["rear"] == "rear@103"
    assert (rig.shots, rig.absent, rig.late) == (1, (), 0)


def test_a_shot_without_a_late_camera_is_closed_by_the_next_image_of_another():
    rig = make()
    feed(rig, *moment(0))
    assert not feed(rig, *moment(100, "front", "left", "right"))
    (shot,) = feed(rig, (200, "left"))
    assert list(shot.payloads) == ["front", "left", "right"]
    assert rig.absent == ("rear",)
    assert not feed(rig, (100, "rear"))  # too late
    assert rig.late == 1
    (shot,) = feed(rig, *moment(200, "rear", "right", "front"))
    assert len(shot.payloads) == 4
    assert rig.missing == {"rear": 1}


def test_a_camera_that_has_failed_is_waited_for_no_longer_than_a_second():
    rig = make()
    feed(rig, *moment(0))
    others = [image for n in range(1, 30) for image in moment(100 * n, "front", "left", "right")]
    delays = []
    for ms, camera in others:
        delays += [ms - shot.stamp_ns / MS for shot in feed(rig, (ms, camera))]
    assert len(delays) == 29
    assert max(delays) == 100.0
    assert set(delays[11:]) == {0.0}
    assert rig.missing == {"rear": 29}
    feed(rig, *moment(3000, "front", "left", "right", "rear"))  # it is back, and the last to send
    (shot,) = feed(rig, *moment(3100, "front", "left", "right", "rear"))
    assert len(shot.payloads) == 4


def test_all_but_one_may_fail():
    rig = make()
    feed(rig, *moment(0))
    shots = feed(rig, *((100.0 * n, "left") for n in range(1, 40)))
    assert [shot.stamp_ns // MS for shot in shots][-5:] == [3500, 3600, 3700, 3800, 3900]
    assert shots[-1].stamp_ns == 3900 * MS
    assert all(list(shot.payloads) == ["left"] for shot in shots)


def test_at_the_start_nobody_is_left_behind():
    rig = make()
    (shot,) = feed(rig, *moment(0))
    assert len(shot.payloads) == 4


def test_cameras_that_never_send_are_given_a_second():
    rig = make()
    shots = feed(rig, *(i for n in range(30) for i in moment(100 * n, "front", "rear")))
    assert len(shots) == 29 + 1
    assert rig.missing == {"left": 30, "right": 30}


def test_a_lonely_late_image_is_no_shot():
    rig = make()
    feed(rig, *moment(0))
    feed(rig, *moment(100, "front", "left", "right"))
    feed(rig, (200, "front"))  # closes the one before
    assert not feed(rig, (300, "front"))  # and this one had one camera of four
    assert rig.shots == 2


@pytest.mark.parametrize("back_to", [10, 100])
def test_a_clock_that_goes_back_begins_anew(back_to):
    rig = make()
    feed(rig, *moment(20_000))
    feed(rig, (20_100, "front"))
    (shot,) = feed(rig, *moment(back_to))
    assert shot.stamp_ns == back_to * MS
    assert len(shot.payloads) == 4


def test_at_the_end_what_is_there_is_a_shot():
    rig = make()
    feed(rig, *moment(0, "front", "left"))
    (shot,) = rig.flush()
    assert list(shot.payloads) == ["front", "left"]
    assert not list(rig.flush())


def test_a_camera_that_is_taken_away_is_neither_waited_for_nor_in_a_shot():
    rig = make()
    feed(rig, *moment(0, "front", "left", "rear"))
    rig.set_cameras(("front", "left"))
    (shot,) = feed(rig, *moment(100, "front", "left"))[:1]
    assert list(shot.payloads) == ["front", "left"]
    assert rig.absent == ()
