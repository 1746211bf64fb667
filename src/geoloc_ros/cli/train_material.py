# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What `geoloc train encoder` learns from: options of towns, drives and data sets."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geoloc_ros.cli.training import check_bounds, flag
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError

TOWNS = {"perspective": 64, "ground_plane": 16}
BOUNDS = {"towns": (1, 10_000), "first_seed": (0, 2**31 - 1)}
DATA = Path("out/train/towns")
#: materials, as a message names them, and the options that each alone knows
MATERIALS = {"towns": "made towns", "drives": "--drives", "dataset": "--dataset"}
OPTIONS = {
    "towns": ("towns", "first_seed", "data", "aerial"),
    "drives": (
        "drives", "imagery", "truth", "image_topic", "odometry_topic", "max_sigma",
        "assume_sigma", "window", "every", "per_place", "block", "hold_out", "buffer", "config",
        "set",
    ),
    "dataset": ("dataset", "root", "split"),
}  # fmt: skip
#: options of drives that are numbers: in which settings, under which name
GATE = {"max_sigma": "max_sigma_m", "assume_sigma": "assumed_sigma_m", "window": "window_m"}
THINNING = {"every": "every_m", "per_place": "per_place"}
SPLIT = {"block": "block_m", "hold_out": "share"}
BUFFER_M = 0.0, 10_000.0
#: options that change what comes out, as they are by default
DEFAULTS: dict[str, object] = {
    "towns": None,
    "first_seed": 1000,
    "every": 2.0,
    "per_place": 6,
    "max_sigma": 1.5,
    "assume_sigma": 0.0,
    "window": 15.0,
    "block": 300.0,
    "buffer": None,
    "hold_out": 0.2,
    "split": "",
    "image_topic": None,
    "odometry_topic": None,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of all materials."""
    _add_towns(parser.add_argument_group("made towns (by default)"))
    _add_drives(parser.add_argument_group("one's own drives"))
    _add_dataset(parser.add_argument_group("a published data set"))


def _add_towns(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    each = ", ".join(f"{value} for {kind}" for kind, value in TOWNS.items())
    add("--towns", type=int, metavar="N", help=f"training towns (default: {each})")
    add("--first-seed", type=int, metavar="SEED",
        help="seed of the first training town; 2000.. validate, 900000.. are refused "
             "(default: 1000)")  # fmt: skip
    add("--data", type=Path, metavar="DIR",
        help=f"rendered towns, made where missing (default: {DATA})")  # fmt: skip
    add("--aerial", type=Path, metavar="DIR",
        help="aerial photos as DIR/SITE/*.jpg, for ground_plane; without it the pair learns from "
             "made towns only")  # fmt: skip


def _add_drives(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--drives", type=Path, nargs="+", metavar="BAG",
        help="recordings: rosbag2 directories, .mcap, .db3 or .bag files")  # fmt: skip
    add("--imagery", type=Path, nargs="+", metavar="TIF",
        help="imagery of the ground driven, GeoTIFF, MBTiles or PMTiles; several: of other "
             "years")  # fmt: skip
    add("--truth", metavar="TOPIC", help="NavSatFix, or PoseStamped with a NavSatFix beside it")
    add("--image-topic", metavar="TOPIC", help="camera topic, where there are several")
    add("--odometry-topic", metavar="TOPIC", help="odometry topic, where there are several")
    _number(add, "--max-sigma", "M", "trust fixes of at most this standard deviation")
    _number(add, "--assume-sigma", "M",
            "what fixes without covariance are taken for; 0: they are refused")  # fmt: skip
    _number(add, "--window", "M",
            "way before and behind a frame on which fixes and odometry must agree")  # fmt: skip
    _number(add, "--every", "M", "way from one frame to the next that is kept")
    _number(add, "--per-place", "N", "views kept of one place and direction", int)
    _number(add, "--block", "M", "side of the blocks of ground that are held out")
    _number(add, "--hold-out", "SHARE", "of the views that is held out; 0: none")
    add("--buffer", type=_buffer, metavar="M",
        help="views whose crops lie nearer than this to a held-out one, middle to middle, are not "
             "used (default: auto, so that no crop trained on overlaps one held out)")  # fmt: skip
    add("--config", type=Path, help="YAML file; see 'geoloc config dump'")
    add("--set", action="append", metavar="GROUP.NAME=VALUE",
        help="override one parameter; repeatable")  # fmt: skip


def _add_dataset(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dataset", metavar="NAME", help="vigor, cvusa, cvact, university, cvuk, kitti or ford")
    add("--root", type=Path, metavar="DIR", help="folder of the data set")
    add("--split", help="to train on (default: its training split)")


def _buffer(text: str) -> float | None:
    """Metres; None for auto."""
    return None if text == "auto" else float(text)


def _number(add: Any, option: str, unit: str, text: str, kind: type = float) -> None:  # noqa: ANN401
    default = DEFAULTS[option.removeprefix("--").replace("-", "_")]
    shown = f"{default:g}" if kind is float else str(default)
    add(option, type=kind, metavar=unit, help=f"{text} (default: {shown})")


def check(arguments: argparse.Namespace) -> str:
    """See that options fit together and fill in those not given; answers what is learnt from.

    Raises:
        TrainingError: they do not.
    """
    if arguments.drives and arguments.dataset:
        raise TrainingError(
            "--drives and --dataset exclude each other; train on one, then on both"
        )
    chosen = "towns"
    if arguments.drives or arguments.dataset is not None:
        chosen = "drives" if arguments.drives else "dataset"
    _refuse_others(arguments, chosen)
    if chosen == "drives":
        for name in ("imagery", "truth"):
            if not getattr(arguments, name):
                raise TrainingError(
                    f"--drives needs --{name}; 'geoloc bag info BAG' lists a recording's topics"
                )
    if chosen == "dataset" and not arguments.root:
        raise TrainingError("--dataset needs --root, the folder the data set lies in")
    if arguments.aerial is not None and not arguments.aerial.is_dir():
        raise TrainingError(f"--aerial {arguments.aerial} is no folder; expected DIR/SITE/*.jpg")
    for name, default in {**DEFAULTS, "data": DATA, "set": []}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    return chosen


def _refuse_others(arguments: argparse.Namespace, chosen: str) -> None:
    """Refuse options of what is not learnt from: they would change nothing."""
    for owner, names in OPTIONS.items():
        for name in names:
            if owner == chosen or getattr(arguments, name) is None:
                continue
            way = f"add --{owner}" if chosen == "towns" else f"leave out --{chosen}"
            raise TrainingError(
                f"{flag(name)} goes with {MATERIALS[owner]}, and this trains on "
                f"{MATERIALS[chosen]}; leave it out, or {way}"
            )


def material(
    arguments: argparse.Namespace,
    kind: str,
    start: ModelPackage | None,
    teacher: ModelPackage | None,
) -> Any:  # noqa: ANN401 - of modules that need torch's extra
    """What is learnt from.

    Raises:
        TrainingError: it has nothing for encoders of this kind, or a number makes no sense.
    """
    if arguments.drives:
        return _drives(arguments, kind, start, teacher)
    if arguments.dataset is not None:
        from geoloc_ros.training.dataset_material import DatasetMaterial

        return DatasetMaterial(
            kind=kind,
            dataset=arguments.dataset,
            root=arguments.root,
            split=arguments.split,
            start=start,
            teacher=teacher,
        )
    if kind not in TOWNS:
        raise TrainingError(
            f"made towns have views for {' and '.join(TOWNS)} encoders, none for {kind}; train it "
            "on a data set (--dataset)"
        )
    if arguments.aerial is not None and kind != "ground_plane":
        raise TrainingError(f"--aerial goes with ground_plane encoders, not with {kind}")
    from geoloc_ros.training.town_material import TownMaterial

    return TownMaterial(
        kind=kind,
        towns=arguments.towns or TOWNS[kind],
        first_seed=arguments.first_seed,
        aerial=arguments.aerial,
        data=arguments.data,
        workers=arguments.threads,
    )


def _drives(
    arguments: argparse.Namespace,
    kind: str,
    start: ModelPackage | None,
    teacher: ModelPackage | None,
) -> Any:  # noqa: ANN401
    from geoloc_ros import config
    from geoloc_ros.training.drive_material import DriveMaterial
    from geoloc_ros.training.fixes import Gate
    from geoloc_ros.training.mining import MiningConfig, Thinning
    from geoloc_ros.training.place_split import SplitConfig

    check_bounds(arguments, {"buffer": BUFFER_M}, "m")
    overrides = [
        f"input.{name}={getattr(arguments, name)}"
        for name in ("image_topic", "odometry_topic")
        if getattr(arguments, name)
    ]
    return DriveMaterial(
        kind=kind,
        drives=tuple(arguments.drives),
        imagery=tuple(arguments.imagery),
        mining=MiningConfig(
            truth_topic=arguments.truth,
            gate=_settings(Gate, arguments, GATE),
            thinning=_settings(Thinning, arguments, THINNING),
            config=config.load(arguments.config, (*arguments.set, *overrides)),
        ),
        split=_settings(SplitConfig, arguments, SPLIT, buffer_m=arguments.buffer),
        folder=arguments.work / "drives",
        start=start,
        teacher=teacher,
    )


def _settings(
    kind: Any,  # noqa: ANN401
    arguments: argparse.Namespace,
    names: Mapping[str, str],
    **others: object,
) -> Any:  # noqa: ANN401
    """Settings from options, refused under the option's name if they lie where none may.

    Args:
        kind: a `Checked` group.
        arguments: parsed.
        names: of the group's parameters, by the option's name.
        others: parameters that were checked already.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, parameter in names.items():
        limits = fields[parameter].metadata
        unit = "m" if parameter.endswith("_m") else ""
        check_bounds(arguments, {name: (limits["ge"], limits["le"])}, unit)
    values = {parameter: getattr(arguments, name) for name, parameter in names.items()}
    return kind(**values, **others)


def named(arguments: argparse.Namespace) -> Sequence[str]:
    """Words of the command line that name files, without paths of this machine."""
    words = []
    if arguments.aerial is not None:
        words.append("--aerial PHOTOS")
    if arguments.drives:
        words.append("--drives " + shlex.join(p.name for p in arguments.drives))
        words.append("--imagery " + shlex.join(p.name for p in arguments.imagery))
        words.append(f"--truth {arguments.truth}")
        if arguments.config is not None:
            words.append(f"--config {shlex.quote(arguments.config.name)}")
        words += [f"--set {shlex.quote(setting)}" for setting in arguments.set]
    if arguments.dataset is not None:
        words.append(f"--dataset {arguments.dataset} --root DATA")
    return words
