# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures: camera and satellite agree on where things are, light behaves, bytes repeat."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyproj
import pytest
import rasterio

from geoloc_ros.errors import CameraError, ConfigError, ImageryError
from geoloc_ros.synthetic.conditions import Conditions, sample_conditions
from geoloc_ros.synthetic.imagery import (
    draw_registration,
    make_imagery,
    utm_crs,
    write_roads_geojson,
)
from geoloc_ros.synthetic.render import Mover, render_camera, render_ortho
from geoloc_ros.synthetic.scene import Scene, build_scene
from geoloc_ros.synthetic.town import Town, make_town

FAIR = Conditions(noise=0.0, blur_px=0.0, vignette=0.0)


@pytest.fixture(scope="module")
def town() -> Town:
    return make_town(5, "us_suburb", 300.0)


@pytest.fixture(scope="module")
def scene(town: Town) -> Scene:
    return build_scene(town, "drive")


def pinhole(width: int, height: int, hfov_deg: float) -> np.ndarray:
    focal = 0.5 * width / np.tan(np.radians(hfov_deg / 2))
    u, v = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    rays = np.stack([u / focal, v / focal, np.ones_like(u)], -1)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def looking(x: float, y: float, z: float, yaw: float, down_rad: float = 0.0) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    forward = np.array([c * np.cos(down_rad), s * np.cos(down_rad), -np.sin(down_rad)])
    right = np.array([s, -c, 0.0])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(forward, right), forward
    pose[:3, 3] = x, y, z
    return pose


def on_road(town: Town) -> tuple[float, float, float, float]:
    road = max(town.roads, key=lambda r: r.length_m)
    k = len(road.centreline_m) // 2
    d = road.centreline_m[k + 1] - road.centreline_m[k]
    x, y, z = road.centreline_m[k]
    return float(x), float(y), float(z), float(np.arctan2(d[1], d[0]))


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (cv2.GaussianBlur(i.astype(np.float32).mean(-1), (0, 0), 1.0) for i in (a, b))
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_camera_straight_down_agrees_with_ortho(town: Town, scene: Scene) -> None:
    height, size, width = 1500.0, 96.0, 240
    hfov = 2 * np.degrees(np.arctan(size / 2 / height))
    down = looking(0.0, 0.0, height, np.pi / 2, np.pi / 2)  # up in the picture is north
    rng = np.random.default_rng(0)
    camera = render_camera(scene, pinhole(width, width, hfov), down, FAIR, rng)
    ortho = render_ortho(scene, -48.0, -48.0, width, width, size / width, FAIR, rng)
    matched = similarity(camera, ortho)
    assert matched > 0.9
    for dx, dy in ((1.6, 0), (0, 1.6), (-1.6, 0), (0, -1.6)):
        moved = render_ortho(scene, -48 + dx, -48 + dy, width, width, size / width, FAIR, rng)
        assert similarity(camera, moved) < matched - 0.05


def test_camera_on_the_road_sees_road_and_sky(town: Town, scene: Scene) -> None:
    x, y, z, yaw = on_road(town)
    rng = np.random.default_rng(0)
    picture = render_camera(scene, pinhole(192, 96, 90), looking(x, y, z + 1.5, yaw), FAIR, rng)
    assert picture.shape == (96, 192, 3)
    assert picture.dtype == np.uint8
    sky, road = picture[:12].reshape(-1, 3).mean(0), picture[-12:, 80:112].reshape(-1, 3).mean(0)
    assert sky[2] > sky[0] + 20  # blue
    assert np.ptp(road) < 25  # grey
    assert 30 < picture.mean() < 220


def test_same_input_same_bytes(town: Town, scene: Scene) -> None:
    x, y, z, yaw = on_road(town)
    again = build_scene(make_town(5, "us_suburb", 300.0), "drive")
    copied = copy.deepcopy(scene)  # the ray tree is rebuilt
    conditions = sample_conditions(np.random.default_rng(3))
    mover = Mover((x + 9 * np.cos(yaw), y + 9 * np.sin(yaw), yaw))
    pictures = [
        render_camera(
            s,
            pinhole(320, 180, 80),
            looking(x, y, z + 1.5, yaw),
            conditions,
            np.random.default_rng(1),
            [mover],
        )
        for s in (scene, again, copied)
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])
    orthos = [
        render_ortho(s, -30, -30, 80, 60, 0.5, conditions, np.random.default_rng(1))
        for s in (scene, again)
    ]
    np.testing.assert_array_equal(orthos[0], orthos[1])


def test_other_vehicles_appear_where_they_are(town: Town, scene: Scene) -> None:
    x, y, z, yaw = on_road(town)
    rays, pose = pinhole(192, 96, 90), looking(x, y, z + 1.5, yaw)
    plain = render_camera(scene, rays, pose, FAIR, np.random.default_rng(0))
    ahead = Mover((x + 10 * np.cos(yaw), y + 10 * np.sin(yaw), yaw), colour=(200, 20, 20))
    behind = Mover((x - 10 * np.cos(yaw), y - 10 * np.sin(yaw), yaw), colour=(200, 20, 20))
    seen = render_camera(scene, rays, pose, FAIR, np.random.default_rng(0), [ahead])
    unseen = render_camera(scene, rays, pose, FAIR, np.random.default_rng(0), [behind])
    changed = np.abs(seen.astype(int) - plain).max(-1) > 40
    cols = np.nonzero(changed)[1]
    assert abs(cols.mean() - 95.5) < 8
    # 1.8 m wide, its rear 7.8 m ahead, focal length 96 px: 22 px
    assert 14 < np.ptp(cols) < 40
    np.testing.assert_array_equal(plain, unseen)


def test_fog_takes_the_distance_away(town: Town, scene: Scene) -> None:
    x, y, z, yaw = on_road(town)
    rays, pose = pinhole(192, 96, 90), looking(x, y, z + 1.5, yaw)
    clear = render_camera(scene, rays, pose, replace(FAIR, cloud=1.0), np.random.default_rng(0))
    fog = render_camera(
        scene, rays, pose, replace(FAIR, cloud=1.0, visibility_m=40.0), np.random.default_rng(0)
    )
    band = slice(36, 50)
    assert fog[band].astype(float).std() < 0.6 * clear[band].astype(float).std()


def test_shadows_fall_away_from_the_sun(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    east, west = (
        render_ortho(
            scene,
            -100,
            -100,
            400,
            400,
            0.5,
            replace(FAIR, sun_azimuth_deg=a, sun_elevation_deg=30),
            rng,
        )
        for a in (90.0, 270.0)
    )
    dark = [(i.mean(-1) < 45).astype(np.float32) for i in (east, west)]
    # the shadow masks match best when the morning one is shifted towards the west
    scores = {d: float((dark[0][:, 20:-20] * dark[1][:, 20 + d : 380 + d]).sum()) for d in (-8, 8)}
    assert scores[8] > scores[-8]


def test_epochs_differ_in_cars_and_roofs(town: Town, scene: Scene) -> None:
    before = build_scene(town, "satellite")
    assert len(before.mesh.faces) != len(scene.mesh.faces)
    with pytest.raises(ConfigError, match="epoch"):
        build_scene(town, "yesterday")


def test_conditions_without_gap_are_the_same_for_both() -> None:
    rng = np.random.default_rng(0)
    drive = replace(sample_conditions(rng, "drive", gap=False), sky_seed=0.0)
    satellite = replace(sample_conditions(rng, "satellite", gap=False), sky_seed=0.0)
    assert drive == satellite
    seasons = {sample_conditions(rng).season for _ in range(60)}
    assert seasons == {"spring", "summer", "autumn", "winter"}
    assert any(sample_conditions(rng).visibility_m < 400 for _ in range(120))
    with pytest.raises(ConfigError, match="cloud"):
        Conditions(cloud=1.5)
    with pytest.raises(ConfigError, match="season"):
        Conditions(season="monsoon")
    with pytest.raises(ConfigError, match="kind"):
        sample_conditions(rng, "submarine")


def test_bad_cameras_and_images_are_refused(scene: Scene) -> None:
    rng, pose = np.random.default_rng(0), np.eye(4)
    with pytest.raises(CameraError, match="shape"):
        render_camera(scene, np.zeros((4, 3)), pose, FAIR, rng)
    pose[0, 3] = np.nan
    with pytest.raises(CameraError, match="finite"):
        render_camera(scene, pinhole(8, 4, 90), pose, FAIR, rng)
    with pytest.raises(ImageryError, match="above 0"):
        render_ortho(scene, 0, 0, 0, 5, 0.4, FAIR, rng)


def test_registration_error_stays_within_its_limits() -> None:
    rng = np.random.default_rng(8)
    half = 750.0
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-half, half, 21)]), -1).reshape(-1, 2)
    sizes = []
    for _ in range(50):
        registration = draw_registration(rng, half, gap=True)
        error = np.linalg.norm(registration.displacement_m(grid), axis=1)
        sizes.append(error.mean())
        assert error.max() <= 1.5
        assert abs(np.degrees(registration.angle_rad)) <= 0.5
    assert np.mean(sizes) > 0.3
    assert np.abs(draw_registration(rng, half, gap=False).displacement_m(grid)).max() == 0


def test_imagery_is_where_it_says(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "imagery.tif"
    make_imagery(town, path, gsd_m=0.5, gap=False, seed=2)
    with rasterio.open(path) as image:
        assert image.crs.to_string() == utm_crs(town) == "EPSG:32614"
        assert image.profile["tiled"]
        pixels = np.moveaxis(image.read(), 0, -1)
        to_image = pyproj.Transformer.from_crs(town.frame.crs, image.crs, always_xy=True)
        edge = np.array([[s * 205.0, t * 205.0] for s in (-1, 1) for t in (-1, 1)])
        for e, n in zip(*to_image.transform(edge[:, 0], edge[:, 1]), strict=True):
            assert image.bounds.left <= e <= image.bounds.right
            assert image.bounds.bottom <= n <= image.bounds.top
        # what a 1 m grid of the plane shows must be what an ortho image of the plane shows
        axis = np.arange(-60.0, 60.0, 0.5) + 0.25
        x, y = np.meshgrid(axis, axis[::-1])
        e, n = to_image.transform(x.ravel(), y.ravel())
        inverse = ~image.transform
        col, row = inverse * (np.asarray(e), np.asarray(n))
    look = pixels[np.floor(row).astype(int), np.floor(col).astype(int)].reshape(240, 240, 3)
    local = render_ortho(
        build_scene(town, "drive", rng_seed=2),
        -60,
        -60,
        240,
        240,
        0.5,
        FAIR,
        np.random.default_rng(0),
    )
    best = similarity(look, local)
    assert best > 0.9
    for dx, dy in ((2, 0), (-2, 0), (0, 2), (0, -2)):
        assert similarity(look[8:-8, 8:-8], local[8 + dy : 232 + dy, 8 + dx : 232 + dx]) < best


def test_imagery_with_gap_differs_and_repeats(town: Town, tmp_path: Path) -> None:
    for name, gap in (("a", True), ("b", True), ("c", False)):
        make_imagery(town, tmp_path / f"{name}.tif", gsd_m=0.8, gap=gap, seed=1)
    a, b, c = ((tmp_path / f"{n}.tif").read_bytes() for n in "abc")
    assert a == b
    assert a != c
    with pytest.raises(ImageryError, match="gsd_m"):
        make_imagery(town, tmp_path / "d.tif", gsd_m=0.0)


def test_roads_geojson(town: Town, tmp_path: Path) -> None:
    import json

    write_roads_geojson(town, tmp_path / "roads.geojson")
    data = json.loads((tmp_path / "roads.geojson").read_text(encoding="utf-8"))
    assert len(data["features"]) == len(town.roads)
    first = data["features"][0]
    assert set(first["properties"]) == {"id", "kind", "width_m", "lanes", "oneway"}
    lonlat = np.array(first["geometry"]["coordinates"])
    xy = town.frame.to_xy(lonlat[:, 1], lonlat[:, 0])
    np.testing.assert_allclose(xy, town.roads[0].centreline_m[:, :2], atol=0.01)
