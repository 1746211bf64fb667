# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a vision-language model says of frames, heard live as in replay, or refused in words."""

from dataclasses import replace

import numpy as np
import pytest
from live_vehicle import NS, Drive
from made_flight import record
from made_scenes import AUTHOR, QUESTIONS, Describer, describe, reply_to
from made_scenes import replay as replayed

from geoloc_ros.config import SearchConfig
from geoloc_ros.errors import ModelError, SceneError
from geoloc_ros.evaluation import tables
from geoloc_ros.ros.loading import Loaded, load
from geoloc_ros.ros.scenes import Scene, author_of
from geoloc_ros.vlm.answerer import UNPARSEABLE, Answer, Reply

REPLY = Describer().answer(np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3))
QUESTION = QUESTIONS.questions[0]


@pytest.fixture(scope="module")
def described(made, tmp_path_factory):
    return describe(made, tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="module")
def listening(made, described) -> Loaded:
    found = load(
        str(described.index),
        str(made.model),
        1,
        lambda _: None,
        SearchConfig(reranker=str(described.reranker)),
    )
    assert found.reranker is not None
    return found


@pytest.fixture
def drive(listening, ticks) -> Drive:
    drive = Drive(listening, ticks)
    drive.info()
    drive.mount()
    return drive


def scene(stamp_ns: int, **changes: object) -> Scene:
    fields = {"stamp_ns": stamp_ns, "camera": "", "author": AUTHOR, "reply": REPLY}
    return Scene(**(fields | changes))


def spoken_of(drive: Drive) -> int | None:
    """Stamp of the frame that was described last."""
    found = drive.live._tracker.localizer.scene
    return None if found is None else found.stamp_ns


def test_scenes_heard_live_have_the_effect_they_have_in_replay(
    made, described, drive, tmp_path
) -> None:
    bag = record(made, tmp_path / "bag")
    heard = replayed(made, described, bag, tmp_path / "told", "made")
    assert replayed(made, described, bag, tmp_path / "untold", "") == []
    told, untold = (tables.read_estimates(tmp_path / name) for name in ("told", "untold"))
    assert (told.poses != untold.poses).any()
    assert len(heard) > 20
    for tick in drive.ticks:
        for row in heard:
            if row.heard_ns == tick.stamp_ns:
                drive.live.scene(scene(row.stamp_ns, reply=row.reply))
        drive.go([tick.number])
    live = [found.tracked.estimate for found in drive.concluded]
    assert [e.stamp_ns for e in live] == told.stamp_ns.tolist()
    assert [e.status.value for e in live] == list(told.status)
    poses = np.array([e.pose for e in live])
    known = np.isfinite(told.poses).all(axis=1)
    assert np.allclose(poses[known], told.poses[known], atol=1e-3)
    assert not np.allclose(poses[known], untold.poses[known], atol=1e-3)


def test_a_scene_is_heard_however_late_as_of_its_frame(drive) -> None:
    drive.go(range(40))
    stamp = drive.ticks[5].stamp_ns
    drive.live.scene(scene(stamp))
    assert spoken_of(drive) is None  # it waits for the worker
    drive.work()
    assert spoken_of(drive) == stamp


def test_without_a_reranker_nobody_listens(loaded, ticks) -> None:
    live = Drive(loaded, ticks).live
    assert not live.hears_scenes
    live.scene(scene(0))
    assert not live._jobs


def changed(**changes: object) -> Reply:
    """The reply with another answer to the first question."""
    return Reply((replace(REPLY.answers[0], **changes), *REPLY.answers[1:]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stamp_ns": 0}, "it has no stamp"),
        ({"camera": "rear"}, "its camera is 'rear', the localizer's are ''; set geoloc_vlm's"),
        ({"author": replace(AUTHOR, questions_sha256="", questions_version=0)},
         r"answers version 0 of the questions \(none\), reranker agreement knows version"),
        ({"author": replace(AUTHOR, vlm="other 2", vlm_sha256="e" * 64)},
         r"by 'other 2' \(eeeeeeeeeeee\), reranker agreement knows made 1 \(cccccccccccc\)"),
        ({"reply": changed(question="scene.light")}, "answers 'scene.light', version"),
        ({"reply": changed(answer="purple")}, f"answers 'purple' to {QUESTION.id}, whose options"),
        ({"reply": changed(probabilities=(0.5, 0.5))},
         f"has 2 probabilities for {QUESTION.id}, which has {len(QUESTION.options)} options"),
        ({"reply": changed(probabilities=(np.nan,) * len(QUESTION.options))},
         f"a probability of {QUESTION.id} is nan; it must lie in 0..1"),
        ({"reply": changed(probability=np.inf)}, "is inf; it must lie in 0..1"),
        ({"reply": changed(probability=-0.1)}, "is -0.1; it must lie in 0..1"),
        ({"reply": Reply((*REPLY.answers, REPLY.answers[0]))}, "is answered twice; mend whoever"),
    ],
)  # fmt: skip
def test_what_the_reranker_would_misunderstand_is_refused_in_words(drive, changes, words) -> None:
    drive.go(range(30))
    stamp = drive.ticks[20].stamp_ns
    with pytest.raises(SceneError, match=f"a scene description is not heard: .*{words}"):
        drive.live.scene(scene(**({"stamp_ns": stamp} | changes)))
    drive.live.scene(scene(stamp))
    assert len(drive.go(range(30, 35))) == 5
    assert spoken_of(drive) == stamp


def test_answers_without_a_letter_and_without_probabilities_are_heard(drive) -> None:
    drive.go(range(30))
    silent = Answer(QUESTION.id, UNPARSEABLE, 0.0)
    only = Answer(QUESTION.id, QUESTION.options[0].id, 0.7)
    for number, answer in ((20, silent), (21, only)):
        drive.live.scene(scene(drive.ticks[number].stamp_ns, reply=Reply((answer,))))
        drive.work()
        assert spoken_of(drive) == drive.ticks[number].stamp_ns


@pytest.mark.parametrize(
    ("shift_s", "words"),
    [
        (3.0, "3.0 s newer than the newest that was looked at; at most 2 s"),
        (-5.5, "2.6 s older than the first that was looked at"),
        (1e5, "newer than the newest"),
    ],
)
def test_scenes_of_another_time_are_told_and_silence_nobody(drive, caplog, shift_s, words) -> None:
    drive.go(range(30))
    stamp = drive.now_ns
    drive.live.scene(scene(stamp + int(shift_s * NS)))
    drive.work()
    assert words in caplog.text
    assert spoken_of(drive) is None
    drive.live.scene(scene(stamp))
    drive.work()
    assert spoken_of(drive) == stamp


def test_a_scene_that_comes_after_more_than_a_minute_is_told(drive, caplog) -> None:
    drive.go(range(30))
    drive.live._scenes.looked_at(drive.now_ns + 61 * NS)
    drive.live.scene(scene(drive.now_ns))
    drive.work()
    assert "61.0 s after its frame" in caplog.text
    assert "worker.deadline_s" in caplog.text


def test_scenes_from_before_the_clock_went_back_are_told(drive, caplog) -> None:
    drive.go(range(60))
    late = drive.ticks[59].stamp_ns
    drive.live.clock_jumped()
    drive.live.scene(scene(late))
    drive.work()
    assert "since the clock went back" in caplog.text
    drive.go(range(20))
    drive.live.scene(scene(late))
    drive.work()
    assert "newer than the newest" in caplog.text
    assert spoken_of(drive) is None
    drive.live.scene(scene(drive.ticks[10].stamp_ns))
    drive.work()
    assert spoken_of(drive) == drive.ticks[10].stamp_ns


def test_before_the_first_frame_there_is_nothing_to_tell(drive, caplog) -> None:
    drive.live.scene(scene(drive.ticks[0].stamp_ns))
    drive.work()
    assert spoken_of(drive) is None
    assert not caplog.text


def test_an_index_that_was_not_described_is_refused_at_start_and_told_on_the_way(
    made, described, drive, loaded, listening, caplog
) -> None:
    with pytest.raises(ModelError, match="geoloc index describe"):
        load(
            str(made.index),
            str(made.model),
            1,
            lambda _: None,
            SearchConfig(reranker=str(described.reranker)),
        )
    drive.go(range(30))
    swapped = drive.live.load_index(replace(listening, index=loaded.index))
    drive.work()
    assert swapped.exception() is None
    assert "tell nothing about this index: the index has no descriptions" in caplog.text
    drive.live.scene(scene(drive.now_ns))
    assert len(drive.go(range(30, 40))) == 10


def test_a_stand_in_for_a_model_says_that_its_questions_are_its_own() -> None:
    author = author_of("rules")
    assert (author.vlm, author.questions_version, author.questions_sha256) == ("rules", 0, "")
    assert len(author.vlm_sha256) == 64


def test_what_is_made_up_here_is_exact_in_32_bits() -> None:
    for answer in reply_to(np.random.default_rng(0).integers(0, 256, (48, 48, 3))).answers:
        assert np.array_equal(np.float32(answer.probabilities), np.array(answer.probabilities))
        assert sum(answer.probabilities) == 1.0
