# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How often the intervals of `geoloc eval compare` hold the true difference, on made errors.

    python bench/compare_intervals.py --json docs/results/compare_intervals.json

Two runs of one drive are made over and over: logarithms of their errors are Gaussian, correlated
along the way (exponentially, with a length that is set), half of their variance is shared because
both drive through the same places, and the second run's errors are larger by a known factor. So
the true differences of median and p95 are known, and a nominal interval of 95 % should hold them
in 95 % of the drives.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scoring import write_json
from tqdm import tqdm

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.bootstrap import MIN_BLOCKS, Resampling, blocks_along, bootstrap

CORRELATION_M = (10.0, 20.0)
DRIVES_M = (1500.0, 5000.0)
BLOCKS_M = (1.0, 25.0, 50.0, 100.0)
STEP_M = 1.0
SIGMA = 0.7
FACTOR = 1.2
Z_95 = 1.6448536269514722


def main() -> int:
    """Make drives, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drives", type=int, default=200, help="of each kind (%(default)s)")
    parser.add_argument("--resamples", type=int, default=200, help="of each drive (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    rows = []
    kinds = itertools.product(CORRELATION_M, DRIVES_M, BLOCKS_M)
    for correlation_m, drive_m, block_m in kinds:
        if drive_m / block_m >= MIN_BLOCKS:
            shares = held(correlation_m, drive_m, block_m, arguments.drives, arguments.resamples)
            row = {"correlation_m": correlation_m, "drive_m": drive_m, "block_m": block_m}
            rows.append({**row, "median": shares[0], "p95": shares[1]})
            print(rows[-1], flush=True)
    if arguments.json:
        content: dict[str, Any] = {"drives": arguments.drives, "resamples": arguments.resamples}
        write_json(arguments.json, {**content, "level": Resampling().level, "rows": rows})
    return 0


def held(
    correlation_m: float, drive_m: float, block_m: float, drives: int, resamples: int
) -> tuple[float, float]:
    """Share of drives whose intervals hold the true difference of the medians, and of the p95."""
    true = (FACTOR - 1.0) * np.exp(np.array([0.0, Z_95 * SIGMA]))
    blocks = blocks_along(np.arange(0.0, drive_m, STEP_M), block_m)
    hits = np.zeros(2)
    for seed in tqdm(range(drives), f"{correlation_m:g}/{drive_m:g}/{block_m:g}", leave=False):
        first, second = errors(correlation_m, round(drive_m / STEP_M), seed)
        found = bootstrap(
            lambda rows, a=first, b=second: (
                np.percentile(b[rows], (50, 95)) - np.percentile(a[rows], (50, 95))
            ),
            blocks,
            Resampling(block_m=block_m, resamples=resamples, seed=seed),
        )
        hits += (found.low <= true) & (true <= found.high)
    return float(hits[0] / drives), float(hits[1] / drives)


def errors(correlation_m: float, count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Errors (N,), m, of two runs of one drive, one pose every `STEP_M`."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-STEP_M / correlation_m)
    noise = rng.standard_normal((3, count)) * np.sqrt(1.0 - keep**2)
    noise[:, 0] /= np.sqrt(1.0 - keep**2)
    place, first, second = SIGMA * np.sqrt(0.5) * lfilter([1.0], [1.0, -keep], noise, axis=1)
    return np.exp(place + first), FACTOR * np.exp(place + second)


if __name__ == "__main__":
    sys.exit(main())
