# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pyproj
import pytest
from scipy.spatial.transform import Rotation

from geoloc_ros.errors import GeodesyError
from geoloc_ros.geo import rotations, se2
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("lat", [-60.0, 0.0, 46.5, 60.0])
def test_local_plane_agrees_with_the_true_tangent_plane(lat: float) -> None:
    """Conformance: within 5 km the plane equals PROJ's topocentric ENU to 3 mm."""
    frame = LocalFrame(LatLon(lat, 6.6))
    xy = RNG.uniform(-3500, 3500, (50, 2))
    lat_deg, lon_deg = frame.to_latlon(xy)
    enu = pyproj.Transformer.from_pipeline(
        f"+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart "
        f"+ellps=WGS84 +step +proj=topocentric +ellps=WGS84 +lat_0={lat} +lon_0=6.6 +h_0=0"
    )
    east, north, _ = enu.transform(lon_deg, lat_deg, np.zeros(50))
    convergence = xy[:, 0] / 6.371e6 * np.tan(np.radians(lat))
    bound = 0.003 + np.abs(convergence) * np.abs(xy).sum(axis=1)
    assert (np.hypot(east - xy[:, 0], north - xy[:, 1]) < bound).all()


def test_local_plane_round_trip_and_distances() -> None:
    frame = LocalFrame(LatLon(46.5, 6.6))
    xy = RNG.uniform(-20_000, 20_000, (100, 2))
    np.testing.assert_allclose(frame.to_xy(*frame.to_latlon(xy)), xy, atol=1e-6)
    lat, lon = frame.to_latlon([[0, 0], [3000, 4000]])
    _, _, distance = pyproj.Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])
    assert distance == pytest.approx(5000.0, abs=0.01)


def test_positions_out_of_range_are_refused() -> None:
    frame = LocalFrame(LatLon(46.5, 6.6))
    with pytest.raises(GeodesyError, match="valid to 50000 m"):
        frame.to_xy(47.5, 6.6)
    with pytest.raises(GeodesyError):
        frame.to_latlon([[np.nan, 0.0]])
    with pytest.raises(GeodesyError, match="not a WGS84 position"):
        LatLon(91.0, 0.0)
    with pytest.raises(GeodesyError, match="not a WGS84 position"):
        LatLon(float("nan"), 0.0)


def test_se2_follows_homogeneous_matrices() -> None:
    def matrix(pose: np.ndarray) -> np.ndarray:
        c, s = np.cos(pose[2]), np.sin(pose[2])
        return np.array([[c, -s, pose[0]], [s, c, pose[1]], [0, 0, 1]])

    for a, b in RNG.uniform(-3, 3, (20, 2, 3)):
        np.testing.assert_allclose(matrix(se2.compose(a, b)), matrix(a) @ matrix(b), atol=1e-12)
        np.testing.assert_allclose(matrix(se2.inverse(a)), np.linalg.inv(matrix(a)), atol=1e-12)
        np.testing.assert_allclose(se2.compose(a, se2.between(a, b)), b, atol=1e-12)


def test_wrap_and_circular_mean() -> None:
    np.testing.assert_allclose(se2.wrap_angle([np.pi, -np.pi, 3 * np.pi]), -np.pi)
    assert abs(se2.circular_mean(np.radians([350.0, 10.0]))) < 1e-9


def test_rotations_agree_with_scipy() -> None:
    for rotation in Rotation.random(200, random_state=3):
        quat = rotation.as_quat()
        np.testing.assert_allclose(
            rotations.matrix_from_quat_xyzw(quat), rotation.as_matrix(), atol=1e-12
        )
        again = rotations.quat_xyzw_from_matrix(rotation.as_matrix())
        np.testing.assert_allclose(again * np.sign(again @ quat), quat, atol=1e-9)
        roll, pitch, yaw = rotations.rpy_from_matrix(rotation.as_matrix())
        np.testing.assert_allclose([roll, pitch, yaw], rotation.as_euler("xyz"), atol=1e-9)
        np.testing.assert_allclose(
            rotations.matrix_from_rpy(roll, pitch, yaw), rotation.as_matrix(), atol=1e-9
        )


@pytest.mark.parametrize("quat", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [0, 0, 1]])
def test_no_direction_is_no_rotation(quat: list[float]) -> None:
    with pytest.raises(GeodesyError, match="not a rotation"):
        rotations.matrix_from_quat_xyzw(quat)


def test_optical_axis_points_forward() -> None:
    np.testing.assert_allclose(rotations.R_BODY_OPTICAL @ [0, 0, 1], [1, 0, 0])
    np.testing.assert_allclose(rotations.R_BODY_OPTICAL @ [1, 0, 0], [0, -1, 0])
    np.testing.assert_allclose(rotations.R_BODY_OPTICAL @ [0, 1, 0], [0, 0, -1])
