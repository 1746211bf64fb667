# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc locate` in several towns at once, with and without a prior."""

import json

import cv2
import numpy as np
import pytest

from geoloc_ros.cli.main import main
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.geo.place_json import dump_mixture
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index
from geoloc_ros.index.policy import Road, SamplingPolicy

TWINS = {"bavaria": LatLon(48.4, 11.7), "aichi": LatLon(35.1, 136.9)}
HALF_M, GSD_M = 150.0, 0.5


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    """Two towns that look exactly alike, a picture, and a prior for each town."""
    root = tmp_path_factory.mktemp("twins")
    rng = np.random.default_rng(3)
    side = int(2 * HALF_M / GSD_M)
    rgb = cv2.resize(rng.integers(0, 255, (40, 40, 3), np.uint8), (side, side))
    package = find_model("perspective")
    road = Road(np.array([[-60.0, 0.0], [60.0, 0.0]]))
    policy = SamplingPolicy(spacing_m=20.0)
    for name, origin in TWINS.items():
        plane = LocalFrame(origin)
        valid = np.ones((side, side), np.bool_)
        ortho = OrthoImage(rgb, valid, plane, -HALF_M, HALF_M, GSD_M, {"source": "made"})
        encoder = OnnxEncoder(package, threads=1)
        build_index(ortho, package, encoder, root / name, policy, roads=[road], progress=False)
        there = PlaceMixture.of([origin.lat_deg], [origin.lon_deg], [1e5], [0.98], "test")
        (root / f"{name}.json").write_text(dump_mixture(there))
    cv2.imwrite(str(root / "picture.png"), rng.integers(0, 255, (90, 160, 3), np.uint8))
    return root


def located(towns, capsys, *words: str) -> list[dict]:
    indexes = [word for name in TWINS for word in ("--index", str(towns / name))]
    command = ["locate", *indexes, "--top", "4", "--json", *words, str(towns / "picture.png")]
    assert main(command) == 0
    return json.loads(capsys.readouterr().out)


def test_all_towns_are_searched_and_named(towns, capsys) -> None:
    rows = located(towns, capsys)
    assert {row["index"] for row in rows} == {str(towns / name) for name in TWINS}
    assert rows[0]["similarity"] == rows[1]["similarity"]


@pytest.mark.parametrize("town", TWINS)
@pytest.mark.parametrize("use", ["both", "rerank"])
def test_a_prior_tells_twins_apart(towns, capsys, town, use) -> None:
    prior = str(towns / f"{town}.json")
    rows = located(towns, capsys, "--prior", prior, "--prior-use", use)
    assert rows[0]["index"] == str(towns / town)
    assert rows[0]["lat_deg"] == pytest.approx(TWINS[town].lat_deg, abs=0.01)


def test_softly_chosen_towns_name_more_places(towns, capsys) -> None:
    prior = str(towns / "aichi.json")
    rows = located(towns, capsys, "--prior", prior, "--prior-use", "submaps")
    named = [row["index"] for row in rows]
    assert named.count(str(towns / "aichi")) > named.count(str(towns / "bavaria")) >= 1


def test_one_index_is_answered_as_before(towns, capsys) -> None:
    picture = str(towns / "picture.png")
    assert main(["locate", picture, "--index", str(towns / "aichi"), "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["rank", "latitude", "longitude", "heading", "similarity"]
    assert len(lines[1].split()) == 5


def test_what_is_no_prior_is_one_line(towns, capsys) -> None:
    picture = str(towns / "picture.png")
    words = ["locate", picture, "--index", str(towns / "aichi"), "--prior", picture]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("geoloc: cannot read prior ")


@pytest.mark.parametrize("town", TWINS)
@pytest.mark.parametrize("option", ["--near", "--last-fix", "--region"])
def test_whoever_knows_something_tells_twins_apart(towns, capsys, town, option) -> None:
    lat, lon = TWINS[town].lat_deg, TWINS[town].lon_deg
    numbers = {
        "--near": (lat + 0.1, lon, 5e4),
        "--last-fix": (lat, lon - 0.2, 3600),
        "--region": (lat - 1, lon - 1, lat + 1, lon + 1),
    }[option]
    rows = located(towns, capsys, option, *map(str, numbers))
    assert rows[0]["index"] == str(towns / town)


def test_what_several_know_counts_together(towns, capsys) -> None:
    """Two who say one town outvote one who says the other."""
    lat, lon = TWINS["aichi"].lat_deg, TWINS["aichi"].lon_deg
    words = ["--prior", str(towns / "bavaria.json"), "--near", str(lat), str(lon), "1e5"]
    words += ["--last-fix", str(lat), str(lon), "3600"]
    rows = located(towns, capsys, *words)
    assert rows[0]["index"] == str(towns / "aichi")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--near", "48", "11", "-5"], "the radius of --near is -5 m"),
        (["--near", "98", "11", "5"], "--near: not a WGS84 position: lat 98.0"),
        (["--last-fix", "48", "11", "nan"], "the age of --last-fix is nan s"),
        (["--region", "49", "11", "48", "12"], "map region from 49.0 to 48.0"),
    ],
)
def test_numbers_out_of_bounds_are_one_line(towns, capsys, words, said) -> None:
    picture = str(towns / "picture.png")
    assert main(["locate", picture, "--index", str(towns / "aichi"), *words]) == 2
    assert capsys.readouterr().err.startswith(f"geoloc: {said}")
