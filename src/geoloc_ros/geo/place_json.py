# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Mixtures over the globe as JSON and GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geoloc_ros.errors import PriorError, first_line, shown
from geoloc_ros.geo.place_mixture import MAX_COMPONENTS, MAX_LABEL, PlaceMixture

SCHEMA = 1
MAX_BYTES = 1_000_000
_NUMBERS = ("lat_deg", "lon_deg", "sigma_m", "share")


def mixture_rows(mixture: PlaceMixture) -> list[dict[str, Any]]:
    """One object per component."""
    columns = (mixture.lat_deg, mixture.lon_deg, mixture.sigma_m, mixture.shares)
    return [
        {**dict(zip(_NUMBERS, map(float, numbers), strict=True)), "label": label}
        for *numbers, label in zip(*columns, mixture.labels, strict=True)
    ]


def dump_mixture(mixture: PlaceMixture) -> str:
    """A mixture as JSON text, which `parse_mixture` reads."""
    content = {
        "schema": SCHEMA,
        "source": mixture.source,
        "global_share": mixture.global_share,
        "components": mixture_rows(mixture),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def dump_geojson(mixture: PlaceMixture) -> str:
    """A mixture as GeoJSON points (RFC 7946) with sigma and share as properties."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [row.pop("lon_deg"), row.pop("lat_deg")]},
            "properties": row,
        }
        for row in mixture_rows(mixture)
    ]
    content = {
        "type": "FeatureCollection",
        "source": mixture.source,
        "global_share": mixture.global_share,
        "features": features,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def parse_mixture(text: str, name: str = "prior") -> PlaceMixture:
    """Read the JSON text of a mixture.

    Args:
        text: what `dump_mixture` writes; `global_share` may be left out.
        name: what to call it in messages.

    Raises:
        PriorError: it is no mixture.
    """
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"it is longer than {MAX_BYTES} characters")
        content = json.loads(text, parse_constant=_no_constant)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f'an object with "schema": {SCHEMA} is expected')
        rows, source = content["components"], _text(content["source"])
        if not isinstance(rows, list) or len(rows) > MAX_COMPONENTS:
            raise ValueError(f"components must be a list of at most {MAX_COMPONENTS}")
        lat, lon, sigma, share = ([_number(row[key]) for row in rows] for key in _NUMBERS)
        labels = [_text(row.get("label", "")) for row in rows]
        return PlaceMixture.of(lat, lon, sigma, share, source, labels)
    except KeyError as error:
        raise PriorError(f"{name} is no prior: {error} is missing") from error
    except (
        ValueError, TypeError, AttributeError, OverflowError, RecursionError, PriorError,
    ) as error:  # fmt: skip
        raise PriorError(f"{name} is no prior: {first_line(error)}") from error


def read_mixture(path: Path) -> PlaceMixture:
    """Read the file of a mixture.

    Raises:
        PriorError: it cannot be read or is no mixture.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise PriorError(f"cannot read prior {path}: {first_line(error)}") from error
    return parse_mixture(text, str(path))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is no number")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_LABEL:
        raise ValueError(f"{shown(value)} is no printable text of at most {MAX_LABEL} characters")
    return value
