# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Robust planar motion from matched rays: the inner solver of `visual_odometry`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.geo import two_view
from geoloc_ros.geo.two_view import FloatArray, PlanarMotion

#: matches looked at when hypotheses are scored; all of them when the best one is refined
_SCORED = 250
_REFINEMENTS = 8
#: share of pairs that must agree with a mere turn before it is called one
_STILL_SHARE = 0.7
#: depth is not read off smaller parallaxes
_MIN_PARALLAX_PX = 3.0
#: how much looser the turn may fit when no direction of travel can be seen
_LOOSE = 4.0


@dataclass(frozen=True, slots=True)
class TwoFrame:
    """What two pictures say about the motion between them.

    Attributes:
        motion: up to scale; None when the camera only turned.
        yaw_rad: turn.
        inliers: (N,) pairs that agree.
        sigma_yaw_rad: standard deviation of the turn.
        sigma_azimuth_rad: of the direction of travel; pi when there was none.
        depth: (N,) depth of each pair's point below the first camera per metre travelled, NaN
            where the parallax says nothing.
        still_sigma_rad: apparent motion left when only a turn is assumed, rad.
    """

    motion: PlanarMotion | None
    yaw_rad: float
    inliers: npt.NDArray[np.bool_]
    sigma_yaw_rad: float
    sigma_azimuth_rad: float
    depth: FloatArray
    still_sigma_rad: float


def turn_only(
    a: FloatArray, b: FloatArray, limit_rad: float
) -> tuple[float, npt.NDArray[np.bool_], float]:
    """Best turn about the vertical without any travel.

    Args:
        a: (N, 3) unit rays of the first picture.
        b: (N, 3) unit rays of the second.
        limit_rad: residual below which a pair agrees.

    Returns:
        yaw in rad, pairs (N,) that agree, and their root mean square residual in rad.
    """
    turns = np.arctan2(a[:, 1], a[:, 0]) - np.arctan2(b[:, 1], b[:, 0])
    turns = (turns + np.pi) % (2.0 * np.pi) - np.pi
    order = np.sort(np.concatenate([turns, turns + 2.0 * np.pi]))
    window = max(2, len(turns) // 3)
    # the narrowest window that holds a third of all turns
    start = int(np.argmin(order[window : window + len(turns)] - order[: len(turns)]))
    yaw = float(np.median(order[start : start + window]))
    agree = np.zeros(len(a), dtype=bool)
    residual = np.full(len(a), np.inf)
    for _ in range(5):
        residual = np.linalg.norm(a - b @ two_view.rotate_z(yaw).T, axis=1)
        agree = residual < limit_rad
        if agree.sum() < 3:
            break
        p, q = a[agree, :2], b[agree, :2]
        sine = np.sum(q[:, 0] * p[:, 1] - q[:, 1] * p[:, 0])
        yaw = float(np.arctan2(sine, np.sum(p * q)))
    spread = float(np.sqrt(np.mean(residual[agree] ** 2))) if agree.any() else np.inf
    return (yaw + np.pi) % (2.0 * np.pi) - np.pi, agree, spread


def solve(
    a: FloatArray,
    b: FloatArray,
    depth_m: float,
    rise_m: float,
    pixel_rad: float,
    rng: np.random.Generator,
    hypotheses: int = 300,
    inlier_px: float = 1.5,
) -> TwoFrame:
    """Yaw and direction of travel from matched rays, some of them wrong.

    Hypotheses come from pairs of points taken to lie on one level plane; they are judged by the
    epipolar geometry, which needs no plane.

    Args:
        a: (N, 3) unit rays of the first picture, levelled.
        b: (N, 3) unit rays of the second.
        depth_m: rough depth of the ground below the first camera.
        rise_m: climb between the pictures.
        pixel_rad: angle of a pixel.
        rng: source of the sampling.
        hypotheses: how many pairs are tried.
        inlier_px: residual below which a pair agrees.

    Returns:
        The solution; with `inliers` all False if there is none.
    """
    limit = inlier_px * pixel_rad
    hovered = _hovered(a, b, pixel_rad, limit)
    if hovered is not None and abs(rise_m) < 0.01 * depth_m:
        return hovered
    start = _best_hypothesis(a, b, depth_m, rise_m, limit, rng, hypotheses)
    if start is not None:
        motion, sigmas, inliers = _refine(a, b, start, limit)
        points, parallax = two_view.triangulate(a, b, motion.yaw_rad, motion.direction)
        depth = -points[:, 2]
        depth[~inliers | (parallax < _MIN_PARALLAX_PX * pixel_rad) | (depth <= 0.0)] = np.nan
        if np.isfinite(depth).sum() > 0.3 * len(a):
            return TwoFrame(motion, motion.yaw_rad, inliers, sigmas[0], sigmas[1], depth, 0.0)
    # too small a parallax to see a direction, too large to be called standing
    loose = _hovered(a, b, pixel_rad, _LOOSE * limit)
    return _failure(len(a)) if loose is None else loose


def _hovered(a: FloatArray, b: FloatArray, pixel_rad: float, limit_rad: float) -> TwoFrame | None:
    yaw, agree, spread = turn_only(a, b, limit_rad)
    if agree.mean() < _STILL_SHARE:
        return None
    sigma = 2.0 * max(spread, 0.3 * pixel_rad) / np.sqrt(max(1.0, float(agree.sum()) / 10.0))
    return TwoFrame(None, yaw, agree, sigma, np.pi, np.full(len(a), np.nan), spread)


def _failure(count: int) -> TwoFrame:
    nothing = np.full(count, np.nan)
    return TwoFrame(None, 0.0, np.zeros(count, dtype=bool), np.pi, np.pi, nothing, np.inf)


def _best_hypothesis(
    a: FloatArray,
    b: FloatArray,
    depth_m: float,
    rise_m: float,
    limit_rad: float,
    rng: np.random.Generator,
    count: int,
) -> PlanarMotion | None:
    p, q = two_view.lift(a, depth_m), two_view.lift(b, depth_m + rise_m)
    usable = np.flatnonzero(np.isfinite(p[:, 0]) & np.isfinite(q[:, 0]))
    if len(usable) < 8:
        return None
    picks = rng.choice(usable, (count, 2))
    apart = np.linalg.norm(p[picks[:, 0]] - p[picks[:, 1]], axis=1) > 0.1 * depth_m
    yaw, shift, mismatch = two_view.rigid_from_two(p[picks], q[picks])
    keep = np.flatnonzero(apart & (mismatch < 0.05))
    judges = usable if len(usable) <= _SCORED else rng.choice(usable, _SCORED, replace=False)
    travelled = np.hypot(shift[keep, 0], shift[keep, 1])
    keep, travelled = keep[travelled > 1e-6], travelled[travelled > 1e-6]
    if not len(keep):
        return None
    rise = np.clip(rise_m / travelled, -5.0, 5.0)
    direction = np.column_stack([shift[keep] / travelled[:, None], rise])
    error = _errors_of_many(a[judges], b[judges], yaw[keep], direction)
    best = int(np.argmax(np.maximum(0.0, 1.0 - (error / limit_rad) ** 2).sum(axis=1)))
    azimuth = float(np.arctan2(direction[best, 1], direction[best, 0]))
    return PlanarMotion(float(yaw[keep[best]]), azimuth, float(rise[best]))


def _errors_of_many(
    a: FloatArray, b: FloatArray, yaw_rad: FloatArray, direction: FloatArray
) -> FloatArray:
    """`two_view.sampson_error` (M, N) of N pairs under each of M motions."""
    t = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    cos, sin = np.cos(yaw_rad)[:, None], np.sin(yaw_rad)[:, None]
    x, y = cos * b[:, 0] - sin * b[:, 1], sin * b[:, 0] + cos * b[:, 1]
    z = np.broadcast_to(b[:, 2], x.shape)
    normal = [t[:, 1:2] * a[:, 2] - t[:, 2:3] * a[:, 1]]
    normal.append(t[:, 2:3] * a[:, 0] - t[:, 0:1] * a[:, 2])
    normal.append(t[:, 0:1] * a[:, 1] - t[:, 1:2] * a[:, 0])
    error = normal[0] * x + normal[1] * y + normal[2] * z
    # |t x ray|^2 = 1 - (t . ray)^2 for unit vectors
    along_a = t @ a.T
    along_b = t[:, 0:1] * x + t[:, 1:2] * y + t[:, 2:3] * z
    weight = 2.0 - along_a**2 - along_b**2 - 2.0 * error**2
    return np.asarray(error / np.sqrt(np.maximum(weight, 1e-12)))


def _refine(
    a: FloatArray, b: FloatArray, start: PlanarMotion, limit_rad: float
) -> tuple[PlanarMotion, tuple[float, float], npt.NDArray[np.bool_]]:
    """Iteratively reweighted Gauss-Newton on yaw and azimuth (Tukey's biweight)."""
    x = np.array([start.yaw_rad, start.azimuth_rad])
    width = 3.0 * limit_rad
    normal = np.eye(2)
    for _ in range(_REFINEMENTS):
        error = _errors(a, b, x, start.rise)
        weight = np.maximum(0.0, 1.0 - (error / width) ** 2) ** 2
        step = 1e-6
        jacobian = np.stack(
            [(_errors(a, b, x + step * unit, start.rise) - error) / step for unit in np.eye(2)],
            axis=-1,
        )
        normal = jacobian.T @ (weight[:, None] * jacobian) + 1e-12 * np.eye(2)
        x = x - np.clip(np.linalg.solve(normal, jacobian.T @ (weight * error)), -0.2, 0.2)
        width = max(limit_rad, 0.7 * width)
    error = _errors(a, b, x, start.rise)
    inliers = np.abs(error) < limit_rad
    spread = float(np.sqrt(np.mean(error[inliers] ** 2))) if inliers.any() else limit_rad
    sigma = spread * np.sqrt(np.diag(np.linalg.inv(normal)))
    yaw = float((x[0] + np.pi) % (2.0 * np.pi) - np.pi)
    motion = PlanarMotion(yaw, float(x[1]), start.rise)
    return motion, (float(sigma[0]), float(sigma[1])), inliers


def _errors(a: FloatArray, b: FloatArray, x: FloatArray, rise: float) -> FloatArray:
    direction = np.array([np.cos(x[1]), np.sin(x[1]), rise])
    return two_view.sampson_error(a, b, float(x[0]), direction)
