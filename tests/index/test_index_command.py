# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc index` from a GeoTIFF and a road layer to answers, with a tiny real ONNX model."""

import argparse
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import rasterio
from affine import Affine
from made_place import make_package, make_picture, make_roads
from onnx import TensorProto, helper, numpy_helper
from osm_files import write_osm
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window
from scipy.spatial import KDTree

sys.path.insert(0, str(Path(__file__).parents[1] / "imagery"))
from tile_files import CREDIT, encode, write_mbtiles

from geoloc_ros.cli.index import add_parser
from geoloc_ros.encoders.package import file_sha256
from geoloc_ros.errors import (
    ConfigError,
    GeolocError,
    IndexBuildError,
    IndexMismatchError,
    ModelError,
)
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery.tile_span import Area, TileSpan
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.sharded_index import ShardedIndex

DIM = 64


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["index", *map(str, arguments)])
    return parsed.run(parsed)


def write_model(path):
    weights = np.random.default_rng(0).normal(size=(48, DIM)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["image"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]
            ),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["raw"]),
            helper.make_node("LpNormalization", ["raw"], ["descriptor"], axis=1, p=2),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with imagery, roads, a model and an index of them."""
    root = tmp_path_factory.mktemp("place")
    picture = make_picture()
    side = picture.valid.shape[0]
    with rasterio.open(
        root / "imagery.tif",
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=3,
        dtype="uint8",
        crs=picture.frame.crs,
        transform=Affine(1.0, 0.0, picture.west_m, 0.0, -1.0, picture.north_m),
    ) as dataset:
        dataset.write(picture.rgb.transpose(2, 0, 1))
        dataset.update_tags(attribution="Blob Survey")
    features = []
    for road in make_roads():
        lat, lon = picture.frame.to_latlon(road.xy_m)
        line = {"type": "LineString", "coordinates": np.stack([lon, lat], axis=1).tolist()}
        features.append(
            {"type": "Feature", "geometry": line, "properties": {"oneway": road.oneway}}
        )
    (root / "roads.geojson").write_text(json.dumps({"features": features}))
    (root / "model").mkdir()
    names = ("query.onnx", "reference.onnx")
    for name in names:
        write_model(root / "model" / name)
    files = {name: file_sha256(root / "model" / name) for name in names}
    make_package(root / "model", files=files).save()
    status = run(
        "build", root / "imagery.tif", "--model", root / "model", "--out", root / "index",
        "--roads", root / "roads.geojson", "--threads", 1, "--quiet",
    )  # fmt: skip
    assert status == 0
    return root


def test_info_tells_what_it_is(place, capsys):
    assert run("info", place / "index") == 0
    text = capsys.readouterr().out
    for part in (
        "64 x int12",
        "clusters of 20",
        "2391 poses",
        "4 shards",
        "Blob Survey",
        "along roads",
        "fake 1",
        "imagery.tif",
    ):
        assert part in text
    assert f"roads       layer {load_manifest(place / 'index').roads_sha256[:12]}" in text
    assert run("info", place / "index", "--json") == 0
    assert json.loads(capsys.readouterr().out)["dim"] == DIM


@pytest.mark.parametrize("by_windows", [False, True])
def test_an_index_is_built_from_tiles_too(place, tmp_path, monkeypatch, capsys, by_windows):
    span = TileSpan.covering(Area.around(LatLon(46.5, 6.6), 500.0), 17)
    tiles = {}
    with rasterio.open(place / "imagery.tif") as dataset:
        for tile in span:
            west, south, east, north = tile.bounds_mercator_m
            rgb = np.zeros((3, 256, 256), np.uint8)
            affine = Affine((east - west) / 256, 0.0, west, 0.0, (south - north) / 256, north)
            reproject(
                rasterio.band(dataset, [1, 2, 3]), rgb, dst_transform=affine,
                dst_crs="EPSG:3857", resampling=Resampling.cubic,
            )  # fmt: skip
            tiles[tile] = encode(rgb.transpose(1, 2, 0))
    path = write_mbtiles(tmp_path / "city.mbtiles", tiles)
    if by_windows:
        monkeypatch.setattr("geoloc_ros.imagery.windows.IN_MEMORY_PIXELS", 1000)
    status = run(
        "build", path, "--model", place / "model", "--out", tmp_path / "index",
        "--roads", place / "roads.geojson", "--threads", 1, "--quiet",
    )  # fmt: skip
    assert status == 0
    manifest = load_manifest(tmp_path / "index")
    assert manifest.imagery.attribution == CREDIT["attribution"]
    assert manifest.imagery.licence == CREDIT["terms"]
    assert manifest.imagery.source == "city.mbtiles"
    assert run("verify", tmp_path / "index", "--model", place / "model") == 0
    # entries of both indexes at one place look alike, though the pixels went another way
    one, other = ShardedIndex.open(place / "index"), ShardedIndex.open(tmp_path / "index")
    (ids, poses), (other_ids, others) = one.entries(), other.entries()
    near = KDTree(one.manifest.frame.to_xy(*other.manifest.frame.to_latlon(others[:, :2])))
    away, entry = near.query(poses[:, :2], distance_upper_bound=0.5)
    turned = wrap_angle(poses[:, 2] - others[np.minimum(entry, len(other) - 1), 2])
    same = np.isfinite(away) & (np.abs(turned) < 0.02)
    assert same.sum() > 100
    found = (one.vectors(ids[same]) * other.vectors(other_ids[entry[same]])).sum(axis=1)
    assert np.median(found) > 0.99


def test_indexes_of_two_images_around_one_origin_can_be_merged(place, tmp_path):
    with rasterio.open(place / "imagery.tif") as dataset:
        half, profile = dataset.width // 2, dataset.profile
        for name, left in (("west", 0), ("east", half)):
            window = Window(left, 0, half, dataset.height)
            profile.update(width=half, transform=dataset.window_transform(window))
            with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as part:
                part.write(dataset.read(window=window))
    for name in ("west", "east"):
        status = run(
            "build", tmp_path / f"{name}.tif", "--model", place / "model", "--out",
            tmp_path / name, "--roads", place / "roads.geojson", "--origin", 46.5, 6.6,
            "--threads", 1, "--quiet",
        )  # fmt: skip
        assert status == 0
    assert run("merge", tmp_path / "west", tmp_path / "east", "--out", tmp_path / "both") == 0
    assert run("verify", tmp_path / "both", "--model", place / "model") == 0
    west, east, both = (load_manifest(tmp_path / name) for name in ("west", "east", "both"))
    assert both.origin == LatLon(46.5, 6.6)
    assert both.count == west.count + east.count > 0
    assert (west.bounds_m[2] < 1.0, east.bounds_m[0] > -1.0) == (True, True)


@pytest.mark.parametrize("origin", [(95.0, 6.6), (46.5, 16.6), (float("nan"), 6.6)])
def test_an_origin_that_is_none_or_far_off_is_refused(place, tmp_path, origin):
    with pytest.raises(GeolocError, match=r"not a WGS84 position|50000 m|far"):
        run(
            "build", place / "imagery.tif", "--model", place / "model", "--out",
            tmp_path / "index", "--grid", "--origin", *origin, "--threads", 1, "--quiet",
        )  # fmt: skip


def test_an_index_along_an_extract_names_openstreetmap(place, tmp_path):
    frame = make_picture().frame
    nodes, ways = {}, []
    for road in make_roads():
        lat, lon = frame.to_latlon(road.xy_m)
        places = [(round(float(a), 7), round(float(b), 7)) for a, b in zip(lon, lat, strict=True)]
        refs = [nodes.setdefault(place, len(nodes) + 1) for place in places]
        ways.append((refs, {"highway": "primary", "oneway": "yes" if road.oneway else "no"}))
    extract = write_osm(tmp_path / "a.osm.gz", {n: place for place, n in nodes.items()}, ways)
    status = run(
        "build", place / "imagery.tif", "--model", place / "model", "--out", tmp_path / "index",
        "--roads", extract, "--threads", 1, "--quiet",
    )  # fmt: skip
    assert status == 0
    built, usual = load_manifest(tmp_path / "index"), load_manifest(place / "index")
    assert built.imagery.attribution == "Blob Survey; roads © OpenStreetMap contributors, ODbL"
    assert built.imagery.sha256 == usual.imagery.sha256
    assert built.count == usual.count


def test_verify_tells_sound_from_not(place, tmp_path, capsys):
    assert run("verify", place / "index", "--model", place / "model") == 0
    assert "is sound" in capsys.readouterr().out
    assert run("verify", tmp_path) == 1
    assert "NOT sound" in capsys.readouterr().out


def test_query_by_picture_finds_the_place(place, tmp_path, capsys):
    picture = make_picture()
    # heading north is up: an unturned cut of 40 m around (0, 300)
    row, column = 560 - 300, 560
    cut = picture.rgb[row - 20 : row + 20, column - 20 : column + 20]
    cv2.imwrite(str(tmp_path / "view.png"), cut[:, :, ::-1])
    status = run(
        "query", place / "index", tmp_path / "view.png", "--model", place / "model", "-k", 3
    )
    assert status == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    _, lat, lon, heading, similarity = map(float, lines[1].split())
    xy_m = picture.frame.to_xy(lat, lon)[0]
    assert np.hypot(*(xy_m - [0.0, 300.0])) < 8.0
    assert min(heading, 360.0 - heading) < 15.0
    assert similarity > 0.8


def test_query_finds_the_model_by_itself(place, tmp_path, capsys, monkeypatch):
    cv2.imwrite(str(tmp_path / "view.png"), make_picture().rgb[:40, :40])
    monkeypatch.setenv("GEOLOC_MODELS", str(place))
    assert run("query", place / "index", tmp_path / "view.png", "-k", 1) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_query_by_position(place, capsys):
    assert run("query", place / "index", "--lat", 46.5, "--lon", 6.6, "-k", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert float(lines[1].split()[1]) == pytest.approx(46.5, abs=1e-4)


@pytest.mark.parametrize("storage", ["int8", "float16", "float32"])
@pytest.mark.parametrize("search", ["clusters", "hnsw"])
def test_storage_and_search_can_be_chosen(place, tmp_path, capsys, storage, search):
    status = run(
        "build", place / "imagery.tif", "--model", place / "model", "--out", tmp_path / "index",
        "--roads", place / "roads.geojson", "--spacing", 20, "--storage", storage,
        "--search", search, "--quiet",
    )  # fmt: skip
    assert status == 0
    assert run("info", tmp_path / "index") == 0
    assert f"64 x {storage}" in capsys.readouterr().out
    assert run("verify", tmp_path / "index", "--model", place / "model") == 0
    assert "search recall@10 1.000" in capsys.readouterr().out


def test_grid(place, tmp_path, capsys):
    status = run(
        "build", place / "imagery.tif", "--model", place / "model", "--out", tmp_path / "index",
        "--grid", "--pitch", 80, "--headings", 4, "--quiet",
    )  # fmt: skip
    assert status == 0
    assert run("info", tmp_path / "index") == 0
    assert "grid of 80 m with 4 headings" in capsys.readouterr().out


def test_mistakes_give_errors_of_this_package(place, tmp_path):
    with pytest.raises(ModelError):
        run("query", place / "index", tmp_path / "view.png")
    with pytest.raises(ConfigError, match="--lat and --lon"):
        run("query", place / "index")
    with pytest.raises(IndexBuildError, match="spacing_m is -1"):
        run(
            "build", place / "imagery.tif", "--model", place / "model", "--out", tmp_path / "i",
            "--roads", place / "roads.geojson", "--spacing", -1,
        )  # fmt: skip
    other = tmp_path / "model"
    other.mkdir()
    make_package(other, files={}).save()
    with pytest.raises(IndexMismatchError, match="was built with encoder"):
        run("query", place / "index", tmp_path / "view.png", "--model", other)


@pytest.mark.parametrize("k", [0, -2])
def test_a_query_for_nothing_is_refused(place, k):
    with pytest.raises(ConfigError, match=f"-k is {k}; it must be at least 1"):
        run("query", place / "index", "--lat", 46.5, "--lon", 6.6, "-k", k)


@pytest.mark.parametrize("option", ["--lat", "--lon"])
def test_a_query_for_two_things_is_refused(place, option):
    with pytest.raises(ConfigError, match="either IMAGE, or --lat and --lon"):
        run("query", place / "index", "view.png", option, 46.5)


@pytest.mark.parametrize("threads", [-1, 10**6])
def test_threads_that_no_machine_has_are_refused(place, tmp_path, threads):
    with pytest.raises(ConfigError, match=rf"--threads is {threads}; it must lie in \[0, \d+\]"):
        run(
            "build", place / "imagery.tif", "--model", place / "model", "--out", tmp_path / "i",
            "--grid", "--threads", threads,
        )  # fmt: skip


def test_roads_or_grid_must_be_chosen(place, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("build", place / "imagery.tif", "--model", place / "model", "--out", tmp_path / "i")
    assert "--roads --grid is required" in capsys.readouterr().err


def test_describe_asks_about_every_tile(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEOLOC_MODELS", str(place))
    root = shutil.copytree(place / "index", tmp_path / "index")
    arguments = (root, "--imagery", place / "imagery.tif", "--quiet", "--within", 100)
    with pytest.raises(ConfigError, match="a stand-in that answers none of the questions"):
        run("describe", *arguments, "--vlm", "rules")
    for wrong in (("--vlm", "no_such"), ("--vlm", "vlm-tiny", "--workers", 0),
                  ("--vlm", "vlm-tiny", "--within", -1)):  # fmt: skip
        with pytest.raises((ConfigError, ModelError)):
            run("describe", *arguments[:3], *wrong)
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    for written in (True, False):  # the second time there is nothing to ask
        known = {path.stat().st_ino for path in (root / "shards").glob("*answers*")}
        assert run("describe", *arguments, "--vlm", "vlm-tiny") == 0
        assert "by geoloc-vlm-tiny 0.1.0 for 2391 poses" in capsys.readouterr().out
        now = {path.stat().st_ino for path in (root / "shards").glob("*answers*")}
        assert now
        assert (now != known) == written
    assert run("info", root) == 0
    assert "described   by geoloc-vlm-tiny" in capsys.readouterr().out
    assert run("verify", root) == 0
