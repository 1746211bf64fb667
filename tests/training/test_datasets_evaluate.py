# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of made data sets by a made model: preparation, cache, figures, command."""

import csv
import json

import made_datasets as made
import numpy as np
import pytest
from fake_engines import FakeTensorRT
from made_models import DIM, PANORAMA, SIDE, make_model

from geoloc_ros.cli import eval_retrieval
from geoloc_ros.cli.main import main
from geoloc_ros.encoders.backends import choosing
from geoloc_ros.encoders.backends.ort import OrtCpu
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import QuerySpec, ReferenceSpec
from geoloc_ros.errors import DatasetError
from geoloc_ros.training.datasets import descriptors, score
from geoloc_ros.training.datasets.base import Pictures, Places, Related, Split
from geoloc_ros.training.datasets.descriptors import DescriptorCache
from geoloc_ros.training.datasets.preparation import Preparation
from geoloc_ros.training.datasets.published import _ROWS, published
from geoloc_ros.training.datasets.registry import DATASETS, open_split
from geoloc_ros.training.importing import sample4geo


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def panoramic(tmp_path):
    return make_model(tmp_path / "panoramic", PANORAMA)


class Counting:
    """An encoder that counts the pictures it gets."""

    def __init__(self, package):
        self.encoder, self.count = OnnxEncoder(package), 0

    def encode_query(self, views):
        self.count += len(views)
        return self.encoder.encode_query(views)

    def encode_reference(self, crops):
        self.count += len(crops)
        return self.encoder.encode_reference(crops)


# What the model gets to see.


def split_of(tmp_path, view, query, reference, **known):
    """One query and one reference that show given images."""
    paths = {}
    for name, image in (("query", query), ("reference", reference)):
        paths[name] = tmp_path / f"{name}.png"
        assert made.cv2.imwrite(str(paths[name]), image[..., ::-1])
    references = {"gsd_m": known.pop("gsd_m", None), "heading_deg": np.zeros(1)}
    return Split(
        dataset="made",
        name="all",
        root=tmp_path,
        queries=Pictures((paths["query"],), ("q",), view, **known),
        references=Pictures((paths["reference"],), ("r",), "overhead", **references),
        positives=Related([[0]]),
        semi_positives=Related([[]]),
    )


def compass_panorama(rows=90, columns=360):
    """Red tells the azimuth of a column, 0 at the left edge; green tells the row."""
    image = np.zeros((rows, columns, 3), np.uint8)
    image[..., 0] = (np.arange(columns) * 255 // columns)[None, :]
    image[..., 1] = (np.arange(rows) * 255 // rows)[:, None]
    return image


GROUND = np.zeros((100, 100, 3), np.uint8)


def test_panoramas_are_given_whole(tmp_path, panoramic):
    image = compass_panorama()
    split = split_of(tmp_path, "panorama", image, GROUND, vfov_deg=180.0, hfov_deg=360.0)
    seen = Preparation(panoramic, split).query(0)
    assert np.array_equal(seen, made.cv2.resize(image, (SIDE, SIDE), interpolation=3))


def test_panoramas_are_rolled_to_what_the_model_has_in_the_middle(tmp_path):
    spec = QuerySpec(
        view="panorama", height_px=90, width_px=360, hfov_deg=360.0, vfov_deg=180.0,
        centre_azimuth_deg=90.0, alignment="north",
    )  # fmt: skip
    image = compass_panorama()
    split = split_of(tmp_path, "panorama", image, GROUND, vfov_deg=180.0, hfov_deg=360.0)
    seen = Preparation(make_model(tmp_path / "m", spec), split).query(0)
    # east, a quarter to the right of the middle, is in the middle now
    assert np.array_equal(seen[:, 180], image[:, 270])


def test_the_elevations_a_model_wants_are_cut(tmp_path):
    spec = QuerySpec(
        view="panorama", height_px=46, width_px=360, hfov_deg=360.0, vfov_deg=90.0,
        alignment="north",
    )  # fmt: skip
    image = compass_panorama(rows=92)
    split = split_of(tmp_path, "panorama", image, GROUND, vfov_deg=180.0, hfov_deg=360.0)
    seen = Preparation(make_model(tmp_path / "m", spec), split).query(0)
    assert np.array_equal(seen, image[23:69])


def test_a_camera_sees_the_middle_of_a_panorama(tmp_path, model):
    split = split_of(tmp_path, "panorama", compass_panorama(360, 1440), GROUND, vfov_deg=180.0)
    seen = Preparation(model, split).query(0).astype(float)
    middle = seen[11:13, 11:13].mean(axis=(0, 1))
    assert middle[:2] == pytest.approx([127.5, 127.5], abs=1.5)
    # the edges of a view of 90 degrees look 45 degrees aside: an eighth of the columns
    assert seen[12, 0, 0] == pytest.approx(255 * (0.5 - 1 / 8), abs=5)
    assert seen[12, -1, 0] == pytest.approx(255 * (0.5 + 1 / 8), abs=5)
    assert seen[0, 12, 1] == pytest.approx(255 / 4, abs=8)


def test_a_camera_with_more_view_than_the_model_is_cropped(tmp_path, model):
    image = compass_panorama(60, 200)
    split = split_of(tmp_path, "perspective", image, GROUND, hfov_deg=2 * np.degrees(np.arctan(2)))
    seen = Preparation(model, split).query(0).astype(float)
    # tan(45) of tan(63.4): the middle half of the columns, as many rows as there are
    assert seen[:, 0, 0].mean() == pytest.approx(255 * 0.25, abs=8)
    assert seen[:, -1, 0].mean() == pytest.approx(255 * 0.75, abs=8)


def test_references_are_turned_to_where_the_query_looks(tmp_path):
    """The satellite picture is red in the north and green in the east of its middle."""
    ground = np.full((200, 200, 3), 20, np.uint8)
    ground[:60, 60:140] = [250, 0, 0]
    ground[60:140, 140:] = [0, 250, 0]
    spec = ReferenceSpec(size_px=SIDE, extent_m=100.0, offset_forward_m=0.0)
    model = make_model(tmp_path / "m", reference=spec)
    colour = {}
    for heading in (0.0, 90.0):
        split = split_of(
            tmp_path, "perspective", GROUND, ground,
            heading_deg=np.array([heading]), gsd_m=np.array([0.5]),
        )  # fmt: skip
        colour[heading] = Preparation(model, split).reference(0)[3, SIDE // 2]
    assert colour[0.0].tolist() == [250, 0, 0]
    assert colour[90.0].tolist() == [0, 250, 0]


def test_references_are_cut_ahead_of_the_query(tmp_path):
    ground = np.full((200, 200, 3), 20, np.uint8)
    ground[:100] = [250, 0, 0]  # the northern half
    spec = ReferenceSpec(size_px=SIDE, extent_m=50.0, offset_forward_m=25.0)
    model = make_model(tmp_path / "m", reference=spec)
    split = split_of(tmp_path, "panorama", GROUND, ground, gsd_m=np.array([0.5]), vfov_deg=180.0)
    crop = Preparation(model, split).reference(0)
    assert (crop[1:-1, 1:-1, 0] == 250).all()


@pytest.mark.parametrize("view", ["panorama", "ground_plane"])
def test_camera_pictures_become_no_panorama(tmp_path, view):
    spec = PANORAMA if view == "panorama" else QuerySpec(
        view="ground_plane", height_px=SIDE, width_px=SIDE, extent_m=30.0
    )  # fmt: skip
    split = split_of(tmp_path, "perspective", GROUND, GROUND)
    with pytest.raises(DatasetError, match="no way there"):
        Preparation(make_model(tmp_path / "m", spec), split)


@pytest.mark.parametrize("name", ["vigor", "cvusa", "cvact", "university"])
def test_published_encoders_get_whole_pictures(tmp_path, name):
    """Their figures were measured so: resized to the size of the recipe, nothing cut off."""
    query = sample4geo.RECIPES[name].query
    made.MAKERS[name](tmp_path / "data")
    package = make_model(tmp_path / "m", query, resize="linear_exact")
    texts = Preparation(package, open_split(name, tmp_path / "data").split).texts
    size = f"{query.height_px} x {query.width_px} px"
    assert texts[0] == f"the whole picture, {size}, linear_exact"
    assert texts[1] == f"the whole picture, {SIDE} px, linear_exact"


# The cache.


def test_descriptors_are_computed_once(tmp_path, panoramic):
    made.make_vigor(tmp_path / "vigor")
    preparation = Preparation(panoramic, open_split("vigor", tmp_path / "vigor").split)
    cache, counting, told = DescriptorCache(tmp_path / "cache", batch=3), Counting(panoramic), []
    first = cache.describe("references", preparation, counting, told.append)
    assert (first.shape, counting.count, sum(told)) == ((16, DIM), 16, 16)
    again = cache.describe("references", preparation, counting, told.append)
    assert np.array_equal(first, again)
    assert (counting.count, sum(told)) == (16, 32)
    by_hand = counting.encoder.encode_reference(np.stack([preparation.reference(5)]))
    assert first[5] == pytest.approx(by_hand[0], abs=1e-6)


def test_a_run_that_stopped_goes_on(tmp_path, panoramic, monkeypatch):
    monkeypatch.setattr(descriptors, "CHUNK", 5)
    made.make_vigor(tmp_path / "vigor")
    split = open_split("vigor", tmp_path / "vigor").split
    preparation = Preparation(panoramic, split)
    cache, counting = DescriptorCache(tmp_path / "cache"), Counting(panoramic)
    spoilt, kept = split.references.paths[12], split.references.paths[12].read_bytes()
    size = len(kept)
    spoilt.write_bytes(b"x" * size)
    with pytest.raises(DatasetError, match=spoilt.name):
        cache.describe("references", preparation, counting)
    assert counting.count == 10
    spoilt.write_bytes(kept)
    found = cache.describe("references", preparation, counting)
    assert counting.count == 16
    whole = DescriptorCache(tmp_path / "other").describe("references", preparation, counting)
    assert np.array_equal(found, whole)


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "renamed"])
def test_a_spoilt_part_is_made_again(tmp_path, panoramic, how):
    made.make_cvusa(tmp_path / "cvusa")
    preparation = Preparation(panoramic, open_split("cvusa", tmp_path / "cvusa").split)
    cache, counting = DescriptorCache(tmp_path / "cache"), Counting(panoramic)
    wanted = cache.describe("queries", preparation, counting)
    (part,) = (tmp_path / "cache").glob("*/part-00000.*.npy")
    content = bytearray(part.read_bytes())
    content[-2] ^= 1
    spoilt = {"flipped": content, "cut": content[:-40], "empty": b"", "renamed": None}[how]
    if spoilt is None:
        part.rename(part.with_name("part-00000.0123.npy"))
    else:
        part.write_bytes(spoilt)
    assert np.array_equal(cache.describe("queries", preparation, counting), wanted)
    assert counting.count == 6


def test_another_model_picture_or_preparation_has_another_key(tmp_path, panoramic):
    made.make_cvusa(tmp_path / "cvusa")
    split = open_split("cvusa", tmp_path / "cvusa").split
    names = {descriptors.folder_name("queries", Preparation(panoramic, split))}
    other = make_model(tmp_path / "other", PANORAMA, resize="linear_exact")
    names.add(descriptors.folder_name("queries", Preparation(other, split)))
    other = make_model(tmp_path / "mean", PANORAMA, mean=(0.4, 0.5, 0.5))
    names.add(descriptors.folder_name("queries", Preparation(other, split)))
    train = open_split("cvusa", tmp_path / "cvusa", "train").split
    names.add(descriptors.folder_name("queries", Preparation(panoramic, train)))
    made.picture(split.queries.paths[0], 77, 12, 48, noise=30.0)
    names.add(descriptors.folder_name("queries", Preparation(panoramic, split)))
    names.add(descriptors.folder_name("queries", Preparation(panoramic, split), "tensorrt fp32"))
    assert len(names) == 6


def test_a_cache_that_cannot_be_written(tmp_path, panoramic):
    made.make_cvusa(tmp_path / "cvusa")
    (tmp_path / "cache").write_text("in the way")
    preparation = Preparation(panoramic, open_split("cvusa", tmp_path / "cvusa").split)
    with pytest.raises(DatasetError, match="--cache"):
        DescriptorCache(tmp_path / "cache").describe("queries", preparation, Counting(panoramic))


# Distances.


def places(values, unit="deg"):
    return Places(np.array(values, dtype=float), unit, "made")


def test_distances_on_the_sphere_and_on_a_plane():
    rows = np.array([0])
    quarter = score.distance_m(places([[0, 0]]), rows, places([[0, 90]]), rows)
    assert quarter == pytest.approx(np.pi / 2 * 6_371_008.8)
    over_the_date_line = score.distance_m(places([[0, 179.9]]), rows, places([[0, -179.9]]), rows)
    assert over_the_date_line == pytest.approx(0.2 / 360 * 2 * np.pi * 6_371_008.8)
    assert score.distance_m(places([[0, 3]], "m"), rows, places([[4, 0]], "m"), rows) == 5.0


@pytest.mark.parametrize("unit", ["deg", "m"])
def test_near_rows_are_those_within_the_distance(tmp_path, unit):
    rng = np.random.default_rng(3)
    scale = 1e-4 if unit == "deg" else 10.0
    asked, given = (places(rng.uniform(0, 9, (n, 2)) * scale, unit) for n in (7, 40))
    split = Split(
        dataset="made",
        name="all",
        root=tmp_path,
        queries=Pictures((tmp_path,) * 7, tuple("abcdefg"), "any", asked),
        references=Pictures((tmp_path,) * 40, tuple(map(str, range(40))), "any", given),
        positives=Related([[]] * 7),
        semi_positives=Related([[]] * 7),
    )
    near = score.near_rows(split, 30.0)
    for row in range(7):
        all_rows = np.arange(40)
        gap = score.distance_m(asked, np.full(40, row), given, all_rows)
        assert near[row].tolist() == np.flatnonzero(gap <= 30.0).tolist()
    assert 0 < near.counts.sum() < 7 * 40


# The command.


def evaluate(capsys, tmp_path, name, model, *words):
    root = tmp_path / name
    made.MAKERS[name](root)
    command = ["eval", "retrieval", "--dataset", name, "--root", str(root)]
    command += ["--model", str(model.root), "--cache", str(tmp_path / "cache"), *words]
    status = main([*command, "--json"])
    out = capsys.readouterr()
    assert status == 0, out.err
    return json.loads(out.out)


@pytest.mark.parametrize("name", ["vigor", "cvusa", "cvact"])
def test_panoramas_find_their_place(capsys, tmp_path, panoramic, name):
    result = evaluate(capsys, tmp_path, name, panoramic)
    assert result["recall"]["1"] == 1.0
    assert result["ap"] == 1.0
    assert result["within_m"]["10"] == 1.0
    assert ("hit_rate" in result) == (name == "vigor")
    assert result["preparation"]["queries"].startswith("the whole picture, 24 x 24 px, area")


def test_university_with_and_without_distractors(capsys, tmp_path, model):
    result = evaluate(capsys, tmp_path, "university", model, "--split", "satellite-to-drone")
    assert (result["queries"], result["references"]) == (3, 20)
    assert result["recall"]["1"] == 1.0
    assert result["ap"] > 0.95
    assert "within_m" not in result
    fewer = evaluate(capsys, tmp_path, "university", model, "--without-distractors")
    assert fewer["references"] == 3


def test_cvuk_counts_what_is_too_far_as_not_found(capsys, tmp_path, model):
    result = evaluate(capsys, tmp_path, "cvuk", model, "--radii", "5", "25")
    assert result["recall"]["1"] == pytest.approx(4 / 5)
    assert result["recall_within_m"]["25"]["1"] == pytest.approx(4 / 5)
    assert list(result["within_m"]) == ["5", "25"]
    assert "count as not found" in result["notes"][0]


def test_poses_along_and_across(capsys, tmp_path, model):
    for name, split in (("kitti", "test2"), ("ford", "log3-test")):
        result = evaluate(capsys, tmp_path, name, model, "--split", split)
        assert set(result["lateral_within_m"]) == {"1", "3", "5"}
        assert "turned to where the query looks" in result["preparation"]["references"]
        assert 0.0 <= result["sdm"]["1"] <= 1.0


def test_photos_by_their_nearest_neighbour(capsys, tmp_path, model):
    result = evaluate(capsys, tmp_path, "im2gps3k", model)
    assert result["within_m"] == {"1000": 1, "25000": 1, "200000": 1, "750000": 1, "2500000": 1}
    assert "recall" not in result


def test_positions_that_something_else_found(capsys, tmp_path, model):
    rows = [("im2gps3k/0.jpg", 0.0, 0.005), ("im2gps3k/1.jpg", 10.1, 20.0),
            ("im2gps3k/2.jpg", 21.0, 40.0), ("im2gps3k/3.jpg", 30.0, 90.0)]  # fmt: skip
    table = tmp_path / "found.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("img_id", "pred_lat", "pred_lng"), *rows])
    result = evaluate(capsys, tmp_path, "im2gps3k", model, "--predictions", str(table))
    shares = [result["within_m"][k] for k in ("1000", "25000", "200000", "750000", "2500000")]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.6, 0.6])
    assert (result["queries"], result["positions"]) == (5, 4)


def test_area(capsys, tmp_path, panoramic):
    result = evaluate(capsys, tmp_path, "vigor", panoramic, "--area", "--split", "cross-test")
    effort = result["area"]["search_effort_km2"]
    assert list(effort.values()) == [1.0] * len(effort)
    assert list(result["area"]["submap_km2"].values())[-1] > 0.4
    capsys.readouterr()
    assert main(["eval", "retrieval", "--dataset", "university", "--root",
                 str(tmp_path / "vigor"), "--check"]) == 2  # fmt: skip


def test_the_table_stands_beside_published_rows(capsys, tmp_path, panoramic):
    root = tmp_path / "vigor"
    made.make_vigor(root)
    command = ["eval", "retrieval", "--dataset", "vigor", "--root", str(root)]
    command += ["--model", str(panoramic.root), "--cache", str(tmp_path / "cache")]
    command += ["--save", str(tmp_path / "out"), "--gallery", str(tmp_path / "out" / "g.html")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "this run" in out
    assert "FRGeo, AAAI 2024" in out
    assert "github.com/zqwlearning/FRGeo" in out
    saved = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert saved["recall"]["1"] == 1.0
    with (tmp_path / "out" / "queries.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert rows[0]["rank"] == "0"
    assert float(rows[0]["error_m"]) < 5.0
    page = (tmp_path / "out" / "g.html").read_text()
    assert "Clear finds" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_figures_can_be_required(capsys, tmp_path, panoramic):
    root = tmp_path / "vigor"
    made.make_vigor(root)
    command = ["eval", "retrieval", "--dataset", "vigor", "--root", str(root), "--model",
               str(panoramic.root), "--cache", str(tmp_path / "cache")]  # fmt: skip
    assert main([*command, "--require", "recall.1>=0.9", "--require", "hit_rate>=0.9"]) == 0
    assert main([*command, "--require", "recall.1<=0.5"]) == 1
    assert "recall.1<=0.5 is not met: it is 1" in capsys.readouterr().err
    assert main([*command, "--require", "within_m.5>=0.9"]) == 0
    assert main([*command, "--require", "recal.1>=0"]) == 2


def test_both_sides_run_on_the_back_end_that_is_named(capsys, tmp_path, panoramic, monkeypatch):
    fake = FakeTensorRT(tmp_path / "builds")
    monkeypatch.setattr(choosing, "all_backends", lambda: (fake, OrtCpu()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    plain = evaluate(capsys, tmp_path, "cvusa", panoramic)
    found = evaluate(capsys, tmp_path, "cvusa", panoramic, "--backend", "tensorrt")
    assert fake.count == 2
    assert (plain["encoder_backend"], found["encoder_backend"]) == ("ort-cpu", "tensorrt fp32")
    assert plain["recall"] == found["recall"]
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_back_end_that_does_not_work_is_one_error(capsys, tmp_path, panoramic, monkeypatch):
    fake = FakeTensorRT(tmp_path / "builds", missing="no GPU here")
    monkeypatch.setattr(choosing, "all_backends", lambda: (fake, OrtCpu()))
    made.make_cvusa(tmp_path / "cvusa")
    command = ["eval", "retrieval", "--dataset", "cvusa", "--root", str(tmp_path / "cvusa")]
    assert main([*command, "--model", str(panoramic.root), "--backend", "tensorrt"]) == 2
    assert "no GPU here" in capsys.readouterr().err


def test_the_gallery_as_a_picture(capsys, tmp_path, panoramic):
    """With a rotated compass the model fails, and the failures are shown."""
    root, wrong = tmp_path / "vigor", make_model(tmp_path / "w", PANORAMA, mean=(0.9, 0.1, 0.5))
    made.make_vigor(root)
    for path in (root / "Chicago" / "panorama").iterdir():
        made.picture(path, 305, 16, 32)
    command = ["eval", "retrieval", "--dataset", "vigor", "--root", str(root)]
    command += ["--model", str(wrong.root), "--cache", str(tmp_path / "cache")]
    assert main([*command, "--gallery", str(tmp_path / "g.png")]) == 0
    image = made.cv2.imread(str(tmp_path / "g.png"))
    assert image.shape[1] > 1500
    assert image.std() > 20.0


def test_help_names_every_data_set():
    assert f"data sets: {' '.join(DATASETS)};" in eval_retrieval._EPILOG


def test_nothing_to_search_is_told_before_anything_is_described(capsys, tmp_path, model):
    made.make_worldwide(tmp_path / "w", gallery=False)
    command = ["eval", "retrieval", "--dataset", "im2gps3k", "--root", str(tmp_path / "w")]
    command += ["--model", str(model.root), "--cache", str(tmp_path / "cache")]
    assert main(command) == 2
    assert "has nothing to search" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_strips_of_unknown_height_are_no_camera_views(tmp_path, model):
    made.make_cvusa(tmp_path / "cvusa")
    with pytest.raises(DatasetError, match="unknown height"):
        Preparation(model, open_split("cvusa", tmp_path / "cvusa").split)


def test_layout_and_check(capsys, tmp_path):
    assert main(["eval", "retrieval", "--dataset", "kitti", "--layout"]) == 0
    assert "satmap/2011_09_26" in capsys.readouterr().out
    made.make_cvusa(tmp_path)
    check = ["eval", "retrieval", "--dataset", "cvusa", "--root", str(tmp_path), "--check"]
    assert main(check) == 0
    assert "3 queries, 3 references, 3 right pairs; nothing is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "with --root"),
        (["--root", "."], "val-19zl.csv"),
        (["--root", ".", "--radii", "0"], "--radii 0"),
        (["--root", ".", "--radii", "nan"], "--radii nan"),
        (["--root", ".", "--threads", "0"], "--threads is 0"),
        (["--root", ".", "--gallery", "x.pdf"], "must end in .html or .png"),
        (["--root", ".", "--predictions", "p.csv", "--area"], "leave out"),
    ],
)
def test_wrong_use_is_one_error(capsys, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "retrieval", "--dataset", "cvusa", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("geoloc: ")
    assert says in error
    assert "Traceback" not in error


# Published figures.


def test_published_rows_are_of_known_splits_and_plausible():
    for dataset, split in _ROWS:
        assert split in DATASETS[dataset].splits
        for row in published(dataset, split):
            assert row.source
            values = [row.figures[k] for k in ("R@1", "R@5", "R@10", "R@1%") if k in row.figures]
            assert values == sorted(values)
            assert all(0.0 < value < 100.0 for value in row.figures.values())
    assert published("kitti", "test2") == ()
