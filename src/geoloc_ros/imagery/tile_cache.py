# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The cache of a fetch: an MBTiles file that also knows what was asked and what is to come."""

from __future__ import annotations

import hashlib
from pathlib import Path

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.mbtiles import TO_COME, MbtilesWriter, span_metadata
from geoloc_ros.imagery.tile_client import Answer, Known
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tile_store import Credit
from geoloc_ros.imagery.tile_url import TileUrl
from geoloc_ros.imagery.tiles import Tile

_TABLE = """
CREATE TABLE IF NOT EXISTS geoloc_fetch (
  x INTEGER, y INTEGER, missing INTEGER, etag TEXT, modified TEXT, sha256 BLOB,
  PRIMARY KEY (x, y)) WITHOUT ROWID;
"""
_SOURCE_SHA256, _SIDE, _ZOOM = "geoloc_source_sha256", "geoloc_tile_px", "geoloc_zoom"


class TileCache:
    """Tiles of one server and one zoom, in an MBTiles file that this process alone writes."""

    def __init__(self, path: Path, url: TileUrl, zoom: int) -> None:
        """Open or create it.

        Raises:
            ImageryError: it holds other tiles, is in use, is no MBTiles file, or cannot be
                written.
        """
        self.path, self.url, self.zoom = path, url, zoom
        path.parent.mkdir(parents=True, exist_ok=True)
        self._new = not path.exists()
        self._file = MbtilesWriter(path, _TABLE)
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise
        self.side_px = int(self._value(_SIDE) or 0) or None
        self.format = self._value("format")
        self._to_come = 0

    @property
    def credit(self) -> Credit:
        """What the file states, nothing if it is new."""
        return Credit(self._value("attribution"), self._value("terms"))

    @property
    def unfinished(self) -> bool:
        """Whether the file is said to lack tiles."""
        return self._value(TO_COME) not in ("", "0")

    @property
    def mean_bytes(self) -> float | None:
        """Mean size of a tile; None of fewer than 16."""
        count, mean = self._file.execute(
            "SELECT count(*), avg(length(tile_data)) FROM (SELECT tile_data FROM tiles LIMIT 4096)"
        )[0]
        return float(mean) if count >= 16 else None

    def asked(self, span: TileSpan) -> set[tuple[int, int]]:
        """Columns and rows in a rectangle that the server has answered for."""
        rows = self._file.execute(
            "SELECT x, y FROM geoloc_fetch WHERE y >= ? AND y < ?", span.y, span.y + span.rows
        )
        return {(x, y) for x, y in rows}

    def known(self, tile: Tile) -> Known | None:
        """What the server said about a tile that is there; None if it is not."""
        rows = self._file.execute(
            "SELECT etag, modified FROM geoloc_fetch WHERE x = ? AND y = ? AND missing = 0",
            tile.x, tile.y,
        )  # fmt: skip
        return Known(*map(str, rows[0])) if rows else None

    def begin(self, span: TileSpan, credit: Credit, to_come: int) -> None:
        """Write down what is about to be fetched.

        Raises:
            ImageryError: the disk refuses.
        """
        self._to_come = to_come
        self._file.describe(span_metadata(span, self.path.stem, self.format, credit))
        self._file.describe(
            {
                "source": self.url.shown,
                _SOURCE_SHA256: self.url.sha256,
                _ZOOM: str(self.zoom),
                TO_COME: str(to_come),
            }
        )
        self._file.commit()

    def keep(self, answer: Answer) -> None:
        """Write what the server said of a tile; what failed is not written.

        Raises:
            ImageryError: the disk refuses.
        """
        if answer.kind == "failed":
            return
        self._to_come -= 1
        if answer.kind == "same":
            return
        tile, known = answer.tile, answer.known
        digest = b""
        if answer.kind == "tile":
            if self.side_px is None:
                self.side_px, self.format = answer.side_px, answer.format
                self._file.describe({_SIDE: str(answer.side_px), "format": answer.format})
            self._file.put(tile, answer.data)
            digest = hashlib.sha256(answer.data).digest()
        else:
            self._file.drop(tile)
        self._file.execute(
            "INSERT OR REPLACE INTO geoloc_fetch VALUES (?, ?, ?, ?, ?, ?)",
            tile.x, tile.y, int(answer.kind == "missing"), known.etag, known.modified, digest,
        )  # fmt: skip

    def commit(self) -> None:
        """Make what came last, and say how much is still to come.

        Raises:
            ImageryError: the disk refuses.
        """
        self._file.describe({TO_COME: str(self._to_come)})
        self._file.commit()

    def counts(self) -> tuple[int, int]:
        """How many tiles are there, and how many the server does not have."""
        query = "SELECT count(*), coalesce(sum(missing), 0) FROM geoloc_fetch"
        asked, missing = self._file.execute(query)[0]
        return int(asked - missing), int(missing)

    def most_alike(self) -> tuple[int, Tile] | None:
        """How many tiles hold the most frequent picture, and one of them."""
        rows = self._file.execute(
            "SELECT count(*), min(x), min(y), sha256 FROM geoloc_fetch WHERE missing = 0 "
            "GROUP BY sha256 ORDER BY 1 DESC LIMIT 1"
        )
        if not rows:
            return None
        count, digest = rows[0][0], rows[0][3]
        x, y = self._file.execute(
            "SELECT x, y FROM geoloc_fetch WHERE sha256 = ? LIMIT 1", digest
        )[0]
        return int(count), Tile(self.zoom, x, y)

    def close(self) -> None:
        """State what the whole file covers, and close it; nothing is left where nothing came.

        Raises:
            ImageryError: the disk refuses.
        """
        empty = self._new and not any(self.counts())
        try:
            self._state_bounds()
        finally:
            self._file.close()
        if empty:
            self.path.unlink()

    def _state_bounds(self) -> None:
        columns = [row[0] for row in self._file.execute("SELECT DISTINCT x FROM geoloc_fetch")]
        if columns:
            low, high = self._file.execute("SELECT min(y), max(y) FROM geoloc_fetch")[0]
            whole = TileSpan.around(self.zoom, columns, (low, high))
            self._file.describe(span_metadata(whole, self.path.stem, self.format, self.credit))

    def _check(self) -> None:
        source, zoom = self._value(_SOURCE_SHA256), self._value(_ZOOM)
        if not source and self._file.execute("SELECT 1 FROM tiles LIMIT 1"):
            raise ImageryError(f"{self.path} was not fetched but imported; choose another --out")
        if source and source != self.url.sha256:
            raise ImageryError(
                f"{self.path} was fetched from {self._value('source')}, by another address than "
                f"{self.url.shown}; choose another --out"
            )
        if zoom and zoom != str(self.zoom):
            raise ImageryError(
                f"{self.path} holds zoom {zoom}, not {self.zoom}; one zoom a file: choose another "
                "--out"
            )

    def _value(self, name: str) -> str:
        rows = self._file.execute("SELECT value FROM metadata WHERE name = ?", name)
        return str(rows[0][0]) if rows else ""
