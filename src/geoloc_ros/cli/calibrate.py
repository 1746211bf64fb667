# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc calibrate`: fit a model's likelihood and covariance on made worlds."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from geoloc_ros import config

_DESCRIPTION = """\
Turn similarity into likelihood, find out how much evidence a place needs and scale the published
covariance, on drives that were not used in training. The result goes into the model card:
model.json, and README.md if there is one.

What the drives of one world share (its weather, how well its imagery lies) is one draw: several
worlds tell more than one large one.
"""
_EPILOG = """\
how the shipped perspective pair was calibrated:
  for s in 3001 3002 3003 3004; do geoloc synth make --seed $s --size 800 --length 1500 \\
      --scenario kidnap --width 480 --height-px 270 --out cal/$s; done
  for s in 3011 3012 3013 3014; do geoloc synth make --seed $s --size 600 --length 600 \\
      --width 480 --height-px 270 --out cal/$s; done
  geoloc calibrate perspective cal/30?? --work cal/work
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit what a model's similarity and the covariance are worth",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="model package: a name or a directory")
    parser.add_argument("worlds", type=Path, nargs="+", help="made worlds with drives")
    parser.add_argument("--work", type=Path, required=True, help="folder for indexes and replays")
    parser.add_argument("--config", type=Path, help="YAML file; see 'geoloc config dump'")
    parser.add_argument("--grid", action="store_true", help="index on a grid, not along roads")
    parser.add_argument("--pitch", type=float, default=8.0, help="distance of grid points, m")
    parser.add_argument("--headings", type=int, default=16, help="headings per grid point")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.registry import find_model
    from geoloc_ros.index.policy import SamplingPolicy
    from geoloc_ros.training.calibrate import calibrate
    from geoloc_ros.training.card import update_calibration

    policy = SamplingPolicy(
        kind="grid" if arguments.grid else "roads",
        pitch_m=arguments.pitch,
        headings=arguments.headings,
    )
    names = " ".join(path.name for path in arguments.worlds)
    grid = f" --grid --pitch {policy.pitch_m:g} --headings {policy.headings}"
    how = grid if arguments.grid else ""
    fitted = calibrate(
        find_model(arguments.model),
        arguments.worlds,
        arguments.work,
        config.load(arguments.config),
        policy,
        command=f"geoloc calibrate {Path(arguments.model).name}{how}: worlds {names}",
    )
    update_calibration(fitted)
    for name, value in dataclasses.asdict(fitted.calibration).items():
        print(f"{name:>18}  {value}")
    return 0
