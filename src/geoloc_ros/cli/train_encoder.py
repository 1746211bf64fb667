# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc train encoder`: an encoder pair from made towns, from drives or from a data set."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import Any

from geoloc_ros.cli import train_material
from geoloc_ros.cli.training import changed, check_bounds, extra
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import TrainingError

_DESCRIPTION = """\
Train an encoder pair, validate it where it was not trained, and write a model package as it gets
better: MODEL/model.json, query.onnx, reference.onnx, README.md. Symmetric InfoNCE with smoothed
labels and a learned temperature; batches of neighbours on the ground, later of places that look
alike (Sample4Geo, arXiv 2303.11851). Needs the extra dependencies: pip install
'geoloc_ros[train]'.

It learns from made towns, rendered where missing; or, with --drives, from recordings with a
trusted fix over imagery of the same ground, of which whole blocks are held out; or, with
--dataset, from a published data set. docs/training.md explains each.

A run can be killed at any time: --resume goes on from its last checkpoint and ends with the same
bytes. Under torchrun, several processes train together as one would with the whole batch.
"""
_EPILOG = """\
examples:
  geoloc train encoder --kind perspective --out models/perspective   # how the shipped one was made
  geoloc train encoder --kind ground_plane --out models/ground_plane --aerial photos/
  geoloc train encoder --kind perspective --out /tmp/try --towns 2 --epochs 1   # a quick try
  geoloc train encoder --start perspective --drives mon.mcap tue.mcap --imagery city.tif \\
      --truth /fix --out mine   # fine-tune the shipped pair on one's own drives
  geoloc train encoder --kind panorama --dataset vigor --root /data/VIGOR --split same-train \\
      --out vigor_small
  torchrun --nproc-per-node 4 --no-python -- geoloc train encoder --kind perspective \\
      --batch 384 --out models/mine   # four processes, one on each GPU
"""
TOWN_EPOCHS, START_EPOCHS = 14, 5
KINDS = ("perspective", "ground_plane", "panorama", "convnext_tiny", "convnext_base")
WIDE_FROM = {"ground_plane": 6}
WEIGHT_DECAY = {"ground_plane": 0.03}
BATCH = 96
LEARNING_RATE = {"towns": 2e-3, "dataset": 1e-3, "drives": 1e-3}
START_RATE = {"towns": 1e-3, "dataset": 5e-4, "drives": 1e-4}
# Of drives there may be few views: so many steps, of which at least so many make an epoch.
DRIVE_STEPS, STEPS_PER_EPOCH = 300, 25
MORE = {  # what to do where there are too few views
    "towns": "take more towns (--towns)",
    "drives": "take more drives, or thin them less (--every, --per-place)",
    "dataset": "take a larger data set or another --split",
}
PATIENCE = {"towns": 0, "drives": 4, "dataset": 5}
BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "batch": (16, 100_000),
    "threads": (1, 1000),
    "makers": (1, 1000),
    "stop_after": (1, 10_000),
    "learning_rate": (1e-8, 1.0),
    "patience": (0, 10_000),
    "self_distil": (0.0, 100.0),
    "seed": (0, 2**31 - 1),
}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `geoloc train`."""
    parser = verbs.add_parser(
        "encoder",
        help="train an encoder pair and export it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--kind", choices=KINDS, help="which pair; not needed with --start")
    add("--out", required=True, type=Path, metavar="MODEL", help="model directory to write")
    add("--start", metavar="MODEL",
        help="begin with the weights of this package, of any picture size, not with random ones; "
             "then with a lower learning rate; what drives teach is in the end blended with "
             "them")  # fmt: skip
    train_material.add_arguments(parser)
    _add_recipe(parser.add_argument_group("how it learns"))
    _add_running(parser.add_argument_group("how it is run"))
    parser.set_defaults(run=_run)


def _add_recipe(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--epochs", type=int, metavar="N",
        help=f"passes over the data (default: {TOWN_EPOCHS} for towns, {START_EPOCHS} with "
             f"--start; 40 for data sets; of drives an epoch has {STEPS_PER_EPOCH} steps or more, "
             f"and there are {DRIVE_STEPS}, in 3 epochs or more)")  # fmt: skip
    add("--batch", type=int, metavar="N",
        help=f"pairs per step, of all processes together (default: {BATCH}, or as many as there "
             "are)")  # fmt: skip
    add("--learning-rate", type=float, metavar="X",
        help="peak of the schedule (default: 2e-3 for towns, 1e-3 else; with --start half, for "
             "drives a tenth)")  # fmt: skip
    add("--patience", type=int, metavar="N",
        help="stop after N epochs without a better R@1 on the held-out part, keep the best; 0: "
             "train to the end, keep the last "
             f"(default: {PATIENCE['drives']} for drives, {PATIENCE['dataset']} for data sets, "
             "0 for towns)")  # fmt: skip
    add("--teacher", metavar="MODEL",
        help="also learn to find alike what this larger package of the same view "
             "does")  # fmt: skip
    add("--self-distil", type=float, default=0.0, metavar="WEIGHT",
        help="also learn to find alike with a part of the view what the averaged weights do with "
             "all of it (after GeoDistill, arXiv 2507.10935; default: 0, off)")  # fmt: skip
    add("--seed", type=int, default=1, help="of weights, order and augmentation (default: 1)")


def _add_running(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--work", type=Path, metavar="DIR",
        help="checkpoint, log.csv, mined pairs (default: out/train/KIND)")  # fmt: skip
    add("--resume", action="store_true", help="continue from the checkpoint in --work")
    add("--stop-after", type=int, metavar="N",
        help="interrupt the run after N epochs; --resume goes on")  # fmt: skip
    add("--prepare-only", action="store_true",
        help="stop when towns are rendered, drives mined or the data set checked")  # fmt: skip
    add("--device", default="auto", choices=("auto", "cpu", "cuda"), help="(default: auto)")
    add("--precision", default="auto", choices=("auto", "float32", "bfloat16", "float16"),
        help="of the networks; auto: half precision where the device is faster for it "
             "(default: auto)")  # fmt: skip
    add("--save-memory", action="store_true",
        help="keep few activations and work the others out again (gradient "
             "checkpointing)")  # fmt: skip
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    add("--makers", type=int, default=1, metavar="N",
        help="threads that make batches ahead (default: 1)")  # fmt: skip
    add("--tensorboard", action="store_true", help="write figures to WORK/tensorboard, too")


def _run(arguments: argparse.Namespace) -> int:
    check_bounds(arguments, {**BOUNDS, **train_material.BOUNDS})
    source = train_material.check(arguments)
    start = find_model(arguments.start) if arguments.start else None
    teacher = find_model(arguments.teacher) if arguments.teacher else None
    kind = _kind(arguments, start)
    arguments.work = arguments.work or Path("out/train") / kind
    with extra("train"):
        from geoloc_ros.training.crew import mustered
        from geoloc_ros.training.recipe import Recipe, train_encoder
    material = train_material.material(arguments, kind, start, teacher)
    with mustered(arguments.device) as crew:
        if crew.is_first:
            logging.getLogger("geoloc_ros.training").setLevel(logging.INFO)
            print(material.prepare())
        crew.wait()
        if arguments.prepare_only:
            return 0
        config = _config(arguments, source, kind, material.samples(), crew.size)
        config = dataclasses.replace(
            config,
            start=start.encoder_sha256 if start else "",
            teacher=teacher.encoder_sha256 if teacher else "",
        )
        recipe = Recipe(
            train=config,
            running=_running(arguments),
            material=material,
            out=arguments.out,
            name=f"geoloc-{kind.replace('_', '-')}" if source == "towns" else arguments.out.name,
            start=start,
            teacher=teacher,
        )
        scores = train_encoder(recipe, _command(arguments, kind), arguments.resume, crew)
        if crew.is_first:
            for name, value in scores.items():
                print(f"{name:>12}  {value:.4g}")
            print(f"model package: {arguments.out}")
    return 0


def _kind(arguments: argparse.Namespace, start: ModelPackage | None) -> str:
    if start is None:
        if arguments.kind is None:
            raise TrainingError("which pair? name one with --kind, or a trained one with --start")
        return str(arguments.kind)
    with extra("train"):
        from geoloc_ros.training.pair import kind_of
    kind = kind_of(start)
    if arguments.kind not in (None, kind):
        raise TrainingError(
            f"--kind is {arguments.kind}, --start {arguments.start} is a {kind} model; leave "
            "--kind out, or start from another"
        )
    return kind


def _config(
    arguments: argparse.Namespace, source: str, kind: str, samples: int, processes: int
) -> Any:  # noqa: ANN401 - of a module that needs torch's extra
    """The settings of a training, as asked for or as the material suggests."""
    from geoloc_ros.training.config import TrainConfig

    started = bool(arguments.start)
    rate = arguments.learning_rate or (START_RATE if started else LEARNING_RATE)[source]
    batch = arguments.batch or _largest_batch(samples, processes, source)
    if batch > samples:
        raise TrainingError(
            f"--batch is {batch}, and there are {samples} views to train on, not enough for one; "
            f"make it at most {samples}, or {MORE[source]}"
        )
    epochs = arguments.epochs or (START_EPOCHS if started else TOWN_EPOCHS)
    if source == "dataset":
        epochs = arguments.epochs or 40
    passes = 1
    if source == "drives":
        steps = max(1, samples // batch)
        passes = -(-STEPS_PER_EPOCH // steps)
        epochs = arguments.epochs or max(3, -(-DRIVE_STEPS // (passes * steps)))
    config = TrainConfig(
        kind=kind,
        epochs=epochs,
        passes=passes,
        batch=batch,
        extra=batch // (3 * processes) * processes,
        learning_rate=rate,
        wide_from=WIDE_FROM.get(kind, 3),
        weight_decay=WEIGHT_DECAY.get(kind, 0.05),
        layout_weight=3.0 if source == "towns" else 0.0,
        patience=_patience(arguments, source),
        masked_weight=arguments.self_distil,
        precision=arguments.precision,
        seed=arguments.seed,
    )
    if source == "dataset":  # as in Sample4Geo
        config = dataclasses.replace(config, cluster=65, pool=128, street=0.0, extra=0,
                                     geographic_epochs=4)  # fmt: skip
    if started:  # what the first epochs are for has been learnt
        blend = source == "drives"  # which are few, and much is to be lost
        config = dataclasses.replace(config, geographic_epochs=1, wide_from=0, blend=blend)
    return config


def _patience(arguments: argparse.Namespace, source: str) -> int:
    if arguments.patience is not None:
        return int(arguments.patience)
    if source == "drives" and not arguments.hold_out:  # nothing could tell when to stop
        return 0
    return PATIENCE[source]


def _largest_batch(samples: int, processes: int, source: str) -> int:
    """The largest usual batch that clusters of eight fill and processes share evenly."""
    step = 8 * processes
    least = max(step, 16)
    if samples < least:
        raise TrainingError(
            f"{samples} views are too few to train on; a batch needs {least}: {MORE[source]}"
        )
    return min(max(BATCH, least), samples) // step * step


def _running(arguments: argparse.Namespace) -> Any:  # noqa: ANN401
    from geoloc_ros.training.config import Running

    return Running(
        work=arguments.work,
        threads=arguments.threads,
        makers=arguments.makers,
        forget=arguments.save_memory,
        stop_after=arguments.stop_after,
        tensorboard=arguments.tensorboard,
    )


def _command(arguments: argparse.Namespace, kind: str) -> str:
    """The command that makes this model again, without paths of this machine."""
    parts = ["geoloc train encoder", f"--kind {kind}", f"--out models/{arguments.out.name}"]
    defaults = {
        "epochs": None,
        "batch": None,
        "learning_rate": None,
        "patience": None,
        "self_distil": 0.0,
        "seed": 1,
        "stop_after": None,
        "precision": "auto",
    }
    parts += changed(arguments, {**defaults, **train_material.DEFAULTS})
    for option, value in (("--start", arguments.start), ("--teacher", arguments.teacher)):
        if value is not None:
            parts.append(f"{option} {Path(value).name}")
    return " ".join([*parts, *train_material.named(arguments)])
