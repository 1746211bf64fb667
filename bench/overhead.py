#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What everything around the encoder costs, against the encoder's bare session run.

Drives a recording through the spine several times, on one thread, and measures CPU time, so that
other work on the machine disturbs as little as possible. Printed per stage: milliseconds per
weighed frame, mean and median over the frames of a repeat, and of those the median over the
repeats. `encode` is without the session's run. Asking for the time costs time, too, so everything
`around` the session's run, the `session` itself, their ratio, and what a frame costs that is
`not_weighed` because the vehicle hardly moved come from drives of their own in which stages are
not timed.

Example:
  python bench/overhead.py out/demo/world/drive_00 --index out/demo/index --json overhead.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoloc_ros import config as configuration
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.replay import feed
from geoloc_ros.config import Config
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model_by_sha
from geoloc_ros.errors import GeolocError
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.tracker import Tracker

STAGES = ("decode", "view", "encode", "search", "filter")


class CpuClock:
    """CPU milliseconds of this thread per stage of the frame at hand."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        start = time.thread_time()
        try:
            yield
        finally:
            self.spent_ms[stage] += (time.thread_time() - start) * 1e3

    def take(self) -> dict[str, float]:
        """What was spent since the last call."""
        spent = dict(self.spent_ms)
        self.spent_ms.clear()
        return spent


class TimedSession:
    """An inference session whose bare run is a stage of its own."""

    def __init__(self, session: Any, clock: CpuClock) -> None:  # noqa: ANN401
        self._session, self._clock = session, clock

    def run(self, *arguments: Any) -> Any:  # noqa: ANN401
        """The session's run."""
        with self._clock("session"):
            return self._session.run(*arguments)


class TimedEncoder(OnnxEncoder):
    """The encoder with its session's bare run measured."""

    def __init__(self, package: ModelPackage, clock: CpuClock) -> None:
        super().__init__(package, threads=1)
        self._clock = clock

    def session(self, name: str) -> Any:  # noqa: ANN401
        """The session of one file of the package, timed."""
        return TimedSession(super().session(name), self._clock)


def drive(
    bag: Path, index: ShardedIndex, package: ModelPackage, config: Config, stages: bool
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Milliseconds of every weighed frame and of every other, with or without those of stages."""
    clock = CpuClock()
    weighed: list[dict[str, float]] = []
    others: list[dict[str, float]] = []
    with BagReader(bag) as reader:
        recording = Recording(reader, config.input, package.query.view == "panorama")
        encoder = TimedEncoder(package, clock)
        timed = {"stage": clock} if stages else {}
        tracker = Tracker(config, package, encoder, index, **timed)
        for name, camera in recording.cameras.items():
            tracker.set_camera(name, *camera)
        for record in recording.records():
            feed(tracker, recording, record)
            while True:
                start = time.thread_time()
                if next(tracker.every(), None) is None:
                    break
                spent = {"total": (time.thread_time() - start) * 1e3} | clock.take()
                (weighed if "session" in spent else others).append(spent)
    if not weighed:
        raise SystemExit("the recording gave no frame that was weighed")
    return weighed, others


def repeat(
    bag: Path, path: Path, package: ModelPackage, config: Config
) -> dict[str, dict[str, float]]:
    """Mean and median milliseconds of everything, from two drives on an index opened anew."""
    timed, _ = drive(bag, ShardedIndex.open(path, package), package, config, stages=True)
    bare, others = drive(bag, ShardedIndex.open(path, package), package, config, stages=False)

    def column(frames: list[dict[str, float]], name: str) -> Any:  # noqa: ANN401
        return np.array([spent.get(name, 0.0) for spent in frames])

    table = {name: column(timed, name) for name in STAGES}
    table["encode"] -= column(timed, "session")
    table["around"] = column(bare, "total") - column(bare, "session")
    table["session"] = column(bare, "session")
    table["not_weighed"] = column(others or [{}], "total")
    return {name: of(values) for name, values in table.items()}


def of(values: Any) -> dict[str, float]:  # noqa: ANN401
    """Mean and median."""
    return {"mean": float(np.mean(values)), "median": float(np.median(values))}


def summary(repeats: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Medians over the repeats, and the ratios."""
    ms = {
        name: {
            kind: round(float(np.median([run[name][kind] for run in repeats])), 4)
            for kind in ("mean", "median")
        }
        for name in (*STAGES, "around", "session", "not_weighed")
    }
    ratios = {
        kind: float(np.median([run["around"][kind] / run["session"][kind] for run in repeats]))
        for kind in ("mean", "median")
    }
    return {"ms_per_weighed_frame": ms, "ratio": ratios, "repeats": len(repeats)}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, help="a recording with odometry")
    parser.add_argument("--index", type=Path, required=True, help="index directory")
    parser.add_argument("--config", type=Path, help="YAML file")
    parser.add_argument("--repeats", type=int, default=3, help="drives")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        config = configuration.load(arguments.config)
        package = find_model_by_sha(load_manifest(arguments.index).encoder_sha256)
        repeats = [
            repeat(arguments.bag, arguments.index, package, config)
            for _ in range(arguments.repeats)
        ]
    except GeolocError as error:
        print(error, file=sys.stderr)
        return 2
    found = summary(repeats)
    print(f"{'CPU ms per weighed frame':26}{'mean':>9}{'median':>9}")
    for name, row in found["ms_per_weighed_frame"].items():
        print(f"{name:26}{row['mean']:9.3f}{row['median']:9.3f}")
    mean, median = found["ratio"]["mean"], found["ratio"]["median"]
    print(f"{'ratio around / session':26}{mean:9.3f}{median:9.3f}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
