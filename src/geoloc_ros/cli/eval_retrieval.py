# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval retrieval`: a model on a published data set, beside published figures."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.cli.requirements import EXIT_STATUS, add_require, enforce, requirements
from geoloc_ros.errors import DatasetError

if TYPE_CHECKING:
    from geoloc_ros.training.datasets.evaluate import Evaluated
    from geoloc_ros.training.datasets.registry import Opened

MOST_THREADS, MOST_BATCH = 256, 4096
BACKENDS = ("ort-cpu", "ort-cuda", "ort-tensorrt", "tensorrt")
_EPILOG = """\
examples:
  geoloc eval retrieval --dataset vigor --layout
  geoloc eval retrieval --dataset vigor --root /data/VIGOR --check
  geoloc eval retrieval --dataset vigor --root /data/VIGOR --split cross-test --model my_model
  geoloc eval retrieval --dataset im2gps3k --root /data/im2gps --predictions found.csv

data sets: vigor cvusa cvact university cvuk kitti ford im2gps im2gps3k yfcc4k gws15k;
see docs/datasets.md for what each figure means.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `geoloc eval`."""
    parser = verbs.add_parser(
        "retrieval",
        help="a model on a published cross-view data set, beside published figures",
        description="Describe the pictures of a data set with a model, search, and print the "
        "figures that papers report beside theirs. The folder is looked through first: all that "
        "is missing is told at once. Descriptors are kept, so that a run that was stopped goes on "
        f"and the next one only searches. {EXIT_STATUS}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="which data set")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the folder it lies in")
    parser.add_argument(
        "--split", default="", metavar="NAME", help="which part (default: the first of --layout)"
    )
    parser.add_argument(
        "--model",
        default="perspective",
        help="model package: a name or a directory (default: %(default)s)",
    )
    _add_choices(parser)
    _add_outputs(parser)
    add_require(parser)
    parser.set_defaults(run=run)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--radii",
        type=float,
        nargs="+",
        metavar="M",
        help="distances in metres that figures are given for (default: the data set's)",
    )
    parser.add_argument("--area", action="store_true", help="also recall versus area")
    parser.add_argument(
        "--without-distractors",
        action="store_true",
        help="leave out references of no query, as Sample4Geo does with University-1652",
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out missing pictures and say how many"
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="CSV",
        help="score these positions (columns id, lat, lon) instead of searching",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws of --area")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="what the encoder runs on (docs/backends.md); an engine is built first",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the encoder")
    parser.add_argument("--batch", type=int, default=32, help="pictures it gets at a time")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layout", action="store_true", help="print its folders and lists")
    parser.add_argument("--check", action="store_true", help="look whether all of it is there")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where descriptors are kept (default: geoloc_ros/descriptors in the user's cache)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="write retrieval.json and queries.csv there"
    )
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="FILE",
        help="write a picture of the best and the worst queries: .html or .png",
    )


def default_cache() -> Path:
    """Where descriptors are kept: in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "geoloc_ros" / "descriptors"


def run(args: argparse.Namespace) -> int:
    """Look through the folder, describe, search, print.

    Raises:
        DatasetError: an option makes no sense, or the data set is not complete.
    """
    from geoloc_ros.training.datasets.registry import layout_text, open_split, without_distractors

    if args.layout:
        print(layout_text(args.dataset))
        return 0
    _check_options(args)
    gates = requirements(args)
    opened = open_split(
        args.dataset,
        args.root,
        args.split,
        skip_missing=args.skip_missing,
        queries_only=args.predictions is not None,
    )
    if args.without_distractors:
        opened = without_distractors(opened)
    if args.check:
        _print_opened(opened)
        return 0
    evaluated = _evaluated(args, opened)
    if args.save:
        from geoloc_ros.training.datasets.evaluate import save

        save(evaluated, args.save)
    if args.gallery:
        _write_gallery(evaluated, args.gallery)
    _print(args, evaluated)
    return enforce(gates, evaluated.result, json_on_stdout=args.json)


def _check_options(args: argparse.Namespace) -> None:
    from geoloc_ros.cli.training import check_bounds

    if args.root is None:
        raise DatasetError(f"name the folder of {args.dataset} with --root")
    check_bounds(args, {"threads": (1, MOST_THREADS), "batch": (1, MOST_BATCH)})
    for radius in args.radii or ():
        if not 0.0 < radius <= 2.1e7:
            raise DatasetError(f"--radii {radius:g} lies outside 0..2.1e7 m, half round the Earth")
    if args.gallery and args.gallery.suffix.lower() not in (".html", ".png"):
        raise DatasetError(f"--gallery {args.gallery} must end in .html or .png")
    if args.predictions and (args.gallery or args.area):
        raise DatasetError("--predictions is nothing to search: leave out --gallery and --area")


def _evaluated(args: argparse.Namespace, opened: Opened) -> Evaluated:
    from geoloc_ros.training.datasets.evaluate import evaluate, score_positions
    from geoloc_ros.training.datasets.registry import find_dataset
    from geoloc_ros.training.datasets.worldwide import read_positions

    radii_m = sorted(args.radii or find_dataset(args.dataset).radii_m)
    if args.predictions:
        return score_positions(opened, read_positions(args.predictions), radii_m)
    from geoloc_ros.config import EncoderConfig
    from geoloc_ros.encoders.backends.settled import settled_encoder
    from geoloc_ros.encoders.onnx_backend import QUERY, REFERENCE
    from geoloc_ros.encoders.registry import find_model
    from geoloc_ros.training.datasets.descriptors import DescriptorCache

    package = find_model(args.model)
    config = EncoderConfig(backend=args.backend)
    settled = settled_encoder(package, config, args.threads, sides=(QUERY, REFERENCE))
    return evaluate(
        opened,
        package,
        settled.encoder,
        DescriptorCache(args.cache or default_cache(), args.batch, runs_on=settled.runs_on),
        radii_m,
        area=args.area,
        seed=args.seed,
    )


def _write_gallery(evaluated: Evaluated, path: Path) -> None:
    from geoloc_ros.report.retrieval_gallery import write_gallery
    from geoloc_ros.training.datasets.gallery import example_groups, headline
    from geoloc_ros.training.datasets.registry import find_dataset

    split = evaluated.opened.split
    title = f"{find_dataset(split.dataset).title}, {split.name}"
    write_gallery(example_groups(evaluated), path, title, headline(evaluated))


def _print_opened(opened: Opened) -> None:
    split = opened.split
    for note in opened.notes:
        print(note)
    print(
        f"{split.dataset} {split.name}: {len(split.queries)} queries, "
        f"{len(split.references)} references, {len(split.pairs)} right pairs; nothing is missing"
    )


def _print(args: argparse.Namespace, evaluated: Evaluated) -> None:
    from geoloc_ros.training.datasets.comparison import comparison, details

    if args.json:
        print(json.dumps(evaluated.result, indent=2, allow_nan=False))
        return
    for note in evaluated.opened.notes:
        print(note)
    print(details(evaluated.result))
    print()
    print(comparison(evaluated.result))
