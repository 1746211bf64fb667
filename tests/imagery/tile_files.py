# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes tiles of a picture that is known everywhere, and files of them."""

import io
import sqlite3

import numpy as np
from PIL import Image as Pillow
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tiles import tile_at

ZOOM = 18
PLACE = LatLon(46.5, 6.6)
CREDIT = {"attribution": "© made by a test", "terms": "CC0-1.0"}


def span_at(place=PLACE, columns=4, rows=3, zoom=ZOOM):
    """Tiles to the east and south of the one that holds a place."""
    first = tile_at(place, zoom)
    return TileSpan(zoom, first.x, first.y, columns, rows)


def picture(tile, side=256):
    """(side, side, 3): a smooth pattern that goes on from tile to tile, also at 180 degrees."""
    u = (tile.x * side + np.arange(side)) * (2.0 * np.pi / 64.0)
    v = (tile.y * side + np.arange(side)) * (2.0 * np.pi / 96.0)
    red = 128.0 + 60.0 * np.sin(u)[None, :] + 40.0 * np.cos(v)[:, None]
    green = 128.0 + 80.0 * np.sin(0.25 * u)[None, :] * np.cos(0.5 * v)[:, None]
    blue = np.full((side, side), 20.0 + (tile.x * 7 + tile.y * 13) % 200)
    return np.rint(np.stack([red, green, blue], axis=-1)).astype(np.uint8)


def encode(rgb, kind="png", **options):
    data = io.BytesIO()
    Pillow.fromarray(rgb).save(
        data, {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[kind], **options
    )
    return data.getvalue()


def tiles_of(span, side=256, kind="png", holes=()):
    """Encoded tiles of a rectangle, without those at (column, row) in `holes`."""
    return {
        tile: encode(picture(tile, side), kind)
        for number, tile in enumerate(span)
        if (number % span.columns, number // span.columns) not in holes
    }


def write_mbtiles(path, tiles, metadata=CREDIT, **more):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
    database.execute(
        "CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, "
        "tile_data BLOB)"
    )
    database.executemany("INSERT INTO metadata VALUES (?, ?)", [*{**metadata, **more}.items()])
    rows = [(t.zoom, t.x, (1 << t.zoom) - 1 - t.y, data) for t, data in tiles.items()]
    database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    return path


def write_pmtiles(path, tiles, metadata=CREDIT, kind=TileType.PNG):
    with path.open("wb") as file:
        writer = Writer(file)
        ordered = sorted((zxy_to_tileid(t.zoom, t.x, t.y), data) for t, data in tiles.items())
        for number, data in ordered:
            writer.write_tile(number, data)
        header = {"tile_type": kind, "tile_compression": Compression.NONE}
        writer.finalize(header, metadata)
    return path


WRITERS = {".mbtiles": write_mbtiles, ".pmtiles": write_pmtiles}
