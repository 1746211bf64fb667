# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes small georeferenced rasters with lights at known places."""

import numpy as np
import pyproj
import rasterio

LAT, LON = 46.5, 6.6


def affine_around(crs, pixel_m, size, rotation_deg=0.0):
    """Geotransform of a size x size raster around LAT, LON, about `pixel_m` on the ground."""
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_crs.transform(LON, LAT)
    if pyproj.CRS(crs).is_geographic:
        px, py = pixel_m / (111_320.0 * np.cos(np.radians(LAT))), pixel_m / 111_170.0
    else:
        px = py = pixel_m / (np.cos(np.radians(LAT)) if "3857" in str(crs) else 1.0)
    c, s = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    a, b, d, e = px * c, px * s, py * s, -py * c
    half = 0.5 * size
    return rasterio.Affine(a, b, x - (a + b) * half, d, e, y - (d + e) * half)


def lights(crs, affine, size, places_latlon, sigma_px=3.0):
    """(3, size, size) uint8: a soft light at each latitude, longitude."""
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    v, u = np.mgrid[0:size, 0:size] + 0.5
    image = np.full((size, size), 30.0)
    inverse = ~affine
    for lat, lon in places_latlon:
        x, y = to_crs.transform(lon, lat)
        column = inverse.a * x + inverse.b * y + inverse.c
        row = inverse.d * x + inverse.e * y + inverse.f
        image += 200.0 * np.exp(-0.5 * ((u - column) ** 2 + (v - row) ** 2) / sigma_px**2)
    return np.repeat(np.rint(np.minimum(image, 255.0))[None], 3, axis=0).astype(np.uint8)


def write_raster(path, bands, crs="EPSG:32632", affine=None, mask=None, colormap=None, **options):
    """Write bands (B, H, W) as a GeoTIFF; `affine` None: around LAT, LON at 0.5 m."""
    count, height, width = bands.shape
    if affine is None:
        affine = affine_around(crs or "EPSG:32632", 0.5, width)
    profile = {"driver": "GTiff", "dtype": bands.dtype, "crs": crs, "transform": affine}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", width=width, height=height, count=count, **(profile | options)
        ) as dataset,
    ):
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(mask)
        if colormap is not None:
            dataset.write_colormap(1, colormap)
    return path
