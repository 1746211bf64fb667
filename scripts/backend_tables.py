# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/backends.md, from what `bench/backends.py` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "docs/results/backends.json"


def recorded(write: Callable[[Any], list[str]]) -> str:
    """A table of the recorded run, or that there is none."""
    if not FILE.exists():
        return "No run is recorded yet: `bench/backends.py` makes one."
    return "\n".join(write(json.loads(FILE.read_text(encoding="utf-8"))))


def precision(found: Any) -> list[str]:  # noqa: ANN401
    """What lower precision costs each side of a model."""
    lines = [
        "| side | precision | pictures | drift, mean | p99 | recall@1, fp32 | then | accepted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for side, rows in found["precision"].items():
        for name, row in rows.items():
            before, after = row["recall_1"]
            cells = (
                side,
                name,
                f"{row['pictures']} {row['kind']}",
                f"{row['drift_mean']:.1g}",
                f"{row['drift_p99']:.1g}",
                f"{before:.3f}",
                f"{after:.3f}",
                "yes" if row["accepted"] else "no",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def around(found: Any) -> list[str]:  # noqa: ANN401
    """What the machinery costs."""
    call, cache = found["around"], found["cache"]
    return [
        "| figure | reached |",
        "|---|---|",
        f"| CPU ms of a call of the encoder that cannot switch | {call['plain_ms']:.3f} |",
        f"| of the one that can | {call['live_ms']:.3f} |",
        f"| ratio | {call['ratio']:.3f} |",
        f"| openings at once of an engine that nobody has built | {cache['openings']} |",
        f"| builds | {cache['builds']} |",
    ]
