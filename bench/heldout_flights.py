#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the package does on made flights that nothing was trained, tuned or calibrated on.

Per seed: a town of 700 m x 700 m with domain gap, indexed on a grid; one flight of 1000 m over it,
40 to 150 m up, with a camera tilted 45 degrees whose true tilt is up to 1.5 degrees off, a
barometer and drifting odometry, started cold. Right retrievals lie within 20 m and 22.5 degrees.

Worlds and indexes in WORK are not made again.

Example:
  python bench/heldout_flights.py --seeds 900201 900202 900203 --json heldout_flights.json
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

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
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.evaluation.result import result_from
from geoloc_ros.evaluation.trajectory import recovery_distance_m
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.synthetic.make import WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import AERIAL_CAMERA, CameraSpec

FLIGHT_CONFIG = Path(__file__).resolve().parents[1] / "config/flight.yaml"
#: frames per second: one in about 4 m of flight
RATE_HZ = 2.0

WANTED: dict[str, str] = {
    "r1": "",
    "r10": "",
    "median_m": "",
    "p95_m": "",
    "yaw_median_deg": "",
    "availability": "",
    "cold_start_m": "",
    "cold_start_rate": "",
    "confidently_wrong": "<= 0.01",
    "coverage_95": "0.90-0.99",
    "nees_mean": "3 is consistent",
}


@dataclass(frozen=True)
class Bench:
    """One run of the bench.

    Attributes:
        package: the overhead model.
        config: of the replays.
        work: folder for worlds, indexes and replays.
        size_m: side of a town.
        length_m: of a flight.
        camera: of the drone.
        policy: how the towns are indexed.
    """

    package: ModelPackage
    config: Config
    work: Path
    size_m: float
    length_m: float
    camera: CameraSpec
    policy: SamplingPolicy

    def town(self, seed: int) -> Figures:
        """All figures of one town."""
        world, here = self.world(seed), self.work / str(seed) / self.package.name
        ortho = OrthoImage.open(world / "imagery.tif", gsd_m=0.5)
        index = indexed(here / "index", ortho, self.package, self.policy)
        out = here / "flight"
        estimates, truth = replayed(world / "drive_00", index, out, self.package, self.config)
        result = result_from(out)
        cold = recovery_distance_m(estimates, truth, [int(estimates.stamp_ns[0])])
        return {
            "r1": result["recall"]["1"],
            "r10": result["recall"]["10"],
            "median_m": result["position_error_m"]["median"],
            "p95_m": result["position_error_m"]["p95"],
            "yaw_median_deg": result["yaw_error_deg"]["median"],
            "availability": result["availability"],
            "cold_start_m": cold[0],
            "cold_start_rate": rate_within(cold),
            "confidently_wrong": result["confidently_wrong"],
            "coverage_95": result["coverage_95"],
            "nees_mean": result["nees_mean"],
        }

    def world(self, seed: int) -> Path:
        """The town and the flight over it."""
        out = self.work / str(seed) / "world"
        if not (out / "scene.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            spec = WorldSpec(
                seed=seed,
                size_m=self.size_m,
                length_m=self.length_m,
                vehicle="aerial",
                camera=self.camera,
            )
            make_world(out, spec, workers=1)
        return out


def main() -> int:
    """Run the bench; exit status 2 for seeds that are not reserved for evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="towns")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--model", default="ground_plane", help="overhead model (%(default)s)")
    parser.add_argument("--config", type=Path, default=FLIGHT_CONFIG, help="YAML file")
    parser.add_argument(
        "--work", type=Path, default=Path("out/heldout_flights"), help="worlds and replays"
    )
    parser.add_argument("--size", type=float, default=700.0, help="side of a town, m")
    parser.add_argument("--length", type=float, default=1000.0, help="of a flight, m")
    parser.add_argument("--width", type=int, default=480, help="camera image width, px")
    parser.add_argument("--pitch", type=float, default=15.0, help="of the grid, m")
    parser.add_argument("--headings", type=int, default=12, help="per grid point")
    parser.add_argument(
        "--development", action="store_true", help="allow seeds below the reserved ones"
    )
    arguments = parser.parse_args()
    if not may_be_scored(arguments.seeds, arguments.development):
        return 2
    camera = dataclasses.replace(
        AERIAL_CAMERA,
        width_px=arguments.width,
        height_px=arguments.width * 9 // 16,
        rate_hz=RATE_HZ,
    )
    bench = Bench(
        find_model(arguments.model),
        configuration.load(arguments.config),
        arguments.work,
        arguments.size,
        arguments.length,
        camera,
        SamplingPolicy(kind="grid", pitch_m=arguments.pitch, headings=arguments.headings),
    )
    figures = summary({seed: bench.town(seed) for seed in arguments.seeds}, WANTED)
    print_table(figures, WANTED, arguments.seeds)
    if arguments.json:
        content = {
            "seeds": arguments.seeds,
            "model": bench.package.name,
            "encoder": bench.package.encoder_sha256,
            "wanted": WANTED,
            "figures": figures,
        }
        write_json(arguments.json, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
