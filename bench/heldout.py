#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the package does on made towns that nothing was trained, tuned or calibrated on.

Per seed: a town of 1.5 km x 1.5 km with domain gap, indexed along its roads; a drive with a cold
start and a kidnapping half way; the same drive on an index of half the town, so that it leaves the
indexed area; a short drive in a small town whose camera is covered for 150 m. On the first two
towns also a grid index of the 600 m square in which the drive spends most of its time, and
single-frame recall without domain gap.

What is in WORK already is not made again, so an interrupted run goes on: worlds always, indexes
and figures if they were made with the same model. Delete WORK/*/figures_*.json when code changes.

Example:
  python bench/heldout.py --seeds 900101 900102 900103 --json heldout.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scoring import (
    Figures,
    indexed,
    may_be_scored,
    print_table,
    rate_within,
    replayed,
    summary,
    write_json,
)

from geoloc_ros import config as configuration
from geoloc_ros.config import Config
from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Estimates, Truth
from geoloc_ros.evaluation.result import result_from
from geoloc_ros.evaluation.score import recall_at
from geoloc_ros.evaluation.trajectory import (
    distance_between_m,
    interpolate_truth,
    recovery_distance_m,
    right,
    truth_jumps,
)
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.policy import Road, SamplingPolicy
from geoloc_ros.index.roads import read_roads
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.synthetic.make import WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import CameraSpec

WITHDRAWN_WITHIN_M = 60.0
GRID_SIDE_M = 600.0

WANTED: dict[str, str] = {
    "r1": ">= 0.60",
    "r10": ">= 0.90",
    "r1_grid": "",
    "r10_grid": "",
    "median_m": "<= 2.0",
    "p95_m": "<= 6",
    "yaw_median_deg": "<= 1.5",
    "availability": ">= 0.95",
    "cold_start_rate": ">= 0.90",
    "kidnap_rate": ">= 0.90",
    "confidently_wrong": "<= 0.01",
    "coverage_95": "0.90-0.99",
    "nees_mean": "3 is consistent",
    "outside_withdrawn_rate": "1",
    "overhead_ratio": "<= 0.15",
    "r1_gap_off": "",
    "r10_gap_off": "",
}


@dataclasses.dataclass(frozen=True)
class Bench:
    """One run of the bench."""

    package: ModelPackage
    config: Config
    work: Path
    size_m: float
    length_m: float
    camera: CameraSpec
    grid_towns: int = 2

    def town(self, seed: int, number: int) -> Figures:
        """All figures of one town."""
        figures = self._once(seed, "drive", self._main_drive)
        figures |= self._once(seed, "withdrawals", self._withdrawals)
        if number < self.grid_towns:
            figures |= self._once(seed, "grid", self._grid)
            figures |= self._once(seed, "gap_off", self._gap_off)
        return figures

    def _once(self, seed: int, name: str, find: Callable[[int], Figures]) -> Figures:
        """Some figures of a town, kept on disk."""
        done = self.work / str(seed) / f"figures_{name}.json"
        card = file_sha256(self.package.root / "model.json")
        if done.exists():
            kept = json.loads(done.read_text())
            if kept["model"] == card:
                cached: Figures = kept["figures"]
                return cached
        figures = find(seed)
        done.write_text(json.dumps({"model": card, "figures": figures}, indent=2))
        return figures

    def _mapped(self, world: Path) -> tuple[OrthoImage, list[Road]]:
        ortho = OrthoImage.open(world / "imagery.tif", gsd_m=0.5)
        return ortho, read_roads(world / "roads.geojson", ortho.frame)

    def worlds(self, seed: int, number: int) -> None:
        """Everything `town` will drive in."""
        self.world(seed)
        self.covered_world(seed)
        if number < self.grid_towns:
            self.gap_off_world(seed)

    def world(self, seed: int) -> Path:
        """The town with the drive that is kidnapped."""
        out = self.work / str(seed) / "world"
        return self._made(out, seed, self.size_m, self.length_m, "kidnap")

    def covered_world(self, seed: int) -> Path:
        """A small town with a short drive whose camera is covered."""
        out = self.work / str(seed) / "covered_world"
        return self._made(out, seed, 600.0, 700.0, "covered")

    def covered_index(self, seed: int) -> Path:
        """Index of the small town."""
        here = self.work / str(seed) / "covered.index"
        return self._index(here, *self._mapped(self.covered_world(seed)))

    def gap_off_world(self, seed: int) -> Path:
        """The town as it would be if satellite and camera agreed."""
        out = self.work / str(seed) / "gap_off_world"
        return self._made(out, seed, self.size_m, 500.0, "plain", gap=False)

    def _made(
        self, out: Path, seed: int, size_m: float, length_m: float, scenario: str, gap: bool = True
    ) -> Path:
        if not (out / "scene.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            spec = WorldSpec(
                seed=seed,
                size_m=size_m,
                length_m=length_m,
                scenarios=(scenario,),
                camera=self.camera,
                gap=gap,
            )
            make_world(out, spec)
        return out

    def _index(
        self,
        out: Path,
        ortho: OrthoImage,
        roads: list[Road] | None,
        policy: SamplingPolicy | None = None,
    ) -> Path:
        return indexed(out, ortho, self.package, policy or SamplingPolicy(), roads)

    def _replay(self, drive: Path, index: Path, out: Path) -> tuple[Estimates, Truth]:
        return replayed(drive, index, out, self.package, self.config)

    def _main_drive(self, seed: int) -> Figures:
        here, world = self.work / str(seed), self.world(seed)
        index = self._index(here / "roads.index", *self._mapped(world))
        out = here / "kidnap"
        estimates, truth = self._replay(world / "drive_00", index, out)
        result = result_from(out)
        start = int(estimates.stamp_ns[0])
        moved = [int(stamp) for stamp in truth_jumps(truth)]
        distances = recovery_distance_m(estimates, truth, [start, *moved])
        cold, kidnapped = distances[:1], distances[1:]
        return {
            "r1": result["recall"]["1"],
            "r10": result["recall"]["10"],
            "median_m": result["position_error_m"]["median"],
            "p95_m": result["position_error_m"]["p95"],
            "yaw_median_deg": result["yaw_error_deg"]["median"],
            "availability": result["availability"],
            "cold_start_rate": rate_within(cold),
            "kidnap_rate": rate_within(kidnapped),
            "confidently_wrong": result["confidently_wrong"],
            "coverage_95": result["coverage_95"],
            "nees_mean": result["nees_mean"],
            "overhead_ratio": _overhead(out),
        }

    def _withdrawals(self, seed: int) -> Figures:
        here, world = self.work / str(seed), self.world(seed)
        small = self.covered_world(seed)
        estimates, truth = self._replay(
            small / "drive_00", self.covered_index(seed), here / "covered"
        )
        scene = json.loads((small / "scene.json").read_text())
        covered = [tuple(pair) for pair in scene["drives"][0]["covered_stamps_ns"]]
        verdicts = _withdrawn(estimates, truth, covered)
        ortho, roads = self._mapped(world)
        half = [part for road in roads for part in _western(road)]
        index = self._index(here / "half.index", ortho, half)
        estimates, truth = self._replay(world / "drive_00", index, here / "outside")
        opened = ShardedIndex.open(index, self.package)
        verdicts += _withdrawn(estimates, truth, _outside(opened, truth))
        return {"outside_withdrawn_rate": float(np.mean(verdicts)) if verdicts else None}

    def _grid(self, seed: int) -> Figures:
        """Recall of the main drive's frames inside one square, against a grid of that square."""
        here = self.work / str(seed)
        truth = tables.read_truth(here / "kidnap")
        if truth is None:
            return {}
        west, south = _busiest_square(truth)
        picture = OrthoImage.open(
            here / "world" / "imagery.tif",
            frame=self._mapped(here / "world")[0].frame,
            gsd_m=0.5,
            bounds_m=(west, south, west + GRID_SIDE_M, south + GRID_SIDE_M),
        )
        policy = SamplingPolicy(kind="grid", pitch_m=8.0, headings=16)
        index = self._index(here / "grid.index", picture, None, policy)
        self._replay(here / "world" / "drive_00", index, here / "grid")
        retrieval = tables.read_retrieval(here / "grid")
        if retrieval is None:
            return {}
        crop = self.package.reference  # of any heading, it shall lie inside the square
        margin = crop.offset_forward_m + 0.5 * crop.extent_m
        poses, known = interpolate_truth(truth, retrieval.stamp_ns)
        x, y = poses[:, 0] - west, poses[:, 1] - south
        inside = known & (np.minimum(x, y) > margin) & (np.maximum(x, y) < GRID_SIDE_M - margin)
        kept = dataclasses.replace(
            retrieval,
            **{
                item.name: getattr(retrieval, item.name)[inside]
                for item in dataclasses.fields(retrieval)
            },
        )
        score = self.config.score
        recall, _ = recall_at(kept, truth, score.recall_radius_m, score.recall_yaw_deg)
        return {"r1_grid": recall["1"], "r10_grid": recall["10"]}

    def _gap_off(self, seed: int) -> Figures:
        here, world = self.work / str(seed), self.gap_off_world(seed)
        index = self._index(here / "gap_off.index", *self._mapped(world))
        self._replay(world / "drive_00", index, here / "gap_off")
        recall = result_from(here / "gap_off")["recall"]
        return {"r1_gap_off": recall["1"], "r10_gap_off": recall["10"]}


def _overhead(out: Path) -> float | None:
    """Time of everything around the encoder over the encoder's, frames that were encoded."""
    latency = tables.read_latency(out)
    if latency is None:
        return None
    encode, total = latency.stages_ms["encode"], latency.stages_ms["total"]
    ran = np.isfinite(encode)
    return float(np.median(total[ran] - encode[ran]) / np.median(encode[ran]))


def _western(road: Road) -> Iterator[Road]:
    """The parts of a road west of the town's middle."""
    inside = np.asarray(road.xy_m)[:, 0] < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start >= 2:
            yield Road(np.asarray(road.xy_m)[start:end], road.oneway)


def _outside(index: ShardedIndex, truth: Truth) -> list[tuple[int, int]]:
    """Stretches of at least 100 m driven outside the index, after at least 200 m inside."""
    inside = np.asarray(index.coverage(truth.poses[:, :2]))
    edges = np.flatnonzero(np.diff(inside.astype(int)))
    found = []
    for i, edge in enumerate(edges):
        if not inside[edge]:
            continue
        until = edges[i + 1] if i + 1 < len(edges) else len(inside) - 1
        since = edges[i - 1] if i else 0
        stamps = truth.stamp_ns
        before = distance_between_m(truth, int(stamps[since]), int(stamps[edge]))
        beyond = distance_between_m(truth, int(stamps[edge]), int(stamps[until]))
        if before >= 200.0 and beyond >= 100.0:
            found.append((int(stamps[edge + 1]), int(stamps[until])))
    return found


def _withdrawn(estimates: Estimates, truth: Truth, intervals: list[tuple[int, int]]) -> list[bool]:
    """Per interval: withdrawn within 60 m, and no confident wrong place until it ends."""
    good = right(estimates, truth)
    verdicts = []
    for start, end in intervals:
        frames = np.flatnonzero((estimates.stamp_ns >= start) & (estimates.stamp_ns <= end))
        late = [
            i
            for i in frames
            if distance_between_m(truth, start, int(estimates.stamp_ns[i])) > WITHDRAWN_WITHIN_M
        ]
        if late:
            wrong = estimates.localised[late] & ~good[late]
            kept = bool(estimates.localised[late[0]])
            verdicts.append(not kept and not bool(wrong.any()))
    return verdicts


def _busiest_square(truth: Truth) -> tuple[float, float]:
    """South-west corner of the square, on a 50 m raster, that holds most of the drive."""
    xy = truth.poses[:, :2]
    best, corner = -1, (0.0, 0.0)
    for west in np.arange(xy[:, 0].min() - 60, xy[:, 0].max(), 50.0):
        for south in np.arange(xy[:, 1].min() - 60, xy[:, 1].max(), 50.0):
            offset = xy - (west + 60, south + 60)
            count = int(((offset > 0) & (offset < GRID_SIDE_M - 120)).all(axis=1).sum())
            if count > best:
                best, corner = count, (float(west), float(south))
    return corner


def main() -> int:
    """Run the bench; exit status 2 for seeds that are not reserved for evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="towns")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--model", default="perspective", help="model package")
    parser.add_argument("--config", type=Path, help="YAML file")
    parser.add_argument(
        "--work", type=Path, default=Path("out/heldout"), help="worlds and replays"
    )
    parser.add_argument("--size", type=float, default=1500.0, help="side of a town, m")
    parser.add_argument("--length", type=float, default=1500.0, help="of a drive, m")
    parser.add_argument("--width", type=int, default=480, help="camera image width, px")
    parser.add_argument(
        "--development", action="store_true", help="allow seeds below the reserved ones"
    )
    parser.add_argument(
        "--grid-towns", type=int, default=2, help="towns that also get a grid and no domain gap"
    )
    parser.add_argument("--worlds-only", action="store_true", help="make the worlds and stop")
    arguments = parser.parse_args()
    if not may_be_scored(arguments.seeds, arguments.development):
        return 2
    camera = dataclasses.replace(
        CameraSpec(), width_px=arguments.width, height_px=arguments.width * 9 // 16
    )
    bench = Bench(
        find_model(arguments.model),
        configuration.load(arguments.config),
        arguments.work,
        arguments.size,
        arguments.length,
        camera,
        arguments.grid_towns,
    )
    if arguments.worlds_only:
        for number, seed in enumerate(arguments.seeds):
            bench.worlds(seed, number)
        return 0
    per_seed = {seed: bench.town(seed, i) for i, seed in enumerate(arguments.seeds)}
    figures = summary(per_seed, WANTED)
    print_table(figures, WANTED, arguments.seeds)
    if arguments.json:
        content = {
            "seeds": arguments.seeds,
            "encoder": bench.package.encoder_sha256,
            "wanted": WANTED,
            "figures": figures,
        }
        write_json(arguments.json, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
