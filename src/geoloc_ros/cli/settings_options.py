# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Options that configure, for every verb that reads the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that configure."""
    parser.add_argument("--config", type=Path, help="YAML file; see 'geoloc config dump'")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GROUP.NAME=VALUE",
        help="override one parameter; repeatable",
    )
