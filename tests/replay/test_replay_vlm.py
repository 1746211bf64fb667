# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""geoloc replay --vlm: asked at its own pace, heard in recorded time."""

import json

import numpy as np
import pytest
from made_flight import FRAMES, PLANE, START_NS, STEP_NS
from made_scenes import describe
from test_replay import replay

from geoloc_ros.bags.asking import Asking
from geoloc_ros.config import ReplayVlmConfig
from geoloc_ros.datatypes import CameraFrame
from geoloc_ros.errors import ModelError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Heard, truth_from
from geoloc_ros.evaluation.score import vlm_counts
from geoloc_ros.vlm.answerer import Outcome, PlaceGuess, Reply

MS = 1_000_000
VLM = ("--vlm", "rules", "--vlm-latency", "0.45")


@pytest.fixture(scope="module")
def out(made, bag, tmp_path_factory):
    path = tmp_path_factory.mktemp("vlm") / "out"
    assert replay(made, bag, path, *VLM, "--truth", "/ground_truth/pose") == 0
    return path


def test_one_question_at_a_time_about_the_newest_frame(out) -> None:
    heard = tables.read_vlm(out)
    assert [row.stamp_ns for row in heard] == [
        START_NS + number * STEP_NS for number in range(0, FRAMES, 5)
    ]
    assert {row.outcome for row in heard} == {"ok"}
    for row in heard[:-1]:
        assert row.heard_ns - row.stamp_ns == 500 * MS  # the first frame after 0.45 s
    assert heard[-1].heard_ns == -1
    assert heard[0].reply.answers[0].question == "scene.light"


def test_the_result_counts_the_answers(out) -> None:
    result = json.loads((out / "result.json").read_text())
    assert result["vlm"] == {
        "asked": 26,
        "answered": 26,
        "timed_out": 0,
        "unparseable": 0,
        "prior_hit_rate": None,
    }
    assert "vlm:" in (out / "config.yaml").read_text()


def test_answers_without_places_move_no_byte(made, bag, out, tmp_path) -> None:
    assert replay(made, bag, tmp_path / "alone") == 0
    alone = (tmp_path / "alone/estimates.parquet").read_bytes()
    assert (out / "estimates.parquet").read_bytes() == alone
    assert not (tmp_path / "alone/vlm.parquet").exists()


def test_a_rest_between_questions(made, bag, tmp_path) -> None:
    assert replay(made, bag, tmp_path / "out", *VLM, "--vlm-every", "3") == 0
    stamps = [row.stamp_ns for row in tables.read_vlm(tmp_path / "out")]
    assert np.diff(stamps).tolist() == [3000 * MS] * 4


def test_a_model_the_reranker_does_not_know_is_refused(made, bag, tmp_path, capsys) -> None:
    described = describe(made, tmp_path / "described")
    reranker = f"search.reranker={described.reranker}"
    assert replay(made, bag, tmp_path / "out", *VLM, "--set", reranker) == 2
    said = capsys.readouterr().err
    assert "knows the answers of made 1 (cccccccccccc), asked is rules (" in said
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_costs_no_drive(made, bag, tmp_path, capsys) -> None:
    assert replay(made, bag, tmp_path / "out", "--vlm", "oracle") == 2
    assert "nobody answers as 'oracle'" in capsys.readouterr().err
    assert replay(made, bag, tmp_path / "out", "--vlm", "rules", "--vlm-latency", "-1") == 2
    assert "vlm.latency_s is -1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class Listener:
    """Stands where a localizer does."""

    def __init__(self) -> None:
        self.scenes = []

    def describe(self, stamp_ns, reply) -> None:
        self.scenes.append(stamp_ns)


def test_an_answer_about_a_time_before_the_clock_was_set_back_is_not_heard() -> None:
    def frame(stamp_ns):
        return CameraFrame(stamp_ns, lambda: np.zeros((8, 8, 3), np.uint8))

    listener = Listener()
    with Asking(ReplayVlmConfig(model="rules", latency_s=1.0)) as asking:
        for stamp_ms in (5000, 5500, 1000, 1500, 2000, 2500):
            asking.deliver(stamp_ms * MS, listener, PLANE)
            asking.ask(frame(stamp_ms * MS))
    assert listener.scenes == [1000 * MS]
    assert [row.heard_ns // MS for row in asking.heard] == [-1, 2000]
    with pytest.raises(ModelError, match="oracle"), Asking(ReplayVlmConfig(model="oracle")):
        pass


def test_a_guess_is_right_when_the_truth_lies_within_its_95_percent() -> None:
    def guess(x_m, sigma_m, share):
        return PlaceGuess(PLANE.position(x_m, 0.0), sigma_m, share)

    def heard(stamp_ns, *guesses):
        return Heard(stamp_ns, stamp_ns, Outcome.OK.name.lower(), "", 1.0, Reply((), guesses))

    rows = [
        heard(0, guess(200.0, 100.0, 0.6), guess(5e4, 10.0, 0.3)),  # 2 sigma off
        heard(1, guess(260.0, 100.0, 0.6), guess(0.0, 10.0, 0.3)),  # 2.6 sigma off
        heard(2),
        Heard(3, -1, "timed_out", "no answer in 1 s", 1.0, Reply()),
    ]
    truth = truth_from([0, 1, 2, 3], np.zeros((4, 3)))
    origin = {"lat_deg": PLANE.origin.lat_deg, "lon_deg": PLANE.origin.lon_deg}
    counts = {"asked": 4, "answered": 3, "timed_out": 1, "unparseable": 0}
    assert vlm_counts(rows, truth, origin) == counts | {"prior_hit_rate": 0.5}
    assert vlm_counts(rows, None, origin) == counts | {"prior_hit_rate": None}
