# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc imagery fetch`: fill the cache from a tile server, once, politely."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.cli.asking import confirm
from geoloc_ros.cli.imagery_options import add_area, add_credit, area_of
from geoloc_ros.errors import ConfigError, ImageryError
from geoloc_ros.imagery.manners import Manners
from geoloc_ros.imagery.tile_url import TileUrl

if TYPE_CHECKING:
    from geoloc_ros.imagery.fetch import Fetched, Plan
    from geoloc_ros.imagery.tile_cache import TileCache
    from geoloc_ros.imagery.tile_store import Credit

_DEFAULTS = Manners()

_DESCRIPTION = """\
Fetch the tiles of an area from a tile server into an MBTiles file, for use without a network.
Many servers forbid this: read their terms first, and state them with --terms.

What will be fetched, about how many bytes, and how long it takes at least is said before the
first request, and asked. An interrupted fetch, killed or not, goes on when the same command is
run again; no tile that came is asked for twice.

The server is treated as well as can be: a name, few connections, a fixed rate that halves when
it complains, pauses as long as it asks for, and --refresh asks only for what has changed.
"""

_EPILOG = """\
templates:
  https://HOST/{z}/{x}/{y}.jpg             {-y} if rows count from the south
  https://HOST/wmts/{TileMatrix}/{TileRow}/{TileCol}.jpeg     a web-mercator matrix set
  https://{switch:a,b,c}.HOST/{q}.png      servers taken in turn; quadkeys

example:
  geoloc imagery fetch --url 'https://tiles.example.org/ortho/{z}/{x}/{y}.jpg' --zoom 18 \\
      --around 46.52 6.63 2000 --out lausanne.mbtiles \\
      --attribution "© Example Survey" --terms "https://example.org/terms, offline use allowed"
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "fetch",
        help="fetch an area from a tile server into the cache",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", required=True, metavar="TEMPLATE", help="address of the tiles")
    parser.add_argument(
        "--zoom",
        type=int,
        required=True,
        help="of the tiles; 18 has 0.6 m per pixel at the equator",
    )
    add_area(parser, "the area", required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="OUT.mbtiles, new or to go on with"
    )
    add_credit(parser, "; needed the first time")
    parser.add_argument(
        "--rate", type=float, default=_DEFAULTS.rate_hz, help="requests a second (%(default)s)"
    )
    parser.add_argument(
        "--connections", type=int, default=_DEFAULTS.connections, help="at a time (%(default)s)"
    )
    parser.add_argument(
        "--refresh", action="store_true", help="ask for tiles that are there, too, if they changed"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before it starts")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_fetch)


def _fetch(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.fetch import fetch, make_plan, open_cache

    manners = dataclasses.replace(
        _DEFAULTS, rate_hz=arguments.rate, connections=arguments.connections
    )
    url, area = TileUrl(arguments.url), area_of(arguments)
    if area is None:  # argparse has asked for one
        raise ConfigError("fetch needs --bounds or --around")
    cache = open_cache(arguments.out, url, arguments.zoom)
    try:
        credit = cache.credit.filled(arguments.attribution, arguments.terms).required(url.shown)
        plan = make_plan(cache, area, manners, arguments.refresh)
        _show(plan, cache, credit, str(area))
        if not plan.to_come and not cache.unfinished:
            print("nothing is to come; --refresh asks whether tiles have changed")
            return 0
        if plan.to_come and not arguments.yes:
            confirm(f"fetch {plan.to_come} tiles")
        found = fetch(cache, plan, credit, manners, progress=not arguments.quiet)
        _report(found, cache)
    finally:
        cache.close()
    return 0


def _show(plan: Plan, cache: TileCache, credit: Credit, area: str) -> None:
    span = plan.span
    how = "measured" if plan.measured else "assumed"
    mean = plan.bytes / plan.to_come / 1e3 if plan.to_come else 0.0
    minutes = plan.seconds / 60.0
    rows = {
        "from": cache.url.shown,
        "to": str(cache.path),
        "area": area,
        "tiles": f"{len(span)} of zoom {span.zoom}, {span.columns}x{span.rows}, "
        f"{plan.gsd_m:.2f} m per pixel of 256-px tiles; {plan.there} are there",
        "to come": f"{plan.to_come} tiles, about {plan.bytes / 1e6:.1f} MB "
        f"({how} {mean:.0f} kB a tile), at least {minutes:.1f} minutes",
        "attribution": credit.attribution,
        "terms": credit.terms,
    }
    for key, value in rows.items():
        print(f"{key:12}{value}")


def _report(found: Fetched, cache: TileCache) -> None:
    from geoloc_ros.imagery.fetch import alike

    print(
        f"{cache.path}: {found.new} tiles came ({found.bytes / 1e6:.1f} MB), {found.same} have "
        f"not changed, the server does not have {found.missing}"
    )
    said = alike(cache)
    if said:
        print(said)
    if found.failed:
        tile, reason = next(iter(found.failed.items()))
        raise ImageryError(
            f"{len(found.failed)} tiles did not come, the first, {tile}: {reason}; run the same "
            "command again: what has come is kept"
        )
