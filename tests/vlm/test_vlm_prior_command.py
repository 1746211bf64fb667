# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc vlm prior` prints where a model takes a picture to be, for people, programs and maps."""

import json

import cv2
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

from tiny_vlm import make_tiny

from geoloc_ros.cli import vlm_prior
from geoloc_ros.cli.main import main
from geoloc_ros.geo.place_json import parse_mixture
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.vlm.questions import load_questions
from geoloc_ros.vlm.trial import made_picture


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    """The command on a picture, with a random tiny model."""
    root = tmp_path_factory.mktemp("prior")
    model = make_tiny(root / "tiny")
    cv2.imwrite(str(root / "street.png"), made_picture(0))
    picture = str(root / "street.png")
    return ["vlm", "prior", picture, "--model", str(model.root), "--threads", "1"]


def test_people_get_a_table(words, capsys) -> None:
    assert main([*words, "--reliability", "0.9"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    regions = load_questions().regions
    assert lines[0] == ["share", "lat_deg", "lon_deg", "sigma_km", "place"]
    assert {line[-1] for line in lines[1:-1]} <= set(regions)
    assert lines[-1][1:] == ["anywhere", "else"]
    assert float(lines[-1][0].rstrip("%")) >= 10.0
    shares = [float(line[0].rstrip("%")) for line in lines[1:]]
    assert sum(shares) == pytest.approx(100.0, abs=1.0)


def test_programs_and_maps_get_json(words, capsys) -> None:
    assert main([*words, "--json"]) == 0
    mixture = parse_mixture(capsys.readouterr().out)
    assert len(mixture) > 0
    assert mixture.global_share >= 0.5  # nobody has tried this model on held-out pictures
    assert main([*words, "--geojson", "--question"]) == 0
    points = json.loads(capsys.readouterr().out)["features"]
    assert points[0]["geometry"]["coordinates"] == [mixture.lon_deg[0], mixture.lat_deg[0]]


def test_what_cannot_be_asked_is_one_line(words, capsys) -> None:
    assert main([*words, "--reliability", "nan"]) == 2
    assert capsys.readouterr().err.startswith("geoloc: --reliability is nan")
    assert main(["vlm", "prior", "nowhere.png", *words[3:]]) == 2
    assert capsys.readouterr().err.startswith("geoloc: cannot read picture nowhere.png")


def test_a_model_that_says_nothing_leaves_the_world() -> None:
    lines = vlm_prior.table(PlaceMixture.nothing("vlm")).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["100.0%", "anywhere", "else"]
