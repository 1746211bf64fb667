# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiles of others become one MBTiles file: one zoom, every tile looked at, credit stated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from geoloc_ros.errors import ImageDecodeError, ImageryError
from geoloc_ros.imagery.mbtiles import MbtilesWriter, span_metadata
from geoloc_ros.imagery.tile_picture import decode, look
from geoloc_ros.imagery.tile_raster import zooms_text
from geoloc_ros.imagery.tile_span import Area, TileSpan
from geoloc_ros.imagery.tile_store import Credit, TileStore

#: Most tiles of a rectangle: beyond that it is no area a vehicle drives in.
MAX_TILES = 20_000_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    Attributes:
        span: the rectangle of tiles.
        tiles: how many of them there are.
        missing: how many are not.
    """

    span: TileSpan
    tiles: int
    missing: int


def import_tiles(
    store: TileStore,
    out: Path,
    credit: Credit,
    zoom: int | None = None,
    area: Area | None = None,
    progress: bool = True,
) -> Imported:
    """Copy the tiles of one zoom, each decoded once to see that it is sound.

    The file appears under its name only when complete.

    Args:
        store: where from.
        out: MBTiles file to write, or to replace.
        credit: whose imagery it is; both parts are needed.
        zoom: which; None: the finest there is.
        area: only tiles that touch it; None: all.
        progress: show a progress bar on stderr.

    Raises:
        ImageryError: no such zoom, no tile in the area, a damaged tile or one of another size,
            credit not stated, or the file cannot be written.
    """
    credit = credit.required(str(store.path))
    span = _chosen(store, zoom, area)
    part = out.with_name(out.name + ".part")
    if out.resolve() == store.path.resolve():
        raise ImageryError(f"{out} cannot be imported into itself; choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        formats, missing = _copy(store, span, part, out.stem, credit, progress)
        if not formats:
            raise ImageryError(f"{store.path} has no tile of zoom {span.zoom} in {area}")
        part.replace(out)
    except OSError as error:
        raise ImageryError(f"cannot write {out}: {error.strerror}") from error
    finally:
        for leftover in (part, *(Path(f"{part}-{end}") for end in ("wal", "shm", "journal"))):
            leftover.unlink(missing_ok=True)
    return Imported(span, sum(formats.values()), missing)


def _chosen(store: TileStore, zoom: int | None, area: Area | None) -> TileSpan:
    zoom = max(store.spans) if zoom is None else zoom
    if zoom not in store.spans:
        raise ImageryError(f"{store.path} has no tile of zoom {zoom}; it has {zooms_text(store)}")
    span = store.spans[zoom] if area is None else TileSpan.covering(area, zoom)
    if len(span) > MAX_TILES:
        raise ImageryError(
            f"the rectangle has {len(span):,} tiles of zoom {zoom}, at most {MAX_TILES:,} are "
            "copied: give a smaller area with --bounds or --around, or a coarser --zoom"
        )
    return span


def _copy(
    store: TileStore, span: TileSpan, part: Path, name: str, credit: Credit, progress: bool
) -> tuple[Counter[str], int]:
    """Formats of the tiles copied, and how many positions are empty."""
    writer = MbtilesWriter(part)
    formats: Counter[str] = Counter()
    side: int | None = None
    try:
        for number, tile in enumerate(
            tqdm(span, total=len(span), desc="import", unit="tile", disable=not progress)
        ):
            data = store.read(tile)
            if data is None:
                continue
            try:
                kind, side = look(data, f"tile {tile} of {store.path}", side)
                decode(data, f"tile {tile} of {store.path}", side)
            except ImageDecodeError as error:
                raise ImageryError(
                    f"damaged tile: {error}; fetch it again, or remove it"
                ) from error
            formats[kind] += 1
            writer.put(tile, data)
            if number % 1000 == 999:
                writer.commit()
        kind = formats.most_common(1)[0][0] if formats else ""
        writer.describe(span_metadata(span, name, kind, credit))
    finally:
        writer.close()
    return formats, len(span) - sum(formats.values())
