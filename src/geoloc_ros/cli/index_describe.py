# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc index describe`: let a local vision-language model describe an index's tiles."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from geoloc_ros.encoders.registry import find_model_by_sha
from geoloc_ros.errors import ConfigError
from geoloc_ros.index.descriptions import DESCRIBED_PARTS, ROWS, DescriptionRecord
from geoloc_ros.index.manifest import Manifest, load_manifest
from geoloc_ros.vlm.answerer import asked_of, identity_of

WITHIN_M, WITHIN_DEG = 4.0, 15.0


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = verbs.add_parser(
        "describe",
        help="let a local vision-language model describe the tiles of an index",
        description="Ask a local vision-language model the list of questions about every tile, "
        "as the index cuts it, and keep the probabilities of all answers in the index, a byte "
        "each. Entries that lie close together share one description. An interrupted run goes on "
        "when the same command is run again; the index is replaced only when all its tiles are "
        "described. Asked is about tiles of which the same model has said nothing yet, such as "
        "those that an update has added: what it said of others is kept. The "
        "descriptions serve the reranker.",
    )
    parser.add_argument("index", type=Path, help="index directory")
    parser.add_argument(
        "--imagery", type=Path, required=True, help="the imagery the index was built from"
    )
    parser.add_argument(
        "--vlm", required=True, help="model: a name, e.g. vlm-tiny, or a package directory"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes, a model each (%(default)s)"
    )
    parser.add_argument(
        "--within",
        type=float,
        default=WITHIN_M,
        metavar="M",
        help="entries this close in position, and within 15 degrees of heading, share a "
        "description; 0 describes every entry (%(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_describe)


def _describe(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.windows import open_ground
    from geoloc_ros.index.describe import describe_index
    from geoloc_ros.vlm.questions import load_questions
    from geoloc_ros.vlm.tiles import describer

    most = 4 * (os.cpu_count() or 1)
    if not 1 <= arguments.workers <= most:
        raise ConfigError(
            f"--workers is {arguments.workers}; it must lie in [1, {most}], four for each core"
        )
    if not 0.0 <= arguments.within <= 100.0:
        raise ConfigError(f"--within is {arguments.within} m; it must lie in [0, 100] m")
    if asked_of(arguments.vlm) is None:
        raise ConfigError(
            f"--vlm is {arguments.vlm!r}, a stand-in that answers none of the questions; name a "
            "model, e.g. vlm-tiny"
        )
    manifest = load_manifest(arguments.index)
    package = find_model_by_sha(manifest.encoder_sha256)
    ortho = open_ground(arguments.imagery, manifest.imagery.gsd_m, manifest.frame)
    questions = load_questions()
    name, digest = identity_of(arguments.vlm)
    record = DescriptionRecord(
        questions_version=questions.version,
        questions_sha256=questions.sha256,
        options=questions.total_options,
        vlm=name,
        vlm_sha256=digest,
        within_m=arguments.within,
        within_deg=WITHIN_DEG,
    )
    with describer(arguments.vlm, questions, arguments.workers, sha256=digest) as describe:
        described = describe_index(
            arguments.index, ortho, package, record, describe, progress=not arguments.quiet
        )
    size = sum(shard.files[part].bytes for shard in described.shards for part in DESCRIBED_PARTS)
    said, silent = _counts(arguments.index, described)
    print(
        f"{arguments.index}: {said} descriptions by {name} for {described.count} poses, "
        f"{size / 1e6:.2f} MB; identity {described.sha256[:12]}"
    )
    if silent:
        print(f"nothing could be said of {silent} poses: the model gave no usable answer there")
    return 0


def _counts(root: Path, described: Manifest) -> tuple[int, int]:
    """How many descriptions there are, and how many poses have none."""
    rows = [np.load(shard.path(root, ROWS), allow_pickle=False) for shard in described.shards]
    said = sum(len(np.unique(part[part >= 0])) for part in rows)
    return said, sum(int((part < 0).sum()) for part in rows)
