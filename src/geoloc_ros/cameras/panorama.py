# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The panorama view: what the cameras of a rig see all round, as one equirectangular strip.

Columns are equal steps of azimuth, clockwise from left to right; rows are equal steps of
elevation, the highest first. The strip is level and turns with the vehicle: its middle looks
ahead, or as far beside that as the model wants north beside the middle of its panoramas.

Everything is taken as infinitely far away. A thing at distance d, seen by two cameras b apart, is
seen twice, b / d rad from each other: where they meet the strip is feathered over few degrees.

Cameras that expose each for itself leave steps where they meet. Each picture gets one gain, so
that neighbours are equally bright where both see the same (Brown and Lowe, International Journal
of Computer Vision 74, 2007, section 6, in logarithms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.distortion import FloatArray
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import (
    GREY,
    Attitude,
    FrameFitter,
    checked_mount,
    quantised_attitude,
    rotation_level_base,
)
from geoloc_ros.cameras.warp import Warp, allowed_reduction
from geoloc_ros.datatypes import Float32Array, Image, Mask, View
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError
from geoloc_ros.geo.se2 import wrap_angle

#: A camera's weight falls off towards the border of its picture with this power of the distance:
#: between cameras of 90 degrees, 60 degrees apart, it goes from 90 % to 10 % within 10 degrees.
SHARPNESS = 4.0

#: A gain of e^x costs so many x^2, a step of e^x between two neighbours costs one x^2.
GAIN_COST = 0.05
MOST_GAIN = 2.0

_SHARED_PIXELS = 50, 400
_LEAST_WEIGHT = 1e-3
_KEPT_BLENDS = 4

Pixel = TypeVar("Pixel", bound=np.generic)

#: what each camera of a rig took: picture (H, W, 3), and its reduction
Pictures = Mapping[str, tuple[Image, int]]


@dataclass(frozen=True)
class _Sector:
    """What one camera sees of the strip: columns (n,), its map onto (H, n), its weight there."""

    columns: npt.NDArray[np.intp]
    warp: Warp
    weight: Float32Array


@dataclass(frozen=True)
class _Overlap:
    """Pixels that two sectors share: numbers of the sectors, flat indices in the patch of each."""

    sectors: tuple[int, int]
    pixels: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


@dataclass(frozen=True)
class _Blend:
    """Sectors, their shares (H, n, 1) of each pixel, what any of them sees (H, W), overlaps."""

    parts: tuple[tuple[_Sector, Float32Array], ...]
    mask: Mask
    overlaps: tuple[_Overlap, ...]


class PanoramaView:
    """Stitches the pictures of a rig; one that is missing leaves its sector to its neighbours.

    The strip's anchor is the middle of the rig, level, with the vehicle's heading.
    """

    needs_height = False

    def __init__(
        self,
        cameras: Mapping[str, tuple[CameraModel, npt.ArrayLike]],
        spec: QuerySpec,
        fill_rgb: tuple[float, float, float] = GREY,
    ) -> None:
        """Keep the geometry, and see what of the strip the rig can see.

        Args:
            cameras: by name, intrinsics and T_base_camera (4, 4), optical frame to base.
            spec: of a panorama model.
            fill_rgb: colour of unseen pixels, 0..255.

        Raises:
            CameraError: no camera, the spec is of another view, a mount is no rigid motion, or a
                camera sees nothing of the strip.
        """
        if spec.view != "panorama":
            raise CameraError(f"model wants a {spec.view} view; this is the panorama view")
        if not cameras:
            raise CameraError("a panorama needs at least one camera; none is given")
        self._spec = spec
        self._directions = _directions(spec)
        self._fill = np.clip(np.rint(fill_rgb), 0, 255).astype(np.uint8)
        self._fitters = {name: FrameFitter(camera) for name, (camera, _) in cameras.items()}
        self._mounts = {name: checked_mount(mount) for name, (_, mount) in cameras.items()}
        middle = np.mean([mount[:2, 3] for mount in self._mounts.values()], axis=0)
        self._offset_m = round(float(middle[0]), 4) + 0.0, round(float(middle[1]), 4) + 0.0
        self._blends: dict[object, _Blend] = {}
        whole = self._blend(
            tuple((name, camera, 1) for name, (camera, _) in cameras.items()), None
        )
        for name, (sector, _) in zip(cameras, whole.parts, strict=True):
            if not sector.warp.mask.any():
                low, high = spec.elevations_deg
                raise CameraError(
                    f"camera {name!r} sees nothing between {low:g} and {high:g} degrees of "
                    "elevation; check its mount (it must be that of the optical frame, z "
                    "forward), or leave the camera out"
                )
        self.coverage = float(whole.mask.mean())

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras, the leading one first."""
        return tuple(self._fitters)

    def build(
        self,
        rgb: Image,
        height_m: float | None = None,
        attitude: Attitude | None = None,
        reduction: int = 1,
    ) -> View:
        """The strip that the leading camera alone gives; see `views.ViewBuilder.build`."""
        del height_m
        return self.stitch({self.names[0]: (rgb, reduction)}, attitude)

    def stitch(self, pictures: Pictures, attitude: Attitude | None = None) -> View:
        """The strip of one moment.

        Args:
            pictures: of all cameras, or of those that took one.
            attitude: roll and pitch of the base frame against the horizon, rad; None: level.

        Raises:
            CameraError: a picture is no 8-bit colour picture, or its size does not belong to its
                camera.
        """
        fitted = tuple(
            (name, self._fitters[name].camera_for(rgb, reduction), reduction)
            for name, (rgb, reduction) in pictures.items()
        )
        blend = self._blend(fitted, quantised_attitude(attitude))
        patches = [
            sector.warp.apply(rgb)
            for (sector, _), (rgb, _) in zip(blend.parts, pictures.values(), strict=True)
        ]
        strip = np.zeros((*blend.mask.shape, 3), dtype=np.float32)
        gains = self._gains(patches, blend.overlaps)
        for (sector, share), patch, gain in zip(blend.parts, patches, gains, strict=True):
            strip[:, sector.columns] += (share * gain) * patch
        image = np.clip(np.rint(strip), 0, 255).astype(np.uint8)
        image[~blend.mask] = self._fill
        return View(image, blend.mask, self._offset_m)

    def _gains(self, patches: list[Image], overlaps: tuple[_Overlap, ...]) -> Float32Array:
        """One factor for each patch (N,) that makes neighbours alike where they overlap."""
        normal = GAIN_COST * np.eye(len(patches))
        wanted = np.zeros(len(patches))
        for overlap in overlaps:
            bright = [
                np.log1p(patches[number].reshape(-1, 3)[pixels].mean())
                for number, pixels in zip(overlap.sectors, overlap.pixels, strict=True)
            ]
            sides = np.array(overlap.sectors)
            normal[np.ix_(sides, sides)] += [[1.0, -1.0], [-1.0, 1.0]]
            wanted[sides] += bright[1] - bright[0], bright[0] - bright[1]
        gains = np.exp(np.linalg.solve(normal, wanted))
        return np.asarray(np.clip(gains, 1.0 / MOST_GAIN, MOST_GAIN), dtype=np.float32)

    def _blend(
        self, fitted: tuple[tuple[str, CameraModel, int], ...], attitude: Attitude | None
    ) -> _Blend:
        """How the pictures of some cameras become one; the last few are kept."""
        key = fitted, attitude
        if key not in self._blends:
            if len(self._blends) == _KEPT_BLENDS:
                del self._blends[next(iter(self._blends))]
            sectors = [self._sector(name, camera, attitude) for name, camera, _ in fitted]
            self._blends[key] = _blended(sectors, self._directions.shape[:2])
            self.reduction = min(
                (
                    allowed_reduction(sector.warp, reduction)
                    for sector, (_, _, reduction) in zip(sectors, fitted, strict=True)
                    if sector.warp.mask.any()
                ),
                default=1,
            )
        return self._blends[key]

    def _sector(self, name: str, camera: CameraModel, attitude: Attitude | None) -> _Sector:
        rotation_level_optical = rotation_level_base(attitude) @ self._mounts[name][:3, :3]
        height, width = self._directions.shape[:2]
        uv, seen = camera.project(self._directions.reshape(-1, 3) @ rotation_level_optical)
        uv, seen = uv.reshape(height, width, 2), seen.reshape(height, width)
        columns = _span(np.asarray(seen.any(axis=0)))
        uv, seen = uv[:, columns], seen[:, columns]
        size = camera.width, camera.height
        fill = float(self._fill[0]), float(self._fill[1]), float(self._fill[2])
        warp = Warp(uv, seen, size, per_pixel=False, fill_rgb=fill)
        inward = np.prod(1.0 - np.abs((2.0 * uv + 1.0) / size - 1.0), axis=-1)
        weight = np.where(seen, np.maximum(inward, _LEAST_WEIGHT) ** SHARPNESS, 0.0)
        return _Sector(columns, warp, weight.astype(np.float32))


def turned(view: View, yaw_rad: float) -> View:
    """A panorama as it looks from a vehicle that is turned to the left: its columns are rolled.

    Whole columns are only moved. What lies between them is interpolated by cubic convolution
    (Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 29, 1981, a = -1/2).

    Args:
        view: a panorama that goes once round.
        yaw_rad: how far to the left.
    """
    width = view.image.shape[1]
    columns = yaw_rad * width / (2.0 * np.pi)
    last = int(np.ceil(columns - 1e-9))
    part = max(last - columns, 0.0)
    image = _moved(view.image, last)
    if part > 1e-9:
        taps = [w * _moved(view.image, last + 1 - k) for k, w in enumerate(_cubic(part))]
        image = np.clip(np.rint(sum(taps)), 0, 255).astype(np.uint8)
    mask = _moved(view.mask, int(np.rint(columns)))
    yaw = float(wrap_angle(view.anchor_yaw_rad + yaw_rad))
    return replace(view, image=image, mask=mask, anchor_yaw_rad=yaw)


def _moved(array: npt.NDArray[Pixel], columns: int) -> npt.NDArray[Pixel]:
    """An array (H, W, ...) whose columns were moved to the right, round the end."""
    cut = -columns % array.shape[1]
    return np.concatenate([array[:, cut:], array[:, :cut]], axis=1)


def _cubic(t: float) -> tuple[float, float, float, float]:
    """Weights of the two columns before and the two after a point, t after the second."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def _directions(spec: QuerySpec) -> FloatArray:
    """Unit directions (H, W, 3) of the strip's pixels in the level base frame."""
    low, high = np.radians(spec.elevations_deg)
    beside = np.arange(spec.width_px) - 0.5 * (spec.width_px - 1)
    azimuth = -np.radians(spec.centre_azimuth_deg) - beside * (2.0 * np.pi / spec.width_px)
    rows = (np.arange(spec.height_px) + 0.5) / spec.height_px
    elevation = (high + rows * (low - high))[:, None]
    level = np.cos(elevation)
    up = np.broadcast_to(np.sin(elevation), (spec.height_px, spec.width_px))
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), up], axis=-1)


def _span(seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """The shortest run of columns, round the end if need be, with all that are seen (W,)."""
    at = np.flatnonzero(seen)
    if not len(at):
        return at
    gaps = np.diff(at, append=at[0] + len(seen))
    widest = int(np.argmax(gaps))
    first = at[(widest + 1) % len(at)]
    return np.asarray((first + np.arange(len(seen) - gaps[widest] + 1)) % len(seen))


def _blended(sectors: list[_Sector], shape: tuple[int, ...]) -> _Blend:
    """Shares that add up to one wherever anything is seen."""
    total = np.zeros(shape, dtype=np.float32)
    for sector in sectors:
        total[:, sector.columns] += sector.weight
    seen = total > 0.0
    total[~seen] = 1.0
    shares = [(sector.weight / total[:, sector.columns])[..., None] for sector in sectors]
    pairs = combinations(range(len(sectors)), 2)
    overlaps = (_overlap(sectors, pair, shape) for pair in pairs)
    shared = tuple(overlap for overlap in overlaps if len(overlap.pixels[0]))
    return _Blend(tuple(zip(sectors, shares, strict=True)), seen, shared)


def _overlap(sectors: list[_Sector], pair: tuple[int, int], shape: tuple[int, ...]) -> _Overlap:
    """What two sectors share, thinned out evenly; nothing where it is too little to tell."""
    places = []
    both = np.ones(shape, dtype=np.bool_)
    for number in pair:
        sector = sectors[number]
        place = np.full(shape, -1, dtype=np.intp)
        own = np.arange(sector.weight.size).reshape(sector.weight.shape)
        place[:, sector.columns] = np.where(sector.weight > 0.0, own, -1)
        both &= place >= 0
        places.append(place)
    fewest, most = _SHARED_PIXELS
    at = np.flatnonzero(both)
    at = at[:: max(1, len(at) // most)] if len(at) >= fewest else at[:0]
    return _Overlap(pair, (places[0].ravel()[at], places[1].ravel()[at]))
