# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""geoloc replay with four cameras that become one panorama, on tiles with north up."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from made_ride import FRAMES, NAMES, Ride, make, record, write_model

from geoloc_ros.cli.main import main
from geoloc_ros.encoders.package import load_package
from geoloc_ros.evaluation import tables


@pytest.fixture(scope="module")
def ride(tmp_path_factory) -> Ride:
    return make(tmp_path_factory.mktemp("ride"))


@pytest.fixture(scope="module")
def bag(ride):
    return record(ride, ride.root / "bag")


def replay(ride, bag, out, *more) -> int:
    words = ["replay", bag, "--index", ride.index, "--model", ride.model, "--out", out]
    truth = ["--truth", "/ground_truth/pose", "--no-report"]
    return main([str(word) for word in (*words, *truth, *more)])


def result(out) -> dict:
    return json.loads((out / "result.json").read_text())


def notes(out) -> list[str]:
    return json.loads((out / "summary.json").read_text())["notes"]


@pytest.fixture(scope="module")
def out(ride, bag, tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "out"
    assert replay(ride, bag, path) == 0
    return path


def test_four_cameras_find_the_vehicle_and_its_heading(out) -> None:
    found = result(out)
    assert found["frames"] == found["frames_used"] == FRAMES
    assert found["availability"] > 0.9
    assert found["position_error_m"]["median"] < 1.5
    assert found["yaw_error_deg"]["median"] < 2.0
    assert found["confidently_wrong"] < 0.05
    assert found["recall"]["1"] > 0.8
    assert notes(out) == []


def test_tiles_turned_with_the_vehicle_do_as_well(ride, bag, tmp_path) -> None:
    build = ["index", "build", ride.imagery, "--model", ride.model, "--out", tmp_path / "turned"]
    build += ["--grid", "--pitch", "6", "--headings", "16", "--no-north-up", "--quiet"]
    assert main([str(word) for word in build]) == 0
    turned = dataclasses.replace(ride, index=tmp_path / "turned")
    assert replay(turned, bag, tmp_path / "out") == 0
    found = result(tmp_path / "out")
    assert found["availability"] > 0.9
    assert found["position_error_m"]["median"] < 1.5
    assert found["yaw_error_deg"]["median"] < 2.0


def test_replayed_again_it_gives_the_same_bytes(ride, bag, out, tmp_path) -> None:
    assert replay(ride, bag, tmp_path / "again") == 0
    first = (out / "estimates.parquet").read_bytes()
    assert (tmp_path / "again/estimates.parquet").read_bytes() == first


def test_a_camera_that_fails_on_the_way_is_named_and_the_ride_goes_on(ride, tmp_path) -> None:
    def fail(moment):
        jpegs = {n: j for n, j in moment.jpegs.items() if n != "left" or moment.number < 50}
        return dataclasses.replace(moment, jpegs=jpegs)

    bag = record(ride, tmp_path / "bag", fail)
    assert replay(ride, bag, tmp_path / "out") == 0
    found = result(tmp_path / "out")
    assert found["frames"] == found["frames_used"] == FRAMES
    assert found["availability"] > 0.85
    assert found["position_error_m"]["median"] < 2.0
    assert notes(tmp_path / "out") == ["camera left is missing from 75 of 125 panoramas"]
    assert np.isfinite(tables.read_estimates(tmp_path / "out").poses[-1]).all()


def test_one_camera_alone_may_be_chosen_and_broken_pictures_are_passed_over(
    ride, tmp_path
) -> None:
    def spoil(moment):
        jpegs = {**moment.jpegs, "rear": b"no picture"}
        return dataclasses.replace(moment, jpegs=jpegs)

    bag = record(ride, tmp_path / "bag", spoil)
    three = ",".join(f"/{name}/image/compressed" for name in NAMES if name != "right")
    assert replay(ride, bag, tmp_path / "out", "--image-topic", three) == 0
    assert result(tmp_path / "out")["frames_used"] == FRAMES
    assert result(tmp_path / "out")["availability"] > 0.5


def test_topics_that_are_not_there_or_not_clear_are_named(ride, bag, tmp_path, capsys) -> None:
    topics = "/front/image/compressed,/top/image/compressed"
    assert replay(ride, bag, tmp_path / "out", "--image-topic", topics) == 2
    assert "topic /top/image/compressed is not in the bag" in capsys.readouterr().err
    twice = "/front/image/compressed,/front/image/compressed"
    assert replay(ride, bag, tmp_path / "out", "--image-topic", twice) == 2
    assert "camera front has several image topics" in capsys.readouterr().err


def test_a_model_of_panoramas_can_be_calibrated(ride, tmp_path) -> None:
    world, model = tmp_path / "world", tmp_path / "model"
    world.mkdir()
    shutil.copy(ride.imagery, world / "imagery.tif")
    record(ride, world / "drive_00")
    before = write_model(model).calibration
    words = ["calibrate", model, world, "--work", tmp_path / "work", "--grid", "--pitch", "6"]
    assert main([str(word) for word in words]) == 0
    fitted = load_package(model).calibration
    assert fitted.matched - fitted.background > 3.0 * fitted.background_sigma
    assert not np.isclose(fitted.temperature, before.temperature)
    assert tables.read_estimates(tmp_path / "work/world_drive_00").localised.mean() > 0.5


def test_who_has_no_odometry_is_told_what_cameras_that_look_ahead_cannot_see(
    ride, bag, tmp_path, caplog
) -> None:
    assert replay(ride, bag, tmp_path / "out", "--odometry-topic", "none") == 0
    assert "there is no odometry" in caplog.text
    assert "give odometry" in caplog.text
