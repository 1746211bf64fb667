# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Odometry from consecutive pictures of one camera whose tilt and height are known.

For vehicles without an odometry topic: drones above all. Features are matched between frames;
turn and direction of travel come from the epipolar geometry of a levelled camera (`geo.two_view`),
which sees hills and roofs as they are. The length of the step is what one camera cannot see: it is
carried from step to step by points seen in both (their depth is known from the step before), and
pulled gently to the barometer, which knows the ground below only as well as the land is flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.features import FeatureExtractor, Features, Index, match
from geoloc_ros.datatypes import FloatArray, Image, Motion, Reason
from geoloc_ros.errors import OdometryError
from geoloc_ros.geo import se2
from geoloc_ros.geo.two_frame import TwoFrame, solve

MIN_HEIGHT_M = 0.2


class RayCamera(Protocol):
    """What is needed of a camera: `cameras.models.CameraModel` has it."""

    @property
    def width(self) -> int:
        """Columns of the picture, px."""

    @property
    def height(self) -> int:
        """Rows, px."""

    def unproject(self, uv: npt.ArrayLike) -> FloatArray:
        """Unit directions (N, 3) in the optical frame of pixels (N, 2)."""


@dataclass(frozen=True, slots=True)
class VisualOdometryOptions:
    """How motion is taken from pictures.

    Attributes:
        work_width_px: pictures wider than this are reduced first.
        features: most features per picture.
        match_ratio: a match's distance must be below this share of the second best's.
        min_inliers: fewer agreeing matches are no motion.
        min_inlier_share: likewise, as a share of the matches.
        ground_sigma: relative spread of the ground's depth around the barometer's height.
        ground_decorrelation_m: travel after which the ground below is other ground.
        chain_sigma: relative error of carrying the scale over one step.
        max_speed_mps: faster is a mistake.
        blind_sigma_mps: uncertainty of the speed while nothing can be seen.
        seed: of the sampling in the solver.
    """

    work_width_px: int = 960
    features: int = 1500
    match_ratio: float = 0.8
    min_inliers: int = 25
    min_inlier_share: float = 0.3
    ground_sigma: float = 0.15
    ground_decorrelation_m: float = 80.0
    chain_sigma: float = 0.02
    max_speed_mps: float = 60.0
    blind_sigma_mps: float = 4.0
    seed: int = 0


@dataclass(slots=True)
class _Keyframe:
    stamp_ns: int
    height_m: float
    rays: FloatArray
    features: Features
    depth_m: FloatArray


class PlanarVisualOdometry:
    """Turns pictures into motions of the base frame.

    Stateful: pictures must come in the order of their stamps. Equal inputs give equal motions.
    """

    def __init__(
        self,
        camera: RayCamera,
        T_base_camera: npt.ArrayLike,
        options: VisualOdometryOptions | None = None,
    ) -> None:
        """Set up for one camera.

        Args:
            camera: intrinsics; frames are taken as plain resizes of its size.
            T_base_camera: (4, 4) mount, optical frame to base; the base is level.
            options: see `VisualOdometryOptions`.

        Raises:
            OdometryError: the mount is not a finite (4, 4) matrix.
        """
        mount = np.asarray(T_base_camera, dtype=np.float64)
        if mount.shape != (4, 4) or not np.isfinite(mount).all():
            raise OdometryError(
                f"T_base_camera has shape {mount.shape}; visual odometry needs a finite (4, 4) "
                "mount: give camera.mount or a /tf_static from base to camera"
            )
        self._camera = camera
        self._rotation = mount[:3, :3]
        self._lever = np.array([mount[0, 3], mount[1, 3], 0.0])
        self._mount_height_m = float(mount[2, 3])
        self._options = options or VisualOdometryOptions()
        self._extractor = FeatureExtractor(self._options.features, self._options.work_width_px)
        middle = np.array([self._camera.width / 2, self._camera.height / 2])
        beside = middle + np.array([self._extractor.scale(self._camera.width), 0.0])
        near = self._rays(np.stack([middle, beside]))
        self._pixel_rad = float(np.linalg.norm(near[0] - near[1]))
        self.reset()

    @property
    def ground_depth_m(self) -> float:
        """Depth of the scene below the camera in the latest frame, NaN while unknown.

        The median over the points seen: on hilly land a better height for overhead views than the
        barometer's.
        """
        return self._ground_depth_m

    @property
    def below_horizon_deg(self) -> float:
        """How steeply the camera looks down: 90 straight down, 0 at the horizon."""
        return -float(np.degrees(np.arcsin(np.clip(self._rotation[2, 2], -1.0, 1.0))))

    def reset(self) -> None:
        """Forget everything seen."""
        self._keyframe: _Keyframe | None = None
        self._relative = np.zeros(3)
        self._last_ns = 0
        self._height_m = float("nan")
        self._velocity = np.zeros(3)
        self._log_scale_var = self._options.ground_sigma**2
        self._ground_depth_m = float("nan")
        self._rng = np.random.default_rng(self._options.seed)

    def step(self, stamp_ns: int, rgb: Image | None, height_m: float | None) -> Motion | None:
        """Take the next picture.

        Args:
            stamp_ns: of capture.
            rgb: (H, W, 3) uint8, None if it could not be decoded.
            height_m: height above the take-off point or the ground; None: the last one known, or
                the height of the mount.

        Returns:
            The motion since the previous picture, in the base frame of that; None for the first
            picture. A motion that could not be seen carries `Reason.BAD_ODOMETRY`, continues with
            the last velocity and has a covariance that says so.

        Raises:
            OdometryError: stamps do not increase, or no height was ever given.
        """
        height_m = self._checked(stamp_ns, height_m)
        current = None if rgb is None else self._extract(stamp_ns, rgb, height_m)
        first = self._last_ns == 0 and self._keyframe is None
        from_ns, self._last_ns = self._last_ns, stamp_ns
        if first or self._keyframe is None:
            self._keyframe = current
            self._relative = np.zeros(3)
            return None if first else self._blind(from_ns, stamp_ns)
        if current is None:
            return self._blind(from_ns, stamp_ns)
        return self._between(self._keyframe, current, from_ns)

    # -- one step -----------------------------------------------------------------------------

    def _between(self, key: _Keyframe, current: _Keyframe, from_ns: int) -> Motion:
        options = self._options
        i, j = match(key.features, current.features, options.match_ratio)
        if len(i) < options.min_inliers:
            return self._lost_sight(current, from_ns)
        depth_m = self._ground_depth_m if np.isfinite(self._ground_depth_m) else key.height_m
        rise_m = current.height_m - key.height_m
        found = solve(key.rays[i], current.rays[j], depth_m, rise_m, self._pixel_rad, self._rng)
        agree = int(found.inliers.sum())
        if agree < max(options.min_inliers, options.min_inlier_share * len(i)):
            return self._lost_sight(current, from_ns)
        if found.motion is None:
            return self._hovered(key, current, from_ns, found, (i, j))
        return self._travelled(key, current, from_ns, found, (i, j))

    def _hovered(
        self,
        key: _Keyframe,
        current: _Keyframe,
        from_ns: int,
        found: TwoFrame,
        matches: tuple[Index, Index],
    ) -> Motion:
        """Turned on the spot. The keyframe stays, so that slow drift adds up to something seen."""
        i, j = matches
        relative = self._base_motion(np.zeros(2), found.yaw_rad)
        still_m = max(found.still_sigma_rad, 0.3 * self._pixel_rad) * key.height_m
        cov = np.diag([still_m**2, still_m**2, found.sigma_yaw_rad**2 + np.radians(0.1) ** 2])
        motion = self._motion(from_ns, current.stamp_ns, relative, cov)
        if len(i) < 0.4 * len(key.rays):
            current.depth_m[j] = key.depth_m[i] + current.height_m - key.height_m
            self._keyframe, self._relative = current, np.zeros(3)
        return motion

    def _travelled(
        self,
        key: _Keyframe,
        current: _Keyframe,
        from_ns: int,
        found: TwoFrame,
        matches: tuple[Index, Index],
    ) -> Motion:
        i, j = matches
        if found.motion is None or not np.isfinite(found.depth).any():
            return self._lost_sight(current, from_ns)
        step_m, sigma = self._scale(key, found.depth, key.depth_m[i])
        if step_m > self._options.max_speed_mps * max(
            (current.stamp_ns - key.stamp_ns) / 1e9, 1e-3
        ):
            return self._lost_sight(current, from_ns)
        depth_m = found.depth * step_m + current.height_m - key.height_m
        current.depth_m[j] = depth_m
        self._ground_depth_m = float(np.nanmedian(depth_m))
        shift = step_m * found.motion.direction[:2]
        relative = self._base_motion(shift, found.yaw_rad)
        cov = _covariance(shift, sigma, found)
        motion = self._motion(from_ns, current.stamp_ns, relative, cov)
        self._keyframe, self._relative = current, np.zeros(3)
        return motion

    def _scale(
        self, key: _Keyframe, depth: FloatArray, known_m: FloatArray
    ) -> tuple[float, float]:
        """Length of the step, and its relative uncertainty.

        A Kalman filter on the logarithm of the scale: carried over by points of known depth,
        measured by the barometer over ground that is correlated along the way.
        """
        options = self._options
        ground = np.log(key.height_m / float(np.nanmedian(depth)))
        ratio = np.log(known_m / depth)
        ratio = ratio[np.isfinite(ratio)]
        if len(ratio) < 15:
            self._log_scale_var = options.ground_sigma**2
            return float(np.exp(ground)), options.ground_sigma
        carried = float(np.median(ratio))
        spread = 1.5 * float(np.median(np.abs(ratio - carried))) / np.sqrt(len(ratio) / 4)
        self._log_scale_var += options.chain_sigma**2 + spread**2
        independent = options.ground_decorrelation_m / max(float(np.exp(carried)), 0.1)
        noise = options.ground_sigma**2 * max(1.0, independent)
        gain = self._log_scale_var / (self._log_scale_var + noise)
        self._log_scale_var *= 1.0 - gain
        scale = float(np.exp(carried + gain * (ground - carried)))
        return scale, float(np.sqrt(self._log_scale_var))

    # -- bookkeeping --------------------------------------------------------------------------

    def _checked(self, stamp_ns: int, height_m: float | None) -> float:
        if self._last_ns and stamp_ns <= self._last_ns:
            raise OdometryError(
                f"frame stamp {stamp_ns} ns is not after the previous one, {self._last_ns} ns; "
                "reset visual odometry when the clock jumps"
            )
        if height_m is not None and np.isfinite(height_m) and height_m >= MIN_HEIGHT_M:
            self._height_m = float(height_m)
        elif not np.isfinite(self._height_m):
            if self._mount_height_m < MIN_HEIGHT_M:
                raise OdometryError(
                    f"height above ground is {height_m}; visual odometry needs at least "
                    f"{MIN_HEIGHT_M} m: give a height topic or a mount with its height"
                )
            self._height_m = self._mount_height_m
        return self._height_m

    def _extract(self, stamp_ns: int, rgb: Image, height_m: float) -> _Keyframe:
        features = self._extractor.extract(rgb)
        ratio = np.array([self._camera.width / rgb.shape[1], self._camera.height / rgb.shape[0]])
        rays = self._rays((features.uv + 0.5) * ratio - 0.5)
        nothing = np.full(len(rays), np.nan)
        return _Keyframe(stamp_ns, height_m, rays, features, nothing)

    def _rays(self, uv: FloatArray) -> FloatArray:
        """Levelled unit rays (N, 3) of pixels of the full-size picture."""
        return np.asarray(self._camera.unproject(uv) @ self._rotation.T)

    def _base_motion(self, shift: FloatArray, yaw_rad: float) -> FloatArray:
        """Motion of the base, of which the camera's levelled frame is `lever` away."""
        camera = np.array([shift[0], shift[1], yaw_rad])
        return se2.compose(se2.compose(self._lever, camera), se2.inverse(self._lever))

    def _motion(self, from_ns: int, to_ns: int, relative: FloatArray, cov: FloatArray) -> Motion:
        increment = se2.between(self._relative, relative)
        self._relative = relative
        self._velocity = increment / max((to_ns - from_ns) / 1e9, 1e-3)
        return Motion(from_ns, to_ns, increment, cov)

    def _lost_sight(self, current: _Keyframe, from_ns: int) -> Motion:
        self._keyframe, self._relative = current, np.zeros(3)
        return self._blind(from_ns, current.stamp_ns)

    def _blind(self, from_ns: int, to_ns: int) -> Motion:
        duration_s = (to_ns - from_ns) / 1e9
        increment = self._velocity * duration_s
        sigma_m = (self._options.blind_sigma_mps + float(np.hypot(*self._velocity[:2]))) * (
            duration_s
        )
        sigma_yaw = min(np.pi, 0.5 * duration_s + abs(float(increment[2])))
        cov = np.diag([sigma_m**2, sigma_m**2, sigma_yaw**2])
        self._velocity = 0.7 * self._velocity
        return Motion(from_ns, to_ns, increment, cov, (Reason.BAD_ODOMETRY,))


def _covariance(shift: FloatArray, sigma: float, found: TwoFrame) -> FloatArray:
    """Along the step by scale, across by direction, with floors for what is not modelled."""
    length = float(np.hypot(*shift))
    azimuth = np.arctan2(shift[1], shift[0])
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    rotation = np.array([[cos, -sin], [sin, cos]])
    along = (length * sigma) ** 2 + (0.02 * length) ** 2 + 0.02**2
    across = (length * found.sigma_azimuth_rad) ** 2 + (0.01 * length) ** 2 + 0.02**2
    cov = np.zeros((3, 3))
    cov[:2, :2] = rotation @ np.diag([along, across]) @ rotation.T
    cov[2, 2] = found.sigma_yaw_rad**2 + np.radians(0.1) ** 2
    return cov
