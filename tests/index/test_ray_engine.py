# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Building on a real Ray cluster of two nodes: the bytes of a local build, whatever is lost."""

import os
from pathlib import Path

import pytest
from made_place import DIM, build
from made_slow import DeadlyEncoder, SlowEncoder
from test_index_build import content

from geoloc_ros.encoders.fake import FakeEncoder
from geoloc_ros.errors import ConfigError, IndexBuildError
from geoloc_ros.index import ray_engine, workplace
from geoloc_ros.index.ray_engine import RayEngine

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'geoloc_ros[cluster]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of sockets and of what will change
]


MEMORY = {"object_store_memory": 100 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    """Two machines, of which the second can be taken away."""
    from ray.cluster_utils import Cluster

    here = [str(Path(__file__).parent), str(Path(ray_engine.__file__).parents[2])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(here))  # of the workers
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **MEMORY})
        found.second = found.add_node(num_cpus=1, **MEMORY)
        yield found
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def engine(cluster):
    return RayEngine(cluster.address)


def test_a_cluster_that_loses_a_machine_builds_the_same_bytes(
    built, tmp_path, cluster, engine, monkeypatch, caplog
):
    keep, kept = workplace.Workplace.keep, []
    opened, early = ray_engine._Crew._opened, []

    def both(self, ref):
        """Nobody begins before both machines do."""
        opened(self, ref)
        ready = [hand for hand in (*self._hands, *early) if hand.ready]
        if not early:
            early.extend(ready)
            ready[0].ready = False
        elif early[0] in self._hands:
            early[0].ready = True

    def killing(self, record):
        keep(self, record)
        kept.append(record)
        if len(kept) == 1:
            cluster.remove_node(cluster.second, allow_graceful=False)

    monkeypatch.setattr(ray_engine._Crew, "_opened", both)
    monkeypatch.setattr(workplace.Workplace, "keep", killing)
    out = tmp_path / "index"
    build(out, encoder=SlowEncoder(DIM), engine=engine)
    assert content(out) == content(built)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert "a worker was lost" in caplog.text
    cluster.second = cluster.add_node(num_cpus=1, **MEMORY)


def test_a_cluster_builds_on_object_storage_and_goes_on_there(
    built, tmp_path, engine, monkeypatch
):
    keep = ray_engine._Crew._returned
    returned = []

    def stopping(self, *arguments):
        keep(self, *arguments)
        returned.append(1)
        if len(returned) == 2:
            raise KeyboardInterrupt

    url = f"file://{tmp_path}/index"
    monkeypatch.setattr(ray_engine._Crew, "_returned", stopping)
    with pytest.raises(KeyboardInterrupt):
        build(url, encoder=SlowEncoder(DIM), engine=engine)
    monkeypatch.undo()
    assert not (tmp_path / "index" / "manifest.json").exists()
    before = len(list((tmp_path / "index.partial" / "done").iterdir()))
    assert 2 <= before < 4
    build(url, engine=engine)
    assert content(tmp_path / "index") == content(built)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path, engine, monkeypatch):
    take = workplace.Workplace.shelf
    elsewhere = tmp_path / "elsewhere"

    def other(self, remote):
        shelf = take(self, remote)
        return type(shelf)(elsewhere, shelf.fingerprint)

    monkeypatch.setattr(workplace.Workplace, "shelf", other)
    with pytest.raises(IndexBuildError, match=r"does not see the build in .* all machines"):
        build(tmp_path / "index", engine=engine)


def test_a_worker_of_more_threads_than_any_machine_has(tmp_path, engine):
    with pytest.raises(ConfigError, match=r"takes 2 CPUs .* has more than 1; give fewer"):
        build(tmp_path / "index", workers=2, engine=engine)


def test_an_encoder_that_breaks_its_promise_on_a_worker(tmp_path, engine):
    with pytest.raises(IndexBuildError, match=f"length {DIM + 1}, its model card says {DIM}"):
        build(tmp_path / "index", encoder=FakeEncoder(DIM + 1), engine=engine)


def test_a_cell_that_kills_its_workers_is_given_up(tmp_path, engine):
    with pytest.raises(IndexBuildError, match=r"was lost with 3 workers, .* finished shards"):
        build(tmp_path / "index", encoder=DeadlyEncoder(DIM), engine=engine)


def test_no_cluster_at_an_address(tmp_path):
    with pytest.raises(IndexBuildError, match=r"no Ray cluster at .*; start one with 'ray start"):
        build(tmp_path / "index", engine=RayEngine("127.0.0.1:1"))
