# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Panoramas that were stitched already: `geoloc locate` and `geoloc bag from-frames`."""

import json

import cv2
import numpy as np
import pytest
from made_flight import PLANE
from made_ride import HEIGHT_M, Ride, make, picture

from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.cli.main import main
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.geo import se2
from geoloc_ros.imagery.ortho import OrthoImage

ROUND = CameraModel.all_round(384, 192)


@pytest.fixture(scope="module")
def ride(tmp_path_factory) -> Ride:
    return make(tmp_path_factory.mktemp("ride"))


def write_panorama(ride: Ride, pose: FloatArray, path) -> None:
    ortho = OrthoImage.open(ride.imagery, PLANE)
    rgb = picture(ortho, pose, mount_from_pitch(HEIGHT_M, 0.0), ROUND)
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


@pytest.mark.parametrize("number", [20, 60, 100])
def test_a_panorama_is_located_with_its_heading(ride, number, tmp_path, capsys) -> None:
    pose = ride.poses[number]
    write_panorama(ride, pose, tmp_path / "round.png")
    words = ["locate", str(tmp_path / "round.png"), "--index", str(ride.index)]
    capsys.readouterr()
    assert main([*words, "--model", str(ride.model), "--top", "3", "--json"]) == 0
    best, *others = json.loads(capsys.readouterr().out)
    xy = PLANE.to_xy(best["lat_deg"], best["lon_deg"])[0]
    assert np.hypot(*(xy - pose[:2])) < 5.0
    turned = se2.wrap_angle(np.radians(90.0 - best["heading_deg"]) - pose[2])
    assert abs(np.degrees(turned)) < 10.0
    assert all(row["similarity"] < best["similarity"] for row in others)
    assert len({(row["lat_deg"], row["lon_deg"]) for row in (best, *others)}) == 3


def test_a_folder_of_panoramas_becomes_a_recording(ride, tmp_path) -> None:
    (tmp_path / "frames").mkdir()
    rows = ["frame,t_s"]
    for number in range(2):
        write_panorama(ride, ride.poses[number], tmp_path / "frames" / f"{number}.png")
        rows.append(f"{number}.png,{number / 10}")
    (tmp_path / "frames.csv").write_text("\n".join(rows))
    words = ["bag", "from-frames", str(tmp_path / "frames.csv"), "--out", str(tmp_path / "bag")]
    assert main([*words, "--equirectangular", "--mount-height", "6", "--quiet"]) == 0
    with BagReader(tmp_path / "bag") as reader:
        recording = Recording(reader, Config().input, rig=True)
    camera, mount = recording.cameras["camera"]
    assert camera.distortion_model == "equirectangular"
    assert camera.hfov_deg == pytest.approx(360.0)
    assert mount[2, 3] == 6.0
    assert main([*words, "--equirectangular", "--hfov", "90"]) == 2
