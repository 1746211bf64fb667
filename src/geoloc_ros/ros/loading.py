# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Loading a model and an index, with progress, so that it can be watched and stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geoloc_ros.config import EncoderConfig, SearchConfig
from geoloc_ros.encoders.backends.live import LiveEncoder
from geoloc_ros.encoders.base import Encoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model, find_model_by_sha
from geoloc_ros.errors import ConfigError
from geoloc_ros.filtering.warm_up import warm_up
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.rerank.language import LanguageReranker, reranker_for
from geoloc_ros.ros.node_config import user_path

#: is told what is being done; may raise to stop it
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that is read from disk."""

    package: ModelPackage
    encoder: Encoder
    index: ShardedIndex
    reranker: LanguageReranker | None = None

    def close(self) -> None:
        """End what goes on in the background: an engine that is being built."""
        if isinstance(self.encoder, LiveEncoder):
            self.encoder.close()


def load(
    index: str,
    model: str,
    threads: int,
    progress: Progress,
    search: SearchConfig,
    runs_on: EncoderConfig | None = None,
) -> Loaded:
    """Read and verify an index and the models it is used with, and make them ready.

    Args:
        index: directory.
        model: package by name or directory; empty: the one the index was built with.
        threads: of the encoder's session.
        progress: see `Progress`.
        search: which reranker, and how much memory the index may take.
        runs_on: what the encoder runs on; None: as by default.

    Raises:
        ConfigError: no index is named.
        IndexCorruptError: a file is missing, altered or damaged.
        IndexMismatchError: built with another encoder.
        ModelError: no model package fits, the reranker does not fit the index, or the back end
            that is named does not work.
    """
    if not index:
        raise ConfigError(
            "parameter index is empty; it must name a directory made by 'geoloc index build'"
        )
    path = user_path(index)
    progress(f"reading the manifest of {path}")
    manifest = load_manifest(path)
    progress("verifying the model")
    package = find_model(model) if model else find_model_by_sha(manifest.encoder_sha256)
    found = load_index(index, package, progress, search.memory_budget_mb)
    if search.reranker:
        progress("verifying the reranker")
    judge = reranker_for(search.reranker, found.manifest)
    progress("starting the encoder")
    encoder = LiveEncoder(package, runs_on or EncoderConfig(), threads)
    size = (1, package.query.height_px, package.query.width_px, 3)
    encoder.encode_query(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))
    progress("compiling the filter; only the first start takes long")
    warm_up()
    progress("ready")
    return Loaded(package, encoder, found, judge)


def load_index(
    index: str, package: ModelPackage, progress: Progress, budget_mb: float
) -> ShardedIndex:
    """Read and verify an index for a model that is loaded already.

    Args:
        index: directory.
        package: the model.
        progress: see `Progress`.
        budget_mb: memory it may take, MB.

    Raises:
        IndexCorruptError: a file is missing, altered or damaged.
        IndexMismatchError: built with another encoder.
    """

    def shard(done: int, of: int) -> None:
        progress(f"verifying and loading the index: shard {done + 1} of {of}")

    return ShardedIndex.open(user_path(index), package, shard, budget_mb)
