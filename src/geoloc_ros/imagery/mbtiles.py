# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""MBTiles (version 1.3): tiles in an SQLite database, read and written.

Rows are counted from the south in the file (TMS) and from the north everywhere else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.tile_picture import MAX_TILE_BYTES
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tile_store import Credit
from geoloc_ros.imagery.tiles import MAX_ZOOM, Tile

#: Metadata of an unfinished fetch: how many tiles are still to come.
TO_COME = "geoloc_tiles_to_come"
#: No query of a sound file takes longer, s; a view made to never end does.
_QUERY_S = 120.0
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = 0x4D504258  # MPBX, as the specification asks

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metadata (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS tiles (
  zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);
CREATE UNIQUE INDEX IF NOT EXISTS tile_index ON tiles (zoom_level, tile_column, tile_row);
"""


class MbtilesStore:
    """An MBTiles file, open for reading; see `tile_store.TileStore`."""

    kind = "MBTiles"

    def __init__(self, path: Path) -> None:
        """Open it and look how far its tiles reach.

        Raises:
            ImageryError: no MBTiles file, damaged, without tiles or with vector tiles.
        """
        self.path = path
        _check_magic(path)
        uri = f"{path.resolve().as_uri()}?mode=ro"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self._deadline = 0.0
        self._database.set_progress_handler(lambda: time.monotonic() > self._deadline, 100_000)
        try:
            metadata = self.metadata
            if metadata.get("format") in ("pbf", "mvt"):
                raise ImageryError(
                    f"{path} holds vector tiles (format {metadata['format']}), which are no "
                    "picture; give one of JPEG, PNG or WebP tiles"
                )
            self.credit = Credit.of(metadata)
            self.to_come = _count(metadata.get(TO_COME, "0"))
            self.counts: Mapping[int, int] = {
                zoom: self._one("SELECT count(*) FROM tiles WHERE zoom_level = ?", zoom)
                for zoom in range(MAX_ZOOM + 1)
                if self._rows("SELECT 1 FROM tiles WHERE zoom_level = ? LIMIT 1", zoom)
            }
            self.spans: Mapping[int, TileSpan] = {zoom: self._span(zoom) for zoom in self.counts}
            if not self.counts:
                raise ImageryError(f"{path} holds no tile of zoom 0..{MAX_ZOOM}; fetch it again")
        except BaseException:
            self._database.close()
            raise

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself.

        Raises:
            ImageryError: the file is damaged.
        """
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'metadata'"):
            return {}
        rows = self._rows("SELECT name, value FROM metadata")
        return {str(name): str(value) for name, value in rows}

    def read(self, tile: Tile) -> bytes | None:
        """The encoded picture, None if there is none.

        Raises:
            ImageryError: the file is damaged there, or the picture is too large.
        """
        where = "FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
        place = (tile.zoom, tile.x, (1 << tile.zoom) - 1 - tile.y)
        size = self._rows(f"SELECT length(tile_data) {where}", *place)
        if not size or not size[0][0]:
            return None
        if not size[0][0] <= MAX_TILE_BYTES:
            raise ImageryError(
                f"tile {tile} of {self.path} has {size[0][0] / 1e6:.1f} MB, at most "
                f"{MAX_TILE_BYTES / 1e6:.1f} MB are read; it is no tile: fetch it again"
            )
        data = self._rows(f"SELECT tile_data {where}", *place)[0][0]
        if not isinstance(data, bytes):
            raise ImageryError(f"tile {tile} of {self.path} is text, no picture; fetch it again")
        return data

    def __enter__(self) -> MbtilesStore:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._database.close()

    def _span(self, zoom: int) -> TileSpan:
        side = 1 << zoom
        found = self._rows("SELECT DISTINCT tile_column FROM tiles WHERE zoom_level = ?", zoom)
        columns = [row[0] for row in found]
        south, north = self._rows(
            "SELECT min(tile_row), max(tile_row) FROM tiles WHERE zoom_level = ?", zoom
        )[0]
        for number in (*columns, south, north):
            if not isinstance(number, int) or not 0 <= number < side:
                raise ImageryError(
                    f"{self.path} has a tile in column or row {number!r:.40} of zoom {zoom}, "
                    f"which has 0..{side - 1}; it is damaged: fetch or convert it again"
                )
        return TileSpan.around(zoom, columns, (side - 1 - north, side - 1 - south))

    def _one(self, query: str, *values: int) -> int:
        return int(self._rows(query, *values)[0][0])

    def _rows(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        self._deadline = time.monotonic() + _QUERY_S
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise _cannot_write(self.path, error) from error
            slow = "interrupted" in str(error)
            reason = f"a query took more than {_QUERY_S:.0f} s" if slow else str(error)
            raise ImageryError(
                f"{self.path} is no sound MBTiles file: {reason}; fetch or convert it again"
            ) from error


class MbtilesWriter:
    """An MBTiles file, open for writing: each `commit` leaves a sound file, whatever follows.

    Writes survive a killed process once committed; a crash of the whole machine may take back
    the last commits, and nothing else.
    """

    def __init__(self, path: Path, more: str = "") -> None:
        """Open or create the file.

        Args:
            path: where.
            more: SQL of further tables.

        Raises:
            ImageryError: it cannot be created, or is something else.
        """
        self.path = path
        if path.exists():
            _check_magic(path)
        try:
            # one writer at a time: the lock is held as long as the file is open
            self.database = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            self.database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.database.execute("PRAGMA journal_mode = WAL")
            self.database.execute("PRAGMA synchronous = NORMAL")
            self.database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self.database.execute("BEGIN IMMEDIATE")
            for statement in (_SCHEMA + more).split(";"):
                self.database.execute(statement)
            self.database.execute("COMMIT")
            self.database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self.database.close()
            raise _cannot_write(path, error) from error

    def put(self, tile: Tile, data: bytes) -> None:
        """Keep a tile's encoded picture, in the place of what was there.

        Raises:
            ImageryError: the disk refuses.
        """
        row = (1 << tile.zoom) - 1 - tile.y
        self.execute(
            "INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)", tile.zoom, tile.x, row, data
        )

    def drop(self, tile: Tile) -> None:
        """Forget a tile, if it is there.

        Raises:
            ImageryError: the disk refuses.
        """
        row = (1 << tile.zoom) - 1 - tile.y
        self.execute(
            "DELETE FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?",
            tile.zoom, tile.x, row,
        )  # fmt: skip

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Set metadata; what is there under other names stays.

        Raises:
            ImageryError: the disk refuses.
        """
        for name, value in metadata.items():
            self.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?)", name, value)

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement within the transaction.

        Raises:
            ImageryError: the disk refuses, or the file is damaged.
        """
        try:
            return self.database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _cannot_write(self.path, error) from error

    def commit(self) -> None:
        """Make what was written last.

        Raises:
            ImageryError: the disk refuses.
        """
        self.execute("COMMIT")
        self.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Commit, and leave one file that can be read from a write-protected disk.

        Raises:
            ImageryError: the disk refuses.
        """
        try:
            self.execute("COMMIT")
            self.execute("PRAGMA journal_mode = DELETE")
            # a reader of what a killed process left may have made this; now nobody can use it
            Path(f"{self.path}-shm").unlink(missing_ok=True)
        finally:
            self.database.close()


def span_metadata(span: TileSpan, name: str, kind: str, credit: Credit) -> dict[str, str]:
    """What a file of one zoom says about itself.

    Args:
        span: the tiles it covers.
        name: for people.
        kind: format of the pictures: jpg, png or webp.
        credit: whose imagery it is.
    """
    area = span.area
    return {
        "name": name,
        "format": kind,
        "bounds": f"{area.west:.7f},{area.south:.7f},{area.east:.7f},{area.north:.7f}",
        "center": f"{area.centre.lon_deg:.7f},{area.centre.lat_deg:.7f},{span.zoom}",
        "minzoom": str(span.zoom),
        "maxzoom": str(span.zoom),
        "type": "baselayer",
        "attribution": credit.attribution,
        "terms": credit.terms,
    }


def _check_magic(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start and start != _MAGIC:
        raise ImageryError(
            f"{path} is no MBTiles file: it begins with {start[:16]!r} instead of "
            f"{_MAGIC[:15].decode()!r}; fetch or convert it again"
        )


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _cannot_write(path: Path, error: sqlite3.Error) -> ImageryError:
    if "locked" in str(error):
        return ImageryError(f"{path} is in use by another command; wait until it has ended")
    full = "full" in str(error) or "disk I/O" in str(error)
    return ImageryError(f"cannot write {path}: {error}{'; is the disk full?' if full else ''}")
