# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A mixture over the globe is a density everywhere, and never gives up on anywhere."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc_ros.errors import PriorError
from geoloc_ros.geo.place_json import dump_geojson, dump_mixture, parse_mixture, read_mixture
from geoloc_ros.geo.place_mixture import (
    EARTH_AREA_M2,
    LEAST_GLOBAL_SHARE,
    MAX_COMPONENTS,
    PlaceMixture,
    distance_m,
    mean_place,
)
from geoloc_ros.geo.place_support import MAX_GAIN, Support
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame


def globe(rows: int = 540, columns: int = 360):
    """Places all over the globe, and the share of its area that each stands for."""
    lat = ((np.arange(rows) + 0.5) / rows - 0.5) * 180.0
    lon = (np.arange(columns) + 0.5) / columns * 360.0 - 180.0
    lat, lon = (axis.ravel() for axis in np.meshgrid(lat, lon, indexing="ij"))
    area = np.cos(np.radians(lat))
    return lat, lon, area / area.sum()


@pytest.mark.parametrize(
    ("lat", "lon"), [(0.0, 0.0), (48.0, 179.99), (90.0, 0.0), (-89.9, -180.0), (10.0, 541.0)]
)
@pytest.mark.parametrize("sigma", [3e5, 2e6, 1e7])
def test_the_density_adds_up_to_one_anywhere_on_the_globe(lat, lon, sigma) -> None:
    mixture = PlaceMixture.of([lat], [lon], [sigma], [0.8], "test")
    lat, lon, area = globe()
    density = np.exp(mixture.log_density(lat, lon))
    assert (density * area).sum() * EARTH_AREA_M2 == pytest.approx(1.0, rel=2e-3)


def test_a_small_component_is_the_planes_gaussian() -> None:
    mixture = PlaceMixture.of([46.5], [6.6], [2000.0], [0.9], "test")
    plane = LocalFrame(LatLon(46.5, 6.6))
    xy = np.array([[0.0, 0.0], [1500.0, 0.0], [-800.0, 2500.0], [3000.0, -3000.0]])
    expected = 0.9 * np.exp(-0.5 * (xy**2).sum(axis=1) / 2000.0**2) / (2 * np.pi * 2000.0**2)
    expected += 0.1 / EARTH_AREA_M2
    found = np.exp(mixture.log_density(*plane.to_latlon(xy)))
    assert found == pytest.approx(expected, rel=0.02)  # sphere against ellipsoid


def test_neighbours_across_the_antimeridian_and_the_pole_are_near() -> None:
    mixture = PlaceMixture.of([50.0, 89.9], [179.95, 0.0], [5e3, 2e4], [0.4, 0.4], "test")
    east, west, far = mixture.log_density([50.0, 50.0, 50.0], [179.9, -179.9, 170.0])
    assert abs(east - west) < 3.0
    assert far < east - 5.0
    here, beyond = mixture.log_density([89.95, 89.95], [0.0, 180.0])
    assert abs(here - beyond) < 1.0
    assert distance_m(50.0, 179.95, 50.0, -179.95)[0, 0] == pytest.approx(7150.0, rel=0.01)


def test_the_product_is_the_product_of_the_densities() -> None:
    one = PlaceMixture.of([48.0, 80.0], [170.0, 0.0], [1.5e6, 3e6], [0.3, 0.3], "one", ["a", "b"])
    two = PlaceMixture.of([40.0, -70.0], [-170.0, 10.0], [2e6, 4e6], [0.4, 0.2], "two", ["c", "d"])
    lat, lon, area = globe()
    wanted = one.log_density(lat, lon) + two.log_density(lat, lon)
    both = one.times(two)
    wanted -= np.log((np.exp(wanted) * area).sum() * EARTH_AREA_M2)
    assert both.global_share > LEAST_GLOBAL_SHARE
    assert both.log_density(lat, lon) == pytest.approx(wanted, abs=5e-3)
    assert both.source == "one & two"
    assert set(both.labels) >= {"a", "c", "a & c"}
    assert np.allclose(two.times(one).log_density(lat, lon), both.log_density(lat, lon))


def test_nothing_changes_nothing() -> None:
    said = PlaceMixture.of([48.0], [11.0], [1e5], [0.7], "said")
    both = PlaceMixture.nothing("").times(said)
    assert np.allclose(both.shares, said.shares)
    assert np.allclose(both.sigma_m, said.sigma_m)
    assert np.allclose(said.flattened(0.0).log_density(0.0, 0.0), -np.log(EARTH_AREA_M2))
    assert len(said.flattened(0.0)) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-90, 90), st.floats(-400, 400), st.floats(1e-3, 1e9), st.floats(0, 1)),
        max_size=6,
    ),
    st.floats(0, 1),
)
def test_the_global_share_never_reaches_zero(rows, reliability) -> None:
    lat, lon, sigma, share = (np.array([row[i] for row in rows]) for i in range(4))
    total = share.sum()
    mixture = PlaceMixture.of(lat, lon, sigma, share / max(total, 1.0), "test")
    for found in (mixture, mixture.flattened(reliability), mixture.times(mixture)):
        assert found.global_share >= LEAST_GLOBAL_SHARE - 1e-12
        assert len(found) <= MAX_COMPONENTS
        density = found.log_density([-90.0, 0.0, 12.0, 90.0], [0.0, 180.0, 7.0, -999.0])
        assert np.isfinite(density).all()


@pytest.mark.parametrize(
    "values",
    [
        ([91.0], [0.0], [1.0], [0.1]),
        ([math.nan], [0.0], [1.0], [0.1]),
        ([0.0], [math.inf], [1.0], [0.1]),
        ([0.0], [0.0], [0.0], [0.1]),
        ([0.0], [0.0], [math.nan], [0.1]),
        ([0.0], [0.0], [1.0], [-0.1]),
        ([0.0], [0.0], [1.0], [math.nan]),
        ([0.0], [0.0], [1.0], [1.1]),
        ([0.0, 1.0], [0.0], [1.0], [0.1]),
    ],
)
def test_what_is_no_mixture_is_refused(values) -> None:
    with pytest.raises(PriorError):
        PlaceMixture.of(*values, "test")


def test_places_that_are_none_and_reliabilities_out_of_bounds_are_refused() -> None:
    mixture = PlaceMixture.of([0.0], [0.0], [1e4], [0.5], "test")
    with pytest.raises(PriorError, match="position"):
        mixture.log_density([0.0, math.nan], [0.0, 0.0])
    for reliability in (-0.1, 1.1, math.nan):
        with pytest.raises(PriorError, match="reliability"):
            mixture.flattened(reliability)


def test_the_centre_of_places_around_the_antimeridian_is_between_them() -> None:
    lat, lon, spread = mean_place([0.0, 0.0], [179.0, -179.0], [1.0, 1.0])
    assert abs(lat) < 1e-9
    assert abs(abs(lon) - 180.0) < 1e-9
    assert spread == pytest.approx(111_195.0 / np.sqrt(2.0), rel=1e-3)
    with pytest.raises(PriorError):
        mean_place([0.0], [0.0], [0.0])


# -- JSON -----------------------------------------------------------------------------------


def test_json_goes_out_and_comes_back(tmp_path) -> None:
    mixture = PlaceMixture.of(
        [48.0, -33.0], [11.0, 151.0], [1e5, 2e4], [0.5, 0.2], "vlm", ["Bayern", "São Paulo"]
    )
    path = tmp_path / "prior.json"
    path.write_text(dump_mixture(mixture), encoding="utf-8")
    again = read_mixture(path)
    assert dump_mixture(again) == dump_mixture(mixture)
    points = json.loads(dump_geojson(mixture))["features"]
    assert points[0]["geometry"]["coordinates"] == [11.0, 48.0]
    assert points[0]["properties"]["share"] == 0.5


_ROW = '{"lat_deg": 1, "lon_deg": 2, "sigma_m": 3, "share": 0.5, "label": "x"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"schema": 2, "source": "a", "components": []}',
        '{"schema": 1, "source": "a"}',
        '{"schema": 1, "source": 7, "components": []}',
        '{"schema": 1, "source": "a\\u001b[31m", "components": []}',
        '{"schema": 1, "source": "a", "components": 5}',
        '{"schema": 1, "source": "a", "components": [5]}',
        '{"schema": 1, "source": "a", "components": [{"lat_deg": 1}]}',
        '{"schema": 1, "source": "a", "components": [' + _ROW.replace("3", "NaN") + "]}",
        '{"schema": 1, "source": "a", "components": [' + _ROW.replace("3", "true") + "]}",
        '{"schema": 1, "source": "a", "components": [' + _ROW.replace("3", "1e999") + "]}",
        '{"schema": 1, "source": "a", "components": [' + _ROW.replace("3", "9" * 400) + "]}",
        '{"schema": 1, "source": "a", "components": [' + _ROW.replace("1", "91") + "]}",
        '{"schema": 1, "source": "a", "components": [' + ",".join([_ROW] * 65) + "]}",
        "[" * 100_000,
        '{"a":' * 5_000,
        " " * 1_000_001,
    ],
)
def test_what_is_no_prior_is_refused_with_one_short_line(text) -> None:
    with pytest.raises(PriorError) as caught:
        parse_mixture(text, "prior.json")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(PriorError, match="nowhere"):
        read_mixture(tmp_path / "nowhere.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PriorError, match=r"bytes\.json"):
        read_mixture(tmp_path / "bytes.json")


# -- a vehicle in one of a few places ----------------------------------------------------------


def support(count: int = 4) -> Support:
    lat, lon = np.array([48.0, 48.05, 35.0, -32.0])[:count], np.array([11.0, 11.0, 137.0, 116.0])
    return Support(lat, lon[:count], np.full(count, 200.0), np.full(count, 1.0 / count))


def test_shares_of_places_follow_the_prior_and_add_up() -> None:
    prior = PlaceMixture.of([48.0, 35.0], [11.0, 137.0], [2e4, 2e4], [0.6, 0.2], "test")
    shares = support().shares(prior)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[:2].sum() == pytest.approx(0.6 + 0.1)
    assert shares[2] == pytest.approx(0.2 + 0.05)
    assert shares[3] == pytest.approx(0.05)


def test_what_reaches_no_place_is_divided_evenly() -> None:
    wrong = PlaceMixture.of([-80.0, 0.0], [0.0, -150.0], [1e4, 1e2], [0.5, 0.48], "test")
    assert support().shares(wrong) == pytest.approx(np.full(4, 0.25))
    factor = support().log_factor(wrong, support().lat_deg, support().lon_deg)
    assert factor == pytest.approx(np.zeros(4))


def test_a_wrong_prior_costs_a_place_a_bounded_amount() -> None:
    wrong = PlaceMixture.of([48.0], [11.0], [1.0], [1.0], "test")
    factor = support().log_factor(wrong, [48.0, -32.0], [11.0, 116.0])
    assert factor[0] <= np.log(MAX_GAIN)
    assert factor[1] == pytest.approx(np.log(LEAST_GLOBAL_SHARE))


def test_no_places_are_no_support() -> None:
    empty = np.zeros(0)
    with pytest.raises(PriorError, match="index"):
        Support(empty, empty, empty, empty)
