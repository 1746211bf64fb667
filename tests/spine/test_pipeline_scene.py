# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What was said of the scene reorders candidates, and at its very worst hardly costs anything."""

from dataclasses import replace

import numpy as np
from made_ground import STEP_NS, StraightDown, circle, motion

from geoloc_ros.config import Config
from geoloc_ros.datatypes import Status
from geoloc_ros.geo import se2
from geoloc_ros.pipeline import GeoLocalizer
from geoloc_ros.rerank.language import MOST_FACTOR
from geoloc_ros.vlm.answerer import Answer, Reply

REPLY = Reply((Answer("road_bend", "straight", 0.9),))


class Liar:
    """Says of the first candidate that it is the least likely, as strongly as a reranker may."""

    def __init__(self):
        self.heard, self.asked = [], []

    def hear(self, reply, at_m):
        self.heard.append((reply, at_m))

    def rerank(self, index, descriptor, found, at_m):
        self.asked.append(at_m)
        order = np.arange(len(found))[::-1]
        factor = np.linspace(MOST_FACTOR, -MOST_FACTOR, len(found))
        return replace(
            found,
            entry_ids=found.entry_ids[order],
            poses=found.poses[order],
            similarity=found.similarity[order],
            log_factor=factor,
        )


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


def test_a_scene_is_heard_as_of_its_stamp_and_candidates_are_reordered(place):
    liar = Liar()
    _, vehicle = drive(place, circle(12), liar, tell_at=(9,))
    ((reply, at_m),) = liar.heard
    assert reply is REPLY
    assert 0.0 < at_m < vehicle.belief.distance_m - 5.0
    assert len(liar.asked) >= 1


def test_without_a_reranker_a_scene_changes_nothing(place):
    poses = circle(30)
    plain, _ = drive(place, poses)
    told, _ = drive(place, poses, None, tell_at=range(5, 30))
    assert [e.pose.tobytes() for e in plain] == [e.pose.tobytes() for e in told]


def test_the_worst_that_can_be_said_hardly_costs_anything(place):
    poses = circle(160)
    plain, _ = drive(place, poses)
    lied, _ = drive(place, poses, Liar())

    def summary(estimates):
        good = np.array([e.status is Status.LOCALISED for e in estimates])
        away = np.array([e.pose for e in estimates]) - poses
        away[:, 2] = se2.wrap_angle(away[:, 2])
        return good[60:].mean(), float(np.median(np.hypot(*away[good, :2].T)))

    (share, error), (share_lied, error_lied) = summary(plain), summary(lied)
    assert share_lied > share - 0.05
    assert error_lied < error + 0.3
