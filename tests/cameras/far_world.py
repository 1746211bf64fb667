# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A world so far away that every camera of a rig sees it alike: a colour for each direction."""

import numpy as np

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.geo.rotations import matrix_from_rpy

_RNG = np.random.default_rng(3)
_WAVES = _RNG.normal(size=(12, 3)) * 5.0
_PHASES = _RNG.uniform(0.0, 2.0 * np.pi, (12, 3))


def colour(directions: FloatArray) -> Image:
    """Colours (..., 3) of unit directions (..., 3)."""
    waves = np.sin((directions @ _WAVES.T)[..., None] + _PHASES).sum(axis=-2)
    return np.asarray(np.clip(np.rint(128.0 + 22.0 * waves), 0, 255), dtype=np.uint8)


def picture(camera: CameraModel, mount: FloatArray, rpy=(0.0, 0.0, 0.0)) -> Image:
    """What a camera sees from a vehicle with some roll, pitch and yaw."""
    rotation = matrix_from_rpy(*rpy) @ mount[:3, :3]
    return colour(camera.rays() @ rotation.T)


def rig(count: int, camera: CameraModel, pitch_deg: float = 3.0):
    """Cameras by name, evenly all round, on a ring of half a metre."""
    cameras = {}
    for number in range(count):
        yaw_deg = 360.0 * number / count
        mount = mount_from_pitch(1.7, pitch_deg, yaw_deg)
        away = np.radians(yaw_deg)
        mount[:2, 3] = 0.5 * np.cos(away) + 0.6, 0.5 * np.sin(away)
        cameras[f"camera_{number}"] = camera, mount
    return cameras


def strip(spec: QuerySpec, rpy=(0.0, 0.0, 0.0), ahead_rad: float = 0.0) -> Image:
    """The panorama as it should be: each pixel's colour written down from its direction.

    Args:
        spec: of the panorama.
        rpy: of the vehicle; a panorama is level and turns with yaw alone.
        ahead_rad: how far left of the vehicle's heading its middle looks.
    """
    low_deg, high_deg = spec.elevations_deg
    step = np.radians(360.0 / spec.width_px)
    columns = np.arange(spec.width_px) - (spec.width_px - 1) / 2
    azimuth = rpy[2] + ahead_rad - np.radians(spec.centre_azimuth_deg) - columns * step
    per_row = (high_deg - low_deg) / spec.height_px
    elevation = np.radians(high_deg - (np.arange(spec.height_px) + 0.5) * per_row)
    level = np.cos(elevation)[:, None]
    up = np.repeat(np.sin(elevation)[:, None], spec.width_px, axis=1)
    return colour(np.stack([level * np.cos(azimuth), level * np.sin(azimuth), up], axis=-1))


def psnr(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio of two pictures, dB."""
    return float(20.0 * np.log10(255.0 / np.sqrt(np.mean((a.astype(float) - b) ** 2))))
