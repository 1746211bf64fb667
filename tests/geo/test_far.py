# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Places beyond a plane's range: nothing is refused, near ones are exact."""

import numpy as np
import pytest

from geoloc_ros.geo.far import far_latlon, far_poses, far_xy
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

PLANE = LocalFrame(LatLon(46.5, 6.6))


def test_near_places_are_those_of_the_plane() -> None:
    lat, lon = np.array([46.5, 46.7, 46.3]), np.array([6.6, 6.9, 6.2])
    assert np.array_equal(far_xy(PLANE, lat, lon), PLANE.to_xy(lat, lon))


def test_far_places_go_on_where_the_plane_ends() -> None:
    lat = 46.5 + np.linspace(0.42, 0.48, 200)
    xy = far_xy(PLANE, lat, np.full(200, 6.7))
    assert np.hypot(*np.diff(xy, axis=0).T).max() < 36.0
    assert xy[0, 1] < 50_000.0 < xy[-1, 1]


def test_the_whole_globe_is_somewhere() -> None:
    rng = np.random.default_rng(1)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), rng.uniform(-180, 180, 300)
    xy = far_xy(PLANE, lat, lon)
    back = far_latlon(PLANE, xy)
    assert np.allclose(back[0], lat, atol=1e-6)
    assert np.allclose(np.mod(back[1] - lon + 180.0, 360.0) - 180.0, 0.0, atol=1e-6)
    tokyo = far_xy(PLANE, 35.7, 139.7)[0]
    assert np.hypot(*tokyo) == pytest.approx(9.7e6, rel=0.02)
    assert np.isnan(far_xy(PLANE, [200.0, np.nan], [0.0, 0.0])).all()


def test_far_poses_move_to_another_plane() -> None:
    other = LocalFrame(LatLon(46.6, 6.8))
    change = PlaneChange(PLANE, other)
    poses = np.array([[100.0, 200.0, 0.3], [2e6, -1e6, 0.3], [49_900.0, 0.0, 0.3]])
    moved = far_poses(change, poses)
    assert np.allclose(moved[0], change.poses(poses[:1])[0])
    again = far_poses(PlaneChange(other, PLANE), moved)
    assert np.allclose(again[:, :2], poses[:, :2], atol=2.0)
    assert far_poses(PlaneChange(PLANE, PLANE), poses) is poses
