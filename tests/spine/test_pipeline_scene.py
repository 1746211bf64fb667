# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a frame tells between its places; at its worst it hardly costs anything."""

import numpy as np
from made_ground import STEP_NS, StraightDown, circle, motion

from geoloc_ros.config import Config
from geoloc_ros.datatypes import Status
from geoloc_ros.geo import se2
from geoloc_ros.pipeline import GeoLocalizer
from geoloc_ros.rerank.language import Verdict
from geoloc_ros.vlm.answerer import Answer, Reply

REPLY = Reply((Answer("road_bend", "straight", 0.9),))


class Liar:
    """Says of the candidate least like the image that it is the right one, without a doubt."""

    def __init__(self):
        self.asked = []

    def rerank(self, index, descriptor, reply, found):
        self.asked.append((descriptor, reply))
        chance = np.zeros(len(found))
        chance[-1] = 1.0
        return Verdict(1.0, False, np.arange(len(found))[::-1], chance)


def localizer(place, reranker):
    return GeoLocalizer(
        Config(), place.package, place.encoder, place.index, {"": StraightDown()},
        reranker=reranker,
    )  # fmt: skip


def drive(place, poses, reranker=None, tell_at=()):
    rng, vehicle = np.random.default_rng(1), localizer(place, reranker)
    out = []
    for i, pose in enumerate(poses):
        stamp = (i + 1) * STEP_NS
        frame = place.frame(stamp, pose, rng)
        step = motion(poses[max(i - 1, 0)], pose, stamp, rng)
        out.append(vehicle.localize(frame, step))
        if i in tell_at:
            vehicle.describe(stamp - 4 * STEP_NS, REPLY)
    return out, vehicle


def test_a_scene_is_compared_with_what_was_retrieved_at_its_stamp(place):
    liar = Liar()
    _, vehicle = drive(place, circle(30), liar, tell_at=(28,))
    ((descriptor, reply),) = liar.asked
    assert reply is REPLY
    kept = vehicle._scenes._searches
    nearest = min(kept, key=lambda search: abs(search.stamp_ns - 25 * STEP_NS))
    assert descriptor is nearest.descriptor
    assert nearest is not kept[-1]


def test_scenes_of_unknown_times_say_nothing(place):
    liar = Liar()
    _, vehicle = drive(place, circle(30), liar)
    for stamp in (-(10**12), 0 - 3 * 10**9, 40 * 10**9):
        vehicle.describe(stamp, REPLY)
    vehicle.swap_index(place.index)
    vehicle.describe(29 * STEP_NS, REPLY)
    assert not liar.asked


def test_a_scene_of_one_camera_is_not_compared_with_what_another_saw(place):
    liar = Liar()
    _, vehicle = drive(place, circle(30), liar)
    vehicle.describe(25 * STEP_NS, REPLY, "rear")
    assert not liar.asked
    vehicle.describe(25 * STEP_NS, REPLY)
    assert len(liar.asked) == 1


def test_scenes_from_before_the_clock_went_back_say_nothing(place):
    liar = Liar()
    _, vehicle = drive(place, circle(30), liar, tell_at=(28,))
    vehicle.restart()
    assert vehicle.scene is None
    vehicle.describe(25 * STEP_NS, REPLY)
    assert len(liar.asked) == 1


def test_without_a_reranker_a_scene_changes_nothing(place):
    poses = circle(30)
    plain, _ = drive(place, poses)
    told, _ = drive(place, poses, None, tell_at=range(5, 30))
    assert [e.pose.tobytes() for e in plain] == [e.pose.tobytes() for e in told]


def test_the_worst_that_can_be_said_hardly_costs_anything(place):
    poses = circle(160)
    plain, _ = drive(place, poses)
    lied, _ = drive(place, poses, Liar(), tell_at=range(2, 160, 3))

    def summary(estimates):
        good = np.array([e.status is Status.LOCALISED for e in estimates])
        away = np.array([e.pose for e in estimates]) - poses
        away[:, 2] = se2.wrap_angle(away[:, 2])
        return good[60:].mean(), float(np.median(np.hypot(*away[good, :2].T)))

    (share, error), (share_lied, error_lied) = summary(plain), summary(lied)
    assert share_lied > share - 0.05
    assert error_lied < error + 0.3
