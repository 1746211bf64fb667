# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fetching an area's tiles into a cache: planned first, then asked for, resumed after anything."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from tqdm import tqdm

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.manners import Manners
from geoloc_ros.imagery.tile_cache import TileCache
from geoloc_ros.imagery.tile_client import Answer, TileClient
from geoloc_ros.imagery.tile_span import Area, TileSpan, metres_per_pixel
from geoloc_ros.imagery.tile_store import Credit
from geoloc_ros.imagery.tile_url import TileUrl
from geoloc_ros.imagery.tiles import Tile

#: Most tiles of one fetch: 350 km2 of zoom 20 at 46 degrees, 5600 km2 of zoom 18.
MAX_TILES = 1_000_000
#: A photograph of 256 x 256 px, bytes; taken until there are some to average.
_ASSUMED_BYTES = 20_000
_COARSEST_M, _FINEST_M = 20.0, 0.02
_SPARE_BYTES = 100 << 20
_COMMIT_S = 1.0
#: So many tiles of one picture, and this share, are worth a word.
_ALIKE, _ALIKE_SHARE = 8, 0.02
#: So many failures in a row, or tiles the server does not have and none that it has: it is no use.
_HOPELESS_FAILED, _HOPELESS_MISSING = 20, 200


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fetch will do.

    Attributes:
        span: the rectangle of tiles.
        there: how many of them the cache knows.
        to_come: how many will be asked for.
        bytes: estimate of what will come.
        measured: whether the estimate rests on tiles that are there.
        seconds: how long it takes at least.
        gsd_m: metres per pixel on the ground, for tiles of 256 px.
        refresh: whether tiles that are there are asked for, too.
    """

    span: TileSpan
    there: int
    to_come: int
    bytes: float
    measured: bool
    seconds: float
    gsd_m: float
    refresh: bool


@dataclass
class Fetched:
    """What became of a fetch.

    Attributes:
        new: tiles that came.
        same: tiles that the server says have not changed.
        missing: tiles that the server does not have.
        failed: why tiles did not come, by tile.
        bytes: that came.
        in_row: the last so many failed.
    """

    new: int = 0
    same: int = 0
    missing: int = 0
    failed: dict[Tile, str] = field(default_factory=dict)
    bytes: int = 0
    in_row: int = 0


def make_plan(cache: TileCache, area: Area, manners: Manners, refresh: bool) -> Plan:
    """Count and estimate; asks the server nothing.

    Raises:
        ImageryError: too coarse or fine a zoom, too many tiles, or too little space on the disk.
    """
    span = TileSpan.covering(area, cache.zoom)
    gsd_m = metres_per_pixel(cache.zoom, area.centre.lat_deg)
    if not _FINEST_M <= gsd_m <= _COARSEST_M:
        raise ImageryError(
            f"zoom {cache.zoom} has {gsd_m:.3g} m per pixel there; {_FINEST_M:g}..{_COARSEST_M:g} "
            "m are of use: zooms 16 to 20 are usual"
        )
    if len(span) > MAX_TILES:
        raise ImageryError(
            f"the area has {len(span):,} tiles of zoom {cache.zoom}; at most {MAX_TILES:,} are "
            "fetched at once: choose a smaller area or a coarser --zoom"
        )
    asked = cache.asked(span)
    there = sum((tile.x, tile.y) in asked for tile in span)
    to_come = len(span) if refresh else len(span) - there
    mean = cache.mean_bytes
    estimate = to_come * (_ASSUMED_BYTES if mean is None else mean)
    free = shutil.disk_usage(cache.path.parent).free
    if 1.2 * estimate + _SPARE_BYTES > free:
        raise ImageryError(
            f"{to_come:,} tiles take about {estimate / 1e6:,.0f} MB, but {cache.path.parent} has "
            f"{free / 1e6:,.0f} MB free; free some, or choose another --out or a smaller area"
        )
    seconds = to_come / manners.rate_hz
    return Plan(span, there, to_come, estimate, mean is not None, seconds, gsd_m, refresh)


def fetch(
    cache: TileCache, plan: Plan, credit: Credit, manners: Manners, progress: bool = True
) -> Fetched:
    """Carry out a plan; whatever ends it, what came is kept.

    Args:
        cache: where tiles go.
        plan: of `make_plan`.
        credit: whose imagery it is; both parts are needed.
        manners: how the server is treated.
        progress: show a progress bar with the time left on stderr.

    Returns:
        What came. Tiles in `failed` are still to come: fetch again.

    Raises:
        ImageryError: the server refuses, nothing comes at all, the disk refuses, or credit is
            not stated.
    """
    cache.begin(plan.span, credit.required(cache.url.shown), plan.to_come)
    stop, found = Event(), Fetched()
    client = TileClient(cache.url, manners, stop)
    bar = tqdm(total=plan.to_come, desc="fetch", unit="tile", disable=not progress)
    try:
        with bar, ThreadPoolExecutor(manners.connections) as pool:
            try:
                for answer in _answers(cache, plan, client, pool, manners.connections):
                    _take(cache, found, answer)
                    bar.update()
            finally:
                stop.set()
    finally:
        client.close()
        cache.commit()
    if not found.failed:
        _check_any(cache, found.missing)
    return found


def _answers(
    cache: TileCache, plan: Plan, client: TileClient, pool: ThreadPoolExecutor, connections: int
) -> Iterator[Answer]:
    """Keep every connection busy; what comes, in the order in which it comes."""
    waiting = _tiles(cache, plan)
    pending: set[Future[Answer]] = set()
    committed_s = time.monotonic()
    while True:
        # until one has come nobody knows how large the pictures are
        most = 2 * connections if cache.side_px else 1
        while len(pending) < most and (tile := next(waiting, None)) is not None:
            known = cache.known(tile) if plan.refresh else None
            pending.add(pool.submit(client.get, tile, known, cache.side_px))
        if not pending:
            return
        done, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
        if time.monotonic() - committed_s > _COMMIT_S:
            cache.commit()
            committed_s = time.monotonic()


def _take(cache: TileCache, found: Fetched, answer: Answer) -> None:
    """Count and keep what came."""
    cache.keep(answer)
    found.in_row = found.in_row + 1 if answer.kind == "failed" else 0
    if answer.kind == "tile":
        found.new += 1
        found.bytes += len(answer.data)
    elif answer.kind == "same":
        found.same += 1
    elif answer.kind == "missing":
        found.missing += 1
    else:
        found.failed[answer.tile] = answer.reason
    _check_hope(cache, found, answer)


def _tiles(cache: TileCache, plan: Plan) -> Iterator[Tile]:
    asked = set() if plan.refresh else cache.asked(plan.span)
    return (tile for tile in plan.span if (tile.x, tile.y) not in asked)


def _check_hope(cache: TileCache, found: Fetched, answer: Answer) -> None:
    if found.in_row >= _HOPELESS_FAILED:
        raise ImageryError(
            f"{found.in_row} tiles in a row did not come from {cache.url.shown}, the last, "
            f"{answer.tile}: {answer.reason}; run the same command again when the server is well: "
            "what has come is kept"
        )
    if found.missing == _HOPELESS_MISSING:
        _check_any(cache, found.missing)


def _check_any(cache: TileCache, missing: int) -> None:
    if not cache.counts()[0]:
        raise ImageryError(
            f"{cache.url.shown} has none of the {missing} tiles of zoom {cache.zoom} it was asked "
            "for; does it go that far? Try a coarser --zoom, or check the area"
        )


def open_cache(path: Path, url: TileUrl, zoom: int) -> TileCache:
    """Open or create the cache of a fetch.

    Raises:
        ImageryError: the name does not end in .mbtiles, or see `TileCache`.
    """
    if path.suffix.lower() != ".mbtiles":
        raise ImageryError(f"--out {path} must end in .mbtiles: that is what is written")
    return TileCache(path, url, zoom)


def alike(cache: TileCache) -> str:
    """A warning if many tiles hold the very same picture, "" if not."""
    found, total = cache.most_alike(), cache.counts()[0]
    if found is None or found[0] < max(_ALIKE, _ALIKE_SHARE * total):
        return ""
    return (
        f"{found[0]} of {total} tiles hold the very same picture, {found[1]} for one: if it is "
        "the server's sign for 'no imagery', it would be indexed as ground: look at it with "
        "'geoloc imagery preview', and try a coarser --zoom"
    )
