# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is missing or wrong in a data set's folder, gathered first and told all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from geoloc_ros.errors import DatasetError, shown

EXAMPLES = 3


@dataclass
class Findings:
    """What a reader found wrong so far.

    Attributes:
        dataset: name of the data set.
        root: its folder.
        notes: what was left out on purpose, one line each; printed, never an error.
    """

    dataset: str
    root: Path
    notes: list[str] = field(default_factory=list)
    _wrong: dict[str, list[str]] = field(default_factory=dict)
    _listed: dict[Path, frozenset[str]] = field(default_factory=dict)

    def add(self, what: str, example: object) -> None:
        """Note one case of something wrong.

        Args:
            what: the kind of thing, in the plural: it stands behind a number.
            example: this case: an expected path, a line of a list.
        """
        self._wrong.setdefault(what, []).append(str(example))

    def has(self, path: Path) -> bool:
        """Whether a file or folder exists; a folder is listed once, however many are asked for."""
        parent = path.parent
        if parent not in self._listed:
            try:
                self._listed[parent] = frozenset(child.name for child in parent.iterdir())
            except OSError:
                self._listed[parent] = frozenset()
        return path.name in self._listed[parent]

    def need(self, what: str, paths: Iterable[Path]) -> None:
        """Note every path that does not exist."""
        for path in paths:
            if not self.has(path):
                self.add(what, self.relative(path))

    def relative(self, path: Path) -> str:
        """A path as messages name it: inside the data set's folder."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def stop_if_any(self) -> None:
        """End here if something is wrong.

        Raises:
            DatasetError: says every kind of it, how many cases, and the first of them.
        """
        if not self._wrong:
            return
        lines = [f"{self.dataset} in {self.root} cannot be used:"]
        for what, cases in self._wrong.items():
            first = ", ".join(cases[:EXAMPLES]) + (", ..." if len(cases) > EXAMPLES else "")
            lines.append(f"  {len(cases)} {what}: {first}")
        lines.append("  the layout it must have is in docs/datasets.md; --layout prints it")
        raise DatasetError("\n".join(lines))


def read_lines(path: Path, found: Findings) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a list that is not empty; a missing list is noted.

    Raises:
        DatasetError: the list cannot be read or is no text.
    """
    if not found.has(path):
        found.add("lists missing, expected", found.relative(path))
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the list {path}: {error}; unpack it again") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def bad_line(path: Path, number: int, line: str, found: Findings, wanted: str) -> None:
    """Note a line of a list that is not what it should be."""
    found.add(f"lines of {found.relative(path)} are not '{wanted}'", f"{number}: {shown(line)}")


def number(text: str) -> float | None:
    """A finite number from a list, None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
