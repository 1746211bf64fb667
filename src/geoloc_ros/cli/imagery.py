# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc imagery`: bring satellite imagery into the cache, say what it is, look at it."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc_ros.cli import imagery_fetch
from geoloc_ros.cli.imagery_options import add_area, add_credit, area_of
from geoloc_ros.errors import ConfigError

_IMPORT = """\
Bring imagery that lies on this disk into a form that 'geoloc index build' takes, and write down
whose it is. Nothing is resampled.

  rasters (GeoTIFF, JPEG 2000, whatever GDAL reads)  ->  OUT.tif, with mask and overviews;
      several rasters of one projection and pixel grid are joined, the first on top
  MBTiles, PMTiles, a folder of {z}/{x}/{y}.jpg      ->  OUT.mbtiles, every tile checked
"""

_IMPORT_EXAMPLES = """\
examples:
  geoloc imagery import dop_*.tif --out city.tif --attribution "© GeoBasis-DE / LVermGeo" \\
      --terms "dl-de/by-2-0"
  geoloc imagery import world.pmtiles --around 46.52 6.63 2000 --out lausanne.mbtiles
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "imagery", help="fetch, import, describe or look at satellite imagery"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    imagery_fetch.add_parser(verbs)
    _add_import(verbs)
    info = verbs.add_parser(
        "info", help="say what a file of imagery is, where it lies, whose it is"
    )
    info.add_argument("imagery", type=Path, help="GeoTIFF, MBTiles, PMTiles or a folder of tiles")
    info.set_defaults(run=_info)
    preview = verbs.add_parser(
        "preview",
        help="draw imagery, and roads on it, for people to look at",
        description="Draw all of the imagery with its scale, its holes (magenta) and its "
        "attribution; with roads (yellow), to see whether both agree before an index is built.",
    )
    preview.add_argument("imagery", type=Path, help="GeoTIFF, MBTiles or PMTiles")
    preview.add_argument("--out", type=Path, required=True, help="picture (.png) or page (.html)")
    preview.add_argument(
        "--roads", type=Path, help="roads to draw on it: GeoJSON or an OpenStreetMap extract"
    )
    preview.set_defaults(run=_preview)


def _add_import(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "import",
        help="bring imagery on this disk into the cache, with whose it is",
        description=_IMPORT,
        epilog=_IMPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources", type=Path, nargs="+", metavar="SOURCE", help="rasters, or one file of tiles"
    )
    parser.add_argument("--out", type=Path, required=True, help="OUT.tif or OUT.mbtiles")
    add_credit(parser, "; needed unless the source states it")
    add_area(parser, "only this area")
    parser.add_argument("--zoom", type=int, help="of the tiles to take (the finest there is)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_import)


def _import(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.facts import facts
    from geoloc_ros.imagery.raster_import import import_rasters
    from geoloc_ros.imagery.tile_import import import_tiles
    from geoloc_ros.imagery.tile_store import Credit, is_tile_file, open_store

    sources, out = arguments.sources, arguments.out
    tiles = [path for path in sources if path.is_dir() or is_tile_file(path)]
    if tiles and len(sources) > 1:
        raise ConfigError(
            f"{len(sources)} sources, {tiles[0]} holds tiles: files of tiles are imported one by "
            "one, only rasters are joined"
        )
    wanted = ".mbtiles" if tiles else ".tif"
    if out.suffix.lower() != wanted:
        raise ConfigError(
            f"--out {out} must end in {wanted}: "
            + ("tiles stay tiles" if tiles else "rasters become a GeoTIFF")
        )
    if arguments.zoom is not None and not tiles:
        raise ConfigError("--zoom is for tiles; a raster has none, leave it out")
    said = Credit(arguments.attribution or "", arguments.terms or "")
    progress = not arguments.quiet
    if tiles:
        with open_store(sources[0], arguments.zoom) as store:
            credit = store.credit.filled(said.attribution, said.terms)
            import_tiles(store, out, credit, arguments.zoom, area_of(arguments), progress)
    else:
        import_rasters(sources, out, said, area_of(arguments), progress)
    _print(facts(out))
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.facts import facts

    _print(facts(arguments.imagery))
    return 0


def _preview(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.facts import facts
    from geoloc_ros.imagery.preview import overview, write_preview
    from geoloc_ros.index.roads import read_roads

    rows = facts(arguments.imagery)
    seen = overview(arguments.imagery)
    roads = read_roads(arguments.roads, seen.frame, seen.grid.bounds_m) if arguments.roads else []
    write_preview(seen, arguments.out, rows, [road.xy_m for road in roads])
    print(f"{arguments.out}: {rows['size']}")
    return 0


def _print(rows: dict[str, str]) -> None:
    for key, value in rows.items():
        print(f"{key:12}{value}")
