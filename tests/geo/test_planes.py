# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pyproj
import pytest

from geoloc_ros.errors import GeodesyError
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

HERE = LocalFrame(LatLon(59.33, 18.06))
EAST = LocalFrame(LatLon(59.35, 18.40))


def test_places_and_headings_stay_what_they_were_on_the_ground() -> None:
    poses = np.array([[0.0, 0.0, 0.3], [4000.0, -2500.0, -3.1]])
    moved = PlaneChange(HERE, EAST).poses(poses)
    lat, lon = HERE.to_latlon(poses[:, :2])
    assert np.allclose(EAST.to_latlon(moved[:, :2]), (lat, lon), atol=1e-9)
    geod = pyproj.Geod(ellps="WGS84")

    def azimuths(plane: LocalFrame, at: np.ndarray) -> np.ndarray:
        ahead = at[:, :2] + 100.0 * np.column_stack([np.cos(at[:, 2]), np.sin(at[:, 2])])
        (lat_a, lon_a), (lat_b, lon_b) = plane.to_latlon(at[:, :2]), plane.to_latlon(ahead)
        return np.array(geod.inv(lon_a, lat_a, lon_b, lat_b)[0])

    assert np.allclose(azimuths(HERE, poses), azimuths(EAST, moved), atol=1e-3)
    back = PlaneChange(EAST, HERE).poses(moved)
    assert np.allclose(back, poses, atol=1e-6)


def test_a_covariance_turns_with_the_axes() -> None:
    pose, cov = np.array([1000.0, 0.0, 0.5]), np.diag([100.0, 1.0, 0.01])
    moved, turned = PlaneChange(HERE, EAST).pose_and_covariance(pose, cov)
    along = np.array([np.cos(moved[2] - pose[2]), np.sin(moved[2] - pose[2])])
    assert turned[2, 2] == pytest.approx(0.01)
    assert along @ turned[:2, :2] @ along == pytest.approx(100.0)
    assert np.linalg.eigvalsh(turned).min() > 0.0


def test_the_same_plane_changes_nothing_and_a_far_one_is_refused() -> None:
    pose = np.array([[1.0, 2.0, 3.0]])
    assert PlaneChange(HERE, LocalFrame(LatLon(59.33, 18.06))).poses(pose) is pose
    with pytest.raises(GeodesyError):
        PlaneChange(HERE, LocalFrame(LatLon(48.0, 2.0))).poses(pose)
