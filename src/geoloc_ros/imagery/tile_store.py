# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that hold web-mercator tiles: what all of them can do, and which there are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tiles import Tile, find_tiles

#: Ends of the names of such files.
SUFFIXES = (".mbtiles", ".pmtiles")
#: Names under which files state the terms of use of their imagery, the first is ours.
TERMS_KEYS = ("terms", "license", "licence")


@dataclass(frozen=True, slots=True)
class Credit:
    """Whose imagery it is and what may be done with it.

    Attributes:
        attribution: whom to name.
        terms: the licence, or where it stands.
    """

    attribution: str = ""
    terms: str = ""

    @staticmethod
    def of(metadata: Mapping[str, object]) -> Credit:
        """What a file's metadata say, whatever the case of their names."""
        texts = {str(k).lower(): v.strip() for k, v in metadata.items() if isinstance(v, str)}
        terms = next((texts[key] for key in TERMS_KEYS if texts.get(key)), "")
        return Credit(texts.get("attribution", ""), terms)

    def filled(self, attribution: str | None, terms: str | None) -> Credit:
        """With what a person says, where a person says something."""
        return Credit(
            (attribution or "").strip() or self.attribution, (terms or "").strip() or self.terms
        )

    def required(self, what: str) -> Credit:
        """Itself.

        Raises:
            ImageryError: one of both is not stated.
        """
        missing = [name for name in ("attribution", "terms") if not getattr(self, name)]
        if missing:
            raise ImageryError(
                f"{what} does not state its {' and '.join(missing)}; add "
                + " and ".join(f"--{name} TEXT" for name in missing)
                + ": whom to name, and the licence or where the terms of use stand"
            )
        return self


class TileStore(AbstractContextManager["TileStore"], Protocol):
    """Tiles in a file or a folder.

    Attributes:
        path: the file or folder.
        kind: what it is, for people.
        spans: by zoom, the smallest rectangle that holds its tiles; never empty.
        counts: by zoom, how many tiles there are.
        credit: what the file says of its imagery.
        to_come: how many tiles an unfinished fetch still has to bring; 0 for a finished file.
    """

    path: Path
    kind: str
    spans: Mapping[int, TileSpan]
    counts: Mapping[int, int]
    credit: Credit
    to_come: int

    def read(self, tile: Tile) -> bytes | None:
        """The encoded picture; None: there is none.

        Raises:
            ImageryError: the file is damaged there.
        """


class FolderStore:
    """Tiles of one zoom in a folder, `{z}_{x}_{y}.jpg` or `{z}/{x}/{y}.png`; see `TileStore`."""

    kind = "folder of tiles"
    credit = Credit()
    to_come = 0

    def __init__(self, path: Path, zoom: int | None = None) -> None:
        """Look what is there; for what is refused see `tiles.find_tiles`."""
        self.path, self._files = path, find_tiles(path, zoom)
        rows = [tile.y for tile in self._files]
        found = next(iter(self._files)).zoom
        columns = [tile.x for tile in self._files]
        self.spans: Mapping[int, TileSpan] = {
            found: TileSpan.around(found, columns, (min(rows), max(rows)))
        }
        self.counts: Mapping[int, int] = {found: len(self._files)}

    def read(self, tile: Tile) -> bytes | None:
        """The encoded picture, None if there is none.

        Raises:
            ImageryError: its file cannot be read.
        """
        path = self._files.get(tile)
        try:
            return None if path is None else path.read_bytes() or None
        except OSError as error:
            raise ImageryError(f"cannot read tile {path}: {error.strerror}") from error

    def __enter__(self) -> FolderStore:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""


def is_tile_file(path: Path) -> bool:
    """Whether a file is named like one of tiles."""
    return path.suffix.lower() in SUFFIXES


def open_store(path: Path, zoom: int | None = None) -> TileStore:
    """Open an MBTiles or PMTiles file, or a folder of tiles.

    Args:
        path: the file or folder.
        zoom: of the tiles in a folder; None: the only one there is.

    Raises:
        ImageryError: there is none, or it is something else or damaged.
    """
    from geoloc_ros.imagery.mbtiles import MbtilesStore

    if path.is_dir():
        return FolderStore(path, zoom)
    if not path.is_file():
        raise ImageryError(f"no imagery at {path}; give an MBTiles or PMTiles file")
    if path.suffix.lower() == ".mbtiles":
        return MbtilesStore(path)
    from geoloc_ros.imagery.pmtiles_file import PmtilesStore

    return PmtilesStore(path)
