# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Our figures beside the published ones, as text."""

from __future__ import annotations

from typing import Any

from geoloc_ros.training.datasets.published import Published, published
from geoloc_ros.training.datasets.score import percentages

OURS = "this run"


def comparison(result: dict[str, Any]) -> str:
    """A table in percent, this run first, and where the other rows were read.

    Args:
        result: content of `retrieval.json`.
    """
    ours = percentages(result)
    others = published(result["dataset"], result["split"])
    names = list(ours) + [n for row in others for n in row.figures if n not in ours]
    names = list(dict.fromkeys(names))
    rows = [Published(OURS, "", ours), *others]
    width = max(len(row.method) for row in rows)
    lines = [f"{'%':<{width}}  " + "".join(f"{name:>9}" for name in names)]
    for row in rows:
        cells = (f"{row.figures[n]:.2f}" if n in row.figures else "-" for n in names)
        mark = f" [{_sources(others).index(row.source) + 1}]" if row.source else ""
        lines.append(f"{row.method:<{width}}  " + "".join(f"{c:>9}" for c in cells) + mark)
    lines += [f"[{i}] {source}" for i, source in enumerate(_sources(others), start=1)]
    return "\n".join(lines)


def details(result: dict[str, Any]) -> str:
    """What the table does not hold: how pictures were prepared, distances, areas."""
    lines = [f"{result['queries']} queries"]
    if "references" in result:
        lines[0] += f", {result['references']} references"
    lines += [f"{side}: {text}" for side, text in result.get("preparation", {}).items()]
    if "position_error_m" in result:
        error = result["position_error_m"]
        lines.append(f"first find off by: median {_m(error['median'])}, mean {_m(error['mean'])}")
    lines += _shares(result)
    return "\n".join(lines)


def _shares(result: dict[str, Any]) -> list[str]:
    """One line for each figure that is a share for several limits."""
    lines = []
    for radius, shares in result.get("recall_within_m", {}).items():
        cells = ", ".join(f"R@{k} {100.0 * share:.1f} %" for k, share in shares.items())
        lines.append(f"within {_m(float(radius))}: {cells}")
    titles = {
        "lateral_within_m": "across the heading, within m",
        "longitudinal_within_m": "along the heading, within m",
        "sdm": "SDM@K",
    }
    for key, title in titles.items():
        if key in result:
            lines.append(f"{title}: {_pairs(result[key])}")
    for key, title in (
        ("search_effort_km2", "found within the first km2 of the ranking"),
        ("submap_km2", "R@1 in a submap of km2"),
    ):
        if key in result.get("area", {}):
            lines.append(f"{title}: {_pairs(result['area'][key])}")
    return lines


def _pairs(shares: dict[str, float]) -> str:
    return ", ".join(f"{limit}: {100.0 * share:.1f} %" for limit, share in shares.items())


def _m(metres: float | None) -> str:
    if metres is None:
        return "-"
    return f"{metres / 1e3:.4g} km" if metres >= 1e3 else f"{metres:.4g} m"


def _sources(rows: tuple[Published, ...]) -> list[str]:
    return list(dict.fromkeys(row.source for row in rows))
