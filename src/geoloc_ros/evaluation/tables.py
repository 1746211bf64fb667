# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a replay output: what replay writes once and evaluation only reads.

estimates.parquet   one row per used frame; same estimates -> same bytes, no times of the run
truth.parquet       only when a truth topic was given; read for scoring alone
latency.parquet     milliseconds per stage and frame (never in the estimates)
vlm.parquet         one row per question to a vision-language model, when one was asked
retrieval.parquet   the ranked candidates of every searched frame
summary.json        counts and provenance, see `SUMMARY_KEYS`
config.yaml         the configuration of the run
versions.json       package name -> version
frames/<stamp>.jpg  a few views kept for the report
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.datatypes import PoseEstimate, Status
from geoloc_ros.errors import GeodesyError, first_line, shown
from geoloc_ros.evaluation.columns import (
    Estimates,
    Heard,
    Latency,
    ReplayOutputError,
    Retrieval,
    Tile,
    Truth,
    estimates_from,
    truth_from,
)
from geoloc_ros.filtering.outlook import Shift
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.vlm.answerer import Reply

SUMMARY_KEYS: dict[str, str] = {
    "frames": "camera frames in the recording",
    "frames_used": "frames that gave an estimate",
    "frames_dropped": "frames that did not",
    "bag_s": "seconds the recording spans",
    "wall_s": "seconds the replay took",
    "peak_rss_mb": "largest resident memory, MB",
    "seed": "random seed",
    "encoder": "name or sha256 of the encoder pair",
    "index": "path of the index",
    "bag": "path of the recording",
    "config_sha256": "hash of the configuration",
    "origin": "origin of the local plane: {lat_deg, lon_deg}",
    "anchor_offset_m": "[forward, left] of the view's anchor in the base frame",
    "events": "known events: [{stamp_ns, kind: kidnap|outside|covered|start, label}]",
    "attribution": "imagery attribution to print under the map",
    "notes": "lines to print at the head of the report",
}

_ESTIMATE_FLOATS = (
    *("x_m", "y_m", "yaw_rad", "lat_deg", "lon_deg"),
    *("cov_xx", "cov_xy", "cov_xyaw", "cov_yy", "cov_yyaw", "cov_yawyaw"),
    *("similarity", "spread_m"),
)
_KINDS = {
    "stamp_ns": "int64",
    "heard_ns": "int64",
    "outcome": "text",
    "why": "text",
    "reply": "text",
    "best_stays": "int64",
    "reranked": "text",
    "tile": "text",
    "rank": "int64",
    "entry_id": "int64",
    "status": "text",
    "reasons": "text",
}
_TILE = ("tile_x_m", "tile_y_m", "tile_yaw_rad")
_VLM = (
    *("stamp_ns", "heard_ns", "outcome", "why", "took_ms", "reply"),
    *("moved", "best_before", "best_after", "best_stays", "reranked", "entry_id", "tile", *_TILE),
)
_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def write_estimates(out_dir: Path, estimates: Estimates | Sequence[PoseEstimate]) -> Path:
    """Write `estimates.parquet`; the same estimates give the same bytes.

    Args:
        out_dir: replay output directory.
        estimates: columns or single estimates, in the order of the frames.

    Returns:
        The file written.
    """
    table = estimates if isinstance(estimates, Estimates) else estimates_from(estimates)
    columns: dict[str, Any] = {
        "stamp_ns": table.stamp_ns,
        "status": [str(status) for status in table.status],
        "reasons": list(table.reasons),
    }
    floats = [table.poses[:, 0], table.poses[:, 1], table.poses[:, 2]]
    floats += [table.lat_deg, table.lon_deg]
    floats += [table.cov_xy_yaw[:, i, j] for i, j in _UPPER]
    floats += [table.similarity, table.spread_m]
    columns.update(zip(_ESTIMATE_FLOATS, floats, strict=True))
    return _write(out_dir / "estimates.parquet", columns)


def read_estimates(out_dir: Path) -> Estimates:
    """Read `estimates.parquet`.

    Raises:
        ReplayOutputError: no such file, unreadable, a column missing or an unknown status.
    """
    path = out_dir / "estimates.parquet"
    columns = _read(path, ("stamp_ns", "status", "reasons", *_ESTIMATE_FLOATS))
    known = {status.value for status in Status}
    unknown = sorted({str(status) for status in columns["status"]} - known)
    if unknown:
        raise ReplayOutputError(f"{path} holds the unknown status {unknown[0]!r}; replay again")
    count = len(columns["stamp_ns"])
    cov = np.empty((count, 3, 3), dtype=np.float64)
    for (i, j), name in zip(_UPPER, _ESTIMATE_FLOATS[5:11], strict=True):
        cov[:, i, j] = cov[:, j, i] = columns[name]
    return Estimates(
        stamp_ns=columns["stamp_ns"],
        status=np.array(columns["status"], dtype=np.str_),
        reasons=tuple(columns["reasons"]),
        poses=np.column_stack([columns[name] for name in _ESTIMATE_FLOATS[:3]]),
        cov_xy_yaw=cov,
        lat_deg=columns["lat_deg"],
        lon_deg=columns["lon_deg"],
        similarity=columns["similarity"],
        spread_m=columns["spread_m"],
    )


def write_truth(out_dir: Path, truth: Truth) -> Path:
    """Write `truth.parquet` and return its path."""
    columns = dict(zip(("x_m", "y_m", "yaw_rad"), truth.poses.T, strict=True))
    return _write(out_dir / "truth.parquet", {"stamp_ns": truth.stamp_ns, **columns})


def read_truth(out_dir: Path) -> Truth | None:
    """Read `truth.parquet`; None when the run had no truth.

    Raises:
        ReplayOutputError: the file is there but unusable.
    """
    path = out_dir / "truth.parquet"
    if not path.exists():
        return None
    columns = _read(path, ("stamp_ns", "x_m", "y_m", "yaw_rad"))
    poses = np.column_stack([columns["x_m"], columns["y_m"], columns["yaw_rad"]])
    return truth_from(columns["stamp_ns"], poses)


def write_latency(out_dir: Path, latency: Latency) -> Path:
    """Write `latency.parquet` and return its path."""
    columns = {f"{name}_ms": values for name, values in latency.stages_ms.items()}
    return _write(out_dir / "latency.parquet", {"stamp_ns": latency.stamp_ns, **columns})


def read_latency(out_dir: Path) -> Latency | None:
    """Read `latency.parquet`; None when there is none.

    Raises:
        ReplayOutputError: the file is there but unusable.
    """
    path = out_dir / "latency.parquet"
    if not path.exists():
        return None
    columns = _read(path, ("stamp_ns",))
    stages = {name[:-3]: columns[name] for name in columns if name.endswith("_ms")}
    return Latency(columns["stamp_ns"], stages)


def write_retrieval(out_dir: Path, retrieval: Retrieval) -> Path:
    """Write `retrieval.parquet` and return its path."""
    columns: dict[str, Any] = {"stamp_ns": retrieval.stamp_ns, "rank": retrieval.rank}
    columns["entry_id"] = retrieval.entry_id
    columns.update(zip(("x_m", "y_m", "yaw_rad"), retrieval.poses.T, strict=True))
    columns["similarity"] = retrieval.similarity
    return _write(out_dir / "retrieval.parquet", columns)


def read_retrieval(out_dir: Path) -> Retrieval | None:
    """Read `retrieval.parquet`; None when there is none.

    Raises:
        ReplayOutputError: the file is there but unusable.
    """
    path = out_dir / "retrieval.parquet"
    if not path.exists():
        return None
    names = ("stamp_ns", "rank", "entry_id", "x_m", "y_m", "yaw_rad", "similarity")
    columns = _read(path, names)
    poses = np.column_stack([columns["x_m"], columns["y_m"], columns["yaw_rad"]])
    return Retrieval(
        columns["stamp_ns"], columns["rank"], columns["entry_id"], poses, columns["similarity"]
    )


def write_vlm(out_dir: Path, heard: Sequence[Heard]) -> Path:
    """Write `vlm.parquet` and return its path; replies are JSON texts."""
    columns: dict[str, Any] = {
        "stamp_ns": np.array([row.stamp_ns for row in heard], dtype=np.int64),
        "heard_ns": np.array([row.heard_ns for row in heard], dtype=np.int64),
        "outcome": [row.outcome for row in heard],
        "why": [row.why for row in heard],
        "took_ms": np.array([row.took_ms for row in heard], dtype=np.float64),
        "reply": [json.dumps(row.reply.plain()) for row in heard],
        "moved": np.array([row.shift.moved for row in heard], dtype=np.float64),
        "best_before": np.array([row.shift.best_before for row in heard], dtype=np.float64),
        "best_after": np.array([row.shift.best_after for row in heard], dtype=np.float64),
        "best_stays": np.array([row.shift.best_stays for row in heard], dtype=np.int64),
        "reranked": [json.dumps([row.places, row.shares]) for row in heard],
        "entry_id": np.array([row.tile.entry_id for row in heard], dtype=np.int64),
        "tile": [json.dumps(row.tile.said.plain()) for row in heard],
    }
    poses = np.array([row.tile.pose for row in heard], dtype=np.float64).reshape(-1, 3)
    columns |= zip(_TILE, poses.T, strict=True)
    return _write(out_dir / "vlm.parquet", columns)


def read_vlm(out_dir: Path) -> list[Heard]:
    """Read `vlm.parquet`; empty when no model was asked.

    Raises:
        ReplayOutputError: the file is there but unusable.
    """
    path = out_dir / "vlm.parquet"
    if not path.exists():
        return []
    columns = _read(path, _VLM)
    lists = {
        name: values if isinstance(values, list) else values.tolist()
        for name, values in columns.items()
    }
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    try:
        return [_heard(row) for row in rows]
    except (ValueError, KeyError, TypeError, GeodesyError) as error:
        raise ReplayOutputError(
            f"{path} holds a reply that is none: {first_line(error)}; replay again"
        ) from error


def _heard(row: Mapping[str, Any]) -> Heard:
    places, shares = json.loads(row["reranked"])
    x_m, y_m, yaw_rad = (row[name] for name in _TILE)
    best = row["best_before"], row["best_after"], bool(row["best_stays"])
    return Heard(
        row["stamp_ns"],
        row["heard_ns"],
        row["outcome"],
        row["why"],
        row["took_ms"],
        Reply.of(json.loads(row["reply"])),
        Shift(row["moved"], *best),
        tuple(map(tuple, places)),
        tuple(shares),
        Tile(row["entry_id"], (x_m, y_m, yaw_rad), Reply.of(json.loads(row["tile"]))),
    )


def write_summary(out_dir: Path, summary: Mapping[str, Any]) -> Path:
    """Write `summary.json`; keys are those of `SUMMARY_KEYS`, more are kept.

    Raises:
        ValueError: a value that JSON cannot hold, such as NaN.
    """
    path = out_dir / "summary.json"
    text = json.dumps(dict(summary), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no JSON")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty when the file is absent.

    Raises:
        ReplayOutputError: the file is there but holds no JSON object.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ReplayOutputError(f"cannot read {path}: {error}; replay again") from error
    if not isinstance(content, dict):
        raise ReplayOutputError(f"{path} must hold a JSON object; replay again")
    return content


def read_summary(out_dir: Path) -> dict[str, Any]:
    """Read `summary.json`; empty when absent.

    Raises:
        ReplayOutputError: the file is there but holds no JSON object.
    """
    return read_json(out_dir / "summary.json")


def read_plane(out_dir: Path) -> LocalFrame | None:
    """The plane that the run's coordinates lie in; None where `summary.json` does not say.

    Raises:
        ReplayOutputError: the file is there but unusable, or what it says is no position.
    """
    origin = read_summary(out_dir).get("origin")
    if origin is None:
        return None
    try:
        return LocalFrame(LatLon(float(origin["lat_deg"]), float(origin["lon_deg"])))
    except (KeyError, TypeError, ValueError, GeodesyError) as error:
        raise ReplayOutputError(
            f"{out_dir / 'summary.json'}: the origin {shown(origin)} is no lat_deg and lon_deg "
            f"({first_line(error)}); replay again"
        ) from error


def frame_path(out_dir: Path, stamp_ns: int) -> Path:
    """Where the view of a frame is kept for the report."""
    return out_dir / "frames" / f"{stamp_ns}.jpg"


def _write(path: Path, columns: Mapping[str, Any]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            kind = pa.int64() if values.dtype.kind in "iu" else pa.float64()
            # One bit pattern for NaN, so that equal data is equal bytes.
            plain = (
                values if values.dtype.kind in "iu" else np.where(values != values, np.nan, values)
            )
            arrays[name] = pa.array(plain, type=kind, from_pandas=False)
        else:
            arrays[name] = pa.array(values, type=pa.string())
    partial = path.with_suffix(".partial")
    pq.write_table(
        pa.table(arrays),
        partial,
        compression="zstd",
        use_dictionary=["status", "reasons"],
        write_page_checksum=True,
    )
    partial.replace(path)
    return path


def _read(path: Path, names: Sequence[str]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ReplayOutputError(
            f"no {path.name} in {path.parent}; write one with 'geoloc replay BAG --out DIR'"
        )
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise ReplayOutputError(f"cannot read {path}: {error}; replay again") from error
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ReplayOutputError(f"{path} lacks the column {missing[0]}; replay again")
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        kind = "text" if pa.types.is_string(column.type) else str(column.type)
        wanted = _KINDS.get(name, "double")
        if name in names and (kind != wanted or column.null_count):
            raise ReplayOutputError(
                f"{path}: column {name} must be {wanted} without gaps, it is {kind} with "
                f"{column.null_count}; replay again"
            )
        columns[name] = column.to_pylist() if kind == "text" else column.to_numpy()
    return columns
