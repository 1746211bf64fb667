# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`result.json`: the flat, stable table other programs gate on, from cached files only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros import config as configuration
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation import metrics, tables
from geoloc_ros.evaluation.columns import STAGES, ReplayOutputError, Retrieval, Truth
from geoloc_ros.evaluation.score import recall_at, score, vlm_counts

_ERROR_CEILING = 1e9


def result_from(out_dir: Path) -> dict[str, Any]:
    """Compute the result of a replay output directory.

    Every key is always there; what is not known is None (null in the file).

    Args:
        out_dir: holds `estimates.parquet` and whatever else the replay wrote.

    Raises:
        ReplayOutputError: no usable `estimates.parquet`, or another file is damaged.
        ConfigError: `config.yaml` is damaged.
    """
    estimates = tables.read_estimates(out_dir)
    truth = tables.read_truth(out_dir)
    summary = tables.read_summary(out_dir)
    scores = score(estimates, truth)
    nees = scores.nees[scores.scored]
    return {
        **_counts(summary, len(estimates)),
        "availability": metrics.availability(estimates.localised),
        "time_to_first_fix_s": metrics.time_to_first_fix_s(
            estimates.stamp_ns, estimates.localised
        ),
        "position_error_m": position_figures(scores.error_m[scores.scored]),
        "yaw_error_deg": {
            "median": metrics.percentile(scores.yaw_error_deg[scores.scored], 50),
            "p95": metrics.percentile(scores.yaw_error_deg[scores.scored], 95),
        },
        "confidently_wrong": metrics.confidently_wrong(scores.distance_sigma[scores.scored]),
        "nees_mean": float(np.mean(nees)) if len(nees) else None,
        "coverage_95": metrics.coverage(nees, scores.dof[scores.scored]),
        "recall": _recall(out_dir, truth),
        "latency_ms": metrics.latency_percentiles(tables.read_latency(out_dir), STAGES),
        "realtime_factor": _ratio(summary.get("bag_s"), summary.get("wall_s")),
        "vlm": vlm_counts(tables.read_vlm(out_dir), truth, summary.get("origin")),
        "peak_rss_mb": summary.get("peak_rss_mb"),
        "seed": summary.get("seed"),
        "encoder": summary.get("encoder"),
        "index": summary.get("index"),
        "config_sha256": summary.get("config_sha256"),
    }


def write_result(out_dir: Path, result: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write `result.json` and return what it holds.

    Args:
        out_dir: replay output directory.
        result: what to write; computed when None.

    Raises:
        ReplayOutputError: see `result_from`.
    """
    content = dict(result) if result is not None else result_from(out_dir)
    path = out_dir / "result.json"
    partial = path.with_suffix(".partial")
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError as error:
        raise ReplayOutputError(
            f"{out_dir} gives figures that are no numbers ({error}); replay again"
        ) from error
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
    return content


def run_config(out_dir: Path) -> configuration.Config:
    """The run's `config.yaml`; the defaults when there is none.

    Raises:
        ConfigError: the file is damaged.
    """
    path = out_dir / "config.yaml"
    return configuration.load(path if path.exists() else None)


def format_table(result: Mapping[str, Any]) -> str:
    """The result as aligned text, one figure per line, '-' where unknown."""
    rows = [(name, value_text(value, unit)) for name, value, unit in table_rows(result)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def table_rows(result: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """(name, value, unit) of every figure, in the order of the file; unit '%' means a share."""
    error, yaw, recall = result["position_error_m"], result["yaw_error_deg"], result["recall"]
    rows: list[tuple[str, Any, str]] = [
        ("frames", result["frames"], ""),
        ("frames used", result["frames_used"], ""),
        ("frames dropped", result["frames_dropped"], ""),
        ("availability", result["availability"], "%"),
        ("time to first fix", result["time_to_first_fix_s"], "s"),
        ("position error, median", error["median"], "m"),
        ("position error, p95", error["p95"], "m"),
        ("position error, max", error["max"], "m"),
        ("position error, rmse", error["rmse"], "m"),
        ("yaw error, median", yaw["median"], "deg"),
        ("yaw error, p95", yaw["p95"], "deg"),
        ("confidently wrong", result["confidently_wrong"], "%"),
        ("NEES, mean", result["nees_mean"], ""),
        ("coverage of the 95 % region", result["coverage_95"], "%"),
    ]
    rows += [(f"recall@{k}", value, "%") for k, value in recall.items()]
    for stage, times in result["latency_ms"].items():
        if times["p50"] is not None:
            rows.append((f"latency {stage}, p50", times["p50"], "ms"))
            rows.append((f"latency {stage}, p95", times["p95"], "ms"))
    rows.append(("realtime factor", result["realtime_factor"], "x"))
    if result["vlm"]["asked"]:
        rows += [(f"VLM {name}", value, "") for name, value in result["vlm"].items()]
    rows.append(("peak memory", result["peak_rss_mb"], "MB"))
    rows += [(name, result[name], "") for name in ("seed", "encoder", "index", "config_sha256")]
    return rows


def value_text(value: object, unit: str) -> str:
    """A figure for people: '-' where unknown, unit '%' turns a share into percent."""
    if value is None:
        return "-"
    if unit == "%" and isinstance(value, (int, float)):
        return f"{100.0 * value:.1f} %"
    if isinstance(value, float):
        return f"{value:.2f} {unit}".rstrip()
    return f"{value} {unit}".rstrip()


def _counts(summary: Mapping[str, Any], estimates: int) -> dict[str, int | None]:
    used, dropped = summary.get("frames_used", estimates), summary.get("frames_dropped")
    frames = summary.get("frames")
    if frames is None and dropped is not None:
        frames = used + dropped
    return {"frames": frames, "frames_used": used, "frames_dropped": dropped}


def _ratio(bag_s: float | None, wall_s: float | None) -> float | None:
    return bag_s / wall_s if bag_s is not None and wall_s else None


def position_figures(error_m: FloatArray) -> dict[str, float | None]:
    """Median, 95th percentile, largest and root mean square of errors (N,), m; None of none."""
    if len(error_m) == 0:
        return {"median": None, "p95": None, "max": None, "rmse": None}
    error = np.minimum(error_m, _ERROR_CEILING)
    return {
        "median": float(np.percentile(error, 50)),
        "p95": float(np.percentile(error, 95)),
        "max": float(np.max(error)),
        "rmse": float(np.sqrt(np.mean(error**2))),
    }


def _recall(out_dir: Path, truth: Truth | None) -> dict[str, float | None]:
    retrieval: Retrieval | None = tables.read_retrieval(out_dir)
    if truth is None or retrieval is None:
        return {"1": None, "5": None, "10": None}
    hit = run_config(out_dir).score
    recall, _ = recall_at(retrieval, truth, hit.recall_radius_m, hit.recall_yaw_deg)
    return recall
