# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the files of a finished cell go: straight to the index, to a shared folder, to objects.

A shelf is small and travels to the machine that does the work. A cell's files are written at a
desk, a folder with a folder `shards`, and taken from there; what appears on a shelf is whole.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from geoloc_ros import durable
from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.errors import IndexBuildError
from geoloc_ros.index import shard as shards
from geoloc_ros.index.quadtree import Cell
from geoloc_ros.index.records import ShardRecord

#: what says which index is being built at a place
FINGERPRINT = "fingerprint.txt"
#: files on their way to a shared folder; what a lost machine leaves there is nobody's
COMING = "coming"


class Shelf(Protocol):
    """A place for the files of cells."""

    def check(self) -> None:
        """See that this machine reaches it.

        Raises:
            IndexBuildError: it does not.
        """

    def desk(self) -> AbstractContextManager[Path]:
        """A folder to write a cell's files in."""

    def take(self, desk: Path, record: ShardRecord) -> None:
        """Put a cell's files, which lie on the desk, on the shelf.

        Raises:
            OSError: the place refuses.
        """


def shelve(
    shelf: Shelf,
    cell: Cell,
    poses: FloatArray,
    descriptors: Float32Array,
    storage: str,
    search: str,
) -> ShardRecord:
    """Write a cell's files and put them on a shelf.

    Args:
        shelf: where they go.
        cell: the cell.
        poses: (N, 3) anchors, N >= 1.
        descriptors: (N, D) unit vectors.
        storage: how they are stored.
        search: how they are found.

    Returns:
        The record for the manifest.

    Raises:
        OSError: a disk or the place refuses.
    """
    with shelf.desk() as desk:
        record = shards.write_shard(desk, cell, poses, descriptors, storage, search)
        shelf.take(desk, record)
    return record


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """The folder of a build on this machine: files are written where they stay.

    Attributes:
        root: the folder.
    """

    root: Path

    def check(self) -> None:
        """Whoever made it reaches it."""

    @contextmanager
    def desk(self) -> Iterator[Path]:
        """The folder itself."""
        yield self.root

    def take(self, desk: Path, record: ShardRecord) -> None:
        """They are there."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """The folder of a build that several machines see under the same name.

    Files are written on the worker's own disk and copied; each appears by one rename, so that a
    worker that was given up but still writes does no harm.

    Attributes:
        root: the folder.
        fingerprint: what its file `FINGERPRINT` holds.
    """

    root: Path
    fingerprint: str

    def check(self) -> None:
        """See that this machine sees the folder of this very build.

        Raises:
            IndexBuildError: it does not.
        """
        try:
            found = (self.root / FINGERPRINT).read_text(encoding="utf-8")
        except OSError as error:
            found = str(error)
        if found != self.fingerprint:
            raise IndexBuildError(
                f"the machine {socket.gethostname()} does not see the build in {self.root} "
                f"({found[:200] or 'empty'}); give an --out in a folder that all machines of the "
                "cluster share under the same name, or on object storage, e.g. s3://bucket/index"
            )

    def desk(self) -> AbstractContextManager[Path]:
        """A folder on this machine's own disk."""
        return _scratch()

    def take(self, desk: Path, record: ShardRecord) -> None:
        """Copy the files and rename them.

        Raises:
            OSError: the disk refuses.
        """
        coming = self.root / COMING
        coming.mkdir(exist_ok=True)
        for part in record.files:
            partial = coming / uuid.uuid4().hex
            shutil.copyfile(record.path(desk, part), partial)
            durable.sync(partial)
            partial.replace(record.path(self.root, part))
        durable.sync(self.root / "shards")


@dataclass(frozen=True, slots=True)
class ObjectFolder:
    """A prefix on object storage, or anything else fsspec writes to.

    Attributes:
        url: of the index, e.g. `s3://bucket/town.index`.
    """

    url: str

    def check(self) -> None:
        """See that fsspec knows the storage.

        Raises:
            IndexBuildError: it does not.
        """
        open_storage(self.url)

    def desk(self) -> AbstractContextManager[Path]:
        """A folder on this machine's own disk."""
        return _scratch()

    def take(self, desk: Path, record: ShardRecord) -> None:
        """Upload the files and see that they have arrived whole.

        Raises:
            OSError: the storage refuses.
        """
        storage, root = open_storage(self.url)
        for part, file in record.files.items():
            source = record.path(desk, part)
            name = f"{root}/{source.relative_to(desk).as_posix()}"
            storage.put_file(str(source), name)
            held = storage.size(name)
            if held != file.bytes:
                raise OSError(f"{name} has {held} bytes after an upload of {file.bytes}")


def is_url(out: str) -> bool:
    """Whether a name is one for fsspec rather than of a folder."""
    return "://" in out


def open_storage(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path on it.

    Raises:
        IndexBuildError: fsspec is not installed, or does not know the storage or reach it.
    """
    try:
        import fsspec
    except ImportError as error:
        raise IndexBuildError(
            f"{url} needs fsspec: pip install 'geoloc_ros[cluster]', or give a folder"
        ) from error
    try:
        storage, root = fsspec.core.url_to_fs(url.rstrip("/"))
    except (ImportError, ValueError) as error:
        raise IndexBuildError(
            f"{url} cannot be opened: {error}; install what its storage needs (s3fs for s3://, "
            "gcsfs for gs://, adlfs for az://) on every machine"
        ) from error
    return storage, str(root)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="geoloc-cell-") as folder:
        (Path(folder) / "shards").mkdir()
        yield Path(folder)
