# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc synth`: make a world with imagery, roads, truth and recorded drives."""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from pathlib import Path

from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.synthetic.drive import SCENARIOS
from geoloc_ros.synthetic.flight import FlightSpec
from geoloc_ros.synthetic.make import HELD_OUT_FROM, WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import (
    AERIAL_CAMERA,
    OVERLAP_DEG,
    ROOF_M,
    SURROUND,
    CameraSpec,
    surround,
)

_DESCRIPTION = f"""\
Make a town and drives through it, from a seed: the same arguments give the same bytes.

  OUT/imagery.tif    satellite image (GeoTIFF)
  OUT/roads.geojson  road centrelines
  OUT/scene.json     the truth about every place and drive (for training and scoring only)
  OUT/drive_00/      rosbag2 (mcap): /camera/image/compressed, /camera/camera_info, /odom,
                     /tf_static, and the truth on /ground_truth/fix and /ground_truth/pose;
                     an aerial vehicle adds /height_above_ground (sensor_msgs/Range); with
                     --surround 4 the cameras are /camera_0 (ahead) to /camera_3, leftwards

With --osm the streets are real ones: where they run and meet, their class, lanes and one-way
rules. All else is made. The town's style is that of the region nearest to it.

Satellite and camera see different years, seasons, suns and weathers; --no-gap makes them agree.
Seeds from {HELD_OUT_FROM} up are reserved for evaluation: never train, tune or calibrate on them.
"""

_EPILOG = """\
scenarios, taken by the drives in turn:
  plain    from somewhere to somewhere
  kidnap   half way the vehicle is carried to a distant road; odometry notices nothing
  outside  the drive leaves the indexed area and comes back (imagery and roads are cut down)
  covered  something covers the lens for 150 m

examples:
  geoloc synth make --seed 1 --out world
  geoloc synth make --seed 1 --out world --size 1500 --drives 2 --scenario kidnap --scenario plain
  geoloc synth make --seed 1 --out town --osm monaco.osm.gz --at 43.7384 7.4246
  geoloc synth make --seed 1 --out round --surround 6 --width 320 --height-px 240
  geoloc synth make --seed 1 --out flight --vehicle aerial --height 60 120 --camera-pitch 60
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("synth", help="make a world to drive in")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    make = verbs.add_parser(
        "make",
        help="make a town, its satellite image and drives through it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_world(make)
    _add_camera(make)
    make.set_defaults(run=_make)


def _add_world(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=int,
        required=True,
        help=f"seed of everything; from {HELD_OUT_FROM} up for evaluation only",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to fill, empty or new")
    parser.add_argument("--size", type=float, default=1000.0, help="side of the town, m (1000)")
    parser.add_argument(
        "--style",
        help="regional style, for example de_town (drawn by the seed; with --osm the nearest)",
    )
    parser.add_argument(
        "--osm",
        type=Path,
        metavar="FILE",
        help="OpenStreetMap extract (.osm.pbf, .osm.gz): the town stands on its streets",
    )
    parser.add_argument(
        "--at",
        type=float,
        nargs=2,
        metavar=("LAT", "LON"),
        help="middle of the town in the extract, degrees (where most streets are)",
    )
    parser.add_argument("--drives", type=int, default=1, help="number of drives (1)")
    parser.add_argument("--length", type=float, default=2000.0, help="of each drive, m (2000)")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="of the drives (plain); repeatable"
    )
    parser.add_argument("--vehicle", choices=("ground", "aerial"), default="ground")
    parser.add_argument(
        "--height",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="flight height of an aerial vehicle, m above take-off (40 150)",
    )
    parser.add_argument("--no-gap", action="store_true", help="camera and satellite agree")
    parser.add_argument("--no-odometry", action="store_true", help="write no /odom")
    parser.add_argument("--gsd", type=float, default=0.4, help="of the imagery, m/px (0.4)")
    parser.add_argument("--workers", type=int, default=2, help="processes that cast rays (2)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_camera(parser: argparse.ArgumentParser) -> None:
    ground, aerial = CameraSpec(), AERIAL_CAMERA
    camera = parser.add_argument_group("camera (defaults: ground / aerial)")
    low, high = SURROUND
    camera.add_argument(
        "--surround",
        type=int,
        default=0,
        metavar="N",
        help=f"so many cameras all round, {low} to {high}, on a roof {ROOF_M:g} m high, each "
        f"reaching {OVERLAP_DEG:g} degrees into what its neighbours see (one ahead)",
    )
    options = (
        ("--width", "width_px", int, "image width, px"),
        ("--height-px", "height_px", int, "image height, px"),
        ("--hfov", "hfov_deg", float, "horizontal field of view, degrees"),
        ("--rate", "rate_hz", float, "frames per second"),
        ("--camera-height", "height_m", float, "above the vehicle's base, m"),
        ("--camera-pitch", "pitch_deg", float, "nominal tilt, down positive, degrees"),
        ("--mount-error", "mount_error_deg", float, "bound of the unknown mount error, degrees"),
    )
    for flag, name, kind, text in options:
        usual = f"({getattr(ground, name)} / {getattr(aerial, name)})"
        camera.add_argument(flag, dest=name, type=kind, help=f"{text} {usual}")


def _make(arguments: argparse.Namespace) -> int:
    base = CameraSpec() if arguments.vehicle == "ground" else AERIAL_CAMERA
    if arguments.surround:
        base = surround(arguments.surround)[0]
    names = [item.name for item in dataclasses.fields(CameraSpec)]
    given = {name: getattr(arguments, name, None) for name in names}
    spec = WorldSpec(
        seed=arguments.seed,
        size_m=arguments.size,
        style=arguments.style,
        drives=arguments.drives,
        length_m=arguments.length,
        vehicle=arguments.vehicle,
        scenarios=tuple(arguments.scenario or ("plain",)),
        camera=dataclasses.replace(base, **{k: v for k, v in given.items() if v is not None}),
        surround=arguments.surround,
        flight=FlightSpec(height_m=tuple(arguments.height)) if arguments.height else FlightSpec(),
        gap=not arguments.no_gap,
        odometry=not arguments.no_odometry,
        gsd_m=arguments.gsd,
        osm=arguments.osm,
        at=LatLon(*arguments.at) if arguments.at else None,
    )
    most = 4 * (os.cpu_count() or 1)
    if not 1 <= arguments.workers <= most:
        raise ConfigError(
            f"--workers is {arguments.workers}; it must lie in [1, {most}], four for each core"
        )
    start = time.monotonic()
    truth = make_world(arguments.out, spec, arguments.workers, progress=not arguments.quiet)
    print(f"{arguments.out}: {truth['style']} ({truth['region']}), {spec.size_m:g} m")
    for drive in truth["drives"]:
        print(
            f"  {drive['name']}  {drive['scenario']:8s} {drive['length_m']:6.0f} m  "
            f"{drive['duration_s']:5.0f} s  {drive['frames']} frames"
        )
    print(f"made in {time.monotonic() - start:.0f} s")
    return 0
