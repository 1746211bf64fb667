# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a file of imagery is, in words: for `geoloc imagery info` and below previews."""

from __future__ import annotations

from pathlib import Path

from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import MAX_RANGE_M, LatLon
from geoloc_ros.imagery.geotiff import LocalMap, open_raster
from geoloc_ros.imagery.tile_raster import TileRaster, zooms_text
from geoloc_ros.imagery.tile_store import Credit, TileStore, is_tile_file, open_store

_NOT_STATED = "not stated"


def facts(path: Path) -> dict[str, str]:
    """Rows to show people: what, where, how fine, whose.

    Raises:
        ImageryError: the file is missing, damaged or no imagery.
    """
    if path.is_dir() or is_tile_file(path):
        with open_store(path) as store:
            return _of_tiles(store, path)
    return _of_raster(path)


def _of_tiles(store: TileStore, path: Path) -> dict[str, str]:
    raster = TileRaster(store)
    span = raster.span
    area = span.area
    missing = len(span) - store.counts[span.zoom]
    rows = {
        "file": path.name,
        "kind": f"{store.kind} of {raster.format} tiles, {raster.side_px}x{raster.side_px} px",
        "zooms": zooms_text(store),
        "used": f"zoom {span.zoom}: {span.columns}x{span.rows} tiles, {missing} of them missing",
    }
    local = LocalMap(raster, path, None)
    rows |= _extent(local, raster.width, raster.height)
    rows["area"] = str(area)
    rows |= _credit(store.credit)
    if store.to_come:
        rows["unfinished"] = f"{store.to_come} tiles are still to come: run the same fetch again"
    return rows


def _of_raster(path: Path) -> dict[str, str]:
    with open_raster(path) as dataset:
        local = LocalMap(dataset, path, None)
        levels = dataset.overviews(1)
        nodata = "none" if dataset.nodata is None else f"{dataset.nodata:g}"
        rows = {
            "file": path.name,
            "kind": f"{dataset.driver} of {dataset.count} bands, {dataset.dtypes[0]}",
            "crs": dataset.crs.to_string(),
            "overviews": ", ".join(f"1/{level}" for level in levels) or "none",
            "nodata": f"{nodata}{', masked' if _masked(dataset) else ''}",
        }
        rows |= _extent(local, dataset.width, dataset.height)
        tags = {key.lower(): value for key, value in dataset.tags().items()}
        tags.setdefault("attribution", tags.get("tifftag_copyright", ""))
        return rows | _credit(Credit.of(tags))


def _masked(dataset: object) -> bool:
    flags = getattr(dataset, "mask_flag_enums", ())
    return any("all_valid" not in {flag.name for flag in band} for band in flags)


def _extent(local: LocalMap, width: int, height: int) -> dict[str, str]:
    try:
        west, south, east, north = local.bounds_m()
    except ImageryError:
        return {
            "size": f"{width}x{height} px",
            "reach": f"beyond {MAX_RANGE_M / 1e3:.0f} km from its centre, too far for one index; "
            "cut it: geoloc imagery import --around LAT LON RADIUS_M",
        }
    gsd_m = local.native_gsd_m()
    lat, lon = local.frame.to_latlon([(west, south), (east, north)])
    corners = [LatLon(float(a), float(b)) for a, b in zip(lat, lon, strict=True)]
    return {
        "size": f"{width}x{height} px, {(east - west) / 1e3:.2f} x {(north - south) / 1e3:.2f} km",
        "ground": f"{gsd_m:.3f} m per pixel",
        "area": f"{corners[0].lat_deg:.5f}..{corners[1].lat_deg:.5f} N, "
        f"{corners[0].lon_deg:.5f}..{corners[1].lon_deg:.5f} E",
    }


def _credit(credit: Credit) -> dict[str, str]:
    return {
        "attribution": credit.attribution or _NOT_STATED,
        "terms": credit.terms or _NOT_STATED,
    }
