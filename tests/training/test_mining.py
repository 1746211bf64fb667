# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs from recordings: what is kept, what is thrown away, and why."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_drives import (
    FIX,
    PLANE,
    POSE,
    START_NS,
    MadeDrive,
    along,
    made_imagery,
    pixels_of,
    round_trip,
)

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import make_views
from geoloc_ros.config import Config
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import BagError, CameraError, TrainingError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.messages import image_rgb
from geoloc_ros.training import mining
from geoloc_ros.training.drive_report import report, text
from geoloc_ros.training.fixes import Gate
from geoloc_ros.training.mining import (
    Mined,
    MiningConfig,
    Places,
    Target,
    Thinning,
    mine,
)
from geoloc_ros.training.place_split import SplitConfig
from geoloc_ros.training.reasons import WORDS, frames_advice

CARD = ModelPackage(
    root=Path(), name="toy", version="0",
    query=QuerySpec(view="perspective", height_px=24, width_px=48, hfov_deg=90.0),
    reference=ReferenceSpec(size_px=36, extent_m=72.0, offset_forward_m=30.0),
    mean=(0.45, 0.45, 0.43), std=(0.22, 0.22, 0.23), descriptor_dim=8, files={},
)  # fmt: skip


def noisy(i: int) -> np.ndarray:
    """A picture that no other resembles."""
    return np.random.default_rng(i).integers(0, 255, (48, 96, 3)).astype(np.uint8)


def everywhere(poses: np.ndarray) -> np.ndarray:
    return np.ones(len(poses))


def target(coverage=everywhere) -> Target:
    return Target(CARD, PLANE, coverage, "imagery")


def config(topic: str = FIX, **thinning: float) -> MiningConfig:
    return MiningConfig(truth_topic=topic, thinning=Thinning(**thinning))


def mined(drive: MadeDrive, folder: Path, settings: MiningConfig | None = None) -> Mined:
    bag = drive.write(folder / "bag")
    return mine(bag, target(), settings or config(), Places(), folder / "pairs")


def test_views_are_those_of_the_vehicle_and_poses_are_true(tmp_path: Path) -> None:
    poses = round_trip(turns=0.2)
    found = mined(MadeDrive(poses, picture=noisy), tmp_path)
    stamps = np.load(tmp_path / "pairs" / "stamps.npy")
    first = int((stamps[0] - 1_000_000_000_000_000_000) // 100_000_000)
    true = poses[first + (stamps - stamps[0]) // 100_000_000]
    assert np.abs(found.poses - true).max() < 0.05
    with BagReader(tmp_path / "bag") as reader:
        recording = Recording(reader, Config().input)
        views = make_views(recording.camera, recording.T_base_camera, CARD)
        pictures = {s: m for s, t, m in recording.records() if t == recording.topics.image}
    expected = views.build(image_rgb(pictures[int(stamps[3])]))
    np.testing.assert_array_equal(found.views[3], expected.image)
    np.testing.assert_array_equal(found.masks[3], expected.mask)


def test_frames_are_thinned_by_way_not_by_time(tmp_path: Path) -> None:
    moving = along(60.0, (0.0, 0.0), 0.0)
    standing = np.repeat(moving[30:31], 100, axis=0)
    poses = np.concatenate([moving[:30], standing, moving[30:]])
    found = mined(MadeDrive(poses, picture=noisy), tmp_path, config(every_m=5.0))
    step_m = np.hypot(*np.diff(found.poses[:, :2], axis=0).T)
    assert step_m.min() >= 4.9
    assert step_m.max() < 6.5
    assert found.meta["frames"]["standing"] > 100


def test_a_place_is_kept_a_few_times_only_over_all_drives(tmp_path: Path) -> None:
    settings, places = config(every_m=2.0, per_place=2), Places()
    counts = []
    for number in range(3):
        drive = MadeDrive(
            along(60.0, (0.0, 0.0), 0.0), picture=lambda i, n=number: noisy(1000 * n + i)
        )
        bag = drive.write(tmp_path / f"bag{number}")
        counts.append(len(mine(bag, target(), settings, places, tmp_path / f"p{number}").poses))
    assert counts[0] > 10
    assert max(places.seen.values()) == 2
    assert counts[2] < counts[0] / 3


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda i, x, y: (x, y, i < 100, 0.5), "no_fix"),
        (lambda i, x, y: (x, y, True, 0.5 if i < 100 else None), "no_covariance"),
        (lambda i, x, y: (x, y, True, 0.5 if i < 100 else 4.0), "large_covariance"),
    ],
)
def test_fixes_that_do_not_vouch_for_themselves_are_refused(tmp_path: Path, spoil, why) -> None:
    found = mined(
        MadeDrive(along(200.0, (-100.0, 0.0), 0.0), picture=noisy, spoil=spoil), tmp_path
    )
    assert found.meta["fixes"]["refused"] == {why: 100}
    assert found.poses[:, 0].max() < 0.0
    assert found.meta["frames"]["no_trusted_fix"] > 80


def test_a_jump_that_odometry_contradicts_takes_its_surroundings_along(tmp_path: Path) -> None:
    def spoil(i: int, x: float, y: float) -> tuple[float, float, bool, float]:
        return x, y + (8.0 if 100 <= i < 140 else 0.0), True, 0.5

    found = mined(
        MadeDrive(along(240.0, (-120.0, 0.0), 0.0), picture=noisy, spoil=spoil), tmp_path
    )
    assert found.meta["frames"]["contradicted"] >= 40
    near_ends = np.abs(found.poses[:, 0, None] - [-20.0, 20.0]).min(axis=1)
    assert near_ends.min() > 3.0


def test_fixes_without_covariance_can_be_taken_at_a_word(tmp_path: Path) -> None:
    drive = MadeDrive(along(60.0, (0.0, 0.0), 0.0), picture=noisy, sigma_m=None)
    with pytest.raises(TrainingError, match=r"60 no_covariance; .*--assume-sigma"):
        mined(drive, tmp_path)
    settings = config()
    gate = dataclasses.replace(settings.gate, assumed_sigma_m=1.0)
    found = mine(
        tmp_path / "bag", target(), dataclasses.replace(settings, gate=gate), Places(),
        tmp_path / "pairs",
    )  # fmt: skip
    assert len(found.poses) > 10


def test_the_antenna_is_placed_by_tf_or_the_report_says_that_nobody_knows(tmp_path: Path) -> None:
    poses = along(60.0, (0.0, 0.0), 0.7)
    known = MadeDrive(poses, picture=noisy, antenna_m=(-2.0, 0.5))
    found = mined(known, tmp_path / "known")
    assert found.meta["fixes"]["notes"] == []
    across = np.array([-np.sin(0.7), np.cos(0.7)])
    assert np.abs(found.poses[:, :2] @ across).max() < 0.05
    (tmp_path / "unknown").mkdir()
    lost = mined(dataclasses.replace(known, tf=False), tmp_path / "unknown")
    assert "gnss" in lost.meta["fixes"]["notes"][0]
    assert np.abs(lost.poses[:, :2] @ across - 0.5).max() < 0.05


def test_a_pose_beside_the_fix_gives_the_heading(tmp_path: Path) -> None:
    drive = MadeDrive(along(60.0, (0.0, 0.0), 0.7), picture=noisy, with_pose=True, odometry=False)
    found = mined(drive, tmp_path, config(POSE))
    assert np.abs(found.poses[:, 2] - 0.7).max() < 1e-6
    assert len(found.poses) > 20
    assert found.meta["fixes"]["notes"] == [f"no odometry confirms the headings of {POSE}"]


def test_without_odometry_fixes_tell_no_heading(tmp_path: Path) -> None:
    drive = MadeDrive(along(60.0, (0.0, 0.0), 0.7), picture=noisy, odometry=False)
    with pytest.raises(TrainingError, match="record odometry"):
        mined(drive, tmp_path)


def test_pictures_that_show_nothing_or_nothing_new_are_left_out(tmp_path: Path) -> None:
    def picture(i: int) -> np.ndarray:
        if i < 20:
            return np.full((48, 96, 3), 7, np.uint8)  # a covered lens
        return noisy(0) if i < 40 else noisy(i)  # a stuck camera, then all is well

    found = mined(MadeDrive(along(80.0, (0.0, 0.0), 0.0), picture=picture), tmp_path)
    frames = found.meta["frames"]
    assert frames["blank"] >= 8
    assert frames["same_picture"] >= 8
    assert frames["kept"] == len(found.poses)
    assert sum(frames.values()) == 80


def test_frames_beyond_the_imagery_are_left_out(tmp_path: Path) -> None:
    bag = MadeDrive(along(80.0, (0.0, 0.0), 0.0), picture=noisy).write(tmp_path / "bag")
    west = target(lambda poses: (poses[:, 0] < 40.0).astype(float))
    found = mine(bag, west, config(), Places(), tmp_path / "pairs")
    assert found.poses[:, 0].max() < 40.0
    assert found.meta["frames"]["outside_imagery"] > 10


def test_what_was_mined_is_found_again_unless_something_changed(tmp_path: Path) -> None:
    drive = MadeDrive(along(60.0, (0.0, 0.0), 0.0), picture=noisy)
    mined(drive, tmp_path)
    meta = tmp_path / "pairs" / "meta.json"
    before = meta.stat().st_mtime_ns
    mine(tmp_path / "bag", target(), config(), Places(), tmp_path / "pairs")
    assert meta.stat().st_mtime_ns == before
    again = mine(tmp_path / "bag", target(), config(every_m=6.0), Places(), tmp_path / "pairs")
    assert meta.stat().st_mtime_ns > before
    assert len(again.poses) < 15


@pytest.mark.parametrize("name", ["views.raw", "masks.raw", "poses.npy", "meta.json"])
def test_pairs_that_were_damaged_are_one_clear_error(tmp_path: Path, name: str) -> None:
    found = mined(MadeDrive(along(60.0, (0.0, 0.0), 0.0), picture=noisy), tmp_path)
    file = tmp_path / "pairs" / name
    if name == "poses.npy":
        np.save(file, found.poses[:-1])
    elif name == "meta.json":
        file.write_text(json.dumps({"key": found.meta["key"], "made_from": None}))
    else:
        data = file.read_bytes()
        file.write_bytes(data[:-1] if name == "views.raw" else data + data[:1])
    with pytest.raises(TrainingError, match="delete it and mine anew"):
        mine(tmp_path / "bag", target(), config(), Places(), tmp_path / "pairs")


def test_a_topic_that_is_no_truth_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=f"--truth {FIX}"):
        mined(MadeDrive(along(30.0, (0.0, 0.0), 0.0), picture=noisy), tmp_path, config("/odom"))


def test_colours_below_are_what_the_camera_sees(tmp_path: Path) -> None:
    """Of the made drives themselves: what is learnt from them can be learnt."""
    pixels = pixels_of(made_imagery(tmp_path / "ground.tif"))
    drive = MadeDrive(round_trip(turns=0.1), imagery=pixels)
    picture = drive._colour_below(drive.poses[5])
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1


def test_cameras_of_a_rig_give_panoramas_with_what_they_do_not_see_masked(tmp_path: Path) -> None:
    query = QuerySpec(
        view="panorama", height_px=24, width_px=96, hfov_deg=360.0, vfov_deg=90.0,
        alignment="heading",
    )  # fmt: skip
    reference = dataclasses.replace(CARD.reference, offset_forward_m=0.0)
    around = dataclasses.replace(CARD, query=query, reference=reference)
    bag = MadeDrive(along(60.0, (0.0, 0.0), 0.3), picture=noisy).write(tmp_path / "bag")
    wide = dataclasses.replace(target(), package=around)
    with pytest.raises(TrainingError, match=r"60 mostly_unseen; .*view\.min_valid_share"):
        mine(bag, wide, config(), Places(), tmp_path / "pairs")
    view = dataclasses.replace(Config().view, min_valid_share=0.1)
    little = dataclasses.replace(config(), config=dataclasses.replace(Config(), view=view))
    found = mine(bag, wide, little, Places(), tmp_path / "pairs")
    assert found.views.shape[1:] == (24, 96, 3)
    assert not found.full
    # The only camera looks ahead, 90 degrees wide: the middle quarter of the panorama.
    assert found.masks[0][12, 40:56].all()
    assert not found.masks[0][:, :30].any()
    assert np.abs(found.poses[:, 2] - 0.3).max() < 0.01


def test_a_pose_whose_frame_is_turned_is_not_believed(tmp_path: Path) -> None:
    drive = MadeDrive(
        along(60.0, (0.0, 0.0), 0.0), picture=noisy, with_pose=True, pose_turn_rad=np.pi / 2
    )
    with pytest.raises(TrainingError, match=r"60 heading_contradicted; .*NavSatFix"):
        mined(drive, tmp_path, config(POSE))


def test_one_fix_a_second_at_15_metres_a_second_will_do(tmp_path: Path) -> None:
    poses = along(300.0, (-200.0, 0.0), 0.0)
    poses[:, 0] = np.linspace(-200.0, 250.0, 300)
    found = mined(MadeDrive(poses, picture=noisy, fix_every=10, sigma_m=1.0), tmp_path)
    assert len(found.poses) > 140


def test_fixes_too_far_apart_are_told_with_the_option_that_helps(tmp_path: Path) -> None:
    poses = along(120.0, (0.0, 0.0), 0.0)
    poses[:, 0] *= 5.0
    with pytest.raises(TrainingError, match=r"too_few_fixes.*; raise --window \(15 m now.* 60 m"):
        mined(MadeDrive(poses, picture=noisy, fix_every=10), tmp_path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda i, x, y: (x, y, False, 0.5), "60 no_fix; choose another receiver"),
        (lambda i, x, y: (x, y, True, 7.0), "60 large_covariance; raise --max-sigma"),
        (lambda i, x, y: (x, y, True, 7.0 if i else None), "large_covariance, 1 no_.*--max-sigma"),
    ],
)
def test_advice_is_for_the_commonest_reason(tmp_path: Path, spoil, why: str) -> None:
    drive = MadeDrive(along(60.0, (0.0, 0.0), 0.0), picture=noisy, spoil=spoil)
    with pytest.raises(TrainingError, match=why):
        mined(drive, tmp_path)


def test_a_drive_far_from_the_imagery_is_told_so(tmp_path: Path) -> None:
    bag = MadeDrive(along(60.0, (0.0, 0.0), 0.0), picture=noisy).write(tmp_path / "bag")
    elsewhere = dataclasses.replace(target(), plane=LocalFrame(LatLon(48.0, 11.0)))
    with pytest.raises(TrainingError, match="60 far_from_imagery; give --imagery"):
        mine(bag, elsewhere, config(), Places(), tmp_path / "pairs")


FROM_ABOVE = dataclasses.replace(
    CARD,
    query=QuerySpec(view="ground_plane", height_px=24, width_px=24, extent_m=60.0),
    reference=dataclasses.replace(CARD.reference, offset_forward_m=0.0),
)


def test_a_height_that_is_none_costs_frames_not_the_training(tmp_path: Path) -> None:
    def height(i: int) -> float:
        if i < 10:
            return [np.inf, np.nan, 0.0][i % 3]
        return np.inf if 18 <= i < 22 else 0.0 if 30 <= i < 50 else 40.0

    drive = MadeDrive(along(80.0, (0.0, 0.0), 0.0), picture=noisy, height=height)
    bag = drive.write(tmp_path / "bag")
    above = dataclasses.replace(target(), package=FROM_ABOVE)
    found = mine(bag, above, config(), Places(), tmp_path / "pairs")
    assert 15 <= found.meta["frames"]["no_height"] <= 20
    assert len(found.poses) > 15
    stamps = (np.load(tmp_path / "pairs" / "stamps.npy") - START_NS) // 100_000_000
    assert stamps.min() == 10
    assert {18, 19, 20, 21} & set(stamps.tolist())  # the reading before holds


def test_a_picture_of_another_size_costs_one_frame(tmp_path: Path) -> None:
    def picture(i: int) -> np.ndarray:
        return noisy(i)[:40] if 30 <= i < 40 else noisy(i)

    found = mined(MadeDrive(along(80.0, (0.0, 0.0), 0.0), picture=picture), tmp_path)
    assert found.meta["frames"]["frame_size_changed"] == 10
    assert found.poses[:, 0].max() > 70.0


def test_a_camera_that_no_picture_fits_is_an_error_that_tells_sizes(tmp_path: Path) -> None:
    drive = MadeDrive(along(30.0, (0.0, 0.0), 0.0), picture=lambda i: noisy(i)[:40])
    with pytest.raises(CameraError, match="96x40"):
        mined(drive, tmp_path)


def test_a_recording_that_was_cut_off_is_told(tmp_path: Path) -> None:
    bag = MadeDrive(along(200.0, (-100.0, 0.0), 0.0), picture=noisy).write(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    found = mine(bag, target(), config(), Places(), tmp_path / "pairs")
    assert 5 < len(found.poses) < 80
    (line,) = found.meta["damage"]
    assert "is cut off or damaged" in line
    parts = [np.zeros(len(found.poses), np.int64)]
    content = report([found], parts, SplitConfig(), found.poses[:, :2])
    assert f"  damaged: {line}" in text(content)


def test_a_message_that_is_malformed_is_left_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = messages.odometry

    def odometry(message: Any, log_ns: int) -> Any:
        if log_ns == START_NS + 3_000_000_000:
            raise BagError("a nav_msgs/msg/Odometry has other fields than in ROS")
        return whole(message, log_ns)

    monkeypatch.setattr(messages, "odometry", odometry)
    found = mined(MadeDrive(along(80.0, (0.0, 0.0), 0.0), picture=noisy), tmp_path)
    assert found.meta["damage"] == ["1 malformed messages of /odom are left out"]
    assert found.poses[:, 0].max() > 70.0


def test_all_imagery_must_cover_a_crop(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from geoloc_ros.training.drive_material import DriveMaterial

    whole, west = made_imagery(tmp_path / "whole.tif"), tmp_path / "west.tif"
    with rasterio.open(whole) as file:
        pixels, profile = file.read(), file.profile
    with rasterio.open(west, "w", **{**profile, "width": 300}) as file:  # to 50 m east
        file.write(pixels[:, :, :300])
    bag = MadeDrive(along(120.0, (-100.0, 0.0), 0.0), picture=noisy).write(tmp_path / "bag")
    for imagery, outside in (((whole,), False), ((whole, west), True)):
        material = DriveMaterial(
            kind="perspective", drives=(bag,), imagery=imagery, mining=config(),
            split=SplitConfig(), folder=tmp_path / "work",
        )  # fmt: skip
        (found,) = material._mine()
        assert ("outside_imagery" in found.meta["frames"]) == outside


def test_every_reason_is_explained() -> None:
    """In the report, in an error, and in the table of the documentation."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    table = page.partition("| reason | meaning |")[2].partition("\n\n")[0]
    source = Path(mining.__file__).parent
    code = "".join((source / name).read_text() for name in ("mining.py", "drive_poses.py"))
    for why in WORDS:
        assert f"`{why}`" in table
        assert f'"{why}"' in code or why in {"no_height", "frame_size_changed"}
        assert "; " in frames_advice({why: 1}, Gate())
