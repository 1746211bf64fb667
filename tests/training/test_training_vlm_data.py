# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from training_toy import toy_shard
from vlm_toy import QUESTIONS, toy_data

from geoloc_ros.errors import TrainingError
from geoloc_ros.synthetic.scene_truth import SceneTruth
from geoloc_ros.synthetic.town import make_town
from geoloc_ros.training.data import write_shard
from geoloc_ros.training.vlm_data import UNASKED, Mirror, crop_poses, find_truths
from geoloc_ros.training.vlm_lessons import MAP_PX

STYLE = "uk_terrace"
NAMES = [q.id for q in QUESTIONS.questions]


def number(question: str, option: str) -> int:
    return QUESTIONS[question].index(option)


def test_mirrored_answers_change_sides_and_come_back() -> None:
    mirror = Mirror(QUESTIONS)
    answers = np.zeros((1, len(NAMES)), np.int64)
    said = {"left_near": "water", "right_near": "road", "driving_side": "left", "slope": "up"}
    for question, option in said.items():
        answers[0, NAMES.index(question)] = number(question, option)
    answers[0, NAMES.index("road_bend")] = number("road_bend", "slight_left")
    answers[0, NAMES.index("crossing")] = UNASKED
    found = mirror(answers)
    expected = {"left_near": "road", "right_near": "water", "driving_side": "right", "slope": "up"}
    for question, option in {**expected, "road_bend": "slight_right"}.items():
        assert found[0, NAMES.index(question)] == number(question, option), question
    assert found[0, NAMES.index("crossing")] == UNASKED
    assert found[0, NAMES.index("region")] == UNASKED
    twice = mirror(found)
    kept = [i for i, name in enumerate(NAMES) if name != "region"]
    assert np.array_equal(twice[:, kept], answers[:, kept])


def test_a_batch_holds_camera_views_then_crops() -> None:
    data = toy_data()
    rng = np.random.default_rng(0)
    plan = data.epoch(16, rng)
    assert len(plan) == 6
    assert all((rows[:8] < data.views).all() and (rows[8:] >= data.views).all() for rows in plan)
    batch = data.batch(plan[0], rng)
    assert batch.images.shape == (16, 48, 48, 3)
    assert batch.answers.shape == (16, len(NAMES))
    assert (batch.answers[8:, NAMES.index("slope")] == UNASKED).all()
    assert len(batch.ahead) == 8
    assert batch.below.shape == (8, MAP_PX, MAP_PX)
    assert data.pictures(plan[0]).shape == (16, 48, 48, 3)


def test_a_crop_and_its_map_show_the_same_place() -> None:
    shard = toy_shard(1, 8)
    data = toy_data(1, 8)
    pose = np.array([3.4, -4.4, 0.0])
    found = data._map(pose, 0, False)
    # The cell in the middle of the bottom row lies 30 m - 35 m = -5 m ahead, facing east.
    east, north = pose[0] + 30.0 - 35.0, pose[1] - 1.0
    assert found[-1, MAP_PX // 2] == shard.layout[int(north + 80), int(east + 80)]
    mirrored = data._map(pose, 0, True)
    assert np.array_equal(mirrored, found[:, ::-1])


def test_truth_is_worked_out_once_and_kept(tmp_path: Path) -> None:
    shard = toy_shard(7, 6)
    arrays = {
        "perspective": shard.images, "perspective_poses": shard.poses,
        "anchors": shard.anchors, "layout": shard.layout,
    }  # fmt: skip
    folder = tmp_path / "town_000007"
    write_shard(folder, {"seed": 7, "style": STYLE}, shard.orthos, arrays)
    truth = find_truths([folder], QUESTIONS, 250.0, 1)[0]
    assert np.array_equal(truth.poses, crop_poses(shard))
    scene = SceneTruth(make_town(7, STYLE, 250.0))
    said = scene.answers(shard.poses[3], "ground")
    assert truth.ground[3].tolist() == [number(name, said[name]) for name in NAMES]
    assert (truth.satellite[:, NAMES.index("slope")] == UNASKED).all()
    again = find_truths([folder], QUESTIONS, 250.0, 1)[0]
    assert np.array_equal(again.satellite, truth.satellite)
    next(folder.glob("answers_*.npz")).write_bytes(b"broken")
    with pytest.raises(TrainingError, match="delete it"):
        find_truths([folder], QUESTIONS, 250.0, 1)
