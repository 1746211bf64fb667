# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training on one's own drives, from recordings to a package."""

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_drives import FIX, MadeDrive, made_imagery, pixels_of, round_trip  # noqa: E402
from test_training_command import run  # noqa: E402
from test_training_start import trained  # noqa: E402

from geoloc_ros.cli import train_encoder  # noqa: E402
from geoloc_ros.config import load as load_config  # noqa: E402
from geoloc_ros.encoders.package import Calibration, load_package  # noqa: E402
from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.imagery.crops import CropCutter  # noqa: E402
from geoloc_ros.imagery.ortho import OrthoImage  # noqa: E402
from geoloc_ros.training import drive_material  # noqa: E402
from geoloc_ros.training.card import calibration_section  # noqa: E402
from geoloc_ros.training.config import TrainConfig  # noqa: E402
from geoloc_ros.training.drive_material import DriveMaterial  # noqa: E402
from geoloc_ros.training.evaluate import driven_anchors, hits  # noqa: E402
from geoloc_ros.training.mining import MiningConfig, Thinning  # noqa: E402
from geoloc_ros.training.place_split import BUFFER, HELD_OUT, TRAIN, SplitConfig  # noqa: E402


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with imagery and two recordings over it."""
    folder = tmp_path_factory.mktemp("drives")
    pixels = pixels_of(made_imagery(folder / "ground.tif"))
    for number, radius_m in enumerate((55.0, 70.0)):
        MadeDrive(round_trip(radius_m), imagery=pixels).write(folder / f"drive_{number}")
    return folder


def material(drives: Path, folder: Path, **changes: object) -> DriveMaterial:
    settings: dict[str, object] = {
        "kind": "perspective",
        "drives": (drives / "drive_0", drives / "drive_1"),
        "imagery": (drives / "ground.tif",),
        "mining": MiningConfig(truth_topic=FIX, thinning=Thinning(every_m=3.0)),
        "split": SplitConfig(block_m=40.0, share=0.2, buffer_m=10.0),
        "folder": folder,
    }
    return DriveMaterial(**{**settings, **changes})  # type: ignore[arg-type]


def test_report_and_map_say_what_was_kept(drives: Path, tmp_path: Path) -> None:
    found = material(drives, tmp_path)
    text = found.prepare()
    assert "drive_0: " in text
    assert "standing: less than --every" in text
    content = json.loads((tmp_path / "drives.json").read_text())
    assert content["views"]["train"] == found.samples()
    assert content["views"]["held_out"] > 20
    for drive in content["drives"]:
        assert drive["frames"]["kept"] == sum(drive["views"].values())
        assert drive["fixes"]["trusted"] == drive["fixes"]["read"]
    picture = cv2.imread(str(tmp_path / "drives.png"))
    assert min(picture.shape[:2]) > 500


def test_both_drives_are_split_along_the_same_blocks(drives: Path, tmp_path: Path) -> None:
    found = material(drives, tmp_path)
    areas = {part: found.area(part) for part in (TRAIN, HELD_OUT, BUFFER)}
    gap = areas[TRAIN].poses[:, None, :2] - areas[HELD_OUT].poses[None, :, :2]
    assert np.hypot(*gap.transpose(2, 0, 1)).min() >= 10.0
    assert len(areas[HELD_OUT].images) == len(areas[HELD_OUT].poses)
    assert areas[HELD_OUT].images[0:2].shape == (2, 96, 192, 3)


def test_a_buffer_that_is_too_small_is_said(
    drives: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    material(drives, tmp_path).prepare()
    assert re.search(
        r"--buffer 10 m is less than the 138 m .* show \d+ % of the ground", caplog.text
    )
    wide = material(drives, tmp_path, split=SplitConfig(block_m=40.0))
    assert wide.buffer_m() == 138.0
    with pytest.raises(TrainingError, match="buffer of 138 m"):
        wide.prepare()


def test_panoramas_are_judged_along_the_ways_driven(drives: Path, tmp_path: Path) -> None:
    sees_little = load_config(None, ("view.min_valid_share=0.05",))  # one camera, no ring of them
    mining = MiningConfig(truth_topic=FIX, thinning=Thinning(every_m=3.0), config=sees_little)
    found = material(drives, tmp_path, kind="panorama", mining=mining)
    found.prepare()
    lessons = found.load(TrainConfig(kind="panorama"))
    assert "within 8 m" in lessons.protocol[0]
    assert "along all ground driven" in lessons.protocol[0]
    held_out, anchors = found._opened["held_out"]
    assert hits(held_out.poses, anchors, 8.0, 22.5).any(axis=1).all()


def test_a_package_of_drives_alone_says_that_it_believes_nothing(
    drives: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = material(drives, tmp_path / "pairs")
    found.prepare()
    found.load(TrainConfig(kind="perspective"))
    assert "'geoloc calibrate'" in caplog.text
    _, package = trained("perspective", tmp_path / "model")
    fitted = found.finish(package)
    assert "held-out views" in fitted.calibration.fitted_on
    assert fitted.calibration.missing
    assert "`geoloc calibrate`" in calibration_section(fitted)


def test_crops_are_cut_as_an_index_cuts_them(drives: Path, tmp_path: Path) -> None:
    found = material(drives, tmp_path)
    area = found.area(TRAIN)
    card = found.card()
    fill = tuple(255.0 * channel for channel in card.mean)
    index = CropCutter(OrthoImage.open(drives / "ground.tif"), card.reference, fill)
    expected, _ = index.cut(area.poses[:4])
    np.testing.assert_array_equal(area.ground.crops(area.poses[:4]), expected)


def test_anchors_follow_the_ways_driven_and_break_where_they_do() -> None:
    first = np.column_stack([np.arange(0.0, 60.0, 3.0), np.zeros(20), np.zeros(20)])
    second = first + np.array([300.0, 0.0, 0.0])
    anchors = driven_anchors([np.concatenate([first, second])], 10_000)
    assert len(anchors) == 2 * 2 * round(57 / 1.5)
    assert not ((anchors[:, 0] > 70.0) & (anchors[:, 0] < 290.0)).any()
    assert len(driven_anchors([first, second], 40)) <= 44


def test_the_command_fine_tunes_a_package_on_drives(
    drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_encoder, "STEPS_PER_EPOCH", 3)
    monkeypatch.setattr(drive_material, "_MOST_ENTRIES", 200)
    _, start = trained("perspective", tmp_path / "start")
    fitted = Calibration(confirm_evidence=71.0, covariance_scale=0.7, fitted_on="toy towns")
    dataclasses.replace(start, calibration=fitted).save()
    recordings = [str(drives / f"drive_{n}") for n in range(2)]
    options = [
        "--start", str(tmp_path / "start"), "--drives", *recordings, "--imagery",
        str(drives / "ground.tif"), "--truth", FIX, "--out", str(tmp_path / "mine"), "--every",
        "3", "--block", "40", "--buffer", "10", "--work", str(tmp_path / "run"), "--batch", "16",
        "--epochs", "1", "--patience", "2", "--threads", "1", "--tensorboard",
    ]  # fmt: skip
    assert run(*options) == 0
    package = load_package(tmp_path / "mine")
    assert package.name == "mine"
    # What similarity is worth is fitted on held-out views, the rest is that of the start.
    assert "held-out views" in package.calibration.fitted_on
    assert "toy towns" in package.calibration.fitted_on
    assert package.calibration.confirm_evidence == 71.0
    assert package.calibration.matched != fitted.matched
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "views of 2 drives" in card
    assert str(tmp_path) not in card
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    log = np.genfromtxt(tmp_path / "run" / "log.csv", delimiter=",", names=True)
    assert log["epoch"][0] == 0
    assert run(*options, "--resume") == 0


def test_a_drive_of_which_too_little_is_left_is_refused(drives: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"views are too few to train on.*--every"):
        run("--kind", "perspective", "--drives", str(drives / "drive_0"), "--imagery",
            str(drives / "ground.tif"), "--truth", FIX, "--out", str(tmp_path / "mine"),
            "--every", "30", "--block", "40", "--buffer", "0", "--work",
            str(tmp_path / "run"))  # fmt: skip


def test_stopping_early_needs_ground_that_is_held_out(drives: Path, tmp_path: Path) -> None:
    found = material(drives, tmp_path, split=SplitConfig(share=0.0))
    found.prepare()
    with pytest.raises(TrainingError, match="--hold-out"):
        found.load(TrainConfig(kind="perspective", patience=3))
    assert found.load(TrainConfig(kind="perspective")).evaluate(None, True) == {}  # type: ignore[arg-type]


def test_a_teacher_with_a_sharper_eye_gets_larger_pictures(drives: Path, tmp_path: Path) -> None:
    _, teacher = trained("perspective", tmp_path / "teacher")
    query = dataclasses.replace(teacher.query, height_px=192, width_px=384)
    sharp = dataclasses.replace(teacher, query=query)
    found = material(drives, tmp_path / "pairs", teacher=sharp)
    assert found.area(TRAIN).images[0].shape == (192, 384, 3)
    assert found.card().query.height_px == 96
    blind = dataclasses.replace(found, kind="ground_plane")
    with pytest.raises(TrainingError, match="the teacher's view"):
        blind.made_for()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--drives", "a.mcap", "--kind", "perspective"], "--drives needs --imagery"),
        (["--dataset", "vigor", "--kind", "panorama"], "--dataset needs --root"),
        (["--dataset", "vigor", "--drives", "a", "--kind", "panorama"], "exclude each other"),
        (["--kind", "panorama"], "made towns have views for"),
        (["--kind", "perspective", "--imagery", "a.tif"], "--imagery goes with --drives"),
        ([], "which pair"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_error(
    options: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        run("--out", str(tmp_path), *options)
