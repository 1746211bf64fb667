# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where an index comes from: a folder, or plain files on a web server. Nothing of it is trusted.

What a source says is bounded by what the manifest says, and the manifest by `MAX_MANIFEST_BYTES`.
Names of files are made from the parsed manifest; none that a server sends is ever used.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Protocol

from geoloc_ros.errors import IndexCorruptError, IndexMismatchError, IndexPullError
from geoloc_ros.imagery.manners import Manners
from geoloc_ros.imagery.tile_picture import describe
from geoloc_ros.index.manifest import NAME, Manifest, parse
from geoloc_ros.index.records import FileRecord

#: A manifest has about a kilobyte a shard.
MAX_MANIFEST_BYTES = 64 << 20
#: How a server of files is treated; `geoloc imagery fetch` is more careful with tile servers.
MANNERS = Manners(rate_hz=100.0, connections=4)
_CHUNK = 1 << 20

#: is told how many more bytes are there, fewer if some had to be thrown away
Told = Callable[[int], None]


class Source(Protocol):
    """An index to read from, wherever it is."""

    @property
    def shown(self) -> str:
        """What to call it in messages; holds no keys."""

    def manifest(self) -> Manifest:
        """What the index is.

        Raises:
            IndexCorruptError: there is none, or it is damaged.
            IndexMismatchError: it is of another schema.
            IndexPullError: it does not come.
        """

    def fetch(self, name: str, size: int, into: Path, told: Told) -> bool:
        """Bring a file; what is in `into` already is taken for its beginning, and kept.

        Args:
            name: relative to the index, of `files_of`.
            size: bytes it must have; no more are read.
            into: where it goes. Whoever asks compares its hash.
            told: hears of every change of its size.

        Returns:
            Whether it came in pieces, which may be of several versions.

        Raises:
            IndexCorruptError: it is missing or of another size.
            IndexPullError: it does not come; what has come is kept.
            OSError: the disk refuses.
        """

    def stop(self) -> None:
        """End every wait and every transfer, from another thread."""

    def close(self) -> None:
        """Let go of connections."""


def open_source(text: str, connections: int = MANNERS.connections) -> Source:
    """A folder, or the address of one on a web server; neither is looked at yet.

    Args:
        text: a path, or `http(s)://HOST/PATH`, with or without `manifest.json`.
        connections: to the server, at a time.

    Raises:
        IndexPullError: the address is of another kind.
        ImageryError: connections out of bounds, or the package httpx is missing.
    """
    manners = dataclasses.replace(MANNERS, connections=connections)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if scheme is None:
        return FolderSource(Path(text))
    if scheme[1].lower() not in ("http", "https"):
        raise IndexPullError(
            f"an index comes from a folder, http:// or https://, not {scheme[1][:20]}://; mount "
            "what it lies on, or serve it as plain files"
        )
    from geoloc_ros.index.http_source import HttpSource

    return HttpSource(text, manners)


class FolderSource:
    """An index directory on this machine, or mounted."""

    def __init__(self, root: Path) -> None:
        self._root = root.parent if root.name == NAME else root
        self._stop = Event()

    @property
    def shown(self) -> str:
        """The path."""
        return str(self._root)

    def manifest(self) -> Manifest:
        """See `Source`."""
        path = self._root / NAME
        if not path.is_file():  # nor a pipe, which would wait for ever
            hint = "" if self._root.exists() else " (an address begins with https://)"
            raise IndexCorruptError(
                f"no index at {self.shown}: it has no {NAME}; name the folder that holds one{hint}"
            )
        try:
            with path.open("rb") as file:
                data = file.read(MAX_MANIFEST_BYTES + 1)
        except OSError as error:
            raise IndexCorruptError(f"cannot read {path}: {error.strerror or error}") from error
        return read_manifest(data, self.shown)

    def fetch(self, name: str, size: int, into: Path, told: Told) -> bool:
        """See `Source`."""
        path = self._root / name
        if not path.is_file():
            raise IndexCorruptError(f"{self.shown} lacks {name}; copy or build the index again")
        found = path.stat().st_size
        if found != size:
            raise IndexCorruptError(
                f"{path} has {found} bytes, the manifest says {size}; copy or build the index "
                "again"
            )
        with path.open("rb") as source, into.open("ab") as target:
            start = source.seek(target.tell())
            left = size - start
            while left > 0 and (chunk := source.read(min(left, _CHUNK))):
                if self._stop.is_set():
                    raise IndexPullError("stopped; run the same command again to go on")
                target.write(chunk)
                told(len(chunk))
                left -= len(chunk)
        return start > 0

    def stop(self) -> None:
        """See `Source`."""
        self._stop.set()

    def close(self) -> None:
        """See `Source`."""


def read_manifest(data: bytes, shown: str) -> Manifest:
    """The manifest in bytes that somebody else sent.

    Args:
        data: the bytes; one more than `MAX_MANIFEST_BYTES` if there are more.
        shown: where they came from.

    Raises:
        IndexCorruptError: they are none, or damaged.
        IndexMismatchError: another schema.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise IndexCorruptError(
            f"{shown}: {NAME} has more than {MAX_MANIFEST_BYTES / 1e6:.0f} MB; no index has so "
            "large a one"
        )
    if not data.lstrip().startswith(b"{"):
        raise IndexCorruptError(
            f"no index at {shown}: its {NAME} is {describe(data)}; name the folder that holds one"
        )
    try:
        manifest = parse(data.decode("utf-8"), Path(NAME))
    except UnicodeDecodeError as error:
        raise IndexCorruptError(f"{shown}: {NAME} is damaged ({error})") from error
    except (IndexCorruptError, IndexMismatchError) as error:
        raise type(error)(f"{shown}: {error}") from error
    if not manifest.shards:
        raise IndexCorruptError(f"{shown}: {NAME} lists no shard; build the index again")
    return manifest


def files_of(manifest: Manifest) -> dict[str, FileRecord]:
    """All files of an index by name, `shards/...`, which is safe to use below any folder.

    Raises:
        IndexCorruptError: a name leads elsewhere, two files have one name, or one hash has two
            sizes: no build writes that.
    """
    found: dict[str, FileRecord] = {}
    sizes: dict[str, int] = {}
    for record in manifest.shards:
        for part, file in record.files.items():
            path = record.path(Path(), part)
            name = path.as_posix()
            inside = path.parts[:1] == ("shards",) and len(path.parts) > 1
            if not inside or ".." in path.parts or not name.isprintable():
                raise IndexCorruptError(f"the manifest names a file {name[:80]!r}; refused")
            if name in found or sizes.setdefault(file.sha256, file.bytes) != file.bytes:
                raise IndexCorruptError(f"the manifest contradicts itself about {name}; refused")
            found[name] = file
    return found
