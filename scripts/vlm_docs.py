# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/vlm.md, from what bench/vlm.py and bench/vlm_consistency.py have recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
WORDS = {
    "rerank_gain_same": "gain of R@1 by reranking, other drives through towns it has learnt from",
    "rerank_gain_cross": "the same in towns and styles it has never seen",
    "shuffled_gain": "gain with the answers of other views, in whichever of both it is larger",
    "prior_town_points": "right town, percentage points more with the geographic prior",
    "prior_street_points": "right street, likewise",
    "harmless_delta_m": "a drive's median error with wrong, late or dead models, m more",
    "latency_p95_ratio": "95th percentile of a frame's time with the model over without",
    "encode_once_speedup": "picture encoded once over anew for every question",
}


def _recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return found


def _part(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _recorded("vlm.json")["parts"][name]
    return found


def worth() -> str:
    """What was wanted of the model on board, and what was reached."""
    found = _recorded("vlm.json")
    lines = ["| figure | wanted | reached |", "|---|---|---|"]
    for name, words in WORDS.items():
        lines.append(f"| {words} | {found['wanted'][name]} | {found[name]:.3g} |")
    return "\n".join(lines)


def prior_curve() -> str:
    """What a geographic prior is worth, from one that is always right to one that misleads."""
    found = _part("prior")
    lines = [
        "| region said | right | believed | right town | right street | right town of 5 frames |",
        "|---|---|---|---|---|---|",
    ]
    rows = [("none", "", "", found["figures"]["none"])]
    rows += [_prior_row(row) for row in found["curve"]]
    said = f"{100 * found['hit_rate']:.0f} %", f"{100 * found['reliability']:.0f} %"
    rows.append((found["answers"], *said, found["figures"]["both"]))
    for name, right, believed, figures in rows:
        cells = [f"{100 * figures[key]:.1f} %" for key in ("town", "street", "drive_town")]
        lines.append(f"| {' | '.join([name, right, believed, *cells])} |")
    return "\n".join(lines)


def _prior_row(row: dict[str, Any]) -> tuple[str, str, str, dict[str, float]]:
    """A place on the curve: who answers, how often right, how far believed, and its figures."""
    if row["rate"] == "worst":
        return "the most misleading one", "0 %", "100 %", row["both"]
    name = f"simulated, {row['trust']}"
    return name, f"{100 * row['rate']:.0f} %", f"{100 * row['reliability']:.0f} %", row["both"]


def harm() -> str:
    """How far each kind of bad model moves localization, over drives."""
    found = _part("harmless")
    lines = [
        "| model | median error, m | 95 % error, m | availability | confidently wrong |",
        "|---|---|---|---|---|",
    ]
    cells = (f"{value:.4f}" for value in found["without"].values())
    lines.append(f"| none | {' | '.join(cells)} |")
    for kind, row in found["moved"].items():
        cells = (f"{moved:+.4f} ± {error:.4f}" for moved, error in row.values())
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    chance = f"{found['noise_m']:.3f} m (one sigma)"
    lines += ["", f"By chance alone such a mean of median errors is off by {chance}."]
    lines += ["", _wronger(found["drives"])]
    return "\n".join(lines)


def _wronger(drives: dict[str, Any]) -> str:
    """In how many replays a model made more frames confidently wrong, and the worst of them."""
    replays = [
        (row["confidently_wrong"] - without["confidently_wrong"], kind, seed, row, without)
        for seed, drive in drives.items()
        for kind, rows in drive.items()
        if kind != "none"
        for row, without in zip(rows, drive["none"], strict=True)
    ]
    worse = [replay for replay in replays if replay[0] > 0.0]
    text = (
        f"Of {len(replays)} replays with a model, {len(worse)} had more frames confidently wrong "
        "than the same without."
    )
    if worse:
        _, kind, seed, row, without = max(worse, key=lambda replay: replay[0])
        text += (
            f" The worst: `{kind}` on drive {seed}, with {100 * row['confidently_wrong']:.1f} % "
            f"of its frames, its median error {row['median_m']:.2f} m against "
            f"{without['median_m']:.2f} m without."
        )
    return text


def ablation() -> str:
    """What each way to fuse image and language is worth."""
    found = _part("rerank")
    lines = [
        "| | R@1 | after | gain | answers of other views | R@1, new towns | after | gain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["ablation"].items():
        cells = [name.replace("no_text", "no text").replace("_", ", ")]
        for place in ("same", "cross"):
            before, after = (100 * row[f"{place}_{when}"] for when in ("before", "after"))
            cells += [f"{before:.1f} %", f"{after:.1f} %", f"{100 * row[f'{place}_gain']:+.1f} %"]
            if place == "same":
                cells.append(f"{100 * row['same_shuffled_gain']:+.1f} %")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def steadiness() -> str:
    """Whether answers that stay when asked again are right."""
    found = _recorded("vlm_consistency.json")
    lines = [
        f"`{found['vlm']}`, {found['repeats']} repeats, towns "
        f"{', '.join(map(str, found['seeds']))}:",
        "",
        "| view | right, asked once | right, mean | sure once | sure, mean | agreement |",
        "|---|---|---|---|---|---|",
    ]
    for view, row in found.items():
        if isinstance(row, dict):
            cells = [f"{100 * row[f'accuracy_{name}']:.1f} %" for name in ("once", "mean")]
            cells += [f"{row[f'auc_{name}']:.3f}" for name in ("once", "mean", "agreement")]
            lines.append(f"| {view} | {' | '.join(cells)} |")
    return "\n".join(lines)
