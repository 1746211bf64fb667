# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Words about an index that several verbs of `geoloc index` share."""

from __future__ import annotations

from geoloc_ros.index.diff import size_bytes
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.policy import SamplingPolicy


def summary(manifest: Manifest) -> str:
    """How large an index is."""
    west, south, east, north = manifest.bounds_m
    area = (east - west) * (north - south) / 1e6
    return (
        f"{manifest.count} poses in {len(manifest.shards)} shards, {area:.2f} km2, "
        f"{size_bytes(manifest.shards) / 1e6:.1f} MB"
    )


def sampling(policy: SamplingPolicy) -> str:
    """Which poses it holds."""
    if policy.kind == "roads":
        density = f"along roads, every {policy.spacing_m:g} m, within {policy.lateral_m:g} m"
        if policy.north_up:
            return f"{density}, north up"
        return f"{density} and {policy.yaw_deg:g} deg{', with turns' if policy.turns else ''}"
    ways = "north up" if policy.north_up else f"with {policy.headings} headings"
    return f"grid of {policy.pitch_m:g} m {ways}"


def roads(manifest: Manifest) -> str:
    """Along which roads it was sampled."""
    return f"layer {manifest.roads_sha256[:12]}" if manifest.roads_sha256 else "none"


def search(manifest: Manifest) -> str:
    """How its entries are found."""
    found = manifest.search
    if found["kind"] == "clusters":
        return f"clusters of {found['per_cluster']}, on average"
    return f"hnsw, M {found['M']}, ef_construction {found['ef_construction']}"


def described(manifest: Manifest) -> str:
    """Who described its tiles."""
    said = manifest.descriptions
    if said is None:
        return "no ('geoloc index describe' does it)"
    return (
        f"by {said.vlm} ({said.vlm_sha256[:12]}), questions {said.questions_version} "
        f"({said.questions_sha256[:12]}), shared within {said.within_m:g} m and "
        f"{said.within_deg:g} deg"
    )


def plain(text: str) -> str:
    """A line without what could command a terminal: who made an index may be anybody."""
    return "".join(c if c.isprintable() else "?" for c in text)
