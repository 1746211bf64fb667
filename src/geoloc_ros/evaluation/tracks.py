# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A trajectory in memory, whoever wrote it: poses along time in one metric frame, or fixes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import GeodesyError, TrajectoryError
from geoloc_ros.evaluation.columns import BoolArray, IntArray
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

UNKNOWN_HEIGHT_M2 = 1e4
"""A variance of z from here on says that the height is not known; the localizer publishes that."""

LARGEST_M = 1e8
"""A coordinate beyond is none: so large is none on Earth, in whatever frame."""


@dataclass(frozen=True, slots=True)
class Track:
    """Poses along time, x and y horizontal, z up.

    Attributes:
        name: where it came from.
        stamp_ns: (N,) strictly ascending; the number of the row where the poses have no stamps.
        stamped: whether they have.
        positions_m: (N, 3); z is NaN where the height is unknown.
        rotations: (N, 3, 3) body in frame; None if there are no orientations.
        cov_xy_yaw: (N, 3, 3) published covariance in m and rad; NaN where none was published, as
            in yaw where there is none; None if there is none at all.
        frame: name of the frame, empty if unknown.
        plane: where on the globe the frame lies, if that is known.
        notes: what its reader noticed, one line each.
    """

    name: str
    stamp_ns: IntArray
    positions_m: FloatArray
    rotations: FloatArray | None = None
    cov_xy_yaw: FloatArray | None = None
    stamped: bool = True
    frame: str = ""
    plane: LocalFrame | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many poses."""
        return len(self.stamp_ns)

    @property
    def has_heights(self) -> bool:
        """Whether every height is known."""
        return bool(np.isfinite(self.positions_m[:, 2]).all())

    @property
    def is_flat(self) -> bool:
        """Whether the height never changes at all, as that of what only knows a plane."""
        heights = self.positions_m[:, 2]
        return len(self) > 1 and float(np.ptp(heights)) == 0.0

    @property
    def planar_poses(self) -> FloatArray:
        """(N, 3) x_m, y_m, yaw_rad; yaw is NaN without orientations."""
        yaw = np.full(len(self), np.nan)
        if self.rotations is not None:
            yaw = np.arctan2(self.rotations[:, 1, 0], self.rotations[:, 0, 0])
        return np.column_stack([self.positions_m[:, :2], yaw])

    def rows(self, which: npt.NDArray[np.intp]) -> Track:
        """The same track with these rows only."""
        return replace(
            self,
            stamp_ns=self.stamp_ns[which],
            positions_m=self.positions_m[which],
            rotations=None if self.rotations is None else self.rotations[which],
            cov_xy_yaw=None if self.cov_xy_yaw is None else self.cov_xy_yaw[which],
        )


@dataclass(frozen=True, slots=True)
class Fixes:
    """Positions on the globe along time.

    Attributes:
        name: where they came from.
        stamp_ns: (N,) strictly ascending.
        lat_deg: (N,).
        lon_deg: (N,).
        altitude_m: (N,), NaN where unknown.
        cov_xy: (N, 2, 2) published covariance of east and north, m^2; NaN where there is none.
        notes: what their reader noticed.
    """

    name: str
    stamp_ns: IntArray
    lat_deg: FloatArray
    lon_deg: FloatArray
    altitude_m: FloatArray
    cov_xy: FloatArray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many fixes."""
        return len(self.stamp_ns)

    def in_plane(self, plane: LocalFrame) -> Track:
        """The fixes as positions on a plane, without orientations.

        East and north of the covariance are taken for the plane's x and y; `geo.wgs84` says by
        how little they differ.

        Raises:
            TrajectoryError: a fix lies beyond the plane's range.
        """
        try:
            xy_m = plane.to_xy(self.lat_deg, self.lon_deg)
        except GeodesyError as error:
            raise TrajectoryError(f"{self.name}: {error}") from error
        cov = np.full((len(self), 3, 3), np.nan)
        cov[:, :2, :2] = self.cov_xy
        return Track(
            name=self.name,
            stamp_ns=self.stamp_ns,
            positions_m=np.column_stack([xy_m, self.altitude_m]),
            cov_xy_yaw=cov if np.isfinite(self.cov_xy).any() else None,
            frame="WGS84",
            plane=plane,
            notes=self.notes,
        )


def in_order(stamp_ns: IntArray) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """Rows in the order of their stamps, the first of equal stamps, and notes if that matters."""
    _, rows = np.unique(stamp_ns, return_index=True)
    notes = []
    back = int(np.sum(np.diff(stamp_ns) < 0))
    if back:
        notes.append(f"the stamps go back {back} times; the poses are taken in order of stamps")
    twice = len(stamp_ns) - len(rows)
    if twice:
        notes.append(f"{twice} poses repeat a stamp and are left out")
    return rows, tuple(notes)


def within_gaps(own_ns: IntArray, stamp_ns: IntArray, max_gap_s: float) -> BoolArray:
    """Whether something sampled is known at other stamps.

    Args:
        own_ns: (M,) strictly ascending stamps of the samples, at least one.
        stamp_ns: (N,) stamps asked about.
        max_gap_s: longest gap between samples that counts as none, s.

    Returns:
        (N,) true at a sample, and between two that are no further apart than that.
    """
    after = np.searchsorted(own_ns, stamp_ns, side="left")
    right = np.minimum(after, len(own_ns) - 1)
    exact = own_ns[right] == stamp_ns
    between = (after > 0) & (after < len(own_ns))
    gap_ns = own_ns[right] - own_ns[np.maximum(after - 1, 0)]
    return np.asarray(exact | (between & (gap_ns <= round(max_gap_s * 1e9))))


def on_one_plane(
    estimate: Track | Fixes, truth: Track | Fixes, origin: LatLon | None
) -> tuple[Track, Track]:
    """Both as tracks whose coordinates can be subtracted.

    Fixes are put on the plane of the other track, or, if both are fixes, on one around the first
    of the truth. Two tracks are taken as they are.

    Args:
        estimate: what is scored.
        truth: what it is scored against.
        origin: where the plane of the one that is no `Fixes` lies, if it does not say so itself.

    Raises:
        TrajectoryError: nothing says where the frame of one of the two lies on the globe, or it
            is said though nobody asks, or a fix is too far from there.
    """
    if isinstance(truth, Fixes):
        if isinstance(estimate, Fixes):
            plane = LocalFrame(origin or LatLon(float(truth.lat_deg[0]), float(truth.lon_deg[0])))
            return estimate.in_plane(plane), truth.in_plane(plane)
        return estimate, truth.in_plane(_plane_of(estimate, truth, origin))
    if isinstance(estimate, Fixes):
        return estimate.in_plane(_plane_of(truth, estimate, origin)), truth
    if origin is not None:
        raise TrajectoryError(
            f"--origin is of no use: neither {estimate.name} nor {truth.name} is in latitude and "
            "longitude"
        )
    return estimate, truth


def _plane_of(track: Track, fixes: Fixes, origin: LatLon | None) -> LocalFrame:
    """Where a track's frame lies on the globe."""
    if origin is not None:
        return LocalFrame(origin)
    if track.plane is None:
        raise TrajectoryError(
            f"{fixes.name} is in latitude and longitude, {track.name} in metres of a frame of its "
            "own; say where that frame's origin lies with --origin LAT LON (x east, y north)"
        )
    return track.plane
