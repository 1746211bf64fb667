# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Options of the bootstrap, for every verb that compares."""

from __future__ import annotations

import argparse

from geoloc_ros.evaluation.bootstrap import Resampling


def add_bootstrap(parser: argparse.ArgumentParser) -> None:
    """Add the settings of the intervals to a verb."""
    default = Resampling()
    group = parser.add_argument_group("intervals of differences (bootstrap)")
    group.add_argument(
        "--block",
        type=float,
        default=default.block_m,
        metavar="M",
        help="length of a block of the way; longer than errors last (%(default)s m)",
    )
    group.add_argument(
        "--resamples", type=int, default=default.resamples, metavar="N", help="(%(default)s)"
    )
    group.add_argument(
        "--level", type=float, default=default.level, help="of the intervals (%(default)s)"
    )
    group.add_argument("--seed", type=int, default=default.seed, help="of the draws (%(default)s)")


def resampling(args: argparse.Namespace) -> Resampling:
    """The settings that were given.

    Raises:
        ConfigError: one is out of bounds.
    """
    return Resampling(
        block_m=args.block, resamples=args.resamples, level=args.level, seed=args.seed
    )
