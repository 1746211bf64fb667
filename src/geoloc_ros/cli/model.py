# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc model`: bring encoders in, say what they are, make them fast."""

from __future__ import annotations

import argparse
import importlib

#: modules of this folder that add verbs, in the order of the help text
VERBS = ("model_import", "model_info", "model_bench", "model_engines")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser; every module of `VERBS` adds its own verbs."""
    parser = subparsers.add_parser(
        "model", help="import encoders, say what a model package is, make it fast on this machine"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        importlib.import_module(f"geoloc_ros.cli.{name}").add_parser(verbs)
