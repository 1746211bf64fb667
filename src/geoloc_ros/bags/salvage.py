# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading what is left of an MCAP file that was cut off (a full disk, a pulled battery).

An MCAP file ends in an index; without it the regular reader refuses. Its records stand one after
the other (mcap.dev/spec), so everything up to the cut can be read in order.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x03, 0x04, 0x05, 0x06


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
        complete: whether the file ended with its closing magic.
    """

    path: Path
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, tuple[str, int]] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    complete: bool = False

    def survey(self) -> None:
        """Read the file once to learn its topics and counts."""
        self.counts.clear()
        for channel, _, _ in self.messages():
            self.counts[channel] += 1

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (channel id, log time ns, data), in log time order within each chunk.

        Ends without an error at the first record that is not whole.
        """
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return
            for code, body in _records(file):
                if code == _CHUNK:
                    inner = io.BytesIO(_chunk_records(body))
                    found = [m for c, b in _records(inner) if (m := self._take(c, b))]
                    yield from sorted(found, key=lambda message: message[1])
                elif (message := self._take(code, body)) is not None:
                    yield message
            file.seek(0, io.SEEK_END)
            if file.tell() >= 2 * len(MAGIC):
                file.seek(-len(MAGIC), io.SEEK_END)
                self.complete = file.read() == MAGIC

    def _take(self, code: int, body: bytes) -> tuple[int, int, bytes] | None:
        """Note a schema or channel, or return a message."""
        if code == _MESSAGE and len(body) >= 22:
            channel, _, log_ns, _ = struct.unpack_from("<HIQQ", body)
            return channel, log_ns, body[22:]
        if code == _SCHEMA:
            (number,) = struct.unpack_from("<H", body)
            name, at = _text(body, 2)
            encoding, at = _text(body, at)
            self.schemas[number] = Schema(name, encoding, _text(body, at)[0])
        elif code == _CHANNEL:
            number, schema = struct.unpack_from("<HH", body)
            self.channels[number] = (_text(body, 4)[0], schema)
        return None


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    while len(head := file.read(9)) == 9:
        code, size = struct.unpack("<BQ", head)
        at = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(at)
        if size > end - at:
            return
        yield code, file.read(size)


def _chunk_records(body: bytes) -> bytes:
    """Decompressed records of a chunk, nothing if it is damaged."""
    try:
        (size,) = struct.unpack_from("<Q", body, 16)
        compression, at = _text(body, 28)
        (packed,) = struct.unpack_from("<Q", body, at)
        data = body[at + 8 : at + 8 + packed]
        return _decompress(data, compression, size)
    except (struct.error, UnicodeDecodeError, ValueError, RuntimeError, EOFError):
        return b""


def _decompress(data: bytes, compression: str, size: int) -> bytes:
    from rosbags.rosbag2.storage_mcap import DECOMPRESSORS

    try:
        return bytes(DECOMPRESSORS[compression](data, size))
    except Exception as error:  # noqa: BLE001 - each codec library has its own error type
        raise ValueError(f"chunk cannot be decompressed: {error}") from None


def _text(body: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<I", body, at)
    end = at + 4 + size
    if end > len(body):
        raise ValueError("text runs beyond its record")
    return body[at + 4 : end].decode(), end
