# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval`: score what was cached; every verb has a module `eval_VERB` beside this one."""

from __future__ import annotations

import argparse
from typing import NoReturn

from geoloc_ros.cli import eval_compare, eval_drive, eval_retrieval, eval_trajectory


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "eval",
        help="score cached results: drives, trajectories, retrieval",
        description="Score results from the files they were cached in; nothing is computed again "
        "that a drive or an encoder computed.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    eval_drive.add_parser(verbs)
    eval_compare.add_parser(verbs)
    eval_trajectory.add_parser(verbs)
    eval_retrieval.add_parser(verbs)
    _explain_old_form(parser)


def _explain_old_form(parser: argparse.ArgumentParser) -> None:
    """Tell who wrote `geoloc eval OUT`, as it once was, what it is called now."""

    def error(message: str) -> NoReturn:
        argparse.ArgumentParser.error(
            parser, f"{message}; a replay in OUT is scored by 'geoloc eval drive OUT'"
        )

    parser.error = error  # type: ignore[method-assign]
