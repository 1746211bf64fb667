# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc vlm prior`: where in the world a model takes one picture to be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.errors import ConfigError, ModelError, first_line

if TYPE_CHECKING:
    from geoloc_ros.geo.place_mixture import PlaceMixture


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the verbs of `geoloc vlm`."""
    from geoloc_ros.cli.vlm import add_model

    parser = subparsers.add_parser(
        "prior",
        help="say where in the world a model takes a picture to be",
        description="Ask a vision-language model where a picture was taken and print the places "
        "it may mean, each with its spread and share. A model that can write names a place, "
        "which is looked up offline (extra 'gazetteer') and widened; any other chooses a region.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a JPEG or PNG picture")
    add_model(parser)
    parser.add_argument(
        "--question", action="store_true", help="let the model choose a region in any case"
    )
    parser.add_argument(
        "--reliability",
        type=float,
        help="factor on what the model says, 0..1; default: by the hit rate in its card",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print what 'geoloc locate --prior' reads"
    )
    form.add_argument("--geojson", action="store_true", help="print GeoJSON points for a map")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from geoloc_ros.cli.vlm import load
    from geoloc_ros.geo.place_json import dump_geojson, dump_mixture
    from geoloc_ros.imagery.files import read_rgb
    from geoloc_ros.vlm.prior import ask_where

    trust = arguments.reliability
    if trust is not None and not 0.0 <= trust <= 1.0:
        raise ConfigError(f"--reliability is {trust}; it must lie in 0..1")
    rgb = read_rgb(arguments.image)
    vlm = load(arguments)
    try:
        found = ask_where(vlm, rgb, vlm.questions, trust, choose=arguments.question)
    except ValueError as error:
        raise ModelError(f"{vlm.package.name} does not answer: {first_line(error)}") from error
    if arguments.json or arguments.geojson:
        write = dump_geojson if arguments.geojson else dump_mixture
        print(write(found.mixture), end="")
        return 0
    print(table(found.mixture))
    for name in found.unknown:
        print(f"not in the gazetteer, or not in that country: {name}")
    return 0


def table(mixture: PlaceMixture) -> str:
    """A mixture for people: one line a component, the rest of the world last."""
    lines = [f"{'share':>6} {'lat_deg':>9} {'lon_deg':>10} {'sigma_km':>9}  place"]
    columns = (mixture.shares, mixture.lat_deg, mixture.lon_deg, mixture.sigma_m, mixture.labels)
    for share, lat, lon, sigma, label in zip(*columns, strict=True):
        lines.append(
            f"{100.0 * share:5.1f}% {lat:9.3f} {lon:10.3f} {sigma / 1000.0:9.1f}  {label}"
        )
    lines.append(f"{100.0 * mixture.global_share:5.1f}% {'':9} {'':10} {'':9}  anywhere else")
    return "\n".join(lines)
