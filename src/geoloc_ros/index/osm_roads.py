# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Roads of an OpenStreetMap extract: what a car drives on under open sky, split where roads meet.

A way of OpenStreetMap runs through junctions; roads here end at them, since turns are sampled from
end to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import IndexBuildError, first_line

#: How extracts are named.
SUFFIXES = (".osm", ".osm.gz", ".osm.bz2", ".osm.pbf", ".pbf", ".o5m")
#: Whose data it is; the licence of the data (ODbL) asks to say so.
ATTRIBUTION = "roads © OpenStreetMap contributors, ODbL"
#: Values of `highway` that a car drives on.
DRIVEABLE = frozenset(
    {
        "motorway", "motorway_link", "trunk", "trunk_link", "primary", "primary_link",
        "secondary", "secondary_link", "tertiary", "tertiary_link", "unclassified",
        "residential", "living_street", "service", "road", "track", "busway",
    }
)  # fmt: skip
#: Most points of driveable ways; they take about 3 GB of memory.
MAX_POINTS = 20_000_000
_ACCESS = ("motorcar", "motor_vehicle", "vehicle", "access")  # the most special one counts
_COVERED = ("tunnel", "indoor", "covered")
_FORWARD = ("yes", "true", "1")
_BACKWARD = ("-1", "reverse")

_Ids = npt.NDArray[np.int64]
#: west, south, east, north in degrees; west > east crosses 180 degrees
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class OsmRoad:
    """A driveable way or a piece of one, in its direction of traffic if it has one.

    Attributes:
        nodes: (N,) ids.
        lonlat_deg: (N, 2) degrees.
        oneway: whether traffic runs in one direction only.
        tags: of the way.
    """

    nodes: _Ids
    lonlat_deg: FloatArray
    oneway: bool
    tags: Mapping[str, str]


def is_extract(path: Path) -> bool:
    """Whether a file is named like an OpenStreetMap extract."""
    return path.name.lower().endswith(SUFFIXES)


def osm_roads(path: Path, box: Box) -> list[OsmRoad]:
    """Roads of an extract near an area; none passes a junction.

    Args:
        path: `.osm.pbf`, `.osm.gz`, `.osm.bz2`, `.osm` or `.o5m`.
        box: parts of roads whose segments do not touch it are left out.

    Returns:
        Roads in the order of the file.

    Raises:
        IndexBuildError: unreadable, no extract, too many roads, or the package osmium is missing.
    """
    ways = list(_ways(path))
    if not ways:
        return []
    _, which, times = np.unique(
        np.concatenate([way.nodes for way in ways]), return_inverse=True, return_counts=True
    )
    shared = np.split(times[which] > 1, np.cumsum([len(way.nodes) for way in ways])[:-1])
    return [
        replace(way, nodes=way.nodes[part], lonlat_deg=way.lonlat_deg[part])
        for way, ends in zip(ways, shared, strict=True)
        for part in _parts(way.lonlat_deg, ends, box)
    ]


def _ways(path: Path) -> Iterator[OsmRoad]:
    """Driveable ways; NaN where the extract lacks a node."""
    try:
        import osmium
    except ImportError as error:
        raise IndexBuildError(
            f"{path} cannot be read: package 'osmium' is missing; install the extra: pip install "
            "'geoloc_ros[imagery]'"
        ) from error
    points = 0
    try:
        ways = osmium.FileProcessor(str(path)).with_locations()
        ways = ways.with_filter(osmium.filter.EntityFilter(osmium.osm.WAY))
        for way in ways.with_filter(osmium.filter.KeyFilter("highway")):
            tags = {tag.k: tag.v for tag in way.tags}
            if not isinstance(way, osmium.osm.Way) or not drivable(tags):
                continue
            points += len(way.nodes)
            if points > MAX_POINTS:
                raise IndexBuildError(
                    f"{path} holds more than {MAX_POINTS:,} points of roads; cut it to the "
                    "imagery's area with 'osmium extract --bbox'"
                )
            found = _way(way.nodes, tags)
            if len(found.nodes) > 1:
                yield found
    except (RuntimeError, ValueError, osmium.InvalidLocationError) as error:
        raise IndexBuildError(
            f"{path} is no sound OpenStreetMap extract: {first_line(error)}; download it again"
        ) from error


def drivable(tags: dict[str, str]) -> bool:
    """Whether a car may meet open sky on a way with these tags."""
    if tags.get("highway") not in DRIVEABLE or tags.get("area") == "yes":
        return False
    # what is closed to all may be open to cars
    open_to = next((tags[key] for key in _ACCESS if key in tags), "yes")
    if open_to == "no" or tags.get("location") == "underground":
        return False
    return all(tags.get(key, "no") in ("no", "building_passage") for key in _COVERED)


def _way(nodes: Any, tags: dict[str, str]) -> OsmRoad:  # noqa: ANN401 - osmium's list of nodes
    ids = np.array([node.ref for node in nodes], np.int64)
    lonlat_deg = np.array(
        [(node.lon, node.lat) if node.location.valid() else (np.nan, np.nan) for node in nodes]
    ).reshape(-1, 2)
    value = tags.get("oneway", "").lower()
    if value in _BACKWARD:
        return OsmRoad(ids[::-1], lonlat_deg[::-1], True, tags)
    implied = tags.get("junction") in ("roundabout", "circular") or tags["highway"] == "motorway"
    return OsmRoad(ids, lonlat_deg, value in _FORWARD or (implied and not value), tags)


def _parts(lonlat_deg: FloatArray, ends: npt.NDArray[np.bool_], box: Box) -> Iterator[slice]:
    """Points of pieces between junctions, holes and the edge of the area."""
    near = _segments_near(lonlat_deg, box)
    start = None
    for segment in range(len(near)):
        if near[segment] and start is None:
            start = segment
        if start is not None and (not near[segment] or ends[segment]) and segment > start:
            yield slice(start, segment + 1)
            start = segment if near[segment] else None
    if start is not None:
        yield slice(start, None)


def _segments_near(lonlat_deg: FloatArray, box: Box) -> npt.NDArray[np.bool_]:
    """(N - 1,) whether a segment's own box touches the area; not where a point is unknown."""
    west, south, east, north = box
    half = 0.5 * ((east - west) % 360.0 or 360.0)
    # degrees east of the area's middle: contiguous across 180 degrees
    x = (lonlat_deg[:, 0] - (west + half) + 180.0) % 360.0 - 180.0
    y = lonlat_deg[:, 1]
    reach = np.maximum(x[1:], x[:-1]) >= -half
    reach &= np.minimum(x[1:], x[:-1]) <= half
    reach &= np.maximum(y[1:], y[:-1]) >= south
    reach &= np.minimum(y[1:], y[:-1]) <= north
    return np.asarray(reach & np.isfinite(x[1:] + x[:-1]))
