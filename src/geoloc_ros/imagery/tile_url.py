# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Addresses of tiles: XYZ, TMS, quadkey and WMTS templates."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery.tiles import Tile

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MEANINGS = {
    "z": "zoom", "zoom": "zoom", "tilematrix": "zoom",
    "x": "x", "tilecol": "x",
    "y": "y", "tilerow": "y",
    "-y": "from_south",
    "q": "quadkey", "quadkey": "quadkey",
    "s": "switch:a,b,c",
}  # fmt: skip
#: Parameters of WMTS that are no secret.
_PUBLIC = {
    "service", "request", "version", "layer", "layers", "style", "format", "tilematrixset",
    "tilematrix", "tilerow", "tilecol",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TileUrl:
    """A template: `https://tiles.example.org/{z}/{x}/{y}.jpg`.

    `{z}`, `{x}`, `{y}` (from the north) or `{-y}` (from the south); `{TileMatrix}`, `{TileCol}`,
    `{TileRow}` of WMTS, whose matrix set must be web mercator; `{q}`, a quadkey;
    `{switch:a,b,c}`, servers taken in turn.

    Attributes:
        template: as given.
    """

    template: str

    def __post_init__(self) -> None:
        """Refuse what cannot name a tile.

        Raises:
            ImageryError: no http(s) address, unknown or missing placeholders.
        """
        found = {_meaning(name) for name in _PLACEHOLDER.findall(self.template)}
        try:
            parts = urlsplit(self.of(Tile(0, 0, 0)))
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable or not self.template.isprintable() or " " in self.template:
            raise ImageryError(
                "the address of the tiles must be a template like "
                f"https://tiles.example.org/{{z}}/{{x}}/{{y}}.jpg, not {self.template[:80]!r}"
            )
        whole = {"zoom", "x"} <= found and found & {"y", "from_south"}
        if not whole and "quadkey" not in found:
            raise ImageryError(
                f"{self.shown} does not name a tile: {{z}}, {{x}} and {{y}} are needed ({{-y}} if "
                "rows count from the south, {TileMatrix}, {TileCol}, {TileRow} for WMTS, or {q})"
            )

    def of(self, tile: Tile) -> str:
        """Where a tile is."""
        side = 1 << tile.zoom
        values = {
            "zoom": str(tile.zoom),
            "x": str(tile.x),
            "y": str(tile.y),
            "from_south": str(side - 1 - tile.y),
            "quadkey": _quadkey(tile),
        }

        def value(match: re.Match[str]) -> str:
            meaning = _meaning(match[1])
            if meaning.startswith("switch:"):
                choices = meaning.removeprefix("switch:").split(",")
                return choices[(tile.x + tile.y) % len(choices)]
            return values[meaning]

        return _PLACEHOLDER.sub(value, self.template)

    @property
    def shown(self) -> str:
        """The template without what may be a key: user, password and parameters' values."""
        return without_keys(self.template)

    @property
    def sha256(self) -> str:
        """Identity of the template, keys included, which cannot be read from it."""
        return hashlib.sha256(self.template.encode()).hexdigest()


def without_keys(url: str) -> str:
    """An address without what may be a key: user, password and parameters' values."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    fields = [field.partition("=") for field in parts.query.split("&") if field]
    kept = "&".join(
        f"{name}={text if name.lower() in _PUBLIC else '***'}" for name, _, text in fields
    )
    return f"{parts.scheme}://{host}{parts.path}{'?' if kept else ''}{kept}"


def _meaning(name: str) -> str:
    if name.startswith("switch:") and all(name.removeprefix("switch:").split(",")):
        return name
    meaning = _MEANINGS.get(name.lower())
    if meaning is None:
        raise ImageryError(
            f"{{{name[:40]}}} in the address of the tiles is unknown; known are {{z}}, {{x}}, "
            "{y}, {-y}, {q}, {s}, {switch:a,b,c}, {TileMatrix}, {TileCol}, {TileRow}"
        )
    return meaning


def _quadkey(tile: Tile) -> str:
    return "".join(
        str((tile.x >> level & 1) + 2 * (tile.y >> level & 1))
        for level in range(tile.zoom - 1, -1, -1)
    )
