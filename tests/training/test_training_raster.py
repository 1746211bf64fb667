# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.training.raster import Ortho, cut, read_ortho

SPEC = ReferenceSpec(size_px=40, extent_m=20.0, offset_forward_m=6.0)


def ramp_ortho() -> Ortho:
    """Red tells x and green tells y: value = metres + 100, over 100 m at 0.5 m per pixel."""
    centre = (np.arange(200) + 0.5) * 0.5 - 50.0
    image = np.zeros((200, 200, 3), np.uint8)
    image[..., 0] = np.round(centre + 100.0)[None, :]
    image[..., 1] = np.round(-centre + 100.0)[:, None]
    return Ortho(image, -50.0, 50.0, 0.5)


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0, 180.0, -37.0])
def test_a_crop_pixel_shows_the_ground_the_convention_says(yaw_deg: float) -> None:
    x, y, yaw = 4.0, -7.0, np.radians(yaw_deg)
    crop = cut(ramp_ortho(), np.array([[x, y, yaw]]), SPEC)[0].astype(float)
    for row, column in [(0, 0), (0, 39), (39, 0), (20, 10)]:
        ahead = 6.0 + (19.5 - row) * 0.5
        left = (19.5 - column) * 0.5
        east = x + ahead * np.cos(yaw) - left * np.sin(yaw)
        north = y + ahead * np.sin(yaw) + left * np.cos(yaw)
        assert crop[row, column, 0] - 100 == pytest.approx(east, abs=1.0)
        assert crop[row, column, 1] - 100 == pytest.approx(north, abs=1.0)


def test_a_flipped_crop_is_the_mirror_image() -> None:
    pose = np.array([[3.0, 2.0, 0.7]])
    plain = cut(ramp_ortho(), pose, SPEC)[0]
    mirrored = cut(ramp_ortho(), pose, SPEC, np.array([True]))[0]
    assert np.abs(plain[:, ::-1].astype(int) - mirrored).max() <= 1


def test_outside_is_filled() -> None:
    crop = cut(ramp_ortho(), np.array([[500.0, 0.0, 0.0]]), SPEC, fill=(1, 2, 3))[0]
    assert (crop == (1, 2, 3)).all()


def test_it_agrees_with_the_index_cutter(tmp_path: Path) -> None:
    import geoloc_ros.imagery.crops as crops_module
    import geoloc_ros.imagery.ortho as ortho_module

    frame = LocalFrame(LatLon(48.0, 11.0))
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (40, 40, 3))
    image = np.kron(coarse, np.ones((10, 10, 1))).astype(np.uint8)
    path = tmp_path / "town.tif"
    transform = Affine(0.5, 0.0, -100.0, 0.0, -0.5, 100.0)
    with rasterio.open(path, "w", driver="GTiff", width=400, height=400, count=3, dtype="uint8",
                       crs=frame.crs, transform=transform) as out:  # fmt: skip
        out.write(np.moveaxis(image, -1, 0))
    theirs = ortho_module.OrthoImage.open(path, frame)
    pose = np.array([[12.0, -20.0, 0.6], [-31.0, 4.0, -2.0]])
    found, share = crops_module.crops(theirs, pose, SPEC)
    expected = cut(read_ortho(path, frame.crs), pose, SPEC)
    assert share.min() == 1.0
    assert np.abs(found.astype(int) - expected).mean() <= 2.0


def test_a_rotated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rotated.tif"
    turned = Affine.rotation(10.0)
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=3, dtype="uint8", transform=turned
    ) as out:
        out.write(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(TrainingError, match="rotated"):
        read_ortho(path)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no usable training imagery"):
        read_ortho(tmp_path / "none.tif")
