# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The figures at the head of the page, each with one line of judgement."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.evaluation.result import value_text
from geoloc_ros.report.run_data import RunData

COVERAGE_RANGE = (0.90, 0.99)
CONFIDENTLY_WRONG_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure.

    Attributes:
        name: what it is.
        value: the number as text.
        unit: its unit.
        hint: one line of judgement or context.
        tone: `good`, `bad` or nothing.
    """

    name: str
    value: str
    unit: str
    hint: str
    tone: str = ""


def headline(run: RunData) -> list[Kpi]:
    """The figures, in order; those that need truth only where there is truth."""
    result = run.result
    kpis = [
        _kpi("availability", result["availability"], "%", "frames LOCALISED after the first fix"),
        _kpi("first fix after", result["time_to_first_fix_s"], "s", _never(run)),
    ]
    if run.scores.scored.any():
        error, yaw = result["position_error_m"], result["yaw_error_deg"]
        p95, yaw95 = value_text(error["p95"], "m"), value_text(yaw["p95"], "°")
        kpis.append(_kpi("position error, median", error["median"], "m", f"p95 {p95}"))
        if yaw["median"] is not None:
            kpis.append(_kpi("yaw error, median", yaw["median"], "°", f"p95 {yaw95}"))
        kpis += [_wrong(result["confidently_wrong"]), _coverage(result["coverage_95"])]
    if result["recall"]["1"] is not None:
        at10 = value_text(result["recall"]["10"], "%")
        kpis.append(_kpi("recall@1", result["recall"]["1"], "%", f"recall@10 {at10}"))
    if result["realtime_factor"] is not None:
        kpis.append(
            _kpi(
                "speed",
                result["realtime_factor"],
                "×",
                "of real time, on the machine that replayed",
            )
        )
    return kpis


def _kpi(name: str, value: float | None, unit: str, hint: str, tone: str = "") -> Kpi:
    text = value_text(value, unit).removesuffix(unit).strip()
    return Kpi(name, text, unit if value is not None else "", hint, tone)


def _never(run: RunData) -> str:
    fixed = run.estimates.localised.any()
    return "from the first frame" if fixed else "never LOCALISED"


def _wrong(share: float) -> Kpi:
    ok = share <= CONFIDENTLY_WRONG_LIMIT
    hint = "fixes beyond 3 sigma; limit 1 %"
    return Kpi("confidently wrong", f"{100 * share:.2f}", "%", hint, "good" if ok else "bad")


def _coverage(share: float) -> Kpi:
    low, high = COVERAGE_RANGE
    if share < low:
        return _kpi("95 % coverage", share, "%", "overconfident: covariance too small", "bad")
    if share > high:
        return _kpi("95 % coverage", share, "%", "cautious: covariance too large", "")
    return _kpi("95 % coverage", share, "%", "the covariance means what it says", "good")
