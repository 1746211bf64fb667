# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval drive`: recompute result.json from the cached estimates of replays."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.result import format_table, write_result
from geoloc_ros.evaluation.score import score


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `geoloc eval`."""
    parser = verbs.add_parser(
        "drive",
        help="recompute result.json from the cached estimates of a replay",
        description="Score the cached estimates of a replay output directory against its truth, "
        "write result.json there and print the table. Nothing is localized again.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="directory 'geoloc replay' wrote")
    parser.add_argument("--json", action="store_true", help="print result.json, not the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score, write, print."""
    result = write_result(args.out)
    if args.json:
        print(json.dumps(result, indent=2))
        return 0
    print(format_table(result))
    scores = score(tables.read_estimates(args.out), tables.read_truth(args.out))
    if not scores.scored.any():
        print("\nno LOCALISED frame could be compared with truth")
    elif scores.without_truth:
        print(f"\n{scores.without_truth} LOCALISED frames have no truth and are not scored")
    return 0
