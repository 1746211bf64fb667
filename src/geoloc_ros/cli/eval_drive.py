# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval drive`: recompute result.json from the cached estimates of replays."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from geoloc_ros.cli.requirements import EXIT_STATUS, add_require, enforce, requirements
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.result import table_rows, write_result
from geoloc_ros.evaluation.score import Scores, score
from geoloc_ros.evaluation.side_by_side import figures_table, run_names


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `geoloc eval`."""
    parser = verbs.add_parser(
        "drive",
        help="recompute result.json from the cached estimates of replays",
        description="Score the cached estimates of replay output directories against their truth, "
        "write result.json in each and print a table, side by side where there are several. "
        f"Nothing is localized again. {EXIT_STATUS}",
        epilog="'geoloc eval compare' says whether the differences of several runs are real.",
    )
    parser.add_argument(
        "out", type=Path, nargs="+", metavar="OUT", help="directory 'geoloc replay' wrote"
    )
    parser.add_argument(
        "--json", action="store_true", help="print result.json, not the table; a list of several"
    )
    add_require(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score, write, print."""
    gates, names = requirements(args), run_names(args.out)
    results = [write_result(out) for out in args.out]
    if args.json:
        print(json.dumps(results if len(results) > 1 else results[0], indent=2))
    else:
        print(figures_table([table_rows(result) for result in results], names))
    status = 0
    for out, name, result in zip(args.out, names, results, strict=True):
        name = name if len(results) > 1 else ""
        scores = score(tables.read_estimates(out), tables.read_truth(out))
        why = _unknown(out, scores)
        note = why if not scores.scored.any() else _left_out(scores)
        if note and not args.json:
            print(f"\n{name}{': ' if name else ''}{note}")
        status |= enforce(gates, result, unknown=why, name=name, json_on_stdout=args.json)
    return status


def _unknown(out: Path, scores: Scores) -> str:
    """Why a figure of this run may be null."""
    if scores.scored.any():
        return "the run did not record what it takes"
    if not (out / "truth.parquet").exists():
        return "the run has no truth; replay with --truth TOPIC"
    localised = tables.read_estimates(out).localised.any()
    what = "no LOCALISED frame could be compared with truth"
    return what if localised else "no frame is LOCALISED"


def _left_out(scores: Scores) -> str:
    if not scores.without_truth:
        return ""
    return f"{scores.without_truth} LOCALISED frames have no truth and are not scored"
