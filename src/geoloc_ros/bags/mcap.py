# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The records of an MCAP file and its checksums (mcap.dev/spec).

A chunk may carry the CRC-32 of its records, the summary (the file's index) and the data section
one of theirs; zero means that there is none, and then nobody can tell a flipped bit. `BagWriter`
writes the first two, as the MCAP library of ROS does unless told otherwise. The last is looked at
only where messages lie outside chunks that carry one, because it needs the whole file and does not
tell where the damage is.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_HEAD, _FOOTER = struct.Struct("<BQ"), struct.Struct("<BQQQI")
_CHUNK_CRC_AT = _HEAD.size + 24
_BLOCK = 1 << 20


def records(file: BinaryIO, limit: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Yield (offset, opcode, body) of each whole record from where the file stands.

    Args:
        file: can be repositioned by the caller between records.
        limit: bytes of a body to read at most; the rest is skipped.
    """
    at = file.tell()
    end = file.seek(0, io.SEEK_END)
    while at + _HEAD.size <= end:
        file.seek(at)
        code, size = _HEAD.unpack(file.read(_HEAD.size))
        if size > end - at - _HEAD.size:
            return
        yield at, code, file.read(size if limit is None else min(size, limit))
        at += _HEAD.size + size


def text(body: bytes, at: int) -> tuple[str, int]:
    """The text at a place of a record, and the place behind it.

    Raises:
        ValueError: it runs beyond the record or is no UTF-8.
        struct.error: its length does.
    """
    (size,) = struct.unpack_from("<I", body, at)
    end = at + 4 + size
    if end > len(body):
        raise ValueError("text runs beyond its record")
    return body[at + 4 : end].decode(), end


def chunk_records(body: bytes) -> bytes:
    """Decompressed records of a chunk's body.

    Raises:
        ValueError: it is damaged; says how.
    """
    try:
        size, crc = struct.unpack_from("<QI", body, 16)
        compression, at = text(body, 28)
        (packed,) = struct.unpack_from("<Q", body, at)
    except struct.error as error:
        raise ValueError(f"is no chunk ({error})") from None
    data = _decompress(body[at + 8 : at + 8 + packed], compression, size)
    if len(data) != size:
        raise ValueError(f"holds {len(data)} bytes, not the {size} it promises")
    if crc and zlib.crc32(data) != crc:
        raise ValueError("fails its checksum")
    return data


def _decompress(data: bytes, compression: str, size: int) -> bytes:
    from rosbags.rosbag2.storage_mcap import DECOMPRESSORS

    try:
        return bytes(DECOMPRESSORS[compression](data, size))
    except Exception as error:  # noqa: BLE001 - each codec library has its own error type
        raise ValueError(f"cannot be decompressed ({error!r})") from None


def summary_fault(path: Path) -> str:
    """What is wrong with the summary of a complete file, empty if nothing can be said.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        found = _footer(file)
        if found is None:
            return ""
        at, start, crc = found
        if crc and (not start or start > at or _crc(file, start, at + _FOOTER.size - 4) != crc):
            return f"its index, from byte {start} on, fails its checksum"
    return ""


def chunk_fault(path: Path) -> str:
    """The first damaged chunk and what is wrong with it, empty if there is none.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        for at, code, body in records(file):
            if code == DATA_END:
                break
            if code == CHUNK:
                try:
                    chunk_records(body)
                except ValueError as error:
                    return f"the chunk at byte {at} of {path.name} {error}"
    return ""


def data_fault(path: Path) -> str:
    """What is wrong with messages that no chunk's checksum covers, empty if nothing can be said.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        found = _footer(file)
        if found is None or not _has_data_crc(file, found[1] or found[0]):
            return ""
        file.seek(len(MAGIC))
        bare = False
        for at, code, body in records(file, 28):
            if code == DATA_END:
                crc = int.from_bytes(body[:4], "little")
                if bare and _crc(file, 0, at) != crc:
                    return f"the first {at} bytes of {path.name} fail their checksum"
                return ""
            bare |= code == MESSAGE or (code == CHUNK and not any(body[24:28]))
    return ""


def write_checksums(path: Path) -> None:
    """Put the checksums of its chunks and its summary into a complete file that has none.

    Raises:
        OSError: the disk refuses.
        ValueError: the file is not complete.
    """
    with path.open("r+b") as file:
        file.seek(len(MAGIC))
        for at, code, body in records(file):
            if code == DATA_END:
                break
            if code == CHUNK:
                file.seek(at + _CHUNK_CRC_AT)
                file.write(zlib.crc32(chunk_records(body)).to_bytes(4, "little"))
        found = _footer(file)
        if found is None:
            raise ValueError(f"{path} has no footer")
        at, start, _ = found
        crc = _crc(file, start, at + _FOOTER.size - 4)
        file.seek(at + _FOOTER.size - 4)
        file.write(crc.to_bytes(4, "little"))


def _has_data_crc(file: BinaryIO, end: int) -> bool:
    """Whether the data section, which ends where the summary begins, carries a checksum."""
    size = _HEAD.size + 4
    file.seek(max(0, end - size))
    data = file.read(size)
    return data[:1] == bytes([DATA_END]) and any(data[_HEAD.size :])


def _footer(file: BinaryIO) -> tuple[int, int, int] | None:
    """(offset, summary start, summary CRC) of the footer, None if the file has none."""
    size = _FOOTER.size + len(MAGIC)
    if file.seek(0, io.SEEK_END) < len(MAGIC) + size:
        return None
    at = file.seek(-size, io.SEEK_END)
    data = file.read(size)
    code, length, start, _, crc = _FOOTER.unpack_from(data)
    if (code, length, data[_FOOTER.size :]) != (0x02, _FOOTER.size - _HEAD.size, MAGIC):
        return None
    return at, start, crc


def _crc(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    crc, left = 0, end - start
    while left > 0 and (block := file.read(min(_BLOCK, left))):
        crc, left = zlib.crc32(block, crc), left - len(block)
    return crc
