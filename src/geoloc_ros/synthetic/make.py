# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Make a whole world on disk: imagery, roads, truth, and drives recorded in it.

    OUT/imagery.tif     what the satellite saw
    OUT/roads.geojson   road centrelines
    OUT/scene.json      the truth about every place and every drive
    OUT/drive_00/       rosbag2 (mcap), one per drive

What stops the making, Ctrl-C included, leaves nothing of it behind.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import RasterioIOError

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import ConfigError, ImageryError, first_line
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.synthetic.crop import crop_imagery, crop_roads
from geoloc_ros.synthetic.drive import SCENARIOS, Area, Drive, plan_drive
from geoloc_ros.synthetic.flight import FlightSpec, barometer, plan_flight
from geoloc_ros.synthetic.odometry_noise import AERIAL_NOISE, dead_reckon
from geoloc_ros.synthetic.ray_casting import render_all
from geoloc_ros.synthetic.recording import HEIGHT_HZ, Recording
from geoloc_ros.synthetic.route import RoadGraph
from geoloc_ros.synthetic.sensor_rig import (
    AERIAL_CAMERA,
    CameraRig,
    CameraSpec,
    make_rig,
    surround,
)
from geoloc_ros.synthetic.traffic import make_traffic
from geoloc_ros.synthetic.trajectory import Trajectory, smooth_noise

#: Seeds from here up are for evaluation only: never for training, tuning or calibration.
HELD_OUT_FROM = 900_000

#: Share of the town that a world with an ``outside`` drive leaves out of imagery and roads.
OUTSIDE_SHARE = 0.3

VEHICLES = ("ground", "aerial")
_FILES = ("imagery.tif", "imagery.part.tif", "roads.geojson", "scene.json")
_FIRST_STAMP_NS = 1_700_000_000 * 1_000_000_000


@dataclass(frozen=True)
class WorldSpec:
    """What to make.

    Attributes:
        seed: of everything.
        size_m: side of the square town.
        style: regional style, None to draw one by the seed.
        drives: how many.
        length_m: of each drive.
        vehicle: ``ground`` or ``aerial``.
        scenarios: of the drives, in turn; see `drive.SCENARIOS`.
        camera: None for the vehicle's usual camera.
        surround: how many such cameras look all round; 0: one looks ahead.
        flight: heights and speeds of an aerial vehicle.
        gap: whether satellite and camera see different times, weathers and errors.
        odometry: whether /odom is written.
        gsd_m: resolution of the imagery, m/px.
        osm: OpenStreetMap extract whose streets the town stands on; None: made streets.
        at: middle of the town in the extract; None: where most streets are.
    """

    seed: int
    size_m: float = 1000.0
    style: str | None = None
    drives: int = 1
    length_m: float = 2000.0
    vehicle: str = "ground"
    scenarios: tuple[str, ...] = ("plain",)
    camera: CameraSpec | None = None
    surround: int = 0
    flight: FlightSpec = dataclasses.field(default_factory=FlightSpec)
    gap: bool = True
    odometry: bool = True
    gsd_m: float = 0.4
    osm: Path | None = None
    at: LatLon | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be made.

        Raises:
            ConfigError: a value out of bounds.
        """
        if self.vehicle not in VEHICLES:
            raise ConfigError(f"vehicle {self.vehicle!r} is unknown; choose ground or aerial")
        unknown = [name for name in self.scenarios if name not in SCENARIOS]
        if unknown or not self.scenarios:
            raise ConfigError(
                f"scenarios {unknown} are unknown; choose from {', '.join(SCENARIOS)}"
            )
        if self.vehicle == "aerial" and set(self.scenarios) != {"plain"}:
            raise ConfigError(f"an aerial vehicle knows no scenario but plain: {self.scenarios}")
        if not 0 <= self.drives <= 1000:
            raise ConfigError(f"drives is {self.drives}; it must lie in 0..1000")
        if not 20.0 <= self.length_m <= 200_000.0:
            raise ConfigError(f"length is {self.length_m} m; it must lie in 20..200000 m")
        if self.at is not None and self.osm is None:
            raise ConfigError("a place is given but no extract; --at goes with --osm FILE")
        if self.surround and self.vehicle == "aerial":
            raise ConfigError(
                "an aerial vehicle has one camera; --surround is for ground vehicles"
            )
        if not 0.05 <= self.gsd_m <= 5.0:
            raise ConfigError(f"gsd is {self.gsd_m} m/px; it must lie in 0.05..5 m/px")

    @property
    def cameras(self) -> tuple[CameraSpec, ...]:
        """All cameras, the one that looks ahead first."""
        return surround(self.surround, self.camera) if self.surround else (self.rig,)

    @property
    def rig(self) -> CameraSpec:
        """The camera asked for, or the vehicle's usual one."""
        return self.camera or (CameraSpec() if self.vehicle == "ground" else AERIAL_CAMERA)


def make_world(
    out: Path, spec: WorldSpec, workers: int = 2, progress: bool = True
) -> dict[str, Any]:
    """Make a world.

    Args:
        out: directory to fill; must not hold a world yet.
        spec: what to make.
        workers: processes that cast rays; 1 works in this process.
        progress: show a progress bar.

    Returns:
        The contents of scene.json.

    Raises:
        ConfigError: the specification cannot be met, or `out` is taken.
        BagError: a recording cannot be written.
        ImageryError: the satellite image cannot be written.
        IndexBuildError: the extract is no sound one, or the package osmium is missing.
        OSError: the disk refuses.
    """
    from geoloc_ros.synthetic.street_plan import read_street_plan
    from geoloc_ros.synthetic.town import make_town

    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise ConfigError(f"{out} is not empty; remove it or choose another --out")
    streets = read_street_plan(spec.osm, spec.size_m, spec.at) if spec.osm else None
    town = make_town(spec.seed, spec.style, spec.size_m, streets)
    area = indexed_area(spec)
    recordings = [plan_recording(town, spec, area, number) for number in range(spec.drives)]
    with _all_or_nothing(out, [recording.name for recording in recordings]):
        render_all(out, town, spec, recordings, workers, progress)
        _write_roads(town, out / "roads.geojson")
        if "outside" in spec.scenarios:
            crop_imagery(out / "imagery.tif", town.origin, area)
            crop_roads(out / "roads.geojson", town.origin, area)
        truth = {
            **town.scene_truth(),
            "vehicle": spec.vehicle,
            "gap": spec.gap,
            "indexed_area_m": dataclasses.astuple(area),
            "drives": [_truth(recording) for recording in recordings],
        }
        text = json.dumps(truth, sort_keys=True)
        (out / "scene.json").write_text(text, encoding="utf-8")
    return truth


@contextmanager
def _all_or_nothing(out: Path, drives: Sequence[str]) -> Iterator[None]:
    """Create the folder of a world; if the context ends with an error, remove what was made.

    Raises:
        ConfigError: the folder cannot be created.
        ImageryError: the satellite image cannot be written.
    """
    there = out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create {out}: {error.strerror}") from error
    try:
        yield
    except BaseException as error:
        for name in (*_FILES, *drives):
            shutil.rmtree(out / name, ignore_errors=True)
            with suppress(OSError):
                (out / name).unlink()
        if not there:
            with suppress(OSError):
                out.rmdir()
        if isinstance(error, RasterioIOError):  # does not say which file
            raise ImageryError(
                f"cannot write {out / 'imagery.tif'}: {first_line(error)}; is the disk full?"
            ) from error
        raise


def indexed_area(spec: WorldSpec) -> Area:
    """The part of the town that imagery and roads cover."""
    half = 0.5 * spec.size_m
    sides = [-half, -half, half, half]
    if "outside" in spec.scenarios:
        side = int(np.random.default_rng([spec.seed, 40]).integers(4))
        sides[side] *= 1.0 - 2.0 * OUTSIDE_SHARE
    return Area(*sides)


def plan_recording(town: Any, spec: WorldSpec, area: Area, number: int) -> Recording:  # noqa: ANN401
    """Plan one drive: motion, camera, conditions, other vehicles, odometry."""
    from geoloc_ros.synthetic.conditions import sample_conditions

    streams = [np.random.default_rng([spec.seed, 41, number, k]) for k in range(8)]
    rig, *others = (make_rig(camera, streams[0]) for camera in spec.cameras)
    drive: Drive | None = None
    if spec.vehicle == "ground":
        drive = plan_drive(
            RoadGraph(town.roads),
            town.height_m,
            streams[1],
            spec.length_m,
            town.style.driving_side,
            spec.scenarios[number % len(spec.scenarios)],
            area,
        )
        truth, noise, height = drive.trajectory, None, None
    else:
        truth = plan_flight(town.height_m, streams[1], spec.length_m, area, spec.flight)
        noise = AERIAL_NOISE
        times = np.arange(0.0, truth.duration_s, 1.0 / HEIGHT_HZ)
        height = (times, barometer(truth, town.height_m, streams[2], times))
    frame_s = _frame_times(truth, rig.spec.rate_hz, streams[3])
    side = town.style.driving_side
    return Recording(
        name=f"drive_{number:02d}",
        seed=(spec.seed, 42, number),
        truth=truth,
        rig=rig,
        conditions=sample_conditions(streams[4], kind="drive", gap=spec.gap),
        frame_s=frame_s,
        exposure_ev=_exposure(streams[5], frame_s) * float(spec.gap),
        others=tuple((one, _exposure(streams[5], frame_s) * float(spec.gap)) for one in others),
        start_ns=_FIRST_STAMP_NS + number * 86_400 * 1_000_000_000,
        drive=drive,
        traffic=make_traffic(drive, streams[6], side) if drive and spec.gap else None,
        odometry=dead_reckon(truth, streams[7], noise) if spec.odometry else None,
        height=height,
    )


def _frame_times(truth: Trajectory, rate_hz: float, rng: np.random.Generator) -> FloatArray:
    """Capture times with 1 ms of jitter."""
    times = np.arange(0.05, truth.duration_s - 0.05, 1.0 / rate_hz)
    return np.asarray(times + np.clip(rng.normal(0.0, 0.001, len(times)), -0.004, 0.004))


def _exposure(rng: np.random.Generator, frame_s: FloatArray) -> FloatArray:
    """Automatic exposure hunting: 0.2 stops within seconds, a jump now and then, stops."""
    if len(frame_s) == 0:
        return np.zeros(0)
    rate = 1.0 / max(float(np.median(np.diff(frame_s, append=frame_s[-1] + 0.1))), 1e-3)
    hunting = 0.2 * smooth_noise(rng, len(frame_s), 2.5 * rate)
    jumps = rng.normal(0.0, 0.7, len(frame_s)) * (rng.random(len(frame_s)) < 1.0 / (20.0 * rate))
    from scipy.signal import lfilter

    return np.asarray(hunting + lfilter([1.0], [1.0, -np.exp(-1.0 / (0.8 * rate))], jumps))


# -- truth ------------------------------------------------------------------------------------


def _write_roads(town: Any, path: Path) -> None:  # noqa: ANN401
    from geoloc_ros.synthetic.imagery import write_roads_geojson

    write_roads_geojson(town, path)


def _truth(recording: Recording) -> dict[str, Any]:
    """The truth about one drive, as JSON holds it."""
    drive, truth = recording.drive, recording.truth
    rig, others = recording.rig, recording.others

    def stamps(intervals: Sequence[tuple[float, float]]) -> list[list[int]]:
        return [[recording.stamp_ns(a), recording.stamp_ns(b)] for a, b in intervals]

    return {
        "name": recording.name,
        "scenario": drive.scenario if drive else "plain",
        "frames": len(recording.frame_s),
        "duration_s": truth.duration_s,
        "length_m": float(truth.distance_m()[-1]),
        "start_stamp_ns": recording.start_ns,
        "kidnap_stamps_ns": [recording.stamp_ns(t) for t in truth.kidnap_times_s()],
        "outside_stamps_ns": stamps(drive.outside_s if drive else ()),
        "covered_stamps_ns": stamps(drive.covered_s if drive else ()),
        **_camera_truth(rig),
        **({"other_cameras": [_camera_truth(one) for one, _ in others]} if others else {}),
        "conditions": dataclasses.asdict(recording.conditions),
    }


def _camera_truth(rig: CameraRig) -> dict[str, Any]:
    return {
        "T_base_camera_published": rig.T_base_camera.tolist(),
        "T_base_camera_true": rig.T_base_camera_true.tolist(),
        "mount_error_rpy_deg": rig.error_rpy_deg.tolist(),
        "K_true": rig.K_true.tolist(),
    }
