# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One geographic cell on disk and in memory: poses, descriptors and an HNSW graph.

hnswlib trusts its files: it loads one of another dimension or with flipped bits without
complaint, and a crafted one overflows the heap. So hashes are compared before it sees a byte, and
the structure of the graph is checked (`hnsw_file`). It also forgets `ef`, which is set again.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.errors import IndexBuildError, IndexCorruptError
from geoloc_ros.index.descriptions import ANSWERS, ROWS, ByteArray, RowArray, sound
from geoloc_ros.index.hnsw_file import check_graph
from geoloc_ros.index.manifest import PARTS, ShardRecord, check_file, record_file

M = 16
EF_CONSTRUCTION = 100
EF_SEARCH = 192
_GRAPH_SEED = 100


@dataclass(frozen=True, slots=True)
class Shard:
    """A loaded cell.

    Attributes:
        record: what the manifest says about it.
        poses: (N, 3) anchors x_m, y_m, yaw_rad.
        descriptors: (N, D) unit vectors.
        graph: the hnswlib index over them, labels 0..N-1.
    """

    record: ShardRecord
    poses: FloatArray
    descriptors: Float32Array
    graph: Any

    def search(
        self, descriptor: Float32Array, k: int
    ) -> tuple[npt.NDArray[np.int64], Float32Array]:
        """Nearest entries by the graph.

        Args:
            descriptor: (D,) unit vector.
            k: how many; fewer come back if the cell holds fewer.

        Returns:
            Labels (K,) and similarities (K,), best first.
        """
        k = min(k, self.record.count)
        self.graph.set_ef(max(EF_SEARCH, 2 * k))
        labels, distances = self.graph.knn_query(descriptor[None], k=k, num_threads=1)
        return labels[0].astype(np.int64), (1.0 - distances[0]).astype(np.float32)


def build_graph(descriptors: Float32Array) -> Any:  # noqa: ANN401 - hnswlib is untyped
    """An HNSW graph over unit vectors (Malkov and Yashunin, TPAMI 2018), always the same one."""
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=descriptors.shape[1])
    graph.init_index(
        max_elements=len(descriptors),
        M=M,
        ef_construction=EF_CONSTRUCTION,
        random_seed=_GRAPH_SEED,
    )
    graph.add_items(descriptors, np.arange(len(descriptors)), num_threads=1)
    return graph


def write_shard(
    root: Path, cell: tuple[int, int], poses: FloatArray, descriptors: Float32Array
) -> ShardRecord:
    """Write a cell's files below `root/shards`.

    Args:
        root: directory of the index being built.
        cell: column and row.
        poses: (N, 3) anchors, N >= 1.
        descriptors: (N, D) unit vectors.

    Returns:
        The record for the manifest.

    Raises:
        OSError: the disk refuses.
        IndexBuildError: what was written is not what should have been.
    """
    low, high = poses[:, :2].min(axis=0), poses[:, :2].max(axis=0)
    bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    record = ShardRecord(cell=cell, count=len(poses), bounds_m=bounds, files={})
    write_array(record.path(root, "poses.npy"), poses.astype(np.float64))
    write_array(record.path(root, "descriptors.npy"), descriptors.astype(np.float32))
    graph_path = record.path(root, "hnsw")
    graph = build_graph(descriptors)
    try:
        graph.save_index(str(graph_path))
        # hnswlib does not notice a write that failed
        check_graph(graph_path, len(poses), descriptors.shape[1], M)
    except (RuntimeError, IndexCorruptError) as error:
        raise IndexBuildError(
            f"{graph_path} could not be written ({error}); is the disk full? Free some space and "
            "run the same command again: finished shards are kept"
        ) from error
    sync(graph_path)
    files = {part: record_file(record.path(root, part)) for part in PARTS}
    return ShardRecord(cell=cell, count=len(poses), bounds_m=bounds, files=files)


def is_nameable(path: Path) -> bool:
    """Whether hnswlib, which takes names as UTF-8, finds the file that Python means."""
    return os.fsencode(path) == str(path).encode(errors="surrogatepass")


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a .npy file and wait until the disk has it."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_bytes(path, buffer.getbuffer())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes or a directory's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_shard(root: Path, record: ShardRecord, dim: int) -> Shard:
    """Load a cell after verifying every byte.

    Raises:
        IndexCorruptError: a file is missing, altered or not what its record says, or the path is
            not valid UTF-8.
    """
    if not is_nameable(root):
        raise IndexCorruptError(f"{str(root)!r} is not valid UTF-8; rename the folder")
    for part, file in record.files.items():
        check_file(record.path(root, part), file)
    poses = _read_array(record.path(root, "poses.npy"), np.float64, (record.count, 3))
    descriptors = _read_array(
        record.path(root, "descriptors.npy"), np.float32, (record.count, dim)
    )
    norms = np.linalg.norm(descriptors, axis=1)
    if not (np.abs(norms - 1.0) < 1e-3).all() or not np.isfinite(poses).all():
        raise IndexCorruptError(
            f"shard {record.stem} of {root} holds descriptors that are not of unit length or "
            "poses that are not finite; build the index again"
        )
    path = record.path(root, "hnsw")
    check_graph(path, record.count, dim, M)
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=dim)
    try:
        graph.load_index(str(path), max_elements=record.count)
    except RuntimeError as error:
        raise IndexCorruptError(f"{path} cannot be loaded: {error}") from error
    graph.set_ef(EF_SEARCH)
    graph.set_num_threads(1)
    return Shard(record, poses, descriptors, graph)


def open_answers(root: Path, record: ShardRecord, options: int) -> tuple[ByteArray, RowArray]:
    """Load what was said of a cell's tiles, whose bytes `open_shard` has verified.

    Args:
        root: directory of the index.
        record: of the cell.
        options: length of a description.

    Returns:
        Descriptions (V, T), and for each entry its row among them (N,), -1 for none.

    Raises:
        IndexCorruptError: the arrays do not fit the cell, the questions or each other.
    """
    answers, rows = (_load(record.path(root, part)) for part in (ANSWERS, ROWS))
    if not sound(answers, rows, record.count, options):
        raise IndexCorruptError(
            f"shard {record.stem} of {root} holds descriptions {answers.dtype} {answers.shape} "
            f"for {rows.shape} entries; {options} bytes for {record.count} entries are expected; "
            "describe the index again: geoloc index describe"
        )
    return answers, rows


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise IndexCorruptError(f"{path} is no array: {error}; build the index again") from error
    return array


def _read_array(path: Path, dtype: type, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = _load(path)
    if array.dtype != dtype or array.shape != shape:
        raise IndexCorruptError(
            f"{path} holds {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}; "
            "build the index again"
        )
    return array
