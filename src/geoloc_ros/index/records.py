# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a shard: which there are, what they are called, and the bytes they must hold.

A file's name tells its content, so that no file is ever changed: what an index is made of depends
on its manifest alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoloc_ros.encoders.package import file_sha256
from geoloc_ros.errors import IndexCorruptError
from geoloc_ros.index.descriptions import DESCRIBED_PARTS
from geoloc_ros.index.quadtree import Cell
from geoloc_ros.index.search import SEARCHES

POSES, CODES, SCALE, FINE = "poses.npy", "codes.npy", "scale.npy", "fine.npy"
_SEARCH_PARTS = tuple(part for kind in SEARCHES.values() for part in kind.PARTS)
ALL_PARTS = (POSES, CODES, SCALE, FINE, *_SEARCH_PARTS, *DESCRIBED_PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file: its size in bytes and its sha256."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One geographic cell.

    Attributes:
        cell: level, column and row, see `quadtree`.
        count: entries.
        bounds_m: west, south, east, north of the entries.
        files: for each of the manifest's parts.
    """

    cell: Cell
    count: int
    bounds_m: tuple[float, float, float, float]
    files: dict[str, FileRecord]

    @property
    def stem(self) -> str:
        """Beginning of the names of its files."""
        return stem_of(self.cell)

    def path(self, root: Path, part: str) -> Path:
        """Where a part lies; the name tells the content, so that no file is ever changed."""
        return part_path(root, self.stem, part, self.files[part])


def parts_of(storage: str, search: str) -> tuple[str, ...]:
    """Files of a shard whose descriptors are stored and found like this, without descriptions."""
    fine = () if storage == "int8" else (FINE,)
    return (POSES, CODES, SCALE, *fine, *SEARCHES[search].PARTS)


def entry_bytes(storage: str, dim: int) -> int:
    """About how many bytes of disk an entry needs: its pose, its descriptor, and to be found."""
    per_dim = {"int8": 1.0, "int12": 1.5, "float16": 3.0, "float32": 5.0}[storage]
    return 60 + int((per_dim + 0.1) * dim)


def part_path(root: Path, stem: str, part: str, file: FileRecord) -> Path:
    """Where a file of a shard lies."""
    return root / "shards" / f"{stem}.{file.sha256[:12]}.{part}"


def stem_of(cell: Cell) -> str:
    """Beginning of the names of a cell's files, e.g. `q2x+001y-002`."""
    level, column, row = cell
    return f"q{level}x{column:+04d}y{row:+04d}"


def is_part(name: str) -> bool:
    """Whether a file's name is that of a part of some shard."""
    _, _, rest = name.partition(".")
    sha256, _, part = rest.partition(".")
    return re.fullmatch("[0-9a-f]{12}", sha256) is not None and part in ALL_PARTS


def shard_from_content(content: dict[str, Any], parts: tuple[str, ...]) -> ShardRecord:
    """A shard record from its JSON object.

    Args:
        content: the object.
        parts: the files it must list, no other.

    Raises:
        ValueError, KeyError, TypeError: the object is not one.
    """
    files = {part: FileRecord(**content["files"][part]) for part in parts}
    if len(content["files"]) != len(parts):
        raise ValueError("unknown file parts")
    level, column, row = (int(value) for value in content["cell"])
    west, south, east, north = (float(value) for value in content["bounds_m"])
    return ShardRecord(
        cell=(level, column, row),
        count=int(content["count"]),
        bounds_m=(west, south, east, north),
        files=files,
    )


def check_size(path: Path, record: FileRecord) -> None:
    """See that a file is there and as long as it should be.

    Raises:
        IndexCorruptError: it is missing or of another size.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IndexCorruptError(f"cannot read {path}: {error}; build the index again") from error
    if size != record.bytes:
        raise IndexCorruptError(
            f"{path} has {size} bytes, the manifest says {record.bytes}; "
            "copy or build the index again"
        )


def check_file(path: Path, record: FileRecord) -> None:
    """Compare a file with its record, without holding it in memory.

    Raises:
        IndexCorruptError: missing, of another size, or of other bytes.
    """
    check_size(path, record)
    try:
        found = file_sha256(path)
    except OSError as error:
        raise IndexCorruptError(f"cannot read {path}: {error}; build the index again") from error
    if found != record.sha256:
        raise _altered(path, found, record)


def read_file(path: Path, record: FileRecord) -> bytearray:
    """The bytes of a file, which are those that the record vouches for.

    Raises:
        IndexCorruptError: missing, of another size, or of other bytes.
    """
    check_size(path, record)
    content = bytearray(record.bytes)
    try:
        with path.open("rb") as file:
            whole = file.readinto(content) == record.bytes and not file.read(1)
    except OSError as error:
        raise IndexCorruptError(f"cannot read {path}: {error}; build the index again") from error
    found = hashlib.sha256(content).hexdigest()
    if not whole or found != record.sha256:
        raise _altered(path, found, record)
    return content


def _altered(path: Path, found: str, record: FileRecord) -> IndexCorruptError:
    return IndexCorruptError(
        f"{path} was altered: sha256 {found[:12]}, the manifest says {record.sha256[:12]}; "
        "copy or build the index again"
    )
