# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc config`: print the configuration tree."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc_ros import config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("config", help="print or check the configuration")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    dump = verbs.add_parser("dump", help="print every parameter with its default, unit and bounds")
    dump.set_defaults(run=_dump)
    check = verbs.add_parser(
        "check", help="check a YAML file: unknown keys and bad values are errors"
    )
    check.add_argument("file", type=Path)
    check.set_defaults(run=_check)


def _dump(_: argparse.Namespace) -> int:
    print(config.dump(), end="")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    loaded = config.load(arguments.file)
    print(f"{arguments.file} is sound; sha256 {config.sha256(loaded)[:12]}")
    return 0
