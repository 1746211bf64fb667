# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several runs of one drive side by side, and which of their differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.bootstrap import (
    MIN_BLOCKS,
    Interval,
    Resampling,
    Rows,
    blocks_along,
    bootstrap,
)
from geoloc_ros.evaluation.columns import BoolArray
from geoloc_ros.evaluation.metrics import CONFIDENT_SIGMA, chi2_quantile
from geoloc_ros.evaluation.paired_runs import PairedRuns
from geoloc_ros.evaluation.result import result_from

CEILING = 1e9
"""An error that is not finite counts as this: the run claimed a fix, and gave no place."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that runs are compared by.

    Attributes:
        group: key in `result.json`.
        key: key within it, empty if there is none.
        name: for people.
        unit: of the figure; '%' means a share.
        good: -1 where less is better, 1 where more is, 0 where neither is.
    """

    group: str
    key: str
    name: str
    unit: str
    good: int


#: no root mean square: where a few frames are far off it is theirs, and no draw says how likely
#: such frames are
FIGURES = (
    Figure("availability", "", "frames LOCALISED", "%", 1),
    Figure("position_error_m", "median", "position error, median", "m", -1),
    Figure("position_error_m", "p95", "position error, p95", "m", -1),
    Figure("yaw_error_deg", "median", "yaw error, median", "deg", -1),
    Figure("yaw_error_deg", "p95", "yaw error, p95", "deg", -1),
    Figure("confidently_wrong", "", "confidently wrong", "%", -1),
    Figure("coverage_95", "", "coverage of the 95 % region", "%", 0),
)


def compare(pairs: PairedRuns, how: Resampling) -> dict[str, Any]:
    """Figures of the runs over the frames they share, and differences from the first run.

    Errors of two runs are compared over the frames at which both are LOCALISED and truth is
    known: a run that is silent where it is hard must not look better for it. Availability, here
    the share of the common frames that are LOCALISED, says what it was silent about.

    Args:
        pairs: the runs.
        how: settings of the bootstrap.

    Returns:
        `baseline`, `runs` (name -> `result`, what `result.json` holds), `differences` (name ->
        `frames`, and for every figure `baseline`, `value`, `difference`, `low`, `high`,
        `verdict`), `frames` (`common`), `blocks`, `notes`. A verdict is `better`, `worse` or
        `changed` (where neither is better) if zero lies outside the interval, `open` if it lies
        within, `equal` if every draw is zero, None where there is no interval.

    Raises:
        ReplayOutputError: a file of a run is damaged.
    """
    blocks = blocks_along(pairs.distance_m, how.block_m)
    notes = [*pairs.notes, *few_blocks(len(blocks), how)]
    baseline = pairs.runs[0]
    others = range(1, len(pairs.runs))
    return {
        "baseline": baseline.name,
        "runs": {
            run.name: {"out": str(run.out), "result": result_from(run.out)} for run in pairs.runs
        },
        "differences": {
            pairs.runs[other].name: _differences(pairs, other, blocks, how) for other in others
        },
        "frames": {"common": len(pairs)},
        "blocks": blocks_record(len(blocks), how),
        "notes": notes,
    }


def difference_rows(difference: Mapping[str, Any]) -> list[tuple[Figure, Mapping[str, Any]]]:
    """Every figure that two runs were compared by, with what was found."""
    rows = []
    for figure in FIGURES:
        found = difference.get(figure.group)
        if found is not None:
            rows.append((figure, found[figure.key] if figure.key else found))
    return rows


def put_differences(
    figures: Sequence[Figure], first: FloatArray, second: FloatArray, found: Interval
) -> dict[str, Any]:
    """Figures of two runs with their difference, nested as in `result.json`.

    Args:
        figures: which (M,).
        first: (M,) those of the run others are compared with.
        second: (M,) those of the other.
        found: the differences.
    """
    difference: dict[str, Any] = {}
    for place, figure in enumerate(figures):
        entry = {
            "baseline": _known(first[place]),
            "value": _known(second[place]),
            **_interval(found, place, figure.good),
        }
        if figure.key:
            difference.setdefault(figure.group, {})[figure.key] = entry
        else:
            difference[figure.group] = entry
    return difference


def blocks_record(count: int, how: Resampling) -> dict[str, Any]:
    """What intervals are made of, as it is written down."""
    return {
        "count": count,
        "length_m": how.block_m,
        "resamples": how.resamples,
        "level": how.level,
        "seed": how.seed,
    }


def few_blocks(count: int, how: Resampling) -> list[str]:
    """A note if there are too few blocks for intervals."""
    if count >= MIN_BLOCKS:
        return []
    return [
        f"no intervals: there are {count} blocks of {how.block_m:g} m, and {MIN_BLOCKS} are "
        "needed; choose shorter blocks with --block"
    ]


def _differences(
    pairs: PairedRuns, other: int, blocks: list[Rows], how: Resampling
) -> dict[str, Any]:
    """Figures of one run minus those of the first, each with its interval."""
    both = pairs.scored(0) & pairs.scored(other)
    mine, theirs = (_Columns.of(pairs, run, both) for run in (0, other))
    first, second = mine.figures(np.arange(len(pairs))), theirs.figures(np.arange(len(pairs)))
    name = pairs.runs[other].name
    found = bootstrap(lambda rows: theirs.figures(rows) - mine.figures(rows), blocks, how, name)
    return {"frames": int(both.sum()), **put_differences(FIGURES, first, second, found)}


def _interval(found: Interval, place: int, good: int) -> dict[str, Any]:
    value, low, high = (float(column[place]) for column in (found.value, found.low, found.high))
    verdict: str | None = None
    if np.isfinite([low, high]).all():
        verdict = "equal" if low == high == value == 0.0 else "open"
        if low > 0.0 or high < 0.0:
            verdict = "changed" if good == 0 else "better" if good * value > 0.0 else "worse"
    known = {"difference": _known(value), "low": _known(low), "high": _known(high)}
    return {**known, "verdict": verdict}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the figures of one run are taken of, at the common frames, all (N,).

    Attributes:
        localised: whether it is LOCALISED.
        both: whether it and the run it is compared with are, with truth.
        error_m: position error.
        yaw_deg: heading error, NaN without heading.
        wrong: further off than `CONFIDENT_SIGMA` sigmas.
        covered: within the 95 % region.
    """

    localised: BoolArray
    both: BoolArray
    error_m: FloatArray
    yaw_deg: FloatArray
    wrong: BoolArray
    covered: BoolArray

    @classmethod
    def of(cls, pairs: PairedRuns, run: int, both: BoolArray) -> _Columns:
        scores, rows = pairs.runs[run].scores, pairs.rows[run]
        return cls(
            localised=pairs.localised(run),
            both=both,
            error_m=np.minimum(scores.error_m[rows], CEILING),
            yaw_deg=scores.yaw_error_deg[rows],
            wrong=np.asarray(scores.distance_sigma[rows] > CONFIDENT_SIGMA),
            covered=np.asarray(scores.nees[rows] <= chi2_quantile(0.95, scores.dof[rows])),
        )

    def figures(self, rows: Rows) -> FloatArray:
        """The `FIGURES` (M,) of some of the frames, NaN where they give none."""
        kept = rows[self.both[rows]]
        error, yaw = self.error_m[kept], self.yaw_deg[kept]
        yaw = yaw[np.isfinite(yaw)]
        nan = np.nan
        return np.array(
            [
                self.localised[rows].mean(),
                *(np.percentile(error, (50, 95)) if len(error) else (nan, nan)),
                *(np.percentile(yaw, (50, 95)) if len(yaw) else (nan, nan)),
                self.wrong[kept].mean() if len(kept) else nan,
                self.covered[kept].mean() if len(kept) else nan,
            ]
        )
