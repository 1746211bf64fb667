# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parts of docs/datasets.md that the code and recorded runs say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def layouts() -> str:
    """Folders and lists of every data set; those of photos, which are alike, once."""
    from geoloc_ros.training.datasets.registry import DATASETS, WORLD_RADII_M, layout_text

    alike = [name for name, entry in DATASETS.items() if entry.radii_m == WORLD_RADII_M]
    parts = []
    for name in DATASETS:
        if name not in alike[1:]:
            title = ", ".join(f"`{n}`" for n in (alike if name == alike[0] else [name]))
            parts.append(f"{title}\n\n```text\n{layout_text(name)}\n```\n")
    return "\n".join(parts)


def published() -> str:
    """All published rows, a table a split."""
    from geoloc_ros.training.datasets.published import published as rows_of
    from geoloc_ros.training.datasets.registry import DATASETS

    lines = ["| data set, split | method | figures, % | read in |", "|---|---|---|---|"]
    for name, entry in DATASETS.items():
        for split in entry.splits:
            for row in rows_of(name, split):
                figures = ", ".join(f"{key} {value:g}" for key, value in row.figures.items())
                lines.append(f"| `{name}` {split} | {row.method} | {figures} | {row.source} |")
    return "\n".join(lines).replace("<", "&lt;")


def scale() -> str:
    """What `bench/retrieval_scale.py` recorded."""
    found = _recorded("retrieval_scale")
    if found is None:
        return "No run is recorded yet: `bench/retrieval_scale.py` makes one."
    return (
        f"{found['count']} queries x {found['count']} references of {found['dim']} numbers: "
        f"{found['cpu_s'] / 60.0:.1f} minutes of CPU; memory rose from "
        f"{found['peak_before_mb']:.0f} to {found['peak_mb']:.0f} MB."
    )


def pose_set() -> str:
    """What `bench/pose_set.py` recorded."""
    found = _recorded("pose_set")
    if found is None:
        return "No run is recorded yet: `bench/pose_set.py` makes one."
    from geoloc_ros.training.datasets.comparison import comparison, details

    return f"```text\n{details(found)}\n\n{comparison(found)}\n```"


def _recorded(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
