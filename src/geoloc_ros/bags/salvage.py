# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading what is left of MCAP files that were cut off or damaged (a full disk, a pulled battery).

An MCAP file ends in an index; without it the regular reader refuses. Its records stand one after
the other, so everything up to the damage can be read in order.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoloc_ros.bags import mcap


@dataclass(frozen=True)
class Schema:
    """A message type with its definition."""

    name: str
    encoding: str
    text: str


@dataclass
class McapScan:
    """Sequential reading of an MCAP file, complete or not.

    Attributes:
        path: the file.
        schemas: message types by id.
        channels: (topic, schema id) by id.
        counts: messages per channel id.
        end: where reading ended and why, empty if it was the end of the data.
    """

    path: Path
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, tuple[str, int]] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    end: str = ""

    def survey(self) -> None:
        """Read the file once to learn its topics and counts."""
        self.counts.clear()
        with suppress(OSError, struct.error, ValueError):
            for channel, _, _ in self.messages():
                self.counts[channel] += 1

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (channel id, log time ns, data), in log time order within each chunk.

        Ends at the first record that is not whole or not sound, and says so in `end`.
        """
        with self.path.open("rb") as file:
            if file.read(len(mcap.MAGIC)) != mcap.MAGIC:
                self.end = f"{self.path.name} does not begin like an MCAP file"
                return
            self.end = f"{self.path.name} ends at byte {file.tell()}"
            for at, code, body in mcap.records(file):
                if code == mcap.DATA_END:
                    self.end = ""
                    return
                self.end = f"{self.path.name} ends at byte {file.tell()}"
                if code == mcap.CHUNK:
                    try:
                        inner = io.BytesIO(mcap.chunk_records(body))
                    except ValueError as error:
                        self.end = f"the chunk at byte {at} of {self.path.name} {error}"
                        return
                    found = [m for _, c, b in mcap.records(inner) if (m := self._take(c, b))]
                    yield from sorted(found, key=lambda message: message[1])
                elif (message := self._take(code, body)) is not None:
                    yield message

    def _take(self, code: int, body: bytes) -> tuple[int, int, bytes] | None:
        """Note a schema or channel, or return a message."""
        if code == mcap.MESSAGE and len(body) >= 22:
            channel, _, log_ns, _ = struct.unpack_from("<HIQQ", body)
            return channel, log_ns, body[22:]
        if code == mcap.SCHEMA:
            (number,) = struct.unpack_from("<H", body)
            name, at = mcap.text(body, 2)
            encoding, at = mcap.text(body, at)
            self.schemas[number] = Schema(name, encoding, mcap.text(body, at)[0])
        elif code == mcap.CHANNEL:
            number, schema = struct.unpack_from("<HH", body)
            self.channels[number] = (mcap.text(body, 4)[0], schema)
        return None


class Salvage:
    """What can be read of the MCAP files of one recording, in their order.

    Args:
        paths: the files; nothing after the first damage is read.

    Attributes:
        end: where reading ended and why, empty if all files were read to their end.

    Raises:
        Exception: rosbags refuses the message definitions; it raises many kinds.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.end = ""
        self._scans: list[tuple[McapScan, Any]] = []
        for path in paths:
            scan = McapScan(path)
            scan.survey()
            if scan.counts:
                self._scans.append((scan, _typestore(scan)))
            self.end = scan.end
            if scan.end:
                break

    def counts(self) -> Counter[tuple[str, str]]:
        """Messages per (topic, message type)."""
        total: Counter[tuple[str, str]] = Counter()
        for scan, _ in self._scans:
            for number, (name, schema) in scan.channels.items():
                if schema in scan.schemas:
                    total[name, scan.schemas[schema].name] += scan.counts[number]
        return total

    def messages(self, topics: Sequence[str]) -> Iterator[tuple[int, str, Any]]:
        """Yield (log time ns, topic, message) of some topics, or of all if none is named."""
        for scan, store in self._scans:
            for number, log_ns, data in scan.messages():
                name, schema = scan.channels.get(number, ("", -1))
                if schema in scan.schemas and (not topics or name in topics):
                    yield log_ns, name, store.deserialize_cdr(data, scan.schemas[schema].name)


def _typestore(scan: McapScan) -> Any:  # noqa: ANN401 - rosbags Typestore
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    types: dict[str, Any] = {}
    for schema in scan.schemas.values():
        if schema.encoding == "ros2msg":
            types.update(get_types_from_msg(schema.text, schema.name))
        else:
            types.update(get_types_from_idl(schema.text))
    store.register(types)
    return store
