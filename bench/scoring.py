# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the benches on made towns share: index a town, replay a recording, one table at the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.config import Config
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Estimates, Truth
from geoloc_ros.evaluation.result import write_result
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index, is_current
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.synthetic.make import HELD_OUT_FROM

TRUTH = "/ground_truth/pose"
#: a cold start or a kidnapping counts as mastered if the right place is found on this way
WITHIN_M = 150.0

Figures = dict[str, float | None]


def may_be_scored(seeds: list[int], development: bool) -> bool:
    """Whether the seeds are reserved for evaluation, or development was asked for; says if not."""
    if min(seeds) >= HELD_OUT_FROM or development:
        return True
    print(
        f"seeds below {HELD_OUT_FROM} may have been trained on; add --development",
        file=sys.stderr,
    )
    return False


def indexed(
    out: Path,
    ortho: OrthoImage,
    package: ModelPackage,
    policy: SamplingPolicy,
    roads: list[Road] | None = None,
) -> Path:
    """Index imagery, unless `out` holds that index already."""
    if not is_current(out, ortho, package, policy, roads):
        build_index(ortho, package, OnnxEncoder(package, threads=2), out, policy, roads=roads)
    return out


def replayed(
    recording: Path, index: Path, out: Path, package: ModelPackage, config: Config
) -> tuple[Estimates, Truth]:
    """Replay a made recording and write its result.

    Raises:
        SystemExit: the recording holds no truth.
    """
    inputs = ReplayInputs(
        bag=recording,
        index=index,
        out=out,
        model=str(package.root),
        truth_topic=TRUTH,
        force=True,
    )
    Replay(inputs, config).run()
    write_result(out)
    truth = tables.read_truth(out)
    if truth is None:
        raise SystemExit(f"{recording} has no {TRUTH}")
    return tables.read_estimates(out), truth


def rate_within(distances_m: list[float | None]) -> float | None:
    """Share of events after which the right place was found within `WITHIN_M`; None: no event."""
    if not distances_m:
        return None
    return float(np.mean([d is not None and d <= WITHIN_M for d in distances_m]))


def summary(per_seed: dict[int, Figures], wanted: dict[str, str]) -> dict[str, Any]:
    """Per figure the mean over the towns that have it, and its value in every town."""

    def values(key: str) -> list[float | None]:
        return [figures.get(key) for figures in per_seed.values()]

    def mean(found: list[float | None]) -> float | None:
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known else None

    return {key: {"mean": mean(values(key)), "per_seed": values(key)} for key in wanted}


def print_table(figures: dict[str, Any], wanted: dict[str, str], seeds: list[int]) -> None:
    """Print one row per figure: what is wanted, the mean, every town."""

    def show(value: float | None) -> str:
        return f"{'-' if value is None else f'{value:.3f}':>9}"

    print(f"{'figure':24}{'wanted':>16}{'mean':>9}" + "".join(f"{seed:>9}" for seed in seeds))
    for key, row in figures.items():
        cells = "".join(show(value) for value in row["per_seed"])
        print(f"{key:24}{wanted[key]:>16}{show(row['mean'])}{cells}")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write figures for the documentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
