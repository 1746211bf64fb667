# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The place a capable model names: how it is asked, the grammar it answers in, the strict reader.

A model that answers under the grammar cannot break the form; one that does not can say anything,
and what is read here may have been written by a sign in the picture. So: one JSON object with
exactly these keys, short printable texts, numbers within bounds. Everything else is unparseable,
which differs from an answer that names no place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from geoloc_ros.errors import UnparseableError, shown
from geoloc_ros.geo.wgs84 import LatLon

QUESTION = (
    "Where in the world was this picture taken? Look at road markings, signs, driving side, "
    "buildings and plants. Answer with one JSON object with the keys country, region, city, "
    "latitude, longitude and confidence. Use English names, an empty string or null for what you "
    "cannot tell, and a confidence between 0 and 1."
)

MAX_NAME = 60
MAX_ANSWER = 2000

#: GBNF of llama.cpp; a latitude beyond 90 degrees still fits it and is refused when read
GRAMMAR = r"""root ::= "{\"country\": " name ", \"region\": " name ", \"city\": " name place "}"
place ::= ", \"latitude\": " latitude ", \"longitude\": " longitude ", \"confidence\": " share
name ::= "\"" letter{0,60} "\""
letter ::= [^"\\\x00-\x1F\x7F]
latitude ::= "null" | "-"? [0-9] [0-9]? fraction?
longitude ::= "null" | "-"? [0-9] [0-9]? [0-9]? fraction?
share ::= "0" fraction? | "1" | "1.0"
fraction ::= "." [0-9]{1,6}
"""


def json_schema() -> dict[str, Any]:
    """The same as a JSON schema, for runtimes that want one."""
    name = {"type": "string", "maxLength": MAX_NAME}

    def number(bound: float) -> dict[str, Any]:
        return {"type": ["number", "null"], "minimum": -bound, "maximum": bound}

    properties = {
        "country": name,
        "region": name,
        "city": name,
        "latitude": number(90),
        "longitude": number(180),
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """Where a model says a picture was taken.

    Attributes:
        country: name or ISO code; empty if it cannot tell, as the next two.
        region: state, province or county.
        city: town.
        position: coordinates, None if it gives none.
        confidence: what the model says of itself, 0..1.
    """

    country: str = ""
    region: str = ""
    city: str = ""
    position: LatLon | None = None
    confidence: float = 0.0


def parse_place_answer(text: str) -> PlaceAnswer:
    """Read the answer of a model.

    Raises:
        UnparseableError: it is not one JSON object of the agreed form.
    """
    if len(text) > MAX_ANSWER:
        raise UnparseableError(f"an answer of {len(text)} characters; at most {MAX_ANSWER}")
    try:
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise UnparseableError(f"no JSON ({type(error).__name__}): {shown(text)}") from error
    wanted = json_schema()["required"]
    if not isinstance(content, dict) or sorted(content) != sorted(wanted):
        raise UnparseableError(f"not an object with {', '.join(wanted)}: {shown(text)}")
    lat = _number(content["latitude"], 90.0, "latitude")
    lon = _number(content["longitude"], 180.0, "longitude")
    confidence = _number(content["confidence"], 1.0, "confidence")
    if confidence is None or confidence < 0.0:
        raise UnparseableError(f"confidence is {confidence}; it must lie in 0..1")
    if (lat is None) != (lon is None):
        raise UnparseableError("one of latitude and longitude is missing")
    position = None if lat is None or lon is None else LatLon(lat, lon)
    country, region, city = (_name(content[key], key) for key in ("country", "region", "city"))
    return PlaceAnswer(country, region, city, position, confidence)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def _number(value: object, bound: float, key: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnparseableError(f"{key} is {shown(value)}, not a number")
    if not abs(value) <= bound:  # true of NaN, too
        raise UnparseableError(f"{key} is {shown(value)}; at most {bound:g} is possible")
    return float(value)


def _name(value: object, key: str) -> str:
    """A name as given, without spaces around it; null is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME or not value.isprintable():
        raise UnparseableError(
            f"{key} is {shown(value)}, not a printable text of at most {MAX_NAME} characters"
        )
    return value.strip()
