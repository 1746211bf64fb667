# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading a recording that may be damaged: what can be read is used, and what cannot is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from geoloc_ros.bags.reader import Record
from geoloc_ros.errors import BagError, first_line


class Damage:
    """What was wrong with a recording, as far as it has been read."""

    def __init__(self) -> None:
        self._end = ""
        self._malformed: Counter[str] = Counter()

    def until(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records up to where the recording is damaged."""
        try:
            yield from records
        except BagError as error:
            self._end = first_line(error)

    def malformed(self, topic: str) -> None:
        """Count a message that is left out because it is not what its topic promises."""
        self._malformed[topic] += 1

    def lines(self) -> list[str]:
        """What is wrong, a line each; none if nothing is."""
        found = [f"{self._end}; what lies behind is not used"] if self._end else []
        return found + [
            f"{count} malformed messages of {topic} are left out"
            for topic, count in self._malformed.items()
        ]
