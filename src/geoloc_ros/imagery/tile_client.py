# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One tile from a server: asked politely, more than once if need be, and looked at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event
from typing import Any, Literal

import geoloc_ros
from geoloc_ros.errors import ImageDecodeError, ImageryError, first_line
from geoloc_ros.imagery.manners import (
    MAX_PAUSE_S,
    Manners,
    Pace,
    load_httpx,
    retry_after_s,
)
from geoloc_ros.imagery.tile_picture import MAX_TILE_BYTES, decode, describe, look
from geoloc_ros.imagery.tile_url import TileUrl
from geoloc_ros.imagery.tiles import Tile

USER_AGENT = (
    f"geoloc_ros/{geoloc_ros.__version__} (offline imagery cache for vehicle localization)"
)
_MISSING = {204, 404, 410}
_BUSY = {429, 503}
_TRY_AGAIN = {408, 425, 500, 502, 504} | _BUSY
_REDIRECTS = 3
_SIDES_PX = (256, 512, 1024)


@dataclass(frozen=True, slots=True)
class Known:
    """What a server said about a tile that is there, for it to compare.

    Attributes:
        etag: its tag, "" if none.
        modified: its date, "" if none.
    """

    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one tile.

    Attributes:
        tile: which.
        kind: `tile` with a picture, `same` as known, `missing` at the server, or `failed`.
        data: the encoded picture.
        format: jpg, png or webp.
        side_px: of the picture.
        known: what to compare next time.
        reason: why it failed.
    """

    tile: Tile
    kind: Literal["tile", "same", "missing", "failed"]
    data: bytes = b""
    format: str = ""
    side_px: int = 0
    known: Known = Known()
    reason: str = ""


class _TryAgainError(Exception):
    """This time it did not work.

    Attributes:
        pause_s: what the server asked for.
        busy: whether the server complained.
        page: whether it sent a page instead of a picture.
    """

    def __init__(
        self, reason: str, pause_s: float = 0.0, busy: bool = False, page: bool = False
    ) -> None:
        super().__init__(reason)
        self.pause_s, self.busy, self.page = pause_s, busy, page


class TileClient:
    """Asks one server for tiles; may be used by several threads."""

    def __init__(self, url: TileUrl, manners: Manners, stop: Event) -> None:
        """Open no connection yet.

        Args:
            url: where tiles are.
            manners: how to ask.
            stop: when set, every wait ends and tiles fail.

        Raises:
            ImageryError: the package httpx is missing.
        """
        httpx = load_httpx()
        self._httpx, self._url, self._manners, self._stop = httpx, url, manners, stop
        self._pace = Pace(manners.rate_hz, stop)
        self._client = httpx.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=manners.timeout_s,
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            limits=httpx.Limits(max_connections=manners.connections),
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(self, tile: Tile, known: Known | None = None, side_px: int | None = None) -> Answer:
        """Ask for a tile, again if it is worth it.

        Args:
            tile: which.
            known: what is there already, to be asked for only if it changed.
            side_px: the side the picture must have; None: any.

        Returns:
            The picture, or why there is none.

        Raises:
            ImageryError: the server refuses, wants a long pause or sends pages: no other tile
                will come either.
        """
        for attempt in range(self._manners.retries + 1):
            self._pace.wait()
            if self._stop.is_set():
                return Answer(tile, "failed", reason="stopped")
            try:
                answer = self._once(tile, known, side_px)
            except _TryAgainError as error:
                failure = error
                self._pause(tile, error, attempt)
            else:
                self._pace.relax()
                return answer
        if failure.page:
            raise ImageryError(
                f"{self._url.shown} sends {failure} instead of tile {tile}: look at the page in a "
                "browser; what has come is kept"
            )
        return Answer(tile, "failed", reason=str(failure))

    def _pause(self, tile: Tile, error: _TryAgainError, attempt: int) -> None:
        if error.pause_s > MAX_PAUSE_S:
            raise ImageryError(
                f"the server asks to wait {error.pause_s:.0f} s before tile {tile} ({error}), "
                f"more than {MAX_PAUSE_S:.0f} s: run the same command again then, perhaps with a "
                "lower --rate; what has come is kept"
            )
        # spread over half the pause, so that connections do not return in step
        spread = 0.75 + 0.5 * ((tile.x * 7 + tile.y * 13) % 16) / 15.0
        pause_s = max(error.pause_s, min(self._manners.backoff_s * 2**attempt, 60.0) * spread)
        if error.busy:
            self._pace.complain(pause_s)
        elif attempt < self._manners.retries:
            self._stop.wait(pause_s)

    def _once(self, tile: Tile, known: Known | None, side_px: int | None) -> Answer:
        headers = {}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.modified:
            headers["If-Modified-Since"] = known.modified
        try:
            with self._client.stream("GET", self._url.of(tile), headers=headers) as response:
                status = response.status_code
                if status == 304 and known is not None:
                    return Answer(tile, "same", known=known)
                if status in _MISSING:
                    return Answer(tile, "missing")
                data = self._body(response)
                if status in _TRY_AGAIN:
                    pause_s = retry_after_s(response.headers.get("Retry-After", ""))
                    raise _TryAgainError(f"HTTP status {status}", pause_s, status in _BUSY)
                if status != 200:
                    raise ImageryError(self._refused(tile, status, data))
                said = Known(
                    response.headers.get("ETag", "")[:512],
                    response.headers.get("Last-Modified", "")[:64],
                )
        except self._httpx.TooManyRedirects as error:
            raise ImageryError(
                f"{self._url.shown} redirects more than {_REDIRECTS} times; use the address it "
                "ends at"
            ) from error
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise _TryAgainError(f"{type(error).__name__}: {first_line(error)}") from error
        return self._looked_at(tile, data, said, side_px)

    def _body(self, response: Any) -> bytes:  # noqa: ANN401 - httpx is imported late
        """All bytes, if they are few and come soon."""
        deadline_s = time.monotonic() + 4.0 * self._manners.timeout_s
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MAX_TILE_BYTES:
                raise _TryAgainError(f"more than {MAX_TILE_BYTES / 1e6:.1f} MB for one tile")
            if time.monotonic() > deadline_s or self._stop.is_set():
                raise _TryAgainError(
                    f"only {size} bytes within {4.0 * self._manners.timeout_s:g} s"
                )
        return b"".join(parts)

    def _looked_at(self, tile: Tile, data: bytes, said: Known, side_px: int | None) -> Answer:
        if not data:
            return Answer(tile, "missing")
        try:
            kind, side = look(data, "it", side_px)
            decode(data, "it", side_px)
            if side not in _SIDES_PX:
                raise ImageDecodeError(
                    f"it is {side}x{side} px; a tile server's pictures have "
                    f"{', '.join(map(str, _SIDES_PX))} px a side"
                )
        except ImageDecodeError as error:
            what = describe(data)
            page = what.startswith(("an HTML", "XML", "JSON"))
            raise _TryAgainError(what if page else first_line(error), page=page) from error
        return Answer(tile, "tile", data, kind, side, said)

    def _refused(self, tile: Tile, status: int, data: bytes) -> str:
        hint = {
            400: "is the zoom beyond what it has, or the template wrong?",
            401: "is a key missing from the address?",
            402: "is the quota used up?",
            403: "are its terms met, is a key missing, has it blocked this address?",
        }.get(status, "check the address in a browser")
        said = f": {describe(data)}" if data else ""
        return (
            f"{self._url.shown} answers tile {tile} with HTTP status {status}{said}; {hint} What "
            "has come is kept"
        )
