#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
r"""Back ends on this machine, what the machinery around them costs, and what lower precision does.

- `backends`: which work here, why not the others, how exact, how fast (`geoloc model bench`).
- `around`: what choosing, switching and falling back cost a frame: CPU time of the encoder that
  can switch, over that of the one that cannot, on sessions of one kind, call by call in turn.
- `cache`: a hundred openings at once of an engine that nobody has built: how many builds, how
  long an opening takes that verifies every byte.
- `precision`: with `--index`, what fp16 and int8 cost a model on an area: drift of descriptors and
  recall, measured by the code that accepts engines. No GPU is needed: ONNX Runtime runs the same
  network on the CPU, with weights in half precision (between them its kernels keep fp32: that is
  the least that fp16 costs), or in eight bits whose ranges come from entropy calibration on one
  half of the pictures. An engine of TensorRT rounds at other places.

Example (after `make demo`):
  python bench/backends.py perspective --index out/demo/index --drive out/demo/world/drive_00 \
      --truth /ground_truth/pose --imagery out/demo/world/imagery.tif --json backends.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geoloc_ros import durable
from geoloc_ros.bags.drive_views import drive_views
from geoloc_ros.cli.model_bench import figures, table
from geoloc_ros.config import Config, EncoderConfig
from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.encoders.backends.base import Job, Network, Session
from geoloc_ros.encoders.backends.cache import EngineCache
from geoloc_ros.encoders.backends.choosing import Chooser
from geoloc_ros.encoders.backends.key import EngineKey
from geoloc_ros.encoders.backends.live import LiveEncoder
from geoloc_ros.encoders.backends.ort import OrtCpu
from geoloc_ros.encoders.backends.parity import made_pictures
from geoloc_ros.encoders.backends.settled import with_bar
from geoloc_ros.encoders.backends.timing import time_backends
from geoloc_ros.encoders.onnx_backend import INPUT, OUTPUT, OnnxEncoder, open_session
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import GeolocError
from geoloc_ros.imagery.windows import open_ground
from geoloc_ros.index.area_pictures import AreaPictures, Describe, area_tiles, measure
from geoloc_ros.index.sharded_index import ShardedIndex

BATCHES = (1, 8, 24)
OPENINGS, ENGINE_MB, BUILD_S = 100, 20, 0.5
CALLS = 300
PICTURES = 1024
CALIBRATION_BATCH = 8


def around(package: ModelPackage) -> dict[str, float]:
    """Median CPU time of a call, ms, of the encoder that cannot switch and of the one that can."""
    view = made_pictures(Network(package, "query"), 1)
    plain = OnnxEncoder(package)
    live = LiveEncoder(package, EncoderConfig(backend="ort-cpu"), 1)
    taken: dict[str, list[float]] = {"plain": [], "live": []}
    for number in range(2 * CALLS):
        name, encoder = (("plain", plain), ("live", live))[number % 2]
        begun = time.thread_time()
        encoder.encode_query(view)
        taken[name].append(1e3 * (time.thread_time() - begun))
    live.close()
    found = {f"{name}_ms": float(np.median(ms)) for name, ms in taken.items()}
    return {**found, "ratio": found["live_ms"] / found["plain_ms"]}


def cache(root: Path) -> dict[str, Any]:
    """A hundred openings at once of an engine that is not there."""
    engines = EngineCache(root, budget_mb=10 * ENGINE_MB)
    key = EngineKey({"backend": "tensorrt", "precision": "fp32", "machine": {"gpu": "none"}})
    content = np.random.default_rng(0).bytes(1_000_000 * ENGINE_MB)
    builds: list[int] = []

    def write(folder: Path) -> None:
        builds.append(1)
        time.sleep(BUILD_S)
        durable.write_bytes(folder / "engine.plan", content)

    def one(_: int) -> bool:
        engines.build(key, write, len(content))
        lease = engines.open(key)
        if lease is not None:
            lease.close()
        return lease is not None

    begun = time.perf_counter()
    with ThreadPoolExecutor(OPENINGS) as pool:
        opened = sum(pool.map(one, range(OPENINGS)))
    together_s = time.perf_counter() - begun
    begun = time.perf_counter()
    one(0)
    return {
        "openings": OPENINGS,
        "opened": opened,
        "builds": len(builds),
        "engine_mb": ENGINE_MB,
        "build_s": BUILD_S,
        "together_s": together_s,
        "open_twice_ms": 1e3 * (time.perf_counter() - begun),
    }


def halved(network: Network, images: Image, out: Path) -> Session:
    """The network with weights in half precision."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    del images
    onnx.save(convert_float_to_float16(onnx.load(str(network.path)), keep_io_types=True), str(out))
    return opened(out)


def eight_bits(network: Network, images: Image, out: Path) -> Session:
    """The network in eight bits, ranges by entropy calibration on pictures, weights by channel."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_static,
    )

    normalise = OnnxEncoder(network.package).normalise

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches: Iterator[Float32Array] = (
                normalise(images[first : first + CALIBRATION_BATCH])
                for first in range(0, len(images) - CALIBRATION_BATCH + 1, CALIBRATION_BATCH)
            )

        def get_next(self) -> dict[str, Float32Array] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    quantize_static(
        str(network.path),
        str(out),
        Reader(),
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Entropy,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    return opened(out)


def opened(path: Path) -> Session:
    """A session on the CPU."""
    session: Session = open_session(path, 1, (INPUT,), (OUTPUT,))
    return session


def describing(network: Network, session: Session) -> Describe:
    """What describes pictures on a session."""
    encoder = OnnxEncoder(network.package)
    encoder.use(network.side, session)
    return encoder.encode_query if network.side == "query" else encoder.encode_reference


def precision(network: Network, pictures: AreaPictures, index: ShardedIndex) -> dict[str, Any]:
    """What fp16 and int8 cost on pictures of an area; int8 is calibrated on their first half."""
    half = len(pictures) // 2
    exact = describing(network, OrtCpu().open(Job(network=network)))
    limits, found = EncoderConfig(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, reduce in (("fp16", halved), ("int8", eight_bits)):
            session = reduce(network, pictures.images[:half], Path(folder) / f"{name}.onnx")
            engine = describing(network, session)
            figures = measure(
                index, pictures.part(slice(half, None)), exact, engine, Config().score
            )
            refusal = figures.refusal(limits)
            row = dataclasses.asdict(figures) | {"recall_loss": figures.recall_loss}
            found[name] = row | {"accepted": not refusal, "refusal": refusal}
    return found


def area(arguments: argparse.Namespace, package: ModelPackage) -> dict[str, Any]:
    """What lower precision costs each side of a model on an area."""
    index = ShardedIndex.open(arguments.index, package)
    frame, count, found = index.manifest.frame, arguments.pictures, {}
    if arguments.drive is not None:
        query = Network(package, "query")
        views = drive_views(
            arguments.drive, package, Config(), index.manifest, count, arguments.truth
        )
        found["query"] = precision(query, views, index)
    if arguments.imagery is not None:
        reference = Network(package, "reference")
        ground = open_ground(arguments.imagery, index.manifest.imagery.gsd_m, frame)
        found["reference"] = precision(
            reference, area_tiles(index, ground, reference, count), index
        )
    return found


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything there is to measure."""
    package = find_model(arguments.model)
    with tempfile.TemporaryDirectory(prefix="geoloc-engines-") as folder:
        root = Path(folder)
        root.chmod(0o700)
        steps = tqdm(total=4, unit="part", disable=None)
        chooser = Chooser(Network(package, "query"), EncoderConfig(engine_dir=str(root / "a")), 1)
        rows = time_backends(chooser, BATCHES, arguments.seconds, with_bar)
        print(table(rows, BATCHES))
        steps.update()
        found = figures(rows, {"model": package.name, "side": "query"})
        found["around"] = around(package)
        steps.update()
        found["cache"] = cache(root / "b")
        steps.update()
        found["precision"] = area(arguments, package) if arguments.index else {}
        steps.update()
        steps.close()
    found["machine"] = {"cpus": os.cpu_count(), "architecture": platform.machine()}
    return found


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="encoder package by name or directory")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement of speed")
    parser.add_argument("--index", type=Path, help="of an area")
    parser.add_argument("--drive", type=Path, help="a recording there: for the query side")
    parser.add_argument("--truth", help="topic that says where it was")
    parser.add_argument("--imagery", type=Path, help="of the index: for the reference side")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="to calibrate and measure")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    try:
        found = measured(arguments)
    except GeolocError as error:
        print(error, file=sys.stderr)
        return 2
    text = json.dumps(found, indent=2) + "\n"
    print(json.dumps({name: found[name] for name in ("around", "cache", "precision")}, indent=2))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
