# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A localizer with a reranker that hears descriptions of scenes on a real rclpy."""

from dataclasses import replace

import numpy as np
import pytest
from made_flight import record

from geoloc_ros.evaluation import tables

LOCALISED = 3


@pytest.fixture(scope="module")
def described(made, tmp_path_factory):
    from made_scenes import describe

    return describe(made, tmp_path_factory.mktemp("described"))


@pytest.fixture
def listening(made, described, tmp_path):
    """A stage whose localizer has a reranker, and a publisher of scenes."""
    from geoloc_msgs.msg import SceneDescription
    from harness import Stage

    settings = {"index": str(described.index), "search.reranker": str(described.reranker)}
    stage = Stage(made, tmp_path, **settings)
    stage.scenes = stage.vehicle.create_publisher(SceneDescription, "scene", 10)
    yield stage
    stage.close()


def message(stamp_ns: int, reply, **changes: object):
    """A SceneDescription as geoloc_vlm publishes it, and what is then wrong with it."""
    from made_scenes import AUTHOR

    from geoloc_ros.ros.conversions import header
    from geoloc_ros.ros.interfaces import scene_message
    from geoloc_ros.vlm.answerer import Outcome
    from geoloc_ros.vlm.process import Asked

    asked = Asked(Outcome.OK, reply, 0.3)
    found = scene_message(header(stamp_ns, "camera"), "", AUTHOR, asked)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def up(stage) -> None:
    from harness import wait_until

    stage.up()
    assert wait_until(stage.scenes.get_subscription_count)


def is_heard(stage, stamp_ns: int, timeout_s: float = 10.0) -> bool:
    """Whether the spine has been told of a frame."""
    from harness import wait_until

    def told() -> bool:
        scene = stage.localizer.live._tracker.localizer.scene
        return scene is not None and scene.stamp_ns == stamp_ns

    return wait_until(told, timeout_s)


def test_scenes_have_the_effect_they_have_in_replay(listening, made, described, tmp_path) -> None:
    from harness import STATES
    from made_scenes import replay

    bag = record(made, tmp_path / "bag")
    rows = replay(made, described, bag, tmp_path / "told", "made")
    replay(made, described, bag, tmp_path / "untold", "")
    told, untold = (tables.read_estimates(tmp_path / name) for name in ("told", "untold"))
    up(listening)
    statuses, heard = [], 0
    for tick in listening.vehicle.ticks:
        for row in rows:
            if row.heard_ns == tick.stamp_ns:
                listening.scenes.publish(message(row.stamp_ns, row.reply))
                assert is_heard(listening, row.stamp_ns)
                heard += 1
        statuses += listening.vehicle.drive([tick.number])
    assert heard > 20
    assert [s.frames_dropped for s in statuses] == [0] * len(statuses)
    assert [STATES[s.state] for s in statuses] == list(told.status)
    live = {
        m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: m.pose.pose.position
        for m in listening.vehicle.poses
    }
    numbers = [n for n, stamp in enumerate(told.stamp_ns.tolist()) if stamp in live]
    places = np.array([(p.x, p.y) for p in (live[told.stamp_ns[n]] for n in numbers)])
    assert len(numbers) > 70
    assert np.allclose(places, told.poses[numbers, :2], atol=1e-3)
    assert not np.allclose(places, untold.poses[numbers, :2], atol=1e-3)


def test_scenes_that_make_no_sense_are_refused_and_the_next_one_is_heard(listening) -> None:
    from harness import wait_until
    from made_scenes import QUESTIONS, Describer
    from rcl_interfaces.msg import Log

    reply = Describer().answer(np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3))
    said: list[Log] = []
    listening.vehicle.listen(Log, "/rosout", said)
    up(listening)
    listening.vehicle.drive(range(30))
    stamp = listening.vehicle.ticks[20].stamp_ns
    first, count = reply.answers[0], len(QUESTIONS.questions[0].options)
    answers = (
        replace(first, probabilities=(float("nan"),) * count),
        replace(first, probabilities=(1.0,)),
        replace(first, question="scene.light"),
        replace(first, answer="purple"),
        replace(first, probability=2.0),
    )
    wrong = [message(stamp, replace(reply, answers=(a, *reply.answers[1:]))) for a in answers]
    wrong += [
        message(stamp, reply, **changes)
        for changes in (
            {"questions_sha256": "0" * 64},
            {"vlm_sha256": ""},
            {"camera": "rear"},
            {"outcome": 1},
        )
    ]
    wrong += [message(0, reply), message(stamp + 10**12, reply)]
    listening.scenes.publish(wrong.pop(0))
    words = f"a probability of {first.question} is nan; it must lie in 0..1"
    assert wait_until(lambda: any(words in line.msg for line in said))
    for item in wrong:  # as many as the subscription holds
        listening.scenes.publish(item)
    late = "newer than the newest that was looked at"
    assert wait_until(lambda: any(late in line.msg for line in said))  # the last of them
    assert listening.localizer.live._tracker.localizer.scene is None
    listening.scenes.publish(message(stamp, reply))
    assert is_heard(listening, stamp)
    assert listening.vehicle.drive(range(30, 60))[-1].state == LOCALISED


def test_a_scene_goes_through_its_message_unchanged() -> None:
    from made_scenes import AUTHOR, Describer

    from geoloc_ros.ros.interfaces import scene_of
    from geoloc_ros.ros.scenes import Scene

    reply = Describer().answer(np.random.default_rng(1).integers(0, 256, (48, 48, 3)))
    expected = Scene(stamp_ns=7 * 10**9, camera="", author=AUTHOR, reply=reply)
    assert scene_of(message(expected.stamp_ns, reply)) == expected


def test_without_a_reranker_the_topic_is_left_alone(stage) -> None:
    stage.up()
    assert stage.vehicle.count_subscribers("scene") == 0
    assert not stage.set_parameter("search.reranker", "anything")  # when configured only


def test_a_reranker_that_does_not_fit_the_index_fails_to_configure(
    made, described, tmp_path
) -> None:
    from harness import Stage

    stage = Stage(made, tmp_path, **{"search.reranker": str(described.reranker)})
    try:
        assert not stage.change("configure")
        assert "geoloc index describe" in stage.localizer.progress
    finally:
        stage.close()
