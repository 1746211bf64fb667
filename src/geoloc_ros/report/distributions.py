# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The charts of distributions: error CDF, NEES histogram, coverage, recall, latency."""

from __future__ import annotations

import numpy as np

from geoloc_ros.evaluation.metrics import chi2_density, chi2_quantile, coverage
from geoloc_ros.report.run_data import RunData
from geoloc_ros.report.svg import Chart

HALF = 470
LEVELS = np.r_[np.arange(0.05, 0.95, 0.05), 0.95, 0.99]

#: Paul Tol's muted palette; told apart with every common colour vision deficiency.
STAGE_COLOUR = {
    "decode": "#332288",
    "view": "#88CCEE",
    "encode": "#44AA99",
    "search": "#DDCC77",
    "rerank": "#AA4499",
    "filter": "#CC6677",
}


def error_cdf(run: RunData) -> str | None:
    """Share of fixes with at most this error; None without scored fixes."""
    error = np.sort(run.scores.error_m[run.scores.scored])
    error = error[np.isfinite(error)]
    if not len(error):
        return None
    low, high = 0.1, max(10.0, float(error[-1]) * 1.2)
    chart = Chart((low, high), (0.0, 1.0), width=HALF, height=260, log_x=True)
    chart.ticks(y=_percent_ticks())
    share = np.arange(1, len(error) + 1) / len(error)
    rows = np.unique(np.linspace(0, len(error) - 1, 400).astype(int))
    chart.line(np.r_[low, error[rows], high], np.r_[0.0, share[rows], 1.0], "error")
    for q, name in ((50, "median"), (95, "p95")):
        value = float(np.percentile(error, q))
        chart.mark_x(value, "expected")
        chart.text(
            float(chart.x(value)) + 5,
            chart.bottom - 8 - (0 if q == 50 else 16),
            f"{name} {value:.2f} m",
            "expected",
        )
    return chart.render(
        f"Cumulative distribution of the position error: median {np.median(error):.2f} m, "
        f"p95 {np.percentile(error, 95):.2f} m",
        "position error, m (log)",
        "share of fixes",
    )


def nees_histogram(run: RunData) -> str | None:
    """NEES of the fixes against the chi-square density; None without scored fixes."""
    fixed = run.scores.scored
    if not fixed.any():
        return None
    nees = run.scores.nees[fixed]
    dof = int(np.max(run.scores.dof[fixed]))
    last = float(chi2_quantile(0.999, dof))
    edges = np.linspace(0.0, last, 27)
    width = edges[1] - edges[0]
    counts, _ = np.histogram(np.minimum(nees, last - 1e-9), edges)
    density = counts / len(nees) / width
    grid = np.linspace(0.01, last, 160)
    pdf = chi2_density(grid, dof)
    top = 1.12 * max(float(density.max()), float(np.max(pdf[5:])))
    chart = Chart((0.0, last), (0.0, top), width=HALF, height=260)
    for left, value in zip(edges[:-1], density, strict=True):
        title = f"{left:.1f}–{left + width:.1f}: {100 * value * width:.1f} %"
        chart.box(float(left), float(left + width * 0.92), 0.0, float(value), "bar", title)
    chart.line(grid, pdf, "model")
    bound = float(chi2_quantile(0.95, dof))
    chart.mark_x(bound, "expected", f"95 % bound {bound:.2f}")
    beyond = int(np.sum(nees > last))
    return chart.render(
        f"Histogram of NEES against the chi-square density with {dof} degrees of freedom; "
        f"{beyond} values beyond the last bin are counted in it",
        f"NEES ({beyond} beyond {last:.1f} in the last bar)",
        "density",
    )


def coverage_curve(run: RunData) -> str | None:
    """Published confidence level against the share that really lies inside."""
    fixed = run.scores.scored
    if not fixed.any():
        return None
    nees, dof = run.scores.nees[fixed], run.scores.dof[fixed]
    found = [coverage(nees, dof, float(level)) for level in LEVELS]
    chart = Chart((0.0, 1.0), (0.0, 1.0), width=HALF, height=260)
    ticks = _percent_ticks()
    chart.ticks(x=ticks, y=ticks)
    chart.line([0.0, 1.0], [0.0, 1.0], "model")
    chart.line(LEVELS, np.array(found), "error")
    chart.dots(LEVELS, np.array(found), "point", 2.6)
    at95 = coverage(nees, dof)
    label = f"{100 * (at95 or 0.0):.1f} % inside the 95 % region"
    chart.text(chart.right - 8, chart.bottom - 26, label, "strong", "end")
    chart.text(chart.left + 10, chart.top + 14, "above: too cautious", "lane")
    chart.text(chart.right - 8, chart.bottom - 8, "below: overconfident", "lane", "end")
    return chart.render(
        f"Coverage: {label}; the diagonal is perfect", "published confidence", "share inside"
    )


def recall_bars(run: RunData) -> str | None:
    """Recall at 1, 5, 10 of the single-frame retrieval; None when unknown."""
    recall = {k: v for k, v in run.result["recall"].items() if v is not None}
    if not recall:
        return None
    chart = Chart((0.0, float(len(recall))), (0.0, 1.0), width=HALF, height=260)
    chart.ticks(x=[(i + 0.5, f"recall@{k}") for i, k in enumerate(recall)], y=_percent_ticks())
    for i, (k, value) in enumerate(recall.items()):
        chart.box(i + 0.22, i + 0.78, 0.0, value, "bar", f"recall@{k}: {100 * value:.1f} %")
        at = float(chart.y(value))
        inside = value > 0.9
        chart.text(
            float(chart.x(i + 0.5)),
            at + (18 if inside else -6),
            f"{100 * value:.1f} %",
            "inbar" if inside else "strong",
            "middle",
        )
    text = ", ".join(f"recall@{k} {100 * v:.1f} %" for k, v in recall.items())
    label = (
        f"a right place is within {run.hit.recall_radius_m:g} m and {run.hit.recall_yaw_deg:g}°"
    )
    return chart.render(f"Single-frame retrieval: {text}", label)


def latency_bars(run: RunData) -> str | None:
    """Stacked stage times, p50 and p95; None when nothing was timed."""
    stages = {k: v for k, v in run.result["latency_ms"].items() if v["p50"] is not None}
    parts = [name for name in stages if name in STAGE_COLOUR]
    if not parts:
        return None
    sums = {q: sum(stages[name][q] for name in parts) for q in ("p50", "p95")}
    totals = {q: stages.get("total", {}).get(q) for q in ("p50", "p95")}
    top = 1.1 * max(*sums.values(), *(v for v in totals.values() if v is not None))
    chart = Chart((0.0, top), (0.0, 2.0), width=HALF, height=190, margins=(44, 22, 10, 40))
    chart.ticks(y=[(1.5, "p50"), (0.5, "p95")])
    for q, base in (("p50", 1.0), ("p95", 0.0)):
        at = 0.0
        for name in parts:
            value = stages[name][q]
            title = f"{name} {q}: {value:.2f} ms"
            chart.box(at, at + value, base + 0.2, base + 0.8, f"st-{name}", title)
            at += value
        if (total := totals[q]) is not None:
            chart.box(
                total - top / 900,
                total + top / 900,
                base + 0.1,
                base + 0.9,
                "tick",
                f"whole frame {q}: {total:.2f} ms",
            )
    text = ", ".join(f"{name} {stages[name]['p50']:.1f} ms" for name in stages)
    return chart.render(f"Latency by stage, median: {text}", "ms per frame")


def _percent_ticks() -> list[tuple[float, str]]:
    return [(value / 100, f"{value} %") for value in (0, 20, 40, 60, 80, 100)]
