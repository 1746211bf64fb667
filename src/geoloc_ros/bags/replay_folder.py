# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder a replay writes: what belongs to it, and what must not be touched."""

from __future__ import annotations

from pathlib import Path

from geoloc_ros.errors import BagError

#: everything that replay, `geoloc eval drive` and the report write, beside pictures in `frames/`
FILES = (
    "config.yaml",
    "versions.json",
    "summary.json",
    "result.json",
    "estimates.parquet",
    "truth.parquet",
    "latency.parquet",
    "retrieval.parquet",
    "vlm.parquet",
    "trajectory.mcap",
    "report.html",
    "map.png",
    "errors.png",
    "consistency.png",
)
PICTURES = "frames"


def check_free(out: Path, force: bool) -> None:
    """See that a replay may be written to a folder; nothing is changed.

    Args:
        out: the folder, which need not exist.
        force: an earlier replay may go.

    Raises:
        BagError: it is a file, holds an earlier replay, or other files of the same names.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise BagError(f"{out} is a file; --out takes a folder")
    if (out / "estimates.parquet").exists() and not force:
        raise BagError(f"{out} holds an earlier replay; choose another --out or add --force")
    found = [name for name in (*FILES, PICTURES) if (out / name).exists()]
    if found and "versions.json" not in found:
        raise BagError(
            f"{out / found[0]} is there, but no replay wrote it; choose another --out, lest it be "
            "overwritten"
        )


def clear(out: Path) -> None:
    """Make the folder, empty of earlier replays."""
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    for stale in (out / PICTURES).glob("*.jpg"):
        stale.unlink()
