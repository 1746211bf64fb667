# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc model build-engine`: engines ahead of time, those of less than fp32 measured."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoloc_ros import config
from geoloc_ros.cli.settings_options import add_settings
from geoloc_ros.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from geoloc_ros.encoders.backends.base import EngineBackend, Job
    from geoloc_ros.encoders.backends.cache import Lease
    from geoloc_ros.encoders.backends.choosing import Chooser
    from geoloc_ros.encoders.backends.verdict import Verdict
    from geoloc_ros.index.area_pictures import AreaPictures
    from geoloc_ros.index.sharded_index import ShardedIndex

#: sides of a model
SIDES = ("query", "reference")
_DESCRIPTION = """\
Build the engine of a network for this machine ahead of time, so that a vehicle need not begin on
the CPU. An engine of fp16 or int8 is measured on the area first: how far its descriptors drift
from those of fp32, and how many places are no longer found. It is kept only within the limits of
the configuration (encoder.max_drift, encoder.max_recall_loss), and refused with the figures
otherwise. int8 is calibrated on one half of the pictures and measured on the other.
"""
_EPILOG = """\
examples:
  geoloc model build-engine perspective
  geoloc model build-engine perspective --precision fp16 --calibrate city.index --drive monday.mcap
  geoloc model build-engine ground_plane --precision int8 --calibrate area.index --imagery area.tif
"""
LEAST_PICTURES, MOST_PICTURES = 32, 100_000


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "build-engine",
        help="build the engine of a model for this machine, measure it if it is of fp16 or int8",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="encoder package by name or directory")
    parser.add_argument(
        "--side",
        choices=SIDES,
        default="query",
        help="what looks at camera views, which is what a vehicle runs, or at satellite crops "
        "(%(default)s)",
    )
    parser.add_argument(
        "--backend",
        choices=("tensorrt", "ort-tensorrt"),
        default="tensorrt",
        help="whose engine (%(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        help="default: encoder.precision of the configuration",
    )
    area = parser.add_argument_group("pictures of the area, for fp16 and int8")
    area.add_argument("--calibrate", type=Path, metavar="INDEX", help="index of the area")
    area.add_argument(
        "--imagery", type=Path, help="the imagery it was built from: tiles of it are looked at"
    )
    area.add_argument(
        "--drive", type=Path, metavar="BAG", help="a recording there: its views are looked at"
    )
    area.add_argument(
        "--truth",
        metavar="TOPIC",
        help="of the recording, where the vehicle was; default: where fp32 says it was",
    )
    area.add_argument(
        "--pictures",
        type=int,
        default=1024,
        metavar="N",
        help="to calibrate and to measure on, together (%(default)s)",
    )
    add_settings(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=_build)


def _build(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.backends.base import EngineBackend, Network
    from geoloc_ros.encoders.backends.choosing import Chooser
    from geoloc_ros.encoders.registry import find_model

    settings = config.load(arguments.config, tuple(arguments.set))
    precision = arguments.precision or settings.encoder.precision
    _check(arguments, precision)
    wanted = dataclasses.replace(settings.encoder, backend=arguments.backend, precision=precision)
    network = Network(find_model(arguments.model), arguments.side)
    chooser = Chooser(network, wanted, settings.encoder_threads)
    backend = chooser.backend(arguments.backend)
    assert isinstance(backend, EngineBackend)  # noqa: S101 - both choices are
    trouble = backend.trouble()
    if precision not in backend.precisions:
        trouble = f"it builds {', '.join(backend.precisions)}, not {precision}"
    if trouble:
        raise ModelError(f"{arguments.backend} cannot be used here: {trouble}")
    if precision == "fp32":
        return _build_exact(chooser, backend, arguments)
    return _build_measured(chooser, backend, arguments, settings)


def _check(arguments: argparse.Namespace, precision: str) -> None:
    """See that options fit together.

    Raises:
        ConfigError: they do not.
    """
    sources = [name for name in ("imagery", "drive") if getattr(arguments, name) is not None]
    if precision == "fp32":
        if arguments.calibrate or sources:
            raise ConfigError("fp32 is not calibrated; leave out --calibrate, --imagery, --drive")
        return
    if arguments.calibrate is None or len(sources) != 1:
        raise ConfigError(
            f"{precision} is measured on the area before it is accepted: name its index with "
            "--calibrate, and either its --imagery or a --drive there"
        )
    if not LEAST_PICTURES <= arguments.pictures <= MOST_PICTURES:
        raise ConfigError(
            f"--pictures is {arguments.pictures}; it must lie in "
            f"[{LEAST_PICTURES}, {MOST_PICTURES}]"
        )


def _build_exact(chooser: Chooser, backend: EngineBackend, arguments: argparse.Namespace) -> int:
    """An engine of fp32: it must pass the self-test, nothing else."""
    from geoloc_ros.encoders.backends.choosing import Candidate
    from geoloc_ros.encoders.backends.settled import opened, with_bar

    found = opened(chooser, Candidate(backend.name), with_bar)
    assert found.lease is not None  # noqa: S101 - an engine's
    _tell(arguments, found.lease, {"drift": found.parity.drift})
    found.lease.close()
    return 0


def _build_measured(
    chooser: Chooser,
    backend: EngineBackend,
    arguments: argparse.Namespace,
    settings: config.Config,
) -> int:
    """An engine of less than fp32: it must keep the limits on pictures of the area."""
    from geoloc_ros.encoders.backends import calibration, parity, verdict
    from geoloc_ros.encoders.backends.key import engine_key
    from geoloc_ros.index.sharded_index import ShardedIndex

    network, limits = chooser.network, chooser.config
    index = ShardedIndex.open(arguments.calibrate, network.package)
    pictures = _pictures(chooser, arguments, settings, index)
    half = len(pictures) // 2
    with _job(chooser, pictures.part(slice(None, half))) as job:
        lease = _built(chooser, backend, job)
    with contextlib.closing(lease):
        session = backend.open(job, lease.folder)
        parity.check(session, chooser.cpu(), network, job.precision)
        found = _measured(chooser, session, index, pictures.part(slice(half, None)), settings)
        refusal = found.refusal(limits)
        if refusal:
            chooser.cache.discard(engine_key(backend, job))
            raise ModelError(
                f"the {job.precision} engine is refused and removed: {refusal}; use fp32, or "
                "raise the limit if that is good enough"
            )
        verdict.write_verdict(lease, found)
        if job.calibration:
            calibration.make_current(chooser.cache.root, network, job.calibration)
        _tell(arguments, lease, dataclasses.asdict(found))
    return 0


def _pictures(
    chooser: Chooser, arguments: argparse.Namespace, settings: config.Config, index: ShardedIndex
) -> AreaPictures:
    """Pictures of the area as the network takes them."""
    from geoloc_ros.bags.drive_views import drive_views
    from geoloc_ros.imagery.windows import open_ground
    from geoloc_ros.index.area_pictures import area_tiles

    network, manifest = chooser.network, index.manifest
    if arguments.drive is None:
        ground = open_ground(arguments.imagery, manifest.imagery.gsd_m, manifest.frame)
        found = area_tiles(index, ground, network, arguments.pictures)
    elif network.side == "query":
        found = drive_views(
            arguments.drive,
            network.package,
            settings,
            manifest,
            arguments.pictures,
            arguments.truth,
        )
    else:
        raise ConfigError("the reference side looks at tiles; name --imagery, not --drive")
    if len(found) < LEAST_PICTURES:
        raise ModelError(
            f"the area gave {len(found)} pictures; at least {LEAST_PICTURES} are needed to "
            "calibrate and measure on"
        )
    return found


@contextlib.contextmanager
def _job(chooser: Chooser, pictures: AreaPictures) -> Iterator[Job]:
    """The job; the pictures int8 is calibrated on lie in a file meanwhile."""
    from geoloc_ros.encoders.backends import calibration
    from geoloc_ros.encoders.backends.choosing import Candidate

    job = chooser.job(Candidate(chooser.config.backend, chooser.config.precision))
    if job.precision != "int8":
        yield job
        return
    with tempfile.TemporaryDirectory(prefix="geoloc-calibration-") as folder:
        path = Path(folder) / "pictures.npy"
        np.save(path, pictures.images)
        digest = calibration.identity(pictures.images)
        yield dataclasses.replace(job, calibration=digest, images=path)


def _built(chooser: Chooser, backend: EngineBackend, job: Job) -> Lease:
    """The job's engine, built if it is not there."""
    from geoloc_ros.encoders.backends.building import built_apart
    from geoloc_ros.encoders.backends.key import engine_key
    from geoloc_ros.encoders.backends.settled import with_bar

    key = engine_key(backend, job)
    lease = chooser.cache.open(key)
    if lease is None:
        with contextlib.closing(built_apart(chooser.cache, backend, job)) as steps:
            with_bar(steps)
        lease = chooser.cache.open(key)
    if lease is None:
        raise ModelError(f"the {key.words} was built and is gone or damaged; run this again")
    return lease


def _measured(
    chooser: Chooser,
    session: object,
    index: ShardedIndex,
    pictures: AreaPictures,
    settings: config.Config,
) -> Verdict:
    """The engine's figures against fp32 on the CPU."""
    from geoloc_ros.encoders.onnx_backend import OnnxEncoder
    from geoloc_ros.index.area_pictures import measure

    network = chooser.network
    sides = []
    for runs in (chooser.cpu(), session):
        encoder = OnnxEncoder(network.package)
        encoder.use(network.side, runs)
        query = network.side == "query"
        sides.append(encoder.encode_query if query else encoder.encode_reference)
    return measure(index, pictures, sides[0], sides[1], settings.score)


def _tell(arguments: argparse.Namespace, lease: Lease, figures: dict[str, object]) -> None:
    """Say what was built."""
    key = lease.manifest["key"]
    size_mb = sum(file["bytes"] for file in lease.manifest["files"].values()) / 1e6
    if arguments.json:
        print(json.dumps({"engine": str(lease.folder), "key": key, **figures}, indent=2))
        return
    print(f"engine     {lease.folder}, {size_mb:.1f} MB, built in {lease.manifest['build_s']:g} s")
    for name, value in figures.items():
        print(f"{name:<10} {value}")
