# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Changes that leave the place what it is: light, colour, season, sensor, and things in the way.

All functions take and give RGB uint8 and draw from the generator they are handed.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.geo.rotations import matrix_from_rpy

Image = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Rng = np.random.Generator


def colour_tables(rng: Rng, strength: float) -> Image:
    """A random tone curve per channel: gain, gamma, offset; common part plus channel part.

    Args:
        rng: source of randomness.
        strength: 1 for different weather, 2 for different sensors and seasons.

    Returns:
        (256, 3) look-up table.
    """
    x = np.linspace(0.0, 1.0, 256)[:, None]
    gamma = np.exp(strength * (rng.normal(0, 0.22) + rng.normal(0, 0.05, 3)))
    gain = np.exp(strength * (rng.normal(0, 0.12) + rng.normal(0, 0.06, 3)))
    offset = strength * (rng.normal(0, 0.04) + rng.normal(0, 0.015, 3))
    pivot = 0.45
    contrast = np.exp(strength * rng.normal(0, 0.12))
    y = ((x**gamma) * gain - pivot) * contrast + pivot + offset
    return np.asarray(np.clip(y * 255.0, 0, 255), dtype=np.uint8)


def recolour(image: Image, rng: Rng, strength: float) -> Image:
    """Apply tone curves, then move saturation, hue and channel balance."""
    table = colour_tables(rng, strength)
    out = cv2.LUT(image, table[:, None, :].transpose(1, 0, 2))
    mix = np.eye(3) + rng.normal(0, 0.05 * strength, (3, 3))
    if rng.random() < 0.15 * strength:
        grey = rng.dirichlet([2.0, 2.0, 2.0])
        share = rng.uniform(0.3, 1.0)
        mix = (1 - share) * mix + share * np.tile(grey, (3, 1))
    mix /= mix.sum(axis=1, keepdims=True)
    return np.asarray(cv2.transform(out, mix.astype(np.float32)))


def season(image: Image, rng: Rng) -> Image:
    """Turn plants another colour: what is green fades, browns, darkens or whitens."""
    values = image.astype(np.float32)
    green = 2.0 * values[..., 1] - values[..., 0] - values[..., 2]
    weight = np.clip((green - 4.0) / 40.0, 0.0, 1.0)[..., None] * rng.uniform(0.3, 1.0)
    tint = np.array([rng.uniform(50, 190), rng.uniform(60, 170), rng.uniform(30, 120)])
    light = values.mean(axis=2, keepdims=True) / 110.0
    return np.asarray(np.clip(values * (1 - weight) + weight * light * tint, 0, 255), np.uint8)


def region_remap(image: Image, rng: Rng) -> Image:
    """Give each range of grey a new shade: roofs, fields and roads change brightness by kind.

    A smooth random, often non-monotonous, curve over brightness; structure stays, contrast signs
    may turn over.
    """
    knots = np.linspace(0, 255, 7)
    levels = np.clip(knots + rng.normal(0, 45, 7), 0, 255)
    curve = np.interp(np.arange(256), knots, levels).astype(np.uint8)
    share = rng.uniform(0.3, 0.9)
    remapped = cv2.LUT(image, curve)
    return np.asarray(cv2.addWeighted(image, 1 - share, remapped, share, 0))


def haze(image: Image, rng: Rng) -> Image:
    """Wash out towards a bright veil, evenly or along a gradient."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = ((np.cos(angle) * x / width + np.sin(angle) * y / height) * rng.uniform(0, 0.4))[
        ..., None
    ]
    veil = np.clip(rng.uniform(0.0, 0.35) + ramp, 0.0, 0.5)
    colour = rng.uniform(150, 240) + rng.normal(0, 8, 3)
    return np.asarray(np.clip(image * (1 - veil) + veil * colour, 0, 255), np.uint8)


def shadows(image: Image, rng: Rng) -> Image:
    """Darken polygons, as clouds and tall things do."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        centre = rng.uniform(0, 1, 2) * (width, height)
        points = centre + rng.normal(0, 0.12, (4, 2)) * (width, height)
        cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), 255)
    soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 4.0))).astype(np.float32) / 255.0
    factor = 1.0 - soft[..., None] * rng.uniform(0.2, 0.6)
    return np.asarray(image * factor, np.uint8)


def blobs(image: Image, rng: Rng) -> Image:
    """Paste boxes and ellipses of some colour: new roofs, vehicles, trees that were not there."""
    out: Image = image.copy()
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 7))):
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        size = np.exp(rng.uniform(np.log(2), np.log(width / 5), 2))
        colour = tuple(int(c) for c in rng.integers(20, 235, 3))
        box = (centre, (float(size[0]), float(size[1])), float(rng.uniform(0, 180)))
        if rng.random() < 0.5:
            cv2.ellipse(out, box, colour, -1)
        else:
            cv2.fillConvexPoly(out, cv2.boxPoints(box).astype(np.int32), colour)
    return out


def sensor(image: Image, rng: Rng, strength: float) -> Image:
    """Blur or lower resolution, noise, JPEG."""
    out: npt.NDArray[Any] = image
    height, width = image.shape[:2]
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 0.6 + 0.6 * strength)))
    if rng.random() < 0.25 * strength:
        scale = float(rng.uniform(0.4, 0.9))
        small = cv2.resize(out, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        out = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(1, 4 + 4 * strength), out.shape)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    return compress(out, rng, 35) if rng.random() < 0.5 else np.asarray(out, np.uint8)


def compress(image: npt.NDArray[Any], rng: Rng, lowest: int) -> Image:
    """What JPEG of a random quality from `lowest` to 92 leaves of an image."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(lowest, 93))]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image), quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def look_angles(rng: Rng, share: float = 0.6, reach_deg: float = 8.0) -> FloatArray:
    """By how much one level camera is turned a little, most of all to the side.

    Args:
        rng: source of randomness.
        share: of cameras that are turned.
        reach_deg: largest turn to either side; pitch and roll deviate by a twelfth of it.

    Returns:
        (3,) roll, pitch and turn to the left, rad; zeros for a camera that is left alone.
    """
    return _some_angles(rng, reach_deg) if rng.random() < share else np.zeros(3)


def _some_angles(rng: Rng, reach_deg: float) -> FloatArray:
    turn = np.radians(rng.uniform(-reach_deg, reach_deg))
    roll, pitch = np.radians(rng.normal(0, reach_deg / 12, 2))
    return np.array([roll, pitch, turn])


def looked(image: Image, angles: FloatArray, spec: QuerySpec, fill: tuple[int, int, int]) -> Image:
    """The view (H, W, 3) of a level pinhole camera turned by angles (3,), see `look_angles`.

    Args:
        image: of the camera as it was.
        angles: roll, pitch and turn to the left, rad.
        spec: size and field of view.
        fill: colour of what comes into view unseen.
    """
    if not angles.any():
        return image
    height, width = image.shape[:2]
    K = CameraModel.from_hfov(width, height, spec.hfov_deg).K
    roll, pitch, turn = angles
    # Optical axes: x right, y down, z ahead; a turn to the left is about -y.
    inverse = K @ matrix_from_rpy(pitch, -turn, roll) @ np.linalg.inv(K)
    out = cv2.warpPerspective(
        image, inverse, (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=fill,
    )  # fmt: skip
    return np.asarray(out, np.uint8)


def view_angles(spec: QuerySpec, rng: Rng) -> FloatArray:
    """By how much one view is turned, as its kind allows: (3,) roll, pitch, turn to the left.

    A camera is turned a little, a panorama all the way round by whole columns, an overhead patch
    not at all: it is turned with its crop.
    """
    if spec.view == "perspective":
        return look_angles(rng)
    if spec.view == "panorama":
        return np.array([0.0, 0.0, 2 * np.pi * int(rng.integers(spec.width_px)) / spec.width_px])
    return np.zeros(3)


def turned_view(
    image: Image, angles: FloatArray, spec: QuerySpec, fill: tuple[int, int, int]
) -> Image:
    """A view (H, W, 3) turned by angles of `view_angles`; `fill`: colour of what was unseen."""
    if spec.view == "panorama":
        return rolled(image, round(angles[2] / (2 * np.pi) * image.shape[1]))
    return looked(image, angles, spec, fill) if spec.view == "perspective" else image


def rolled(panorama: Image, columns: int) -> Image:
    """A panorama (H, W, 3) whose camera was turned to the left by so many columns."""
    width = panorama.shape[1]
    return np.asarray(panorama[:, (np.arange(width) - columns) % width])


def look_around(
    images: Image,
    spec: QuerySpec,
    fill: tuple[int, int, int],
    rng: Rng,
    share: float = 0.6,
    reach_deg: float = 8.0,
) -> tuple[Image, FloatArray]:
    """Turn level pinhole cameras a little: the same places, new views.

    Returns:
        Turned images (N, H, W, 3), and by how much each turned to the left (N,) rad.
    """
    angles = np.zeros((len(images), 3))
    for i in np.flatnonzero(rng.random(len(images)) < share):
        angles[i] = _some_angles(rng, reach_deg)
    turned = [looked(image, a, spec, fill) for image, a in zip(images, angles, strict=True)]
    return np.stack(turned), angles[:, 2]


def mild(image: Image, rng: Rng) -> Image:
    """For rendered images, which carry their domain gap already: light, colour, hidden parts."""
    out = recolour(image, rng, 0.8)
    if rng.random() < 0.15:
        out = blobs(out, rng)
    if rng.random() < 0.2:
        out = sensor(out, rng, 0.5)
    return out


def strong(image: Image, rng: Rng) -> Image:
    """For overhead texture, where both sides come from one photo: another day, another sensor."""
    out = image
    if rng.random() < 0.4:
        out = season(out, rng)
    if rng.random() < 0.4:
        out = region_remap(out, rng)
    if rng.random() < 0.35:
        out = shadows(out, rng)
    if rng.random() < 0.5:
        out = blobs(out, rng)
    out = recolour(out, rng, 1.2)
    if rng.random() < 0.2:
        out = haze(out, rng)
    return sensor(out, rng, 1.0)


def normalise(images: Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Float32Array:
    """Images (N, H, W, 3) uint8 to network input (N, 3, H, W) float32 (channels-last memory)."""
    scale = np.asarray([1 / (255.0 * s) for s in std], np.float32)
    shift = np.asarray([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    return np.asarray((images.astype(np.float32) * scale + shift).transpose(0, 3, 1, 2))


def fill_colour(mean: tuple[float, ...]) -> tuple[int, int, int]:
    """The mean colour as bytes: what unseen pixels are filled with."""
    r, g, b = (round(255 * m) for m in mean)
    return r, g, b
