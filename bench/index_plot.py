# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The two pictures of `bench/index.py`: what it costs to find how much, and how an index grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_GROWN = {
    "near_ms": "search near the vehicle, ms",
    "everywhere_ms": "search everywhere, ms",
    "open_ms": "open, ms",
    "memory_mb": "memory, MB",
    "disk_mb": "disk, MB",
    "build_s": "build, s",
}


def plot(found: dict[str, Any], folder: Path, stem: str) -> list[Path]:
    """Draw what was measured, as FOLDER/STEM_PART.png."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for part, draw in (("compare", _compare), ("growth", _growth)):
        if part in found:
            figure, axes = plt.subplots(figsize=(10, 5), constrained_layout=True)
            axes.set_prop_cycle(color=mpl.colormaps["tab20"].colors)
            draw(found[part], axes)
            axes.grid(which="both", alpha=0.25)
            made.append(folder / f"{stem}_{part}.png")
            figure.savefig(made[-1], dpi=110)
            plt.close(figure)
    return made


def _compare(found: dict[str, Any], axes: Any) -> None:  # noqa: ANN401 - no types in matplotlib
    for name, row in found["systems"].items():
        points = row["points"]
        own = name.startswith("ours")
        axes.plot(
            [point["p50_ms"] for point in points],
            [point["recall10"] for point in points],
            marker="*" if own else "o", markersize=13 if own else 5, linewidth=1.0,
            label=f"{name}: {row['memory_bytes']:.0f} in memory, {row['disk_bytes']:.0f} on disk",
        )  # fmt: skip
    axes.axhline(0.99, color="grey", linestyle="--", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("median time of a query, ms, one thread")
    axes.set_ylabel("recall of the ten nearest")
    axes.set_title(f"{found['entries']:,} entries of {found['dim']} dimensions")
    axes.legend(
        fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), title="bytes of an entry"
    )


def _growth(found: dict[str, Any], axes: Any) -> None:  # noqa: ANN401
    rows = found["rows"]
    sizes = [row["entries"] for row in rows]
    for key, label in _GROWN.items():
        axes.plot(sizes, [row[key] for row in rows], marker="o", label=label)
    axes.axhline(found["budget_mb"], color="grey", linestyle="--", linewidth=0.8)
    axes.annotate("memory budget", (sizes[0], found["budget_mb"]), fontsize=7, va="bottom")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("entries")
    axes.set_title(f"An index that grows, {found['dim']} dimensions")
    axes.legend(fontsize=7)
