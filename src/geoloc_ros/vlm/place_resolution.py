# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From the names a model gives to a mixture that is as wide as such answers are wrong.

A model that names a town has often the state right and the town wrong. So each answer becomes
three rings: the town or coordinates, its state, its country, and the rest of the world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoloc_ros.geo.place_mixture import FloatArray, PlaceMixture, distance_m, mean_place
from geoloc_ros.vlm.gazetteer import Gazetteer
from geoloc_ros.vlm.place_answer import PlaceAnswer

MAX_TOWNS = 4  # of one name
MAX_STATES = 12  # of one country; the others are one component
PEOPLE_PER_KM2 = 2500.0
TOWN_SIGMA_M = (3_000.0, 40_000.0)
STATE_SIGMA_M = 30_000.0
POSITION_SIGMA_M = 25_000.0
AGREE_M = 100_000.0

_Towns = npt.NDArray[np.int64]
_Part = tuple[float, float, float, float, str]  # share, lat, lon, sigma, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Widening:
    """How often an answer at full confidence is right, ring by ring.

    The defaults are what zero-shot models reach on pictures of streets to within one digit; fit
    them on held-out pictures of your own. They add up to less than one.

    Attributes:
        town: within the named town, or about as near to the given coordinates.
        state: in its state but not there.
        country: in its country but in no such state.
    """

    town: float = 0.4
    state: float = 0.2
    country: float = 0.2


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of an answer.

    Attributes:
        mixture: of places; nothing but the global share if no name is known.
        unknown: names the gazetteer does not have, or not in that country.
    """

    mixture: PlaceMixture
    unknown: tuple[str, ...] = ()


def resolve(
    answer: PlaceAnswer,
    gazetteer: Gazetteer,
    widening: Widening | None = None,
    source: str = "vlm",
) -> Resolved:
    """Look up an answer and widen it.

    Where a ring is not known, its share belongs to the next wider one that is.

    Args:
        answer: of a model.
        gazetteer: of names.
        widening: how often such answers are right.
        source: who answered.
    """
    widening = widening or Widening()
    country = gazetteer.find_country(answer.country)
    state = _one_country(gazetteer, gazetteer.find_state(answer.region, country))
    towns = _towns(answer, gazetteer, country, state)
    unknown = [
        name
        for name, found in (
            (answer.country, country),
            (answer.region, len(state)),
            (answer.city, len(towns)),
        )
        if name and not found
    ]
    parts, left = _town_parts(answer, gazetteer, towns, widening.town)
    anchor = _anchor(answer, gazetteer, towns)
    if not len(state) and anchor is not None and not (country and answer.region):
        state = _same_state(gazetteer, anchor, country)
    left += widening.state
    if len(state):
        parts.append((left, *_spread(gazetteer, state), _label(gazetteer, state[0], 1)))
        left = 0.0
    country = country or _country_of(gazetteer, anchor, state)
    if country:
        parts += _country_parts(gazetteer, country, left + widening.country)
    share, lat, lon, sigma, labels = zip(*parts, strict=True) if parts else ((), (), (), (), ())
    mixture = PlaceMixture.of(lat, lon, sigma, np.array(share) * answer.confidence, source, labels)
    return Resolved(mixture, tuple(unknown))


def _one_country(gazetteer: Gazetteer, state: _Towns) -> _Towns:
    """Of states that bear one name in several countries, that with the most people."""
    codes, country = np.unique(gazetteer.country[state], return_inverse=True)
    if len(codes) < 2:
        return state
    people = np.bincount(country, weights=gazetteer.population[state])
    return np.asarray(state[country == np.argmax(people)])


def _towns(answer: PlaceAnswer, gazetteer: Gazetteer, country: str, state: _Towns) -> _Towns:
    """Towns an answer may mean: in its state if there is one there, near its coordinates."""
    towns = gazetteer.find_towns(answer.city, country) if answer.city else _NONE
    inside = towns[np.isin(towns, state)]
    towns = inside if len(inside) else towns
    if answer.position is not None and len(towns):
        near = _away(gazetteer, answer, towns) <= AGREE_M
        towns = towns[near] if near.any() else towns
    return towns[:MAX_TOWNS]


_NONE: _Towns = np.zeros(0, dtype=np.int64)


def _away(gazetteer: Gazetteer, answer: PlaceAnswer, towns: _Towns) -> FloatArray:
    position = answer.position
    if position is None:
        return np.full(len(towns), np.inf)
    lat, lon = gazetteer.lat_deg[towns], gazetteer.lon_deg[towns]
    return np.asarray(distance_m(position.lat_deg, position.lon_deg, lat, lon)[0])


def _town_parts(
    answer: PlaceAnswer, gazetteer: Gazetteer, towns: _Towns, share: float
) -> tuple[list[_Part], float]:
    """The innermost ring, and the share that found no place in it."""
    at = answer.position
    parts: list[_Part] = []
    agree = bool((_away(gazetteer, answer, towns) <= AGREE_M).any())
    if at is not None and not agree:
        given = 0.5 * share if len(towns) else share
        parts.append((given, at.lat_deg, at.lon_deg, POSITION_SIGMA_M, "coordinates"))
        share -= given
    if not len(towns):
        return parts, 0.0 if at is not None else share
    people = gazetteer.population[towns]
    sigma = 1000.0 * np.sqrt(people / PEOPLE_PER_KM2 / np.pi)
    for town, weight, wide in zip(
        towns, people / people.sum(), np.clip(sigma, *TOWN_SIGMA_M), strict=True
    ):
        lat, lon = gazetteer.lat_deg[town], gazetteer.lon_deg[town]
        parts.append((share * weight, lat, lon, wide, _label(gazetteer, town, 0)))
    return parts, 0.0


def _anchor(answer: PlaceAnswer, gazetteer: Gazetteer, towns: _Towns) -> int | None:
    """The town whose state and country an answer speaks of."""
    if len(towns):
        return int(towns[0])
    if answer.position is None:
        return None
    town = gazetteer.town_near(answer.position.lat_deg, answer.position.lon_deg)
    near = _away(gazetteer, answer, np.array([town]))[0] <= 2.0 * AGREE_M
    return town if near else None


def _same_state(gazetteer: Gazetteer, town: int, country: str) -> _Towns:
    if not gazetteer.state[town] or (country and gazetteer.country[town] != country):
        return _NONE
    same = gazetteer.state == gazetteer.state[town]
    return np.flatnonzero(same & (gazetteer.country == gazetteer.country[town]))


def _country_of(gazetteer: Gazetteer, anchor: int | None, state: _Towns) -> str:
    if anchor is not None:
        return str(gazetteer.country[anchor])
    return str(gazetteer.country[state[0]]) if len(state) else ""


def _spread(gazetteer: Gazetteer, towns: _Towns) -> tuple[float, float, float]:
    """Where the people of some towns live: latitude, longitude, sigma."""
    lat, lon, sigma = mean_place(
        gazetteer.lat_deg[towns], gazetteer.lon_deg[towns], gazetteer.population[towns]
    )
    return lat, lon, max(sigma, STATE_SIGMA_M)


def _country_parts(gazetteer: Gazetteer, country: str, share: float) -> list[_Part]:
    """A country as its states, weighed by people."""
    towns = np.flatnonzero(gazetteer.country == country)
    if not len(towns):
        return []
    names, state = np.unique(gazetteer.state[towns], return_inverse=True)
    people = np.bincount(state, weights=gazetteer.population[towns])
    order = np.argsort(-people, kind="stable")
    groups = [towns[state == one] for one in order[: MAX_STATES - 1]]
    if len(names) >= MAX_STATES:
        groups.append(towns[np.isin(state, order[MAX_STATES - 1 :])])
    whole = float(people.sum())
    country_name = gazetteer.country_names.get(country, country)
    return [
        (
            share * float(gazetteer.population[group].sum()) / whole,
            *_spread(gazetteer, group),
            country_name if number == MAX_STATES - 1 else _label(gazetteer, group[0], 1),
        )
        for number, group in enumerate(groups)
    ]


def _label(gazetteer: Gazetteer, town: int, first: int) -> str:
    """Town, state, country; without the town if `first` is 1."""
    country = gazetteer.country_names.get(str(gazetteer.country[town]), "")
    names = (gazetteer.name[town], str(gazetteer.state[town]), country)[first:]
    return ", ".join(dict.fromkeys(name for name in names if name))
