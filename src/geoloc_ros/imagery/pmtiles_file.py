# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""PMTiles (version 3): tiles and their directories in one file, read.

The format is read by the `pmtiles` library; this module keeps its reads within the file and its
directories within bounds, so that a lying file is an error and not a full memory.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import ImageryError, first_line
from geoloc_ros.imagery.tile_picture import MAX_TILE_BYTES
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tile_store import Credit
from geoloc_ros.imagery.tiles import MAX_ZOOM, Tile

#: Directories and metadata unpack to no more than this, bytes; the specification asks for less.
_MAX_UNPACKED = 64 << 20
#: Most tiles counted in a file: 2000 km2 of zoom 20.
_MAX_TILES = 20_000_000
_MAX_DEPTH = 4
_DAMAGE = (ValueError, LookupError, TypeError, EOFError, OSError, OverflowError, zlib.error)

IdArray = npt.NDArray[np.int64]


class PmtilesStore:
    """A PMTiles file, open for reading; see `tile_store.TileStore`."""

    kind = "PMTiles"
    to_come = 0

    def __init__(self, path: Path) -> None:
        """Open it and look how far its tiles reach.

        Raises:
            ImageryError: no PMTiles file of version 3, damaged, without tiles, with vector tiles
                or compressed in a way that is not read; or the package `pmtiles` is missing.
        """
        try:
            from pmtiles import tile as pmtiles
        except ImportError as error:
            raise ImageryError(
                f"{path} cannot be read: package 'pmtiles' is missing; install the extra: pip "
                "install 'geoloc_ros[imagery]'"
            ) from error
        self.path, self._library = path, pmtiles
        self._size = path.stat().st_size
        self._file = path.open("rb")
        self._directory = lru_cache(maxsize=64)(self._read_directory)
        try:
            self._header = self._read_header()
            self.credit = self._read_credit()
            self.spans, self.counts = self._survey()
        except BaseException:
            self._file.close()
            raise

    def read(self, tile: Tile) -> bytes | None:
        """The encoded picture, None if there is none.

        Raises:
            ImageryError: the file is damaged there, or the picture is too large.
        """
        wanted = self._library.zxy_to_tileid(tile.zoom, tile.x, tile.y)
        place = self._header["root_offset"], self._header["root_length"]
        for _ in range(_MAX_DEPTH):
            entry = self._library.find_tile(self._directory(*place), wanted)
            if entry is None:
                return None
            if entry.run_length:
                start = self._header["tile_data_offset"] + entry.offset
                return self._bytes(start, entry.length, f"tile {tile}", MAX_TILE_BYTES) or None
            place = self._header["leaf_directory_offset"] + entry.offset, entry.length
        raise self._damaged(f"its directories are nested deeper than {_MAX_DEPTH}")

    def __enter__(self) -> PmtilesStore:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def _read_header(self) -> Any:  # noqa: ANN401 - a typed dictionary of the library
        library, start = self._library, self._bytes(0, min(127, self._size), "header", 127)
        if start[:7] != b"PMTiles":
            raise ImageryError(
                f"{self.path} is no PMTiles file: it begins with {start[:7]!r} instead of "
                "b'PMTiles'; fetch or convert it again"
            )
        if len(start) < 127:
            raise self._damaged(f"it ends after {self._size} bytes, its header has 127")
        if start[7] != 3:
            raise ImageryError(
                f"{self.path} is PMTiles version {start[7]}, version 3 is read; convert it with "
                "'pmtiles convert'"
            )
        try:
            header = library.deserialize_header(start)
        except _DAMAGE as error:
            raise self._damaged(f"its header: {first_line(error)}") from error
        if header["tile_type"] in (library.TileType.MVT, library.TileType.MLT):
            raise ImageryError(
                f"{self.path} holds vector tiles, which are no picture; give one of JPEG, PNG or "
                "WebP tiles"
            )
        packed, inner = header["internal_compression"], header["tile_compression"]
        none = (library.Compression.NONE, library.Compression.UNKNOWN)
        if packed != library.Compression.GZIP or inner not in none:
            raise ImageryError(
                f"{self.path} has directories compressed by {packed.name} and tiles by "
                f"{inner.name}; GZIP and NONE are read: convert it with 'pmtiles convert'"
            )
        return header

    def _read_credit(self) -> Credit:
        offset, length = self._header["metadata_offset"], self._header["metadata_length"]
        if not length:
            return Credit()
        try:
            metadata = json.loads(self._unpacked(offset, length, "metadata"))
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"its metadata: {first_line(error)}") from error
        return Credit.of(metadata) if isinstance(metadata, dict) else Credit()

    def _survey(self) -> tuple[Mapping[int, TileSpan], Mapping[int, int]]:
        """Rectangles and numbers of tiles by zoom."""
        runs = list(self._runs(self._header["root_offset"], self._header["root_length"], 0, set()))
        starts, lengths = (np.concatenate(part) for part in zip(*runs, strict=True))
        total = int(lengths.sum())
        if not 0 < total <= _MAX_TILES:
            raise ImageryError(
                f"{self.path} holds {total:,} tiles, 1..{_MAX_TILES:,} can be read; extract the "
                "area you need with 'pmtiles extract'"
            )
        ids = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(total)
        spans, counts = {}, {}
        for zoom in range(MAX_ZOOM + 1):
            base = ((1 << 2 * zoom) - 1) // 3
            here = ids[(ids >= base) & (ids < base + (1 << 2 * zoom))] - base
            if len(here):
                x, y = hilbert_xy(here, zoom)
                spans[zoom] = TileSpan.around(zoom, np.unique(x), (int(y.min()), int(y.max())))
                counts[zoom] = len(here)
        if not spans:
            raise ImageryError(f"{self.path} holds no tile of zoom 0..{MAX_ZOOM}")
        return spans, counts

    def _runs(
        self, offset: int, length: int, depth: int, seen: set[tuple[int, int]]
    ) -> Iterator[tuple[IdArray, IdArray]]:
        """First ids and lengths of runs of tiles, directory by directory."""
        if depth == _MAX_DEPTH or (offset, length) in seen:
            raise self._damaged("its directories point at each other")
        seen.add((offset, length))
        entries = self._read_directory(offset, length)
        for entry in entries:
            if not entry.run_length:
                leaf = self._header["leaf_directory_offset"] + entry.offset
                yield from self._runs(leaf, entry.length, depth + 1, seen)
        found = [(entry.tile_id, entry.run_length) for entry in entries if entry.run_length]
        try:
            table = np.array(found, np.int64).reshape(-1, 2)
        except OverflowError as error:
            raise self._damaged("a tile id beyond 64 bits") from error
        if (table < 0).any() or table[:, 1].max(initial=0) > _MAX_TILES:
            raise self._damaged(f"a run of {table[:, 1].max()} tiles")
        yield table[:, 0], table[:, 1]

    def _read_directory(self, offset: int, length: int) -> list[Any]:
        self._unpacked(offset, length, "directory")  # its size first: the library does not look
        try:
            packed = self._bytes(offset, length, "directory", _MAX_UNPACKED)
            return list(self._library.deserialize_directory(packed))
        except _DAMAGE as error:
            raise self._damaged(f"a directory: {first_line(error)}") from error

    def _unpacked(self, offset: int, length: int, what: str) -> bytes:
        packed = self._bytes(offset, length, what, _MAX_UNPACKED)
        try:
            inflater = zlib.decompressobj(31)
            data = inflater.decompress(packed, _MAX_UNPACKED + 1)
        except zlib.error as error:
            raise self._damaged(f"its {what} at byte {offset}: {error}") from error
        if len(data) > _MAX_UNPACKED:
            raise self._damaged(
                f"its {what} at byte {offset} unpacks to more than {_MAX_UNPACKED >> 20} MiB"
            )
        if not inflater.eof:
            raise self._damaged(f"its {what} at byte {offset} is cut off after {length} bytes")
        return data

    def _bytes(self, offset: int, length: int, what: str, most: int) -> bytes:
        if offset + length > self._size:
            raise self._damaged(
                f"its {what} should lie at bytes {offset}..{offset + length}, the file has "
                f"{self._size}"
            )
        if length > most:
            raise self._damaged(f"its {what} has {length} bytes, at most {most} are read")
        self._file.seek(offset)
        return self._file.read(length)

    def _damaged(self, why: str) -> ImageryError:
        return ImageryError(
            f"{self.path} is damaged or no PMTiles file: {why}; fetch or convert it again"
        )


def hilbert_xy(positions: IdArray, zoom: int) -> tuple[IdArray, IdArray]:
    """Columns and rows (N,) of positions (N,) along PMTiles' Hilbert curve of a zoom."""
    x, y, rest = np.zeros_like(positions), np.zeros_like(positions), positions.copy()
    for level in range(zoom):
        side = np.int64(1 << level)
        right = (rest // 2) & 1
        down = (rest ^ right) & 1
        mirror = (down == 0) & (right == 1)
        x, y = np.where(mirror, side - 1 - x, x), np.where(mirror, side - 1 - y, y)
        x, y = np.where(down == 0, y, x), np.where(down == 0, x, y)
        x, y = x + side * right, y + side * down
        rest >>= 2
    return x, y
