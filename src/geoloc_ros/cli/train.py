# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc train`: render made towns, train an encoder pair, export a model package."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

from geoloc_ros.cli import train_reranker, train_vlm
from geoloc_ros.cli.training import changed, check_bounds, extra
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import TrainingError

_DESCRIPTION = """\
Train one of the shipped encoder pairs from seeds.

Renders made towns (kept in --data, so a second run starts at once), trains with symmetric InfoNCE
and hard negatives, validates in towns never trained on, and writes a model package after every
epoch: MODEL/model.json, query.onnx, reference.onnx, README.md. The perspective encoders also learn
to say what stands where ahead, which made towns know. Training needs the extra dependencies:
pip install 'geoloc_ros[train]'.

The defaults and the commands in the model cards made the shipped models. Less than two hours
on two CPU cores for perspective, rendering included.
"""
_EPILOG = """\
examples:
  geoloc train encoder --kind perspective --out models/perspective
  geoloc train encoder --kind ground_plane --out models/ground_plane --aerial photos/
  geoloc train encoder --kind perspective --out /tmp/try --towns 2 --epochs 1   # a quick try
  geoloc train encoder --kind perspective --start perspective --first-seed 1200 --towns 8 \\
      --out mine   # go on from the shipped pair
"""
TOWNS = {"perspective": 64, "ground_plane": 16}
EPOCHS = {"perspective": 14, "ground_plane": 14}
WIDE_FROM = {"perspective": 3, "ground_plane": 6}
WEIGHT_DECAY = {"perspective": 0.05, "ground_plane": 0.03}
BATCH = {"perspective": 96, "ground_plane": 96}
START_EPOCHS = 5
START_LEARNING_RATE = 1e-3
BOUNDS = {
    "towns": (1, 10_000),
    "epochs": (1, 10_000),
    "batch": (16, 10_000),
    "threads": (1, 1000),
    "stop_after": (1, 10_000),
    "seed": (0, 2**31 - 1),
    "first_seed": (0, 2**31 - 1),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("train", help="train the encoders, the VLM and the reranker")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    encoder = verbs.add_parser(
        "encoder",
        help="train an encoder pair from seeds and export it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(encoder)
    encoder.set_defaults(run=_encoder)
    train_vlm.add_parser(verbs)
    train_reranker.add_parser(verbs)


def _each(values: dict[str, int]) -> str:
    """Defaults that depend on --kind, for the help text."""
    return "default: " + ", ".join(f"{value} for {kind}" for kind, value in values.items())


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--kind", required=True, choices=sorted(EPOCHS), help="which pair")
    add("--out", required=True, type=Path, metavar="MODEL", help="model directory to write")
    add("--towns", type=int, metavar="N", help=f"training towns ({_each(TOWNS)})")
    add("--epochs", type=int, metavar="N", help=f"passes over the data ({_each(EPOCHS)})")
    add("--batch", type=int, metavar="N", help=f"pairs per step ({_each(BATCH)})")
    add("--seed", type=int, default=1, help="of weights, order and augmentation (default: 1)")
    add("--first-seed", type=int, default=1000, metavar="SEED",
        help="seed of the first training town; 2000.. validate, 900000.. are refused "
             "(default: 1000)")  # fmt: skip
    add("--start", metavar="MODEL",
        help="begin with the weights of this package, of any picture size, not with random ones; "
             f"then {START_EPOCHS} epochs by default, with half the learning rate")  # fmt: skip
    add("--data", type=Path, default=Path("out/train/towns"), metavar="DIR",
        help="rendered towns, made where missing (default: out/train/towns)")  # fmt: skip
    add("--work", type=Path, metavar="DIR",
        help="checkpoint and log.csv (default: out/train/KIND)")  # fmt: skip
    add("--aerial", type=Path, metavar="DIR",
        help="aerial photos as DIR/SITE/*.jpg, for ground_plane; without it the pair learns from "
             "made towns only")  # fmt: skip
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    add("--stop-after", type=int, metavar="N",
        help="interrupt the run after N epochs; --resume goes on")  # fmt: skip
    add("--resume", action="store_true", help="continue from the checkpoint in --work")
    add("--render-only", action="store_true", help="stop when the towns are rendered")


def _encoder(arguments: argparse.Namespace) -> int:
    check_bounds(arguments, BOUNDS)
    if arguments.aerial is not None and not arguments.aerial.is_dir():
        raise TrainingError(f"--aerial {arguments.aerial} is no folder; expected DIR/SITE/*.jpg")
    logging.getLogger("geoloc_ros.training").setLevel(logging.INFO)
    with extra("train"):
        from geoloc_ros.training.recipe import Recipe, render, train_encoder
        from geoloc_ros.training.train import TrainConfig
    kind = arguments.kind
    start = find_model(arguments.start) if arguments.start else None
    train_config = TrainConfig(
        kind=kind,
        epochs=arguments.epochs or (START_EPOCHS if start else EPOCHS[kind]),
        batch=arguments.batch or BATCH[kind],
        wide_from=WIDE_FROM[kind],
        weight_decay=WEIGHT_DECAY[kind],
        seed=arguments.seed,
        threads=arguments.threads,
    )
    if start is not None:  # what the first epochs are for has been learnt
        train_config = dataclasses.replace(
            train_config,
            start=start.encoder_sha256,
            learning_rate=START_LEARNING_RATE,
            geographic_epochs=1,
            wide_from=0,
        )
    recipe = Recipe(
        train=train_config,
        towns=arguments.towns or TOWNS[kind],
        first_seed=arguments.first_seed,
        aerial=arguments.aerial,
        data=arguments.data,
        work=arguments.work or Path("out/train") / kind,
        out=arguments.out,
        workers=arguments.threads,
        stop_after=arguments.stop_after,
        start=start,
    )
    if arguments.render_only:
        train, validation = render(recipe)
        print(f"{len(train)} training and {len(validation)} validation towns in {arguments.data}")
        return 0
    scores = train_encoder(recipe, _command(arguments), arguments.resume)
    for name, value in scores.items():
        print(f"{name:>12}  {value:.4g}")
    print(f"model package: {arguments.out}")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """The command that makes this model again, without paths of this machine."""
    parts = ["geoloc train encoder", f"--kind {arguments.kind}", f"--out models/{arguments.kind}"]
    defaults = {
        "towns": None,
        "epochs": None,
        "batch": None,
        "seed": 1,
        "first_seed": 1000,
        "stop_after": None,
    }
    parts += changed(arguments, defaults)
    if arguments.start is not None:
        parts.append("--start FIRST")
    if arguments.aerial is not None:
        parts.append("--aerial PHOTOS")
    return " ".join(parts)
