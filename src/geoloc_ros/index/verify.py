# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A full check of an index directory: every byte, every structure, and how well it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexCorruptError, IndexError_
from geoloc_ros.index.manifest import NAME, Manifest, check_model, load_manifest
from geoloc_ros.index.shard import Shard, open_shard
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.index.updates import superseded

_QUERIES = 200
_RECALL_LIMIT = 0.95


@dataclass(frozen=True, slots=True)
class Verification:
    """What the check found.

    Attributes:
        path: the index.
        manifest: None if it could not be read.
        problems: one line each; none if the index is sound.
        recall: share of the exact ten nearest entries that the search finds; NaN if not measured.
    """

    path: Path
    manifest: Manifest | None
    problems: tuple[str, ...]
    recall: float

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_index(path: Path, package: ModelPackage | None = None) -> Verification:
    """Check everything about an index and report all that is wrong, not only the first.

    Args:
        path: the index directory.
        package: a model it must fit; None skips that.

    Returns:
        The findings; this function raises nothing about the index itself.
    """
    try:
        manifest = load_manifest(path)
    except IndexError_ as error:
        return Verification(path, None, (str(error),), float("nan"))
    problems = _strays(path, manifest)
    if package is not None:
        try:
            check_model(manifest, package, path)
        except IndexError_ as error:
            problems.append(str(error))
    shards: list[Shard] = []
    for record in manifest.shards:
        try:
            shards.append(open_shard(path, record, manifest))
        except IndexCorruptError as error:
            problems.append(str(error))
    if len(shards) < len(manifest.shards):
        return Verification(path, manifest, tuple(problems), float("nan"))
    recall = measure_recall(ShardedIndex(manifest, shards.__getitem__))
    if recall < _RECALL_LIMIT:
        problems.append(
            f"the search finds {recall:.1%} of the ten nearest entries, at least "
            f"{_RECALL_LIMIT:.0%} expected; build the index again"
        )
    return Verification(path, manifest, tuple(problems), recall)


def measure_recall(index: ShardedIndex, k: int = 10, seed: int = 0) -> float:
    """Share of the exact k nearest entries that the search finds, for disturbed entries."""
    rng = np.random.default_rng(seed)
    picked = index.vectors(rng.integers(0, len(index), _QUERIES))
    disturbed = picked + 0.5 / np.sqrt(picked.shape[1]) * rng.normal(size=picked.shape)
    disturbed /= np.linalg.norm(disturbed, axis=1, keepdims=True)
    hits = wanted = 0
    for query in disturbed.astype(np.float32):
        exact = index.search_exact(query, k)
        found = index.search_graph(query, k)
        hits += len(np.intersect1d(exact.entry_ids, found.entry_ids))
        wanted += len(exact)
    return hits / wanted


def _strays(path: Path, manifest: Manifest) -> list[str]:
    """Files that the manifest does not know and no update left behind."""
    known = {path / NAME}
    known |= {record.path(path, part) for record in manifest.shards for part in manifest.parts}
    known |= set(superseded(path, manifest))
    found = sorted(item for item in path.rglob("*") if item.is_file())
    return [
        f"{item} does not belong to the index; remove it" for item in found if item not in known
    ]
