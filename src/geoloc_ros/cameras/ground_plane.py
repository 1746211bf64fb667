# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Overhead views: the camera picture laid out on flat ground, in metres.

Row 0 of a patch is farthest forward, column 0 farthest left, and `(f0, l0)`, the ground point of
the patch's centre, is the view's anchor offset in the base frame (x forward, y left). The ground
is taken as a level plane: a height error e at ground range r moves a point by e * r / height.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

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
from geoloc_ros.cameras.warp import Warp
from geoloc_ros.datatypes import Image, Mask, View
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import CameraError

#: Ground seen flatter than this against straight down is not trusted: at 78 degrees one metre of
#: height error or of relief moves a point by 4.7 m.
MAX_NADIR_DEG = 78.0
#: Lower cameras see no ground to speak of.
MIN_HEIGHT_M = 0.2
MAX_HEIGHT_M = 2000.0
#: Maps are kept for heights that agree to this share: 0.1 m on the ground 100 m away.
HEIGHT_QUANTUM = 0.002

_OFFSET_QUANTA = 16
_COARSE_CELLS = 24
_KEPT_WARPS = 32


class Ground:
    """The geometry between a mounted camera and the level ground below it."""

    def __init__(
        self,
        camera: CameraModel,
        T_base_camera: npt.ArrayLike,
        height_m: float,
        attitude: Attitude | None = None,
        max_nadir_deg: float = MAX_NADIR_DEG,
    ) -> None:
        """Fix one camera position.

        Args:
            camera: intrinsics.
            T_base_camera: (4, 4) mount, optical frame to base.
            height_m: height of the camera above ground.
            attitude: roll and pitch of the base frame against the horizon, rad.
            max_nadir_deg: ground seen under a larger angle from straight down counts as unseen.

        Raises:
            CameraError: height missing, not positive or not plausible; bad mount or attitude.
        """
        if not MIN_HEIGHT_M <= height_m <= MAX_HEIGHT_M:
            raise CameraError(
                f"camera height above ground is {height_m:g} m; an overhead view needs "
                f"{MIN_HEIGHT_M:g}..{MAX_HEIGHT_M:g} m: publish a height "
                "topic, or check the mount"
            )
        mount = checked_mount(T_base_camera)
        level = rotation_level_base(attitude)
        self.camera = camera
        self.height_m = height_m
        self._rotation_level_optical = level @ mount[:3, :3]
        self._foot_m = (level @ mount[:3, 3])[:2]
        self._max_range_m = height_m * float(np.tan(np.radians(max_nadir_deg)))

    def project(self, ground_m: FloatArray) -> tuple[FloatArray, Mask]:
        """Pixels (N, 2) and visibility (N,) of ground points (N, 2) as forward, left."""
        sideways = ground_m - self._foot_m
        level = np.column_stack([sideways, np.full(len(ground_m), -self.height_m)])
        uv, seen = self.camera.project(level @ self._rotation_level_optical)
        return uv, seen & (np.hypot(sideways[:, 0], sideways[:, 1]) <= self._max_range_m)

    def warp(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        shape: tuple[int, int],
        fill_rgb: tuple[float, float, float],
    ) -> Warp:
        """The map from a patch of `shape` (rows, columns) on forward and left ranges (m)."""
        points = _cell_centres(x_range, y_range, shape)
        uv, seen = self.project(points)
        size = self.camera.width, self.camera.height
        return Warp(
            uv.reshape(*shape, 2), seen.reshape(shape), size, per_pixel=True, fill_rgb=fill_rgb
        )

    def best_centre(self, extent_m: float, size_px: int) -> tuple[float, float]:
        """Where a square patch sees most, as forward, left in metres.

        Ground counts by how well it is resolved (up to the patch's own resolution) and by the
        cosine of the angle from straight down, because a pitch error e moves ground at nadir
        angle a by height * e / cos(a)^2. Among places as good to 1 % the nearest; rounded to 1/16
        of the extent so that it stays put.
        """
        cell = extent_m / _COARSE_CELLS
        reach = self._max_range_m + extent_m
        # Ground further than four patches away is resolved worse than any nearer ground.
        half = int(np.ceil(min(reach, 4.0 * extent_m + self.height_m) / cell))
        cells = 2 * half
        low, high = -half * cell, half * cell
        x0, y0 = self._foot_m
        points = _cell_centres((x0 + low, x0 + high), (y0 + low, y0 + high), (cells, cells))
        uv, seen = self.project(points)
        worth = self._worth(points, uv, seen, extent_m / size_px).reshape(cells, cells)
        if not worth.any():
            raise CameraError(
                f"the camera at {self.height_m:g} m sees no ground below "
                f"{np.degrees(np.arctan(self._max_range_m / self.height_m)):.0f} degrees from "
                "straight down; check the mount's pitch (positive is down)"
            )
        score = _window_sums(worth, _COARSE_CELLS)
        rows, columns = np.nonzero(score >= 0.99 * score.max())
        # A window that starts at row r covers r .. r + cells - 1, counted from far to near.
        ahead = high - (rows + 0.5 * _COARSE_CELLS) * cell
        beside = high - (columns + 0.5 * _COARSE_CELLS) * cell
        nearest = int(np.argmin(np.hypot(ahead, beside)))
        quantum = extent_m / _OFFSET_QUANTA
        return _rounded(x0 + ahead[nearest], quantum), _rounded(y0 + beside[nearest], quantum)

    def _worth(self, points: FloatArray, uv: FloatArray, seen: Mask, gsd_m: float) -> FloatArray:
        """How much ground points (N,) are worth: resolution, at most 1, times cos(nadir angle).

        0 where unseen.
        """
        beside = self.project(points + np.array([0.0, gsd_m]))[0] - uv
        ahead = self.project(points + np.array([gsd_m, 0.0]))[0] - uv
        area = np.abs(beside[:, 0] * ahead[:, 1] - beside[:, 1] * ahead[:, 0])
        resolved = np.minimum(np.sqrt(np.nan_to_num(area)), 1.0)
        ground_range = np.linalg.norm(points - self._foot_m, axis=1)
        steepness = self.height_m / np.hypot(self.height_m, ground_range)
        return np.asarray(np.where(seen, resolved * steepness, 0.0))


class GroundPlaneView:
    """A square metric patch of the ground, heading up, where the camera sees most of it."""

    reduction = 1  # near ground is read pixel by pixel

    def __init__(
        self,
        camera: CameraModel,
        T_base_camera: npt.ArrayLike,
        spec: QuerySpec,
        fill_rgb: tuple[float, float, float] = GREY,
        max_nadir_deg: float = MAX_NADIR_DEG,
    ) -> None:
        """Keep the geometry; maps are made when a height is known.

        Args:
            camera: intrinsics.
            T_base_camera: (4, 4) mount, optical frame to base.
            spec: of a ground_plane model.
            fill_rgb: colour of unseen pixels, 0..255.
            max_nadir_deg: ground seen flatter than this is unseen.

        Raises:
            CameraError: the spec is of another view or not square, or the mount is no rigid
                motion.
        """
        if spec.view != "ground_plane":
            raise CameraError(f"model wants a {spec.view} view; this is the ground_plane view")
        if spec.width_px != spec.height_px or not spec.extent_m > 0.0:
            raise CameraError(
                f"ground_plane model wants {spec.width_px}x{spec.height_px} px over "
                f"{spec.extent_m:g} m; the patch must be square with a positive extent"
            )
        self._fitter = FrameFitter(camera)
        self._mount = checked_mount(T_base_camera)
        self._spec = spec
        self._fill = fill_rgb
        self._max_nadir_deg = max_nadir_deg
        self._warps: OrderedDict[object, tuple[Warp, tuple[float, float]]] = OrderedDict()
        self._offsets: dict[object, tuple[float, float]] = {}

    @property
    def needs_height(self) -> bool:
        """True if the mount itself gives no usable camera height."""
        return bool(self._mount[2, 3] < MIN_HEIGHT_M)

    def build(
        self,
        rgb: Image,
        height_m: float | None = None,
        attitude: Attitude | None = None,
        reduction: int = 1,
    ) -> View:
        """The overhead patch of one frame; see `views.ViewBuilder.build`.

        The maps depend on this call's arguments only, never on earlier frames.
        """
        camera = self._fitter.camera_for(rgb, reduction)
        height = float(self._mount[2, 3]) if height_m is None else float(height_m)
        if MIN_HEIGHT_M <= height <= MAX_HEIGHT_M:
            height = _log_rounded(height, HEIGHT_QUANTUM)
        key = camera, height, quantised_attitude(attitude)
        if key not in self._warps:
            self._warps[key] = self._make(*key)
            if len(self._warps) > _KEPT_WARPS:
                self._warps.popitem(last=False)
        self._warps.move_to_end(key)
        warp, offset = self._warps[key]
        return View(warp.apply(rgb), warp.mask, offset)

    def _make(
        self, camera: CameraModel, height_m: float, attitude: Attitude | None
    ) -> tuple[Warp, tuple[float, float]]:
        ground = Ground(camera, self._mount, height_m, attitude, self._max_nadir_deg)
        forward, left = offset = self._offset(camera, height_m, attitude)
        half, size = 0.5 * self._spec.extent_m, self._spec.height_px
        x_range, y_range = (forward - half, forward + half), (left - half, left + half)
        return ground.warp(x_range, y_range, (size, size), self._fill), offset

    def _offset(
        self, camera: CameraModel, height_m: float, attitude: Attitude | None
    ) -> tuple[float, float]:
        """The patch's centre, for the height rounded to 5 % and the attitude to 3 degrees."""
        height = _log_rounded(height_m, 0.05)
        if attitude is not None:
            quantum = float(np.radians(3.0))
            attitude = _rounded(attitude[0], quantum), _rounded(attitude[1], quantum)
        key = camera, height, attitude
        if key not in self._offsets:
            ground = Ground(camera, self._mount, height, attitude, self._max_nadir_deg)
            self._offsets[key] = ground.best_centre(self._spec.extent_m, self._spec.height_px)
        return self._offsets[key]


def overhead(
    rgb: Image,
    camera: CameraModel,
    T_base_camera: npt.ArrayLike,
    height_m: float,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    gsd_m: float,
    attitude: Attitude | None = None,
    max_nadir_deg: float = MAX_NADIR_DEG,
) -> tuple[Image, Mask]:
    """Any rectangle of ground in front of the camera, at any resolution.

    Maps of the last few geometries are kept.

    Args:
        rgb: (H, W, 3) uint8 of the camera's size.
        camera: intrinsics.
        T_base_camera: (4, 4) mount, optical frame to base.
        height_m: height of the camera above ground.
        x_range: nearest and farthest edge ahead of the base origin, m.
        y_range: right and left edge (left is positive), m.
        gsd_m: side of a pixel on the ground.
        attitude: roll and pitch of the base frame against the horizon, rad.
        max_nadir_deg: ground seen flatter than this is unseen.

    Returns:
        Patch (rows, columns, 3), row 0 farthest, column 0 leftmost; and its mask. The centre of
        pixel (r, c) lies `x_range[1] - (r + 0.5) * gsd_m` ahead and
        `y_range[1] - (c + 0.5) * gsd_m` to the left.

    Raises:
        CameraError: frame size, height, ranges or resolution make no sense.
    """
    camera = FrameFitter(camera).camera_for(rgb) if _resized(rgb, camera) else camera
    mount = checked_mount(T_base_camera)
    key = mount.tobytes()
    warp = _overhead_warp(camera, key, height_m, x_range, y_range, gsd_m, attitude, max_nadir_deg)
    return warp.apply(rgb), warp.mask


@lru_cache(maxsize=4)
def _overhead_warp(
    camera: CameraModel,
    mount: bytes,
    height_m: float,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    gsd_m: float,
    attitude: Attitude | None,
    max_nadir_deg: float,
) -> Warp:
    spans = x_range[1] - x_range[0], y_range[1] - y_range[0]
    if not (gsd_m > 0.0 and min(spans) >= gsd_m and max(spans) <= 8192 * gsd_m):
        raise CameraError(
            f"overhead patch of {spans[0]:g} x {spans[1]:g} m at {gsd_m:g} m per pixel; each side "
            "must have 1..8192 pixels"
        )
    shape = round(spans[0] / gsd_m), round(spans[1] / gsd_m)
    matrix = np.frombuffer(mount, dtype=np.float64).reshape(4, 4)
    ground = Ground(camera, matrix, height_m, attitude, max_nadir_deg)
    exact_x = x_range[1] - shape[0] * gsd_m, x_range[1]
    exact_y = y_range[1] - shape[1] * gsd_m, y_range[1]
    return ground.warp(exact_x, exact_y, shape, GREY)


def _resized(rgb: Image, camera: CameraModel) -> bool:
    return getattr(rgb, "shape", None) != (camera.height, camera.width, 3) or rgb.dtype != np.uint8


def _cell_centres(
    x_range: tuple[float, float], y_range: tuple[float, float], shape: tuple[int, int]
) -> FloatArray:
    """Centres (rows * columns, 2) as forward, left; from far to near, from left to right."""
    rows, columns = shape
    x = x_range[1] - (np.arange(rows) + 0.5) * ((x_range[1] - x_range[0]) / rows)
    y = y_range[1] - (np.arange(columns) + 0.5) * ((y_range[1] - y_range[0]) / columns)
    grid = np.meshgrid(x, y, indexing="ij")
    return np.stack([grid[0].ravel(), grid[1].ravel()], axis=-1)


def _window_sums(values: FloatArray, side: int) -> FloatArray:
    """Sums over all side x side windows."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side]
    return np.asarray(sums + table[:-side, :-side])


def _rounded(value: float, quantum: float) -> float:
    return float(np.rint(value / quantum) * quantum) + 0.0


def _log_rounded(value: float, share: float) -> float:
    """The value rounded to a power of (1 + share)."""
    step = np.log1p(share)
    return float(np.exp(np.rint(np.log(value) / step) * step))
