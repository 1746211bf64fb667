#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How fast an index is built, against the encoder alone, and what a square kilometre costs.

`build_over_bare` is the rate of whole builds (imagery in memory to index on disk: crops, encoder,
shards, files, hashes), divided by the rate at which the same encoder describes crops of the same
builds that lie in memory. The encoder alone is measured before and after each build, in two
arrangements (a thread for each session, as builds do it; one session with all threads), and the
better one counts. Rates are entries per second of wall time, and other work on the machine moves
them; `cpu_build_over_bare` is the same of CPU time, which it moves less: the ratio where every
core is kept busy. Both are medians over many short builds; the ranges are printed beside them.

Then the middle square kilometre of the world is indexed along its roads and on each grid: seconds,
CPU seconds, megabytes. `scripts/scale_cost.py` reads the figures.

Example:
  geoloc synth make --seed 11 --size 1000 --length 100 --out world
  python bench/index_build.py world --grid 15 12 --json index_build.json
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scoring import write_json

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import GeolocError
from geoloc_ros.imagery import windows
from geoloc_ros.imagery.crops import CropCutter
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index
from geoloc_ros.index.cell_line import BATCH, fill_rgb
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.roads import read_roads
from geoloc_ros.index.sampling import sample

HALF_KM_M = 500.0
ONE_SESSION_BATCH = 64


@dataclass(frozen=True)
class Spent:
    """What a stretch of work took: entries, wall and CPU seconds of this process."""

    entries: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Entries per second of wall time."""
        return self.entries / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per entry."""
        return 1e3 * self.cpu_s / self.entries


class Stopwatch:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def spent(self, entries: int) -> Spent:
        """What was spent on some entries."""
        return Spent(entries, time.perf_counter() - self._wall, time.process_time() - self._cpu)


class Bench:
    """One world, one model.

    Args:
        world: folder with imagery.tif and roads.geojson.
        package: the model.
        threads: that encode.
    """

    def __init__(self, world: Path, package: ModelPackage, threads: int) -> None:
        square = (-HALF_KM_M, -HALF_KM_M, HALF_KM_M, HALF_KM_M)
        self.imagery = world / "imagery.tif"
        self.ground = OrthoImage.open(self.imagery, bounds_m=square)
        self.roads: list[Road] = read_roads(
            world / "roads.geojson", self.ground.frame, self.ground.bounds_m
        )
        self.package, self.threads = package, threads
        self.narrow, self.wide = OnnxEncoder(package, 1), OnnxEncoder(package, threads)

    def crops(self, count: int) -> Image:
        """Crops of stretches of road spread over the world, as the build cuts them."""
        anchors = sample(SamplingPolicy(), self.roads, self.ground.bounds_m, self.ground.shown)
        starts = np.linspace(0, max(0, len(anchors) - BATCH), max(1, count // BATCH)).astype(int)
        chosen = np.concatenate([np.arange(start, start + BATCH) for start in starts])
        cutter = CropCutter(self.ground, self.package.reference, fill_rgb(self.package))
        return cutter.cut(anchors[chosen[chosen < len(anchors)]])[0]

    def bare(self, crops: Image) -> dict[str, Spent]:
        """The encoder alone, in both arrangements."""
        parts = [crops[i : i + BATCH] for i in range(0, len(crops), BATCH)]
        with ThreadPoolExecutor(self.threads) as crew:
            watch = Stopwatch()
            list(crew.map(self.narrow.encode_reference, parts))
            found = {"a session per thread": watch.spent(len(crops))}
        watch = Stopwatch()
        for start in range(0, len(crops), ONE_SESSION_BATCH):
            self.wide.encode_reference(crops[start : start + ONE_SESSION_BATCH])
        return found | {"one session": watch.spent(len(crops))}

    def build(self, policy: SamplingPolicy, progress: bool = False) -> tuple[Spent, Manifest]:
        """A whole build."""
        with tempfile.TemporaryDirectory() as folder:
            watch = Stopwatch()
            manifest = build_index(
                self.ground,
                self.package,
                self.narrow,
                Path(folder) / "index",
                policy,
                roads=self.roads,
                progress=progress,
                workers=self.threads,
            )
            return watch.spent(manifest.count), manifest

    def reading(self) -> Spent:
        """Reading the middle square kilometre, its margin included, as large imagery is read."""
        limit, windows.IN_MEMORY_PIXELS = windows.IN_MEMORY_PIXELS, 1
        try:
            ground = windows.open_ground(self.imagery)
            spec, fill = self.package.reference, fill_rgb(self.package)
            cutter = windows.WindowCutter(ground, spec, fill)
            watch = Stopwatch()
            cutter.prepare(np.zeros((1, 3)))
            return watch.spent(1)
        finally:
            windows.IN_MEMORY_PIXELS = limit


def ratios(bench: Bench, policy: SamplingPolicy, images: int, repeats: int) -> dict[str, Any]:
    """Builds between runs of the encoder alone."""
    crops = bench.crops(images)
    bench.bare(crops[: 4 * BATCH])  # opens the sessions
    bares, builds = [bench.bare(crops)], []
    for number in range(repeats):
        print(f"repeat {number + 1} of {repeats}", file=sys.stderr)
        builds.append(bench.build(policy)[0])
        bares.append(bench.bare(crops))
    rates = {name: median([bare[name].rate for bare in bares]) for name in bares[0]}
    costs = {name: median([bare[name].cpu_ms for bare in bares]) for name in bares[0]}
    fastest, cheapest = max(rates, key=rates.__getitem__), min(costs, key=costs.__getitem__)
    wall, cpu = [], []
    for build, before, after in zip(builds, bares, bares[1:], strict=False):
        wall.append(2.0 * build.rate / (before[fastest].rate + after[fastest].rate))
        cpu.append(0.5 * (before[cheapest].cpu_ms + after[cheapest].cpu_ms) / build.cpu_ms)
    return {
        "images": len(crops),
        "entries": builds[0].entries,
        "bare_per_s": rates,
        "bare_cpu_ms": costs,
        "build_per_s": median([build.rate for build in builds]),
        "build_cpu_ms": median([build.cpu_ms for build in builds]),
        "build_over_bare": median(wall),
        "build_over_bare_each": [round(float(value), 4) for value in wall],
        "cpu_build_over_bare": median(cpu),
        "cpu_build_over_bare_each": [round(float(value), 4) for value in cpu],
    }


def square_kilometre(bench: Bench, policy: SamplingPolicy) -> dict[str, Any]:
    """What indexing the middle of the world costs."""
    spent, manifest = bench.build(policy, progress=True)
    size = sum(file.bytes for shard in manifest.shards for file in shard.files.values())
    figures = {
        "entries": manifest.count,
        "seconds": round(spent.wall_s, 1),
        "cpu_seconds": round(spent.cpu_s, 1),
        "megabytes": round(size / 1e6, 2),
        "bytes_per_entry": round(size / manifest.count, 1),
        "cpu_ms_per_entry": round(spent.cpu_ms, 4),
    }
    if policy.kind == "roads":
        return figures | {"road_km": round(road_km(bench.roads, bench.ground.bounds_m), 3)}
    return figures | {"pitch_m": policy.pitch_m, "headings": policy.headings}


def road_km(roads: list[Road], bounds: tuple[float, float, float, float]) -> float:
    """Length of centrelines inside bounds, by their segments' middles."""
    west, south, east, north = bounds
    total_m = 0.0
    for road in roads:
        middle: FloatArray = 0.5 * (road.xy_m[1:] + road.xy_m[:-1])
        inside = (middle > (west, south)).all(axis=1) & (middle < (east, north)).all(axis=1)
        total_m += float(np.hypot(*np.diff(road.xy_m, axis=0)[inside].T).sum())
    return total_m / 1e3


def median(values: list[float]) -> float:
    """Rounded median."""
    return round(float(np.median(values)), 4)


def machine(threads: int) -> dict[str, Any]:
    """Where the figures come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
    }


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    ratio = found["ratio"]
    where = found["machine"]
    print(
        f"{found['model']}, {where['threads']} threads on {where['cores']} cores ({where['cpu']})"
    )
    for name, rate in ratio["bare_per_s"].items():
        print(f"encoder alone, {name:21}{rate:9.1f} /s{ratio['bare_cpu_ms'][name]:8.3f} CPU ms")
    print(f"{'whole build':36}{ratio['build_per_s']:9.1f} /s{ratio['build_cpu_ms']:8.3f} CPU ms")
    for key in ("build_over_bare", "cpu_build_over_bare"):
        each = ratio[f"{key}_each"]
        print(f"{key:20} {ratio[key]:.3f} ({min(each):.3f}..{max(each):.3f}, {len(each)} builds)")
    print(f"reading 1 km2 by windows: {found['reading']['cpu_seconds']:.2f} CPU s")
    for name, row in found["km2"].items():
        print(
            f"1 km2, {name:14}{row['entries']:9d} entries{row['seconds']:9.1f} s"
            f"{row['cpu_seconds']:9.1f} CPU s{row['megabytes']:9.1f} MB"
        )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", type=Path, help="made world of at least 1 km: imagery and roads")
    parser.add_argument("--model", default="perspective", help="name or package (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="that encode; 0: all cores (0)")
    parser.add_argument(
        "--images", type=int, default=1024, help="that the encoder alone describes (%(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=7, help="builds (%(default)s)")
    parser.add_argument(
        "--spacing", type=float, default=6.0, help="m between poses of those builds (%(default)s)"
    )
    parser.add_argument(
        "--grid",
        nargs=2,
        action="append",
        metavar=("PITCH", "HEADINGS"),
        help="m and number; also index on this grid (15 12); repeatable",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures.

    Raises:
        GeolocError: the world or the model cannot be used.
    """
    threads = arguments.threads or os.cpu_count() or 1
    package, where = find_model(arguments.model), machine(threads)
    bench = Bench(arguments.world, package, threads)
    policies = {"roads": SamplingPolicy()}
    for pitch, headings in arguments.grid or [("15", "12")]:
        grid = SamplingPolicy(kind="grid", pitch_m=float(pitch), headings=int(headings))
        policies[f"grid {grid.pitch_m:g} m x {grid.headings}"] = grid
    short = SamplingPolicy(spacing_m=arguments.spacing)
    reading = bench.reading()
    return {
        "model": f"{package.name} {package.version}",
        "machine": where,
        "ratio": ratios(bench, short, arguments.images, arguments.repeats),
        "reading": {"km2": 1.0, "cpu_seconds": round(reading.cpu_s, 3)},
        "km2": {name: square_kilometre(bench, policy) for name, policy in policies.items()},
    }


def main() -> int:
    """Run the bench."""
    arguments = parse()
    try:
        found = measure(arguments)
    except GeolocError as error:
        print(error, file=sys.stderr)
        return 2
    show(found)
    if arguments.json:
        write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
