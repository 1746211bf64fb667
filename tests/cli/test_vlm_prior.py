# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc vlm prior` prints where a model takes a picture to be, for people, programs and maps."""

import argparse
import json

import cv2
import numpy as np
import pytest

from geoloc_ros.cli import vlm_prior
from geoloc_ros.errors import ImageDecodeError, PriorError
from geoloc_ros.geo.place_json import parse_mixture
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.questions import REGION, load_questions


class Certain:
    """Takes every picture to be of one region."""

    def answer(self, rgb):
        options = [option.id for option in load_questions()[REGION].options]
        each = tuple(1.0 if option == "jp_dense" else 0.0 for option in options)
        return Reply((Answer(REGION, "jp_dense", 1.0, each),))


@pytest.fixture
def geoloc(tmp_path, monkeypatch):
    """The command on a picture, with a model that is certain."""
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.full((8, 8, 3), 90, np.uint8))
    monkeypatch.setattr("geoloc_ros.vlm.answerer.make_answerer", lambda name: Certain())
    parser = argparse.ArgumentParser()
    vlm_prior.add_parser(parser.add_subparsers())

    def run(*words: str, image=picture) -> int:
        arguments = parser.parse_args(["prior", str(image), *words])
        return arguments.run(arguments)

    return run


def test_people_get_a_table(geoloc, capsys) -> None:
    assert geoloc("--reliability", "0.9") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["90.0%", "35.170", "136.920", "5.0", "jp_dense"]
    assert lines[2].split() == ["10.0%", "anywhere", "else"]


def test_programs_and_maps_get_json(geoloc, capsys) -> None:
    assert geoloc("--json") == 0
    assert parse_mixture(capsys.readouterr().out).labels == ("jp_dense",)
    assert geoloc("--geojson", "--question") == 0
    point = json.loads(capsys.readouterr().out)["features"][0]
    assert point["geometry"]["coordinates"] == [136.92, 35.17]


def test_what_cannot_be_asked_is_an_error(geoloc, tmp_path) -> None:
    with pytest.raises(ImageDecodeError):
        geoloc(image=tmp_path / "nowhere.png")
    with pytest.raises(PriorError):
        geoloc("--reliability", "1.5")


def test_a_model_that_says_nothing_leaves_the_world() -> None:
    lines = vlm_prior.table(PlaceMixture.nothing("vlm")).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["100.0%", "anywhere", "else"]
