# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera: where a point lands in the picture, and where a pixel looks.

Points are in the camera's optical frame (z forward, x right, y down). Pixel centres are integers:
the picture spans [-0.5, width - 0.5] x [-0.5, height - 0.5].

A panorama that was stitched already is a camera, too: `equirectangular`, whose columns are equal
steps of azimuth and whose rows are equal steps of elevation; the focal lengths are pixels per
radian, and the principal point looks along z.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.distortion import Distortion, DistortionModel, FloatArray
from geoloc_ros.errors import CameraError

_log = logging.getLogger(__name__)

#: Largest relative difference of aspect ratio that still counts as a plain resize.
MAX_ASPECT_CHANGE = 0.005
#: Focal length in picture widths: 0.1 is 157 degrees wide, 20 is 2.9 degrees.
FOCAL_RANGE_WIDTHS = (0.1, 20.0)
#: Largest ratio of the two focal lengths.
MAX_FOCAL_RATIO = 2.0
#: Distance of the principal point from the middle, in picture sides, that earns a warning.
MAX_OFF_CENTRE = 0.2
MIN_SIDE_PX = 16

LensModel = DistortionModel | Literal["equirectangular"]

_D_LENGTHS: dict[str, tuple[int, ...]] = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
    "equirectangular": (0,),
}
_NEXT = "check camera_info (uncalibrated drivers publish zeros) or calibrate the camera"


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A calibrated camera. Compare and hash by identity.

    Attributes:
        width: columns of the picture, px.
        height: rows, px.
        K: (3, 3) intrinsics, px.
        distortion_model: which lens formula.
        D: lens coefficients in the order of CameraInfo.
    """

    width: int
    height: int
    K: FloatArray
    distortion_model: LensModel = "plumb_bob"
    D: FloatArray = ()  # type: ignore[assignment]  # becomes an array below

    def __post_init__(self) -> None:
        """Freeze and check the values.

        Raises:
            CameraError: see `from_camera_info`.
        """
        for name in ("K", "D"):
            try:
                array = np.array(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise CameraError(f"{name} is no array of numbers: {error}; {_NEXT}") from error
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _check_intrinsics(self.width, self.height, self.K)
        _check_distortion(self.distortion_model, self.D)
        _check_reach(self)

    @staticmethod
    def from_camera_info(
        width: int,
        height: int,
        distortion_model: str,
        D: Sequence[float] | FloatArray,
        K: Sequence[float] | FloatArray,
    ) -> CameraModel:
        """A camera from the fields of a CameraInfo message.

        An empty `distortion_model` with no coefficients is an undistorted camera, as simulators
        publish it. `equirectangular` with K all zero is a panorama that goes once round.

        Raises:
            CameraError: no size, K zero, NaN or of wrong shape, focal lengths not positive or
                implausible, principal point outside the picture, unknown distortion model, wrong
                number of coefficients, or a lens formula that folds back inside the picture.
        """
        intrinsics = np.asarray(K, dtype=np.float64).ravel()
        if intrinsics.size != 9:
            raise CameraError(f"K has {intrinsics.size} values, 9 are needed; {_NEXT}")
        model = distortion_model or ("plumb_bob" if len(D) == 0 else "")
        if model not in _D_LENGTHS:
            raise CameraError(
                f"distortion model {distortion_model!r} is unknown; known: "
                f"{', '.join(_D_LENGTHS)}; rectify the images or recalibrate with one of these"
            )
        if model == "equirectangular" and not intrinsics.any():
            return CameraModel.all_round(width, height)
        camera = CameraModel(width, height, intrinsics.reshape(3, 3), model, np.asarray(D))  # type: ignore[arg-type]
        share = intrinsics[[2, 5]] / (width, height)
        if np.abs(share - 0.5).max() > MAX_OFF_CENTRE:
            _log.warning(
                "principal point (%.0f, %.0f) px is far from the middle of %dx%d px: if the "
                "images are not cropped, this CameraInfo is of another resolution",
                *intrinsics[[2, 5]],
                width,
                height,
            )
        return camera

    @staticmethod
    def from_hfov(width: int, height: int, hfov_deg: float) -> CameraModel:
        """An undistorted camera with square pixels and the principal point in the middle.

        Args:
            width: columns, px.
            height: rows, px.
            hfov_deg: horizontal field of view, from outer edge to outer edge.

        Raises:
            CameraError: field of view outside 1..170 degrees, or no size.
        """
        if not 1.0 <= hfov_deg <= 170.0:
            raise CameraError(
                f"horizontal field of view is {hfov_deg} degrees; a pinhole camera has 1..170: "
                "give CameraInfo for a fisheye lens"
            )
        focal = 0.5 * width / np.tan(np.radians(0.5 * hfov_deg))
        centre = 0.5 * (width - 1), 0.5 * (height - 1)
        K = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
        return CameraModel(width, height, K)

    @staticmethod
    def all_round(width: int, height: int) -> CameraModel:
        """An equirectangular panorama that goes once round, with the horizon in its middle row.

        Args:
            width: columns, px.
            height: rows, px; a degree is as high as it is wide.

        Raises:
            CameraError: no size.
        """
        per_rad = width / (2.0 * np.pi)
        K = np.diag([per_rad, per_rad, 1.0])
        K[:2, 2] = 0.5 * (width - 1), 0.5 * (height - 1)
        return CameraModel(width, height, K, "equirectangular")

    @property
    def hfov_deg(self) -> float:
        """Horizontal field of view between the outer edges of the middle row."""
        if self.distortion_model == "equirectangular":
            return float(np.degrees(self.width / self.K[0, 0]))
        edges = np.array([[-0.5, self.K[1, 2]], [self.width - 0.5, self.K[1, 2]]])
        left, right = self.unproject(edges)
        return float(np.degrees(np.arccos(np.clip(left @ right, -1.0, 1.0))))

    @cached_property
    def distortion(self) -> Distortion:
        """The lens; a stitched panorama has none.

        Raises:
            CameraError: it is a panorama.
        """
        if self.distortion_model == "equirectangular":
            raise CameraError("a stitched panorama has no lens; use the camera it was made from")
        coefficients = np.zeros(0)
        if self.distortion_model == "equidistant":
            coefficients = self.D
        elif self.D.size:
            k3_and_on = self.D[4:8]
            coefficients = np.concatenate([self.D[:4], k3_and_on])
        return Distortion(self.distortion_model, coefficients)

    def project(self, points_optical: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Where points land.

        Args:
            points_optical: (N, 3) in the optical frame, any unit.

        Returns:
            Pixels (N, 2) as column, row, NaN where the lens formula does not reach; and (N,) True
            where the point is really seen: in front, within the lens formula's one-to-one range
            and inside the picture.
        """
        points = np.asarray(points_optical, dtype=np.float64).reshape(-1, 3)
        if self.distortion_model == "equirectangular":
            return self._project_angles(points)
        x, y, z = points[:, 0], points[:, 1], points[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.distortion_model == "equidistant":
                rho = np.hypot(x, y)
                field = np.arctan2(rho, z)
                scale = np.where(rho > 0.0, field / np.where(rho > 0.0, rho, 1.0), 0.0)
                reached = (field <= self.distortion.field_limit) & ((rho > 0.0) | (z > 0.0))
            else:
                scale = np.where(z > 0.0, 1.0 / np.where(z > 0.0, z, 1.0), np.nan)
                reached = np.hypot(x, y) * scale <= self.distortion.field_limit
            field_xy = np.stack([x * scale, y * scale], axis=-1)
            field_xy[~reached] = np.nan
            normalised = self.distortion.distort(field_xy)
        u = self.K[0, 0] * normalised[:, 0] + self.K[0, 1] * normalised[:, 1] + self.K[0, 2]
        v = self.K[1, 1] * normalised[:, 1] + self.K[1, 2]
        return np.stack([u, v], axis=-1), self._inside(u, v) & reached

    def _project_angles(self, points: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Like `project`, where columns and rows are angles."""
        x, y, z = points.T
        level = np.hypot(x, z)
        uv = np.column_stack([np.arctan2(x, z), np.arctan2(y, level)])
        uv = uv * self.K[(0, 1), (0, 1)] + self.K[:2, 2]
        return uv, self._inside(uv[:, 0], uv[:, 1]) & (np.hypot(level, y) > 0.0)

    def _inside(self, u: FloatArray, v: FloatArray) -> npt.NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            across = (u >= -0.5) & (u <= self.width - 0.5)
            return np.asarray(across & (v >= -0.5) & (v <= self.height - 0.5))

    def unproject(self, uv: npt.ArrayLike) -> FloatArray:
        """Unit directions (N, 3) in the optical frame of pixels (N, 2) as column, row.

        Pixels beyond the lens formula's one-to-one range look where its edge looks.
        """
        pixels = np.asarray(uv, dtype=np.float64).reshape(-1, 2)
        y = (pixels[:, 1] - self.K[1, 2]) / self.K[1, 1]
        x = (pixels[:, 0] - self.K[0, 2] - self.K[0, 1] * y) / self.K[0, 0]
        if self.distortion_model == "equirectangular":
            return np.column_stack([np.sin(x) * np.cos(y), np.sin(y), np.cos(x) * np.cos(y)])
        field_xy = self.distortion.undistort(np.stack([x, y], axis=-1))
        if self.distortion_model == "equidistant":
            theta = np.hypot(field_xy[:, 0], field_xy[:, 1])
            # sin(theta) / theta, finite on the axis
            sideways = field_xy * np.sinc(theta / np.pi)[:, None]
            return np.column_stack([sideways, np.cos(theta)])
        directions = np.column_stack([field_xy, np.ones(len(field_xy))])
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))

    def rays(self) -> FloatArray:
        """Unit directions (height, width, 3) in the optical frame of every pixel centre."""
        v, u = np.mgrid[0 : self.height, 0 : self.width]
        uv = np.stack([u.ravel(), v.ravel()], axis=-1)
        return self.unproject(uv).reshape(self.height, self.width, 3)

    def scaled(self, width: int, height: int) -> CameraModel:
        """The same camera after a plain resize of its pictures.

        Raises:
            CameraError: the new size has another aspect ratio by more than `MAX_ASPECT_CHANGE`,
                which means a crop or padding that CameraInfo does not tell about.
        """
        if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
            raise CameraError(
                f"frame is {width}x{height} px; each side must be at least {MIN_SIDE_PX} px"
            )
        sx, sy = width / self.width, height / self.height
        if abs(sx / sy - 1.0) > MAX_ASPECT_CHANGE:
            raise CameraError(
                f"frame is {width}x{height} px but CameraInfo says {self.width}x{self.height} px; "
                f"the aspect ratios differ by {abs(sx / sy - 1.0):.1%} (limit "
                f"{MAX_ASPECT_CHANGE:.1%}), so it was cropped or padded: give the CameraInfo of "
                "these very images"
            )
        K = self.K.copy()
        K[0] *= sx
        K[1] *= sy
        # Pixel centres are integers: the outer edge at -0.5 stays where it is.
        K[0, 2] += 0.5 * sx - 0.5
        K[1, 2] += 0.5 * sy - 0.5
        return CameraModel(width, height, K, self.distortion_model, self.D)

    def reduced(self, factor: int) -> CameraModel:
        """The same camera where `factor` x `factor` pixels became one, the last ones partly."""
        K = self.K.copy()
        K[:2] /= factor
        K[:2, 2] += 0.5 / factor - 0.5
        width, height = -(-self.width // factor), -(-self.height // factor)
        return CameraModel(width, height, K, self.distortion_model, self.D)


def _check_intrinsics(width: int, height: int, K: FloatArray) -> None:
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
        raise CameraError(
            f"camera size is {width}x{height} px; at least {MIN_SIDE_PX} px per side are needed: "
            f"{_NEXT}"
        )
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise CameraError(f"K is {K.tolist()}; it must be 3x3 and finite: {_NEXT}")
    if not K.any():
        raise CameraError(f"K is all zero, which means uncalibrated: {_NEXT}")
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    if fx <= 0.0 or fy <= 0.0:
        raise CameraError(f"focal lengths are {fx:g}, {fy:g} px; they must be positive: {_NEXT}")
    if abs(K[1, 0]) > 1e-9 or np.abs(K[2] - (0.0, 0.0, 1.0)).max() > 1e-9:
        raise CameraError(f"K is {K.tolist()}; its lower triangle must be 0 and K[8] 1: {_NEXT}")
    low, high = FOCAL_RANGE_WIDTHS
    ratio = max(fx / fy, fy / fx)
    if not low * width <= fx <= high * width or ratio > MAX_FOCAL_RATIO:
        raise CameraError(
            f"focal lengths {fx:g}, {fy:g} px are implausible for {width}x{height} px; fx must "
            f"lie in {low * width:g}..{high * width:g} px and differ from fy by less than a "
            f"factor {MAX_FOCAL_RATIO:g}: {_NEXT}"
        )
    if not (0.0 <= cx <= width - 1 and 0.0 <= cy <= height - 1):
        raise CameraError(
            f"principal point ({cx:g}, {cy:g}) px lies outside the {width}x{height} px picture; "
            "is this the CameraInfo of another resolution or crop?"
        )


def _check_distortion(model: str, D: FloatArray) -> None:
    lengths = _D_LENGTHS[model]
    if D.ndim != 1 or len(D) not in lengths:
        raise CameraError(
            f"{model} has {D.size} coefficients; it takes "
            f"{' or '.join(str(n) for n in lengths)}: {_NEXT}"
        )
    if not np.isfinite(D).all():
        raise CameraError(f"D is {D.tolist()}; it must be finite: {_NEXT}")
    if D[8:].any():
        raise CameraError(
            f"thin prism or tilt coefficients {D[8:].tolist()} are not supported; "
            "recalibrate with 8 coefficients or rectify the images"
        )


def _check_reach(camera: CameraModel) -> None:
    """The lens formula must be one to one over the inner half of the picture at least."""
    if camera.distortion_model == "equirectangular":
        _check_angles(camera)
        return
    half = 0.25 * min(camera.width / camera.K[0, 0], camera.height / camera.K[1, 1])
    reach = camera.distortion.radius_limit
    if reach < half:
        raise CameraError(
            f"distortion {camera.D.tolist()} folds back {reach * camera.K[0, 0]:.0f} px from the "
            f"centre of a {camera.width}x{camera.height} px picture; at least "
            f"{half * camera.K[0, 0]:.0f} px are needed: {_NEXT}"
        )


def _check_angles(camera: CameraModel) -> None:
    """A panorama shows no direction twice and has no skew."""
    across, down = camera.width / camera.K[0, 0], camera.height / camera.K[1, 1]
    if across > 2.0 * np.pi * 1.001 or down > np.pi * 1.001 or camera.K[0, 1] != 0.0:
        raise CameraError(
            f"an equirectangular picture of {np.degrees(across):.1f} x {np.degrees(down):.1f} "
            f"degrees with skew {camera.K[0, 1]:g}; at most 360 x 180 degrees without skew make "
            "sense: K holds pixels per radian, or zeros for one that goes once round"
        )
