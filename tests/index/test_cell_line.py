# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Builds whose imagery is read by windows: each once, and bytes that threads do not change."""

import numpy as np
import pytest
from made_place import build
from test_index_build import content

from geoloc_ros.errors import ImageryError, IndexBuildError
from geoloc_ros.imagery import windows
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.windows import OrthoWindows, open_ground
from geoloc_ros.index.cell_line import CellLine
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex

POLICY = SamplingPolicy(kind="grid", pitch_m=20.0, headings=4)


@pytest.fixture
def path(tmp_path):
    raster = pytest.importorskip("rasterio")
    rgb = np.random.default_rng(2).integers(0, 255, (3, 700, 700)).astype(np.uint8)
    path = tmp_path / "a.tif"
    place = raster.Affine(1.0, 0.0, 500_000.0, 0.0, -1.0, 5_150_000.0)
    kind = {"driver": "GTiff", "dtype": "uint8", "crs": "EPSG:32632", "transform": place}
    with raster.open(path, "w", width=700, height=700, count=3, **kind) as dataset:
        dataset.write(rgb)
    return path


@pytest.fixture
def reads(monkeypatch):
    """What is read of the imagery, in squares of 100 m."""
    monkeypatch.setattr(windows, "_CELL_M", 100.0)
    monkeypatch.setattr(windows, "IN_MEMORY_PIXELS", 10_000)
    window, found = OrthoWindows.window, []
    monkeypatch.setattr(
        OrthoWindows, "window", lambda self, *at: found.append(at) or window(self, *at)
    )
    return found


def test_each_square_is_read_once_and_threads_change_no_byte(path, reads, tmp_path):
    ground = open_ground(path)
    assert isinstance(ground, OrthoWindows)
    build(tmp_path / "one", picture=ground, policy=POLICY)
    assert len(reads) == len(set(reads)) == 64
    build(tmp_path / "three", picture=ground, policy=POLICY, workers=3)
    assert len(reads) == 2 * 64
    assert content(tmp_path / "one") == content(tmp_path / "three")
    whole = OrthoImage.open(path)
    build(tmp_path / "whole", picture=whole, policy=POLICY)
    assert len(ShardedIndex.open(tmp_path / "one")) == len(ShardedIndex.open(tmp_path / "whole"))


def test_imagery_that_is_damaged_ends_the_build_with_a_word(path, reads, tmp_path):
    ground = open_ground(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises((ImageryError, IndexBuildError), match=r"a\.tif"):
        build(tmp_path / "index", picture=ground, policy=POLICY, workers=2)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("factor", [0.0, 0.15, np.nan])
def test_descriptors_that_are_no_unit_vectors_end_the_build(factor, monkeypatch, tmp_path):
    encoded = CellLine._encoded
    monkeypatch.setattr(CellLine, "_encoded", lambda self, images: factor * encoded(self, images))
    with pytest.raises(IndexBuildError, match=r"no unit vector of the crop at x .* m, y .* m"):
        build(tmp_path / "index", policy=POLICY)
    assert not (tmp_path / "index").exists()
