# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Asking a person before much is done."""

from __future__ import annotations

import sys

from geoloc_ros.errors import ConfigError


def confirm(question: str) -> None:
    """Go on only if a person says yes.

    Args:
        question: without question mark.

    Raises:
        ConfigError: the answer is no, or nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{question}? nobody can be asked; add --yes if that is right")
    sys.stdout.flush()
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was fetched")
