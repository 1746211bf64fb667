# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Places far beyond a local plane, in its coordinates: right in direction and distance.

Within the range of a `LocalFrame` they are its own coordinates. Beyond, they are azimuthal
equidistant about the origin, which agrees with it to 2 m at the border: enough to say that
something is far away and on which side, for the whole globe.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyproj

from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.geo.wgs84 import MAX_RANGE_M, FloatArray, LocalFrame

_GEOD = pyproj.Geod(ellps="WGS84")


def far_xy(plane: LocalFrame, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> FloatArray:
    """Plane coordinates (N, 2), m, of positions (N,) anywhere on the globe; NaN for none."""
    lat = np.atleast_1d(np.asarray(lat_deg, dtype=np.float64))
    lon = np.atleast_1d(np.asarray(lon_deg, dtype=np.float64))
    start = np.full_like(lat, plane.origin.lat_deg), np.full_like(lon, plane.origin.lon_deg)
    azimuth_deg, _, distance_m = _GEOD.inv(start[1], start[0], lon, lat)
    angle = np.radians(azimuth_deg)
    xy: FloatArray = np.column_stack([np.sin(angle), np.cos(angle)])
    xy *= np.asarray(distance_m)[:, None]
    xy[~((np.abs(lat) <= 90.0) & (np.abs(lon) <= 360.0))] = np.nan
    near = np.abs(xy).max(axis=1, initial=0.0) < 0.999 * MAX_RANGE_M
    if near.any():
        xy[near] = plane.to_xy(lat[near], lon[near])
    return xy


def far_latlon(plane: LocalFrame, xy_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Latitudes and longitudes (N,), degrees, of plane coordinates (N, 2) of `far_xy`."""
    count = len(xy_m)
    azimuth_deg = np.degrees(np.arctan2(xy_m[:, 0], xy_m[:, 1]))
    start = np.full(count, plane.origin.lon_deg), np.full(count, plane.origin.lat_deg)
    lon, lat, _ = _GEOD.fwd(*start, azimuth_deg, np.hypot(xy_m[:, 0], xy_m[:, 1]))
    lat, lon = np.asarray(lat), np.asarray(lon)
    near = np.abs(xy_m).max(axis=1, initial=0.0) < 0.999 * MAX_RANGE_M
    if near.any():
        lat[near], lon[near] = plane.to_latlon(xy_m[near])
    return lat, lon


def far_poses(change: PlaneChange, poses: FloatArray) -> FloatArray:
    """Poses (N, 3) of one plane in another, far ones included; their headings stay as they are."""
    if change.source == change.target or not len(poses):
        return poses
    xy = far_xy(change.target, *far_latlon(change.source, poses[:, :2]))
    moved = np.column_stack([xy, wrap_angle(poses[:, 2])])
    limit = 0.99 * MAX_RANGE_M
    near = (np.abs(poses[:, :2]) < limit).all(axis=1) & (np.abs(xy) < limit).all(axis=1)
    if near.any():
        moved[near] = change.poses(poses[near])
    return moved
