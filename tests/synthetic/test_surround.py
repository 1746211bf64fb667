# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made vehicles that look all round: what is recorded, and that it stitches to the town itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.panorama import PanoramaView, turned
from geoloc_ros.cli.main import main
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.rotations import matrix_from_rpy, transform
from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.render import render_camera
from geoloc_ros.synthetic.scene import Scene, build_scene
from geoloc_ros.synthetic.sensor_rig import make_rig, surround
from geoloc_ros.synthetic.town import make_town

FAIR = Conditions(noise=0.0, blur_px=0.0, vignette=0.0)
SPEC = QuerySpec(
    view="panorama", height_px=40, width_px=240, hfov_deg=360.0, vfov_deg=60.0,
    alignment="heading",
)  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(make_town(5, "us_suburb", 300.0), "drive")


@pytest.fixture(scope="module")
def place(scene) -> FloatArray:
    """x, y, z, yaw of a vehicle in the middle of the longest road."""
    road = max(scene.town.roads, key=lambda r: r.length_m)
    k = len(road.centreline_m) // 2
    step = road.centreline_m[k + 1] - road.centreline_m[k]
    return np.array([*road.centreline_m[k], np.arctan2(step[1], step[0])])


def base(place: FloatArray, turn_rad: float = 0.0) -> FloatArray:
    return transform(matrix_from_rpy(0.0, 0.0, place[3] + turn_rad), place[:3])


def stitched(scene: Scene, T_world_base: FloatArray, ring: float = 1.0):
    """The strip of six cameras; a ring of 0 puts them all in one point."""
    rng = np.random.default_rng(0)
    cameras, pictures = {}, {}
    for spec in surround(6):
        spec = replace(
            spec, width_px=240, height_px=180, mount_error_deg=0.0,
            forward_m=ring * spec.forward_m, left_m=ring * spec.left_m,
        )  # fmt: skip
        rig = make_rig(spec, rng)
        camera = CameraModel.from_camera_info(240, 180, "plumb_bob", rig.D, rig.K)
        pose = T_world_base @ rig.T_base_camera
        pictures[spec.name] = render_camera(scene, camera.rays(), pose, FAIR, rng), 1
        cameras[spec.name] = camera, rig.T_base_camera
    return PanoramaView(cameras, SPEC).stitch(pictures)


def directly(scene: Scene, T_world_base: FloatArray) -> Image:
    """The strip cast ray by ray from the middle of the roof, three by three rays to a pixel."""
    fine = CameraModel.all_round(3 * SPEC.width_px, 3 * SPEC.height_px)
    mount = transform(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]), (0.0, 0.0, 1.7))
    rays = fine.rays()
    picture = render_camera(scene, rays, T_world_base @ mount, FAIR, np.random.default_rng(1))
    cells = picture.reshape(SPEC.height_px, 3, SPEC.width_px, 3, 3).astype(float)
    return np.asarray(cells.mean(axis=(1, 3)).round(), np.uint8)


def psnr(a: Image, b: Image, mask) -> float:
    """dB, after the exposure of both has been made one."""
    first, second = a[mask].astype(float), b[mask].astype(float)
    first *= second.mean() / first.mean()
    return float(20.0 * np.log10(255.0 / np.sqrt(np.mean((first - second) ** 2))))


def test_a_stitched_panorama_is_that_of_the_town_itself(scene, place) -> None:
    wanted = directly(scene, base(place))
    one_point = stitched(scene, base(place), ring=0.0)
    on_roof = stitched(scene, base(place))
    assert one_point.mask.mean() > 0.97
    assert psnr(one_point.image, wanted, one_point.mask) > 24.0
    assert psnr(on_roof.image, wanted, on_roof.mask) > 22.0
    elsewhere = turned(on_roof, np.radians(15.0))
    assert psnr(elsewhere.image, wanted, elsewhere.mask) < 18.5


def test_rolled_by_an_angle_it_is_what_a_turned_vehicle_sees(scene, place) -> None:
    turn = np.radians(38.0)
    rolled = turned(stitched(scene, base(place)), turn)
    seen = stitched(scene, base(place, turn))
    both = rolled.mask & seen.mask
    assert psnr(rolled.image, seen.image, both) > 24.0
    other_way = turned(stitched(scene, base(place)), -turn)
    assert psnr(other_way.image, seen.image, both) < 18.0


def test_a_rig_is_recorded_with_all_its_cameras(tmp_path, capsys) -> None:
    words = ["synth", "make", "--seed", "5", "--size", "420", "--length", "30", "--gsd", "2"]
    camera = ["--surround", "4", "--width", "48", "--height-px", "32", "--rate", "2"]
    out = tmp_path / "world"
    assert main([*words, *camera, "--out", str(out), "--workers", "1", "--quiet"]) == 0
    with BagReader(out / "drive_00") as reader:
        counts = {topic.name: topic.count for topic in reader.topics()}
        recording = Recording(reader, Config().input, rig=True)
        stamps = {name: [] for name in recording.topics.images}
        for stamp, topic, _ in reader.messages(tuple(stamps)):
            stamps[topic].append(stamp)
    names = [f"camera_{number}" for number in range(4)]
    assert list(recording.cameras) == names
    assert len({counts[f"/{name}/image/compressed"] for name in names}) == 1
    assert len({tuple(each) for each in stamps.values()}) == 1
    ahead = [mount[:2, 2] for _, mount in recording.cameras.values()]
    yaws = np.degrees([np.arctan2(left, forward) for forward, left in ahead])
    assert np.allclose(yaws, [0.0, 90.0, 180.0, -90.0])
    assert all(camera.hfov_deg > 110.0 for camera, _ in recording.cameras.values())
    views = PanoramaView(recording.cameras, SPEC)
    assert views.coverage > 0.9
    (truth,) = json.loads((out / "scene.json").read_text())["drives"]
    assert len(truth["other_cameras"]) == 3
    errors = {tuple(c["mount_error_rpy_deg"]) for c in (truth, *truth["other_cameras"])}
    assert len(errors) == 4


def test_rigs_that_cannot_be_are_refused(tmp_path, capsys) -> None:
    with pytest.raises(CameraError, match="2 cameras all round; there must be 3 to 12"):
        surround(2)
    words = ["synth", "make", "--seed", "5", "--out", str(tmp_path / "w"), "--surround"]
    assert main([*words, "13"]) == 2
    assert main([*words, "4", "--vehicle", "aerial"]) == 2
    assert "an aerial vehicle has one camera" in capsys.readouterr().err
