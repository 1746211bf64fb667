#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a vision-language model that never rests does to the latency of frames.

Drives a recording through the spine while a model's process alternately works and waits, a block
of frames each, and once more with the blocks swapped: every frame is timed with the model busy and
idle, in one run on one machine, doing the same work. Printed: median and p95 of the frames'
latencies, busy over idle, in wall time, which is what matters; and the p95 in CPU time of the
thread, which other work on the machine disturbs less: it shows shared caches and memory, not a
core that is taken away. The first needs a machine that does nothing else.

The stand-in `busy` multiplies matrices on every core it is given, without a pause; a model package
may be named instead.

Example:
  python bench/vlm_load.py out/demo/world/drive_00 --index out/demo/index --json vlm_load.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from scoring import write_json

from geoloc_ros import config as configuration
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.replay import feed
from geoloc_ros.config import Config, WorkerConfig
from geoloc_ros.datatypes import Image
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model_by_sha
from geoloc_ros.errors import GeolocError
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.tracker import Tracker
from geoloc_ros.vlm.answerer import Answer, Answerer, Outcome, Reply, make_answerer
from geoloc_ros.vlm.process import AnswererProcess

BLOCK = 25
SETTLE_S = 0.05
BUSY = "busy"
BUSY_S = 0.5
SIDE = 1024


class Busy:
    """As much work as a model of a gigabyte: the matrices are too large for any cache."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._left = rng.normal(size=(4, SIDE, SIDE)).astype(np.float32)
        self._right = rng.normal(size=(SIDE, SIDE)).astype(np.float32)

    def answer(self, rgb: Image, view: str = "ground") -> Reply:
        """Compute for half a second."""
        del rgb, view
        end = time.perf_counter() + BUSY_S
        while time.perf_counter() < end:
            np.matmul(self._left, self._right)
        return Reply((Answer("busy", "yes", 1.0),))


def make(name: str) -> Answerer:
    """The stand-in, or the answerer of a name."""
    return Busy() if name == BUSY else make_answerer(name)


class Load:
    """Asks a model about the newest frame again and again, while it is told to."""

    def __init__(self, name: str, config: WorkerConfig) -> None:
        self.answers = 0
        self.newest: Image | None = None
        self._process = AnswererProcess(name, config, make=make)
        failed = self._process.await_ready()
        if failed is not None:
            raise SystemExit(f"{name}: {failed.why}")
        self._wanted, self._resting = threading.Event(), threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def work(self, wanted: bool) -> None:
        """Let the model work, or wait until it rests."""
        if wanted == self._wanted.is_set():
            return
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
            self._resting.wait()
        time.sleep(SETTLE_S)

    def close(self) -> None:
        """End the model's process."""
        self._ended = True
        self._wanted.set()
        self._process.stop()
        self._thread.join()
        self._process.stop()

    def _ask(self) -> None:
        while not self._ended:
            if not self._wanted.is_set():
                self._resting.set()
                self._wanted.wait()
                self._resting.clear()
            if self.newest is None:
                time.sleep(0.001)
            elif self._process.ask(self.newest).outcome is Outcome.OK:
                self.answers += 1


class Drive:
    """A recording that is driven again and again.

    Args:
        bag: the recording.
        index: of the place it was made in.
        package: the encoder.
        config: the tree.
        frames: so many are driven.
    """

    def __init__(
        self, bag: Path, index: Path, package: ModelPackage, config: Config, frames: int
    ) -> None:
        self.config = config
        self._bag, self._index, self._package, self._frames = bag, index, package, frames

    def go(self, load: Load, swapped: bool) -> tuple[Any, Any]:
        """Wall and CPU ms of the frames, (N, 2), and during which the model was at work, (N,)."""
        spent_ms: list[tuple[float, float]] = []
        with BagReader(self._bag) as reader:
            recording = Recording(reader, self.config.input)
            tracker = self._tracker(recording)
            for record in recording.records():
                feed(tracker, recording, record)
                while len(spent_ms) < self._frames:
                    load.work(_busy(len(spent_ms), swapped))
                    wall, cpu = time.perf_counter(), time.thread_time()
                    found = next(tracker.every(), None)
                    if found is None:
                        break
                    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
                    spent_ms.append((wall * 1e3, cpu * 1e3))
                    load.newest = found.frame.rgb
        load.work(False)
        busy = [_busy(number, swapped) for number in range(len(spent_ms))]
        return np.array(spent_ms), np.array(busy)

    def _tracker(self, recording: Recording) -> Tracker:
        tracker = Tracker(
            self.config,
            self._package,
            OnnxEncoder(self._package, self.config.encoder_threads),
            ShardedIndex.open(self._index, self._package),
            use_odometry=bool(recording.topics.odometry),
            use_height=bool(recording.topics.height),
        )
        tracker.set_camera("", recording.camera, recording.T_base_camera)
        return tracker


def _busy(number: int, swapped: bool) -> bool:
    """Whether the model works during a frame."""
    return (number // BLOCK) % 2 == int(swapped)


def measure(drive: Drive, name: str, repeats: int) -> dict[str, Any]:
    """Latency with the model busy over latency with it idle, paired by frame.

    Args:
        drive: the frames; its `config.vlm.worker` says how the model's process behaves.
        name: the model, or `BUSY`.
        repeats: pairs of drives; of a frame's latencies the median over them counts.

    Returns:
        `latency_p95_ratio`, `latency_p50_ratio` and `cpu_p95_ratio`, the first of every repeat
        alone, and what they are made of.
    """
    load = Load(name, drive.config.vlm.worker)
    try:
        drive.go(load, False)  # caches fill, code is compiled
        load.answers = 0
        pairs = []
        for repeat in range(repeats):
            order = (False, True) if repeat % 2 else (True, False)
            times = {swapped: drive.go(load, swapped) for swapped in order}
            (first, worked), (second, _) = times[False], times[True]
            mine = worked[:, None]
            pairs.append((np.where(mine, first, second), np.where(mine, second, first)))
        answers = load.answers
    finally:
        load.close()
    busy, idle = (np.median([pair[side] for pair in pairs], axis=0) for side in (0, 1))
    p95 = {"busy": np.percentile(busy, 95, axis=0), "idle": np.percentile(idle, 95, axis=0)}
    ratio = p95["busy"] / p95["idle"]
    each = [np.percentile(b[:, 0], 95) / np.percentile(i[:, 0], 95) for b, i in pairs]
    return {
        "latency_p95_ratio": float(ratio[0]),
        "latency_p50_ratio": float(np.median(busy[:, 0]) / np.median(idle[:, 0])),
        "cpu_p95_ratio": float(ratio[1]),
        "latency_p95_ratio_per_repeat": [round(float(value), 4) for value in each],
        "p95_ms": {side: round(float(value[0]), 3) for side, value in p95.items()},
        "frames": len(busy),
        "answers": answers,
        "cores": len(os.sched_getaffinity(0)),
        "model": name,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, help="recording to drive")
    parser.add_argument("--index", type=Path, required=True, help="index of the same place")
    parser.add_argument("--vlm", default=BUSY, metavar="MODEL", help="default: the stand-in")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of drives")
    parser.add_argument("--frames", type=int, default=1000, help="frames of the recording driven")
    parser.add_argument("--config", type=Path, help="YAML file of the configuration")
    parser.add_argument("--set", action="append", default=[], metavar="GROUP.NAME=VALUE")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    try:
        package = find_model_by_sha(load_manifest(arguments.index).encoder_sha256)
        config = configuration.load(arguments.config, tuple(arguments.set))
        drive = Drive(arguments.bag, arguments.index, package, config, arguments.frames)
        found = measure(drive, arguments.vlm, arguments.repeats)
    except GeolocError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2))
    if arguments.json:
        write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
