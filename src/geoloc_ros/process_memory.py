# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How much memory a process holds, and how much this one has needed."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

KB_PER_MB = 1024.0


def resident_bytes(pid: int | None = None) -> int:
    """Memory that a process, this one by default, holds now; 0 where that cannot be known."""
    try:
        name = "self" if pid is None else pid
        text = Path(f"/proc/{name}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):  # an ending process has none
        return 0


def peak_rss_mb() -> float:
    """Most memory that was resident at once in this process, MB of 1024^2 bytes.

    `ru_maxrss` starts at what the process that started this one had, so it only serves where
    the kernel keeps no `VmHWM` (proc(5)).
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().splitlines():  # a name may be any bytes
            if line.startswith(b"VmHWM:"):
                return float(line.split()[1]) / KB_PER_MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_PER_MB
