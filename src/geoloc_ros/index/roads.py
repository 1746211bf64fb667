# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Road layers: GeoJSON or an OpenStreetMap extract -> centrelines in the local plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import GeodesyError, IndexBuildError
from geoloc_ros.geo.wgs84 import MAX_RANGE_M, LocalFrame
from geoloc_ros.index.osm_roads import Box, is_extract, osm_roads
from geoloc_ros.index.policy import Road

MAX_BYTES = 500_000_000  # of a road layer; reading it takes about ten times as much memory
_AROUND_M = 200.0  # roads this far from the imagery are still of use: turns begin there
_LONGEST_SEGMENT_M = 5_000.0
_NO_CARS = {
    "footway", "path", "steps", "pedestrian", "cycleway", "bridleway", "corridor", "proposed",
    "construction",
}  # fmt: skip

#: (N, 2) longitude and latitude in degrees, and whether traffic runs in its direction only
_Line = tuple[FloatArray, bool]


def read_roads(
    path: Path, frame: LocalFrame, bounds_m: tuple[float, float, float, float] | None = None
) -> list[Road]:
    """Read LineString and MultiLineString features, or an extract's ways, as roads.

    OpenStreetMap's habits are understood: `oneway` may be true, "yes", 1, or -1 for against the
    line's direction; features whose `highway` no car may use are skipped.

    Args:
        path: a GeoJSON FeatureCollection, longitude and latitude in degrees; or an OpenStreetMap
            extract, known by its name (`osm_roads.SUFFIXES`).
        frame: the local plane.
        bounds_m: west, south, east, north on the plane: what is further away is left out of an
            extract; None: the plane's reach.

    Returns:
        Roads in file order.

    Raises:
        IndexBuildError: unreadable, more than `MAX_BYTES`, not GeoJSON, a bad coordinate, no
            extract, or no road in it.
    """
    if is_extract(path):
        return _of_extract(path, frame, bounds_m)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise IndexBuildError(
                f"road layer {path} has {size / 1e6:,.0f} MB, at most {MAX_BYTES / 1e6:,.0f} MB "
                "can be read; cut it to the imagery's area, e.g. with 'ogr2ogr -clipsrc'"
            )
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        lines = [line for feature in content["features"] for line in _lines(feature)]
        roads = _projected(lines, frame)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IndexBuildError(f"cannot read road layer {path}: {error}") from error
    except (
        LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise IndexBuildError(
            f"{path} is no GeoJSON FeatureCollection of lines in longitude, latitude: {error!r}"
        ) from error
    except GeodesyError as error:
        raise IndexBuildError(f"road layer {path} does not fit the imagery: {error}") from error
    if not roads:
        raise IndexBuildError(f"road layer {path} holds no road (LineString); use --grid instead")
    return roads


def _of_extract(
    path: Path, frame: LocalFrame, bounds_m: tuple[float, float, float, float] | None
) -> list[Road]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IndexBuildError(f"cannot read road layer {path}: {error.strerror}") from error
    if size > MAX_BYTES:
        raise IndexBuildError(
            f"road layer {path} has {size / 1e6:,.0f} MB, at most {MAX_BYTES / 1e6:,.0f} MB can "
            "be read; cut it to the imagery's area with 'osmium extract --bbox'"
        )
    box = _box(frame, bounds_m)
    roads = _projected([(r.lonlat_deg, r.oneway) for r in osm_roads(path, box)], frame)
    if not roads:
        raise IndexBuildError(
            f"{path} has no road for cars within {box[1]:.4f}..{box[3]:.4f} N, {box[0]:.4f}.."
            f"{box[2]:.4f} E; give an extract of the imagery's area, or use --grid instead"
        )
    return roads


def _box(frame: LocalFrame, bounds_m: tuple[float, float, float, float] | None) -> Box:
    """What an area and its surroundings cover in degrees, as far as the plane reaches."""
    # a road that leaves the box does so with a segment, which must not leave the plane
    reach_m = MAX_RANGE_M - _LONGEST_SEGMENT_M
    margin_m = np.array([-_AROUND_M, -_AROUND_M, _AROUND_M, _AROUND_M])
    whole = np.array([-reach_m, -reach_m, reach_m, reach_m])
    west, south, east, north = (
        whole if bounds_m is None else np.clip(np.asarray(bounds_m) + margin_m, -reach_m, reach_m)
    )
    t = np.linspace(0.0, 1.0, 17)
    x, y = np.meshgrid(west + t * (east - west), south + t * (north - south))
    lat, lon = frame.to_latlon(np.stack([x.ravel(), y.ravel()], axis=1))
    middle = frame.origin.lon_deg
    away = (lon - middle + 180.0) % 360.0 - 180.0
    low, high = float(away.min()) + middle, float(away.max()) + middle
    around = ((low + 180.0) % 360.0 - 180.0, (high + 180.0) % 360.0 - 180.0)
    return around[0], float(lat.min()), around[1], float(lat.max())


def _lines(feature: dict[str, Any]) -> Iterator[_Line]:
    geometry = feature["geometry"] or {}
    properties = feature.get("properties") or {}
    if properties.get("highway") in _NO_CARS:
        return
    lines: list[Any] = []
    if geometry.get("type") == "LineString":
        lines = [geometry["coordinates"]]
    elif geometry.get("type") == "MultiLineString":
        lines = geometry["coordinates"]
    oneway = str(properties.get("oneway", "no")).lower()
    for line in lines:
        lonlat_deg = np.array([point[:2] for point in line], dtype=np.float64)
        if len(lonlat_deg) < 2:
            continue
        if oneway in ("-1", "reverse"):
            lonlat_deg = lonlat_deg[::-1]
        yield lonlat_deg, oneway in ("yes", "true", "1", "1.0", "-1", "reverse")


def _projected(lines: list[_Line], frame: LocalFrame) -> list[Road]:
    """All lines at once: a call of the projection for each costs more than its points."""
    if not lines:
        return []
    lonlat_deg = np.concatenate([line for line, _ in lines])
    if not np.isfinite(lonlat_deg).all() or (np.abs(lonlat_deg) > [180.0, 90.0]).any():
        raise ValueError("a coordinate is not finite or out of range")
    xy_m = frame.to_xy(lonlat_deg[:, 1], lonlat_deg[:, 0])
    ends = np.cumsum([len(line) for line, _ in lines])[:-1]
    parts = np.split(xy_m, ends)
    return [Road(part, oneway) for part, (_, oneway) in zip(parts, lines, strict=True)]
