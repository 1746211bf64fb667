# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc model import` and `geoloc model template`: encoders that others trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.cli.training import check_bounds, extra
from geoloc_ros.errors import ConfigError

if TYPE_CHECKING:
    from geoloc_ros.encoders.package import ModelPackage
    from geoloc_ros.training.importing.packing import Options

_DESCRIPTION = """\
Make a model package of an encoder that others trained. The import proves that the package
describes made pictures as the network itself does, and refuses it otherwise. Files of weights are
read without running what they hold. Nothing is fetched: bring the files.

What no import can tell is what a similarity is worth. Until 'geoloc calibrate' has run, a package
made here can be searched with, and no place is believed.
"""
_SAMPLE4GEO = """\
Import a published encoder of Sample4Geo (arXiv 2303.11851): a ConvNeXt-B that describes both
sides. The weights are those that the authors link to, as they are; docs/models.md names them.
timm is not needed.
"""
_ONNX = """\
Import any ONNX encoder: pictures (N, 3, H, W), normalised as the card says, to one row of numbers
each. One file describes both sides, or two files describe one each. Other names, half precision,
a fixed number of pictures and rows that are not of unit length are mended; a file that needs none
of that is copied as it is.
"""
_TIMM = """\
Import any image network of timm with weights of others, a state dict of it without a classifier;
it describes both sides. timm must be installed: pip install 'geoloc_ros[timm]'.
"""
_EPILOG = """\
afterwards:
  geoloc model info DIR
  geoloc calibrate DIR WORLD WORLD... --work WORK
  geoloc index build city.tif --model DIR --out city.index
"""
DATASETS = ("vigor", "cvusa", "cvact", "university")
BOUNDS = {"images": (2, 64), "seed": (0, 2**31 - 1)}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the parser."""
    parser = verbs.add_parser(
        "import",
        help="make a model package of an encoder that others trained",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    _add_sample4geo(kinds)
    _add_onnx(kinds)
    _add_timm(kinds)
    card = verbs.add_parser(
        "template",
        help="print a card to fill in for an encoder of others",
        description="Print a card with what each value means: geoloc model template > card.yaml",
    )
    card.set_defaults(run=_template)


def _add_sample4geo(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _kind(kinds, "sample4geo", "a published Sample4Geo encoder", _SAMPLE4GEO)
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="the .pth file as published")
    parser.add_argument(
        "--dataset", required=True, choices=DATASETS, help="what the weights were trained on"
    )
    parser.add_argument(
        "--extent-m",
        type=float,
        metavar="M",
        help="side of a satellite crop on the ground (default: as known of the data set)",
    )
    _add_precision(parser)
    _add_common(parser)
    parser.set_defaults(run=_sample4geo)


def _add_onnx(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _kind(kinds, "onnx", "any ONNX encoder", _ONNX)
    parser.add_argument("query", type=Path, metavar="QUERY.onnx", help="describes camera views")
    parser.add_argument(
        "reference",
        type=Path,
        nargs="?",
        metavar="REFERENCE.onnx",
        help="describes satellite crops (default: QUERY.onnx does)",
    )
    _add_card(parser)
    _add_common(parser)
    parser.set_defaults(run=_onnx)


def _add_timm(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _kind(kinds, "timm", "any network of timm", _TIMM)
    parser.add_argument("name", metavar="NAME", help="of the network, as timm knows it")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help=".pth or .safetensors")
    parser.add_argument(
        "--prefix",
        default="",
        help="what the names of the weights begin with, for example 'model.' (default: nothing)",
    )
    _add_card(parser)
    _add_precision(parser)
    _add_common(parser)
    parser.set_defaults(run=_timm)


def _kind(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, long: str
) -> argparse.ArgumentParser:
    return kinds.add_parser(
        name,
        help=text,
        description=long,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_card(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--card",
        type=Path,
        required=True,
        metavar="CARD.yaml",
        help="sizes, colours, licence; 'geoloc model template' prints one to fill in",
    )


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp32",
        help="fp16: half the file, and faster where the hardware computes so; CPUs do not "
        "(default: fp32)",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="model directory to make"
    )
    parser.add_argument(
        "--images",
        type=int,
        default=4,
        metavar="N",
        help="made pictures of each side to prove the import with (default: 4)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of those pictures (default: 0)")


def _sample4geo(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    extent_m = arguments.extent_m
    if extent_m is not None and not 1.0 <= extent_m <= 10_000.0:
        raise ConfigError(f"--extent-m is {extent_m:g} m; it must lie in 1..10000 m")
    with extra("import"):
        from geoloc_ros.training.importing.sample4geo import import_sample4geo
    command = f"geoloc model import sample4geo {arguments.weights.name}"
    command += f" --dataset {arguments.dataset}"
    command += f" --extent-m {extent_m:g}" if extent_m is not None else ""
    package = import_sample4geo(
        arguments.weights,
        arguments.dataset,
        arguments.out,
        options,
        extent_m=extent_m,
        command=command + _said(arguments),
    )
    return _tell(package)


def _onnx(arguments: argparse.Namespace) -> int:
    from geoloc_ros.training.importing.card import read_card
    from geoloc_ros.training.importing.onnx_file import import_onnx

    options = _options(arguments)
    files = [path.name for path in (arguments.query, arguments.reference) if path is not None]
    command = f"geoloc model import onnx {' '.join(files)} --card {arguments.card.name}"
    package = import_onnx(
        arguments.query,
        arguments.reference,
        read_card(arguments.card),
        arguments.out,
        options,
        command=command,
    )
    return _tell(package)


def _timm(arguments: argparse.Namespace) -> int:
    from geoloc_ros.training.importing.card import read_card

    options = _options(arguments)
    card = read_card(arguments.card)
    with extra("timm"):
        from geoloc_ros.training.importing.timm_net import import_timm
    command = f"geoloc model import timm {arguments.name} {arguments.weights.name}"
    command += f" --card {arguments.card.name}"
    command += f" --prefix {arguments.prefix}" if arguments.prefix else ""
    package = import_timm(
        arguments.name,
        arguments.weights,
        card,
        arguments.out,
        options,
        prefix=arguments.prefix,
        command=command + _said(arguments),
    )
    return _tell(package)


def _options(arguments: argparse.Namespace) -> Options:
    from geoloc_ros.training.importing.packing import Options

    check_bounds(arguments, BOUNDS)
    return Options(
        precision=getattr(arguments, "precision", "fp32"),
        images=arguments.images,
        seed=arguments.seed,
    )


def _said(arguments: argparse.Namespace) -> str:
    return f" --precision {arguments.precision}" if arguments.precision != "fp32" else ""


def _tell(package: ModelPackage) -> int:
    from geoloc_ros.cli.model_info import describe, table

    print(table(describe(package)))
    for note in package.training.get("notes", ()):
        print(f"note: {note}")
    print(f"next: geoloc calibrate {package.root} WORLD WORLD... --work WORK")
    return 0


def _template(arguments: argparse.Namespace) -> int:
    from geoloc_ros.training.importing.card import template

    print(template(), end="")
    return 0
