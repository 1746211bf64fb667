# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc model bench`: which back ends work on this machine, how exact and how fast they are."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoloc_ros import config, durable
from geoloc_ros.cli.model_engines import SIDES
from geoloc_ros.cli.settings_options import add_settings
from geoloc_ros.errors import ConfigError

if TYPE_CHECKING:
    from geoloc_ros.encoders.backends.timing import Timed

_DESCRIPTION = """\
Try every back end on this machine: does it work, and if not, why; how far its descriptors of made
pictures are from those of ONNX Runtime on the CPU; how long one picture takes; how many pictures
a second it describes in batches. Engines of fp32 that are missing are built first, which may take
minutes; those of fp16 and int8 are 'geoloc model build-engine's.
"""
MOST_BATCH = 1024


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "bench",
        help="compare the back ends on this machine: which work, how exact, how fast",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="encoder package by name or directory")
    parser.add_argument(
        "--side",
        choices=SIDES,
        default="query",
        help="what looks at camera views, or at satellite crops (%(default)s)",
    )
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[1, 8, 24],
        metavar="N",
        help="pictures of the batches that are timed (1 8 24)",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each measurement (%(default)s)"
    )
    add_settings(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.backends.base import Network
    from geoloc_ros.encoders.backends.choosing import Chooser
    from geoloc_ros.encoders.backends.settled import with_bar
    from geoloc_ros.encoders.backends.timing import time_backends
    from geoloc_ros.encoders.registry import find_model

    _check(arguments)
    settings = config.load(arguments.config, tuple(arguments.set))
    network = Network(find_model(arguments.model), arguments.side)
    threads = settings.encoder_threads
    chooser = Chooser(network, settings.encoder, threads)
    rows = time_backends(chooser, arguments.batches, arguments.seconds, with_bar)
    cpu = f"{platform.machine()}, {threads} of {os.cpu_count()} CPUs"
    print(f"{network.package.name}, {network.side}; {cpu}")
    print(table(rows, arguments.batches))
    if arguments.json:
        content = figures(rows, {"model": network.package.name, "side": network.side})
        text = json.dumps({**content, "threads": threads}, indent=2) + "\n"
        durable.replace_bytes(arguments.json, text.encode())
    return 0


def _check(arguments: argparse.Namespace) -> None:
    for size in arguments.batches:
        if not 1 <= size <= MOST_BATCH:
            raise ConfigError(f"--batches has {size}; each must lie in 1..{MOST_BATCH}")
    if not 0.0 < arguments.seconds <= 600.0:
        raise ConfigError(f"--seconds is {arguments.seconds:g}; it must lie above 0, up to 600")


def table(rows: Sequence[Timed], batches: Sequence[int]) -> str:
    """All back ends, a line each: figures, or why there are none."""
    head = ["back end", "precision", "drift", "p50 ms", "p95 ms", *(f"/s of {n}" for n in batches)]
    lines = [head]
    for row in rows:
        if row.works:
            numbers = (row.drift, row.p50_ms, row.p95_ms)
            speeds = [f"{row.images_per_s[size]:.1f}" for size in batches]
            lines.append([row.backend, row.precision, *(f"{n:.3g}" for n in numbers), *speeds])
        else:
            lines.append([row.backend, row.precision, row.why_not])
    widths = [max(len(line[i]) for line in lines if len(line) > 3) for i in range(len(head))]
    widths[:2] = [max(len(line[i]) for line in lines) for i in range(2)]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if len(cells) == 3:
        return f"{cells[0]:{widths[0]}}  {cells[1]:{widths[1]}}  no: {cells[2]}"
    left = [f"{cell:{width}}" for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join((*left, *right))


def figures(rows: Sequence[Timed], about: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs."""
    return {**about, "backends": [{**dataclasses.asdict(row), "works": row.works} for row in rows]}
