# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Each published layout, made tiny, is read as it means; all that is broken is told at once."""

import made_datasets as made
import numpy as np
import pytest

from geoloc_ros.errors import DatasetError
from geoloc_ros.training.datasets.registry import (
    DATASETS,
    layout_text,
    open_split,
    without_distractors,
)


def opened(name, root, split="", **options):
    made.MAKERS[name](root)
    return open_split(name, root, split, **options)


@pytest.mark.parametrize("split", DATASETS["vigor"].splits)
def test_vigor_splits(tmp_path, split):
    found = opened("vigor", tmp_path, split).split
    area, part = split.split("-")
    cities = 4 if area == "same" else 2
    panoramas = cities * (2 if area == "same" else 4)
    assert (len(found.queries), len(found.references)) == (panoramas, cities * 4)
    city = {name.split("/")[0] for name in found.references.ids}
    assert ("Chicago" in city) == (split != "cross-train")
    assert ("NewYork" in city) == (split != "cross-test")
    assert part == "test" or not {"frame"} & set(found.queries.ids)


def test_vigor_truth(tmp_path):
    found = opened("vigor", tmp_path, "cross-test").split
    assert (found.positives.counts == 1).all()
    assert (found.semi_positives.counts == 3).all()
    for query, reference in found.pairs:
        own = found.queries.places.values[query] - found.references.places.values[reference]
        assert np.abs(own - [2e-5, 0.0]).max() < 1e-9
        assert reference not in found.semi_positives[query]
    assert found.references.gsd_m[0] == pytest.approx(0.118141)  # San Francisco comes first
    assert found.queries.load(0).shape == (16, 32, 3)


def test_vigor_with_corrected_labels_and_as_sample4geo_lays_it(tmp_path):
    made.make_vigor(tmp_path, corrected=True)
    assert len(open_split("vigor", tmp_path).split.queries) == 8
    for city in ("NewYork", "Seattle", "SanFrancisco", "Chicago"):
        for kind, name in (("panorama", "ground"), ("satellite", "satellite")):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / city / kind).rename(tmp_path / name / city)
        (tmp_path / city).rmdir()
    assert open_split("vigor", tmp_path).split.references.load(3).shape == (24, 24, 3)


def test_vigor_train_and_test_share_no_panorama(tmp_path):
    train = opened("vigor", tmp_path, "same-train").split
    test = open_split("vigor", tmp_path, "same-test").split
    assert not set(train.queries.ids) & set(test.queries.ids)
    assert set(train.references.ids) == set(test.references.ids)


def test_cvusa(tmp_path):
    found = opened("cvusa", tmp_path).split
    assert found.name == "val"
    assert found.queries.ids == ("0000004", "0000005", "0000006")
    # row 4 of the locations is picture 0000004
    assert found.references.places.values[0] == pytest.approx([made.LAT + 3 * made.STEP, made.LON])
    assert found.queries.places.values[0, 1] == pytest.approx(made.LON + 1e-5)
    assert found.pairs.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_cvusa_without_locations(tmp_path):
    made.make_cvusa(tmp_path, locations=False)
    assert open_split("cvusa", tmp_path, "train").split.queries.places is None


def test_cvact(tmp_path):
    found = opened("cvact", tmp_path).split
    assert [name[-1] for name in found.queries.ids] == ["0", "2", "4"]
    assert found.queries.places.unit == "m"
    assert np.diff(found.queries.places.values[:, 0]) == pytest.approx([6.0, 6.0])
    test = open_split("cvact", tmp_path, "test").split
    assert len(test.queries) == 6
    assert "ANU_data_test" in str(test.queries.paths[0])
    assert [name[-1] for name in open_split("cvact", tmp_path, "train").split.queries.ids] == [
        "1", "3", "5",
    ]  # fmt: skip


def test_university_both_ways(tmp_path):
    down = opened("university", tmp_path, "drone-to-satellite").split
    assert (len(down.queries), len(down.references)) == (12, 5)
    assert (down.positives.counts == 1).all()
    up = open_split("university", tmp_path, "satellite-to-drone").split
    assert (len(up.queries), len(up.references)) == (3, 20)
    assert (up.positives.counts == 4).all()
    building = [name.split("/")[0] for name in up.references.ids]
    assert {building[row] for row in up.positives[2]} == {"0002"}


def test_university_without_distractors(tmp_path):
    smaller = without_distractors(opened("university", tmp_path))
    assert len(smaller.split.references) == 3
    assert "2 of 5 references belong to no query" in smaller.notes[-1]
    truth = {(smaller.split.queries.ids[q][:4], smaller.split.references.ids[r][:4])
             for q, r in smaller.split.pairs}  # fmt: skip
    assert all(asked == given for asked, given in truth)


def test_cvuk_takes_the_nearest_and_only_if_it_is_near(tmp_path):
    found = opened("cvuk", tmp_path)
    assert found.split.positives.counts.tolist() == [1, 1, 1, 1, 0]
    assert found.split.pairs.tolist() == [[i, i] for i in range(4)]
    assert "1 queries have no satellite picture within 25 m" in found.notes[0]
    assert found.split.queries.places.values[0] == pytest.approx([51.40001, -0.565432])


def test_kitti(tmp_path):
    found = opened("kitti", tmp_path).split
    assert found.name == "test2"
    assert len(found.queries) == 4
    # a yaw of pi/2 is north, and what turns right has less of it and more on the compass
    turned = np.mod(found.queries.heading_deg + 1.0, 360.0) - 1.0
    assert turned == pytest.approx(np.degrees(0.1 * np.arange(4)), abs=1e-5)
    assert found.queries.hfov_deg == pytest.approx(2 * np.degrees(np.arctan(621.0 / 721.5377)))
    assert found.references.gsd_m[0] == pytest.approx(0.196, abs=1e-3)
    assert len(open_split("kitti", tmp_path, "train").split.queries) == 1


def test_ford(tmp_path):
    found = opened("ford", tmp_path, "log3-test").split
    assert (len(found.queries), len(found.references)) == (5, 3)
    assert found.pairs[:, 1].tolist() == [0, 0, 1, 1, 2]
    assert found.queries.heading_deg == pytest.approx(30.0)
    north = (
        found.queries.places.values[:, 0] - found.references.places.values[found.pairs[:, 1], 0]
    )
    assert north == pytest.approx([0.0, 1e-4, 0.0, 1e-4, 0.0])


def test_worldwide(tmp_path):
    found = opened("im2gps3k", tmp_path).split
    assert (len(found.queries), len(found.references)) == (5, 5)
    assert found.queries.places.values[3] == pytest.approx([30.0, 60.0])
    assert found.positives.counts.sum() == 0


def test_worldwide_without_a_gallery(tmp_path):
    made.make_worldwide(tmp_path, gallery=False)
    found = open_split("im2gps3k", tmp_path)
    assert len(found.split.references) == 0
    assert "nothing to search" in found.notes[0]


def test_a_list_with_other_names_of_columns(tmp_path):
    made.lines(
        tmp_path / "gws15k.csv", ["image_id,city,country,lat,lon", "image_0,C,B,-11.0,-68.7"]
    )
    made.picture(tmp_path / "gws15k" / "image_0.jpg", 0)
    found = open_split("gws15k", tmp_path).split
    assert found.queries.places.values.tolist() == [[-11.0, -68.7]]
    assert found.queries.load(0).shape == (24, 24, 3)


def test_a_list_without_a_column(tmp_path):
    made.lines(tmp_path / "gws15k.csv", ["image_id,lat", "image_0,-11.0"])
    with pytest.raises(DatasetError, match=r"it lacks lon \(lon or lng"):
        open_split("gws15k", tmp_path)


def test_exchanged_columns_of_the_first_published_list_are_noticed(tmp_path):
    made.make_worldwide(tmp_path)
    path = tmp_path / "im2gps3k_places365.csv"
    path.write_text(path.read_text().replace("LAT,LON", "LON,LAT") + "a.jpg,x,43.1,131.9,0\n")
    with pytest.raises(DatasetError, match=r"lat 131.9.*swapped"):
        open_split("im2gps3k", tmp_path)


def test_every_data_set_says_its_layout():
    for name in DATASETS:
        assert DATASETS[name].title in layout_text(name)
        assert "\n  " in layout_text(name)


# What is broken


def test_all_that_is_missing_is_told_at_once(tmp_path):
    made.make_vigor(tmp_path)
    gone = sorted((tmp_path / "Chicago" / "satellite").iterdir())
    for path in gone:
        path.unlink()
    next((tmp_path / "Seattle" / "panorama").glob("pa,no2*")).unlink()
    with pytest.raises(DatasetError) as error:
        open_split("vigor", tmp_path)
    text = str(error.value)
    assert "1 of 8 pictures of queries missing, expected: Seattle/panorama/pa,no2" in text
    assert (
        f"4 of 16 pictures of references missing, expected: Chicago/satellite/{gone[0].name}"
        in text
    )
    assert ", ..." in text
    assert "docs/datasets.md" in text


def test_skip_missing_leaves_out_and_says_so(tmp_path):
    made.make_cvusa(tmp_path)
    (tmp_path / "streetview/panos/0000005.jpg").unlink()
    (tmp_path / "bingmap/19/0000006.jpg").unlink()
    found = open_split("cvusa", tmp_path, skip_missing=True)
    assert found.split.queries.ids == ("0000004", "0000006")
    assert found.split.references.ids == ("0000004", "0000005")
    assert found.split.pairs.tolist() == [[0, 0]]
    assert "1 of 3 pictures of queries" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "split", "gone", "says"),
    [
        ("vigor", "", "splits/Seattle/same_area_balanced_test.txt", "1 lists missing"),
        ("cvusa", "", "splits/val-19zl.csv", "1 lists missing"),
        ("cvact", "", "ACT_data.mat", "1 lists missing"),
        ("kitti", "", "dataLoader/test2_files.txt", "1 lists missing"),
        ("kitti", "", "raw_data/2011_09_26/calib_cam_to_cam.txt", "1 lists missing"),
        ("ford", "log3-test", "2017-08-04/V2/Log3/grd_sat_quaternion_latlon_test.txt", "1 lists"),
        ("im2gps3k", "", "im2gps3k_places365.csv", "1 lists missing"),
    ],
)
def test_a_missing_list_is_named(tmp_path, name, split, gone, says):
    made.MAKERS[name](tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(DatasetError) as error:
        open_split(name, tmp_path, split)
    assert says in str(error.value)
    assert gone.split("/")[-1] in str(error.value)


@pytest.mark.parametrize(
    ("name", "path", "line", "says"),
    [
        ("vigor", "splits/Chicago/same_area_balanced_test.txt", "one two", "are not 'PANORAMA"),
        ("vigor", "splits/Chicago/same_area_balanced_test.txt",
         "p,1.0,2.0,.jpg " + "satellite_9_9.png 1 2 " * 4, "name no listed tile"),
        ("vigor", "splits/Chicago/satellite_list.txt", "satellite_x_y.png", "no latitude"),
        ("cvusa", "splits/val-19zl.csv", "alone", "are not 'SATELLITE,PANORAMA"),
        ("cvusa", "splits/val-19zl.csv", "bingmap/19/0000004.jpg,x.jpg", "more than once"),
        ("cvusa", "splits/val-19zl.csv", "bingmap/19/0000099.jpg,x.jpg", "have no row"),
        ("kitti", "dataLoader/test2_files.txt", "2011/x.png", "are not 'DAY/DRIVE"),
        ("im2gps3k", "im2gps3k_places365.csv", "a.jpg,x,not,numbers,1", "are not 'img_id"),
        ("im2gps3k", "im2gps3k_places365.csv", "im2gps3k/1.jpg,x,1,1,1", "more than once"),
    ],
)  # fmt: skip
def test_lines_that_make_no_sense_are_shown(tmp_path, name, path, line, says):
    made.MAKERS[name](tmp_path)
    with (tmp_path / path).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DatasetError) as error:
        open_split(name, tmp_path)
    assert says in str(error.value)


def test_a_tile_that_is_listed_twice(tmp_path):
    made.make_vigor(tmp_path)
    path = tmp_path / "splits/Chicago/satellite_list.txt"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    with pytest.raises(DatasetError, match="more than once"):
        open_split("vigor", tmp_path)


def test_a_table_of_another_kind(tmp_path):
    made.make_cvact(tmp_path)
    (tmp_path / "ACT_data.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(DatasetError, match="is not the table of CVACT"):
        open_split("cvact", tmp_path)


def test_an_empty_building(tmp_path):
    made.make_university(tmp_path)
    for path in (tmp_path / "test/gallery_satellite/0001").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"hold no picture: test/gallery_satellite/0001"):
        open_split("university", tmp_path)


@pytest.mark.parametrize("words", [("mars", ""), ("vigor", "middle")])
def test_unknown_names_list_the_known_ones(tmp_path, words):
    with pytest.raises(DatasetError, match=r"cvusa, cvact|same-test"):
        open_split(words[0], tmp_path, words[1])


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(DatasetError, match="is no folder"):
        open_split("vigor", tmp_path / "nowhere")


@pytest.mark.parametrize("spoil", ["cut", "text", "gone", "empty", "png"])
def test_a_spoilt_picture_is_named(tmp_path, spoil):
    found = opened("cvusa", tmp_path).split
    path = found.queries.paths[1]
    data = path.read_bytes()
    if spoil == "png":
        path = found.queries.paths[1]
        made.picture(path.with_suffix(".png"), 1, 64, 64, noise=9.0)
        data = path.with_suffix(".png").read_bytes()
    content = {"cut": data[: len(data) * 2 // 3], "text": b"no picture", "empty": b"",
               "png": data[: len(data) // 2]}  # fmt: skip
    path.unlink()
    if spoil != "gone":
        path.write_bytes(content[spoil])
    with pytest.raises(DatasetError, match=path.name):
        found.queries.load(1)
    assert found.queries.load(0).shape == (12, 48, 3)
