# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lens distortion: from the angle off the optical axis to the radius in the image, and back.

A direction is described by its *field* m: tan(theta) for the polynomial models, theta itself for
`equidistant`, where theta is the angle off the optical axis. `radial` maps m to the distorted
radius in units of the focal length. Formulas: ROS `sensor_msgs/CameraInfo` and REP 151, which
follow OpenCV's `calib3d` (Brown-Conrady; rational extension; Kannala-Brandt 2006).

Coefficients are kept in one canonical order whatever the model: `plumb_bob` and
`rational_polynomial` as (k1, k2, p1, p2, k3, k4, k5, k6), `equidistant` as (k1, k2, k3, k4).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DistortionModel = Literal["plumb_bob", "rational_polynomial", "equidistant"]

#: Polynomial models answer up to this angle off the axis; beyond it tan() explodes.
MAX_PERSPECTIVE_RAD = float(np.radians(85.0))

_TABLE_SIZE = 4096


class Distortion:
    """One lens: the forward map, its inverse, and the range on which both are one to one."""

    def __init__(self, model: DistortionModel, coefficients: npt.ArrayLike) -> None:
        """Tabulate the radial function and find where it stops growing.

        Args:
            model: which formula.
            coefficients: canonical order, see the module; missing ones are zero.
        """
        given = np.asarray(coefficients, dtype=np.float64).ravel()
        self.model: DistortionModel = model
        self.coefficients: FloatArray = np.zeros(4 if model == "equidistant" else 8)
        self.coefficients[: len(given)] = given[: len(self.coefficients)]
        self.is_identity = model != "equidistant" and not np.any(self.coefficients)
        if model == "equidistant":
            field = np.linspace(0.0, np.pi, _TABLE_SIZE)
        else:
            field = np.tan(np.linspace(0.0, MAX_PERSPECTIVE_RAD, _TABLE_SIZE))
        radius = self.radial(field)
        growing = np.isfinite(radius[1:]) & (np.diff(radius) > 0.0)
        end = _TABLE_SIZE if growing.all() else int(np.argmin(growing)) + 1
        self._field, self._radius = field[:end], radius[:end]

    @property
    def field_limit(self) -> float:
        """Largest field m up to which the radius grows; no direction beyond it is trusted."""
        return float(self._field[-1])

    @property
    def radius_limit(self) -> float:
        """Distorted radius at `field_limit`, in focal lengths."""
        return float(self._radius[-1])

    def radial(self, field: FloatArray) -> FloatArray:
        """Distorted radius of a field m, any shape, without tangential terms."""
        k, square = self.coefficients, field * field
        if self.model == "equidistant":
            series = 1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3])))
            return np.asarray(field * series)
        numerator = 1 + square * (k[0] + square * (k[1] + square * k[4]))
        denominator = 1 + square * (k[5] + square * (k[6] + square * k[7]))
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(denominator > 0.0, numerator / denominator, np.nan)
        return np.asarray(field * factor)

    def _tangential(self, xy: FloatArray) -> FloatArray:
        p1, p2 = self.coefficients[2], self.coefficients[3]
        x, y = xy[..., 0], xy[..., 1]
        square = x * x + y * y
        dx = 2 * p1 * x * y + p2 * (square + 2 * x * x)
        dy = p1 * (square + 2 * y * y) + 2 * p2 * x * y
        return np.stack([dx, dy], axis=-1)

    @property
    def _has_tangential(self) -> bool:
        return self.model != "equidistant" and bool(np.any(self.coefficients[2:4]))

    def distort(self, field_xy: FloatArray) -> FloatArray:
        """Field vectors (..., 2) to normalised image points (..., 2) in focal lengths.

        Fields beyond `field_limit` are the caller's to sort out.
        """
        if self.is_identity:
            return field_xy
        field = np.hypot(field_xy[..., 0], field_xy[..., 1])
        small = field < 1e-12
        factor = np.where(small, 1.0, self.radial(field) / np.where(small, 1.0, field))
        points: FloatArray = field_xy * factor[..., None]
        return points + self._tangential(field_xy) if self._has_tangential else points

    def undistort(self, points: FloatArray) -> FloatArray:
        """Normalised image points (..., 2) to field vectors (..., 2).

        Points that no trusted direction reaches give the direction at `field_limit`.
        """
        if self.is_identity:
            return np.clip(points, -self.field_limit, self.field_limit)
        field_xy = self._undistort_radial(points)
        if self._has_tangential:
            for _ in range(12):
                field_xy = self._undistort_radial(points - self._tangential(field_xy))
        return field_xy

    def _undistort_radial(self, points: FloatArray) -> FloatArray:
        radius = np.hypot(points[..., 0], points[..., 1])
        field = np.interp(radius, self._radius, self._field)
        inside = radius < self.radius_limit
        for _ in range(3):
            step = 1e-6 * (1.0 + field)
            slope = (self.radial(field + step) - self.radial(field - step)) / (2.0 * step)
            usable = inside & (slope > 1e-3)
            update = (self.radial(field) - radius) / np.where(usable, slope, 1.0)
            field = np.where(usable, np.clip(field - update, 0.0, self.field_limit), field)
        small = radius < 1e-12
        factor = np.where(small, 1.0, field / np.where(small, 1.0, radius))
        return np.asarray(points * factor[..., None])
