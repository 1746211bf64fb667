# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that are on the disk when a function returns, whatever happens to the power then."""

from __future__ import annotations

import os
from pathlib import Path


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_bytes(path: Path, content: bytes | memoryview) -> None:
    """Put a file in the place of an old one, or of none, in one step."""
    part = path.with_name(path.name + ".part")
    write_bytes(part, content)
    part.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes or a directory's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
