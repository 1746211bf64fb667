# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc index`: build, describe, check, query, pull and merge indexes of satellite imagery."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoloc_ros.cli import index_describe, index_fleet, index_text
from geoloc_ros.cli.index_text import plain, summary
from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model, find_model_by_sha
from geoloc_ros.errors import ConfigError
from geoloc_ros.index.codes import STORAGES
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.region import area_text
from geoloc_ros.index.search import DEFAULT_SEARCH, SEARCHES

if TYPE_CHECKING:
    from geoloc_ros.index.engines import Engine

_DEFAULTS = SamplingPolicy()
_BUILD = """\
Cut satellite imagery into crops as a vehicle would see them, describe them, and
write an index. An interrupted build continues when the same command is run again;
an existing index is replaced only when the new one is complete.
"""
_EXAMPLES = """\
examples:
  geoloc index build town.tif --model perspective --roads roads.geojson --out town.index
  geoloc index build area.mbtiles --model ground_plane --grid --pitch 15 --headings 12 \\
      --out area.index
  geoloc index build city.tif --model panorama --roads roads.geojson --north-up --out city.index
  geoloc index build /shared/city.tif --model perspective --roads city.osm.pbf \\
      --out /shared/city.index --engine ray --ray-address head:6379
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "index", help="build, describe, check, query or pull an index of satellite imagery"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_build(verbs)
    info = verbs.add_parser("info", help="say what an index is, without reading its entries")
    info.add_argument("index", type=Path, help="index directory")
    info.add_argument("--json", action="store_true", help="print the manifest as it is")
    info.set_defaults(run=_info)
    verify = verbs.add_parser(
        "verify",
        help="check every byte and measure the search's recall",
        description="Compare every byte of every file with the manifest, see that all values make "
        "sense and that no file is somebody else's, and measure how many of the ten most similar "
        "entries a search finds. All that is wrong is said. Exit status: 0 sound, 1 not.",
    )
    verify.add_argument("index", type=Path, help="index directory")
    verify.add_argument("--model", help="model the index must fit: a name or a package directory")
    verify.set_defaults(run=_verify)
    index_describe.add_parser(verbs)
    _add_query(verbs)
    index_fleet.add_parsers(verbs)


def _add_build(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = verbs.add_parser(
        "build",
        help="describe satellite imagery with a model's reference encoder",
        description=_BUILD,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument(
        "imagery", type=Path, help="GeoTIFF, MBTiles, PMTiles or any georeferenced raster"
    )
    build.add_argument(
        "--model", required=True, help="name of a model, e.g. perspective, or package directory"
    )
    build.add_argument(
        "--out",
        required=True,
        help="index directory to write, or a place on object storage, e.g. s3://bucket/town.index",
    )
    kind = build.add_mutually_exclusive_group(required=True)
    roads_help = "roads to index along: GeoJSON lines, or an OpenStreetMap extract"
    kind.add_argument("--roads", type=Path, help=roads_help)
    kind.add_argument("--grid", action="store_true", help="index the whole imagery on a grid")
    _add_sampling(build)
    build.add_argument(
        "--storage",
        choices=STORAGES,
        help="how descriptors are stored and ranked: int8 takes 1 byte per dimension, int12 1.5, "
        "float16 3, float32 5 (int12; of models with 512 dimensions or more, int8)",
    )
    build.add_argument(
        "--search",
        choices=sorted(SEARCHES),
        default=DEFAULT_SEARCH,
        help="how entries are found: in clusters of descriptors that look alike, or along an HNSW "
        "graph, which takes longer to build (%(default)s)",
    )
    build.add_argument("--gsd", type=float, help="resample the imagery to this many m/px")
    build.add_argument(
        "--origin",
        nargs=2,
        type=float,
        metavar=("LAT", "LON"),
        help="of the index's plane, degrees; the same for indexes to be merged (middle of "
        "the imagery)",
    )
    build.add_argument(
        "--threads",
        type=int,
        default=0,
        help="encoder threads, on a cluster of each worker; 0: all cores, 16 at most on a cluster "
        "(%(default)s)",
    )
    build.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_engine(build)
    build.set_defaults(run=_build)


def _add_engine(build: argparse.ArgumentParser) -> None:
    cluster = build.add_argument_group("where it is built (docs/scale.md)")
    cluster.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="in this process, or on the machines of a Ray cluster; the index is the same "
        "(%(default)s)",
    )
    cluster.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="of the cluster (that of RAY_ADDRESS, else of this machine, else this machine)",
    )
    cluster.add_argument(
        "--ray-workers",
        type=int,
        default=0,
        metavar="N",
        help="workers of --threads CPUs each; 0: as many as have room now (%(default)s)",
    )


def _add_sampling(build: argparse.ArgumentParser) -> None:
    d = _DEFAULTS
    roads = build.add_argument_group("along roads")
    roads.add_argument(
        "--spacing",
        type=float,
        default=d.spacing_m,
        help="m between poses, per direction (%(default)s)",
    )
    roads.add_argument(
        "--lateral",
        type=float,
        default=d.lateral_m,
        help="m left and right of the centreline (%(default)s)",
    )
    roads.add_argument(
        "--yaw",
        type=float,
        default=d.yaw_deg,
        help="degrees off the road's direction (%(default)s)",
    )
    roads.add_argument("--no-turns", action="store_true", help="leave out arcs at junctions")
    roads.add_argument(
        "--both-ways", action="store_true", help="also against the traffic of one-way roads"
    )
    build.add_argument(
        "--north-up",
        action=argparse.BooleanOptionalAction,
        help="hold every place once, with north up, and turn panoramas instead of crops; only for "
        "models of panoramas, and usual for those that were trained so (docs/panorama.md)",
    )
    grid = build.add_argument_group("on a grid")
    grid.add_argument(
        "--pitch", type=float, default=d.pitch_m, help="m between poses (%(default)s)"
    )
    grid.add_argument(
        "--headings", type=int, default=d.headings, help="headings per place (%(default)s)"
    )


def _add_query(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    query = verbs.add_parser(
        "query",
        help="list entries like a view, or near a place",
        description="With IMAGE: entries most similar to a picture that already is the model's "
        "view ('geoloc locate' starts from a camera image). With --lat and --lon: the nearest.",
    )
    query.add_argument("index", type=Path, help="index directory")
    query.add_argument("image", type=Path, nargs="?", help="a view, as a JPEG or PNG")
    query.add_argument("--model", help="model package; default: the one the index was built with")
    query.add_argument("--lat", type=float, help="degrees")
    query.add_argument("--lon", type=float, help="degrees")
    query.add_argument("-k", type=int, default=10, help="how many (%(default)s)")
    query.set_defaults(run=_query)


def _build(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.onnx_backend import OnnxEncoder
    from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
    from geoloc_ros.imagery.windows import credited, open_ground
    from geoloc_ros.index.build import build_index
    from geoloc_ros.index.osm_roads import ATTRIBUTION, is_extract
    from geoloc_ros.index.roads import read_roads

    engine = _engine(arguments)
    package = find_model(arguments.model)
    policy = SamplingPolicy(
        kind="grid" if arguments.grid else "roads",
        spacing_m=arguments.spacing,
        lateral_m=arguments.lateral,
        yaw_deg=arguments.yaw,
        turns=not arguments.no_turns,
        both_ways_on_oneway=arguments.both_ways,
        pitch_m=arguments.pitch,
        headings=arguments.headings,
        north_up=arguments.north_up
        if arguments.north_up is not None
        else package.query.alignment == "north",
    )
    frame = LocalFrame(LatLon(*arguments.origin)) if arguments.origin else None
    ortho = open_ground(arguments.imagery, arguments.gsd, frame)
    roads = None
    if arguments.roads:
        roads = read_roads(arguments.roads, ortho.frame, ortho.bounds_m)
        if is_extract(arguments.roads):
            ortho = credited(ortho, ATTRIBUTION)
    manifest = build_index(
        ortho,
        package,
        OnnxEncoder(package, threads=1),
        arguments.out,
        policy,
        roads=roads,
        storage=arguments.storage,
        search=arguments.search,
        progress=not arguments.quiet,
        workers=arguments.threads,
        engine=engine,
    )
    print(f"{arguments.out}: {summary(manifest)}")
    return 0


def _engine(arguments: argparse.Namespace) -> Engine:
    """Where to build.

    Raises:
        ConfigError: an option is out of bounds, or fits only the other engine.
    """
    if arguments.engine == "ray":
        from geoloc_ros.index.ray_engine import RayEngine

        for name, value in (
            ("threads", arguments.threads),
            ("ray-workers", arguments.ray_workers),
        ):
            if value < 0:
                raise ConfigError(f"--{name} is {value}; it must be at least 0")
        return RayEngine(arguments.ray_address, arguments.ray_workers)
    from geoloc_ros.index.engines import LocalEngine

    if arguments.ray_address or arguments.ray_workers:
        raise ConfigError("--ray-address and --ray-workers are of --engine ray; add that")
    most = 4 * (os.cpu_count() or 1)
    if not 0 <= arguments.threads <= most:
        raise ConfigError(
            f"--threads is {arguments.threads}; it must lie in [0, {most}], four for each core, "
            "0 for one each"
        )
    return LocalEngine()


def _info(arguments: argparse.Namespace) -> int:
    manifest = load_manifest(arguments.index)
    if arguments.json:
        print(manifest.render(), end="")
        return 0
    tile, picture = manifest.reference, manifest.imagery
    rows = {
        "entries": summary(manifest),
        "area": area_text(manifest),
        "datum": manifest.datum,
        "sampling": index_text.sampling(manifest.policy),
        "roads": index_text.roads(manifest),
        "model": f"{manifest.model}, encoder {manifest.encoder_sha256[:12]}",
        "descriptor": f"{manifest.dim} x {manifest.storage}, {manifest.metric}",
        "search": index_text.search(manifest),
        "view": f"{manifest.query.view}, {manifest.query.width_px}x{manifest.query.height_px} px",
        "tile": f"{tile.extent_m:g} m, {tile.size_px} px, {tile.offset_forward_m:g} m ahead",
        "imagery": f"{picture.source}, {picture.gsd_m:.2f} m/px",
        "described": index_text.described(manifest),
        "licence": picture.licence or "not stated",
        "attribution": picture.attribution or "not stated",
        "updates": str(manifest.updates),
        "identity": manifest.sha256[:12],
    }
    for key, value in rows.items():
        print(plain(f"{key:12}{value}"))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from geoloc_ros.index.verify import verify_index

    package = find_model(arguments.model) if arguments.model else None
    found = verify_index(arguments.index, package)
    for problem in found.problems:
        print(problem)
    if found.manifest is not None and not math.isnan(found.recall):
        print(f"{summary(found.manifest)}; search recall@10 {found.recall:.3f}")
    print(f"{arguments.index} is {'sound' if found.sound else 'NOT sound'}")
    return 0 if found.sound else 1


def _query(arguments: argparse.Namespace) -> int:
    from geoloc_ros.index.sharded_index import ShardedIndex

    if arguments.k < 1:
        raise ConfigError(f"-k is {arguments.k}; it must be at least 1")
    if arguments.image is not None and (arguments.lat, arguments.lon) != (None, None):
        raise ConfigError("query takes either IMAGE, or --lat and --lon; leave one out")
    if arguments.image is not None:
        if arguments.model:
            package = find_model(arguments.model)
        else:
            package = find_model_by_sha(load_manifest(arguments.index).encoder_sha256)
        index = ShardedIndex.open(arguments.index, package)
        found = index.search(_describe(arguments.image, package), arguments.k)
        poses, values, title = found.poses, found.similarity, "similarity"
    elif arguments.lat is not None and arguments.lon is not None:
        index = ShardedIndex.open(arguments.index)
        xy_m = index.manifest.frame.to_xy(arguments.lat, arguments.lon)
        _, anchors = index.entries()
        away = np.hypot(*(anchors[:, :2] - xy_m).T)
        order = np.argsort(away, kind="stable")[: arguments.k]
        poses, values, title = anchors[order], away[order], "distance_m"
    else:
        raise ConfigError("query needs IMAGE, or --lat and --lon")
    lat, lon = index.manifest.frame.to_latlon(poses[:, :2])
    rows = [f"{'rank':>4} {'lat_deg':>11} {'lon_deg':>11} {'heading_deg':>11} {title:>10}"]
    for rank, (pose, value) in enumerate(zip(poses, values, strict=True)):
        heading = (90.0 - math.degrees(pose[2])) % 360.0
        rows.append(
            f"{rank + 1:4d} {lat[rank]:11.6f} {lon[rank]:11.6f} {heading:11.1f} {value:10.3f}"
        )
    print("\n".join(rows))
    return 0


def _describe(path: Path, package: ModelPackage) -> Float32Array:
    import cv2

    from geoloc_ros.encoders.onnx_backend import OnnxEncoder
    from geoloc_ros.imagery.files import read_rgb

    size = (package.query.width_px, package.query.height_px)
    view = cv2.resize(read_rgb(path), size, interpolation=cv2.INTER_AREA)
    descriptors = OnnxEncoder(package).encode_query(np.asarray(view, dtype=np.uint8)[None])
    return np.asarray(descriptors[0])
