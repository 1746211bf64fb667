# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs of `geoloc eval` share: `--require`, results a program can gate on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geoloc_ros.errors import ImageryError
from geoloc_ros.evaluation.gates import OPERATORS, Gate, judge, parse_gate, verdict_lines

STATUS_NOT_MET = 1
"""Exit status of a command whose result does not meet what was required."""

EXIT_STATUS = (
    f"Exit status: 0 scored and every --require met, {STATUS_NOT_MET} one not met, 2 an error."
)


def add_require(parser: argparse.ArgumentParser) -> None:
    """Add `--require` to a verb; `args.require` is a list of texts."""
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="KEY<=LIMIT",
        help="fail unless this figure of the result keeps this limit, e.g. "
        f"'position_error_m.median<=2'; operators {' '.join(OPERATORS)}; null keeps none; "
        "repeatable",
    )


def requirements(args: argparse.Namespace) -> list[Gate]:
    """Read the requirements; call it first, so that a misspelt one costs no scoring.

    Raises:
        ConfigError: one has another form.
    """
    return [parse_gate(text) for text in args.require]


def check_imagery(path: Path | None) -> None:
    """See that imagery for a page is there, before anything is scored.

    Raises:
        ImageryError: there is no such file.
    """
    if path is not None and not path.is_file():
        raise ImageryError(f"there is no file {path}, which the page was to show")


def enforce(
    gates: Sequence[Gate],
    result: Mapping[str, Any],
    *,
    unknown: str = "it is not known",
    name: str = "",
    json_on_stdout: bool = False,
) -> int:
    """Print every requirement with its figure; failed ones also on standard error.

    Args:
        gates: the requirements.
        result: nested mappings of figures.
        unknown: why a figure may be null here.
        name: what the result is of, where there are several.
        json_on_stdout: print everything on standard error, lest it mix with JSON.

    Returns:
        The exit status, 0 or `STATUS_NOT_MET`.

    Raises:
        ConfigError: a key that the result does not have.
    """
    verdicts = judge(gates, result, unknown)
    if not verdicts:
        return 0
    head = f"requirements of {name}:" if name else "requirements:"
    lines = [head, *(f"  {line}" for line in verdict_lines(verdicts))]
    print("\n" + "\n".join(lines), file=sys.stderr if json_on_stdout else sys.stdout)
    failed = [verdict for verdict in verdicts if not verdict.met]
    sys.stdout.flush()
    for verdict in failed:
        of = f" of {name}" if name else ""
        print(f"geoloc: {verdict.gate}{of} is not met: {verdict.reason}", file=sys.stderr)
    return STATUS_NOT_MET if failed else 0
