# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Small recordings over made imagery; what the camera sees is the colour of the ground below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import rasterio

from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, transform
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.messages import CameraInfoData

ORIGIN = LatLon(46.5, 6.6)
PLANE = LocalFrame(ORIGIN)
START_NS = 1_000_000_000_000_000_000
SIDE_M = 500.0
FIX, POSE = "/gnss/fix", "/gnss/pose"


def made_imagery(path: Path, seed: int = 0) -> Path:
    """Half a kilometre of coloured fields around the origin, a metre a pixel."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(20, 235, (3, 50, 50))
    pixels = np.kron(fields, np.ones((1, 10, 10))).astype(np.uint8)
    half = SIDE_M / 2
    affine = rasterio.Affine(1.0, 0.0, -half, 0.0, -1.0, half)
    with rasterio.open(
        path, "w", driver="GTiff", width=500, height=500, count=3, dtype="uint8", crs=PLANE.crs,
        transform=affine,
    ) as file:  # fmt: skip
        file.write(pixels)
    return path


def along(length_m: float, from_xy: tuple[float, float], yaw_rad: float) -> np.ndarray:
    """Poses (N, 3) a metre apart on a straight line."""
    steps = np.arange(0.0, length_m)[:, None]
    xy = np.array(from_xy) + steps * [np.cos(yaw_rad), np.sin(yaw_rad)]
    return np.column_stack([xy, np.full(len(xy), yaw_rad)])


def round_trip(radius_m: float = 150.0, turns: float = 1.0) -> np.ndarray:
    """Poses (N, 3) a metre apart around the origin, counter-clockwise."""
    angle = np.arange(0.0, turns * 2 * np.pi, 1.0 / radius_m)
    return np.column_stack([radius_m * np.cos(angle), radius_m * np.sin(angle), angle + np.pi / 2])


@dataclass
class MadeDrive:
    """A recording at 10 m/s: a picture, a fix and an odometry sample at every pose.

    Attributes:
        poses: (N, 3) of the base, a tenth of a second apart.
        sigma_m: said of the fixes, None for a covariance of type unknown.
        noise_m: of the fixes.
        antenna_m: of the receiver, forward and left of the base.
        spoil: changes a fix: (number, x, y) -> (x, y, has a fix, sigma).
        picture: of a pose; None: the colour below it.
        odometry: whether it is recorded, in a frame that is turned and shifted.
        with_pose: whether a PoseStamped is recorded, too.
        pose_turn_rad: by how much its frame is turned.
        fix_every: every so many poses there is a fix.
        height: above ground, of a pose; None: not recorded.
    """

    poses: np.ndarray
    sigma_m: float | None = 0.5
    noise_m: float = 0.0
    antenna_m: tuple[float, float] = (0.0, 0.0)
    spoil: Callable[[int, float, float], tuple[float, float, bool, float | None]] | None = None
    picture: Callable[[int], np.ndarray] | None = None
    odometry: bool = True
    with_pose: bool = False
    pose_turn_rad: float = 0.0
    fix_every: int = 1
    height: Callable[[int], float] | None = None
    tf: bool = True
    imagery: np.ndarray | None = field(default=None, repr=False)

    def write(self, path: Path) -> Path:
        rng = np.random.default_rng(3)
        mount = transform(R_BODY_OPTICAL, (1.0, 0.0, 1.5))
        frames = {("base_link", "cam"): mount}
        if self.tf:
            frames["base_link", "gnss"] = transform(np.eye(3), (*self.antenna_m, 1.0))
        with BagWriter(path) as bag:
            bag.write_tf_static(START_NS, frames)
            for i, pose in enumerate(self.poses):
                self._write(bag, i, pose, rng)
        return path

    def _write(self, bag: BagWriter, i: int, pose: np.ndarray, rng: np.random.Generator) -> None:
        stamp = START_NS + i * 100_000_000
        if self.height is not None:
            bag.write_range("/height", stamp, self.height(i))
        bag.write_camera_info("/cam/camera_info", stamp, camera())
        picture = self.picture(i) if self.picture else self._colour_below(pose)
        done, data = cv2.imencode(".png", picture[:, :, ::-1])
        assert done
        bag.write_compressed_image("/cam/image", stamp, data.tobytes(), "cam", "png")
        if self.odometry:
            bag.write_odometry("/odom", stamp, into_odometry(pose), (10.0, 0.0))
        cos, sin = np.cos(pose[2]), np.sin(pose[2])
        forward, left = self.antenna_m
        x = pose[0] + cos * forward - sin * left + rng.normal(0, self.noise_m)
        y = pose[1] + sin * forward + cos * left + rng.normal(0, self.noise_m)
        has_fix, sigma_m = True, self.sigma_m
        if self.spoil is not None:
            x, y, has_fix, sigma_m = self.spoil(i, x, y)
        lat, lon = PLANE.to_latlon([(x, y)])
        place = LatLon(float(lat[0]), float(lon[0]))
        cov_enu = None if sigma_m is None else np.eye(3) * sigma_m**2
        if i % self.fix_every == 0:
            bag.write_fix(FIX, stamp, place, 400.0, "gnss", cov_enu, has_fix)
        if self.with_pose:
            cos, sin = np.cos(pose[2] + self.pose_turn_rad), np.sin(pose[2] + self.pose_turn_rad)
            rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
            bag.write_pose(POSE, stamp, transform(rotation, (x, y, 0.0)))

    def _colour_below(self, pose: np.ndarray) -> np.ndarray:
        """A picture whose columns have the colours of the ground ahead, from left to right."""
        picture = np.empty((48, 96, 3), np.uint8)
        assert self.imagery is not None
        for column in range(12):
            bearing = pose[2] + np.radians(45.0 - 90.0 * (column + 0.5) / 12)
            x, y = pose[0] + 15.0 * np.cos(bearing), pose[1] + 15.0 * np.sin(bearing)
            row, col = int(SIDE_M / 2 - y), int(SIDE_M / 2 + x)
            picture[:, column * 8 : column * 8 + 8] = self.imagery[:, row % 500, col % 500]
        return picture


def into_odometry(pose: np.ndarray) -> tuple[float, float, float]:
    """A pose of the plane in the odometry's frame: turned by 2 rad and shifted."""
    cos, sin = np.cos(2.0), np.sin(2.0)
    x, y = cos * pose[0] - sin * pose[1] + 1000.0, sin * pose[0] + cos * pose[1] - 400.0
    return float(x), float(y), float(pose[2] + 2.0)


def camera() -> CameraInfoData:
    k = np.array([[48.0, 0, 47.5], [0, 48.0, 23.5], [0, 0, 1]])
    return CameraInfoData(
        96, 48, "plumb_bob", np.zeros(5), k, np.c_[k, np.zeros(3)], np.eye(3), "cam"
    )


def pixels_of(path: Path) -> np.ndarray:
    """Bands (3, H, W) of an imagery file."""
    with rasterio.open(path) as file:
        return file.read()
