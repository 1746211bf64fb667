# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Everything the report draws, loaded once from a replay output directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.config import ReplayVlmConfig, ScoreConfig
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Estimates, Heard, Latency, Retrieval, Truth
from geoloc_ros.evaluation.result import result_from, run_config
from geoloc_ros.evaluation.score import Scores, score
from geoloc_ros.report.events import Event, gather

STATUS_ORDER = ("LOCALISED", "DEGRADED", "AMBIGUOUS", "SEARCHING", "LOST", "UNINITIALISED")

#: Okabe and Ito's palette, told apart with every common colour vision deficiency.
STATUS_COLOUR = {
    "LOCALISED": "#009E73",
    "DEGRADED": "#E69F00",
    "AMBIGUOUS": "#CC79A7",
    "SEARCHING": "#56B4E9",
    "LOST": "#D55E00",
    "UNINITIALISED": "#8A8F98",
}


@dataclass(frozen=True, slots=True)
class RunData:
    """One run, scored.

    Attributes:
        time_s: (N,) seconds since the first frame.
        heard: what became of the questions to a vision-language model.
        vlm: how it was asked.
    """

    out_dir: Path
    estimates: Estimates
    truth: Truth | None
    retrieval: Retrieval | None
    latency: Latency | None
    scores: Scores
    result: dict[str, Any]
    summary: dict[str, Any]
    versions: dict[str, Any]
    hit: ScoreConfig
    time_s: FloatArray
    events: tuple[Event, ...]
    heard: list[Heard]
    vlm: ReplayVlmConfig

    @property
    def has_truth(self) -> bool:
        """Whether any frame has a true pose."""
        return bool(np.isfinite(self.scores.true_poses[:, 0]).any())


def load_run(out_dir: Path, scene: Path | None = None) -> RunData:
    """Read and score a replay output directory.

    Args:
        out_dir: the directory.
        scene: `scene.json` of the made world, for its events.

    Raises:
        ReplayOutputError: no usable `estimates.parquet`, or another file is damaged.
        ConfigError: `config.yaml` is damaged.
    """
    estimates = tables.read_estimates(out_dir)
    truth = tables.read_truth(out_dir)
    start_ns = int(estimates.stamp_ns[0]) if len(estimates) else 0
    summary = tables.read_summary(out_dir)
    config = run_config(out_dir)
    return RunData(
        out_dir=out_dir,
        estimates=estimates,
        truth=truth,
        retrieval=tables.read_retrieval(out_dir),
        latency=tables.read_latency(out_dir),
        scores=score(estimates, truth),
        result=result_from(out_dir),
        summary=summary,
        versions=tables.read_json(out_dir / "versions.json"),
        hit=config.score,
        time_s=(estimates.stamp_ns - start_ns).astype(np.float64) / 1e9,
        events=gather(summary, truth, start_ns, scene),
        heard=tables.read_vlm(out_dir),
        vlm=config.vlm,
    )
