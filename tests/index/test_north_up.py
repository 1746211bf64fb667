# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Indexes for panoramas: every place once, north up; nothing of it in other indexes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from made_place import build, make_package

from geoloc_ros.cli.main import main
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.index.manifest import NAME
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import ShardedIndex

NORTH_UP = SamplingPolicy(spacing_m=20.0, north_up=True)


def panorama_package(root: Path) -> ModelPackage:
    package = make_package(root)
    return dataclasses.replace(
        package,
        query=QuerySpec(
            view="panorama", height_px=16, width_px=64, hfov_deg=360.0, vfov_deg=90.0,
            alignment="north",
        ),
        reference=ReferenceSpec(
            size_px=package.reference.size_px, extent_m=40.0, offset_forward_m=0.0
        ),
    )  # fmt: skip


def test_an_index_with_north_up_says_so_and_holds_no_other_heading(tmp_path, capsys) -> None:
    package = panorama_package(tmp_path)
    manifest = build(tmp_path / "index", package=package, policy=NORTH_UP)
    index = ShardedIndex.open(tmp_path / "index", package)
    assert index.manifest == manifest
    assert index.manifest.policy.north_up
    _, anchors = index.entries()
    assert np.allclose(anchors[:, 2], np.pi / 2, atol=1e-6)
    assert main(["index", "info", str(tmp_path / "index")]) == 0
    assert "every 20 m, within 4 m, north up" in capsys.readouterr().out


def test_what_only_panoramas_have_stands_in_no_other_manifest(tmp_path) -> None:
    build(tmp_path / "index", policy=SamplingPolicy(spacing_m=20.0))
    content = json.loads((tmp_path / "index" / NAME).read_text())
    assert set(content["query"]) == {"view", "height_px", "width_px", "hfov_deg", "extent_m"}
    assert "north_up" not in content["policy"]


def test_north_up_is_refused_for_a_view_that_cannot_be_turned(tmp_path) -> None:
    with pytest.raises(IndexBuildError, match=r"has a .* view: leave out --north-up"):
        build(tmp_path / "index", policy=NORTH_UP)
    assert not (tmp_path / "index").exists()
