#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
r"""What each way to store and to find an index's entries costs, and what it finds.

The entries of an index are written anew in every way. Queries are the pictures of a drive. Asked
is how many of the ten entries most similar to a picture are found, compared with all entries at
full precision, and how long that takes in one thread.

Example:
  geoloc synth make --seed 3201 --size 800 --length 1000 --rate 2 --width 480 --height-px 270 \
    --out 3201
  geoloc index build 3201/imagery.tif --model perspective --roads 3201/roads.geojson \
    --storage float32 --out 3201.index
  OMP_NUM_THREADS=1 python bench/index_storage.py 3201.index 3201/drive_00 --model perspective
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from index import timed

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.index.codes import STORAGES
from geoloc_ros.index.diff import size_bytes
from geoloc_ros.index.manifest import Manifest, search_record
from geoloc_ros.index.search import SEARCHES
from geoloc_ros.index.shard import Shard, open_shard, write_shard
from geoloc_ros.index.sharded_index import ShardedIndex

WANTED = 10


def pictures(drive: Path, package: ModelPackage, count: int) -> Float32Array:
    """Descriptors (Q, D) of pictures spread over a drive."""
    encoder, found = OnnxEncoder(package, threads=1), []
    with BagReader(drive) as reader:
        recording = Recording(reader, Config().input)
        views = make_views(recording.camera, recording.T_base_camera, package)
        every, seen = max(1, recording.frame_count // count), 0
        for _, topic, message in recording.records():
            if topic != recording.topics.image:
                continue
            seen += 1
            if seen % every == 0:
                view = views.build(messages.image_rgb(message))
                found.append(encoder.encode_query(view.image[None])[0])
    return np.array(found)


def rewritten(
    root: Path, manifest: Manifest, shards: list[Shard], storage: str, search: str
) -> Manifest:
    """The same entries, stored and found otherwise."""
    (root / "shards").mkdir(parents=True)
    records = [
        write_shard(root, shard.record.cell, shard.poses, shard.decode(), storage, search)
        for shard in shards
    ]
    return dataclasses.replace(
        manifest,
        storage=storage,
        search=search_record(search),
        shards=tuple(records),
        descriptions=None,
    )


def row(
    root: Path, manifest: Manifest, queries: Float32Array, wanted: list[set[tuple[float, ...]]]
) -> str:
    """A line of the table, but for how long it was built."""
    began = time.perf_counter()
    shards = [open_shard(root, record, manifest) for record in manifest.shards]
    open_ms = 1000.0 * (time.perf_counter() - began) / len(shards)
    index = ShardedIndex(manifest, shards.__getitem__)
    found, took_ms = timed(lambda query: index.search_approximate(query, WANTED), queries)
    pairs = zip(found, wanted, strict=True)
    hits = sum(len(places(candidates.poses) & other) for candidates, other in pairs)
    _, exact_ms = timed(lambda query: index.search_exact(query, WANTED), queries[:50])
    medians = f"{np.median(took_ms):11.2f}{np.median(exact_ms):11.2f}"
    return (
        f"{size_bytes(manifest.shards) / manifest.count:10.0f}{open_ms:9.1f}"
        f"{hits / (WANTED * len(queries)):10.3f}{medians}"
    )


def places(poses: np.ndarray) -> set[tuple[float, ...]]:
    """Poses (K, 3) as what tells entries apart in any order."""
    return {tuple(pose) for pose in np.round(poses, 3).tolist()}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index directory, stored as float32")
    parser.add_argument("drive", type=Path, help="recording in the same place")
    parser.add_argument("--model", required=True, help="the model that built the index")
    parser.add_argument("--pictures", type=int, default=400, help="to ask with (%(default)s)")
    arguments = parser.parse_args()
    package = find_model(arguments.model)
    index = ShardedIndex.open(arguments.index, package)
    queries = pictures(arguments.drive, package, arguments.pictures)
    shards = [shard for _, shard in index.residency.shards(range(len(index.manifest.shards)))]
    wanted = [places(index.search_exact(query, WANTED).poses) for query in queries]
    print(
        f"{len(index)} entries of {index.manifest.dim} dimensions ({index.manifest.storage}) in "
        f"{len(shards)} shards, {len(queries)} pictures"
    )
    print(
        f"{'storage':10}{'search':10}{'build s':>8}{'B/entry':>10}{'open ms':>9}{'found':>10}"
        f"{'search ms':>11}{'exact ms':>11}"
    )
    for storage in STORAGES:
        for search in SEARCHES:
            with tempfile.TemporaryDirectory() as folder:
                root, began = Path(folder) / "index", time.perf_counter()
                manifest = rewritten(root, index.manifest, shards, storage, search)
                took_s = time.perf_counter() - began
                line = row(root, manifest, queries, wanted)
            print(f"{storage:10}{search:10}{took_s:8.1f}{line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
