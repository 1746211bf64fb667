# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model that ships: small, whole, of this list of questions, and no guesser."""

import numpy as np
import pytest

pytest.importorskip("llama_cpp")

from geoloc_ros.training.data import read_shard
from geoloc_ros.training.vlm_data import SATELLITE, VlmData, find_truth
from geoloc_ros.training.worlds import WorldConfig, render_town
from geoloc_ros.vlm.answerer import make_answerer
from geoloc_ros.vlm.package import find_vlm
from geoloc_ros.vlm.prior import region_trust
from geoloc_ros.vlm.questions import VIEWS, load_questions

NAME, SEED, VIEWS_OF_TOWN = "vlm-tiny", 900_990, 24
QUESTIONS = load_questions()


@pytest.fixture(scope="module")
def package():
    return find_vlm(NAME)


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> VlmData:
    pytest.importorskip("torch")
    world = WorldConfig(size_m=400.0, seasons=1, views=VIEWS_OF_TOWN, drone_views=1)
    folder = render_town(SEED, world, tmp_path_factory.mktemp("towns"), bench=True)
    shard = read_shard(folder, "perspective")
    return VlmData([shard], [find_truth(folder, QUESTIONS, world.size_m)], QUESTIONS, 192)


def test_it_is_small_and_knows_these_questions(package) -> None:
    package.check_questions(QUESTIONS)
    files = package.text_path, package.mmproj_path
    assert sum(path.stat().st_size for path in files) < 30e6
    assert package.scores["accuracy_f32"] - package.scores["accuracy_q8"] < 0.01
    assert 0.0 < region_trust(package, QUESTIONS) <= 1.0
    assert "--data" not in package.training["command"]


@pytest.mark.parametrize("number", range(len(VIEWS)))
def test_it_looks_at_the_pictures_of_a_town_it_never_saw(package, town, number) -> None:
    first = town.views if number == SATELLITE else 0
    rows = np.arange(first, first + VIEWS_OF_TOWN)
    true = town.answers[rows]
    vlm = make_answerer(NAME, n_threads=1)
    said = np.full(true.shape, -1)
    places = {question.id: i for i, question in enumerate(QUESTIONS.questions)}
    for row, picture in zip(said, town.pictures(rows), strict=True):
        for answer in vlm.answer(picture, view=VIEWS[number]).answers:
            row[places[answer.question]] = int(np.argmax(answer.probabilities))
    asked = true[0] >= 0
    assert (said[:, asked] >= 0).all()
    right = (said == true)[:, asked].mean()
    order = np.arange(VIEWS_OF_TOWN)
    others = np.mean([(said[order - n] == true)[:, asked].mean() for n in range(1, VIEWS_OF_TOWN)])
    chance = np.mean([1.0 / len(question.options) for question in QUESTIONS.questions])
    print(f"{VIEWS[number]}: right {right:.3f}, said of other pictures {others:.3f}")
    assert right > chance + 0.15
    assert right > others + 0.05
