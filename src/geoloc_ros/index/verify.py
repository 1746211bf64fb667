# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A full check of an index directory: every byte, every structure, and how well it finds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexCorruptError, IndexError_
from geoloc_ros.index.manifest import NAME, Manifest, check_model, load_manifest
from geoloc_ros.index.shard import Shard, open_shard, search_together
from geoloc_ros.index.updates import superseded

_QUERIES, _NEAREST = 200, 10
_SEARCHED = 250_000  # entries, about
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
    damage, recall = _read(path, manifest)
    problems += damage
    if recall < _RECALL_LIMIT:
        problems.append(
            f"the search finds {recall:.1%} of the ten nearest entries, at least "
            f"{_RECALL_LIMIT:.0%} expected; build the index again"
        )
    return Verification(path, manifest, tuple(problems), recall)


def _read(path: Path, manifest: Manifest) -> tuple[list[str], float]:
    """Read every shard once, and search in those of a part of the index, spread evenly.

    Args:
        path: the index directory.
        manifest: its manifest.

    Returns:
        What is damaged, and the share of the ten entries most similar to disturbed ones that a
        search finds; NaN if anything is damaged.
    """
    step = math.ceil(manifest.count / _SEARCHED)
    damage, some = [], []
    for number, record in enumerate(manifest.shards):
        try:
            shard = open_shard(path, record, manifest)
        except IndexCorruptError as error:
            damage.append(str(error))
            continue
        if number % step == 0:
            some.append(shard)
    return damage, float("nan") if damage else _recall(some)


def _recall(parts: list[Shard]) -> float:
    """Share of the ten entries most similar to disturbed ones that a search of shards finds."""
    rng = np.random.default_rng(0)
    begins = np.append(0, np.cumsum([len(shard.codes) for shard in parts]))
    hits, k = 0, min(_NEAREST, int(begins[-1]))
    for chosen in rng.integers(0, begins[-1], _QUERIES):
        number = int(np.searchsorted(begins, chosen, side="right")) - 1
        picked = parts[number].decode(np.array([chosen - begins[number]]))[0]
        disturbed = picked + 0.5 / np.sqrt(len(picked)) * rng.normal(size=len(picked))
        query = np.asarray(disturbed / np.linalg.norm(disturbed), dtype=np.float32)
        similarity = np.concatenate([shard.codes.similarity(query) for shard in parts])
        exact = np.argsort(-similarity, kind="stable")[:k]
        places, rows, _ = search_together(parts, query, k)
        hits += len(np.intersect1d(exact, begins[places] + rows))
    return hits / (k * _QUERIES)


def _strays(path: Path, manifest: Manifest) -> list[str]:
    """Files that the manifest does not know and no update left behind."""
    known = {path / NAME}
    known |= {record.path(path, part) for record in manifest.shards for part in manifest.parts}
    known |= set(superseded(path, manifest))
    found = sorted(item for item in path.rglob("*") if item.is_file())
    return [
        f"{item} does not belong to the index; remove it" for item in found if item not in known
    ]
