# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of tiles that lie, are cut off or are something else: one line that says what to do."""

import gzip
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from pmtiles.tile import Entry, TileType, serialize_directory, zxy_to_tileid
from tile_files import (
    ZOOM,
    encode,
    picture,
    span_at,
    tiles_of,
    write_mbtiles,
    write_pmtiles,
)

from geoloc_ros.errors import ImageDecodeError, ImageryError
from geoloc_ros.imagery import mbtiles, pmtiles_file
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.tile_picture import MAX_TILE_BYTES, decode, look
from geoloc_ros.imagery.tiles import Tile

SPAN = span_at(columns=2, rows=2)
FIRST = Tile(ZOOM, SPAN.x, SPAN.y)


def refused(path, says):
    with pytest.raises(ImageryError, match=says) as caught:
        OrthoImage.open(path, gsd_m=0.5)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert len(message) < 400


def said_of(path):
    """What opening says: the error's text, nothing if it opens."""
    try:
        OrthoImage.open(path, gsd_m=0.5)
    except ImageryError as error:
        return str(error)
    return ""


def png_of(width, height):
    """A PNG whose header promises a size that its data do not hold."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99))


HTML = b"<!DOCTYPE html>\n<html><head><title>Quota\n exceeded</title></head><body>no</body></html>"
BIG_16 = io.BytesIO()
Pillow.fromarray(np.zeros((256, 256), np.uint16)).save(BIG_16, "PNG")
PICTURES = {
    "empty": (b"", "is empty"),
    "html": (HTML, r"an HTML page \('Quota exceeded'\)"),
    "json": (b'{"error": "no such layer"}', "is JSON"),
    "xml": (b"<?xml version='1.0'?><ServiceException>no</ServiceException>", "is XML"),
    "noise": (bytes(range(256)), "256 bytes of something else"),
    "cut png": (encode(picture(FIRST))[:900], "is damaged"),
    "cut jpg": (encode(picture(FIRST), "jpg")[:900], "is damaged"),
    "gif": (b"GIF89a" + bytes(100), "something else"),
    "small": (encode(picture(FIRST)[:128, :128]), "128x128 px; it must be 256x256"),
    "oblong": (encode(picture(FIRST)[:128]), "256x128 px"),
    "bomb": (png_of(60_000, 60_000), "unpacks to more than a tile"),
    "large": (png_of(20_000, 20_000), "20000x20000 px|unpacks to more"),
    "lie": (png_of(256, 256), "is damaged"),
    "16 bit": (BIG_16.getvalue(), "8-bit colours"),
    "fat": (encode(picture(FIRST)) + bytes(MAX_TILE_BYTES), "8.4 MB; a tile has at most"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_bytes_that_are_no_tile_are_refused_before_they_are_unpacked(name):
    data, says = PICTURES[name]
    with pytest.raises(ImageDecodeError, match=says):
        decode(data, "tile 18/1/2", 256)
    if "damaged" not in says:
        with pytest.raises(ImageDecodeError, match=says):
            look(data, "tile 18/1/2", 256)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("suffix", [".mbtiles", ".pmtiles"])
def test_a_bad_tile_in_a_file_is_named(tmp_path, suffix, name):
    data, _ = PICTURES[name]
    tiles = tiles_of(SPAN) | {Tile(ZOOM, SPAN.x + 1, SPAN.y): data}
    writer = write_mbtiles if suffix == ".mbtiles" else write_pmtiles
    path = writer(tmp_path / f"a{suffix}", tiles)
    if name == "empty":  # an empty tile is how some servers say that there is none
        assert OrthoImage.open(path, gsd_m=0.5).valid.mean() == pytest.approx(0.75, abs=0.03)
        return
    refused(path, f"tile {ZOOM}/{SPAN.x + 1}/{SPAN.y}|its tile")


# -- MBTiles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no sound MBTiles file: no such table"),
        (b"PMTiles\x03" + bytes(200), "begins with b'PMTiles"),
        (HTML, "begins with b'<!DOCTYPE html"),
        (b"SQLite format 3\0" + bytes(4000), "no sound MBTiles file"),
    ],
)
def test_files_that_are_no_mbtiles_are_refused(tmp_path, content, says):
    path = tmp_path / "a.mbtiles"
    path.write_bytes(content)
    refused(path, says)


@pytest.mark.parametrize("seed", range(8))
def test_mbtiles_with_rotten_pages_are_an_error_or_the_right_picture(tmp_path, seed):
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles_of(SPAN))
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for position in rng.integers(16, len(data), 400):
        data[position] ^= 255
    path.write_bytes(data)
    assert "\n" not in said_of(path)


def test_mbtiles_that_are_cut_off_are_refused(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles_of(SPAN))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "malformed|damaged|no sound")


def test_vector_tiles_are_no_picture(tmp_path):
    refused(write_mbtiles(tmp_path / "a.mbtiles", {FIRST: b"x"}, format="pbf"), "vector tiles")
    refused(write_pmtiles(tmp_path / "a.pmtiles", {FIRST: b"x"}, kind=TileType.MVT), "vector")


def test_mbtiles_without_tiles_are_refused(tmp_path):
    refused(write_mbtiles(tmp_path / "a.mbtiles", {}), "holds no tile")


def changed(path, *statements):
    import sqlite3

    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return path


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE tiles SET tile_column = -4", "column or row -4"),
        ("UPDATE tiles SET tile_row = 1 << 40", "column or row 1099511627776"),
        ("UPDATE tiles SET tile_row = 'north'", "column or row 'north'"),
        ("UPDATE tiles SET tile_data = 'text'", "is text|something else"),
        ("DROP TABLE tiles", "no such table"),
        ("ALTER TABLE tiles RENAME COLUMN tile_data TO data", "no such column"),
    ],
)
def test_tables_that_lie_are_refused(tmp_path, statement, says):
    refused(changed(write_mbtiles(tmp_path / "a.mbtiles", tiles_of(SPAN)), statement), says)


def test_a_file_without_metadata_is_read_and_states_nothing(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", tiles_of(SPAN))
    ortho = OrthoImage.open(changed(path, "DROP TABLE metadata"), gsd_m=0.5)
    assert ortho.provenance["attribution"] == ortho.provenance["licence"] == ""


def test_a_view_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(mbtiles, "_QUERY_S", 0.3)
    endless = (
        "CREATE VIEW tiles AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT 18 AS zoom_level, i AS tile_column, 1 AS tile_row, NULL AS tile_data FROM n"
    )
    path = changed(
        write_mbtiles(tmp_path / "a.mbtiles", tiles_of(SPAN)), "DROP TABLE tiles", endless
    )
    refused(path, "a query took more than 0 s")


# -- PMTiles --------------------------------------------------------------------------------


def pmtiles(folder):
    return write_pmtiles(folder / "a.pmtiles", tiles_of(SPAN))


def patched(path, at, data):
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


def u64(value):
    return struct.pack("<Q", value)


@pytest.mark.parametrize(
    ("at", "data", "says"),
    [
        (0, b"PMTile!", "begins with b'PMTile!'"),
        (0, HTML, "begins with b'<!DOCTY'"),
        (7, b"\x02", "version 2, version 3 is read"),
        (8, u64(10**15), "its directory should lie at bytes 1000000000000000"),
        (16, u64(2**63), "the file has"),
        (16, u64(9), "its directory at byte 127 is cut off after 9 bytes"),
        (24, u64(2**62), "its metadata should lie"),
        (56, u64(10**9), "should lie at bytes"),
        (97, b"\x01", "directories compressed by NONE"),
        (97, b"\x63", "its header"),
        (98, b"\x02", "tiles by GZIP"),
        (99, b"\x63", "its header"),
        (127, bytes(40), "its directory at byte 127|its metadata"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, at, data, says):
    refused(patched(pmtiles(tmp_path), at, data), says)


@pytest.mark.parametrize("size", [0, 5, 60, 126, 127, 140, 400, 5000])
def test_pmtiles_that_are_cut_off_are_refused(tmp_path, size):
    path = pmtiles(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    refused(path, "no PMTiles file|should lie at bytes|its header")


def with_directory(folder, entries, packed=None):
    """A PMTiles file whose root directory is ours, appended at its end."""
    path = pmtiles(folder)
    directory = packed or serialize_directory(entries)
    content = path.read_bytes()
    path.write_bytes(content + directory)
    return patched(path, 8, u64(len(content)) + u64(len(directory)))


ID = zxy_to_tileid(ZOOM, SPAN.x, SPAN.y)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([Entry(ID, 10**12, 100, 1)], "should lie at bytes"),
        ([Entry(ID, 0, 10**12, 1)], "should lie at bytes"),
        ([Entry(ID, 0, 100, 10**12)], "a run of 1000000000000 tiles"),
        ([Entry(2**70, 0, 100, 1)], "a tile id beyond 64 bits"),
        ([Entry(2**62, 0, 100, 1)], "holds no tile of zoom"),
        ([], "holds 0 tiles"),
    ],
)
def test_directories_that_lie_are_refused(tmp_path, entries, says):
    refused(with_directory(tmp_path, entries), says)


def test_directories_that_point_at_each_other_are_refused(tmp_path):
    path = pmtiles(tmp_path)
    size = path.stat().st_size
    # a root that is its own leaf, reached by an offset from the leaves' start
    start = struct.unpack("<Q", path.read_bytes()[40:48])[0]
    length = 0
    for _ in range(10):
        length = len(serialize_directory([Entry(ID, size - start, length, 0)]))
    refused(with_directory(tmp_path, [Entry(ID, size - start, length, 0)]), "point at each other")


def test_a_directory_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pmtiles_file, "_MAX_UNPACKED", 1 << 20)
    bomb = gzip.compress(bytes(3 << 20))
    refused(with_directory(tmp_path, None, bomb), "unpacks to more than 1 MiB")


def test_pmtiles_with_odd_metadata_are_read_or_refused(tmp_path):
    for number, content in enumerate([b"[1, 2]", b'"text"', b'{"attribution": 7}']):
        path = pmtiles(tmp_path)
        packed = gzip.compress(content)
        size = path.stat().st_size
        path.write_bytes(path.read_bytes() + packed)
        ortho = OrthoImage.open(patched(path, 24, u64(size) + u64(len(packed))), gsd_m=0.5)
        assert ortho.provenance["attribution"] == "", number
    path = pmtiles(tmp_path)
    packed, size = gzip.compress(b"{" * 9), path.stat().st_size
    path.write_bytes(path.read_bytes() + packed)
    refused(patched(path, 24, u64(size) + u64(len(packed))), "its metadata")


@pytest.mark.parametrize("seed", range(12))
def test_pmtiles_with_flipped_bytes_are_an_error_or_a_picture(tmp_path, seed):
    path = pmtiles(tmp_path)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for position in rng.integers(0, 400 if seed % 2 else len(data), 6):
        data[position] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
    assert "\n" not in said_of(path)


def test_missing_files_are_refused(tmp_path):
    for name in ("a.mbtiles", "a.pmtiles"):
        refused(tmp_path / name, "no imagery at")
