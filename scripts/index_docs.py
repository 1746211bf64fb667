# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/index.md, from what bench/index.py has recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import figure

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
UNRECORDED = "No run is recorded yet: `bench/index.py` makes one."
RECORDS = ("index_128.json", "index_1024.json")
SIDE_BY_SIDE = (*RECORDS, "index_1024_small.json")
COMPARED = {
    "recall10": "found",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "disk_bytes": "B/entry on disk",
    "memory_bytes": "in memory",
    "open_ms": "open ms",
    "build_s": "build s",
}
GROWN = {
    "build_s": "built in s",
    "disk_mb": "on disk MB",
    "memory_mb": "in memory MB",
    "open_ms": "open ms",
    "near_ms": "near ms",
    "field_ms": "field ms",
    "everywhere_ms": "everywhere ms",
}
FIGURES = {
    "recall10": "found of the ten nearest",
    "search_over_exact": "time of a query over the fastest exact search's",
    "bytes_over_hnswlib_f32": "bytes on disk over hnswlib's",
    "memory_over_hnswlib_f32": "bytes in memory over hnswlib's",
    "wrapper_overhead": "what the index adds to its kernels' time",
    "open_ms": "opening and verifying one shard, ms",
    "near_over_1m": "search near the vehicle, 10 M entries over 1 M",
    "field_over_1m": "similarities around particles, likewise",
    "everywhere_10m_s": "search of all 10 M within the budget, s",
    "memory_10m_mb": "memory of the process for these, MB",
}


def compared() -> str:
    """Ours beside other libraries, a table for each record."""
    tables = []
    for name in SIDE_BY_SIDE:
        found = _recorded(name).get("compare")
        if found:
            rows = list(found["systems"].items())
            title = f"{found['entries']:,} entries of {found['dim']} dimensions:"
            tables.append(f"{title}\n\n{_table('', rows, COMPARED)}")
    return "\n\n".join(tables) or UNRECORDED


def grown() -> str:
    """How ours grows with the number of entries."""
    found = _recorded(RECORDS[0]).get("growth")
    if not found:
        return UNRECORDED
    rows = [(f"{row['entries']:,}", row) for row in found["rows"]]
    return _table("entries", rows, GROWN)


def reached() -> str:
    """What was wanted and what was reached."""
    found = [record for record in map(_recorded, RECORDS) if record]
    if not found:
        return UNRECORDED
    wanted: dict[str, str] = found[0]["wanted"]
    summaries = [record["summary"] for record in found]
    heads = [f"{record['compare']['dim']} dimensions" for record in found]
    lines = [f"| figure | wanted | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for key, words in FIGURES.items():
        cells = [figure(summary[key]) if key in summary else "" for summary in summaries]
        if any(cells):
            lines.append(f"| {words} | {wanted.get(key, '')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _recorded(name: str) -> dict[str, Any]:
    path = RESULTS / name
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _table(
    corner: str, rows: Sequence[tuple[str, dict[str, Any]]], columns: dict[str, str]
) -> str:
    lines = [f"| {corner} | {' | '.join(columns.values())} |", "|---|" + "---|" * len(columns)]
    lines += [
        f"| {head} | {' | '.join(figure(row[key]) for key in columns)} |" for head, row in rows
    ]
    return "\n".join(lines)
