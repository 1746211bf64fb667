# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera's tilt, and its lens where only the maker's figure is known, from the pictures alone.

A drone's stabilised camera keeps its tilt while the drone turns about the vertical and travels
level. All pairs of pictures then share one pitch and roll: the axis of every turn, and a plane of
travel at right angles to it. Neither needs flat ground. Turns and travel disagree about the tilt
unless the focal length is right, so this comes out as well, and so does the lens' first radial
term. The estimate minimises Sampson distances (Hartley and Zisserman, Multiple View Geometry,
2nd edition, section 11.4.3) in pixels over all pairs at once, robustly.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import least_squares

from geoloc_ros.cameras.features import FeatureExtractor, match
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import checked_mount
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.errors import CameraError
from geoloc_ros.geo import two_frame, two_view
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, rpy_from_matrix, transform

_log = logging.getLogger(__name__)

#: shared unknowns: log focal scale, k1, pitch, roll
_SHARED = 4
#: what is believed before a picture is seen: standard deviations of the shared unknowns
_PRIOR_SIGMA = np.array([0.08, 0.06, np.radians(6.0), np.radians(4.0)])


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """How much is looked at.

    Attributes:
        refine_lens: estimate focal length and k1; only for cameras without lens coefficients.
        min_pairs: fewer moving pairs are no calibration.
        max_pairs: pairs used, spread evenly.
        points_per_pair: matches used of each.
        min_shift_rad: the scene must shift by this much, beyond the turn, between a pair.
        inlier_px: residual beyond which a match counts less, in pixels that are looked at.
        seed: of the sampling.
    """

    refine_lens: bool = True
    min_pairs: int = 8
    max_pairs: int = 80
    points_per_pair: int = 60
    min_shift_rad: float = 0.02
    inlier_px: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SelfCalibration:
    """What the pictures say about camera and mount.

    Attributes:
        camera: with the estimated lens.
        T_base_camera: (4, 4) mount with the estimated pitch and roll.
        pitch_rad: downwards, REP-103.
        roll_rad: REP-103.
        focal_scale: estimated over nominal focal length.
        k1: first radial term of the plumb_bob model.
        sigma: (4,) standard deviations of log focal scale, k1, pitch and roll.
        pairs: how many pairs of pictures were used.
        residual_px: median absolute residual at full size.
    """

    camera: CameraModel
    T_base_camera: FloatArray
    pitch_rad: float
    roll_rad: float
    focal_scale: float
    k1: float
    sigma: FloatArray
    pairs: int
    residual_px: float


@dataclass(slots=True)
class _Pair:
    a: FloatArray
    b: FloatArray
    yaw_rad: float
    azimuth_rad: float
    rise: float


def self_calibrate(
    frames: Sequence[Image],
    camera: CameraModel,
    T_base_camera: npt.ArrayLike,
    heights_m: Sequence[float],
    options: CalibrationOptions | None = None,
) -> SelfCalibration:
    """Estimate mount pitch and roll, and the lens if wanted, from a sequence of pictures.

    Args:
        frames: (H, W, 3) RGB each, in order, neighbours overlapping by half or more.
        camera: nominal intrinsics.
        T_base_camera: (4, 4) nominal mount; pitch right to some 8 degrees.
        heights_m: height of each frame, from the barometer.
        options: see `CalibrationOptions`.

    Raises:
        CameraError: too few pairs of pictures that overlap and move.
    """
    options = options or CalibrationOptions()
    mount = checked_mount(T_base_camera)
    roll, pitch, yaw = rpy_from_matrix(mount[:3, :3] @ R_BODY_OPTICAL.T)
    level = matrix_from_rpy(roll, pitch, 0.0) @ R_BODY_OPTICAL
    pairs = _moving_pairs(frames, camera, level, heights_m, options)
    if len(pairs) < options.min_pairs:
        raise CameraError(
            f"self-calibration found {len(pairs)} pairs of pictures that overlap and move; at "
            f"least {options.min_pairs} are needed: give more frames, or the mount as measured"
        )
    problem = _Problem(pairs, camera, np.array([0.0, 0.0, pitch, roll]), options)
    shared, sigma, residual_px = problem.solve()
    scale, k1, pitch, roll = float(np.exp(shared[0])), *(float(v) for v in shared[1:])
    rotation = matrix_from_rpy(roll, pitch, yaw) @ R_BODY_OPTICAL
    result = SelfCalibration(
        camera=_with_lens(camera, scale, k1) if problem.refine_lens else camera,
        T_base_camera=transform(rotation, mount[:3, 3]),
        pitch_rad=pitch,
        roll_rad=roll,
        focal_scale=scale,
        k1=k1,
        sigma=sigma,
        pairs=len(pairs),
        residual_px=residual_px,
    )
    _log.info(
        "self-calibration from %d pairs: pitch %.2f +- %.2f deg, roll %.2f +- %.2f deg, focal "
        "length x %.4f, k1 %.4f, residual %.2f px",
        len(pairs),
        *np.degrees([pitch, sigma[2], roll, sigma[3]]),
        scale,
        k1,
        residual_px,
    )
    return result


def _with_lens(camera: CameraModel, scale: float, k1: float) -> CameraModel:
    K = camera.K.copy()
    K[0, 0] *= scale
    K[1, 1] *= scale
    return CameraModel(camera.width, camera.height, K, "plumb_bob", np.array([k1, 0.0, 0.0, 0.0]))


def _moving_pairs(
    frames: Sequence[Image],
    camera: CameraModel,
    level: FloatArray,
    heights_m: Sequence[float],
    options: CalibrationOptions,
) -> list[_Pair]:
    """Neighbouring pictures with travel between them, and matches that agree with it."""
    if len(frames) != len(heights_m):
        raise CameraError(
            f"{len(frames)} frames but {len(heights_m)} heights; give one height per frame"
        )
    extractor = FeatureExtractor()
    rng = np.random.default_rng(options.seed)
    found = []
    previous = extractor.extract(frames[0]) if len(frames) else None
    for k in range(1, len(frames)):
        current = extractor.extract(frames[k])
        if previous is not None:
            i, j = match(previous, current)
            rise_m = heights_m[k] - heights_m[k - 1]
            pair = _pair(
                previous.uv[i],
                current.uv[j],
                camera,
                level,
                heights_m[k - 1],
                rise_m,
                options,
                rng,
            )
            if pair is not None:
                found.append(pair)
        previous = current
    keep = np.unique(
        np.linspace(0, len(found) - 1, min(len(found), options.max_pairs)).astype(int)
    )
    return [found[k] for k in keep] if found else []


def _pair(
    uv_a: FloatArray,
    uv_b: FloatArray,
    camera: CameraModel,
    level: FloatArray,
    depth_m: float,
    rise_m: float,
    options: CalibrationOptions,
    rng: np.random.Generator,
) -> _Pair | None:
    if len(uv_a) < 40:
        return None
    a, b = camera.unproject(uv_a) @ level.T, camera.unproject(uv_b) @ level.T
    pixel = FeatureExtractor().scale(camera.width) / float(camera.K[0, 0])
    # wide limits: the nominal tilt may be off by degrees
    solved = two_frame.solve(a, b, depth_m, rise_m, pixel, rng, inlier_px=4.0)
    if solved.motion is None or solved.inliers.sum() < 30:
        return None
    turned = b @ two_view.rotate_z(solved.yaw_rad).T
    shift = np.linalg.norm(turned - a, axis=1)[solved.inliers]
    if float(np.median(shift)) < options.min_shift_rad:
        return None
    chosen = np.flatnonzero(solved.inliers)
    if len(chosen) > options.points_per_pair:
        chosen = rng.choice(chosen, options.points_per_pair, replace=False)
    motion = solved.motion
    return _Pair(uv_a[chosen], uv_b[chosen], motion.yaw_rad, motion.azimuth_rad, motion.rise)


class _Problem:
    """All pairs at once: shared lens and tilt, one yaw and one azimuth per pair."""

    def __init__(
        self,
        pairs: list[_Pair],
        camera: CameraModel,
        shared: FloatArray,
        options: CalibrationOptions,
    ) -> None:
        self.refine_lens = options.refine_lens and not camera.D.any()
        self._focal_px = float(camera.K[0, 0])
        self._start = shared
        self._limit_px = options.inlier_px * FeatureExtractor().scale(camera.width)
        self._sigma = _PRIOR_SIGMA.copy()
        if not self.refine_lens:
            self._sigma[:2] = 1e-6
        self._count = len(pairs)
        self._of = np.repeat(np.arange(len(pairs)), [len(pair.a) for pair in pairs])
        self._motions = np.array([[pair.yaw_rad, pair.azimuth_rad] for pair in pairs])
        self._rise = np.array([pair.rise for pair in pairs])[self._of]
        self._a = _normalised(camera, np.concatenate([pair.a for pair in pairs]))
        self._b = _normalised(camera, np.concatenate([pair.b for pair in pairs]))

    def solve(self) -> tuple[FloatArray, FloatArray, float]:
        """Shared unknowns (4,), their standard deviations (4,), median residual in px."""
        x0 = np.concatenate([self._start, self._motions.ravel()])
        scale = np.concatenate([self._sigma, np.full(2 * self._count, 0.05)])
        found = least_squares(
            self._residuals,
            x0,
            jac_sparsity=self._sparsity(),
            x_scale=scale,
            loss="soft_l1",
            f_scale=self._limit_px,
            max_nfev=60,
        )
        residual = self._residuals(found.x)[: len(self._of)]
        jacobian = found.jac.toarray() if sparse.issparse(found.jac) else np.asarray(found.jac)
        spread = 1.48 * float(np.median(np.abs(residual)))
        # matches of one picture share errors of its attitude: a pair counts as a few of them
        shared_errors = np.sqrt(len(self._of) / (5.0 * self._count))
        covariance = np.linalg.pinv(jacobian.T @ jacobian)
        sigma = np.sqrt(np.diag(covariance)[:_SHARED]) * max(spread, 0.1) * shared_errors
        return found.x[:_SHARED], sigma, float(np.median(np.abs(residual)))

    def _residuals(self, x: FloatArray) -> FloatArray:
        """Signed Sampson distances in px, then the priors."""
        level = matrix_from_rpy(float(x[3]), float(x[2]), 0.0) @ R_BODY_OPTICAL
        motions = x[_SHARED:].reshape(-1, 2)[self._of]
        a = _lens_removed(self._a, x[0], x[1])
        b = _lens_removed(self._b, x[0], x[1])
        error = _sampson(a @ level.T, b @ level.T, motions, self._rise, level)
        prior = (x[:_SHARED] - self._start) / self._sigma
        return np.concatenate([error * self._focal_px * np.exp(x[0]), prior])

    def _sparsity(self) -> sparse.lil_matrix:
        rows = len(self._of)
        pattern = sparse.lil_matrix((rows + _SHARED, _SHARED + 2 * self._count), dtype=np.int8)
        pattern[:, :_SHARED] = 1
        for column in range(2):
            pattern[np.arange(rows), _SHARED + 2 * self._of + column] = 1
        return pattern


def _normalised(camera: CameraModel, uv: FloatArray) -> FloatArray:
    rays = camera.unproject(uv)
    return np.asarray(rays[:, :2] / rays[:, 2:])


def _lens_removed(xy: FloatArray, log_scale: float, k1: float) -> FloatArray:
    """Directions (N, 3) with z = 1: focal length corrected, then plumb_bob's k1 undone."""
    distorted = xy * np.exp(-log_scale)
    plain = distorted
    for _ in range(4):
        plain = distorted / (1.0 + k1 * np.sum(plain**2, axis=1, keepdims=True))
    return np.column_stack([plain, np.ones(len(xy))])


def _sampson(
    a: FloatArray, b: FloatArray, motions: FloatArray, rise: FloatArray, level: FloatArray
) -> FloatArray:
    """Sampson distances (N,) in the normalised picture planes, one motion per match."""
    cos, sin = np.cos(motions[:, 0]), np.sin(motions[:, 0])
    turned = np.column_stack(
        [cos * b[:, 0] - sin * b[:, 1], sin * b[:, 0] + cos * b[:, 1], b[:, 2]]
    )
    t = np.column_stack([np.cos(motions[:, 1]), np.sin(motions[:, 1]), rise])
    normal_b = np.cross(t, a)
    normal_a = np.cross(turned, t)
    error = np.sum(normal_b * turned, axis=1)
    back = np.column_stack(
        [
            cos * normal_b[:, 0] + sin * normal_b[:, 1],
            -sin * normal_b[:, 0] + cos * normal_b[:, 1],
            normal_b[:, 2],
        ]
    )
    line_b, line_a = (back @ level)[:, :2], (normal_a @ level)[:, :2]
    weight = np.sum(line_a**2, axis=1) + np.sum(line_b**2, axis=1)
    return np.asarray(error / np.sqrt(np.maximum(weight, 1e-12)))
