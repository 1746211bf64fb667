# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc train vlm`: made towns -> the small vision-language model that ships."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoloc_ros.cli.training import changed, check_bounds, extra
from geoloc_ros.encoders.package import file_sha256
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import TrainingError

_DESCRIPTION = """\
Train the small vision-language model from seeds.

Renders made towns (the same as `geoloc train encoder`, kept in --data), works out the true answer
to every question at every picture, trains, measures the result in towns never trained on and
writes a model package after every epoch: MODEL/model.json, two GGUF files, README.md and a
reliability diagram. An interrupted run goes on with --resume, from the last hundred steps.
Training needs the extra dependencies: pip install 'geoloc_ros[train,vlm]'.
"""
_EPILOG = """\
examples:
  geoloc train vlm --out models/vlm-tiny
  geoloc train vlm --out models/vlm-tiny --resume       # after an interruption
  geoloc train vlm --out models/vlm-tiny --start FIRST/checkpoint.pt --seed 2 --work SECOND
  geoloc train vlm --out models/vlm-tiny --measure      # the figures of the card again
  geoloc train vlm --out /tmp/try --towns 2 --epochs 1 --work /tmp/run   # a quick try
"""
TOWNS, EPOCHS, BATCH = 64, 3, 64
BOUNDS = {
    "towns": (1, 10_000),
    "epochs": (1, 10_000),
    "batch": (4, 10_000),
    "threads": (1, 1000),
    "stop_after": (1, 10_000),
    "seed": (0, 2**31 - 1),
    "first_seed": (0, 2**31 - 1),
}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `geoloc train`."""
    parser = verbs.add_parser(
        "vlm",
        help="train the small vision-language model from seeds and export it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, metavar="MODEL", help="model directory to write")
    add("--towns", type=int, default=TOWNS, metavar="N", help=f"training towns (default: {TOWNS})")
    add("--epochs", type=int, default=EPOCHS, metavar="N",
        help=f"passes over the camera views and as many crops (default: {EPOCHS})")  # fmt: skip
    add("--batch", type=int, default=BATCH, metavar="N",
        help=f"pictures per step (default: {BATCH})")  # fmt: skip
    add("--seed", type=int, default=1, help="of weights, order and augmentation (default: 1)")
    add("--first-seed", type=int, default=1000, metavar="SEED",
        help="seed of the first training town; 2000.. validate, 900000.. are refused "
             "(default: 1000)")  # fmt: skip
    add("--teacher", default="perspective", metavar="MODEL",
        help="perspective encoders whose feature maps the vision tower learns to say besides; "
             "'' for none (default: perspective)")  # fmt: skip
    add("--start", type=Path, metavar="FILE",
        help="checkpoint.pt of another run, of the same questions and sizes: begin with its "
             "weights")  # fmt: skip
    add("--data", type=Path, default=Path("out/train/towns"), metavar="DIR",
        help="rendered towns, made where missing (default: out/train/towns)")  # fmt: skip
    add("--work", type=Path, default=Path("out/train/vlm"), metavar="DIR",
        help="checkpoint and log.csv (default: out/train/vlm)")  # fmt: skip
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    add("--stop-after", type=int, metavar="N",
        help="interrupt the run after N epochs; --resume goes on")  # fmt: skip
    add("--resume", action="store_true", help="continue from the checkpoint in --work")
    add("--render-only", action="store_true", help="stop when towns and answers are made")
    add("--measure", action="store_true",
        help="do not train: measure MODEL again and write its card anew")  # fmt: skip
    parser.set_defaults(run=_vlm)


def _vlm(arguments: argparse.Namespace) -> int:
    check_bounds(arguments, BOUNDS)
    logging.getLogger("geoloc_ros.training").setLevel(logging.INFO)
    with extra("train,vlm"):
        from geoloc_ros.training.vlm_recipe import VlmRecipe, measure_vlm, render_vlm, train_vlm
        from geoloc_ros.training.vlm_train import VlmTrainConfig
    teacher = find_model(arguments.teacher) if arguments.teacher else None
    start = arguments.start
    if start is not None and not start.is_file():
        raise TrainingError(
            f"--start {start} is no file; give the checkpoint.pt of a run's --work"
        )
    recipe = VlmRecipe(
        train=VlmTrainConfig(
            teacher=teacher.encoder_sha256 if teacher else "",
            start=file_sha256(start) if start else "",
            epochs=arguments.epochs,
            batch=arguments.batch,
            seed=arguments.seed,
            threads=arguments.threads,
        ),
        towns=arguments.towns,
        first_seed=arguments.first_seed,
        data=arguments.data,
        work=arguments.work,
        out=arguments.out,
        workers=arguments.threads,
        stop_after=arguments.stop_after,
        teacher=teacher,
        start=start,
    )
    if arguments.render_only:
        train, validation = render_vlm(recipe)
        print(f"{len(train)} training and {len(validation)} validation towns in {arguments.data}")
        return 0
    if arguments.measure:
        scores = measure_vlm(recipe)
    else:
        scores = train_vlm(recipe, _command(arguments), arguments.resume)
    _print(scores, arguments.out)
    return 0


def _print(scores: Mapping[str, Any], out: Path) -> None:
    for name, value in scores.items():
        print(f"{name:>22}  {value:.4g}")
    print(f"model package: {out}")


def _command(arguments: argparse.Namespace) -> str:
    """The command that makes this model again, without paths of this machine."""
    parts = ["geoloc train vlm --out models/vlm-tiny"]
    defaults = {"towns": TOWNS, "epochs": EPOCHS, "batch": BATCH, "seed": 1, "first_seed": 1000,
                "stop_after": None, "teacher": "perspective"}  # fmt: skip
    start = ["--start FIRST/checkpoint.pt"] if arguments.start else []
    return " ".join([*parts, *changed(arguments, defaults), *start])
