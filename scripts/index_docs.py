# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/index.md, from what bench/index.py has recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
UNRECORDED = "No run is recorded yet: `bench/index.py` makes one."
RECORDS = ("index_128.json", "index_1024.json")
COMPARED = {
    "found": ("recall10", ".3f"),
    "p50 ms": ("p50_ms", ".2f"),
    "p95 ms": ("p95_ms", ".2f"),
    "B/entry on disk": ("disk_bytes", ".0f"),
    "in memory": ("memory_bytes", ".0f"),
    "open ms": ("open_ms", ".0f"),
    "build s": ("build_s", ".0f"),
}
GROWN = {
    "built in s": ("build_s", ""),
    "on disk MB": ("disk_mb", ""),
    "in memory MB": ("memory_mb", ""),
    "open ms": ("open_ms", ""),
    "near ms": ("near_ms", ""),
    "field ms": ("field_ms", ""),
    "everywhere ms": ("everywhere_ms", ""),
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
    """Ours beside other libraries, a table for each length of descriptor."""
    tables = []
    for name in RECORDS:
        found = _recorded(name).get("compare")
        if found:
            rows = [(system, row) for system, row in found["systems"].items()]
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
        cells = [_figure(summary[key]) if key in summary else "" for summary in summaries]
        if any(cells):
            lines.append(f"| {words} | {wanted.get(key, '')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _recorded(name: str) -> dict[str, Any]:
    path = RESULTS / name
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _figure(value: float, form: str = "") -> str:
    """As the form says, or by three figures."""
    return format(value, form or (",.0f" if value >= 1000.0 else ".3g"))


def _table(
    corner: str, rows: Sequence[tuple[str, dict[str, Any]]], columns: dict[str, tuple[str, str]]
) -> str:
    lines = [f"| {corner} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for head, row in rows:
        cells = (_figure(row[key], form) for key, form in columns.values())
        lines.append(f"| {head} | {' | '.join(cells)} |")
    return "\n".join(lines)
