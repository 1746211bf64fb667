# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""geoloc replay --vlm: asked at its own pace, heard in recorded time."""

import json
import shutil

import numpy as np
import pytest
import seeing
from made_flight import FRAMES, PLANE, START_NS, STEP_NS
from made_scenes import describe
from test_replay import replay

from geoloc_ros import config
from geoloc_ros.bags.asking import Asking
from geoloc_ros.bags.kept_pictures import KeptPictures
from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.config import ReplayVlmConfig
from geoloc_ros.datatypes import CameraFrame
from geoloc_ros.encoders.package import load_package
from geoloc_ros.errors import ModelError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Heard, truth_from
from geoloc_ros.evaluation.score import vlm_counts
from geoloc_ros.filtering.outlook import Outlook
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.describe import describe_index
from geoloc_ros.index.descriptions import DescriptionRecord
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.report.page import write_report
from geoloc_ros.vlm.answerer import Outcome, PlaceGuess, Reply
from geoloc_ros.vlm.vectors import vector

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
    reranker = f"search.reranker={describe(made, tmp_path / 'described').reranker}"
    assert replay(made, bag, tmp_path / "out", *VLM, "--set", reranker) == 2
    said = capsys.readouterr().err
    assert "knows the answers of made 1 (cccccccccccc), asked is rules (" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def described(made, tmp_path_factory):
    """The index with descriptions of its tiles."""
    root = tmp_path_factory.mktemp("described") / "index"
    shutil.copytree(made.index, root)
    record = DescriptionRecord(
        questions_version=seeing.QUESTIONS.version,
        questions_sha256=seeing.QUESTIONS.sha256,
        options=seeing.QUESTIONS.total_options,
        vlm="seeing",
        vlm_sha256="a" * 64,
        within_m=4.0,
        within_deg=15.0,
    )

    def describe(batches):
        for batch in batches:
            yield np.stack([seeing.told(crop) for crop in batch])

    ortho = OrthoImage.open(made.imagery, PLANE)
    describe_index(root, ortho, load_package(made.model), record, describe, progress=False)
    return root


@pytest.fixture(scope="module")
def seen(made, bag, described, tmp_path_factory):
    """A replay over the described index, with what was heard."""
    path = tmp_path_factory.mktemp("seen") / "out"
    tree = {"vlm": {"model": "seeing", "latency_s": 0.45, "worker": {"nice": 0}}}
    inputs = ReplayInputs(bag=bag, index=described, out=path, model=str(made.model), quiet=True)
    assert Replay(inputs, config.from_mapping(tree), make_answerer=seeing.make).run() == ""
    return path


def test_every_answer_says_what_it_changed(seen) -> None:
    *heard, last = tables.read_vlm(seen)
    assert np.isnan(last.shift.moved)
    assert all(0.0 <= row.shift.moved <= 1.0 for row in heard)
    assert heard[0].shift.moved > 1e-3  # the first answer finds a belief that still doubts
    assert heard[0].shift.best_before < heard[0].shift.best_after  # and speaks for the right place
    assert all(row.shift.best_after > 0.9 for row in heard)


def test_every_answer_has_the_tile_the_frame_was_taken_for(made, seen, described) -> None:
    index, heard = ShardedIndex.open(described), tables.read_vlm(seen)
    frames = tables.read_estimates(seen)
    for row in heard:
        number = int(np.flatnonzero(frames.stamp_ns == row.stamp_ns)[0])
        assert row.tile.entry_id >= 0
        away = row.tile.pose - index.anchors(np.array([row.tile.entry_id]))[0]
        assert np.abs([*away[:2], wrap_angle(away[2])]).max() < 1e-5
        expected = index.descriptions(np.array([row.tile.entry_id]))[0]
        assert vector(row.tile.said, seeing.QUESTIONS) == pytest.approx(expected, abs=0.01)
        if frames.localised[number]:
            off_m = np.hypot(*(frames.poses[number] - row.tile.pose)[:2])
            assert off_m < 6.0
    names = {path.stem for path in (seen / "frames").iterdir()}
    assert {str(row.stamp_ns) for row in heard} <= names


def test_the_report_shows_the_answers_beside_the_tiles(made, seen, described) -> None:
    page = write_report(seen, made.imagery, described, pictures=False).read_text("utf-8")
    part = page.split('id="h-said"')[1].split("</section>")[0]
    assert "seeing was asked about 26 frames" in part
    assert "Which way does the road ahead bend?" in part
    assert "answers are the tile's, too" in part
    assert part.count('alt="Satellite image of the place') == part.count('class="why said"') >= 3


def test_pictures_of_a_long_drive_are_thinned(tmp_path) -> None:
    kept = KeptPictures(tmp_path)
    (tmp_path / "frames").mkdir()
    for stamp in range(1000):
        kept.asked(stamp, np.zeros((2, 2, 3), np.uint8))
        if stamp == 1:
            kept.searched(stamp, np.zeros((2, 2, 3), np.uint8))
    stamps = sorted(int(path.stem) for path in (tmp_path / "frames").iterdir())
    assert stamps == [0, 1, *range(16, 1000, 16)]


def test_a_model_that_is_not_there_costs_no_drive(made, bag, tmp_path, capsys) -> None:
    assert replay(made, bag, tmp_path / "out", "--vlm", "oracle") == 2
    assert "nobody answers as 'oracle'" in capsys.readouterr().err
    assert replay(made, bag, tmp_path / "out", "--vlm", "rules", "--vlm-latency", "-1") == 2
    assert "vlm.latency_s is -1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class Listener:
    """Stands where a localizer does, and where its belief does."""

    def __init__(self) -> None:
        self.scenes = []
        self.belief = self
        self.outlook = Outlook(np.zeros((0, 3)), np.zeros(0), 1.0, 1.0)

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
