# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The ways to search that `bench/index.py` puts side by side, each behind the same few calls.

A system is built from vectors into a folder, loaded from it in another process and asked there,
always on one thread. Those with an effort at search time are given one after the other of
`efforts`, until one finds enough.
"""

# ruff: noqa: D102 - what the calls do is said once, by `System`
from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.encoders.package import QuerySpec, ReferenceSpec
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.index.manifest import NAME, ImageryRecord, Manifest, search_record
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.quadtree import cells
from geoloc_ros.index.shard import search_together, write_shard
from geoloc_ros.index.sharded_index import EXACT_LIMIT, ShardedIndex

Rows = npt.NDArray[np.int64]
#: links of a graph's entries and width of the search that makes them, as hnswlib's README has them
LINKS, WIDTH = 16, 200
_EFFORTS = (32, 64, 128, 256, 512, 1024, 2048)
_CENTIMETRES = 100.0


class System(Protocol):
    """Something that finds similar vectors."""

    efforts: ClassVar[tuple[int, ...]]

    def prepare(self, dim: int) -> None:
        """Load the library, and compile what is compiled once."""

    def build(self, vectors: Float32Array, poses: FloatArray, folder: Path) -> None:
        """Write an index of vectors (N, D) taken at poses (N, 3) into an empty folder."""

    def load(self, folder: Path, poses: FloatArray) -> None:
        """Make it ready to be asked."""

    def set_effort(self, effort: int) -> None:
        """How much a search may look at."""

    def search(self, query: Float32Array, k: int) -> Any:  # noqa: ANN401 - as the library answers
        """What the library answers for a query (D,)."""

    def rows(self, answer: Any) -> Rows:  # noqa: ANN401
        """Rows of the vectors in an answer."""


class Ours:
    """`ShardedIndex` with a storage and a search."""

    efforts = (0,)

    def __init__(self, storage: str, search: str, budget_mb: float) -> None:
        self._storage, self._search, self._budget_mb = storage, search, budget_mb

    def prepare(self, dim: int) -> None:
        rng = np.random.default_rng(1)
        vectors = rng.normal(size=(2 * EXACT_LIMIT, dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        poses = np.zeros((len(vectors), 3))
        poses[:, 0] = np.arange(len(vectors)) * 0.1
        with tempfile.TemporaryDirectory() as folder:
            self.build(vectors, poses, Path(folder))
            index = ShardedIndex.open(Path(folder))
            index.search(vectors[0], 10)
            index.similarity_at(vectors[0], poses[:10])

    def build(self, vectors: Float32Array, poses: FloatArray, folder: Path) -> None:
        (folder / "shards").mkdir(exist_ok=True)
        shards = [
            write_shard(folder, cell, poses[rows], vectors[rows], self._storage, self._search)
            for cell, rows in cells(poses)
        ]
        manifest = _manifest(vectors.shape[1], self._storage, self._search, shards)
        (folder / NAME).write_text(manifest.render(), encoding="utf-8")

    def load(self, folder: Path, poses: FloatArray) -> None:
        self.index = ShardedIndex.open(folder, budget_mb=self._budget_mb)
        keys = _keys(poses)
        self._order = np.argsort(keys)
        self._known = keys[self._order]

    def set_effort(self, effort: int) -> None:
        """There is none."""

    def search(self, query: Float32Array, k: int) -> Any:  # noqa: ANN401
        return self.index.search(query, k)

    def bare(self, query: Float32Array, k: int) -> None:
        """The work of the kernels alone, without what the index wraps around them."""
        for batch in self.index.residency.batches(range(len(self.index.manifest.shards))):
            search_together([shard for _, shard in batch], query, k)

    def rows(self, answer: Any) -> Rows:  # noqa: ANN401
        places = np.searchsorted(self._known, _keys(answer.poses))
        return np.asarray(self._order[np.minimum(places, len(self._order) - 1)])


class Exact:
    """Every vector compared, by NumPy on one thread: what a search is measured against."""

    efforts = (0,)

    def prepare(self, dim: int) -> None:
        """There is nothing to do."""

    def build(self, vectors: Float32Array, poses: FloatArray, folder: Path) -> None:
        np.save(folder / "vectors.npy", vectors)

    def load(self, folder: Path, poses: FloatArray) -> None:
        self._vectors = np.load(folder / "vectors.npy")

    def set_effort(self, effort: int) -> None:
        """There is none."""

    def search(self, query: Float32Array, k: int) -> Any:  # noqa: ANN401
        similarity = self._vectors @ query
        best = np.argpartition(-similarity, k)[:k]
        return best[np.argsort(-similarity[best])]

    def rows(self, answer: Any) -> Rows:  # noqa: ANN401
        return np.asarray(answer, dtype=np.int64)


class Hnswlib:
    """hnswlib, 32-bit floats."""

    efforts = _EFFORTS

    def prepare(self, dim: int) -> None:
        import hnswlib  # noqa: F401

    def build(self, vectors: Float32Array, poses: FloatArray, folder: Path) -> None:
        import hnswlib

        index = hnswlib.Index("ip", vectors.shape[1])
        index.init_index(len(vectors), ef_construction=WIDTH, M=LINKS, random_seed=1)
        for i in range(0, len(vectors), 50_000):
            index.add_items(vectors[i : i + 50_000])
        index.save_index(str(folder / "index.bin"))
        np.save(folder / "shape.npy", vectors.shape)

    def load(self, folder: Path, poses: FloatArray) -> None:
        import hnswlib

        count, dim = np.load(folder / "shape.npy").tolist()
        self._index = hnswlib.Index("ip", dim)
        self._index.load_index(str(folder / "index.bin"), max_elements=count)
        self._index.set_num_threads(1)

    def set_effort(self, effort: int) -> None:
        self._index.set_ef(effort)

    def search(self, query: Float32Array, k: int) -> Any:  # noqa: ANN401
        return self._index.knn_query(query, k)[0][0]

    def rows(self, answer: Any) -> Rows:  # noqa: ANN401
        return np.asarray(answer, dtype=np.int64)


class Usearch:
    """usearch, looked at on disk through a memory map."""

    efforts = _EFFORTS

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def prepare(self, dim: int) -> None:
        import usearch.index  # noqa: F401

    def build(self, vectors: Float32Array, poses: FloatArray, folder: Path) -> None:
        from usearch.index import Index

        index = Index(
            ndim=vectors.shape[1], metric="ip", dtype=self._kind, connectivity=LINKS,
            expansion_add=WIDTH,
        )  # fmt: skip
        for i in range(0, len(vectors), 50_000):
            part = vectors[i : i + 50_000]
            index.add(np.arange(i, i + len(part)), part)
        index.save(str(folder / "index.usearch"))

    def load(self, folder: Path, poses: FloatArray) -> None:
        from usearch.index import Index

        self._index = Index.restore(str(folder / "index.usearch"), view=True)

    def set_effort(self, effort: int) -> None:
        self._index.expansion_search = effort

    def search(self, query: Float32Array, k: int) -> Any:  # noqa: ANN401
        return self._index.search(query, k, threads=1).keys

    def rows(self, answer: Any) -> Rows:  # noqa: ANN401
        return np.asarray(answer, dtype=np.int64)


class Faiss:
    """faiss, by the description of its index factory."""

    def __init__(self, factory: str, efforts: tuple[int, ...], parameter: str = "") -> None:
        self._factory, self._parameter = factory, parameter
        self.efforts = efforts  # type: ignore[misc]

    def prepare(self, dim: int) -> None:
        import faiss  # noqa: F401

    def build(self, vectors: Float32Array, poses: FloatArray, folder: Path) -> None:
        import faiss

        metric = faiss.METRIC_INNER_PRODUCT
        index = faiss.index_factory(vectors.shape[1], self._factory, metric)
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = WIDTH  # like the others'
        if not index.is_trained:
            step = max(len(vectors) // 200_000, 1)
            index.train(np.ascontiguousarray(vectors[::step]))
        for i in range(0, len(vectors), 50_000):
            index.add(np.ascontiguousarray(vectors[i : i + 50_000]))
        faiss.write_index(index, str(folder / "index.faiss"))

    def load(self, folder: Path, poses: FloatArray) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(folder / "index.faiss"))
        self._space = faiss.ParameterSpace()

    def set_effort(self, effort: int) -> None:
        if self._parameter:
            self._space.set_index_parameter(self._index, self._parameter, effort)

    def search(self, query: Float32Array, k: int) -> Any:  # noqa: ANN401
        return self._index.search(query[None], k)[1][0]

    def rows(self, answer: Any) -> Rows:  # noqa: ANN401
        return np.asarray(answer, dtype=np.int64)


def make_system(name: str, count: int, dim: int, budget_mb: float) -> System:
    """A system by its name in `SYSTEMS`; ours within a budget of memory."""
    clusters = 2 ** int(np.log2(4.0 * np.sqrt(count)))
    probes = tuple(2**i for i in range(2, 11))
    made: dict[str, System] = {
        "ours int12": Ours("int12", "clusters", budget_mb),
        "ours int8": Ours("int8", "clusters", budget_mb),
        "ours int12 graph": Ours("int12", "hnsw", budget_mb),
        "exact": Exact(),
        "hnswlib f32": Hnswlib(),
        "usearch f32": Usearch("f32"),
        "usearch f16": Usearch("f16"),
        "usearch i8": Usearch("i8"),
        "faiss flat": Faiss("Flat", (0,)),
        "faiss HNSW": Faiss(f"HNSW{LINKS}", _EFFORTS, "efSearch"),
        "faiss IVF-PQ": Faiss(f"IVF{clusters},PQ{dim // 2}", probes, "nprobe"),
    }
    return made[name]


SYSTEMS = (
    "ours int12", "ours int8", "ours int12 graph", "exact", "hnswlib f32", "usearch f32",
    "usearch f16", "usearch i8", "faiss flat", "faiss HNSW", "faiss IVF-PQ",
)  # fmt: skip


def _keys(poses: FloatArray) -> Rows:
    """A number (N,) for each pose, by centimetre and a hundredth of a radian."""
    x, y, yaw = np.rint(_CENTIMETRES * np.asarray(poses, dtype=np.float64)).astype(np.int64).T
    return np.asarray((x << 36) + (y << 12) + yaw)


def _manifest(dim: int, storage: str, search: str, shards: Any) -> Manifest:  # noqa: ANN401
    """Of an index whose descriptors are made, so that its imagery and encoder are none."""
    nothing = "0" * 64
    return Manifest(
        encoder_sha256=nothing,
        preprocessing_sha256=nothing,
        model="made descriptors",
        dim=dim,
        metric="cosine",
        storage=storage,
        query=QuerySpec(view="perspective", width_px=192, height_px=96, hfov_deg=90.0),
        reference=ReferenceSpec(size_px=96, extent_m=72.0, offset_forward_m=30.0),
        policy=SamplingPolicy(),
        origin=LatLon(52.0, 5.0),
        search=search_record(search),
        imagery=ImageryRecord(source="none", sha256=nothing, gsd_m=0.3),
        roads_sha256=nothing,
        shards=tuple(sorted(shards, key=lambda shard: shard.cell)),
    )
