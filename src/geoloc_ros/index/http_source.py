# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An index on a web server, as plain files: asked politely, resumed by byte ranges, bounded."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import geoloc_ros
from geoloc_ros.errors import IndexCorruptError, IndexPullError, first_line
from geoloc_ros.imagery.manners import MAX_PAUSE_S, Manners, Pace, load_httpx, retry_after_s
from geoloc_ros.imagery.tile_picture import describe
from geoloc_ros.imagery.tile_url import without_keys
from geoloc_ros.index.manifest import NAME, Manifest
from geoloc_ros.index.source import MAX_MANIFEST_BYTES, Told, read_manifest

USER_AGENT = f"geoloc_ros/{geoloc_ros.__version__} (index pull)"
_MISSING = {404, 410}
_BUSY = {429, 503}
_TRY_AGAIN = {408, 425, 500, 502, 504} | _BUSY
_REDIRECTS = 3
#: A try that brought this much was not in vain; a server that takes long for less is too slow.
_MOVED_BYTES = 64 << 10
#: Its time to bring that much, as a multiple of the time-out.
_PATIENCE = 4.0
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_AGAIN = "run the same command again: what has come is kept"

T = TypeVar("T")
Response = Any  # httpx.Response; httpx is imported late


class _TryAgainError(Exception):
    """This time it did not work.

    Attributes:
        pause_s: what the server asked for.
        busy: whether the server complained.
        moved: whether a part came all the same.
    """

    def __init__(self, reason: str, pause_s: float = 0.0, busy: bool = False) -> None:
        super().__init__(reason)
        self.pause_s, self.busy, self.moved = pause_s, busy, False


@dataclass
class _Job:
    """A file on its way.

    Attributes:
        name: relative to the index.
        size: bytes it must have.
        into: where it goes.
        told: hears of every change of its size.
        most: bytes it has had at most.
    """

    name: str
    size: int
    into: Path
    told: Told
    most: int


class _Watch:
    """Sees that an answer does not take for ever, a byte at a time."""

    def __init__(self, manners: Manners) -> None:
        self._patience_s = _PATIENCE * manners.timeout_s
        self._since_s, self._bytes = time.monotonic(), 0

    def took(self, count: int) -> None:
        """Bytes have come.

        Raises:
            _TryAgainError: too few for the time they took.
        """
        self._bytes += count
        if time.monotonic() > self._since_s + self._patience_s:
            if self._bytes < _MOVED_BYTES:
                raise _TryAgainError(f"only {self._bytes} bytes within {self._patience_s:g} s")
            self._since_s, self._bytes = time.monotonic(), 0


class HttpSource:
    """Files below one address; may be used by several threads. See `Source`."""

    def __init__(self, url: str, manners: Manners) -> None:
        """Open no connection yet.

        Raises:
            IndexPullError: no usable address.
            ImageryError: the package httpx is missing.
        """
        self._base = _checked(url)
        self._manners, self._stop = manners, Event()
        self._pace = Pace(manners.rate_hz, self._stop)
        self._httpx = load_httpx()
        self._client = self._httpx.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
            timeout=manners.timeout_s,
            follow_redirects=False,
            limits=self._httpx.Limits(max_connections=manners.connections),
        )

    @property
    def shown(self) -> str:
        """The address without keys."""
        return without_keys(self._base)

    def manifest(self) -> Manifest:
        """See `Source`."""
        return read_manifest(self._persevere(NAME, self._manifest_once), self.shown)

    def fetch(self, name: str, size: int, into: Path, told: Told) -> bool:
        """See `Source`."""
        into.touch()
        job = _Job(name, size, into, told, into.stat().st_size)
        return self._persevere(name, lambda: self._file_once(job))

    def stop(self) -> None:
        """See `Source`."""
        self._stop.set()

    def close(self) -> None:
        """See `Source`."""
        self._client.close()

    def _persevere(self, name: str, once: Callable[[], T]) -> T:
        """Try until it works, or nothing moves any more."""
        failures = 0
        while True:
            self._pace.wait()
            if self._stop.is_set():
                raise IndexPullError(f"stopped; {_AGAIN}")
            try:
                found = once()
            except _TryAgainError as error:
                failures = 1 if error.moved else failures + 1
                if failures > self._manners.retries:
                    raise IndexPullError(
                        f"{name} does not come from {self.shown}: {error}; {_AGAIN}"
                    ) from error
                self._pause(name, error, failures)
            else:
                self._pace.relax()
                return found

    def _pause(self, name: str, error: _TryAgainError, failures: int) -> None:
        if error.pause_s > MAX_PAUSE_S:
            raise IndexPullError(
                f"{self.shown} asks to wait {error.pause_s:.0f} s before {name} ({error}), more "
                f"than {MAX_PAUSE_S:.0f} s: run the same command again then; what has come is kept"
            )
        # spread over half the pause, so that connections do not return in step
        spread = 0.75 + 0.5 * (sum(name.encode()) % 16) / 15.0
        pause_s = min(self._manners.backoff_s * 2 ** (failures - 1), 60.0) * spread
        pause_s = max(error.pause_s, pause_s)
        if error.busy:
            self._pace.complain(pause_s)
        else:
            self._stop.wait(pause_s)

    def _manifest_once(self) -> bytes:
        data, watch = bytearray(), _Watch(self._manners)
        with self._answer(NAME, {}) as response:
            if response.status_code != 200:
                raise self._refused(NAME, response)
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > MAX_MANIFEST_BYTES:
                    break
                watch.took(len(chunk))
        return bytes(data)

    def _file_once(self, job: _Job) -> bool:
        have = job.into.stat().st_size
        if have == job.size:
            return have > 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self._answer(job.name, headers) as response:
                start = self._start(response, job, have)
                job.told(start - have)
                self._write(response, job, start)
                return start > 0
        except _TryAgainError as error:
            now = job.into.stat().st_size
            # a server that begins anew each time gets nowhere, however much it sends
            error.moved = now >= job.most + _MOVED_BYTES
            job.most = max(job.most, now)
            raise

    def _start(self, response: Response, job: _Job, have: int) -> int:
        """Where the bytes of an answer belong: after those that are there, or at the beginning."""
        status = response.status_code
        if have and status == 206:
            said = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if said and int(said[1]) == have and said[3] in ("*", str(job.size)):
                return have
        if have and status in (206, 416):  # asked for all of it, the server may do better
            os.truncate(job.into, 0)
            job.told(-have)
            raise _TryAgainError(f"HTTP status {status} is no rest of {job.name}")
        if status != 200:
            raise self._refused(job.name, response)
        length = response.headers.get("Content-Length")
        if length is not None and length != str(job.size):
            head = next(response.iter_raw(), b"")
            raise self._another(job, f"has {length[:20]} bytes", head)
        return 0

    def _write(self, response: Response, job: _Job, start: int) -> None:
        have, watch = start, _Watch(self._manners)
        with job.into.open("ab" if start else "wb") as file:
            for chunk in response.iter_raw():
                if self._stop.is_set():
                    raise IndexPullError(f"stopped; {_AGAIN}")
                have += len(chunk)
                if have > job.size:
                    raise self._another(job, "goes on beyond its end", chunk)
                file.write(chunk)
                job.told(len(chunk))
                watch.took(len(chunk))
        if have < job.size:
            raise _TryAgainError(f"the answer ends after {have} of {job.size} bytes")

    @contextmanager
    def _answer(self, name: str, headers: dict[str, str]) -> Iterator[Response]:
        """The head of an answer, its body still to come; redirects are followed, not far."""
        url = self._url_of(name)
        try:
            request = self._client.build_request("GET", url, headers=headers)
            for _ in range(_REDIRECTS + 1):
                response = self._client.send(request, stream=True)
                try:
                    if response.next_request is None:
                        self._check_head(response)
                        yield response
                        return
                    request = response.next_request
                    self._check_redirect(name, str(request.url))
                finally:
                    response.close()
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            if _is_untrusted(error):
                raise IndexPullError(
                    f"{self.shown}: the server's certificate is not to be trusted "
                    f"({first_line(error)}); is its clock, or this machine's, right?"
                ) from error
            raise _TryAgainError(f"{type(error).__name__}: {first_line(error)}") from error
        raise IndexPullError(
            f"{self.shown} redirects more than {_REDIRECTS} times; use the address it ends at"
        )

    def _check_head(self, response: Response) -> None:
        status, headers = response.status_code, response.headers
        if status in _TRY_AGAIN:
            pause_s = retry_after_s(headers.get("Retry-After", ""))
            raise _TryAgainError(f"HTTP status {status}", pause_s, status in _BUSY)
        packed = headers.get("Content-Encoding", "identity").lower()
        if packed != "identity":
            raise IndexPullError(
                f"{self.shown} compresses files on the way ({packed[:20]}) though asked not to; "
                "let it serve them as they are"
            )

    def _check_redirect(self, name: str, url: str) -> None:
        wanted = urlsplit(self._base).scheme
        if urlsplit(url).scheme != wanted:
            raise IndexPullError(
                f"{self.shown} redirects {name} to {without_keys(url)[:200]}, away from "
                f"{wanted}://; use that address itself if it is right"
            )

    def _url_of(self, name: str) -> str:
        parts = urlsplit(self._base)
        return urlunsplit(parts._replace(path=f"{parts.path}/{quote(name)}"))

    def _refused(self, name: str, response: Response) -> Exception:
        """What to raise for an answer that is no file."""
        status = response.status_code
        if status in _MISSING:
            if name == NAME:
                return IndexCorruptError(
                    f"no index at {self.shown}: the server has no {NAME} there (HTTP status "
                    f"{status}); the address must be that of the folder that holds it"
                )
            return IndexCorruptError(
                f"{self.shown} lacks {name} (HTTP status {status}), which its {NAME} lists: it "
                f"was copied in part, or is being changed just now; {_AGAIN}"
            )
        said = describe(next(response.iter_raw(), b""))
        hint = {
            401: "is a user and password, or a key, missing from the address?",
            403: "is a key missing, or may this machine not read it?",
        }.get(status, "look at the address in a browser")
        return IndexPullError(
            f"{self.shown} answers {name} with HTTP status {status}: {said}; {hint}"
        )

    def _another(self, job: _Job, what: str, head: bytes) -> IndexCorruptError:
        said = describe(head)
        page = f" and is {said}" if said.startswith("an HTML") else ""
        return IndexCorruptError(
            f"{job.name} at {self.shown} {what}{page}; {job.size} bytes are expected: it was cut "
            f"off or altered, or is being changed just now; {_AGAIN}"
        )


def _checked(url: str) -> str:
    """An address that other files can be named below: no fragment, no slash at the end.

    Raises:
        IndexPullError: it is no address.
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url or parts.fragment:
        raise IndexPullError(
            "the address of an index must be like https://maps.example.org/city.index, not "
            f"{url[:80]!r}"
        )
    path = parts.path.removesuffix(f"/{NAME}").rstrip("/")
    return urlunsplit(parts._replace(path=path, fragment=""))


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether a certificate is what was wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
