# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a made vehicle's sensors record, frame by frame, and writing it as a recording.

Frames are independent of each other: each has its own random stream, drawn from (world, drive,
frame), so they come out the same whatever the number of processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.errors import BagError
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.synthetic.drive import Drive
from geoloc_ros.synthetic.odometry_noise import OdometryTrack
from geoloc_ros.synthetic.sensor_rig import CameraRig
from geoloc_ros.synthetic.traffic import Traffic
from geoloc_ros.synthetic.trajectory import Trajectory

ODOMETRY_TOPIC = "/odom"
HEIGHT_TOPIC = "/height_above_ground"
FIX_TOPIC = "/ground_truth/fix"
POSE_TOPIC = "/ground_truth/pose"

ODOMETRY_HZ = 25.0
HEIGHT_HZ = 10.0


@dataclass(frozen=True)
class Recording:
    """Everything that is needed to render and write one drive.

    Attributes:
        name: folder name.
        seed: seeds of the frames' random streams.
        truth: motion of the base.
        rig: the camera, of several the one that looks ahead.
        conditions: light and weather (`conditions.Conditions`).
        frame_s: (F,) capture times.
        exposure_ev: (F,) exposure error of that camera, added to the conditions' own.
        start_ns: stamp of time zero.
        drive: route and scenario of a ground vehicle, None for a flight.
        traffic: other vehicles, None for none.
        odometry: None for none.
        height: (times, metres) of the barometer, None for none.
        others: the other cameras of a vehicle that looks all round, each with its exposure error.
    """

    name: str
    seed: tuple[int, ...]
    truth: Trajectory
    rig: CameraRig
    conditions: Any
    frame_s: FloatArray
    exposure_ev: FloatArray
    start_ns: int
    drive: Drive | None = None
    traffic: Traffic | None = None
    odometry: OdometryTrack | None = None
    height: tuple[FloatArray, FloatArray] | None = None
    others: tuple[tuple[CameraRig, FloatArray], ...] = ()

    @property
    def cameras(self) -> tuple[tuple[CameraRig, FloatArray], ...]:
        """All cameras, each with its exposure error (F,)."""
        return ((self.rig, self.exposure_ev), *self.others)

    def stamp_ns(self, time_s: float) -> int:
        """Stamp of a time of the drive, whole microseconds."""
        return self.start_ns + round(time_s * 1e6) * 1000


def render_frame(
    scene: Any,  # noqa: ANN401
    rays: FloatArray,
    recording: Recording,
    frame: int,
    camera: int = 0,
) -> bytes:
    """JPEG of one frame.

    Args:
        scene: the town's scene (`scene.Scene`).
        rays: (H, W, 3) of the camera.
        recording: the drive.
        frame: number of the frame.
        camera: number of the camera.

    Raises:
        BagError: the picture cannot be encoded.
    """
    rng = np.random.default_rng([*recording.seed, frame, *([camera] if camera else [])])
    time_s = float(recording.frame_s[frame])
    if recording.drive is not None and recording.drive.covered_at(time_s):
        pixels = covered_picture(rng, rays.shape[0], rays.shape[1])
    else:
        pixels = _picture(scene, rays, recording, (frame, camera), rng)
    quality = [cv2.IMWRITE_JPEG_QUALITY, recording.rig.spec.jpeg_quality]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    if not done:
        raise BagError(f"frame {frame} of {recording.name} could not be encoded as JPEG")
    return bytes(data)


def _picture(
    scene: Any,  # noqa: ANN401
    rays: FloatArray,
    recording: Recording,
    numbers: tuple[int, int],
    rng: np.random.Generator,
) -> Image:
    from geoloc_ros.synthetic.render import Mover, render_camera

    frame, camera = numbers
    rig, exposure_ev = recording.cameras[camera]
    time_s = float(recording.frame_s[frame])
    pose = recording.truth.matrix_at(time_s) @ rig.T_base_camera_true
    exposure = float(recording.conditions.exposure_ev + exposure_ev[frame])
    conditions = dataclasses.replace(
        recording.conditions, exposure_ev=float(np.clip(exposure, -1.5, 1.5))
    )
    neighbours = recording.traffic.at(time_s) if recording.traffic is not None else []
    movers = [
        Mover((float(n.pose[0]), float(n.pose[1]), float(n.pose[2])), n.size_m, n.colour)
        for n in neighbours
    ]
    picture: Image = render_camera(scene, rays, pose, conditions, rng, movers)
    return picture


def camera_topics(name: str) -> tuple[str, str]:
    """Image and CameraInfo topic of a camera."""
    folder = f"/{name or 'camera'}"
    return f"{folder}/image/compressed", f"{folder}/camera_info"


def covered_picture(rng: np.random.Generator, height_px: int, width_px: int) -> Image:
    """What a camera sees through a cloth: dark, blurred, noisy, nothing of the world."""
    glow = rng.uniform(4.0, 22.0, (3, 4, 3))
    soft = cv2.resize(glow, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    noisy = soft + rng.normal(0.0, 3.0, soft.shape)
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def write_recording(
    path: Path, recording: Recording, pictures: Iterable[bytes], frame: LocalFrame
) -> None:
    """Write a drive as rosbag2 (mcap), messages in time order.

    Args:
        path: directory to create.
        recording: the drive.
        pictures: JPEG files of the frames, in order, of all cameras of a frame one after the
            other; consumed as they are written.
        frame: the world's local plane, for the true latitude and longitude.

    Raises:
        BagError: the directory exists or cannot be written.
    """
    rigs = [rig for rig, _ in recording.cameras]
    source = iter(pictures)
    driven_m = recording.truth.distance_m()
    with BagWriter(path) as bag:
        mounts = {("base_link", rig.frame_id): rig.T_base_camera for rig in rigs}
        bag.write_tf_static(recording.start_ns, mounts)
        for time_s, kind, i in _schedule(recording):
            stamp = recording.stamp_ns(time_s)
            if kind == "camera":
                for rig in rigs:
                    image, info = camera_topics(rig.spec.name)
                    bag.write_camera_info(info, stamp, rig.info())
                    bag.write_compressed_image(image, stamp, next(source), rig.frame_id)
                _write_truth(bag, recording, time_s, frame)
            elif kind == "odometry" and recording.odometry is not None:
                pose, speed, rate = recording.odometry.at(time_s)
                driven = float(np.interp(time_s, recording.truth.time_s, driven_m))
                bag.write_odometry(ODOMETRY_TOPIC, stamp, pose, (speed, rate), _drift(driven))
            elif kind == "height" and recording.height is not None:
                bag.write_range(HEIGHT_TOPIC, stamp, float(recording.height[1][i]), 1.5)


def _schedule(recording: Recording) -> Iterator[tuple[float, str, int]]:
    """(time, kind, index) of every message, in time order."""
    events = [(float(t), 0, i) for i, t in enumerate(recording.frame_s)]
    last = float(recording.frame_s[-1]) if len(recording.frame_s) else 0.0
    if recording.odometry is not None:
        times = np.arange(0.0, last + 1.0 / ODOMETRY_HZ, 1.0 / ODOMETRY_HZ)
        times = times[times <= recording.truth.duration_s]
        events += [(float(t), 1, i) for i, t in enumerate(times)]
    if recording.height is not None:
        events += [(float(t), 2, i) for i, t in enumerate(recording.height[0]) if t <= last]
    for time_s, kind, i in sorted(events):
        yield time_s, ("camera", "odometry", "height")[kind], i


def _drift(driven_m: float) -> tuple[float, float, float]:
    """Odometry's own idea of its error (m, m, rad): 1 % of the way, 0.05 deg per root metre."""
    position = 0.05 + 0.01 * driven_m
    return position, position, float(np.radians(0.1 + 0.05 * np.sqrt(driven_m)))


def _write_truth(bag: BagWriter, recording: Recording, time_s: float, frame: LocalFrame) -> None:
    stamp = recording.stamp_ns(time_s)
    pose = recording.truth.matrix_at(time_s)
    lat, lon = frame.to_latlon(pose[None, :2, 3])
    bag.write_fix(FIX_TOPIC, stamp, LatLon(float(lat[0]), float(lon[0])), float(pose[2, 3]))
    bag.write_pose(POSE_TOPIC, stamp, pose)
