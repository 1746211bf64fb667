# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Cutting a made world's imagery and roads down to the area that shall be indexed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.synthetic.drive import Area


def crop_imagery(path: Path, origin: LatLon, area: Area) -> None:
    """Rewrite a GeoTIFF with only the pixels around an area; tags and compression are kept.

    Args:
        path: the GeoTIFF.
        origin: of the plane in which the area is given.
        area: what to keep.
    """
    import rasterio
    from rasterio.warp import transform_bounds
    from rasterio.windows import Window, from_bounds

    bounds = (area.x_min_m, area.y_min_m, area.x_max_m, area.y_max_m)
    with rasterio.open(path) as source:
        there = transform_bounds(LocalFrame(origin).crs, source.crs, *bounds)
        window = from_bounds(*there, transform=source.transform).round_offsets().round_lengths()
        window = window.intersection(Window(0, 0, source.width, source.height))
        pixels = source.read(window=window)
        profile, tags = source.profile, source.tags()
        profile.update(
            width=window.width,
            height=window.height,
            transform=source.window_transform(window),
        )
        descriptions = source.descriptions
    partial = path.with_suffix(".part.tif")
    with rasterio.open(partial, "w", **profile) as target:
        target.write(pixels)
        target.update_tags(**{k: v for k, v in tags.items() if k != "AREA_OR_POINT"})
        for band, text in enumerate(descriptions, start=1):
            if text:
                target.set_band_description(band, text)
    partial.replace(path)


def crop_roads(path: Path, origin: LatLon, area: Area) -> None:
    """Keep only the road features that lie wholly inside an area.

    Args:
        path: GeoJSON of LineStrings in longitude, latitude.
        origin: of the plane in which the area is given.
        area: what to keep.
    """
    frame = LocalFrame(origin)
    roads = json.loads(path.read_text(encoding="utf-8"))
    kept = []
    for feature in roads["features"]:
        lonlat = np.asarray(feature["geometry"]["coordinates"], dtype=np.float64)
        if np.all(area.contains(frame.to_xy(lonlat[:, 1], lonlat[:, 0]))):
            kept.append(feature)
    roads["features"] = kept
    path.write_text(json.dumps(roads), encoding="utf-8")
