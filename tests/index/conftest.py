# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_place import build

from geoloc_ros.imagery.manners import Manners
from geoloc_ros.index import quadtree, source
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.updates import replace_shard


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """No test pulls the plug; waiting for the disk would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture
def impatient(monkeypatch):
    """Servers on loopback are asked again at once, past no proxy."""
    monkeypatch.setattr(source, "MANNERS", Manners(rate_hz=100.0, retries=3, backoff_s=0.01))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """An index directory; never written to by a test."""
    out = tmp_path_factory.mktemp("built") / "index"
    build(out)
    return out


@pytest.fixture(scope="session")
def opened(built) -> ShardedIndex:
    return ShardedIndex.open(built)


@pytest.fixture
def divided(built, tmp_path):
    """A copy of the index, its north-eastern cell divided; the files of before are still there."""
    out = shutil.copytree(built, tmp_path / "divided")
    whole = load_manifest(out).shards[-1]
    index = ShardedIndex.open(out)
    ids, poses = index.entries()
    mine = np.flatnonzero((np.floor(poses[:, :2] / 4000.0) == whole.cell[1:]).all(axis=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadtree.divided, "__defaults__", (len(mine) // 2,))
        replace_shard(out, whole.cell, poses[mine], index.vectors(ids[mine]))
    assert len(load_manifest(out).shards) > len(load_manifest(built).shards)
    return out
