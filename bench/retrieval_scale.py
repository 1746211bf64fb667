#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of searching a data set of the size of VIGOR: all queries, all references.

The similarity matrix of 90 618 x 90 618 single-precision numbers would take 33 GB.

    python bench/retrieval_scale.py --json docs/results/retrieval_scale.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from scoring import write_json
from tqdm import tqdm

from geoloc_ros.evaluation.retrieval import Truth, search
from geoloc_ros.evaluation.retrieval_metrics import recall_at
from geoloc_ros.process_memory import peak_rss_mb
from geoloc_ros.training.datasets.base import Related


def main() -> int:
    """Search made descriptors of which the recall is known about, print figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=90_618, help="queries, and references")
    parser.add_argument("--dim", type=int, default=128, help="of a descriptor")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(args.count, args.dim)).astype(np.float32)
    noise = rng.normal(size=reference.shape).astype(np.float32)
    query = reference + 2.0 * noise
    for descriptors in (query, reference):
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    truth = Truth(
        Related([row] for row in range(args.count)), Related([] for _ in range(args.count)), {}
    )
    before_mb = peak_rss_mb()
    begin, cpu = time.monotonic(), time.process_time()
    with tqdm(total=args.count, unit="query") as bar:
        found = search(query, reference, truth, tell=bar.update)
    figures = {
        "count": args.count,
        "dim": args.dim,
        "wall_s": time.monotonic() - begin,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": peak_rss_mb(),
        "peak_before_mb": before_mb,
        "recall_at_1": recall_at(found.rank, 1),
    }
    print(json.dumps(figures, indent=1))
    if args.json:
        write_json(args.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
