# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several runs in one table: short names for them, aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoloc_ros.errors import ConfigError
from geoloc_ros.evaluation.result import value_text

Rows = Sequence[tuple[str, Any, str]]

LONGEST_CELL = 32


def run_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders (or files, or topics) apart.

    Raises:
        ConfigError: one folder is given twice.
    """
    parts = [folder.resolve().parts for folder in folders]
    twice = next((a for i, a in enumerate(parts) if a in parts[:i]), None)
    if twice is not None:
        raise ConfigError(f"{Path(*twice)} is given twice; give each once")
    for length in range(1, max((len(p) for p in parts), default=0) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return []


def figures_table(columns: Sequence[Rows], names: Sequence[str]) -> str:
    """One column for each run, one line for each figure that any of them has.

    Args:
        columns: (name, value, unit) of every figure of each run; unit '%' means a share.
        names: a heading for each run; one run needs none.
    """
    texts = [{name: value_text(value, unit) for name, value, unit in rows} for rows in columns]
    figures = list(dict.fromkeys(name for column in texts for name in column))
    rows = [[name, *(column.get(name, "-") for column in texts)] for name in figures]
    return text_table(["", *names], rows) if len(columns) > 1 else text_table(rows[0], rows[1:])


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned text; of several columns of values, long ones keep their beginnings."""
    every = [list(row) for row in (head, *rows)]
    if len(head) > 2:
        every = [[row[0], *(_short(cell) for cell in row[1:])] for row in every]
    widths = [max(len(cell) for cell in column) for column in zip(*every, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )


def _short(cell: str) -> str:
    return cell if len(cell) <= LONGEST_CELL else cell[: LONGEST_CELL - 1] + "…"
