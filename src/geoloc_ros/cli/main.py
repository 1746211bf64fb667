# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The `geoloc` command: one parser, one place where errors become one line."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from geoloc_ros import __version__
from geoloc_ros.errors import ConfigError, GeolocError

#: modules of this folder that add a command, in the order of the help text
COMMANDS = (
    "synth",
    "imagery",
    "index",
    "replay",
    "locate",
    "eval",
    "bag",
    "train",
    "calibrate",
    "model",
    "vlm",
    "config",
)


def build_parser() -> argparse.ArgumentParser:
    """The whole parser; every command module adds its own part."""
    parser = argparse.ArgumentParser(
        prog="geoloc",
        description="Find a vehicle on satellite imagery from its own cameras.",
        epilog="'geoloc COMMAND --help' explains each command. Start with 'make demo'.",
    )
    parser.add_argument("--version", action="version", version=f"geoloc_ros {__version__}")
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="log what happens; errors show where they arose",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"geoloc_ros.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 for an error the user can mend)."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        print("geoloc: interrupted", file=sys.stderr)
        return 130


def _main(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    if not sys.stderr.isatty():  # in a log; tqdm looks when the command imports it
        os.environ.setdefault("TQDM_MININTERVAL", "30")
    if isinstance(sys.stdout, io.TextIOWrapper):  # not every terminal has a degree sign
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _check_names(arguments)
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except GeolocError as error:
        if arguments.verbose:
            logging.getLogger(__name__).exception("the command failed")
        print(f"geoloc: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough, as in `geoloc ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if arguments.verbose:
            logging.getLogger(__name__).exception("the command failed")
        # a full disk does not say which file it refused
        name = error.filename or getattr(arguments, "out", None)
        where = f"{name}: " if name else ""
        print(f"geoloc: {where}{error.strerror or error}", file=sys.stderr)
        return 2


def _check_names(arguments: argparse.Namespace) -> None:
    """Refuse file names that are no text: libraries we hand them to crash on some.

    Raises:
        ConfigError: a name is not valid in the file system's encoding.
    """
    for value in vars(arguments).values():
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, (str, Path)) and not str(name).isprintable():
                raise ConfigError(
                    f"the name {str(name)!a} holds characters that cannot be printed; rename it"
                )


if __name__ == "__main__":
    sys.exit(main())
