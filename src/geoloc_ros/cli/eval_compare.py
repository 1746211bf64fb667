# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval compare`: which differences of several runs of one drive are more than chance."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoloc_ros.cli.bootstrap_options import add_bootstrap, resampling
from geoloc_ros.cli.requirements import (
    EXIT_STATUS,
    add_require,
    check_imagery,
    enforce,
    requirements,
)
from geoloc_ros.evaluation.compare import compare
from geoloc_ros.evaluation.paired_runs import pair_runs, read_runs

_DESCRIPTION = f"""\
Compare replays of one drive, from their cached estimates. The first is the one the others are
compared with. Frames are paired by their stamps; errors are compared where both runs are
LOCALISED. Each difference comes with an interval, from a bootstrap over blocks of the way.
{EXIT_STATUS}
"""
_EXAMPLES = """\
examples:
  geoloc eval compare out/before out/after --out out/compared --imagery town.tif
  geoloc eval compare out/before out/after \\
      --require 'differences.after.position_error_m.median.high<=0.1'
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `geoloc eval`."""
    parser = verbs.add_parser(
        "compare",
        help="compare replays of one drive: what differs, and whether that may be chance",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="OUT", help="directories 'geoloc replay' wrote"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for compare.html, compare.png and compare.json"
    )
    parser.add_argument("--imagery", type=Path, help="GeoTIFF for the map on the page")
    add_bootstrap(parser)
    parser.add_argument("--json", action="store_true", help="print compare.json, not the table")
    add_require(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, print, and write the page."""
    gates = requirements(args)
    check_imagery(args.imagery)
    how = resampling(args)
    pairs = pair_runs(read_runs(args.runs))
    content = compare(pairs, how)
    if args.json:
        print(json.dumps(content, indent=2))
    else:
        _print(content)
    if args.out is not None:
        from geoloc_ros.report.compare_page import write_comparison

        page = write_comparison(args.out, pairs, content, args.imagery)
        if not args.json:
            print(f"\npage: {page}")
    return enforce(
        gates,
        content,
        unknown="the runs do not hold it, or there are too few blocks for an interval",
        json_on_stdout=args.json,
    )


def _print(content: Mapping[str, Any]) -> None:
    from geoloc_ros.report.difference_text import blocks_line, difference_lines

    baseline = content["baseline"]
    for name, difference in content["differences"].items():
        print(
            f"{name} against {baseline}: {content['frames']['common']} common frames, "
            f"{difference['frames']} LOCALISED in both"
        )
        print(difference_lines(name, baseline, content) + "\n")
    print(blocks_line(content))
    for note in content["notes"]:
        print(f"note: {note}")
