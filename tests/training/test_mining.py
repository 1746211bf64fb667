# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs from recordings: what is kept, what is thrown away, and why."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from made_drives import (
    FIX,
    PLANE,
    POSE,
    MadeDrive,
    along,
    made_imagery,
    pixels_of,
    round_trip,
)

from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import make_views
from geoloc_ros.config import Config
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import BagError, TrainingError
from geoloc_ros.messages import image_rgb
from geoloc_ros.training.mining import (
    Mined,
    MiningConfig,
    Places,
    Target,
    Thinning,
    mine,
)

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


def test_pairs_that_were_damaged_are_one_clear_error(tmp_path: Path) -> None:
    mined(MadeDrive(along(60.0, (0.0, 0.0), 0.0), picture=noisy), tmp_path)
    (tmp_path / "pairs" / "views.raw").write_bytes(b"short")
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
    found = mine(bag, wide, config(), Places(), tmp_path / "pairs")
    assert found.views.shape[1:] == (24, 96, 3)
    assert not found.full
    # The only camera looks ahead, 90 degrees wide: the middle quarter of the panorama.
    assert found.masks[0][12, 40:56].all()
    assert not found.masks[0][:, :30].any()
    assert np.abs(found.poses[:, 2] - 0.3).max() < 0.01
