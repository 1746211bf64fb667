# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Words about an index that several verbs of `geoloc index` share."""

from __future__ import annotations

from geoloc_ros.index.diff import size_bytes
from geoloc_ros.index.manifest import Manifest


def summary(manifest: Manifest) -> str:
    """How large an index is."""
    west, south, east, north = manifest.bounds_m
    area = (east - west) * (north - south) / 1e6
    return (
        f"{manifest.count} poses in {len(manifest.shards)} shards, {area:.2f} km2, "
        f"{size_bytes(manifest.shards) / 1e6:.1f} MB"
    )


def plain(text: str) -> str:
    """A line without what could command a terminal: who made an index may be anybody."""
    return "".join(c if c.isprintable() else "?" for c in text)
